//! The verbs of structured sessions over ssh: a question to the router, and what comes of it as text. Does not know how words came in.

use std::future::poll_fn;

use super::out::Status;
use super::run::{Failure, Work, finished};
use crate::base::{Offset, SessionId};
use crate::gateway::SessionError;
use crate::gateway::router::SessionHandle;
use crate::gateway::session::{AttachRequest, Attachment, ViewerItem};
use crate::gateway::verbs::{
    AgentVerb, DecideVerb, EventsVerb, From, Outcome, PromptVerb, Step, TurnWatch, approvals_json, approvals_text,
    choose, event_line, question_answers, rules_text,
};
use crate::policy::Verb as Right;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{self, Verdict, ViewerMode, agent_reply};

impl Work {
    pub(super) async fn agent(&self, verb: AgentVerb) -> Result<Status, Failure> {
        let router = self.gateway.router();
        let find = |session: &crate::base::Name| router.find(&self.grant, session.as_str(), Right::View);
        match verb {
            AgentVerb::Prompt(verb) => return self.prompt(verb).await,
            AgentVerb::Events(verb) => return self.events(&verb).await,
            AgentVerb::Whole { session, number, raw } => {
                let mut event = find(&session)?.fetch_event(number).await?;
                if !raw {
                    event.raw.clear();
                }
                self.out.text(&event_line(number, event)).await?;
            }
            AgentVerb::Cancel { session, prompt } => {
                self.tell(find(&session)?, Command::CancelPrompt(v1::CancelPrompt { id: prompt })).await?;
            }
            AgentVerb::Acp(verb) => return self.acp(verb).await,
            AgentVerb::Approvals { json } => {
                let approvals = router.approvals(&self.grant);
                self.out.text(&if json { approvals_json(&approvals) } else { approvals_text(&approvals) }).await?;
            }
            AgentVerb::Decide(verb) => self.decide(verb).await?,
            AgentVerb::Answer { request, answers } => self.answer(&request, &answers).await?,
            AgentVerb::Interrupt { session } => {
                self.tell(find(&session)?, Command::Interrupt(v1::Interrupt {})).await?;
            }
            AgentVerb::Eof { session } => {
                self.tell(find(&session)?, Command::CloseInput(v1::CloseInput {})).await?;
            }
            AgentVerb::Mode { session, mode } => {
                self.tell(find(&session)?, Command::SetMode(v1::SetAgentMode { mode })).await?;
            }
            AgentVerb::Model { session, model } => {
                self.tell(find(&session)?, Command::SetModel(v1::SetModel { model })).await?;
            }
            AgentVerb::Revoke { session, rule } => {
                self.tell(find(&session)?, Command::RevokeRule(v1::RevokeRule { id: rule })).await?;
            }
            AgentVerb::Rules { session } => {
                let rules = find(&session)?.agent_summary().map(|agent| agent.rules).unwrap_or_default();
                self.out.text(&rules_text(&rules)).await?;
            }
        }
        Ok(Status::DONE)
    }

    /// Begun, it is finished, also when the client is gone.
    async fn tell(&self, session: SessionHandle, command: Command) -> Result<v1::AgentReply, Failure> {
        Ok(finished(async move { session.command(command).await }).await?)
    }

    pub(super) async fn decide(&self, verb: DecideVerb) -> Result<(), Failure> {
        let (session, approval) = self.gateway.router().find_request(&self.grant, &verb.request)?;
        let Some(asked) = approval.permission else {
            let message = format!("{} is a question: answer {0} …", verb.request);
            return Err(SessionError::Refused { code: "no-such-option", message }.into());
        };
        let option = choose(&asked, verb.allow, verb.always)
            .map_err(|message| SessionError::Refused { code: "no-such-option", message })?;
        let (id, digest, reason) = (asked.id, asked.digest, verb.reason);
        self.tell(session, Command::AnswerPermission(v1::AnswerPermission { id, digest, option, reason })).await?;
        Ok(())
    }

    async fn answer(&self, request: &str, words: &[String]) -> Result<(), Failure> {
        let (session, approval) = self.gateway.router().find_request(&self.grant, request)?;
        let Some(asked) = approval.question else {
            let message = format!("{request} is no question: approve {request}, or deny {request}");
            return Err(SessionError::Refused { code: "bad-answer", message }.into());
        };
        let answers =
            question_answers(&asked, words).map_err(|message| SessionError::Refused { code: "bad-answer", message })?;
        let (id, digest) = (asked.id, asked.digest);
        let answer = v1::AnswerQuestion { id, digest, answers, ..v1::AnswerQuestion::default() };
        self.tell(session, Command::AnswerQuestion(answer)).await?;
        Ok(())
    }

    async fn prompt(&self, verb: PromptVerb) -> Result<Status, Failure> {
        let session = self.gateway.router().find(&self.grant, verb.session.as_str(), Right::Prompt)?;
        let id = verb.id.clone().unwrap_or_else(|| SessionId::from_bytes(crate::gateway::random()).to_string());
        let prompt = Command::Prompt(v1::Prompt { id: id.clone(), text: verb.text });
        if !verb.wait {
            self.tell(session, prompt).await?;
            self.out.text(&format!("{id}\n")).await?;
            return Ok(Status::DONE);
        }
        // Looked at first: nothing of the answer is missed.
        let (attached, mut attachment) = session.attach(request(From::Live, false)).await?;
        let reply = self.tell(session.clone(), prompt).await?;
        let mut watch = TurnWatch::new(&id);
        let state = attached.agent.and_then(|agent| agent.state).unwrap_or_default();
        let mut first: Vec<Step> = watch.notice(&state).into_iter().collect();
        if let (Some(_), Some(agent_reply::Result::Prompt(known))) = (&verb.id, &reply.result) {
            first.extend(watch.known(known));
        }
        for step in first {
            if let Some(status) = self.step(step, verb.json).await? {
                return Ok(status);
            }
        }
        let log = attached.log_id;
        loop {
            match poll_fn(|context| attachment.poll_item(context)).await {
                ViewerItem::AgentEvent { number, event } => {
                    for step in self.heard(&session, &mut watch, number, *event, verb.json).await? {
                        if let Some(status) = self.step(step, verb.json).await? {
                            return Ok(status);
                        }
                    }
                }
                // The client takes less than the agent says: what the host holds is still to be had.
                ViewerItem::Detached { reason: "too-slow", offset, .. } => {
                    let (again, resumed) = session.attach(request(From::Offset(offset.0), false)).await?;
                    if again.log_id != log {
                        let why = "the session was restarted; nobody knows what became of the prompt";
                        return Ok(self.complain(why, Status::FAILED).await);
                    }
                    let lost = again.lost_to.saturating_sub(again.lost_from);
                    if lost > 0 {
                        watch.miss();
                        self.say(&format!("{lost} events are gone")).await?;
                    }
                    attachment = resumed;
                }
                item => {
                    if let Some(status) = self.over(item).await {
                        return Ok(status);
                    }
                }
            }
        }
    }

    /// What an event means for the prompt; what came cut of its answer is fetched.
    async fn heard(
        &self,
        session: &SessionHandle,
        watch: &mut TurnWatch,
        number: u64,
        mut event: v1::AgentEvent,
        json: bool,
    ) -> Result<Vec<Step>, Failure> {
        if !json && watch.wants_whole(&event) {
            match session.fetch_event(number).await {
                Ok(whole) => event = whole,
                Err(why) => self.say(&format!("event {number}: {why}")).await?,
            }
        }
        let steps = watch.take(&event);
        if json && (watch.concerns(&event) || !steps.is_empty()) {
            self.out.text(&event_line(number, event)).await?;
        }
        Ok(steps)
    }

    async fn step(&self, step: Step, json: bool) -> Result<Option<Status>, Failure> {
        match step {
            Step::Text(text) if !json => self.out.text(&text).await?,
            Step::Note(note) if !json => self.say(&note).await?,
            Step::Text(_) | Step::Note(_) => {}
            Step::Over(Outcome::Incomplete) if !json => return Ok(Some(Status::LOST)),
            Step::Over(Outcome::Finished | Outcome::Incomplete) => return Ok(Some(Status::DONE)),
            Step::Over(Outcome::Failed(why)) => return Ok(Some(self.complain(&why, Status::FAILED).await)),
        }
        Ok(None)
    }

    async fn events(&self, verb: &EventsVerb) -> Result<Status, Failure> {
        let session = self.gateway.router().find(&self.grant, verb.session.as_str(), Right::View)?;
        let (attached, attachment) = session.attach(request(verb.from, verb.raw)).await?;
        let lost = attached.lost_to.saturating_sub(attached.lost_from);
        match (attached.verdict(), verb.from) {
            (Verdict::Reset, From::Offset(number)) => {
                let why = format!("event {number} is beyond what this session has said; leave out --from");
                return Ok(self.complain(&why, Status::FAILED).await);
            }
            _ if lost > 0 => self.say(&format!("{lost} events before {} are gone", attached.lost_to)).await?,
            _ => {}
        }
        let status = self.print_events(attachment).await?;
        Ok(if lost > 0 && verb.from != From::Start { Status::LOST } else { status })
    }

    async fn print_events(&self, mut attachment: Attachment) -> Result<Status, Failure> {
        loop {
            match poll_fn(|context| attachment.poll_item(context)).await {
                ViewerItem::AgentEvent { number, event } => self.out.text(&event_line(number, *event)).await?,
                ViewerItem::Ended { .. } => return Ok(Status::DONE),
                item => {
                    if let Some(status) = self.over(item).await {
                        return Ok(status);
                    }
                }
            }
        }
    }

    /// What ends a look at events.
    async fn over(&self, item: ViewerItem) -> Option<Status> {
        match item {
            ViewerItem::Ended { exit, .. } => {
                Some(self.complain("the agent has ended; `restart` starts it again", Status::of_failed(&exit)).await)
            }
            ViewerItem::Detached { reason, resumable, offset } => {
                let text = format!("detached before event {offset}: {reason}");
                Some(self.complain(&text, if resumable { Status::AGAIN } else { Status::FAILED }).await)
            }
            _ => None,
        }
    }
}

pub(super) fn request(from: From, raw_lines: bool) -> AttachRequest {
    AttachRequest {
        mode: ViewerMode::Events,
        size: None,
        hidden: false,
        view: false,
        cursor: None,
        from_start: from == From::Start,
        from_offset: match from {
            From::Offset(number) => Some(Offset(number)),
            From::Live | From::Start => None,
        },
        history: 0,
        writer: None,
        door: "ssh",
        appearance: v1::Appearance::default(),
        raw_lines,
    }
}
