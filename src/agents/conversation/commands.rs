//! Clients' commands to a session and their answers; does not know whether somebody may give them.

use super::{Act, Conversation};
use crate::agents::driver::{Command, Condition, Effects, Millis, Refused};
use crate::agents::event::{Made, head};
use crate::wire::v1::agent_command::Command as Wanted;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::agent_reply::Result as Answer;
use crate::wire::v1::{
    AgentCommand, AgentDone, AgentRefusal, AgentReply, CancelPrompt, Prompt, PromptPhase, PromptState, RevokeRule,
    RuleRemoved,
};

/// A command that was taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Of a prompt: where it is now.
    Prompt(PromptState),
    /// Of all others: done, or on its way to the agent; what follows comes as events.
    Done,
}

impl From<Reply> for AgentReply {
    fn from(reply: Reply) -> Self {
        Self {
            result: Some(match reply {
                Reply::Prompt(state) => Answer::Prompt(state),
                Reply::Done => Answer::Done(AgentDone {}),
            }),
        }
    }
}

/// A refusal for the wire.
pub fn refusal(why: &Refused) -> AgentReply {
    let (by, option) = match why {
        Refused::AlreadyResolved { by, option, .. } => (by.clone(), option.clone()),
        _ => (String::new(), String::new()),
    };
    let refusal = AgentRefusal {
        code: why.code().to_owned(),
        message: why.to_string(),
        retryable: why.is_retryable(),
        by,
        option,
    };
    AgentReply { result: Some(Answer::Refusal(refusal)) }
}

impl Conversation {
    /// What somebody wants, who may. Refused: nothing has changed, nothing is said to others.
    pub fn command(&mut self, now: Millis, command: AgentCommand) -> Result<(Reply, Vec<Act>), Refused> {
        let who = head(&command.who, 200);
        let Some(wanted) = command.command else {
            return Err(Refused::Unsupported { agent: "this gateway", what: "such a command" });
        };
        let effects = match wanted {
            Wanted::Prompt(prompt) => return self.prompt(now, &who, prompt),
            Wanted::CancelPrompt(CancelPrompt { id }) => {
                let was = self.prompts.state(&id).map(|state| state.phase());
                let state = self.prompts.cancel(&id)?;
                let mut made = Made::new(now, None);
                if was != Some(PromptPhase::Cancelled) {
                    made.event(Kind::Prompt(state.clone()));
                }
                return Ok((Reply::Prompt(state), self.follow(now, made.done())));
            }
            Wanted::AnswerPermission(answer) => self.answer_permission(now, &who, answer)?,
            Wanted::AnswerQuestion(answer) => self.answer_question(now, &who, answer)?,
            Wanted::Interrupt(_) => {
                let effects = self.driver.command(now, Command::Interrupt)?;
                self.clock.interrupted(now);
                effects
            }
            Wanted::SetMode(mode) => self.driver.command(now, Command::SetMode(mode.mode))?,
            Wanted::SetModel(model) => self.driver.command(now, Command::SetModel(model.model))?,
            Wanted::RevokeRule(rule) => self.revoke(now, who, &rule)?,
            Wanted::CloseInput(_) => self.close_input(now)?,
        };
        Ok((Reply::Done, self.follow(now, effects)))
    }

    fn prompt(&mut self, now: Millis, who: &str, prompt: Prompt) -> Result<(Reply, Vec<Act>), Refused> {
        if let Some(state) = self.prompts.seen(&prompt)? {
            return Ok((Reply::Prompt(state), Vec::new()));
        }
        match (&self.condition, self.stop.is_begun()) {
            (Condition::Ended(_), _) => return Err(Refused::Ended),
            (_, true) if self.is_raw() => return Err(Refused::InputClosed),
            (_, true) => return Err(Refused::Ended),
            (_, false) => {}
        }
        let id = prompt.id.clone();
        self.prompts.accept(prompt, who)?;
        let accepted = PromptState { id: id.clone(), phase: PromptPhase::Accepted.into(), ..PromptState::default() };
        let mut made = Made::new(now, None);
        made.event(Kind::Prompt(accepted));
        let mut acts = self.follow(now, made.done());
        // A new prompt is also a new attempt where a login was missing; the queue alone is not.
        if self.condition.takes_prompt() {
            let effects = self.hand_over(now);
            acts.extend(self.follow(now, effects));
        }
        let state = self.prompts.state(&id).unwrap_or_default();
        if state.phase() == PromptPhase::Queued {
            let mut made = Made::new(now, None);
            made.event(Kind::Prompt(state.clone()));
            acts.extend(self.follow(now, made.done()));
        }
        Ok((Reply::Prompt(state), acts))
    }

    fn revoke(&mut self, now: Millis, by: String, revoked: &RevokeRule) -> Result<Effects, Refused> {
        let place = self.rules.iter().position(|(rule, _)| rule.id == revoked.id);
        let place = place.ok_or_else(|| Refused::NoSuchRule(head(&revoked.id, 64)))?;
        let (rule, _) = self.rules.remove(place);
        let mut made = Made::new(now, None);
        made.event(Kind::RuleRemoved(RuleRemoved { id: rule.id, by }));
        Ok(made.done())
    }
}
