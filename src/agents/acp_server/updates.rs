//! Events of an agent as the updates of ACP, in order; does not know who reads them and whether they are old.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::base::Characters;
use crate::wire::pipe_bytes;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentEvent, AgentStarted, Diff, Plan, PlanStatus, ToolCall, ToolCallUpdate, ToolKind, ToolLocation, ToolStatus,
    Usage,
};

/// Calls whose diff a client has seen; an agent has a few open, and above it an older one only shows its text as well.
const DIFFS: usize = 256;

/// What has to be remembered between two events.
#[derive(Debug, Default)]
pub(super) struct Updates {
    message: Block,
    thought: Block,
    /// Of a bare program's output.
    characters: Characters,
    /// Open tool calls that have shown a diff, which a text would replace.
    with_diff: BTreeSet<String>,
    commands: Vec<String>,
}

/// The block that is being said: how much of it went out, so that the whole one adds only what was missing.
#[derive(Debug, Default)]
struct Block {
    of: (String, u32),
    sent: usize,
    digest: Sha256,
}

impl Updates {
    /// What a client is told of an event; most are one update, some are none.
    pub(super) fn of(&mut self, event: &AgentEvent) -> Vec<Value> {
        let is_cut = event.cut.is_some();
        match &event.kind {
            Some(Kind::Message(chunk)) if chunk.parent_tool_call.is_empty() => {
                let text = self.message.rest(&chunk.message_id, chunk.block, &chunk.text, chunk.whole, is_cut);
                said("agent_message_chunk", text)
            }
            Some(Kind::Thought(chunk)) if chunk.parent_tool_call.is_empty() => {
                let text = self.thought.rest(&chunk.message_id, chunk.block, &chunk.text, chunk.whole, is_cut);
                said("agent_thought_chunk", text)
            }
            Some(Kind::PipeOutput(output)) => said("agent_message_chunk", self.characters.push(pipe_bytes(output))),
            Some(Kind::UserMessage(message)) => said("user_message_chunk", message.text.clone()),
            Some(Kind::ToolCall(call)) => vec![self.call(call)],
            Some(Kind::ToolCallUpdate(update)) => vec![self.call_update(update)],
            Some(Kind::Plan(plan)) => self::plan(plan),
            Some(Kind::Usage(usage)) => self::usage(usage).into_iter().collect(),
            Some(Kind::Mode(mode)) => vec![json!({"sessionUpdate": "current_mode_update", "currentModeId": mode.mode})],
            Some(Kind::Started(started)) => self.commands(started).into_iter().collect(),
            Some(Kind::Retrying(retry)) => {
                note(&format!("the agent asks its model again ({} of {}): {}", retry.attempt, retry.most, retry.why))
            }
            _ => Vec::new(),
        }
    }

    /// The commands of the agent, when they are others than the client knows.
    pub(super) fn commands(&mut self, started: &AgentStarted) -> Option<Value> {
        if started.commands == self.commands {
            return None;
        }
        self.commands.clone_from(&started.commands);
        let command = |name: &String| json!({"name": name, "description": format!("/{name}")});
        let commands: Vec<Value> = started.commands.iter().map(command).collect();
        Some(json!({"sessionUpdate": "available_commands_update", "availableCommands": commands}))
    }

    fn call(&mut self, call: &ToolCall) -> Value {
        if !call.diffs.is_empty() {
            if self.with_diff.len() >= DIFFS {
                self.with_diff.pop_first();
            }
            self.with_diff.insert(call.tool_call_id.clone());
        }
        let mut fields = Map::new();
        fields.insert("sessionUpdate".into(), "tool_call".into());
        fields.extend(fields_of_call(call));
        Value::Object(fields)
    }

    fn call_update(&mut self, update: &ToolCallUpdate) -> Value {
        let is_over = matches!(update.status(), ToolStatus::Completed | ToolStatus::Failed);
        let had_diff = self.with_diff.contains(&update.tool_call_id);
        let mut fields = Map::new();
        fields.insert("sessionUpdate".into(), "tool_call_update".into());
        fields.insert("toolCallId".into(), update.tool_call_id.as_str().into());
        if let Some(status) = status(update.status()) {
            fields.insert("status".into(), status.into());
        }
        if !update.title.is_empty() {
            fields.insert("title".into(), update.title.as_str().into());
        }
        // Content replaces what was there: "the file was updated" must not take the place of its diff.
        let text_counts = !had_diff || update.status() == ToolStatus::Failed;
        let mut content: Vec<Value> = update.diffs.iter().map(diff).collect();
        if !update.content.is_empty() && text_counts {
            content.push(json!({"type": "content", "content": {"type": "text", "text": update.content}}));
        }
        if !content.is_empty() {
            fields.insert("content".into(), content.into());
        }
        if !update.locations.is_empty() {
            fields.insert("locations".into(), locations(&update.locations));
        }
        if !update.raw_output.is_empty() {
            fields.insert("rawOutput".into(), raw(&update.raw_output));
        }
        if is_over {
            self.with_diff.remove(&update.tool_call_id);
        }
        Value::Object(fields)
    }
}

impl Block {
    /// What of this text was not sent before.
    fn rest(&mut self, message: &str, block: u32, text: &str, whole: bool, cut: bool) -> String {
        if (self.of.0.as_str(), self.of.1) != (message, block) {
            *self = Self { of: (message.to_owned(), block), ..Self::default() };
        }
        if !whole {
            self.sent += text.len();
            self.digest.update(text.as_bytes());
            return text.to_owned();
        }
        let before = std::mem::take(self);
        // The next chunk of the same number is another text.
        let known =
            text.get(..before.sent).filter(|known| Sha256::digest(known.as_bytes()) == before.digest.finalize());
        match (known, before.sent) {
            (_, 0) if cut => format!("{text} […]"),
            (_, 0) => text.to_owned(),
            (Some(known), _) => text.get(known.len()..).unwrap_or_default().to_owned(),
            // Cut short, or begun before its beginning was held: its chunks were all there is to say.
            (None, _) => String::new(),
        }
    }
}

/// A remark of the gateway's own: shown, and no part of the answer.
pub(super) fn note(text: &str) -> Vec<Value> {
    said("agent_thought_chunk", format!("[{}]\n", crate::base::printable(text, 600)))
}

/// The fields of a call that a request for leave repeats.
pub(super) fn fields_of_call(call: &ToolCall) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("toolCallId".into(), call.tool_call_id.as_str().into());
    fields.insert("title".into(), call.title.as_str().into());
    fields.insert("kind".into(), kind(call.kind()).into());
    fields.insert("status".into(), status(call.status()).unwrap_or("pending").into());
    if !call.raw_input.is_empty() {
        fields.insert("rawInput".into(), raw(&call.raw_input));
    }
    if !call.diffs.is_empty() {
        fields.insert("content".into(), call.diffs.iter().map(diff).collect());
    }
    if !call.locations.is_empty() {
        fields.insert("locations".into(), locations(&call.locations));
    }
    fields
}

fn said(update: &str, text: String) -> Vec<Value> {
    if text.is_empty() {
        return Vec::new();
    }
    vec![json!({"sessionUpdate": update, "content": {"type": "text", "text": text}})]
}

fn plan(plan: &Plan) -> Vec<Value> {
    if !plan.text.is_empty() {
        return said("agent_message_chunk", format!("{}\n", plan.text));
    }
    let entry = |entry: &crate::wire::v1::PlanEntry| {
        let status = match entry.status() {
            PlanStatus::InProgress => "in_progress",
            PlanStatus::Completed => "completed",
            PlanStatus::Pending | PlanStatus::Unspecified => "pending",
        };
        let priority = if matches!(&entry.priority[..], "high" | "low") { &entry.priority[..] } else { "medium" };
        json!({"content": entry.content, "status": status, "priority": priority})
    };
    vec![json!({"sessionUpdate": "plan", "entries": plan.entries.iter().map(entry).collect::<Vec<_>>()})]
}

/// None when the agent does not say how much fits: the field is not optional.
fn usage(usage: &Usage) -> Option<Value> {
    if usage.context_size == 0 {
        return None;
    }
    let mut update = json!({"sessionUpdate": "usage_update", "used": usage.context_used, "size": usage.context_size});
    if usage.total_cost_micros > 0
        && let Value::Object(fields) = &mut update
    {
        let amount = usage.total_cost_micros as f64 / 1e6;
        fields.insert("cost".into(), json!({"amount": amount, "currency": "USD"}));
    }
    Some(update)
}

/// JSON as it is; what was cut is no JSON any more, and goes as a text.
fn raw(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn diff(diff: &Diff) -> Value {
    let old = (!diff.old.is_empty()).then_some(&diff.old);
    json!({"type": "diff", "path": diff.path, "oldText": old, "newText": diff.new})
}

fn locations(locations: &[ToolLocation]) -> Value {
    let location = |at: &ToolLocation| match at.line {
        0 => json!({"path": at.path}),
        line => json!({"path": at.path, "line": line}),
    };
    locations.iter().map(location).collect()
}

pub(super) fn kind(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Read => "read",
        ToolKind::Edit => "edit",
        ToolKind::Delete => "delete",
        ToolKind::Move => "move",
        ToolKind::Search => "search",
        ToolKind::Execute => "execute",
        ToolKind::Think => "think",
        ToolKind::Fetch => "fetch",
        ToolKind::SwitchMode => "switch_mode",
        ToolKind::Other | ToolKind::Unspecified => "other",
    }
}

fn status(status: ToolStatus) -> Option<&'static str> {
    match status {
        ToolStatus::Pending => Some("pending"),
        ToolStatus::InProgress => Some("in_progress"),
        ToolStatus::Completed => Some("completed"),
        ToolStatus::Failed => Some("failed"),
        ToolStatus::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{Cut, MessageChunk, PlanEntry};

    fn event(kind: Kind) -> AgentEvent {
        AgentEvent { kind: Some(kind), ..AgentEvent::default() }
    }

    fn chunk(text: &str, block: u32, whole: bool) -> AgentEvent {
        event(Kind::Message(MessageChunk { text: text.into(), block, whole, ..MessageChunk::default() }))
    }

    fn text(updates: &[Value]) -> String {
        updates.iter().map(|update| update["content"]["text"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_block_comes_once_whether_streamed_whole_or_both() {
        let mut updates = Updates::default();
        let mut say = |text_in: &str, block, whole| text(&updates.of(&chunk(text_in, block, whole)));
        assert_eq!(say("whole", 0, true), "whole");
        assert_eq!(say("ab", 0, false), "ab");
        assert_eq!(say("c", 0, false), "c");
        assert_eq!(say("abcde", 0, true), "de", "what the chunks lacked");
        assert_eq!(say("x", 1, false), "x");
        assert_eq!(say("of another tail x", 1, true), "", "its beginning was gone: nothing twice");
        assert_eq!(say("é", 2, false), "é");
        assert_eq!(say("é", 2, true), "");
        assert_eq!(say("é", 2, true), "é", "the same again is another block");
        let cut = AgentEvent { cut: Some(Cut::default()), ..chunk("long", 3, true) };
        assert_eq!(text(&updates.of(&cut)), "long […]");
    }

    #[test]
    fn a_bare_programs_characters_come_whole() {
        let mut updates = Updates::default();
        let mut say = |bytes: &[u8]| updates.of(&event(Kind::PipeOutput(crate::wire::pipe_output(bytes))));
        assert_eq!(text(&say(b"one \xe6\xbc")), "one ");
        assert_eq!(text(&say(b"\xa2\xff")), "漢\u{fffd}");
        assert_eq!(say(b"\xe6"), [] as [Value; 0]);
    }

    #[test]
    fn a_diff_stays_when_its_tool_only_says_that_it_is_done() {
        let mut updates = Updates::default();
        let diffs = vec![Diff { path: "/a".into(), old: String::new(), new: "n".into() }];
        let call = ToolCall { tool_call_id: "t".into(), diffs, raw_input: "{\"a\":1}".into(), ..Default::default() };
        let shown = updates.of(&event(Kind::ToolCall(call.clone())));
        assert_eq!(
            shown,
            [
                json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "", "kind": "other", "status": "pending",
                "rawInput": {"a": 1}, "content": [{"type": "diff", "path": "/a", "oldText": null, "newText": "n"}]})
            ]
        );
        let update = |status: ToolStatus| {
            let (tool_call_id, content) = ("t".into(), "said".into());
            event(Kind::ToolCallUpdate(ToolCallUpdate {
                tool_call_id,
                status: status.into(),
                content,
                ..Default::default()
            }))
        };
        assert_eq!(updates.of(&update(ToolStatus::Completed))[0].get("content"), None);
        assert_eq!(
            updates.of(&update(ToolStatus::Completed))[0]["content"][0]["content"]["text"],
            "said",
            "forgotten when over"
        );
        updates.of(&event(Kind::ToolCall(call)));
        assert!(updates.of(&update(ToolStatus::Failed))[0].get("content").is_some(), "why it failed is shown");
    }

    #[test]
    fn what_was_cut_and_what_is_not_known_do_not_break_the_schema() {
        let mut updates = Updates::default();
        let call = ToolCall { raw_input: "{\"cut".into(), ..Default::default() };
        assert_eq!(updates.of(&event(Kind::ToolCall(call)))[0]["rawInput"], "{\"cut");
        assert_eq!(updates.of(&event(Kind::Usage(Usage { context_used: 5, ..Default::default() }))), [Value::Null; 0]);
        let entries = vec![PlanEntry { content: "c".into(), status: 0, priority: "urgent".into() }];
        let plan = updates.of(&event(Kind::Plan(Plan { entries, text: String::new() })));
        assert_eq!(plan[0]["entries"], json!([{"content": "c", "status": "pending", "priority": "medium"}]));
        assert!(updates.of(&AgentEvent::default()).is_empty());
    }
}
