//! The gateway's audit chain behind one lock; does not decide what is worth an entry.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::audit::{AuditError, Entry, Opened, Writer};
use crate::gateway::error::SessionError;

/// The chain. Cheap to clone; the lock is in an Arc because every connection writes entries and a chain has one order.
/// A hold is one hash and one write(2).
#[derive(Clone)]
pub(crate) struct Journal(Arc<Mutex<Chain>>);

struct Chain {
    writer: Writer,
    /// So that a full disk is one line on the console, not one for each refused entry.
    failing: bool,
}

impl Journal {
    /// Continues the chain in this file.
    pub(crate) fn open(file: File) -> Result<(Self, Opened), AuditError> {
        let (writer, opened) = Writer::open(file, SystemTime::now())?;
        Ok((Self(Arc::new(Mutex::new(Chain { writer, failing: false }))), opened))
    }

    /// Writes an entry. What it speaks of may only happen when this succeeded.
    pub(crate) fn append(&self, entry: &Entry) -> Result<(), SessionError> {
        let mut chain = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match chain.writer.append(entry, SystemTime::now()) {
            Ok(()) => {
                if std::mem::take(&mut chain.failing) {
                    tracing::info!("the audit log can be written again");
                }
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut chain.failing, true) {
                    tracing::error!(%error, "the audit log cannot be written: nothing new is allowed until it can");
                }
                Err(SessionError::AuditUnavailable)
            }
        }
    }

    /// True when the last entry could not be written.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failing
    }

    /// Writes an entry about something that has happened anyway and cannot be refused any more.
    pub(crate) fn note(&self, entry: &Entry) {
        // `append` has said on the console that the log fails.
        let _ = self.append(entry);
    }
}
