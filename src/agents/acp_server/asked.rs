//! What an agent waits for, as a request for leave, and the client's choice as a command. Does not know who else may answer.

use serde_json::{Map, Value, json};

use super::updates::{fields_of_call, kind};
use crate::base::printable;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{
    AnswerPermission, AnswerQuestion, OptionKind, PermissionAsked, Question, QuestionAnswer, QuestionAsked, ToolCall,
    ToolLocation,
};

/// The option of a question that answers nothing. No label is called so: labels are numbered.
const DECLINE: &str = "decline";
/// Characters of a summary in a sentence.
const SUMMARY: usize = 200;

/// A request of the agent's that is open.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    Permission(PermissionAsked),
    Question(QuestionAsked),
}

impl Asked {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Permission(asked) => &asked.id,
            Self::Question(asked) => &asked.id,
        }
    }

    /// What it is about and how else it is answered.
    pub(super) fn elsewhere(&self) -> String {
        match self {
            Self::Permission(asked) => {
                let (what, id) = (printable(&asked.summary, SUMMARY), &asked.id);
                format!("waits for approval: {what}. Elsewhere: ssh HOST approve {id}, or deny {id}")
            }
            Self::Question(asked) => {
                let texts: Vec<&str> = asked.questions.iter().map(|question| question.text.as_str()).collect();
                let what = printable(&texts.join(" / "), SUMMARY);
                format!("asks: {what}. Elsewhere: ssh HOST answer {} ANSWER…", asked.id)
            }
        }
    }

    /// The parameters of `session/request_permission`; none where that cannot say what is asked.
    pub(super) fn params(&self, session: &str) -> Option<Value> {
        let (call, options) = match self {
            Self::Permission(asked) => (permission_call(asked), permission_options(asked)),
            Self::Question(asked) => {
                let question = single(asked)?;
                (question_call(asked, question), question_options(question))
            }
        };
        // The name under which other clients know the request.
        let meta = json!({"portcullis": {"id": self.id()}});
        Some(json!({"sessionId": session, "toolCall": call, "options": options, "_meta": meta}))
    }

    /// The command that an option is; none for an option that was not offered.
    pub(super) fn command(&self, option: &str) -> Option<Command> {
        match self {
            Self::Permission(asked) => {
                let option = asked.options.iter().find(|offered| offered.id == option)?.id.clone();
                let (id, digest) = (asked.id.clone(), asked.digest.clone());
                Some(Command::AnswerPermission(AnswerPermission { id, digest, option, reason: String::new() }))
            }
            Self::Question(asked) => {
                let answer =
                    AnswerQuestion { id: asked.id.clone(), digest: asked.digest.clone(), ..Default::default() };
                if option == DECLINE {
                    return Some(Command::AnswerQuestion(AnswerQuestion { declined: true, ..answer }));
                }
                let question = single(asked)?;
                let number: usize = option.strip_prefix("label-")?.parse().ok()?;
                let labels = vec![question.options.get(number)?.label.clone()];
                let answers = vec![QuestionAnswer { question: question.text.clone(), labels, text: String::new() }];
                Some(Command::AnswerQuestion(AnswerQuestion { answers, ..answer }))
            }
        }
    }
}

/// The only part of a question of which one label is chosen.
fn single(asked: &QuestionAsked) -> Option<&Question> {
    match &asked.questions[..] {
        [question] if !question.multi && !question.options.is_empty() => Some(question),
        _ => None,
    }
}

fn permission_call(asked: &PermissionAsked) -> Map<String, Value> {
    let location = |path: &String| ToolLocation { path: path.clone(), line: 0 };
    let mut fields = fields_of_call(&ToolCall {
        tool_call_id: if asked.tool_call_id.is_empty() { asked.id.clone() } else { asked.tool_call_id.clone() },
        title: asked.summary.clone(),
        raw_input: asked.input.clone(),
        locations: asked.paths.iter().map(location).collect(),
        ..ToolCall::default()
    });
    fields.insert("kind".into(), kind(asked.kind()).into());
    fields
}

fn permission_options(asked: &PermissionAsked) -> Vec<Value> {
    let option = |option: &crate::wire::v1::PermissionOption| {
        let kind = match option.kind() {
            OptionKind::AllowOnce => "allow_once",
            OptionKind::AllowAlways => "allow_always",
            OptionKind::RejectAlways => "reject_always",
            OptionKind::RejectOnce | OptionKind::Unspecified => "reject_once",
        };
        json!({"optionId": option.id, "name": option.name, "kind": kind})
    };
    asked.options.iter().map(option).collect()
}

fn question_call(asked: &QuestionAsked, question: &Question) -> Map<String, Value> {
    let mut fields = Map::new();
    let id = if asked.tool_call_id.is_empty() { &asked.id } else { &asked.tool_call_id };
    fields.insert("toolCallId".into(), id.as_str().into());
    fields.insert("title".into(), question.text.as_str().into());
    fields.insert("kind".into(), "other".into());
    fields.insert("status".into(), "pending".into());
    fields
}

fn question_options(question: &Question) -> Vec<Value> {
    let label = |(number, option): (usize, &crate::wire::v1::QuestionOption)| json!({"optionId": format!("label-{number}"), "name": option.label, "kind": "allow_once"});
    let decline = json!({"optionId": DECLINE, "name": "No answer", "kind": "reject_once"});
    question.options.iter().enumerate().map(label).chain([decline]).collect()
}
