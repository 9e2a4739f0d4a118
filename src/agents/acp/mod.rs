//! The Agent Client Protocol, version 1, as a driver for any agent that speaks it; knows no pipe, process or client.

mod calls;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
mod inbound;
mod opening;
mod outbound;
mod permission;
mod settings;
mod trouble;
mod turns;
mod updates;

use serde_json::value::RawValue;

use super::driver::{Command, Condition, Driver, Effect, Effects, Millis, Refused};
use super::event::{Made, head};
use super::limits::{HANDSHAKE, INTERRUPT, LINE, SHORT_TEXT};
use super::waiting::Ids;
use crate::wire::v1::{AgentStarted, AgentStream, StopReason, Usage};
use calls::Calls;
use inbound::{Failure, Message, read};
use opening::Resume;
use settings::Settings;
use trouble::Trouble;
use turns::Turn;

const AGENT: &str = "this ACP agent";
/// Unanswered requests of ours; more means that the agent does not answer at all.
const PENDING: usize = 64;

/// One process of an agent, and its one conversation.
pub struct Acp {
    phase: Phase,
    condition: Condition,
    started: AgentStarted,
    /// The agent's id of the conversation; empty until there is one.
    session: String,
    resume: Resume,
    /// How to log in, for people.
    logins: String,
    settings: Settings,
    /// Requests made so far: their ids are numbers.
    requests: u64,
    pending: Vec<Pending>,
    ids: Ids,
    /// Requests for leave without an answer.
    open: Vec<permission::Open>,
    turns: u64,
    turn: Option<Turn>,
    /// The text of a turn that has no conversation yet.
    held: Option<String>,
    calls: Calls,
    usage: Usage,
    /// Nothing more will be written after this call.
    is_closing: bool,
}

/// How far the agent is.
enum Phase {
    /// It has not said which version it speaks.
    New,
    /// It makes, or loads, the conversation.
    Opening,
    /// It makes none before somebody logs in.
    LoggedOut,
    /// There is a conversation.
    Ready,
    /// It will never be of use; what every command is told.
    Unusable(Refused),
    /// Its output is at its end.
    Ended,
}

/// A request of ours without an answer.
struct Pending {
    id: u64,
    expects: Expects,
    /// When the answer is late; none: it may take any time, or that was said.
    due: Option<Millis>,
}

/// What an answer means.
enum Expects {
    Initialize,
    Conversation,
    Turn,
    Mode(String),
    Model(String),
}

impl Expects {
    fn words(&self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Conversation => "the request for a conversation",
            Self::Turn => "the prompt",
            Self::Mode(_) => "the request for another mode",
            Self::Model(_) => "the request for another model",
        }
    }
}

impl Acp {
    /// Not started yet. `directory`: where it works, absolute. `resume`: the agent's own id of the conversation that is to
    /// go on; none: a new one. `seed`: the id of the session's log.
    pub fn new(directory: &str, resume: Option<&str>, seed: [u8; 16]) -> Self {
        let session = resume.unwrap_or_default().to_owned();
        let started = AgentStarted {
            agent_session: session.clone(),
            directory: directory.to_owned(),
            resumed: resume.is_some(),
            ..AgentStarted::default()
        };
        Self {
            phase: Phase::New,
            condition: Condition::Starting(String::new()),
            started,
            session,
            resume: Resume::Never,
            logins: String::new(),
            settings: Settings::default(),
            requests: 0,
            pending: Vec::new(),
            ids: Ids::new(seed),
            open: Vec::new(),
            turns: 0,
            turn: None,
            held: None,
            calls: Calls::default(),
            usage: Usage::default(),
            is_closing: false,
        }
    }

    fn done(&mut self, made: Made<'_>) -> Effects {
        let mut effects = made.done();
        if std::mem::take(&mut self.is_closing) {
            effects.push(Effect::CloseInput);
        }
        effects
    }

    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    fn still_there(&self) -> Result<(), Refused> {
        match &self.phase {
            Phase::Ready => Ok(()),
            Phase::Unusable(why) => Err(why.clone()),
            Phase::Ended => Err(Refused::Ended),
            _ => Err(Refused::Busy("still starting".to_owned())),
        }
    }

    fn become_condition(&mut self, made: &mut Made<'_>, condition: Condition) {
        if self.condition != condition {
            self.condition = condition.clone();
            made.condition(condition);
        }
    }

    /// The id of a request of ours. `within`: milliseconds until its answer is late.
    fn expect(&mut self, made: &Made<'_>, expects: Expects, within: Option<u64>) -> Result<u64, Refused> {
        if self.pending.len() >= PENDING {
            return Err(Refused::Busy(format!("it has not answered {PENDING} requests")));
        }
        self.requests += 1;
        let due = within.map(|within| made.now().saturating_add(within));
        self.pending.push(Pending { id: self.requests, expects, due });
        Ok(self.requests)
    }

    /// One line, if it is a message; what to do with any other is for the caller.
    fn message(&mut self, made: &mut Made<'_>, line: &[u8]) -> Option<()> {
        let message: Message<'_> = serde_json::from_slice(line).ok()?;
        match (message.method, message.id) {
            (Some(method), None) if method == "session/update" => self.updated(made, message.params),
            // Newer agents say more.
            (Some(_), None) => Some(()),
            (Some(method), Some(id)) => {
                // JSON-RPC knows numbers and texts; an answer repeats the id, and must not repeat more.
                if id.get().starts_with(['{', '[']) || id.get().len() > SHORT_TEXT {
                    return None;
                }
                if method == "session/request_permission" {
                    self.asked(made, id, message.params);
                } else {
                    made.write(outbound::unknown(id, &head(&method, 64)));
                    made.remark(&format!("the agent asked for {}, which it was not offered", head(&method, 64)));
                }
                Some(())
            }
            (None, id) => self.answered(made, id?, message.result, message.error),
        }
    }

    fn answered(
        &mut self,
        made: &mut Made<'_>,
        id: &RawValue,
        result: Option<&RawValue>,
        error: Option<&RawValue>,
    ) -> Option<()> {
        let id: u64 = id.get().parse().ok()?;
        let place = self.pending.iter().position(|pending| pending.id == id)?;
        let expects = self.pending.remove(place).expects;
        if let Some(error) = error {
            let failure: Failure<'_> = read(Some(error)).unwrap_or_default();
            match expects {
                Expects::Initialize | Expects::Conversation => self.not_begun(made, &expects, &failure),
                Expects::Turn => self.failed(made, Trouble::of(&failure)),
                Expects::Mode(_) | Expects::Model(_) => {
                    let why = head(&Trouble::of(&failure).message, 200);
                    made.remark(&format!("the agent refused {}: {why}", expects.words()));
                }
            }
            return Some(());
        }
        match expects {
            Expects::Initialize => self.introduced(made, result),
            Expects::Conversation => self.conversing(made, result),
            Expects::Turn => self.finished(made, result),
            Expects::Mode(_) | Expects::Model(_) => self.chosen(made, &expects, result),
        }
        Some(())
    }

    /// Loading a long history takes as long as it takes: while lines come, nothing is late.
    fn still_speaks(&mut self, now: Millis) {
        for pending in &mut self.pending {
            if matches!(pending.expects, Expects::Conversation) && pending.due.is_some() {
                pending.due = Some(now.saturating_add(HANDSHAKE));
            }
        }
    }
}

impl Driver for Acp {
    fn start(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        made.condition(self.condition.clone());
        if let Ok(id) = self.expect(&made, Expects::Initialize, Some(HANDSHAKE)) {
            made.write(outbound::initialize(id));
        }
        made.done()
    }

    fn line(&mut self, now: Millis, line: &[u8]) -> Effects {
        let mut made = Made::new(now, Some(line));
        self.still_speaks(now);
        if !line.trim_ascii().is_empty() && self.message(&mut made, line).is_none() {
            made.log(AgentStream::Stdout, line, line.len() as u64);
        }
        self.done(made)
    }

    fn overlong(&mut self, now: Millis, beginning: &[u8], length: u64) -> Effects {
        let mut made = Made::new(now, None);
        made.log(AgentStream::Stdout, beginning, length);
        made.remark(&format!("a line of {length} bytes is longer than {LINE} and is lost"));
        made.done()
    }

    fn command(&mut self, now: Millis, command: Command) -> Result<Effects, Refused> {
        let mut made = Made::new(now, None);
        match command {
            Command::Prompt { id, text } => self.prompt(&mut made, &id, text)?,
            // ACP has no place for the reason of a rejection.
            Command::Permission { id, option, .. } => self.decide(&mut made, &id, &option)?,
            Command::Question { id, .. } | Command::Decline { id, .. } => {
                return Err(Refused::NoSuchRequest(head(&id, 64)));
            }
            Command::Interrupt => self.interrupt(&mut made)?,
            Command::SetMode(mode) => self.set_mode(&mut made, mode)?,
            Command::SetModel(model) => self.set_model(&mut made, model)?,
        }
        Ok(made.done())
    }

    fn tick(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        let mut late = Vec::new();
        for pending in &mut self.pending {
            if pending.due.is_some_and(|due| due <= now) {
                pending.due = None;
                late.push(pending.expects.words());
            }
        }
        for what in late {
            let why = format!("no answer to {what} within {} s; look at its log or kill it", HANDSHAKE / 1000);
            if matches!(self.phase, Phase::New | Phase::Opening) {
                self.become_condition(&mut made, Condition::Starting(why));
            } else {
                made.remark(&why);
            }
        }
        let interrupted = self.turn.as_mut().and_then(|turn| turn.interrupted.as_mut());
        if let Some(interrupted) = interrupted.filter(|one| one.due.is_some_and(|due| due <= now)) {
            interrupted.due = None;
            let why = format!("still in its turn {} s after the interrupt; kill it if it hangs", INTERRUPT / 1000);
            self.become_condition(&mut made, Condition::Working(why));
        }
        made.done()
    }

    fn wake(&self) -> Option<Millis> {
        let interrupted = self.turn.as_ref().and_then(|turn| turn.interrupted.as_ref()).and_then(|one| one.due);
        self.pending.iter().filter_map(|pending| pending.due).chain(interrupted).min()
    }

    fn stop(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        // Else it would do its turn to the end.
        _ = self.interrupt(&mut made);
        self.is_closing = true;
        self.done(made)
    }

    fn closed(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        self.pending.clear();
        self.held = None;
        self.end_turn(&mut made, Ok(StopReason::Gone));
        if !matches!(self.phase, Phase::Unusable(_)) {
            self.phase = Phase::Ended;
            self.become_condition(&mut made, Condition::Ended(String::new()));
        }
        made.done()
    }
}
