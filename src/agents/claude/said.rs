//! What Claude Code says and its tools do: texts, thoughts, calls and their results; does not know who listens.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::inbound::{Block, Input, Said, Streamed, parsed};
use super::{Claude, tools};
use crate::agents::event::{Made, clip};
use crate::agents::few::Few;
use crate::agents::limits::{LIST, REQUEST_INPUT, SHORT_TEXT, TEXT_KEPT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{MessageChunk, Plan, PlanEntry, ThoughtChunk, ToolCallUpdate, ToolStatus, UserMessage};

/// Replies whose blocks are counted: a reply's blocks come together, those of sub-agents between them.
const REPLIES: usize = 32;

/// A task as the task tools tell it.
#[derive(Deserialize)]
struct Tasked {
    task: Task,
}
#[derive(Deserialize)]
struct Task {
    id: String,
    #[serde(default)]
    subject: String,
}

impl Claude {
    pub(super) fn streamed(&mut self, made: &mut Made<'_>, line: Streamed) {
        self.works(made);
        let event = line.event;
        if let Some(message) = event.message {
            self.streaming = clip(message.id, SHORT_TEXT);
        }
        if event.kind != "content_block_delta" {
            return;
        }
        let delta = event.delta.unwrap_or_default();
        let (message_id, block) = (self.streaming.clone(), event.index);
        let parent_tool_call = clip(line.parent_tool_use_id.unwrap_or_default(), SHORT_TEXT);
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            let text = clip(text, TEXT_KEPT);
            made.event(Kind::Message(MessageChunk { text, message_id, block, whole: false, parent_tool_call }));
        } else if let Some(text) = delta.thinking.filter(|text| !text.is_empty()) {
            let text = clip(text, TEXT_KEPT);
            made.event(Kind::Thought(ThoughtChunk { text, message_id, block, whole: false, parent_tool_call }));
        }
    }

    pub(super) fn assistant(&mut self, made: &mut Made<'_>, line: Said<'_>) {
        self.works(made);
        if let (Some(turn), Some("authentication_failed")) = (&mut self.turn, line.error.as_deref()) {
            turn.refused = true;
        }
        let message_id = clip(line.message.id.unwrap_or_default(), SHORT_TEXT);
        let parent = line.parent_tool_use_id.map(|id| clip(id, SHORT_TEXT));
        if let (Some(usage), None) = (&line.message.usage, &parent) {
            let tokens = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
            self.context = if tokens > 0.0 { tokens as u64 } else { self.context };
        }
        let blocks: Few<Block<'_>> = serde_json::from_str(line.message.content.get()).unwrap_or_default();
        for one in blocks.0 {
            let block = self.next_block(&message_id);
            let message_id = message_id.clone();
            let parent_tool_call = parent.clone().unwrap_or_default();
            match one.kind.as_str() {
                "text" => {
                    let text = clip(one.text.unwrap_or_default(), TEXT_KEPT);
                    made.event(Kind::Message(MessageChunk { text, message_id, block, whole: true, parent_tool_call }));
                }
                "thinking" => {
                    let text = clip(one.thinking.unwrap_or_default(), TEXT_KEPT);
                    made.event(Kind::Thought(ThoughtChunk { text, message_id, block, whole: true, parent_tool_call }));
                }
                "tool_use" => self.called(made, one, parent.clone()),
                _ => {}
            }
        }
    }

    fn next_block(&mut self, message_id: &str) -> u32 {
        if let Some((_, next)) = self.blocks.iter_mut().find(|(id, _)| id == message_id) {
            let block = *next;
            *next = next.saturating_add(1);
            return block;
        }
        if self.blocks.len() >= REPLIES {
            self.blocks.pop_front();
        }
        self.blocks.push_back((message_id.to_owned(), 1));
        0
    }

    fn called(&mut self, made: &mut Made<'_>, block: Block<'_>, parent: Option<String>) {
        let (id, tool) = (block.id.unwrap_or_default(), block.name.unwrap_or_default());
        made.event(Kind::ToolCall(tools::call(&id, &tool, block.input, parent)));
        let input = Input::read(block.input);
        match tool.as_str() {
            "TodoWrite" => {
                if let Some(entries) = tools::entries(&input) {
                    made.event(Kind::Plan(Plan { entries, text: String::new() }));
                }
            }
            "TaskUpdate" => {
                let number =
                    input.text("taskId").and_then(|id| id.parse::<usize>().ok()).and_then(|id| id.checked_sub(1));
                let entry = number.and_then(|place| self.tasks.entries.get_mut(place));
                if let (Some(entry), Some(status)) = (entry, input.text("status")) {
                    entry.status = tools::status(status).into();
                    made.event(Kind::Plan(self.tasks.clone()));
                }
            }
            _ => {}
        }
    }

    pub(super) fn user(&mut self, made: &mut Made<'_>, line: Said<'_>) {
        // Said already when the prompt was handed over; and what the agent tells itself is no prompt.
        if line.is_replay {
            return;
        }
        let Ok(blocks) = serde_json::from_str::<Few<Block<'_>>>(line.message.content.get()) else { return };
        let mut output = line.tool_use_result;
        for block in blocks.0 {
            match (block.kind.as_str(), &line.parent_tool_use_id) {
                ("tool_result", _) => self.called_back(made, block, output.take()),
                // What a sub-agent was told to do.
                ("text", Some(_)) => made.event(Kind::UserMessage(UserMessage {
                    text: clip(block.text.unwrap_or_default(), TEXT_KEPT),
                    ..UserMessage::default()
                })),
                _ => {}
            }
        }
    }

    fn called_back(&mut self, made: &mut Made<'_>, block: Block<'_>, output: Option<&RawValue>) {
        let failed = block.is_error.unwrap_or(false);
        made.event(Kind::ToolCallUpdate(ToolCallUpdate {
            tool_call_id: clip(block.tool_use_id.unwrap_or_default(), SHORT_TEXT),
            status: if failed { ToolStatus::Failed } else { ToolStatus::Completed }.into(),
            raw_output: output.map(|raw| clip(raw.get().to_owned(), REQUEST_INPUT)).unwrap_or_default(),
            content: content(block.content),
            ..ToolCallUpdate::default()
        }));
        let created =
            parsed::<Tasked>(output).filter(|made| made.task.id == (self.tasks.entries.len() + 1).to_string());
        if let Some(Tasked { task }) = created.filter(|_| self.tasks.entries.len() < LIST) {
            let content = clip(task.subject, SHORT_TEXT);
            let status = crate::wire::v1::PlanStatus::Pending.into();
            self.tasks.entries.push(PlanEntry { content, status, priority: String::new() });
            made.event(Kind::Plan(self.tasks.clone()));
        }
    }
}

/// The text of a tool's result: a text, or the texts of its blocks.
fn content(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw else { return String::new() };
    if let Ok(text) = serde_json::from_str::<String>(raw.get()) {
        return clip(text, TEXT_KEPT);
    }
    let blocks: Few<Block<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    let texts: Vec<String> = blocks.0.into_iter().filter_map(|block| block.text).collect();
    clip(texts.join("\n"), TEXT_KEPT)
}
