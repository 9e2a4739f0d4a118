//! The operating system behind safe functions; knows no session, no account policy and no message.
#![allow(unsafe_code, reason = "the one room where it may be; each block says why it is sound")]

pub(crate) mod credentials;
pub(crate) mod memfd;
pub(crate) mod seqpacket;
