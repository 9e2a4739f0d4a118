//! What a JSON-lines program asks, and the answers to it; does not know who decides.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::inbound::{Choice, ChoiceKind, Label, Line, list};
use super::{Lines, written};
use crate::agents::driver::Refused;
use crate::agents::event::{Made, clip, digest, head};
use crate::agents::limits::{PROMPT_ID, REQUEST_INPUT, SHORT_TEXT};
use crate::agents::waiting::{judged, room};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    Closing, OptionKind, PermissionAsked, PermissionClosed, PermissionOption, Question, QuestionAsked, QuestionClosed,
    QuestionOption, ToolKind,
};

/// What is wrong with options.
const OPTIONS: &str = "options are as docs/agents.md says: each with an id of its own and a kind, one of them rejects";

/// A request without an answer.
pub(super) struct Open {
    /// Ours; people see it.
    id: String,
    /// The program's.
    theirs: String,
    /// Of all that people see of it.
    length: usize,
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
        let asked = self.leave(line).map(|asked| {
            let known = asked.options.iter().map(|one| one.id.clone()).collect();
            (asked.id.clone(), Kind::PermissionAsked(asked), Asks::Leave(known))
        });
        self.put(made, line, asked);
    }

    /// The program asks for an answer.
    pub(super) fn questions(&mut self, made: &mut Made<'_>, line: &Line<'_>) {
        let asked = self.question(line).map(|asked| (asked.id.clone(), Kind::QuestionAsked(asked), Asks::Answer));
        self.put(made, line, asked);
    }

    /// Before people, or back to the program with the reason.
    fn put(&mut self, made: &mut Made<'_>, line: &Line<'_>, asked: Result<(String, Kind, Asks), String>) {
        let asked = asked.and_then(|(id, asked, asks)| {
            let length = room(self.open.iter().map(|open| open.length), &asked)?;
            Ok((asked, Open { id, theirs: line.id.clone(), length, asks }))
        });
        match asked {
            Ok((asked, open)) => {
                made.event(asked);
                self.open.push(open);
            }
            Err(why) => refuse(made, &line.id, &why),
        }
    }

    fn leave(&mut self, line: &Line<'_>) -> Result<PermissionAsked, String> {
        self.may_ask(line)?;
        let options = list::<Choice>(line.options).map(|all| match all.is_empty() {
            true => usual(),
            false => all.into_iter().map(option).collect(),
        });
        let options = options.filter(|all| are_decidable(all)).ok_or(OPTIONS)?;
        let input = line.input.unwrap_or(RawValue::NULL).get();
        let digest = judged(input)?;
        let fields: Value = serde_json::from_str(input).unwrap_or_default();
        let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let tool = if line.tool.is_empty() { "tool".to_owned() } else { clip(line.tool.clone(), SHORT_TEXT) };
        let title = head(&line.title, 120);
        Ok(PermissionAsked {
            id: self.ids.make(),
            turn: self.turn.as_ref().map_or(0, |turn| turn.number),
            summary: if title.is_empty() { head(&tool, 64) } else { format!("{}: {title}", head(&tool, 64)) },
            tool,
            kind: kind(&line.tool_kind).into(),
            input: input.to_owned(),
            digest,
            directory: self.started.directory.clone(),
            options,
            command: field("command"),
            paths: Some(field("path")).filter(|path| !path.is_empty()).into_iter().collect(),
            explanation: clip(line.text.clone(), SHORT_TEXT),
            ..PermissionAsked::default()
        })
    }

    fn question(&mut self, line: &Line<'_>) -> Result<QuestionAsked, String> {
        self.may_ask(line)?;
        if line.text.is_empty() || line.text.len() > REQUEST_INPUT {
            return Err(format!("a question has a text of 1 to {REQUEST_INPUT} bytes"));
        }
        let labels = list::<Label>(line.options).ok_or(OPTIONS)?;
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
        Ok(QuestionAsked {
            id: self.ids.make(),
            turn: self.turn.as_ref().map_or(0, |turn| turn.number),
            questions: vec![Question { text: line.text.clone(), header, options, multi: line.multi }],
            digest,
            ..QuestionAsked::default()
        })
    }

    /// Whether anything of this id can be put before people, and answered.
    fn may_ask(&self, line: &Line<'_>) -> Result<(), String> {
        if !is_id(&line.id) || self.open.iter().any(|open| open.theirs == line.id) {
            return Err(format!("a request needs an id of 1 to {PROMPT_ID} bytes that is not open"));
        }
        match &self.turn {
            Some(turn) if !turn.was_interrupted => Ok(()),
            _ => Err("a request needs a turn that runs".to_owned()),
        }
    }

    pub(super) fn decide(&mut self, made: &mut Made<'_>, id: &str, option: &str, reason: &str) -> Result<(), Refused> {
        let open = self.open.iter().find(|open| open.id == id);
        let Some(Open { asks: Asks::Leave(known), theirs, .. }) = open else {
            return Err(Refused::NoSuchRequest(head(id, 64)));
        };
        if !known.iter().any(|one| one == option) {
            let (id, option) = (head(id, 64), head(option, 64));
            return Err(Refused::NoSuchOption { id, option, known: known.join(", ") });
        }
        made.write(written(&json!({"type": "answer", "id": theirs, "option": option, "reason": reason})));
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
        let theirs = self.take_question(id)?;
        made.write(written(&json!({"type": "answer", "id": theirs, "text": text})));
        Ok(())
    }

    pub(super) fn decline(&mut self, made: &mut Made<'_>, id: &str, reason: &str) -> Result<(), Refused> {
        let theirs = self.take_question(id)?;
        made.write(written(&json!({"type": "answer", "id": theirs, "declined": true, "reason": reason})));
        Ok(())
    }

    /// The program's id of it.
    fn take_question(&mut self, id: &str) -> Result<String, Refused> {
        let place = self.open.iter().position(|open| open.id == id && matches!(open.asks, Asks::Answer));
        Ok(self.open.remove(place.ok_or_else(|| Refused::NoSuchRequest(head(id, 64)))?).theirs)
    }

    /// What is open dies with its turn.
    pub(super) fn close_all(&mut self, made: &mut Made<'_>, why: &str) {
        for Open { id, asks, .. } in std::mem::take(&mut self.open) {
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

fn refuse(made: &mut Made<'_>, id: &str, why: &str) {
    let id = head(id, PROMPT_ID);
    made.write(written(&json!({"type": "answer", "id": id, "declined": true, "reason": why})));
    made.remark(&format!("the request {id:?} was refused: {why}"));
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
