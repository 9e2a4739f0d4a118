//! What a JSON-lines program asks, and the answers to it; does not know who decides.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::inbound::{Choice, ChoiceKind, Label, Line, list};
use super::{Lines, written};
use crate::agents::driver::Refused;
use crate::agents::event::{Made, clip, digest, head};
use crate::agents::limits::{PROMPT_ID, REQUEST_INPUT, REQUESTS_OPEN, SHORT_TEXT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    Closing, OptionKind, PermissionAsked, PermissionClosed, PermissionOption, Question, QuestionAsked, QuestionClosed,
    QuestionOption, ToolKind,
};

/// A request without an answer.
pub(super) struct Open {
    id: String,
    asks: Asks,
}

enum Asks {
    /// For leave, with the ids of the options.
    Leave(Vec<String>),
    Answer,
}

impl Lines {
    /// The program asks for leave.
    pub(super) fn asks(&mut self, made: &mut Made<'_>, line: &Line<'_>) {
        let options = list::<Choice>(line.options).map(|all| match all.is_empty() {
            true => usual(),
            false => all.into_iter().map(option).collect(),
        });
        let options = options.filter(|all| are_decidable(all));
        let input = line.input.unwrap_or(RawValue::NULL);
        let Some(options) = options.filter(|_| self.takes(&line.id, input)) else { return refuse(made, &line.id) };
        let fields: Value = serde_json::from_str(input.get()).unwrap_or_default();
        let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let tool = if line.tool.is_empty() { "tool".to_owned() } else { clip(line.tool.clone(), SHORT_TEXT) };
        let title = head(&line.title, 120);
        self.open
            .push(Open { id: line.id.clone(), asks: Asks::Leave(options.iter().map(|one| one.id.clone()).collect()) });
        made.event(Kind::PermissionAsked(PermissionAsked {
            id: line.id.clone(),
            turn: self.turn.as_ref().map_or(0, |turn| turn.number),
            summary: if title.is_empty() { head(&tool, 64) } else { format!("{}: {title}", head(&tool, 64)) },
            tool,
            kind: kind(&line.tool_kind).into(),
            input: input.get().to_owned(),
            digest: digest(input.get()).unwrap_or_default(),
            directory: self.started.directory.clone(),
            options,
            command: field("command"),
            paths: Some(field("path")).filter(|path| !path.is_empty()).into_iter().collect(),
            explanation: clip(line.text.clone(), SHORT_TEXT),
            ..PermissionAsked::default()
        }));
    }

    /// The program asks for an answer.
    pub(super) fn questions(&mut self, made: &mut Made<'_>, line: &Line<'_>) {
        let labels = list::<Label>(line.options);
        let is_one = !line.text.is_empty() && line.text.len() <= REQUEST_INPUT;
        let Some(labels) = labels.filter(|_| is_one && self.takes(&line.id, RawValue::NULL)) else {
            return refuse(made, &line.id);
        };
        let option = |label: Label| match label {
            Label::Plain(label) => QuestionOption { label: clip(label, SHORT_TEXT), ..QuestionOption::default() },
            Label::Described { label, description } => QuestionOption {
                label: clip(label, SHORT_TEXT),
                description: clip(description, SHORT_TEXT),
                ..QuestionOption::default()
            },
        };
        let options: Vec<_> = labels.into_iter().map(option).collect();
        let known: Vec<&str> = options.iter().map(|one| one.label.as_str()).collect();
        let digest = digest(&json!({"text": line.text, "options": known}).to_string()).unwrap_or_default();
        let header = head(&line.title, 64);
        self.open.push(Open { id: line.id.clone(), asks: Asks::Answer });
        made.event(Kind::QuestionAsked(QuestionAsked {
            id: line.id.clone(),
            turn: self.turn.as_ref().map_or(0, |turn| turn.number),
            questions: vec![Question { text: line.text.clone(), header, options, multi: line.multi }],
            digest,
            ..QuestionAsked::default()
        }));
    }

    /// Whether this can be put before people, and answered.
    fn takes(&self, id: &str, input: &RawValue) -> bool {
        is_id(id)
            && self.open.len() < REQUESTS_OPEN
            && input.get().len() <= REQUEST_INPUT
            && self.turn.as_ref().is_some_and(|turn| !turn.was_interrupted)
            && self.open.iter().all(|open| open.id != id)
    }

    pub(super) fn decide(&mut self, made: &mut Made<'_>, id: &str, option: &str, reason: &str) -> Result<(), Refused> {
        let open = self.open.iter().find(|open| open.id == id);
        let Some(Open { asks: Asks::Leave(known), .. }) = open else {
            return Err(Refused::NoSuchRequest(head(id, 64)));
        };
        if !known.iter().any(|one| one == option) {
            let (id, option) = (head(id, 64), head(option, 64));
            return Err(Refused::NoSuchOption { id, option, known: known.join(", ") });
        }
        made.write(written(&json!({"type": "answer", "id": id, "option": option, "reason": reason})));
        self.open.retain(|open| open.id != id);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        made: &mut Made<'_>,
        id: &str,
        answers: &[(String, String)],
    ) -> Result<(), Refused> {
        // A line asks one question.
        let text = answers.first().map(|(_, said)| said.as_str()).unwrap_or_default();
        self.take_question(id)?;
        made.write(written(&json!({"type": "answer", "id": id, "text": text})));
        Ok(())
    }

    pub(super) fn decline(&mut self, made: &mut Made<'_>, id: &str, reason: &str) -> Result<(), Refused> {
        self.take_question(id)?;
        made.write(written(&json!({"type": "answer", "id": id, "declined": true, "reason": reason})));
        Ok(())
    }

    fn take_question(&mut self, id: &str) -> Result<(), Refused> {
        let place = self.open.iter().position(|open| open.id == id && matches!(open.asks, Asks::Answer));
        self.open.remove(place.ok_or_else(|| Refused::NoSuchRequest(head(id, 64)))?);
        Ok(())
    }

    /// What is open dies with its turn.
    pub(super) fn close_all(&mut self, made: &mut Made<'_>, why: &str) {
        for Open { id, asks } in std::mem::take(&mut self.open) {
            let (outcome, reason) = (Closing::Cancelled.into(), why.to_owned());
            made.event(match asks {
                Asks::Leave(_) => {
                    Kind::PermissionClosed(PermissionClosed { id, outcome, reason, ..PermissionClosed::default() })
                }
                Asks::Answer => {
                    Kind::QuestionClosed(QuestionClosed { id, outcome, reason, ..QuestionClosed::default() })
                }
            });
        }
    }
}

/// As the contract names them.
pub(super) fn kind(name: &str) -> ToolKind {
    match name {
        "read" => ToolKind::Read,
        "edit" => ToolKind::Edit,
        "delete" => ToolKind::Delete,
        "move" => ToolKind::Move,
        "search" => ToolKind::Search,
        "execute" => ToolKind::Execute,
        "think" => ToolKind::Think,
        "fetch" => ToolKind::Fetch,
        _ => ToolKind::Other,
    }
}

fn refuse(made: &mut Made<'_>, id: &str) {
    let why = format!(
        "a request needs a turn that runs, an id of 1 to {PROMPT_ID} bytes that is not open, options as \
         docs/agents.md says, an input of at most {REQUEST_INPUT} bytes, and at most {REQUESTS_OPEN} are open at once"
    );
    made.write(written(&json!({"type": "answer", "id": head(id, PROMPT_ID), "declined": true, "reason": why})));
    made.remark(&format!("the request {:?} was refused: {why}", head(id, PROMPT_ID)));
}

/// Whether each can be named, and one of them rejects: a request must be rejectable without a person.
fn are_decidable(options: &[PermissionOption]) -> bool {
    let is_new = |place: usize, id: &str| options.iter().take(place).all(|before| before.id != id);
    options.iter().any(|one| one.kind() == OptionKind::RejectOnce)
        && options.iter().enumerate().all(|(place, one)| is_id(&one.id) && is_new(place, &one.id))
}

fn usual() -> Vec<PermissionOption> {
    let one = |id: &str, name: &str, kind: OptionKind| PermissionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.into(),
    };
    vec![one("allow-once", "Allow", OptionKind::AllowOnce), one("reject-once", "Reject", OptionKind::RejectOnce)]
}

fn option(choice: Choice) -> PermissionOption {
    let kind = match choice.kind {
        ChoiceKind::AllowOnce => OptionKind::AllowOnce,
        ChoiceKind::AllowAlways => OptionKind::AllowAlways,
        ChoiceKind::RejectOnce => OptionKind::RejectOnce,
        ChoiceKind::RejectAlways => OptionKind::RejectAlways,
    };
    let name = if choice.name.is_empty() { choice.id.clone() } else { clip(choice.name, SHORT_TEXT) };
    PermissionOption { id: choice.id, name, kind: kind.into() }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= PROMPT_ID
}
