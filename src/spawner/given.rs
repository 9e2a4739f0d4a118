//! What the spawner is started with beside its table, and where it tells what it does; knows no configuration and no
//! audit format.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::replace::Program;
use super::table::Table;
use crate::base::{Secret, SessionId};

/// Handed over by the command line.
pub(crate) struct Given {
    /// Bound, never accepted from here.
    pub(crate) listeners: Listeners,
    /// The gateway's checked settings, as it wants them.
    pub(crate) config: Vec<u8>,
    /// None where the door has no TLS.
    pub(crate) tls: Option<Tls>,
    /// Which program takes this one's place once its file is another one; none where only a restart does that.
    pub(crate) program: Option<Program>,
    /// Copied to `bin/portcullis`; none where that is there already.
    pub(crate) executable: Option<PathBuf>,
    /// The audit.
    pub(crate) log: Box<dyn Log>,
    /// Called each time that a gateway has reported that it serves.
    pub(crate) on_ready: Box<dyn FnMut()>,
    /// Reads everything anew; none where nothing can be reloaded. What it returns is served from then on.
    pub(crate) reload: Option<Box<dyn FnMut() -> Result<Fresh, String>>>,
}

/// Sockets on which the gateway accepts.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// wss.
    pub(crate) https: Option<OwnedFd>,
    /// ssh.
    pub(crate) ssh: Option<OwnedFd>,
    /// Health and metrics.
    pub(crate) admin: Option<OwnedFd>,
}

/// Certificate chain and key, PEM.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// Chain.
    pub(crate) certificate: Vec<u8>,
    /// Key.
    pub(crate) key: Secret<Vec<u8>>,
}

/// What a reload brings.
pub(crate) struct Fresh {
    /// Checked again by the spawner; its identities, directories and programs must be the old ones.
    pub(crate) table: Table,
    /// As in `Given`.
    pub(crate) config: Vec<u8>,
    /// As in `Given`.
    pub(crate) tls: Option<Tls>,
}

/// The spawner's audit. What cannot be written is not done.
pub(crate) trait Log {
    /// Writes one entry before what it tells of has an effect outside.
    fn entry(&mut self, entry: &LogEntry<'_>) -> io::Result<()>;
    /// Opens the file anew, after rotation.
    fn reopen(&mut self) -> io::Result<()>;
}

/// What happened. Texts may come from strangers: escape them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogEntry<'a> {
    /// This spawner serves.
    Started {
        /// Hosts of an earlier spawner.
        adopted: usize,
    },
    /// This spawner ends.
    Ended {
        /// Sessions that live on.
        sessions: usize,
    },
    /// A gateway runs.
    GatewayStarted {
        /// Its pid.
        pid: i32,
    },
    /// A gateway is gone.
    GatewayEnded {
        /// Status or signal.
        how: String,
    },
    /// A gateway connected, or somebody else tried to.
    Connection {
        /// Who.
        uid: u32,
        /// Whether it is the gateway.
        accepted: bool,
    },
    /// An order that is not permitted; its connection was closed.
    OrderRefused {
        /// Why.
        reason: String,
    },
    /// A start was accepted.
    SessionStarting {
        /// Which.
        session: SessionId,
        /// Whose.
        account: &'a str,
        /// What.
        agent: &'a str,
        /// Root and relative directory, as ordered.
        directory: String,
        /// Key and label.
        creator: &'a str,
    },
    /// Its host serves.
    SessionStarted {
        /// Which.
        session: SessionId,
        /// The host.
        pid: i32,
    },
    /// A start was refused or failed.
    SessionRefused {
        /// As ordered.
        session: &'a str,
        /// Stable.
        code: &'static str,
        /// Why.
        message: &'a str,
    },
    /// A session's processes were ended.
    SessionStopped {
        /// Which.
        session: SessionId,
        /// How many.
        processes: u32,
    },
    /// A host is gone.
    HostGone {
        /// Which session's.
        session: SessionId,
    },
    /// Table, configuration and certificate were read anew.
    Reloaded {
        /// What came of it.
        outcome: String,
    },
    /// Something of ours did not work; the spawner goes on.
    Trouble {
        /// What.
        what: String,
    },
}
