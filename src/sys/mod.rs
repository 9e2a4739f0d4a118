//! The operating system.

pub(crate) mod poll;
pub(crate) mod pty_master;
pub(crate) mod stream;
