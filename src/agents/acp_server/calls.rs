//! What a client asks for: each method to an act or an error. Does not know what comes of it.

use serde_json::{Value, json};

use super::content::{self, LoadSession, NewSession, PromptSession, SetConfig, SetMode, params};
use super::rpc::{RpcError, answer};
use super::session::{OwnPrompt, Phase};
use super::{Act, Effect, Effects, Server, Trouble, Waiting};
use crate::base::SessionId;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{CancelPrompt, Interrupt, Prompt, SetAgentMode, SetModel};

/// The only version there is.
const PROTOCOL: u64 = 1;
/// Sessions of one client: an editor's tabs.
const SESSIONS: usize = 64;
/// Requests of a client that are not answered yet: as many as one session queues.
const WAITING: usize = 64;

impl Server {
    pub(super) fn request(
        &mut self,
        id: &Value,
        method: &str,
        given: Value,
        effects: &mut Effects,
    ) -> Result<(), RpcError> {
        if method == "initialize" {
            self.is_initialized = true;
            effects.push(Effect::Say(answer(id, Ok(self.capabilities()))));
            return Ok(());
        }
        if !self.is_initialized {
            return Err(RpcError::invalid("the first request is initialize"));
        }
        let prompts: usize = self.sessions.values().map(|session| session.prompts.len()).sum();
        if self.acts.len() + prompts >= WAITING {
            let data = json!({"code": "busy", "retryable": true});
            return Err(RpcError::internal(format!("{WAITING} requests wait already; wait for one")).with(data));
        }
        match method {
            "session/new" => {
                let new: NewSession = params(given)?;
                self.may_open(None)?;
                let waiting = Waiting::New(id.clone(), new.mcp_servers.len());
                self.act(Act::Begin { directory: new.cwd }, waiting, effects);
            }
            "session/load" => {
                let load: LoadSession = params(given)?;
                let session: SessionId = load.session_id.parse().map_err(|_| unknown(&load.session_id))?;
                let session = session.to_string();
                self.may_open(Some(&session))?;
                self.act(Act::Load { session }, Waiting::Load(id.clone()), effects);
            }
            "session/prompt" => self.begin_turn(id, params(given)?, effects)?,
            "session/set_mode" => {
                let set: SetMode = params(given)?;
                let session = self.known(&set.session_id)?;
                let command = Command::SetMode(SetAgentMode { mode: set.mode_id });
                self.act(Act::Command { session, command }, Waiting::Mode(id.clone()), effects);
            }
            "session/set_model" => {
                let set: content::SetModel = params(given)?;
                self.set_model(id, &set.session_id, set.model_id, false, effects)?;
            }
            "session/set_config_option" => {
                let set: SetConfig = params(given)?;
                match (&set.config_id[..], set.value) {
                    ("model", Value::String(model)) => self.set_model(id, &set.session_id, model, true, effects)?,
                    _ => return Err(RpcError::params("the only option here is model, with one of its values")),
                }
            }
            other => return Err(RpcError::no_method(other)),
        }
        Ok(())
    }

    fn capabilities(&self) -> Value {
        json!({
            "protocolVersion": PROTOCOL,
            "agentCapabilities": {
                "loadSession": true,
                "promptCapabilities": {"image": false, "audio": false, "embeddedContext": false},
                "mcpCapabilities": {"http": false, "sse": false},
            },
            "agentInfo": {"name": "portcullis", "title": "Portcullis", "version": self.software},
            "authMethods": [],
        })
    }

    fn begin_turn(&mut self, id: &Value, turn: PromptSession, effects: &mut Effects) -> Result<(), RpcError> {
        let session = self.known(&turn.session_id)?;
        let text = content::text_of(&turn.prompt)?;
        let prompt = format!("{}-{}", self.tag, self.last + 1);
        if let Some(known) = self.sessions.get_mut(&session) {
            known.prompts.push(OwnPrompt { id: prompt.clone(), request: id.clone(), handed_over: false });
        }
        let waiting = Waiting::Prompt { session: session.clone(), id: prompt.clone() };
        let command = Command::Prompt(Prompt { id: prompt, text });
        self.act(Act::Command { session, command }, waiting, effects);
        Ok(())
    }

    fn set_model(
        &mut self,
        id: &Value,
        session: &str,
        model: String,
        as_option: bool,
        effects: &mut Effects,
    ) -> Result<(), RpcError> {
        let session = self.known(session)?;
        let waiting = Waiting::Model { request: id.clone(), session: session.clone(), model: model.clone(), as_option };
        self.act(Act::Command { session, command: Command::SetModel(SetModel { model }) }, waiting, effects);
        Ok(())
    }

    /// Its own prompts; where it has none, the turn that it sees. Another's turn is not ended by whoever waits behind it.
    pub(super) fn cancel(&mut self, session: &str, effects: &mut Effects) {
        let Some(known) = self.sessions.get(session) else { return };
        let queued: Vec<String> =
            known.prompts.iter().filter(|own| !own.handed_over).map(|own| own.id.clone()).collect();
        let interrupts = known.prompts.is_empty() || known.prompts.iter().any(|own| own.handed_over);
        // The last first, so that none of them begins in between.
        for id in queued.into_iter().rev() {
            let waiting = Waiting::Cancel { session: session.to_owned(), prompt: id.clone() };
            let command = Command::CancelPrompt(CancelPrompt { id });
            self.act(Act::Command { session: session.to_owned(), command }, waiting, effects);
        }
        if interrupts {
            let act = Act::Command { session: session.to_owned(), command: interrupt() };
            self.act(act, Waiting::Nobody, effects);
        }
    }

    fn known(&self, session: &str) -> Result<String, RpcError> {
        match self.sessions.get(session) {
            Some(known) if !matches!(known.phase, Phase::Starting { .. }) => Ok(session.to_owned()),
            _ => Err(unknown(session)),
        }
    }

    fn may_open(&self, session: Option<&str>) -> Result<(), RpcError> {
        let is_there = session.is_some_and(|session| self.sessions.contains_key(session));
        let opening =
            self.acts.values().filter(|waiting| matches!(waiting, Waiting::New(..) | Waiting::Load(_))).count();
        if !is_there && self.sessions.len() + opening >= SESSIONS {
            let data = json!({"code": "busy", "retryable": false});
            return Err(RpcError::internal(format!("{SESSIONS} sessions on one connection; open another")).with(data));
        }
        Ok(())
    }
}

pub(super) fn interrupt() -> Command {
    Command::Interrupt(Interrupt {})
}

fn unknown(session: &str) -> RpcError {
    let session = crate::base::printable(session, 64);
    let text =
        format!("no session {session:?} on this connection; session/new makes one, session/load finds one by its id");
    RpcError::not_found(text).with(json!({"code": "unknown-session", "retryable": false}))
}

pub(super) fn refusal(trouble: &Trouble) -> RpcError {
    let Trouble { code, message, retryable } = trouble;
    let error = if code == "unknown-session" { RpcError::not_found(message) } else { RpcError::internal(message) };
    error.with(json!({"code": code, "retryable": retryable}))
}
