//! Who holds an agent's output back: a viewer that must get every byte of a bare program, for as long as the gateway says so, and
//! the agent itself that leaves unread what its driver answers. Decides when the pipes are read; does not read them.

use std::time::{Duration, Instant};

use super::{Structured, WayIn};
use crate::agents::limits::{EVENT_OUT, UNREAD};
use crate::base::{HOLD, Offset};
use crate::host::core::Now;

/// What may come at once on top of what is kept: a read with its record, a prompt's events.
const MARGIN: usize = 2 * EVENT_OUT;

/// What the log must not give up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    from: Offset,
    pub(super) until: Instant,
}

impl Structured {
    /// From this offset on for so long; no time ends it.
    pub(super) fn set_hold(&mut self, from: Offset, time: Duration, now: Now) {
        let until = now.at + time.min(HOLD);
        self.hold = (!time.is_zero() && self.conversation.is_raw()).then_some(Hold { from, until });
    }

    /// The hold for which the agent has to wait, if so.
    pub(super) fn blocking_hold(&self, at: Instant) -> Option<Hold> {
        let ring = self.records.ring();
        let most = ring.capacity().saturating_sub(MARGIN.min(ring.capacity() / 2));
        let kept = |hold: &Hold| ring.head().since(hold.from.max(ring.tail()));
        self.hold.filter(|hold| hold.until > at && kept(hold) >= most as u64)
    }

    /// Whether the agent's output is to be read now: each line may be answered, so it waits while answers are not taken. What is
    /// about to end gets no answers.
    pub(super) fn wants_output(&self, now: Now) -> bool {
        let waits = self.answers() && self.input.length() >= UNREAD;
        self.wants_error(now) && !waits
    }

    /// Whether its standard error is: nothing is answered to that.
    pub(super) fn wants_error(&self, now: Now) -> bool {
        self.blocking_hold(now.at).is_none()
    }

    /// Whether anything more is said to the agent.
    pub(super) fn answers(&self) -> bool {
        self.way_in == WayIn::Open && self.phase.is_running()
    }

    /// Tells people why nothing comes any more, once for each time that everything had been taken.
    pub(super) fn mind_backlog(&mut self, now: Now) {
        if self.input.is_empty() {
            self.is_behind = false;
        } else if self.input.length() >= UNREAD && !std::mem::replace(&mut self.is_behind, true) {
            self.note(
                "the agent does not read what it is answered: its output waits until it does; kill it if it hangs",
                now,
            );
        }
    }
}
