//! How long a turn may take, and how a session comes to an orderly end; kills nothing.

use super::{Act, Conversation};
use crate::agents::driver::{Command, Condition, Effects, Millis, Refused};
use crate::agents::event::Made;
use crate::agents::limits::{FLUSH, INTERRUPT};
use crate::wire::v1::AgentError;
use crate::wire::v1::agent_event::Kind;

/// The time of one turn. It stands while people are asked.
#[derive(Debug, Default)]
pub(super) struct Clock {
    left: Option<u64>,
    due: Option<Millis>,
    /// When an interrupted turn is overdue.
    interrupted: Option<Millis>,
    is_late: bool,
    /// The turn came to its limit: how many seconds that were.
    limit: Option<u64>,
}

/// Where a stop has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// The turn was interrupted; not longer than this.
    Interrupting(Millis),
    /// The agent writes its history; not longer than this.
    Flushing(Millis),
    Closed,
}

impl Clock {
    pub(super) fn started(now: Millis, patience: Option<u64>) -> Self {
        Self { left: patience, due: patience.map(|wait| now.saturating_add(wait)), ..Self::default() }
    }

    /// Runs or stands from now on.
    pub(super) fn runs(&mut self, now: Millis, runs: bool) {
        match (runs, self.due, self.left) {
            (false, Some(due), _) => (self.left, self.due) = (Some(due.saturating_sub(now)), None),
            (true, None, Some(left)) => self.due = Some(now.saturating_add(left)),
            _ => {}
        }
    }

    pub(super) fn interrupted(&mut self, now: Millis) {
        (self.left, self.due) = (None, None);
        self.interrupted.get_or_insert(now.saturating_add(INTERRUPT));
    }

    pub(super) fn complaint(&self) -> Option<String> {
        let seconds = INTERRUPT / 1000;
        self.is_late.then(|| format!("did not end its turn within {seconds} s of the interrupt; kill or restart it"))
    }

    /// Why the turn was cancelled, where nobody asked for that.
    pub(super) fn verdict(&self) -> Option<AgentError> {
        let seconds = self.limit?;
        let message = format!("the turn worked for longer than {seconds} s: turn_timeout");
        Some(AgentError { message, ..AgentError::default() })
    }

    fn wake(&self) -> Option<Millis> {
        [self.due, self.interrupted.filter(|_| !self.is_late)].into_iter().flatten().min()
    }
}

impl Stop {
    pub(super) fn is_begun(&self) -> bool {
        *self != Self::No
    }

    pub(super) fn turn_ended(&mut self, now: Millis) {
        if matches!(self, Self::Interrupting(_)) {
            *self = Self::Flushing(now.saturating_add(FLUSH));
        }
    }

    fn wake(&self) -> Option<Millis> {
        match self {
            Self::Interrupting(due) | Self::Flushing(due) => Some(*due),
            Self::No | Self::Closed => None,
        }
    }
}

impl Conversation {
    /// An orderly end: the turn is interrupted, the agent gets time to write its history, then its input closes. What
    /// waits is cancelled. Whoever kills it does so after this, when the agent has not ended by itself.
    pub fn stop(&mut self, now: Millis) -> Vec<Act> {
        if self.stop.is_begun() {
            return Vec::new();
        }
        let mut made = Made::new(now, None);
        for state in self.prompts.cancel_all() {
            made.event(Kind::Prompt(state));
        }
        let mut effects = made.done();
        match self.driver.command(now, Command::Interrupt) {
            Ok(interrupt) => {
                self.stop = Stop::Interrupting(now.saturating_add(INTERRUPT));
                self.clock.interrupted(now);
                effects.extend(interrupt);
            }
            Err(_) => self.stop = Stop::Flushing(now.saturating_add(FLUSH)),
        }
        self.follow(now, effects)
    }

    /// Nothing more is written to a raw agent, which goes on until it ends by itself. Again: as it is.
    pub(super) fn close_input(&mut self, now: Millis) -> Result<Effects, Refused> {
        match self.condition {
            Condition::Ended(_) => Err(Refused::Ended),
            _ if !self.is_raw() => Err(Refused::Unsupported { agent: "this agent", what: "bare input: kill ends it" }),
            _ => {
                self.stop = Stop::Closed;
                Ok(self.driver.stop(now))
            }
        }
    }

    /// The time that `wake` named has come.
    pub fn tick(&mut self, now: Millis) -> Vec<Act> {
        let mut effects = self.driver.tick(now);
        let mut made = Made::new(now, None);
        for request in self.requests.overdue(now) {
            effects.extend(self.request_is_overdue(now, &request));
        }
        if self.clock.due.is_some_and(|due| due <= now) {
            let seconds = self.patience.turn.unwrap_or(0) / 1000;
            self.clock.limit = Some(seconds);
            made.remark(&format!("the turn has worked for {seconds} s, which is its limit: it is interrupted"));
            self.clock.interrupted(now);
            effects.extend(made.done());
            effects.extend(self.driver.command(now, Command::Interrupt).unwrap_or_default());
        }
        if self.clock.interrupted.is_some_and(|due| due <= now) {
            self.clock.is_late = true;
        }
        if self.stop.wake().is_some_and(|due| due <= now) {
            self.stop = Stop::Closed;
            effects.extend(self.driver.stop(now));
        }
        self.follow(now, effects)
    }

    /// When `tick` is wanted next.
    pub fn wake(&self) -> Option<Millis> {
        if matches!(self.condition, Condition::Ended(_)) {
            return None;
        }
        let times = [self.driver.wake(), self.requests.wake(), self.clock.wake(), self.stop.wake()];
        times.into_iter().flatten().min()
    }
}
