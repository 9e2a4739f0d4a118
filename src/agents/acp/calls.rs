//! Tool calls of an ACP agent in neutral words, and what is remembered of those that run; does not know what is decided
//! about them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use agent_client_protocol_schema::v1;
use serde_json::value::RawValue;

use super::inbound::{Block, Call, CallMeta, Location, Piece, parsed, read};
use crate::agents::event::{Made, clip, head};
use crate::agents::few::Few;
use crate::agents::limits::{PATH, RAW_KEPT, SHORT_TEXT, TEXT_KEPT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{Diff, ToolCall, ToolCallUpdate, ToolKind, ToolLocation, ToolStatus};

/// The longest title, in characters.
const TITLE: usize = 120;
/// Calls of which is remembered what they are: agents run a handful at once. The oldest is forgotten.
pub(super) const RUNNING: usize = 1024;
/// Inputs of running calls that are remembered, together: a request for leave may name its call alone.
const INPUTS_KEPT: usize = 64 * RAW_KEPT;

/// What has been said of a call that still runs.
#[derive(Default, Clone)]
pub(super) struct Known {
    id: String,
    pub(super) title: String,
    pub(super) tool: String,
    pub(super) kind: ToolKind,
    /// JSON text; none where it was too long to be kept.
    pub(super) input: Option<String>,
    /// Of the input as it was last seen, kept or not.
    seen: u64,
}

/// The calls that run, oldest first.
#[derive(Default)]
pub(super) struct Calls {
    running: VecDeque<Known>,
    /// Bytes of all inputs kept.
    kept: usize,
}

impl Calls {
    /// Says what a `tool_call` or `tool_call_update` says.
    pub(super) fn told(&mut self, made: &mut Made<'_>, call: &Call<'_>) {
        let id = clip(call.tool_call_id.clone(), SHORT_TEXT);
        let before = self.running.iter().position(|known| known.id == id).and_then(|place| self.running.remove(place));
        self.kept -= before.as_ref().map_or(0, Known::cost);
        let is_new = before.is_none();
        let mut known = before.unwrap_or_else(|| Known { id: id.clone(), ..Known::default() });
        let has_learned = known.learn(call);
        let status = status(call);
        if is_new || has_learned {
            made.event(Kind::ToolCall(known.event(call, status)));
        }
        let update = update(id, call, status);
        if if is_new || has_learned { is_result(&update) } else { says_something(&update) } {
            made.event(Kind::ToolCallUpdate(update));
        }
        if !matches!(status, ToolStatus::Completed | ToolStatus::Failed) {
            self.remember(known);
        }
    }

    /// What is known of this call.
    pub(super) fn find(&self, id: &str) -> Option<&Known> {
        self.running.iter().find(|known| known.id == id)
    }

    /// No call of this turn runs any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Calls, and bytes of their inputs.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.running.len(), self.kept)
    }

    fn remember(&mut self, known: Known) {
        self.kept += known.cost();
        self.running.push_back(known);
        if self.running.len() > RUNNING {
            self.kept -= self.running.pop_front().as_ref().map_or(0, Known::cost);
        }
        for oldest in &mut self.running {
            if self.kept <= INPUTS_KEPT {
                break;
            }
            self.kept -= oldest.cost();
            oldest.input = None;
        }
    }
}

impl Known {
    /// Takes over what is said; true: of what it would do, which an update's event has no place for.
    pub(super) fn learn(&mut self, call: &Call<'_>) -> bool {
        if let Some(title) = read::<String>(call.title) {
            self.title = head(&title, TITLE);
        }
        let named = read::<String>(call.name).or_else(|| read::<CallMeta>(call.meta).map(|meta| meta.claude.name));
        if let Some(name) = named {
            self.tool = clip(name, SHORT_TEXT);
        }
        if let Some(said) = parsed::<v1::ToolKind>(call.kind) {
            self.kind = kind(said);
        }
        let Some(raw) = call.raw_input.map(RawValue::get) else { return false };
        let mut hasher = DefaultHasher::new();
        raw.hash(&mut hasher);
        let seen = hasher.finish();
        let has_changed = seen != self.seen;
        self.seen = seen;
        self.input = (raw.len() <= RAW_KEPT).then(|| raw.to_owned());
        has_changed
    }

    /// The agent's name of the tool; the kind where it says none.
    pub(super) fn tool(&self) -> &str {
        if !self.tool.is_empty() {
            return &self.tool;
        }
        match self.kind {
            ToolKind::Read => "read",
            ToolKind::Edit => "edit",
            ToolKind::Delete => "delete",
            ToolKind::Move => "move",
            ToolKind::Search => "search",
            ToolKind::Execute => "execute",
            ToolKind::Think => "think",
            ToolKind::Fetch => "fetch",
            ToolKind::SwitchMode => "switch-mode",
            ToolKind::Other | ToolKind::Unspecified => "tool",
        }
    }

    fn cost(&self) -> usize {
        self.input.as_ref().map_or(0, String::len)
    }

    fn event(&self, call: &Call<'_>, status: ToolStatus) -> ToolCall {
        ToolCall {
            tool_call_id: self.id.clone(),
            title: self.title.clone(),
            kind: self.kind.into(),
            status: if status == ToolStatus::Unspecified { ToolStatus::Pending } else { status }.into(),
            tool: self.tool.clone(),
            raw_input: json_text(call.raw_input),
            locations: locations(call),
            diffs: shown(call).1,
            parent_tool_call: String::new(),
        }
    }
}

/// Where the call works.
pub(super) fn locations(call: &Call<'_>) -> Vec<ToolLocation> {
    let all: Few<Location> = read(call.locations).unwrap_or_default();
    let one = |one: Location| ToolLocation { path: clip(one.path, PATH), line: one.line.unwrap_or(0) };
    all.0.into_iter().map(one).collect()
}

/// What the call shows: its texts, and what it changes.
pub(super) fn shown(call: &Call<'_>) -> (String, Vec<Diff>) {
    let pieces: Few<Piece<'_>> = read(call.content).unwrap_or_default();
    let (mut text, mut diffs) = (String::new(), Vec::new());
    for piece in pieces.0 {
        if piece.kind == "diff" {
            let old = clip(piece.old_text.unwrap_or_default(), TEXT_KEPT);
            diffs.push(Diff { path: clip(piece.path, PATH), old, new: clip(piece.new_text, TEXT_KEPT) });
        } else if let Some(block) = read::<Block<'_>>(piece.content) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&block.words());
        }
    }
    (clip(text, TEXT_KEPT), diffs)
}

fn update(tool_call_id: String, call: &Call<'_>, status: ToolStatus) -> ToolCallUpdate {
    let (content, diffs) = shown(call);
    ToolCallUpdate {
        tool_call_id,
        status: status.into(),
        title: read::<String>(call.title).map(|title| head(&title, TITLE)).unwrap_or_default(),
        raw_output: json_text(call.raw_output),
        content,
        locations: locations(call),
        diffs,
    }
}

/// Whether it says more than the call's own event has said.
fn is_result(update: &ToolCallUpdate) -> bool {
    let is_over = [ToolStatus::Completed, ToolStatus::Failed].contains(&update.status());
    is_over || !update.content.is_empty() || !update.raw_output.is_empty()
}

fn says_something(update: &ToolCallUpdate) -> bool {
    let nothing = ToolCallUpdate { tool_call_id: update.tool_call_id.clone(), ..ToolCallUpdate::default() };
    *update != nothing
}

fn json_text(raw: Option<&RawValue>) -> String {
    raw.map(|raw| clip(raw.get().to_owned(), TEXT_KEPT)).unwrap_or_default()
}

fn status(call: &Call<'_>) -> ToolStatus {
    match parsed::<v1::ToolCallStatus>(call.status) {
        Some(v1::ToolCallStatus::Pending) => ToolStatus::Pending,
        Some(v1::ToolCallStatus::InProgress) => ToolStatus::InProgress,
        Some(v1::ToolCallStatus::Completed) => ToolStatus::Completed,
        Some(v1::ToolCallStatus::Failed) => ToolStatus::Failed,
        _ => ToolStatus::Unspecified,
    }
}

fn kind(said: v1::ToolKind) -> ToolKind {
    match said {
        v1::ToolKind::Read => ToolKind::Read,
        v1::ToolKind::Edit => ToolKind::Edit,
        v1::ToolKind::Delete => ToolKind::Delete,
        v1::ToolKind::Move => ToolKind::Move,
        v1::ToolKind::Search => ToolKind::Search,
        v1::ToolKind::Execute => ToolKind::Execute,
        v1::ToolKind::Think => ToolKind::Think,
        v1::ToolKind::Fetch => ToolKind::Fetch,
        v1::ToolKind::SwitchMode => ToolKind::SwitchMode,
        _ => ToolKind::Other,
    }
}
