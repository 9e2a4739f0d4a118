//! Claude Code's line protocol (`-p` with stream-json both ways) as a driver; knows no pipe, process or client.

mod argv;
mod asking;
mod control;
#[cfg(test)]
mod golden;
pub mod hooks;
#[cfg(test)]
mod hostile;
mod inbound;
mod outbound;
mod said;
mod tools;
mod turns;

use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use super::driver::{Command, Condition, Driver, Effects, Millis, Refused};
use super::event::{Made, clip, head};
use super::limits::{HANDSHAKE, SHORT_TEXT};
use super::waiting::Ids;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentMode, AgentStarted, AgentStream, Plan, TurnStarted};

pub use argv::{BadConversation, Conversation, arguments, resuming};

const AGENT: &str = "Claude Code";
/// The oldest major version whose protocol this is.
const OLDEST: u32 = 2;
/// Modes as the agent names them. The one that skips every question is not offered: it makes approvals void.
const MODES: [(&str, &str); 5] = [
    ("default", "Ask before edits and commands"),
    ("acceptEdits", "Edit without asking"),
    ("plan", "Plan only"),
    ("auto", "The agent decides when to ask"),
    ("dontAsk", "Refuse what would need a question"),
];

/// One process of Claude Code.
pub struct Claude {
    conversation: Conversation,
    condition: Condition,
    /// When the handshake is overdue; none once it is answered or was said to be late.
    overdue: Option<Millis>,
    started: AgentStarted,
    turn: Option<Turn>,
    turns: u64,
    /// Control requests made so far: their ids are numbers.
    requests: u64,
    /// Control requests without an answer, by id.
    unanswered: BTreeMap<String, Expects>,
    ids: Ids,
    /// What the agent waits for, by the id that people see.
    open: BTreeMap<String, Open>,
    /// The reply that is being streamed.
    streaming: String,
    /// How many finished blocks the latest replies have.
    blocks: VecDeque<(String, u32)>,
    /// Tokens of the last reply's whole context.
    context: u64,
    tasks: Plan,
    /// The last thing that went wrong outside a turn: the reason of an end.
    trouble: String,
}

/// A turn that runs.
#[derive(Default)]
struct Turn {
    number: u64,
    interrupted: bool,
    /// The model refused the credentials.
    refused: bool,
}

/// What the answer to a request of ours means.
enum Expects {
    Initialize,
    Interrupt,
    Mode(String),
    Model(String),
}

/// A tool call that waits for leave.
struct Open {
    /// The agent's own id of the request.
    request_id: String,
    /// Of all that people see of it.
    length: usize,
    input: Box<RawValue>,
    is_question: bool,
}

impl Claude {
    /// Not started yet. `directory`: where it works, absolute. `seed`: the id of the session's log.
    pub fn new(conversation: Conversation, directory: &str, seed: [u8; 16]) -> Self {
        let modes = MODES.iter().map(|(id, name)| AgentMode {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            description: String::new(),
        });
        let started = AgentStarted {
            agent_session: conversation.id().to_owned(),
            directory: directory.to_owned(),
            resumed: matches!(conversation, Conversation::Resume(_)),
            modes: modes.collect(),
            ..AgentStarted::default()
        };
        Self {
            conversation,
            condition: Condition::Starting(String::new()),
            overdue: None,
            started,
            turn: None,
            turns: 0,
            requests: 0,
            unanswered: BTreeMap::new(),
            ids: Ids::new(seed),
            open: BTreeMap::new(),
            streaming: String::new(),
            blocks: VecDeque::new(),
            context: 0,
            tasks: Plan::default(),
            trouble: String::new(),
        }
    }

    fn become_condition(&mut self, made: &mut Made<'_>, condition: Condition) {
        if self.condition != condition {
            self.condition = condition.clone();
            made.condition(condition);
        }
    }

    /// The agent has shown that it works on the turn; one that it began by itself gets a number here.
    fn works(&mut self, made: &mut Made<'_>) {
        if self.turn.is_none() {
            self.begin_turn(made, "");
        }
        if !matches!(self.condition, Condition::Working(_)) {
            self.become_condition(made, Condition::Working(String::new()));
        }
    }

    fn begin_turn(&mut self, made: &mut Made<'_>, prompt_id: &str) {
        self.turns += 1;
        self.turn = Some(Turn { number: self.turns, ..Turn::default() });
        made.event(Kind::TurnStarted(TurnStarted { turn: self.turns, prompt_id: prompt_id.to_owned() }));
        self.become_condition(made, Condition::Working(String::new()));
    }

    fn number(&self) -> u64 {
        self.turn.as_ref().map_or(0, |turn| turn.number)
    }

    fn too_old(&self) -> bool {
        let major = self.started.agent_version.split('.').next().and_then(|digits| digits.parse::<u32>().ok());
        major.is_some_and(|major| major < OLDEST)
    }

    fn prompt(&mut self, made: &mut Made<'_>, id: &str, text: &str) -> Result<(), Refused> {
        if self.too_old() {
            let version = self.started.agent_version.clone();
            return Err(Refused::AgentTooOld { agent: AGENT, version, needed: "2.0" });
        }
        match &self.condition {
            Condition::Ended(_) => return Err(Refused::Ended),
            _ if self.turn.is_some() => return Err(Refused::Busy("in a turn".to_owned())),
            condition if condition.takes_prompt() => {}
            _ => return Err(Refused::Busy("still starting".to_owned())),
        }
        made.write(outbound::prompt(id, text));
        self.begin_turn(made, id);
        Ok(())
    }

    fn dispatch(&mut self, made: &mut Made<'_>, line: &[u8]) -> Result<(), serde_json::Error> {
        let kind: inbound::Head = serde_json::from_slice(line)?;
        match kind.kind.as_str() {
            "system" => self.system(made, kind.subtype.as_deref().unwrap_or_default(), serde_json::from_slice(line)?),
            "assistant" => self.assistant(made, serde_json::from_slice(line)?),
            "user" => self.user(made, serde_json::from_slice(line)?),
            "stream_event" => self.streamed(made, serde_json::from_slice(line)?),
            "result" => self.result(made, kind.subtype.as_deref().unwrap_or_default(), serde_json::from_slice(line)?),
            "control_request" => {
                let asks: inbound::Asks<'_> = serde_json::from_slice(line)?;
                // An answer repeats the id, and must not repeat more.
                if asks.request_id.len() > SHORT_TEXT {
                    made.log(AgentStream::Stdout, line, line.len() as u64);
                } else {
                    self.asked(made, asks);
                }
            }
            "control_cancel_request" => self.taken_back(made, serde_json::from_slice(line)?),
            "control_response" => self.answered(made, serde_json::from_slice(line)?),
            // Newer versions say more; what it means is not known, that it was said is kept.
            _ => made.log(AgentStream::Stdout, line, line.len() as u64),
        }
        Ok(())
    }
}

impl Driver for Claude {
    fn start(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        made.condition(self.condition.clone());
        self.overdue = Some(now.saturating_add(HANDSHAKE));
        self.request(&mut made, Expects::Initialize, "initialize", None);
        made.done()
    }

    fn line(&mut self, now: Millis, line: &[u8]) -> Effects {
        let mut made = Made::new(now, Some(line));
        if !line.trim_ascii().is_empty() && self.dispatch(&mut made, line).is_err() {
            made.log(AgentStream::Stdout, line, line.len() as u64);
        }
        made.done()
    }

    fn overlong(&mut self, now: Millis, beginning: &[u8], length: u64) -> Effects {
        let mut made = Made::new(now, None);
        made.log(AgentStream::Stdout, beginning, length);
        made.remark(&format!("a line of {length} bytes is longer than {} and is lost", super::limits::LINE));
        made.done()
    }

    fn command(&mut self, now: Millis, command: Command) -> Result<Effects, Refused> {
        let mut made = Made::new(now, None);
        match command {
            Command::Prompt { id, text } => self.prompt(&mut made, &id, &text)?,
            Command::Permission { id, option, reason } => self.decide(&mut made, &id, &option, &reason)?,
            Command::Question { id, answers } => self.answer(&mut made, &id, &answers)?,
            Command::Decline { id, reason } => self.decline(&mut made, &id, &reason)?,
            Command::Interrupt => self.interrupt(&mut made)?,
            Command::SetMode(mode) => self.set_mode(&mut made, mode)?,
            Command::SetModel(model) => self.set_model(&mut made, model)?,
        }
        Ok(made.done())
    }

    fn tick(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        if self.overdue.is_some_and(|due| due <= now) {
            self.overdue = None;
            let seconds = HANDSHAKE / 1000;
            let why = format!("no answer to the handshake within {seconds} s; look at its log or kill it");
            self.become_condition(&mut made, Condition::Starting(why));
        }
        made.done()
    }

    fn wake(&self) -> Option<Millis> {
        self.overdue
    }

    fn closed(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        self.overdue = None;
        self.open.clear();
        self.unanswered.clear();
        self.lose_turn(&mut made);
        let why = head(&clip(std::mem::take(&mut self.trouble), SHORT_TEXT), 200);
        self.become_condition(&mut made, Condition::Ended(why));
        made.done()
    }
}
