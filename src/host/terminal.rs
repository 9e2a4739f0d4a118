//! The PTY side of a terminal session: moves bytes between it and the core, and does to it what the core says. Decides nothing.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::core::{Core, Effect, Event, Now};
use super::side::{DESCRIPTORS, Side, Wish};
use crate::sys::poll::{self, Interest, Ready};
use crate::sys::pty_master::{PtyMaster, PtyRead};

/// A first read shorter than this is a keystroke's echo: sent at once, without another read (hop.md, finding 6).
const SHORT: usize = 512;
/// A batch of this length is part of a flood, not of a screen or an answer.
const FLOOD: usize = 4 * 1024;
/// In a flood the terminal is looked at so often, as a network card's driver does it, instead of at each 4 KiB that arrive: a wake-up of
/// ours, the gateway's, the socket's and the client's for each costs more than moving them. A terminal holds 12 KiB, which no program
/// prints faster; input cuts the pause short.
const PAUSE_IN_FLOOD: Duration = Duration::from_micros(60);
/// And a batch is sent after so long in all.
const GATHERED: Duration = Duration::from_millis(1);
/// Two batches so close belong to one flood.
const ONE_FLOOD: Duration = Duration::from_millis(2);
/// After a write that failed although the terminal was ready: nobody has it open.
const PAUSE: Duration = Duration::from_millis(100);

/// A terminal session at work.
pub(super) struct Terminal {
    core: Core,
    pty: Option<PtyMaster>,
    /// The terminal's input was full at the last write.
    blocked: bool,
    pause: Option<Instant>,
    /// When the newest batch of a flood was read.
    flooded: Option<Instant>,
    /// The last read brought bytes, or found the terminal closed.
    filled: bool,
    closed: bool,
}

impl Terminal {
    pub(super) fn new(core: Core, pty: PtyMaster) -> Self {
        Self { core, pty: Some(pty), blocked: false, pause: None, flooded: None, filled: false, closed: false }
    }
}

impl Side for Terminal {
    fn interests(&mut self, now: Now) -> [Interest; DESCRIPTORS] {
        let pty = Interest { read: self.core.wants_output(now), write: self.blocked && self.pause.is_none() };
        [pty, Interest::default(), Interest::default()]
    }

    fn descriptors(&self) -> [Option<BorrowedFd<'_>>; DESCRIPTORS] {
        [self.pty.as_ref().map(AsFd::as_fd), None, None]
    }

    fn pause(&mut self, now: Now) -> Option<Instant> {
        self.pause = self.pause.filter(|until| *until > now.at);
        self.pause
    }

    /// Until nothing is left, the batch is full, or the first read was short. In a flood what comes in the next moment belongs to it.
    fn read(&mut self, [ready, ..]: &[Ready; DESCRIPTORS], link: Option<BorrowedFd<'_>>, now: Now) -> bool {
        let Some(pty) = self.pty.as_ref().filter(|_| ready.read) else { return false };
        let flooded = self.flooded.is_some_and(|at| now.at.saturating_duration_since(at) < ONE_FLOOD);
        let space = self.core.space(now);
        let (mut filled, mut paused_at) = (0, 0);
        while let Some(rest) = space.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match pty.read(rest) {
                Ok(PtyRead::Bytes(length)) if filled == 0 && length < SHORT => {
                    filled = length;
                    break;
                }
                Ok(PtyRead::Bytes(length)) => filled += length,
                Ok(PtyRead::Empty) if flooded && filled >= paused_at + FLOOD && now.at.elapsed() < GATHERED => {
                    paused_at = filled;
                    let input = link.map(|link| (link, Interest::READ));
                    if !matches!(poll::wait(&[input], Some(PAUSE_IN_FLOOD)), Ok([Ready { read: false, .. }])) {
                        break;
                    }
                }
                Ok(PtyRead::Empty) => break,
                Ok(PtyRead::Closed) | Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.flooded = (filled >= FLOOD).then_some(now.at);
        self.filled = filled > 0;
        if self.filled {
            self.core.output(filled, now);
        }
        self.filled || self.closed
    }

    fn after_read(&mut self, now: Now) -> Vec<Wish> {
        if std::mem::take(&mut self.filled) {
            self.core.after_output(now);
        }
        if std::mem::take(&mut self.closed) { self.apply(Event::OutputClosed, now) } else { Vec::new() }
    }

    fn write(&mut self, [ready, ..]: &[Ready; DESCRIPTORS], now: Now) {
        if self.blocked && !ready.write {
            return;
        }
        let Some(pty) = self.pty.as_ref().filter(|_| self.pause.is_none()) else { return };
        let was_blocked = std::mem::take(&mut self.blocked);
        let mut took = false;
        while let Some(input) = self.core.pty_input(now) {
            let length = if input.is_empty() { Ok(0) } else { pty.write(input) };
            if input.is_empty() || matches!(length, Ok(1..)) {
                self.core.pty_took(length.unwrap_or_default(), now);
                took = true;
                continue;
            }
            self.blocked = true;
            // Ready and yet not writable: nobody has the terminal open. The wait must not spin on it.
            if length.is_err() || (was_blocked && !took) {
                self.pause = Some(now.at + PAUSE);
            }
            return;
        }
    }

    fn apply(&mut self, event: Event, now: Now) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for effect in self.core.apply(event, now) {
            match effect {
                Effect::SetSize(size) => {
                    if let Some(Err(error)) = self.pty.as_ref().map(|pty| pty.set_size(size)) {
                        let line = format!("the terminal refused the size {size}: {error}");
                        wishes.extend(self.apply(Event::Log(line), now));
                    }
                }
                Effect::ClosePty => self.pty = None,
                Effect::ToHook(connection, line) => wishes.push(Wish::ToHook(connection, line)),
                Effect::CloseLink(reason) => wishes.push(Wish::CloseLink(reason)),
                Effect::Leave => wishes.push(Wish::Leave),
            }
        }
        wishes
    }

    fn link_output(&mut self, now: Now) -> Option<[IoSlice<'_>; 3]> {
        self.core.link_output(now)
    }

    fn link_took(&mut self, length: usize) {
        self.core.link_took(length);
    }

    fn wants_messages(&self) -> bool {
        self.core.wants_messages()
    }

    fn link_fault(&self) -> Option<&'static str> {
        self.core.link_fault()
    }

    fn is_busy(&self, now: Now) -> bool {
        self.core.is_busy(now)
    }

    fn work(&mut self, now: Now) {
        self.core.work(now);
    }

    fn timer(&self) -> Option<Instant> {
        self.core.timer()
    }

    fn deadline(&self, now: Now) -> Option<Instant> {
        self.core.deadline(now)
    }
}
