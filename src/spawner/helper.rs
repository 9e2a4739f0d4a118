//! Short-lived children that do what may wait or be an account's trap; knows none of their work.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::sys::credentials::Account;
use crate::sys::fork::{default_signals, fork, keep_only, null_stdio};
use crate::sys::process::{Kill, Process, new_session, undumpable};
use crate::sys::seqpacket::Seqpacket;

/// How long each step of a child's work may take.
pub(super) const STEP: Duration = Duration::from_secs(3);

/// A child at work. Dropping it kills it; what it left behind becomes an orphan of the spawner and is killed as such.
#[derive(Debug)]
pub(super) struct Helper {
    process: Process,
    socket: Seqpacket,
    deadline: Instant,
}

/// What a child says, one datagram each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Said before the child became the account.
    Account {
        /// From the system's databases.
        account: Account,
        /// The agent's environment file.
        env_file: Vec<(String, String)>,
    },
    /// With the directory's descriptor.
    Directory {
        /// Where it lies.
        path: String,
    },
    /// What the login shell says; none where it says nothing usable.
    ShellPath(Option<String>),
    /// A key file's stamp is the known one.
    KeysUnchanged,
    /// With the file's bytes in a sealed memory file.
    Keys {
        /// Its stamp.
        stamp: Vec<u8>,
        /// Which file.
        path: String,
    },
    /// Why a key file is not used.
    KeysRefused {
        /// With the cure.
        problem: Problem,
        /// Which file.
        path: String,
    },
    /// A program could take this one's place.
    Passed,
    /// The work cannot be done.
    Problem(Problem),
}

/// Why a child's work cannot be done, for the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Problem {
    /// Stable.
    pub(super) code: String,
    /// One sentence.
    pub(super) message: String,
}

impl Problem {
    /// With a stable code.
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// What came from a child.
#[derive(Debug)]
pub(super) enum Heard {
    /// A reply, with its descriptor where it has one.
    Reply(Reply, Option<OwnedFd>),
    /// Nothing now.
    Nothing,
    /// It ended, or speaks nonsense.
    Gone,
}

/// The child's side.
#[derive(Debug)]
pub(super) struct Speaker(Seqpacket);

impl Speaker {
    /// Sends one reply.
    pub(super) fn say(&self, reply: &Reply, descriptor: Option<BorrowedFd<'_>>) -> Result<(), Problem> {
        let text = serde_json::to_vec(reply).map_err(|error| Problem::new("launch-failed", error.to_string()))?;
        self.0
            .send(&text, descriptor.as_slice())
            .map_err(|error| Problem::new("launch-failed", format!("a helper's answer was not sent: {error}")))
    }
}

impl Helper {
    /// Forks a child that keeps nothing but its way back, without signals or standard streams of ours, in a session of its
    /// own, untraceable. It has the spawner's identity until its work gives that up.
    pub(super) fn start(now: Instant, work: impl FnOnce(&Speaker) -> Result<(), Problem>) -> io::Result<Self> {
        let (ours, theirs) = Seqpacket::pair()?;
        ours.set_nonblocking(true)?;
        let process = fork(|| {
            let prepared = (|| {
                undumpable()?;
                default_signals();
                null_stdio()?;
                new_session()?;
                keep_only(&[theirs.as_fd()])
            })();
            let Some(socket) = prepared.ok().and_then(|kept| kept.into_iter().next()) else { return 1 };
            let speaker = Speaker(Seqpacket::from(socket));
            match work(&speaker) {
                Ok(()) => 0,
                Err(problem) => i32::from(speaker.say(&Reply::Problem(problem), None).is_err()),
            }
        })?;
        Ok(Self { process, socket: ours, deadline: now + STEP })
    }

    /// What it says next; each reply gives it time for the next step.
    pub(super) fn hear(&mut self, now: Instant) -> Heard {
        let mut datagram = Vec::new();
        match self.socket.recv(&mut datagram) {
            Ok(Some(descriptors)) => match serde_json::from_slice(&datagram) {
                Ok(reply) => {
                    self.deadline = now + STEP;
                    Heard::Reply(reply, descriptors.into_iter().next())
                }
                Err(_) => Heard::Gone,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            Ok(None) | Err(_) => Heard::Gone,
        }
    }

    /// When it is too late.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Ended already is the ordinary case.
        let _ = self.process.signal(Kill::Kill);
    }
}
