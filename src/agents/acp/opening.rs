//! From the agent's start to its conversation: versions, new or loaded, logins; does not know of turns.

use agent_client_protocol_schema::v1::{AuthMethod, InitializeResponse};
use serde_json::value::RawValue;

use super::inbound::{Failure, Opened, Spoken, parsed, read};
use super::trouble::Trouble;
use super::{Acp, Expects, Phase, outbound};
use crate::agents::driver::{Condition, Refused};
use crate::agents::event::{Made, clip, head};
use crate::agents::limits::{HANDSHAKE, SHORT_TEXT};

/// The only version of the protocol that is spoken here.
const VERSION: &str = "1";

/// How the agent takes up a conversation again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// It says its history first.
    Load,
    /// It says nothing.
    Silent,
    /// Not at all.
    Never,
}

impl Acp {
    /// The answer to the first request.
    pub(super) fn introduced(&mut self, made: &mut Made<'_>, result: Option<&RawValue>) {
        let spoken = read::<Spoken<'_>>(result).map_or_else(String::new, |spoken| head(spoken.version.get(), 32));
        if spoken != VERSION {
            let other = Refused::OtherProtocol { spoken, known: VERSION };
            return self.unusable(made, other);
        }
        if let Some(answer) = parsed::<InitializeResponse>(result) {
            let able = &answer.agent_capabilities;
            self.resume = match (able.load_session, &able.session_capabilities.resume) {
                (true, _) => Resume::Load,
                (false, Some(_)) => Resume::Silent,
                (false, None) => Resume::Never,
            };
            self.started.agent_version =
                answer.agent_info.map(|info| clip(info.version, SHORT_TEXT)).unwrap_or_default();
            self.logins = logins(&answer.auth_methods);
        }
        if self.started.resumed && self.resume == Resume::Never {
            let what = "history: it cannot go on with an earlier conversation";
            return self.unusable(made, Refused::Unsupported { agent: super::AGENT, what });
        }
        self.open_conversation(made);
    }

    /// Asks for the conversation, new or the one to go on with.
    pub(super) fn open_conversation(&mut self, made: &mut Made<'_>) {
        let Ok(id) = self.expect(made, Expects::Conversation, Some(HANDSHAKE)) else { return };
        let (directory, session) = (&self.started.directory, &self.session);
        made.write(match self.resume {
            _ if !self.started.resumed => outbound::new_session(id, directory),
            Resume::Silent => outbound::resume_session(id, directory, session),
            Resume::Load | Resume::Never => outbound::load_session(id, directory, session),
        });
        self.phase = Phase::Opening;
        self.become_condition(made, Condition::Starting(String::new()));
    }

    /// The conversation is there.
    pub(super) fn conversing(&mut self, made: &mut Made<'_>, result: Option<&RawValue>) {
        let opened: Opened<'_> = read(result).unwrap_or_default();
        if !self.started.resumed {
            if opened.session_id.is_empty() || opened.session_id.len() > SHORT_TEXT {
                return self.gone_wrong(made, "its answer to session/new names no session");
            }
            self.session.clone_from(&opened.session_id);
            self.started.agent_session = opened.session_id.clone();
        }
        self.offered(made, &opened);
        self.calls.clear();
        self.phase = Phase::Ready;
        self.say_started(made);
        match self.held.take() {
            Some(text) => self.hand_over(made, &text),
            None => self.become_condition(made, Condition::Idle),
        }
    }

    /// The agent has refused to begin.
    pub(super) fn not_begun(&mut self, made: &mut Made<'_>, expects: &Expects, failure: &Failure<'_>) {
        let trouble = Trouble::of(failure);
        let text = head(&trouble.message, 300);
        if trouble.is_login && matches!(expects, Expects::Conversation) {
            self.phase = Phase::LoggedOut;
            if self.held.take().is_some() {
                self.end_turn(made, Err(trouble));
            }
            return self.become_condition(made, Condition::NeedsLogin(format!("{text}{}", self.logins)));
        }
        let what = match expects {
            Expects::Initialize => "initialize",
            _ if self.started.resumed => "to load the conversation",
            _ => "to begin a conversation",
        };
        self.gone_wrong(made, &format!("it refused {what}: {text}"));
    }

    /// There is no way to go on.
    fn unusable(&mut self, made: &mut Made<'_>, why: Refused) {
        let text = why.to_string();
        self.phase = Phase::Unusable(why);
        self.end(made, &text);
    }

    fn gone_wrong(&mut self, made: &mut Made<'_>, why: &str) {
        self.phase = Phase::Unusable(Refused::Ended);
        self.end(made, &format!("the agent cannot be used: {why}"));
    }

    fn end(&mut self, made: &mut Made<'_>, why: &str) {
        made.remark(why);
        self.pending.clear();
        if self.held.take().is_some() {
            self.end_turn(made, Err(Trouble::plain(why)));
        }
        self.become_condition(made, Condition::Ended(why.to_owned()));
        self.is_closing = true;
    }
}

/// How to log in, in the agent's words.
fn logins(methods: &[AuthMethod]) -> String {
    let named = methods.iter().take(8).map(|method| match method.description() {
        Some(description) => head(description, 120),
        None => head(method.name(), 120),
    });
    let all: Vec<String> = named.collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}
