//! What may be asked of agents, by whom, and what of it is written down. Knows no door.

use super::{Router, SessionHandle, may};
use crate::audit::{Entry, Event, Field};
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::session::Session;
use crate::gateway::verbs::{NotOpen, find_request};
use crate::policy::Verb;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{self, AgentReply};

impl Router {
    /// Everything that agents wait for in the sessions that this grant may see.
    pub(crate) fn approvals(&self, grant: &LiveGrant) -> Vec<v1::Approval> {
        self.seen_by(grant).iter().flat_map(waiting).collect()
    }

    /// What became of the latest that are over there.
    pub(crate) fn closed_requests(&self, grant: &LiveGrant) -> Vec<v1::ClosedRequest> {
        let closed = |session: &Session| session.agent_summary().map(|agent| agent.closed).unwrap_or_default();
        self.seen_by(grant).iter().flat_map(closed).collect()
    }

    fn seen_by(&self, grant: &LiveGrant) -> Vec<Session> {
        let mut sessions: Vec<Session> =
            self.all().into_iter().filter(|session| may(grant, Verb::List, session).is_ok()).collect();
        sessions.sort_by_key(|session| session.summary().created);
        sessions
    }

    /// The session in which this request waits, by the request's id or its beginning.
    pub(crate) fn find_request(
        &self,
        grant: &LiveGrant,
        id: &str,
    ) -> Result<(SessionHandle, v1::Approval), SessionError> {
        let approval = find_request(&self.approvals(grant), &self.closed_requests(grant), id).map_err(not_open)?;
        Ok((self.find(grant, &approval.session, Verb::View)?, approval))
    }
}

fn not_open(why: NotOpen) -> SessionError {
    let message = why.to_string();
    match why {
        NotOpen::Unknown(_) | NotOpen::Ambiguous(_) => SessionError::Refused { code: "no-such-request", message },
        NotOpen::Resolved { .. } => SessionError::Refused { code: "already-resolved", message },
        NotOpen::Expired { .. } => SessionError::Refused { code: "expired", message },
    }
}

fn waiting(session: &Session) -> Vec<v1::Approval> {
    let name = session.summary().name;
    let Some(agent) = session.agent_summary().filter(|_| !session.has_ended()) else { return Vec::new() };
    let approval = || v1::Approval { session: name.clone(), ..v1::Approval::default() };
    let permissions = agent.permissions.into_iter().map(|one| v1::Approval { permission: Some(one), ..approval() });
    let questions = agent.questions.into_iter().map(|one| v1::Approval { question: Some(one), ..approval() });
    permissions.chain(questions).collect()
}

impl SessionHandle {
    /// Whether it speaks in events.
    pub(crate) fn is_structured(&self) -> bool {
        self.session.is_structured()
    }

    /// Whether its agent is a bare program, to whose input clients write themselves.
    pub(crate) fn is_raw(&self) -> bool {
        self.session.is_raw()
    }

    /// Whether its agent's requests may be approved.
    pub(crate) fn may_approve(&self) -> bool {
        may(&self.grant, Verb::Approve, &self.session).is_ok()
    }

    /// What its agent does and waits for.
    pub(crate) fn agent_summary(&self) -> Option<v1::AgentSummary> {
        self.session.agent_summary()
    }

    /// Hands a command to the agent. The audit entry is there before the agent hears of it.
    pub(crate) async fn command(&self, command: Command) -> Result<AgentReply, SessionError> {
        for verb in needs(&command, self.session.is_structured()) {
            may(&self.grant, *verb, &self.session)?;
        }
        if matches!(command, Command::Prompt(_) | Command::CloseInput(_)) {
            self.session.may_write(&self.grant)?;
        }
        if let Command::Prompt(prompt) = &command {
            self.grant.count_input(prompt.text.len())?;
        }
        self.journal.append(&self.entry_of(&command))?;
        let answered = answer_of(&command).map(|(id, ..)| id.to_owned());
        let who = self.grant.who().to_owned();
        let result = self.session.command(v1::AgentCommand { who, command: Some(command) }).await;
        if let (Some(id), Err(error)) = (answered, &result) {
            let lost = self.entry(Event::AnswerLost).text(Field::Request, &id).text(Field::Code, error.code());
            self.journal.note(&lost);
        }
        result
    }

    /// The whole event of this number.
    pub(crate) async fn fetch_event(&self, number: u64) -> Result<v1::AgentEvent, SessionError> {
        may(&self.grant, Verb::View, &self.session)?;
        self.session.fetch_event(number).await
    }

    fn entry_of(&self, command: &Command) -> Entry {
        if let Some((id, digest, option)) = answer_of(command) {
            let entry = self.entry(Event::Answer).text(Field::Request, id);
            return entry.text(Field::Digest, digest).text(Field::Option, option);
        }
        let entry = self.entry(Event::Act);
        match command {
            Command::Prompt(prompt) => {
                let length = i64::try_from(prompt.text.len()).unwrap_or(i64::MAX);
                entry.text(Field::Act, "prompt").text(Field::Request, &prompt.id).number(Field::Bytes, length)
            }
            Command::CancelPrompt(cancel) => entry.text(Field::Act, "cancel-prompt").text(Field::Request, &cancel.id),
            Command::SetMode(set) => entry.text(Field::Act, "set-mode").text(Field::Target, &set.mode),
            Command::SetModel(set) => entry.text(Field::Act, "set-model").text(Field::Target, &set.model),
            Command::RevokeRule(rule) => entry.text(Field::Act, "revoke-rule").text(Field::Target, &rule.id),
            Command::CloseInput(_) => entry.text(Field::Act, "eof"),
            Command::Interrupt(_) | Command::AnswerPermission(_) | Command::AnswerQuestion(_) => {
                entry.text(Field::Act, "interrupt")
            }
        }
    }
}

/// The rights that a command needs. A mode may be one in which nobody is asked any more, so it is as good as an approval.
fn needs(command: &Command, is_structured: bool) -> &'static [Verb] {
    match command {
        // In a terminal whoever may answer a question may answer any dialog.
        Command::AnswerQuestion(_) if !is_structured => &[Verb::Prompt, Verb::Approve],
        Command::AnswerPermission(_) | Command::RevokeRule(_) => &[Verb::Approve],
        Command::SetMode(_) => &[Verb::Prompt, Verb::Approve],
        Command::Prompt(_)
        | Command::CancelPrompt(_)
        | Command::AnswerQuestion(_)
        | Command::Interrupt(_)
        | Command::CloseInput(_)
        | Command::SetModel(_) => &[Verb::Prompt],
    }
}

/// Request, digest and option of an answer.
fn answer_of(command: &Command) -> Option<(&str, &str, &str)> {
    match command {
        Command::AnswerPermission(answer) => Some((&answer.id, &answer.digest, &answer.option)),
        Command::AnswerQuestion(answer) => {
            Some((&answer.id, &answer.digest, if answer.declined { "declined" } else { "answered" }))
        }
        _ => None,
    }
}
