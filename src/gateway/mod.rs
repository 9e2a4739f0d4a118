//! The process that strangers reach: doors, sessions as their viewers see them, links to the hosts.

pub(crate) mod ssh;
pub(crate) mod verbs;
