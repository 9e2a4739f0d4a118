//! The hash-chained log of decisions: one file for each writing process, a writer and a verifier; does not know who logs in or why.
//!
//! A line is one JSON object: `seq`, `time`, `prev` (the `hash` of the line before), `event`, the event's fields, and last `hash`, the
//! SHA-256 of the line up to `,"hash"`. Any edit, deletion or reordering is found from the file alone. Two things are not:
//! whole lines cut off the end, and a rewrite of everything by somebody who may write the file. Both show only against a head noted elsewhere, so the verifier prints it.

mod entry;
mod line;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use entry::{Entry, Event, Field};
pub(crate) use verify::{Report, Verdict, verify};
pub(crate) use writer::{AuditError, Opened, Writer};
