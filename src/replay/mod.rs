//! Logs by byte offset: rings, cursors, verdicts. Knows no terminal, no socket and no clock.

mod shared;

pub use shared::SharedRing;
