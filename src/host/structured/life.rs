//! How a structured session ends: the agent's exit, the rest of its output, and how long the host stays afterwards.

use std::time::{Duration, Instant};

use super::{Effect, Structured, error_line, take_line};
use crate::host::core::Now;
use crate::wire::v1::exit::How;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{Exit, HostEnded, InputRefusal, State};

/// Something else may hold the output open after the agent's exit; it is read for so long.
const DRAIN: Duration = Duration::from_secs(1);
/// An ended session that nobody forgets goes by itself.
const STAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) enum Phase {
    Running,
    Draining { exit: Exit, until: Instant },
    Ended { leave: Instant },
}

impl Phase {
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Running)
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Running => None,
            Self::Draining { until: at, .. } | Self::Ended { leave: at } => Some(*at),
        }
    }
}

impl Structured {
    pub(super) fn exited(&mut self, exit: Exit, now: Now, effects: &mut Vec<Effect>) {
        match self.phase {
            // Nothing ran that could have said anything.
            Phase::Running if matches!(exit.how, Some(How::NotStarted(_))) => self.end(exit, now, effects),
            Phase::Running if self.output_open => self.phase = Phase::Draining { exit, until: now.at + DRAIN },
            Phase::Running => self.end(exit, now, effects),
            // The first news counts: a program that could not be started also exits.
            Phase::Draining { .. } | Phase::Ended { .. } => {}
        }
    }

    pub(super) fn output_closed(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.output_over(now);
        if let Phase::Draining { exit, .. } = &mut self.phase {
            let exit = std::mem::take(exit);
            self.end(exit, now, effects);
        }
    }

    pub(super) fn age(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let blocking = self.blocking_hold(now.at);
        match &mut self.phase {
            Phase::Draining { until, exit } if *until <= now.at => {
                // What is still in the pipe may wait for a viewer that holds the log, for as long as it may.
                if let Some(hold) = blocking {
                    *until = hold.until + DRAIN;
                    return;
                }
                let exit = std::mem::take(exit);
                self.note("something kept the output open after the agent's exit; it was closed", now);
                self.end(exit, now, effects);
            }
            Phase::Ended { leave } if *leave <= now.at => effects.push(Effect::Leave),
            _ => {}
        }
    }

    /// The last line may have no newline.
    fn output_over(&mut self, now: Now) {
        if !std::mem::take(&mut self.output_open) {
            return;
        }
        let (mut acts, conversation) = (Vec::new(), &mut self.conversation);
        if let Some(lines) = &mut self.output {
            lines.end(|line| acts.extend(take_line(conversation, line, now)));
        }
        acts.extend(self.conversation.closed(now.millis));
        self.follow(acts, now);
    }

    fn end(&mut self, exit: Exit, now: Now, effects: &mut Vec<Effect>) {
        self.output_over(now);
        let mut said = Vec::new();
        let conversation = &mut self.conversation;
        self.error.end(|line| said.extend(error_line(conversation, line, now)));
        self.follow(said, now);
        self.phase = Phase::Ended { leave: now.at + STAY };
        self.wake = None;
        self.refuse_unwritten(InputRefusal::Ended);
        self.session.state = State::Ended.into();
        self.session.exit = Some(exit.clone());
        self.send_agent();
        let offset = self.records.ring().head();
        let ended = HostEnded { exit: Some(exit), offset: offset.0, at: now.unix };
        self.outbox.mark_control(offset, Body::Ended(ended));
        effects.push(Effect::ClosePipes);
    }
}
