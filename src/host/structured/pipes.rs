//! The pipe side of a structured session: moves bytes between three pipes and the core. Decides nothing.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::{Effect, Structured};
use crate::host::core::{Event, Now};
use crate::host::side::{DESCRIPTORS, Side, Wish};
use crate::sys::pipe::{Pipe, PipeRead};
use crate::sys::poll::{Interest, Ready};

/// What is read of a pipe at a time: on the stack, where the link's reader has as much, so that an idle host pays for it once.
const READ: usize = 16 * 1024;
/// Reads of one turn, so that the link has its turn beside an agent that never pauses.
const TURN: usize = 64;

/// A structured session at work.
pub(in crate::host) struct Pipes {
    core: Structured,
    input: Option<Pipe>,
    output: Option<Pipe>,
    error: Option<Pipe>,
    /// The agent's input was full at the last write.
    blocked: bool,
    wishes: Vec<Wish>,
}

impl Pipes {
    pub(in crate::host) fn new(core: Structured, [input, output, error]: [Pipe; 3]) -> Self {
        let (input, output, error) = (Some(input), Some(output), Some(error));
        Self { core, input, output, error, blocked: false, wishes: Vec::new() }
    }

    /// Reads one pipe; whether it is still open.
    fn drain(
        &mut self,
        pipe: &Pipe,
        now: Now,
        wants: fn(&Structured, Now) -> bool,
        take: fn(&mut Structured, &[u8], Now),
    ) -> bool {
        let mut space = [0; READ];
        for _ in 0..TURN {
            if !wants(&self.core, now) {
                break;
            }
            match pipe.read(&mut space) {
                Ok(PipeRead::Bytes(length)) => {
                    take(&mut self.core, space.get(..length).unwrap_or_default(), now);
                    if length < READ {
                        break;
                    }
                }
                Ok(PipeRead::Empty) => break,
                Ok(PipeRead::Closed) | Err(_) => return false,
            }
        }
        true
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::ClosePipes => (self.input, self.output, self.error) = (None, None, None),
                Effect::CloseLink(reason) => self.wishes.push(Wish::CloseLink(reason)),
                Effect::Leave => self.wishes.push(Wish::Leave),
            }
        }
    }
}

impl Side for Pipes {
    fn interests(&mut self, now: Now) -> [Interest; DESCRIPTORS] {
        let read = |read| Interest { read, write: false };
        let (output, error) = (self.core.wants_output(now), self.core.wants_error(now));
        [Interest { read: false, write: self.blocked }, read(output), read(error)]
    }

    fn descriptors(&self) -> [Option<BorrowedFd<'_>>; DESCRIPTORS] {
        [&self.input, &self.output, &self.error].map(|pipe| pipe.as_ref().map(AsFd::as_fd))
    }

    fn pause(&mut self, _: Now) -> Option<Instant> {
        None
    }

    fn read(&mut self, [_, output, error]: &[Ready; DESCRIPTORS], _: Option<BorrowedFd<'_>>, now: Now) -> bool {
        if error.read
            && let Some(pipe) = self.error.take()
            && self.drain(&pipe, now, Structured::wants_error, Structured::error_bytes)
        {
            self.error = Some(pipe);
        }
        if output.read
            && let Some(pipe) = self.output.take()
        {
            if self.drain(&pipe, now, Structured::wants_output, Structured::output_bytes) {
                self.output = Some(pipe);
            } else {
                let effects = self.core.apply(Event::OutputClosed, now);
                self.carry_out(effects);
            }
        }
        output.read || error.read
    }

    fn after_read(&mut self, _: Now) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    fn write(&mut self, [input, ..]: &[Ready; DESCRIPTORS], now: Now) {
        if self.blocked && !input.write {
            return;
        }
        self.blocked = false;
        let Some(pipe) = &self.input else { return };
        while let Some(bytes) = self.core.agent_input(now) {
            match pipe.write(bytes) {
                Ok(0) => {
                    self.blocked = true;
                    return;
                }
                Ok(length) => self.core.agent_took(length, now),
                // It reads no more; what that means is told by its end.
                Err(error) => {
                    self.input = None;
                    self.core.input_broke(&error.to_string(), now);
                    return;
                }
            }
        }
        if self.core.closes_input() {
            self.input = None;
        }
    }

    fn apply(&mut self, event: Event, now: Now) -> Vec<Wish> {
        let effects = self.core.apply(event, now);
        self.carry_out(effects);
        std::mem::take(&mut self.wishes)
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

    fn is_busy(&self, _: Now) -> bool {
        false
    }

    fn work(&mut self, _: Now) {}

    fn timer(&self) -> Option<Instant> {
        self.core.timer()
    }

    fn deadline(&self, _: Now) -> Option<Instant> {
        self.core.timer()
    }
}
