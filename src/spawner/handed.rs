//! What a running spawner hands to the program that takes its place: the table, descriptors by number, who waits. Starts
//! nothing, and does not judge whether the other should.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use super::table::Table;
use crate::sys::fork::{inherited, set_inherited};
use crate::sys::memfd::read_sealed;

/// Of the form below. A program that knows another one fails its check, and nothing happens.
const VERSION: u32 = 1;
/// As JSON: some hundred accounts.
const MOST: usize = 4 << 20;

/// See the module. Everything else the other finds out by itself, as after a crash.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handed {
    version: u32,
    /// What it falls back to.
    pub(super) table: Table,
    /// With the files of that table.
    pub(super) descriptors: Descriptors<RawFd>,
    pub(super) gateway: Option<HandedGateway>,
    pub(super) connection: Option<HandedConnection>,
    /// Children from before all spawners.
    pub(super) strangers: BTreeSet<i32>,
    /// Connection and number of the order that asked for it.
    pub(super) asker: (u64, u32),
}

/// Descriptors, or their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Descriptors<T> {
    pub(super) lock: T,
    /// `admin.sock`.
    pub(super) admin_socket: T,
    /// `spawner.sock`.
    pub(super) orders: T,
    pub(super) https: Option<T>,
    pub(super) ssh: Option<T>,
    pub(super) admin: Option<T>,
    pub(super) config: T,
    pub(super) tls: Option<(T, T)>,
    pub(super) connection: Option<T>,
}

/// A gateway that is the spawner's child, and stays it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedGateway {
    pub(super) pid: i32,
    /// It reported so.
    pub(super) ready: bool,
}

/// What was permitted on the gateway's connection so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedConnection {
    pub(super) id: u64,
    pub(super) child: bool,
    pub(super) greeted: bool,
    pub(super) ready: bool,
}

/// Why what was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandedError {
    /// Not ours, or another version's.
    #[error("what the running spawner hands over is not understood: {0}; restart it instead")]
    Form(String),
    /// Not there, or not sealed.
    #[error("what the running spawner hands over cannot be read: {0}")]
    System(#[from] io::Error),
}

/// Whether this program could take the place of a spawner that hands this over.
pub(crate) fn check_handed(text: &[u8]) -> Result<(), HandedError> {
    Handed::parse(text).map(drop)
}

impl Handed {
    pub(super) fn new(
        table: Table,
        descriptors: Descriptors<RawFd>,
        gateway: Option<HandedGateway>,
        connection: Option<HandedConnection>,
        strangers: BTreeSet<i32>,
        asker: (u64, u32),
    ) -> Self {
        Self { version: VERSION, table, descriptors, gateway, connection, strangers, asker }
    }

    /// From a sealed memory file under this number.
    pub(super) fn take(number: RawFd) -> Result<Self, HandedError> {
        let file = inherited(number)?;
        Self::parse(&read_sealed(file.as_fd(), MOST)?)
    }

    pub(super) fn text(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::other)
    }

    fn parse(text: &[u8]) -> Result<Self, HandedError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let form = |error: serde_json::Error| HandedError::Form(error.to_string());
        let Version { version } = serde_json::from_slice(text).map_err(form)?;
        if version != VERSION {
            return Err(HandedError::Form(format!("it is version {version}, this program knows {VERSION}")));
        }
        serde_json::from_slice(text).map_err(form)
    }
}

impl<T> Descriptors<T> {
    fn all(&self) -> impl Iterator<Item = &T> {
        let tls = self.tls.iter().flat_map(|(certificate, key)| [certificate, key]);
        let always = [&self.lock, &self.admin_socket, &self.orders, &self.config];
        always
            .into_iter()
            .chain([&self.https, &self.ssh, &self.admin, &self.connection].into_iter().flatten())
            .chain(tls)
    }

    fn map<U, E>(&self, mut each: impl FnMut(&T) -> Result<U, E>) -> Result<Descriptors<U>, E> {
        Ok(Descriptors {
            lock: each(&self.lock)?,
            admin_socket: each(&self.admin_socket)?,
            orders: each(&self.orders)?,
            https: self.https.as_ref().map(&mut each).transpose()?,
            ssh: self.ssh.as_ref().map(&mut each).transpose()?,
            admin: self.admin.as_ref().map(&mut each).transpose()?,
            config: each(&self.config)?,
            tls: self.tls.as_ref().map(|(one, other)| Ok((each(one)?, each(other)?))).transpose()?,
            connection: self.connection.as_ref().map(&mut each).transpose()?,
        })
    }
}

impl Descriptors<RawFd> {
    /// Takes them over; each once.
    pub(super) fn open(&self) -> io::Result<Descriptors<OwnedFd>> {
        self.map(|number| inherited(*number))
    }
}

impl Descriptors<BorrowedFd<'_>> {
    pub(super) fn numbers(&self) -> Descriptors<RawFd> {
        let numbers = self.map(|descriptor| Ok::<_, std::convert::Infallible>(descriptor.as_raw_fd()));
        match numbers {
            Ok(numbers) => numbers,
        }
    }

    /// Whether an exec keeps them.
    pub(super) fn set_inherited(&self, on: bool) -> io::Result<()> {
        self.all().try_for_each(|descriptor| set_inherited(*descriptor, on))
    }
}
