//! What `session/update` says, as events; does not know whether anybody listens.

use agent_client_protocol_schema::v1;
use serde_json::value::RawValue;

use super::inbound::{Block, Call, Chunk, Notified, UpdateKind, parsed, read};
use super::{Acp, Phase};
use crate::agents::event::{Made, clip};
use crate::agents::limits::{LIST, SHORT_TEXT, TEXT_KEPT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{MessageChunk, Plan, PlanEntry, PlanStatus, ThoughtChunk, UserMessage};

impl Acp {
    /// One notification. Of another conversation than ours: none of our business.
    pub(super) fn updated(&mut self, made: &mut Made<'_>, params: Option<&RawValue>) -> Option<()> {
        let notified: Notified<'_> = read(params)?;
        if !self.session.is_empty() && notified.session_id != self.session.as_str() {
            return Some(());
        }
        let raw = Some(notified.update);
        match read::<UpdateKind>(raw)?.kind.as_str() {
            "agent_message_chunk" => self.spoke(made, read(raw)?),
            "agent_thought_chunk" => self.thought(made, read(raw)?),
            "user_message_chunk" => self.user_message(made, read(raw)?),
            "tool_call" | "tool_call_update" => self.calls.told(made, &read::<Call<'_>>(raw)?),
            "plan" => made.event(Kind::Plan(plan(parsed(raw)?))),
            "usage_update" => self.context_used(made, &parsed(raw)?),
            "available_commands_update" => self.commands(made, parsed(raw)?),
            "current_mode_update" => {
                let update: v1::CurrentModeUpdate = parsed(raw)?;
                self.mode_is(made, &update.current_mode_id.0);
            }
            "config_option_update" => {
                let update: v1::ConfigOptionUpdate = parsed(raw)?;
                self.options_are(made, update.config_options);
            }
            _ => {}
        }
        Some(())
    }

    fn spoke(&self, made: &mut Made<'_>, chunk: Chunk<'_>) {
        if let Some((message_id, text)) = said(chunk) {
            made.event(Kind::Message(MessageChunk { text, message_id, ..MessageChunk::default() }));
        }
    }

    fn thought(&self, made: &mut Made<'_>, chunk: Chunk<'_>) {
        if let Some((message_id, text)) = said(chunk) {
            made.event(Kind::Thought(ThoughtChunk { text, message_id, ..ThoughtChunk::default() }));
        }
    }

    /// From the agent's history. In a turn of ours it is the echo of a prompt that everybody has seen.
    fn user_message(&self, made: &mut Made<'_>, chunk: Chunk<'_>) {
        if let Some((_, text)) = said(chunk).filter(|_| self.turn.is_none()) {
            made.event(Kind::UserMessage(UserMessage { text, ..UserMessage::default() }));
        }
    }

    fn commands(&mut self, made: &mut Made<'_>, update: v1::AvailableCommandsUpdate) {
        let all = update.available_commands.into_iter().take(LIST);
        let commands: Vec<String> = all.map(|one| clip(one.name, SHORT_TEXT)).collect();
        if self.started.commands != commands {
            self.started.commands = commands;
            self.say_started(made);
        }
    }

    /// Once there is a conversation to say it of.
    pub(super) fn say_started(&self, made: &mut Made<'_>) {
        if matches!(self.phase, Phase::Ready) {
            made.event(Kind::Started(self.started.clone()));
        }
    }

    fn context_used(&mut self, made: &mut Made<'_>, update: &v1::UsageUpdate) {
        let before = self.usage;
        self.usage.context_used = update.used;
        self.usage.context_size = update.size;
        if let Some(cost) = update.cost.as_ref().filter(|cost| cost.currency == "USD" && cost.amount >= 0.0) {
            // A float that is too large or no number becomes the nearest integer or 0.
            self.usage.total_cost_micros = (cost.amount * 1e6).round() as u64;
        }
        if self.usage != before {
            made.event(Kind::Usage(self.usage));
        }
    }
}

/// The id and text of a chunk; none when it is empty, as those at the beginning of a block are.
fn said(chunk: Chunk<'_>) -> Option<(String, String)> {
    let text = read::<Block<'_>>(Some(chunk.content))?.words();
    let id = clip(read::<String>(chunk.message_id).unwrap_or_default(), SHORT_TEXT);
    (!text.is_empty()).then(|| (id, clip(text, TEXT_KEPT)))
}

fn plan(update: v1::Plan) -> Plan {
    let entry = |one: v1::PlanEntry| PlanEntry {
        content: clip(one.content, SHORT_TEXT),
        status: match one.status {
            v1::PlanEntryStatus::Pending => PlanStatus::Pending,
            v1::PlanEntryStatus::InProgress => PlanStatus::InProgress,
            v1::PlanEntryStatus::Completed => PlanStatus::Completed,
            _ => PlanStatus::Unspecified,
        }
        .into(),
        priority: match one.priority {
            v1::PlanEntryPriority::High => "high",
            v1::PlanEntryPriority::Medium => "medium",
            v1::PlanEntryPriority::Low => "low",
            _ => "",
        }
        .to_owned(),
    };
    Plan { entries: update.entries.into_iter().take(LIST).map(entry).collect(), text: String::new() }
}
