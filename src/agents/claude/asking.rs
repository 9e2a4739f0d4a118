//! What Claude Code wants leave for and what it asks, in neutral words; does not know on which way the agent asked.

use serde_json::value::RawValue;

use super::inbound::{Asked, Choice, Input, Questions, parsed};
use super::tools;
use crate::agents::event::{clip, head};
use crate::agents::limits::SHORT_TEXT;
use crate::wire::v1::{OptionKind, PermissionAsked, PermissionOption, Question, QuestionOption};

/// The options that the agent can be answered with.
pub(super) const ALLOW: &str = "allow-once";
pub(super) const REJECT: &str = "reject-once";
/// What the model is told when nobody gave a reason.
pub(super) const NO_REASON: &str = "The user does not want this. Ask what to do instead.";

/// What follows from tool and input alone.
pub(super) fn permission(id: &str, tool: &str, raw: &RawValue, digest: String) -> PermissionAsked {
    let input = Input::read(Some(raw));
    let title = tools::title(tool, &input);
    PermissionAsked {
        id: id.to_owned(),
        tool: clip(tool.to_owned(), SHORT_TEXT),
        kind: tools::kind(tool).into(),
        input: raw.get().to_owned(),
        digest,
        summary: if title.starts_with(tool) { title } else { format!("{}: {title}", head(tool, 64)) },
        options: options(tool),
        command: input.text("command").filter(|_| tool == "Bash").unwrap_or_default().to_owned(),
        paths: tools::paths(&input),
        ..PermissionAsked::default()
    }
}

/// The questions of a call that wants answers, not leave.
pub(super) fn questions(tool: &str, raw: &RawValue) -> Option<Vec<Question>> {
    if tool != "AskUserQuestion" {
        return None;
    }
    let asked = parsed::<Questions>(Some(raw)).filter(|asked| !asked.questions.0.is_empty())?;
    let option = |choice: Choice| QuestionOption {
        label: clip(choice.label, SHORT_TEXT),
        description: clip(choice.description, SHORT_TEXT),
        preview: clip(choice.preview.unwrap_or_default(), 16 * SHORT_TEXT),
    };
    let question = |one: Asked| Question {
        text: one.question,
        header: clip(one.header, SHORT_TEXT),
        options: one.options.0.into_iter().map(option).collect(),
        multi: one.multi,
    };
    Some(asked.questions.0.into_iter().map(question).collect())
}

fn options(tool: &str) -> Vec<PermissionOption> {
    let (yes, no) = if tool == "ExitPlanMode" { ("Go ahead", "Keep planning") } else { ("Allow", "Reject") };
    let option = |id: &str, name: &str, kind: OptionKind| PermissionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.into(),
    };
    vec![option(ALLOW, yes, OptionKind::AllowOnce), option(REJECT, no, OptionKind::RejectOnce)]
}
