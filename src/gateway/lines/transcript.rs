//! What happens in a conversation as rows for good: each event said once, in order, for a width. Does not know the live
//! region, nor who decides.

use std::collections::VecDeque;

use super::stream::{Block, Said, Stream};
use super::text::{Care, Row, Style, clean, hanging, rows, without_colours};
use super::{asked, tools};
use crate::base::{Characters, printable};
use crate::gateway::verbs::clip;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentEvent, AgentLog, AgentStream, Cut, MessageChunk, PipeOutput, PromptPhase, PromptState, Retrying, StopReason,
    ThoughtChunk, ToolCall, ToolCallUpdate, ToolKind, ToolStatus, TurnEnded, Usage, UserMessage,
};
use crate::wire::{agent_event_length, pipe_bytes};

/// Tool calls whose end may still come: agents run a few at a time.
const CALLS: usize = 64;
/// Blocks that were interrupted by others and may go on: an agent and its sub-agents.
const BLOCKS: usize = 16;
/// Characters of a name, a reason or a title.
const SHORT: usize = 400;

/// What the last row belongs to: a blank row parts different things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Topic {
    #[default]
    Nothing,
    User,
    Message,
    Thought,
    Tool,
    Remark,
    Turn,
}

/// How a text of the agent comes.
#[derive(Debug, Clone, Copy)]
enum Told {
    Piece,
    Whole,
    /// The whole was too long for an event.
    Beginning {
        missing: u64,
    },
}

impl Told {
    fn by(whole: bool, event: &AgentEvent) -> Self {
        match &event.cut {
            _ if !whole => Self::Piece,
            None => Self::Whole,
            Some(cut) => Self::Beginning { missing: missing(cut, event) },
        }
    }
}

struct Call {
    id: String,
    title: String,
    kind: ToolKind,
    /// Shown when it has been made, unless somebody was asked about it and saw it then.
    diffs: Vec<crate::wire::v1::Diff>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Transcript {
    width: usize,
    out: Vec<Row>,
    topic: Topic,
    stream: Option<Stream>,
    /// Of a bare program's output.
    characters: Characters,
    interrupted: VecDeque<Said>,
    calls: VecDeque<Call>,
    /// The call of the last row.
    latest: String,
    usage: Option<Usage>,
    plan: Option<crate::wire::v1::Plan>,
    /// What comes is history: nothing of it is still being written but the very last.
    pub(super) history: bool,
}

impl Transcript {
    /// From now on rows have at most so many columns.
    pub(super) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// The rows that stand for good since the last time.
    pub(super) fn take_rows(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.out)
    }

    /// The row that is still being written.
    pub(super) fn tail(&self) -> Vec<Row> {
        let mut tail = self.stream.as_ref().map(|stream| stream.tail(self.width)).unwrap_or_default();
        let part = self.stream.as_ref().is_some_and(|stream| self.is_parted(topic_of(&stream.said.block)));
        if part && !tail.is_empty() {
            tail.insert(0, Row::default());
        }
        tail
    }

    /// What follows is live.
    pub(super) fn live(&mut self) {
        if std::mem::take(&mut self.history)
            && let Some(mut stream) = self.stream.take()
        {
            let rows = stream.push("", self.width, false);
            self.say(topic_of(&stream.said.block), rows);
            self.stream = Some(stream);
        }
    }

    /// A row of our own.
    pub(super) fn remark(&mut self, style: Style, text: &str) {
        self.end_stream();
        let rows = rows(style, "", &printable(text, SHORT), self.width);
        self.say(Topic::Remark, rows);
    }

    /// What somebody is asked to decide, whole; how many characters of it found no room.
    pub(super) fn asked(&mut self, asked: &crate::wire::v1::PermissionAsked) -> usize {
        self.end_stream();
        let sheet = asked::sheet(asked, self.width);
        if sheet.has_change
            && let Some(call) = self.calls.iter_mut().find(|call| call.id == asked.tool_call_id)
        {
            call.diffs.clear();
        }
        self.say(Topic::Tool, sheet.rows);
        sheet.left
    }

    /// What happened.
    pub(super) fn take(&mut self, event: &AgentEvent) {
        match &event.kind {
            Some(Kind::Message(chunk)) => self.message(chunk, event),
            Some(Kind::Thought(chunk)) => self.thought(chunk, event),
            Some(Kind::PipeOutput(output)) => self.output(output),
            Some(Kind::UserMessage(message)) => self.user(message),
            Some(Kind::ToolCall(call)) => self.called(call),
            Some(Kind::ToolCallUpdate(update)) => self.updated(update),
            Some(Kind::Plan(plan)) if self.plan.as_ref() != Some(plan) => {
                self.end_stream();
                self.say(Topic::Tool, tools::plan(plan, self.width));
                self.plan = Some(plan.clone());
            }
            Some(Kind::Retrying(retrying)) => self.retrying(retrying),
            Some(Kind::Usage(usage)) => self.usage = Some(*usage),
            Some(Kind::TurnEnded(ended)) => self.turn_ended(ended),
            Some(Kind::Prompt(state)) => self.prompt(state),
            Some(Kind::Mode(mode)) => self.remark(Style::Dim, &format!("mode: {}", mode.mode)),
            Some(Kind::Model(model)) => self.remark(Style::Dim, &format!("model: {}", model.model)),
            Some(Kind::Log(log)) => self.log(log),
            Some(Kind::RuleAdded(added)) => {
                if let Some(rule) = &added.rule {
                    self.remark(Style::Dim, &format!("{}: {} (by {})", rule.id, rule.description, rule.by));
                }
            }
            Some(Kind::RuleRemoved(gone)) => {
                self.remark(Style::Dim, &format!("{} was taken back by {}", gone.id, gone.by));
            }
            _ => {}
        }
    }

    fn message(&mut self, chunk: &MessageChunk, event: &AgentEvent) {
        let MessageChunk { message_id, block, parent_tool_call, text, whole } = chunk;
        let (message, number, parent) = (message_id.clone(), *block, parent_tool_call.clone());
        self.text(Block { message, number, thought: false, parent }, text, Told::by(*whole, event));
    }

    fn thought(&mut self, chunk: &ThoughtChunk, event: &AgentEvent) {
        let ThoughtChunk { message_id, block, parent_tool_call, text, whole } = chunk;
        let (message, number, parent) = (message_id.clone(), *block, parent_tool_call.clone());
        self.text(Block { message, number, thought: true, parent }, text, Told::by(*whole, event));
    }

    /// One text without an end.
    fn output(&mut self, output: &PipeOutput) {
        let text = self.characters.push(pipe_bytes(output));
        let block = Block { message: String::new(), number: 0, thought: false, parent: String::new() };
        self.text(block, &text, Told::Piece);
    }

    fn text(&mut self, block: Block, text: &str, told: Told) {
        let topic = topic_of(&block);
        if self.stream.as_ref().is_none_or(|stream| stream.said.block != block) {
            self.end_stream();
            let place = self.interrupted.iter().position(|said| said.block == block);
            let said = place.and_then(|place| self.interrupted.remove(place));
            self.stream = Some(Stream::new(said.unwrap_or_else(|| Said::nothing(block))));
        }
        let Some(mut stream) = self.stream.take() else { return };
        let rows = match told {
            Told::Piece => {
                let rows = stream.push(text, self.width, self.history);
                self.say(topic, rows);
                self.stream = Some(stream);
                return;
            }
            Told::Whole => stream.whole(text, self.width),
            // Its pieces were all of it.
            Told::Beginning { .. } if stream.said.is_begun() => stream.end(self.width),
            Told::Beginning { missing } => {
                let mut rows = stream.whole(text, self.width);
                let mark = format!("… shortened: {missing} bytes more");
                rows.push(Row::clipped(Style::Warning, &mark, self.width));
                rows
            }
        };
        self.say(topic, rows);
    }

    fn user(&mut self, message: &UserMessage) {
        self.end_stream();
        // Half a row at most: what was said is more than who said it.
        let who = clip(&printable(&message.who, 40), (self.width / 2).saturating_sub(2));
        let text = clean(message.text.trim_end(), Care::Prose);
        let rows = hanging(Style::User, &format!("{who}> "), &text, self.width);
        self.say(Topic::User, rows);
    }

    fn called(&mut self, call: &ToolCall) {
        self.end_stream();
        if self.calls.len() >= CALLS {
            self.calls.pop_front();
        }
        let (id, title, kind) = (call.tool_call_id.clone(), call.title.clone(), call.kind());
        let call = Call { id, title, kind, diffs: call.diffs.clone() };
        self.title(&call, "");
        self.calls.push_back(call);
    }

    fn title(&mut self, call: &Call, what: &str) {
        let mark = format!("{} ", tools::icon(call.kind));
        let rows = hanging(Style::Bold, &mark, &printable(&format!("{}{what}", call.title), SHORT), self.width);
        // Each call stands for itself.
        self.topic = if self.topic == Topic::Tool { Topic::Nothing } else { self.topic };
        if self.topic == Topic::Nothing && !self.latest.is_empty() {
            self.out.push(Row::default());
        }
        self.latest.clone_from(&call.id);
        self.say(Topic::Tool, rows);
    }

    fn updated(&mut self, update: &ToolCallUpdate) {
        let place = self.calls.iter().position(|call| call.id == update.tool_call_id);
        let failed = update.status() == ToolStatus::Failed;
        if !failed && update.status() != ToolStatus::Completed {
            if let Some(call) = place.and_then(|place| self.calls.get_mut(place)) {
                call.diffs.extend(update.diffs.iter().cloned());
                if !update.title.is_empty() {
                    call.title.clone_from(&update.title);
                }
            }
            return;
        }
        self.end_stream();
        let call = place.and_then(|place| self.calls.remove(place));
        if let Some(call) = call.as_ref().filter(|call| call.id != self.latest) {
            self.title(call, if failed { " (failed)" } else { " (done)" });
        }
        let mut rows = Vec::new();
        if !failed && let Some(call) = &call {
            rows.extend(tools::changes(&call.diffs, self.width));
            rows.extend(tools::changes(&update.diffs, self.width));
        }
        rows.extend(tools::output(&update.content, failed, self.width));
        self.say(Topic::Tool, rows);
    }

    fn retrying(&mut self, retry: &Retrying) {
        let Retrying { attempt, most, delay_ms, why, .. } = retry;
        let text = format!("retries {attempt} of {most} in {}: {why}", seconds(*delay_ms));
        self.remark(Style::Warning, &text);
    }

    fn prompt(&mut self, state: &PromptState) {
        let why = state.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
        match state.phase() {
            // The end of its turn has said so.
            _ if state.turn > 0 => {}
            PromptPhase::Failed => self.remark(Style::Bad, &format!("a prompt failed: {why}")),
            PromptPhase::Cancelled => self.remark(Style::Dim, "a prompt was taken out of the queue"),
            PromptPhase::Unknown => self.remark(Style::Bad, "the agent went away with a prompt"),
            _ => {}
        }
    }

    fn turn_ended(&mut self, ended: &TurnEnded) {
        self.end_stream();
        let usage = self.usage.take();
        let error = ended.error.as_ref().map(|error| error.message.as_str()).filter(|text| !text.is_empty());
        let (style, what) = match ended.stop_reason() {
            StopReason::Error => (Style::Bad, format!("failed: {}", error.unwrap_or("the agent does not say why"))),
            StopReason::Gone => (Style::Bad, "the agent is gone".to_owned()),
            StopReason::Cancelled => (Style::Warning, "interrupted".to_owned()),
            StopReason::Refusal => (Style::Warning, "the model refused".to_owned()),
            StopReason::MaxTokens => (Style::Warning, "cut off: the answer's limit of tokens".to_owned()),
            StopReason::MaxTurnRequests => (Style::Warning, "stopped: the limit of requests in one turn".to_owned()),
            StopReason::EndTurn | StopReason::Unspecified => (Style::Dim, "done".to_owned()),
        };
        let facts = [seconds(ended.duration_ms), usage.map(used).unwrap_or_default()];
        let facts: Vec<&str> = facts.iter().map(String::as_str).filter(|fact| !fact.is_empty()).collect();
        let text = format!("-- {}, {}", printable(&what, SHORT), facts.join(", "));
        let rows = rows(style, "", &text, self.width);
        self.say(Topic::Turn, rows);
    }

    fn log(&mut self, log: &AgentLog) {
        // What this version does not understand helps nobody who talks with the agent.
        if !matches!(log.stream(), AgentStream::Host | AgentStream::Stderr) {
            return;
        }
        let line = without_colours(&log.line);
        if !line.trim().is_empty() {
            self.remark(Style::Dim, &line);
        }
    }

    fn end_stream(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let rows = stream.end(self.width);
        self.say(topic_of(&stream.said.block), rows);
        if self.interrupted.len() >= BLOCKS {
            self.interrupted.pop_front();
        }
        self.interrupted.push_back(stream.said);
    }

    fn say(&mut self, topic: Topic, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        if self.is_parted(topic) {
            self.out.push(Row::default());
        }
        // A decision about a call is no reason to name it again.
        if !matches!(topic, Topic::Tool | Topic::Remark) {
            self.latest.clear();
        }
        self.topic = topic;
        self.out.extend(rows);
    }

    fn is_parted(&self, topic: Topic) -> bool {
        self.topic != Topic::Nothing && self.topic != topic
    }
}

/// Bytes that a cut event left out.
pub(super) fn missing(cut: &Cut, event: &AgentEvent) -> u64 {
    cut.length.saturating_sub(agent_event_length(event) as u64)
}

fn topic_of(block: &Block) -> Topic {
    if block.thought || !block.parent.is_empty() { Topic::Thought } else { Topic::Message }
}

/// `840 ms`, `3.2 s`, `4 min`.
fn seconds(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

fn used(usage: Usage) -> String {
    let read = usage.input_tokens + usage.cached_read_tokens + usage.cached_write_tokens;
    if read + usage.output_tokens == 0 {
        return String::new();
    }
    let mut out = format!("{read} tokens in, {} out", usage.output_tokens);
    if let Some(part) = (usage.context_used * 100).checked_div(usage.context_size).filter(|part| *part > 0) {
        out.push_str(&format!(", context {part} %"));
    }
    if usage.total_cost_micros > 0 {
        let cents = usage.total_cost_micros.div_ceil(10_000);
        out.push_str(&format!(", ${}.{:02} in all", cents / 100, cents % 100));
    }
    out
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
