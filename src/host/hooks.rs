//! The hook socket's side: connections of the agent's hooks, cut into lines of bounded length; does not know what they say.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::agents::claude::hooks::{KEPT, REPORT};
use crate::sys::poll::Ready;
use crate::sys::stream::{Stream, StreamRead};

/// Connections at once: the requests that may wait, and as many that only report. Others wait in the socket's queue.
pub(super) const HOOKS: usize = 16;
/// A hook says its line at once; what says nothing for so long is none.
const SAYS: Duration = Duration::from_secs(5);
/// A read; most reports are shorter.
const READ: usize = 16 * 1024;

/// What a connection has come to.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Its report is not whole yet.
    Speaks { until: Instant },
    /// Its request is kept: it waits for a decision, and says when none is needed any more.
    Waits,
    /// Nothing more is expected of it.
    Over,
}

struct Connection {
    number: u64,
    stream: Stream,
    line: Vec<u8>,
    stage: Stage,
}

/// All connections, oldest first: reports are taken in the order in which they began.
#[derive(Default)]
pub(super) struct Hooks {
    connections: Vec<Connection>,
    last: u64,
}

impl Hooks {
    pub(super) fn has_room(&self) -> bool {
        self.connections.len() < HOOKS
    }

    /// The account's.
    pub(super) fn add(&mut self, stream: Stream, now: Instant) {
        self.last += 1;
        let stage = Stage::Speaks { until: now + SAYS };
        self.connections.push(Connection { number: self.last, stream, line: Vec::new(), stage });
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.connections.iter().map(|connection| connection.stream.as_fd())
    }

    /// When one that says nothing is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = |connection: &Connection| match connection.stage {
            Stage::Speaks { until } => Some(until),
            Stage::Waits | Stage::Over => None,
        };
        self.connections.iter().filter_map(until).min()
    }

    /// Reads what is ready, in the order of [`Hooks::descriptors`]; what was said on which connection. Nothing: it is gone.
    pub(super) fn read(&mut self, ready: &[Ready], now: Instant) -> Vec<(u64, Vec<u8>)> {
        let mut said = Vec::new();
        for (connection, ready) in self.connections.iter_mut().zip(ready) {
            if ready.read {
                connection.read(&mut said);
            } else if matches!(connection.stage, Stage::Speaks { until } if until <= now) {
                connection.stage = Stage::Over;
            }
        }
        said
    }

    /// Says this to one of them. After a decision, and for one whose report was not kept, nothing follows.
    pub(super) fn say(&mut self, number: u64, line: &[u8]) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.number == number) else {
            return;
        };
        connection.stage = if line == KEPT { Stage::Waits } else { Stage::Over };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // Its buffer is empty, and takes this whole; a hook that is gone needs no answer.
        let written = connection.stream.write(&[IoSlice::new(line), IoSlice::new(b"\n")]);
        if !matches!(written, Ok(length) if length > line.len()) {
            connection.stage = Stage::Over;
        }
    }

    /// Closes those of which nothing more is expected: a report that was not kept is one of them.
    pub(super) fn close(&mut self) {
        self.connections.retain(|connection| connection.stage != Stage::Over);
    }
}

impl Connection {
    fn read(&mut self, said: &mut Vec<(u64, Vec<u8>)>) {
        let mut space = [0; READ];
        let waits = self.stage == Stage::Waits;
        match self.stream.read(&mut space) {
            Ok(StreamRead::Empty) => return,
            Ok(StreamRead::Bytes(length)) => self.line.extend_from_slice(space.get(..length).unwrap_or_default()),
            Ok(StreamRead::Closed) | Err(_) => {
                // A report that was cut off says nothing.
                if waits {
                    said.push((self.number, Vec::new()));
                }
                self.stage = Stage::Over;
                return;
            }
        }
        if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            self.line.truncate(end);
            said.push((self.number, std::mem::take(&mut self.line)));
            // Unless it is kept.
            self.stage = Stage::Over;
        } else if self.line.len() > REPORT {
            self.stage = Stage::Over;
        }
    }
}
