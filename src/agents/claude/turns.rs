//! Beginnings, retries and ends of turns; does not know which prompt waits.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::inbound::{ModelUsage, Outcome, System, parsed};
use super::{AGENT, Claude, OLDEST};
use crate::agents::driver::Condition;
use crate::agents::event::{Made, clip, head};
use crate::agents::limits::{REQUEST_INPUT, SHORT_TEXT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentError, Retrying, StopReason, TurnEnded, Usage};

impl Claude {
    pub(super) fn system(&mut self, made: &mut Made<'_>, subtype: &str, line: System) {
        match subtype {
            "init" => self.initialised(made, line),
            "api_retry" => self.retries(made, &line),
            "status" => {
                if let Some(mode) = line.mode {
                    self.mode_is(made, mode);
                }
            }
            _ => {}
        }
    }

    /// Comes at the start of every turn: said again only when something is new.
    fn initialised(&mut self, made: &mut Made<'_>, line: System) {
        let mut started = self.started.clone();
        let short = |text: Option<String>, before: &mut String| {
            if let Some(text) = text {
                *before = clip(text, SHORT_TEXT);
            }
        };
        let list = |list: Option<crate::agents::few::Few<String>>, before: &mut Vec<String>| {
            if let Some(list) = list {
                *before = list.0.into_iter().map(|one| clip(one, SHORT_TEXT)).collect();
            }
        };
        short(line.session_id, &mut started.agent_session);
        short(line.cwd, &mut started.directory);
        short(line.model, &mut started.model);
        short(line.mode, &mut started.mode);
        short(line.claude_code_version, &mut started.agent_version);
        list(line.tools, &mut started.tools);
        list(line.slash_commands, &mut started.commands);
        if started.agent_session != self.conversation.id() {
            let other = head(&started.agent_session, 64);
            made.remark(&format!("the agent carries on another conversation than asked for: {other}"));
        }
        if started != self.started {
            self.started = started.clone();
            made.event(Kind::Started(started));
            if self.too_old() {
                let version = head(&self.started.agent_version, 64);
                made.remark(&format!("{AGENT} {version} is too old: at least {OLDEST}.0 is needed; update it"));
            }
        }
        self.works(made);
    }

    fn retries(&mut self, made: &mut Made<'_>, line: &System) {
        self.works(made);
        let status = line.error_status.unwrap_or(0.0) as u32;
        let (attempt, most) = (line.attempt.unwrap_or(0.0) as u32, line.max_retries.unwrap_or(0.0) as u32);
        let cause = head(line.error.as_deref().unwrap_or("unknown"), 200);
        let why = if status == 0 { cause } else { format!("{cause} ({status})") };
        let delay_ms = line.retry_delay_ms.unwrap_or(0.0) as u64;
        made.event(Kind::Retrying(Retrying { attempt, most, delay_ms, why: why.clone(), status }));
        let reason = format!("{why}, attempt {attempt} of {most}");
        let refused = matches!(status, 401 | 403);
        if let Some(turn) = &mut self.turn {
            turn.refused = refused;
        }
        // A refused key is tried again for minutes: somebody should learn at once that it will not help.
        self.become_condition(made, if refused { Condition::NeedsLogin(reason) } else { Condition::Retrying(reason) });
    }

    pub(super) fn result(&mut self, made: &mut Made<'_>, subtype: &str, line: Outcome<'_>) {
        let said =
            if line.errors.0.is_empty() { line.result.clone().unwrap_or_default() } else { line.errors.0.join("; ") };
        let Some(turn) = self.turn.take() else {
            // A start that failed, as with a conversation that is not there.
            if line.is_error {
                self.trouble = clip(said, SHORT_TEXT);
                made.remark(&self.trouble);
            }
            return;
        };
        self.forget_open();
        made.event(Kind::Usage(self.usage(&line)));
        let status = line.api_error_status.unwrap_or(0.0) as u32;
        let aborted = line.terminal_reason.as_deref().is_some_and(|reason| reason.starts_with("aborted"));
        let stop_reason = match (line.is_error, subtype) {
            (true, "error_during_execution") if aborted || turn.interrupted => StopReason::Cancelled,
            (_, "error_max_turns") => StopReason::MaxTurnRequests,
            (true, _) => StopReason::Error,
            (false, _) => match line.stop_reason.as_deref() {
                Some("max_tokens") => StopReason::MaxTokens,
                Some("refusal") => StopReason::Refusal,
                _ => StopReason::EndTurn,
            },
        };
        let refused = turn.refused || matches!(status, 401 | 403);
        let retryable = !refused && (status == 0 || status == 408 || status == 429 || status >= 500);
        let error = (stop_reason == StopReason::Error).then(|| AgentError {
            message: clip(said.clone(), SHORT_TEXT),
            status,
            retryable,
        });
        made.event(Kind::TurnEnded(TurnEnded {
            turn: turn.number,
            stop_reason: stop_reason.into(),
            error,
            duration_ms: line.duration_ms as u64,
            structured_output: line.structured_output.map(json).unwrap_or_default(),
        }));
        let needs_login = refused && stop_reason == StopReason::Error;
        self.become_condition(
            made,
            if needs_login { Condition::NeedsLogin(head(&said, 200)) } else { Condition::Idle },
        );
    }

    fn usage(&self, line: &Outcome<'_>) -> Usage {
        let models: BTreeMap<String, ModelUsage> = parsed(line.models).unwrap_or_default();
        let window = models.get(&self.started.model).or_else(|| models.values().next());
        Usage {
            input_tokens: line.usage.input_tokens as u64,
            output_tokens: line.usage.output_tokens as u64,
            cached_read_tokens: line.usage.cache_read_input_tokens as u64,
            cached_write_tokens: line.usage.cache_creation_input_tokens as u64,
            total_cost_micros: (line.total_cost_usd * 1e6).round() as u64,
            context_used: self.context,
            context_size: window.map_or(0, |model| model.window as u64),
        }
    }

    /// The agent is gone in the middle of a turn.
    pub(super) fn lose_turn(&mut self, made: &mut Made<'_>) {
        let Some(turn) = self.turn.take() else { return };
        let message = "the agent ended before its turn did".to_owned();
        made.event(Kind::TurnEnded(TurnEnded {
            turn: turn.number,
            stop_reason: StopReason::Gone.into(),
            error: Some(AgentError { message, status: 0, retryable: false }),
            ..TurnEnded::default()
        }));
    }
}

fn json(raw: &RawValue) -> String {
    clip(raw.get().to_owned(), REQUEST_INPUT)
}
