//! Prompts, their ends and their interruptions; does not know which prompt comes next.

use serde_json::value::RawValue;

use super::inbound::{Finished, read};
use super::trouble::Trouble;
use super::{Acp, Expects, Phase, outbound};
use crate::agents::driver::{Condition, Millis, Refused};
use crate::agents::event::{Made, head};
use crate::agents::limits::INTERRUPT;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{StopReason, TurnEnded, TurnStarted, Usage};

/// A turn that runs.
pub(super) struct Turn {
    pub(super) number: u64,
    began: Millis,
    pub(super) interrupted: Option<Interrupted>,
}

/// The agent was asked to end the turn.
pub(super) struct Interrupted {
    /// When it is late; none once that was said.
    pub(super) due: Option<Millis>,
}

impl Acp {
    pub(super) fn prompt(&mut self, made: &mut Made<'_>, id: &str, text: String) -> Result<(), Refused> {
        match &self.phase {
            Phase::Ready if self.turn.is_none() => {
                self.begin_turn(made, id);
                self.hand_over(made, &text);
            }
            // The login may have been made good outside: the conversation is asked for again, and gets the prompt.
            Phase::LoggedOut => {
                self.begin_turn(made, id);
                self.held = Some(text);
                self.open_conversation(made);
            }
            Phase::Unusable(why) => return Err(why.clone()),
            Phase::Ended => return Err(Refused::Ended),
            Phase::Ready => return Err(Refused::Busy("in a turn".to_owned())),
            _ => return Err(Refused::Busy("still starting".to_owned())),
        }
        Ok(())
    }

    fn begin_turn(&mut self, made: &mut Made<'_>, prompt_id: &str) {
        self.turns += 1;
        // Tokens are of one turn, the rest is of the conversation.
        let before = self.usage;
        self.usage =
            Usage { input_tokens: 0, output_tokens: 0, cached_read_tokens: 0, cached_write_tokens: 0, ..before };
        self.turn = Some(Turn { number: self.turns, began: made.now(), interrupted: None });
        made.event(Kind::TurnStarted(TurnStarted { turn: self.turns, prompt_id: prompt_id.to_owned() }));
    }

    /// Gives the turn's text to the agent.
    pub(super) fn hand_over(&mut self, made: &mut Made<'_>, text: &str) {
        match self.expect(made, Expects::Turn, None) {
            Ok(id) => {
                made.write(outbound::prompt(id, &self.session, text));
                self.become_condition(made, Condition::Working(String::new()));
            }
            Err(why) => {
                self.end_turn(made, Err(Trouble::plain(&why.to_string())));
                self.become_condition(made, Condition::Idle);
            }
        }
    }

    pub(super) fn interrupt(&mut self, made: &mut Made<'_>) -> Result<(), Refused> {
        if self.turn.is_none() {
            return Err(Refused::NotWorking);
        }
        if self.held.take().is_some() {
            self.end_turn(made, Ok(StopReason::Cancelled));
            return Ok(());
        }
        made.write(outbound::cancel(&self.session));
        self.close_all(made, "the turn was interrupted", false);
        let due = Some(made.now().saturating_add(INTERRUPT));
        if let Some(turn) = &mut self.turn {
            turn.interrupted = Some(Interrupted { due });
        }
        Ok(())
    }

    /// The agent has answered the prompt.
    pub(super) fn finished(&mut self, made: &mut Made<'_>, result: Option<&RawValue>) {
        let finished: Finished = read(result).unwrap_or_default();
        if let Some(tokens) = finished.usage {
            self.usage.input_tokens = tokens.input_tokens;
            self.usage.output_tokens = tokens.output_tokens;
            self.usage.cached_read_tokens = tokens.cached_read_tokens;
            self.usage.cached_write_tokens = tokens.cached_write_tokens;
            made.event(Kind::Usage(self.usage));
        }
        let reason = match finished.stop_reason.as_str() {
            "end_turn" => StopReason::EndTurn,
            "max_tokens" => StopReason::MaxTokens,
            "max_turn_requests" => StopReason::MaxTurnRequests,
            "refusal" => StopReason::Refusal,
            "cancelled" => StopReason::Cancelled,
            _ => StopReason::Unspecified,
        };
        self.end_turn(made, Ok(reason));
        self.become_condition(made, Condition::Idle);
    }

    /// The agent has answered the prompt with an error.
    pub(super) fn failed(&mut self, made: &mut Made<'_>, trouble: Trouble) {
        let after = match trouble.is_login {
            true => Condition::NeedsLogin(format!("{}{}", head(&trouble.message, 300), self.logins)),
            false => Condition::Idle,
        };
        self.end_turn(made, Err(trouble));
        self.become_condition(made, after);
    }

    pub(super) fn end_turn(&mut self, made: &mut Made<'_>, end: Result<StopReason, Trouble>) {
        let is_gone = matches!(end, Ok(StopReason::Gone));
        self.close_all(made, "its turn has ended", is_gone);
        self.calls.clear();
        let Some(turn) = self.turn.take() else { return };
        let (reason, error) = match end {
            Ok(reason) => (reason, None),
            Err(trouble) => (StopReason::Error, Some(trouble.event())),
        };
        made.event(Kind::TurnEnded(TurnEnded {
            turn: turn.number,
            stop_reason: reason.into(),
            error,
            duration_ms: made.now().saturating_sub(turn.began),
            structured_output: String::new(),
        }));
    }
}
