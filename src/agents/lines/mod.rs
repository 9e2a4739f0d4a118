//! Any program that reads and writes JSON lines, as a driver; knows no pipe, process or client. docs/agents.md has the
//! contract.

#[cfg(test)]
mod hostile;
mod inbound;
mod requests;
#[cfg(test)]
mod tests;

use serde_json::json;
use serde_json::value::RawValue;

use super::driver::{Command, Condition, Driver, Effect, Effects, Millis, Refused};
use super::event::{Made, clip, head};
use super::limits::{HANDSHAKE, INTERRUPT, LINE, LOG_LINE, SHORT_TEXT, TEXT_KEPT};
use super::waiting::Ids;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentError, AgentLog, AgentStarted, AgentStream, MessageChunk, StopReason, ThoughtChunk, ToolCall, ToolCallUpdate,
    ToolStatus, TurnEnded, TurnStarted,
};
use inbound::Line;
use requests::Open;

const AGENT: &str = "a program of JSON lines";

/// One process that keeps to the contract, or not.
pub struct Lines {
    started: AgentStarted,
    condition: Condition,
    /// When it is late with `ready`; none once that is said or came.
    overdue: Option<Millis>,
    turns: u64,
    turn: Option<Turn>,
    ids: Ids,
    open: Vec<Open>,
}

/// A turn that runs.
struct Turn {
    number: u64,
    began: Millis,
    was_interrupted: bool,
    /// When it is late to end after an interrupt.
    due: Option<Millis>,
}

impl Lines {
    /// Not started yet. `directory`: where it works, absolute. `seed`: the id of the session's log.
    pub fn new(directory: &str, seed: [u8; 16]) -> Self {
        Self {
            started: AgentStarted { directory: directory.to_owned(), ..AgentStarted::default() },
            condition: Condition::Starting(String::new()),
            overdue: None,
            turns: 0,
            turn: None,
            ids: Ids::new(seed),
            open: Vec::new(),
        }
    }

    fn become_condition(&mut self, made: &mut Made<'_>, condition: Condition) {
        if self.condition != condition {
            self.condition = condition.clone();
            made.condition(condition);
        }
    }

    /// Chunks of a turn share it.
    fn message_id(&self) -> String {
        self.turn.as_ref().map(|turn| format!("turn-{}", turn.number)).unwrap_or_default()
    }

    /// One line; none: not of the contract.
    fn said(&mut self, made: &mut Made<'_>, line: Line<'_>) -> Option<()> {
        let text = clip(line.text.clone(), TEXT_KEPT);
        let message_id = self.message_id();
        match line.kind.as_str() {
            "ready" => self.ready(made, &line),
            "log" => {
                let (length, line) = (text.len() as u64, clip(text, LOG_LINE));
                made.event(Kind::Log(AgentLog { line, stream: AgentStream::Stdout.into(), length }));
            }
            "message" | "reasoning" if text.is_empty() => {}
            "message" => made.event(Kind::Message(MessageChunk { text, message_id, ..MessageChunk::default() })),
            "reasoning" => made.event(Kind::Thought(ThoughtChunk { text, message_id, ..ThoughtChunk::default() })),
            "tool" => tool(made, &line)?,
            "ask" => self.asks(made, &line),
            "question" => self.questions(made, &line),
            "complete" => return self.complete(made, line.error, text),
            _ => return None,
        }
        Some(())
    }

    fn ready(&mut self, made: &mut Made<'_>, line: &Line<'_>) {
        self.overdue = None;
        let short = |text: &str| clip(text.to_owned(), SHORT_TEXT);
        self.started.agent_session = short(&line.session);
        self.started.agent_version = short(&line.version);
        self.started.model = short(&line.model);
        made.event(Kind::Started(self.started.clone()));
        if self.turn.is_none() {
            self.become_condition(made, Condition::Idle);
        }
    }

    fn prompt(&mut self, made: &mut Made<'_>, id: &str, text: &str) -> Result<(), Refused> {
        match &self.condition {
            Condition::Ended(_) => return Err(Refused::Ended),
            _ if self.turn.is_some() => return Err(Refused::Busy("in a turn".to_owned())),
            condition if condition.takes_prompt() => {}
            _ => return Err(Refused::Busy("it has not said that it is ready".to_owned())),
        }
        made.write(written(&json!({"type": "prompt", "id": id, "text": text})));
        self.turns += 1;
        self.turn = Some(Turn { number: self.turns, began: made.now(), was_interrupted: false, due: None });
        made.event(Kind::TurnStarted(TurnStarted { turn: self.turns, prompt_id: id.to_owned() }));
        self.become_condition(made, Condition::Working(String::new()));
        Ok(())
    }

    fn interrupt(&mut self, made: &mut Made<'_>) -> Result<(), Refused> {
        let turn = self.turn.as_mut().ok_or(Refused::NotWorking)?;
        turn.was_interrupted = true;
        turn.due = Some(made.now().saturating_add(INTERRUPT));
        made.write(written(&json!({"type": "interrupt"})));
        self.close_all(made, "the turn was interrupted");
        Ok(())
    }

    /// The turn is over: its whole text, where the program says it here, stands in place of the chunks.
    fn complete(&mut self, made: &mut Made<'_>, error: Option<String>, text: String) -> Option<()> {
        let turn = self.turn.as_ref()?;
        let was_interrupted = turn.was_interrupted;
        if !text.is_empty() {
            let message_id = self.message_id();
            made.event(Kind::Message(MessageChunk { text, message_id, whole: true, ..MessageChunk::default() }));
        }
        let error = error.filter(|error| !error.is_empty()).map(|error| clip(error, SHORT_TEXT));
        let reason = match (&error, was_interrupted) {
            (_, true) => StopReason::Cancelled,
            (Some(_), false) => StopReason::Error,
            (None, false) => StopReason::EndTurn,
        };
        self.end_turn(made, reason, error);
        self.become_condition(made, Condition::Idle);
        Some(())
    }

    fn end_turn(&mut self, made: &mut Made<'_>, reason: StopReason, error: Option<String>) {
        self.close_all(made, "its turn has ended");
        let Some(turn) = self.turn.take() else { return };
        let error = error.map(|message| AgentError { message, ..AgentError::default() });
        made.event(Kind::TurnEnded(TurnEnded {
            turn: turn.number,
            stop_reason: reason.into(),
            error,
            duration_ms: made.now().saturating_sub(turn.began),
            structured_output: String::new(),
        }));
    }
}

impl Driver for Lines {
    fn start(&mut self, now: Millis) -> Effects {
        self.overdue = Some(now.saturating_add(HANDSHAKE));
        vec![Effect::Condition(self.condition.clone())]
    }

    fn line(&mut self, now: Millis, line: &[u8]) -> Effects {
        let mut made = Made::new(now, Some(line));
        let read = serde_json::from_slice::<Line<'_>>(line).ok();
        if !line.trim_ascii().is_empty() && read.and_then(|read| self.said(&mut made, read)).is_none() {
            made.log(AgentStream::Stdout, line, line.len() as u64);
        }
        made.done()
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
            Command::Prompt { id, text } => self.prompt(&mut made, &id, &text)?,
            Command::Permission { id, option, reason } => self.decide(&mut made, &id, &option, &reason)?,
            Command::Question { id, answers } => self.answer(&mut made, &id, &answers)?,
            Command::Decline { id, reason } => self.decline(&mut made, &id, &reason)?,
            Command::Interrupt => self.interrupt(&mut made)?,
            Command::SetMode(_) => return Err(Refused::Unsupported { agent: AGENT, what: "modes" }),
            Command::SetModel(_) => return Err(Refused::Unsupported { agent: AGENT, what: "models" }),
        }
        Ok(made.done())
    }

    fn tick(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        if self.overdue.is_some_and(|due| due <= now) {
            self.overdue = None;
            let why = format!("it has not said that it is ready within {} s; kill it if it hangs", HANDSHAKE / 1000);
            self.become_condition(&mut made, Condition::Starting(why));
        }
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.due.is_some_and(|due| due <= now)) {
            turn.due = None;
            let why = format!("still in its turn {} s after the interrupt; kill it if it hangs", INTERRUPT / 1000);
            self.become_condition(&mut made, Condition::Working(why));
        }
        made.done()
    }

    fn wake(&self) -> Option<Millis> {
        self.overdue.into_iter().chain(self.turn.as_ref().and_then(|turn| turn.due)).min()
    }

    fn stop(&mut self, _now: Millis) -> Effects {
        vec![Effect::Write(written(&json!({"type": "stop"}))), Effect::CloseInput]
    }

    fn closed(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        self.overdue = None;
        self.end_turn(&mut made, StopReason::Gone, None);
        self.become_condition(&mut made, Condition::Ended(String::new()));
        made.done()
    }
}

/// What the program does by itself: first with its title and input, later with its status and output.
fn tool(made: &mut Made<'_>, line: &Line<'_>) -> Option<()> {
    let status = match line.status.as_str() {
        "" | "pending" => ToolStatus::Pending,
        "in-progress" => ToolStatus::InProgress,
        "completed" => ToolStatus::Completed,
        "failed" => ToolStatus::Failed,
        _ => return None,
    };
    if line.id.is_empty() || line.id.len() > SHORT_TEXT {
        return None;
    }
    let tool_call_id = line.id.clone();
    if line.title.is_empty() {
        let (content, raw_output) = (clip(line.text.clone(), TEXT_KEPT), kept(line.output));
        let update = ToolCallUpdate { tool_call_id, status: status.into(), content, raw_output, ..Default::default() };
        made.event(Kind::ToolCallUpdate(update));
    } else {
        made.event(Kind::ToolCall(ToolCall {
            tool_call_id,
            title: head(&line.title, 120),
            kind: requests::kind(&line.tool_kind).into(),
            status: status.into(),
            tool: clip(line.tool.clone(), SHORT_TEXT),
            raw_input: kept(line.input),
            ..ToolCall::default()
        }));
    }
    Some(())
}

fn kept(raw: Option<&RawValue>) -> String {
    raw.map(|raw| clip(raw.get().to_owned(), TEXT_KEPT)).unwrap_or_default()
}

fn written(value: &serde_json::Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
