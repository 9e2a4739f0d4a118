//! The one process with privileges: starts, stops and lists sessions, reads key files, keeps the gateway running. Never
//! accepts from a network socket, never takes argv, a path or a uid from its caller. Knows no session's content.

mod connection;
mod ends;
mod gate;
mod gateway;
mod given;
mod handed;
mod helper;
mod jobs;
mod keys;
mod launch;
mod layout;
mod orders;
mod plan;
mod records;
mod replace;
mod service;
mod sessions;
mod start;
mod stop;
mod table;

pub(crate) use given::{Fresh, Given, Listeners, Log, LogEntry, Tls};
pub(crate) use handed::{HandedError, check_handed};
pub(crate) use keys::KeyPlace;
pub(crate) use layout::{ACCOUNTS, LayoutError, is_served};
pub(crate) use replace::{Program, Stamp};
pub(crate) use table::{AccountEntry, Directories, Identities, Limits, Programs, SystemIdentity, Table, TableError};

/// How a spawner ended in good order: by TERM, INT or HUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Sessions whose agent lives on.
    pub(crate) sessions: usize,
}

/// Why a spawner does not serve, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnerError {
    /// The table breaks a promise.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Directories, lock, sockets or the program's copy.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Of an earlier program in this one's place.
    #[error(transparent)]
    Handed(#[from] HandedError),
    /// The audit cannot be written.
    #[error("the spawner's audit cannot be written: {0}; it does not serve without")]
    Audit(std::io::Error),
    /// The system refused something that the loop cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves until TERM, INT or HUP: takes the lock, adopts the hosts of an earlier spawner, runs the gateway. The gateway ends
/// with it, hosts and agents never. For a process with one thread.
pub(crate) fn run(table: Table, given: Given) -> Result<Ended, SpawnerError> {
    service::Service::open(table, given)?.run()
}

/// The same in place of the program that this process ran before: with what that one handed over under this number, and
/// everything read anew where that works. `given` gets its listeners from there.
pub(crate) fn resume(
    handed: std::os::fd::RawFd,
    given: impl FnOnce(Listeners) -> Given,
) -> Result<Ended, SpawnerError> {
    service::Service::resume(handed, given)?.run()
}

#[cfg(test)]
mod tests;
