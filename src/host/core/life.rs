//! How a session ends: the agent's exit, the rest of its output, and how long the host stays afterwards.

use std::time::{Duration, Instant};

use super::{Core, Effect, Now};
use crate::wire::v1::exit::How;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{Exit, HostEnded, InputRefusal, InputRefused, State};

/// Something else may hold the terminal open after the agent's exit; its output is taken for so long.
const DRAIN: Duration = Duration::from_secs(1);
/// A terminal that nobody has open may be opened again while the agent lives.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// An ended session that nobody forgets goes by itself.
const STAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) enum Phase {
    Running { look_again: Option<Instant> },
    Draining { exit: Exit, until: Instant },
    Ended { leave: Instant },
}

impl Phase {
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// Whether reading the terminal can bring something.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match self {
            Self::Running { look_again } => look_again.is_none_or(|at| at <= now),
            Self::Draining { .. } => true,
            Self::Ended { .. } => false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Running { look_again } => *look_again,
            Self::Draining { until, .. } => Some(*until),
            Self::Ended { leave } => Some(*leave),
        }
    }
}

impl Core {
    pub(super) fn exited(&mut self, exit: Exit, now: Now, effects: &mut Vec<Effect>) {
        match self.phase {
            // Nothing ran that could have said anything.
            Phase::Running { .. } if matches!(exit.how, Some(How::NotStarted(_))) => self.end(exit, now, effects),
            Phase::Running { look_again: Some(_) } => self.end(exit, now, effects),
            Phase::Running { look_again: None } => self.phase = Phase::Draining { exit, until: now.at + DRAIN },
            // The first news counts: a program that could not be started also exits.
            Phase::Draining { .. } | Phase::Ended { .. } => {}
        }
    }

    pub(super) fn pty_closed(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Running { look_again } => *look_again = Some(now.at + LOOK_AGAIN),
            Phase::Draining { exit, .. } => {
                let exit = std::mem::take(exit);
                self.end(exit, now, effects);
            }
            Phase::Ended { .. } => {}
        }
    }

    pub(super) fn age(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Draining { until, exit } if *until <= now.at => {
                // What is still in the terminal may wait for a viewer that holds the ring, for as long as it may.
                if let Some(hold) = self.hold.as_ref().filter(|hold| hold.blocks) {
                    *until = hold.until + DRAIN;
                    return;
                }
                let exit = std::mem::take(exit);
                self.note("something kept the terminal open after the agent's exit; it was hung up");
                self.end(exit, now, effects);
            }
            Phase::Running { look_again } if look_again.is_some_and(|at| at <= now.at) => *look_again = None,
            Phase::Ended { leave } if *leave <= now.at => effects.push(Effect::Leave),
            _ => {}
        }
    }

    fn end(&mut self, exit: Exit, now: Now, effects: &mut Vec<Effect>) {
        self.sieve.finish(&mut self.sieved);
        self.batch_at = self.ring.head();
        self.scratch = Vec::new();
        self.sieved.assemble(&[], &mut self.scratch);
        self.ring.push(&self.scratch);
        self.settler.rough(self.ring.head());
        self.outbox.put_acks();
        for receipt in self.input.end() {
            self.outbox.control(Body::Refused(InputRefused {
                writer: bytes::Bytes::copy_from_slice(receipt.writer.as_bytes()),
                accepted: receipt.upto,
                why: InputRefusal::Ended.into(),
                viewer: receipt.viewer,
            }));
        }
        self.phase = Phase::Ended { leave: now.at + STAY };
        self.after_output(now);
        self.settler.settle(&self.ring);
        self.jobs.finish();
        self.session.state = State::Ended.into();
        self.session.exit = Some(exit.clone());
        self.agent_ended(now);
        let offset = self.ring.head();
        let ended = HostEnded { exit: Some(exit), offset: offset.0, at: now.unix };
        self.outbox.mark_control(offset, Body::Ended(ended));
        effects.push(Effect::ClosePty);
    }
}
