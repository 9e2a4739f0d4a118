//! What the hook program prints for Claude Code; does not know who decided.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Leave for the tool as it stands in the dialog.
pub(super) fn allow() -> Vec<u8> {
    line(json!({"behavior": "allow"}))
}

/// No leave; why is told to the model.
pub(super) fn deny(message: &str) -> Vec<u8> {
    line(json!({"behavior": "deny", "message": message}))
}

/// The question's own input with answers, by question.
pub(super) fn answers(input: &RawValue, answers: &[(String, String)]) -> Vec<u8> {
    let mut input: Map<String, Value> = serde_json::from_str(input.get()).unwrap_or_default();
    let answers: Map<_, _> = answers.iter().map(|(text, said)| (text.clone(), said.as_str().into())).collect();
    input.insert("answers".to_owned(), answers.into());
    line(json!({"behavior": "allow", "updatedInput": input}))
}

fn line(decision: Value) -> Vec<u8> {
    let output = json!({"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}});
    format!("{output}\n").into_bytes()
}
