//! The agent's side of ACP, for editors: lines and events in, lines and acts out. Knows no door, no clock and no rights.

mod asked;
mod calls;
mod content;
mod leave;
mod rpc;
mod session;
#[cfg(test)]
mod tests;
mod updates;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentEvent, AgentSummary, PromptState};
use asked::Asked;
use calls::{interrupt, refusal};
use rpc::{Message, Reader, RpcError, answer, notification};
use session::{Phase, Session, TurnOver};
use updates::note;

/// Lines that a start holds back until its session has an id for the client; above it, the client learns no modes.
const HELD: usize = 256;
/// Servers of the editor's machine cannot be reached from the agent's.
const NO_SERVERS: &str = "MCP servers of this client are not used: configure them where the agent runs";

/// What follows from one call, in this order.
pub type Effects = Vec<Effect>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// To the client: one line with its newline.
    Say(Vec<u8>),
    /// Something for the gateway, which answers under the same number.
    Act {
        /// Names the answer.
        number: u64,
        /// What.
        act: Act,
    },
}

/// What a client wants of the gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A new session; its events from the first.
    Begin {
        /// The client's own directory, which the gateway may not have.
        directory: String,
    },
    /// The events of a session from the oldest held.
    Load {
        /// Its id.
        session: String,
    },
    /// Something for an agent.
    Command {
        /// Whose.
        session: String,
        /// What.
        command: Command,
    },
}

/// A session at which the gateway looks now for the client.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opened {
    /// Its id.
    pub session: String,
    /// For people.
    pub name: String,
    /// Where it works.
    pub directory: String,
    /// The number of the first event that comes.
    pub first: u64,
    /// The number of the first event that is new.
    pub until: u64,
    /// Events before the first that are gone.
    pub lost: u64,
    /// What the agent does and waits for.
    pub agent: AgentSummary,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// Of a start or load.
    Opened(Box<Opened>),
    /// Of a prompt.
    Prompt(PromptState),
    /// Of everything else.
    Told,
}

/// Why the gateway did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// Stable, lower case with dashes.
    pub code: String,
    /// For people.
    pub message: String,
    /// It may work later.
    pub retryable: bool,
}

/// See the module.
pub struct Server {
    reader: Reader,
    is_initialized: bool,
    /// Begins the ids of this client's prompts, so that no other client makes the same.
    tag: String,
    software: &'static str,
    last: u64,
    acts: BTreeMap<u64, Waiting>,
    /// Our requests that the client has not answered: session and request of the agent's.
    asked: BTreeMap<u64, (String, String)>,
    sessions: BTreeMap<String, Session>,
    held: Vec<(String, Vec<u8>)>,
}

/// Who waits for an act.
enum Waiting {
    /// With the number of servers that the client wanted the agent to use.
    New(Value, usize),
    Load(Value),
    Prompt {
        session: String,
        id: String,
    },
    Mode(Value),
    Model {
        request: Value,
        session: String,
        model: String,
        as_option: bool,
    },
    Cancel {
        session: String,
        prompt: String,
    },
    Answer {
        session: String,
        request: String,
    },
    Nobody,
}

impl Server {
    /// `tag`: random letters and digits, at most 40.
    pub fn new(tag: String, software: &'static str) -> Self {
        Self {
            reader: Reader::default(),
            is_initialized: false,
            tag,
            software,
            last: 0,
            acts: BTreeMap::new(),
            asked: BTreeMap::new(),
            sessions: BTreeMap::new(),
            held: Vec::new(),
        }
    }

    /// Bytes of the client's.
    pub fn read(&mut self, bytes: &[u8]) -> Effects {
        let mut effects = Effects::new();
        for message in self.reader.push(bytes) {
            match message {
                Message::Request { id, method, params } => {
                    if let Err(error) = self.request(&id, &method, params, &mut effects) {
                        effects.push(Effect::Say(answer(&id, Err(error))));
                    }
                }
                Message::Notification { method, params } if method == "session/cancel" => {
                    // What is no session cannot be cancelled, and nobody can be told so.
                    if let Ok(cancel) = content::params::<content::Cancel>(params) {
                        self.cancel(&cancel.session_id, &mut effects);
                    }
                }
                Message::Notification { .. } => {}
                Message::Answer { id, result } => self.answered(id, result, &mut effects),
                Message::Unreadable { id, error } => effects.push(Effect::Say(answer(&id, Err(error)))),
            }
        }
        effects
    }

    /// What became of an act.
    pub fn done(&mut self, number: u64, outcome: Result<Done, Trouble>) -> Effects {
        let mut effects = Effects::new();
        let Some(waiting) = self.acts.remove(&number) else { return effects };
        match (waiting, outcome) {
            (Waiting::New(id, servers), Ok(Done::Opened(opened))) => {
                let session = opened.session.clone();
                self.opened(Phase::Starting { request: id }, *opened, &mut effects);
                if servers > 0 {
                    self.update(&session, note(NO_SERVERS), &mut effects);
                }
            }
            (Waiting::Load(id), Ok(Done::Opened(opened))) => {
                let until = opened.until;
                self.opened(Phase::Replaying { request: id, until }, *opened, &mut effects);
            }
            (Waiting::Prompt { session, .. }, Ok(Done::Prompt(state))) => self.prompt(&session, &state, &mut effects),
            (Waiting::Mode(id), Ok(_)) => effects.push(Effect::Say(answer(&id, Ok(json!({}))))),
            (Waiting::Model { request, session, model, as_option }, Ok(_)) => {
                let options = self.sessions.get_mut(&session).map(|session| {
                    session.started.model = model;
                    session.config_options()
                });
                let result = if as_option { json!({"configOptions": options.unwrap_or_default()}) } else { json!({}) };
                effects.push(Effect::Say(answer(&request, Ok(result))));
            }
            (Waiting::Cancel { session, prompt }, Err(_)) => {
                // It went to the agent meanwhile.
                let runs = |known: &Session| known.prompts.iter().any(|own| own.id == prompt);
                if self.sessions.get(&session).is_some_and(runs) {
                    self.act(Act::Command { session, command: interrupt() }, Waiting::Nobody, &mut effects);
                }
            }
            (Waiting::Answer { session, request }, Err(trouble)) => {
                self.not_taken(&session, &request, &trouble, &mut effects);
            }
            (Waiting::Prompt { session, id }, Err(trouble)) => {
                let own = self.sessions.get_mut(&session).and_then(|session| {
                    let at = session.prompts.iter().position(|own| own.id == id)?;
                    Some(session.prompts.remove(at))
                });
                effects.extend(own.map(|own| Effect::Say(answer(&own.request, Err(refusal(&trouble))))));
            }
            (Waiting::New(id, _) | Waiting::Load(id) | Waiting::Mode(id), Err(trouble)) => {
                effects.push(Effect::Say(answer(&id, Err(refusal(&trouble)))));
            }
            (Waiting::Model { request, .. }, Err(trouble)) => {
                effects.push(Effect::Say(answer(&request, Err(refusal(&trouble)))));
            }
            (Waiting::New(id, _) | Waiting::Load(id), Ok(_)) => {
                effects.push(Effect::Say(answer(&id, Err(RpcError::internal("the gateway answered something else")))));
            }
            _ => {}
        }
        effects
    }

    /// An event of a session that was opened.
    pub fn event(&mut self, session: &str, number: u64, event: &AgentEvent) -> Effects {
        let mut effects = Effects::new();
        let Some(known) = self.sessions.get_mut(session) else { return effects };
        known.learn(event);
        let is_live = !matches!(known.phase, Phase::Replaying { .. });
        let is_own =
            matches!(&event.kind, Some(Kind::UserMessage(message)) if message.prompt_id.starts_with(&self.tag));
        if !(is_live && is_own) {
            let updates = known.updates.of(event);
            self.update(session, updates, &mut effects);
        }
        match &event.kind {
            Some(Kind::Prompt(state)) => self.prompt(session, state, &mut effects),
            Some(Kind::PermissionAsked(asked)) => {
                let asked = Asked::Permission(asked.clone());
                self.open(session, asked, event.cut.is_some(), &mut effects);
            }
            Some(Kind::QuestionAsked(asked)) => {
                self.open(session, Asked::Question(asked.clone()), event.cut.is_some(), &mut effects);
            }
            Some(Kind::PermissionClosed(closed)) => {
                self.closed(session, &closed.id, closed.outcome(), &closed.by, &mut effects);
            }
            Some(Kind::QuestionClosed(closed)) => {
                self.closed(session, &closed.id, closed.outcome(), &closed.by, &mut effects);
            }
            _ => {}
        }
        self.advance(session, number + 1, &mut effects);
        effects
    }

    /// Events of a session are gone: its viewer was too slow for what the host holds.
    pub fn lost(&mut self, session: &str, count: u64) -> Effects {
        let mut effects = Effects::new();
        self.update(session, note(&format!("{count} events are gone: this client was away too long")), &mut effects);
        effects
    }

    /// No event of this session comes any more.
    pub fn ended(&mut self, session: &str, why: &str) -> Effects {
        let mut effects = Effects::new();
        let Some(known) = self.sessions.remove(session) else { return effects };
        let error = || RpcError::internal(why).with(json!({"code": "session-ended", "retryable": false}));
        self.held.retain(|(of, _)| of != session);
        match known.phase {
            Phase::Starting { request } | Phase::Replaying { request, .. } => {
                effects.push(Effect::Say(answer(&request, Err(error()))));
            }
            Phase::Live => self.update_of(session, note(why), &mut effects),
        }
        for own in known.prompts {
            effects.push(Effect::Say(answer(&own.request, Err(error()))));
        }
        for number in known.open.into_values().filter_map(|(_, number)| number) {
            self.take_back(number, &mut effects);
        }
        effects
    }

    /// Whether something that the client asked of the gateway is still being done.
    pub fn is_busy(&self) -> bool {
        !self.acts.is_empty()
    }

    fn opened(&mut self, phase: Phase, opened: Opened, effects: &mut Effects) {
        let Opened { session, name, directory, first, lost, agent, .. } = opened;
        // Loaded again: what the client was asked before is asked anew.
        let mut known = Session::new(phase, agent, name, directory, lost);
        if let Some(old) = self.sessions.remove(&session) {
            known.prompts = old.prompts;
            for number in old.open.into_values().filter_map(|(_, number)| number) {
                self.take_back(number, effects);
            }
        }
        self.sessions.insert(session.clone(), known);
        if lost > 0 {
            self.update(&session, note(&format!("{lost} older events are gone")), effects);
        }
        self.advance(&session, first, effects);
    }

    /// Answers a start or load that has come far enough; `next` is the number of the next event.
    fn advance(&mut self, session: &str, next: u64, effects: &mut Effects) {
        let too_many = self.held.len() >= HELD;
        let Some(known) = self.sessions.get_mut(session) else { return };
        let (id, result) = match &known.phase {
            Phase::Starting { request } if known.is_known() || too_many => {
                (request.clone(), known.describe(Some(session)))
            }
            // One that was just restarted tells its own history before it says what it is.
            Phase::Replaying { request, until } if next >= *until && (known.is_known() || too_many) => {
                (request.clone(), known.describe(None))
            }
            _ => return,
        };
        known.phase = Phase::Live;
        let commands = known.updates.commands(&known.started.clone());
        effects.push(Effect::Say(answer(&id, Ok(result))));
        let (mine, others) = std::mem::take(&mut self.held).into_iter().partition(|(of, _)| of == session);
        self.held = others;
        let mine: Vec<(String, Vec<u8>)> = mine;
        effects.extend(mine.into_iter().map(|(_, line)| Effect::Say(line)));
        self.update(session, commands.into_iter().collect(), effects);
        let open: Vec<String> =
            self.sessions.get(session).map(|known| known.open.keys().cloned().collect()).unwrap_or_default();
        for request in open {
            self.ask(session, &request, effects);
        }
    }

    fn prompt(&mut self, session: &str, state: &PromptState, effects: &mut Effects) {
        let over = self.sessions.get_mut(session).and_then(|known| known.prompt_over(state));
        let Some((id, over)) = over else { return };
        let outcome = match over {
            TurnOver::Stopped(reason) => Ok(json!({"stopReason": reason})),
            TurnOver::Failed { message, code, status } => {
                Err(RpcError::internal(message).with(json!({"code": code, "status": status})))
            }
        };
        effects.push(Effect::Say(answer(&id, outcome)));
    }

    /// Tells the client; before it knows the session's id, the lines wait.
    fn update(&mut self, session: &str, updates: Vec<Value>, effects: &mut Effects) {
        let Some(known) = self.sessions.get(session) else { return };
        if !matches!(known.phase, Phase::Starting { .. }) {
            return self.update_of(session, updates, effects);
        }
        let mut lines = Effects::new();
        self.update_of(session, updates, &mut lines);
        for line in lines {
            if let Effect::Say(line) = line {
                self.held.push((session.to_owned(), line));
            }
        }
    }

    fn update_of(&self, session: &str, updates: Vec<Value>, effects: &mut Effects) {
        effects.extend(updates.into_iter().map(|update| {
            Effect::Say(notification("session/update", json!({"sessionId": session, "update": update})))
        }));
    }

    fn act(&mut self, act: Act, waiting: Waiting, effects: &mut Effects) {
        self.last += 1;
        self.acts.insert(self.last, waiting);
        effects.push(Effect::Act { number: self.last, act });
    }
}
