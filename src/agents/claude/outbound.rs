//! The lines that Claude Code gets; does not know when. Everything is serialised here, so that no text of a client can
//! be a line of its own.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A prompt. Its uuid follows from its id, so that the echo can be told from other texts.
pub(super) fn prompt(id: &str, text: &str) -> Vec<u8> {
    let content = json!([{"type": "text", "text": text}]);
    line(&json!({"type": "user", "message": {"role": "user", "content": content}, "uuid": uuid_of(id)}))
}

/// A request of ours.
pub(super) fn request(request_id: &str, subtype: &str, argument: Option<(&str, &str)>) -> Vec<u8> {
    let mut request = Map::new();
    request.insert("subtype".to_owned(), subtype.into());
    if let Some((name, value)) = argument {
        request.insert(name.to_owned(), value.into());
    }
    line(&json!({"type": "control_request", "request_id": request_id, "request": request}))
}

/// Leave for a tool, with the input that people have seen.
pub(super) fn allow(request_id: &str, input: &RawValue) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Allow<'a> {
        behavior: &'a str,
        #[serde(rename = "updatedInput")]
        input: &'a RawValue,
    }
    #[derive(serde::Serialize)]
    struct Response<'a> {
        subtype: &'a str,
        request_id: &'a str,
        response: Allow<'a>,
    }
    #[derive(serde::Serialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        response: Response<'a>,
    }
    let response = Response { subtype: "success", request_id, response: Allow { behavior: "allow", input } };
    line(&Line { kind: "control_response", response })
}

/// No leave; why is told to the model.
pub(super) fn deny(request_id: &str, message: &str) -> Vec<u8> {
    answer(request_id, &json!({"behavior": "deny", "message": message}))
}

/// The question's own input with answers, by question.
pub(super) fn answers(request_id: &str, input: &RawValue, answers: &[(String, String)]) -> Vec<u8> {
    let mut input: Map<String, Value> = serde_json::from_str(input.get()).unwrap_or_default();
    let answers: Map<_, _> = answers.iter().map(|(text, said)| (text.clone(), said.as_str().into())).collect();
    input.insert("answers".to_owned(), answers.into());
    answer(request_id, &json!({"behavior": "allow", "updatedInput": input}))
}

/// For a request that this version does not know: an agent must not wait for ever.
pub(super) fn unknown(request_id: &str, subtype: &str) -> Vec<u8> {
    let error = format!("this client answers no {subtype}");
    line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request_id, "error": error},
    }))
}

/// The uuid of the prompt of this id.
pub(super) fn uuid_of(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    let mut hex = String::with_capacity(36);
    for (place, byte) in hash.iter().take(16).enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            hex.push('-');
        }
        // Version 4, variant 1: the agent takes any, other readers of its history may not.
        let byte = match place {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        hex.push_str(&format!("{byte:02x}"));
    }
    hex
}

fn answer(request_id: &str, response: &Value) -> Vec<u8> {
    line(&json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": request_id, "response": response},
    }))
}

fn line(value: &impl serde::Serialize) -> Vec<u8> {
    // Texts and maps with text keys cannot fail; a line that is only its end would do no harm.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
