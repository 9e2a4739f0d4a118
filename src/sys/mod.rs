//! The operating system behind safe functions; knows no session, no account policy and no message.
#![allow(unsafe_code, reason = "the one room where it may be; each block says why it is sound")]

pub(crate) mod credentials;
pub(crate) mod exec;
pub(crate) mod fork;
pub(crate) mod memfd;
pub(crate) mod path;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod privileges;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod pty;
pub(crate) mod pty_master;
pub(crate) mod readiness;
pub(crate) mod rlimits;
pub(crate) mod seqpacket;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod terminal;
pub(crate) mod watch;
