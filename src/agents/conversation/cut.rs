//! Events on their way out: what is too long for a viewer's line is shortened; does not know who fetches the rest.
//!
//! The host keeps the whole event, encoded, in its ring under its number; a viewer that wants the rest reads that number.

use crate::agents::event::clip;
use crate::agents::limits::{EVENT_BRIEF, EVENT_OUT, TEXT_OUT};
use crate::wire::agent_event_length;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentEvent, Cut, Diff, Question};

/// Entries of a list in a cut event.
const ENTRIES: usize = 8;

/// The event as it goes out when it is too long whole; none: it may go as it is.
pub fn cut(event: &AgentEvent) -> Option<AgentEvent> {
    let length = agent_event_length(event);
    if length <= EVENT_OUT {
        return None;
    }
    let mut short = event.clone();
    short.raw.truncate(TEXT_OUT);
    short.cut = Some(Cut { length: length as u64, fetchable: true });
    if let Some(kind) = &mut short.kind {
        shorten(kind);
    }
    if agent_event_length(&short) > EVENT_OUT {
        // Nothing that a driver makes comes here; what it is about stays known to whoever fetches it.
        short.kind = None;
    }
    Some(short)
}

/// The event as it goes beside a terminal: without the agent's line, and so short that it fits into one frame. What is left out
/// of an open request stands in the summary.
pub fn brief(event: &AgentEvent) -> AgentEvent {
    let mut brief = AgentEvent { raw: Default::default(), raw_length: 0, ..event.clone() };
    let length = agent_event_length(&brief);
    if length <= EVENT_BRIEF {
        return brief;
    }
    brief.cut = Some(Cut { length: length as u64, fetchable: false });
    match &mut brief.kind {
        Some(Kind::PermissionAsked(asked)) => {
            asked.input.clear();
            asked.command = clip(std::mem::take(&mut asked.command), TEXT_OUT / 2);
            asked.paths.clear();
        }
        Some(Kind::QuestionAsked(asked)) => asked.questions.clear(),
        Some(Kind::QuestionClosed(closed)) => closed.answers.clear(),
        kind => *kind = None,
    }
    brief
}

fn shorten(kind: &mut Kind) {
    match kind {
        Kind::Message(said) => text(&mut said.text),
        Kind::Thought(said) => text(&mut said.text),
        Kind::UserMessage(said) => text(&mut said.text),
        Kind::ToolCall(call) => {
            text(&mut call.raw_input);
            diffs(&mut call.diffs);
            call.locations.truncate(ENTRIES);
        }
        Kind::ToolCallUpdate(update) => {
            text(&mut update.raw_output);
            text(&mut update.content);
            diffs(&mut update.diffs);
            update.locations.truncate(ENTRIES);
        }
        Kind::Plan(plan) => {
            text(&mut plan.text);
            plan.entries.truncate(ENTRIES);
        }
        Kind::PermissionAsked(asked) => {
            text(&mut asked.input);
            text(&mut asked.command);
            asked.paths.truncate(ENTRIES);
        }
        Kind::QuestionAsked(asked) => questions(&mut asked.questions),
        Kind::QuestionClosed(closed) => closed.answers.truncate(ENTRIES),
        Kind::Started(started) => {
            started.tools.truncate(ENTRIES);
            started.commands.truncate(ENTRIES);
            started.models.truncate(ENTRIES);
            started.modes.truncate(ENTRIES);
        }
        Kind::TurnEnded(ended) => text(&mut ended.structured_output),
        _ => {}
    }
}

fn text(text: &mut String) {
    *text = clip(std::mem::take(text), TEXT_OUT);
}

fn diffs(diffs: &mut Vec<Diff>) {
    diffs.truncate(ENTRIES / 2);
    for diff in diffs {
        text(&mut diff.old);
        text(&mut diff.new);
    }
}

fn questions(questions: &mut Vec<Question>) {
    questions.truncate(ENTRIES);
    for question in questions {
        question.text = clip(std::mem::take(&mut question.text), TEXT_OUT / 2);
        question.options.truncate(ENTRIES);
        for option in &mut question.options {
            option.preview.clear();
        }
    }
}
