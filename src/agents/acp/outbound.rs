//! The lines that an ACP agent gets; does not know when. Everything is serialised here, so that no text of a client can
//! be a line of its own.

use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    CancelNotification, ClientCapabilities, ContentBlock, ErrorCode, InitializeRequest, LoadSessionRequest,
    NewSessionRequest, PromptRequest, RequestPermissionOutcome, RequestPermissionResponse, ResumeSessionRequest,
    SelectedPermissionOutcome, SetSessionConfigOptionRequest, SetSessionModeRequest,
};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

/// Offers neither files nor terminals: the agent works with its own, and with its own account's rights.
pub(super) fn initialize(id: u64) -> Vec<u8> {
    let params = InitializeRequest::new(ProtocolVersion::V1).client_capabilities(ClientCapabilities::default());
    request(id, "initialize", &params)
}

pub(super) fn new_session(id: u64, directory: &str) -> Vec<u8> {
    request(id, "session/new", &NewSessionRequest::new(directory))
}

pub(super) fn load_session(id: u64, directory: &str, session: &str) -> Vec<u8> {
    request(id, "session/load", &LoadSessionRequest::new(session.to_owned(), directory))
}

pub(super) fn resume_session(id: u64, directory: &str, session: &str) -> Vec<u8> {
    request(id, "session/resume", &ResumeSessionRequest::new(session.to_owned(), directory))
}

pub(super) fn prompt(id: u64, session: &str, text: &str) -> Vec<u8> {
    request(id, "session/prompt", &PromptRequest::new(session.to_owned(), vec![ContentBlock::from(text.to_owned())]))
}

pub(super) fn set_mode(id: u64, session: &str, mode: &str) -> Vec<u8> {
    request(id, "session/set_mode", &SetSessionModeRequest::new(session.to_owned(), mode.to_owned()))
}

/// From before configuration options; the schema does not have it any more.
pub(super) fn set_model(id: u64, session: &str, model: &str) -> Vec<u8> {
    request(id, "session/set_model", &json!({"sessionId": session, "modelId": model}))
}

pub(super) fn set_option(id: u64, session: &str, option: &str, value: &str) -> Vec<u8> {
    let params = SetSessionConfigOptionRequest::new(session.to_owned(), option.to_owned(), value);
    request(id, "session/set_config_option", &params)
}

pub(super) fn cancel(session: &str) -> Vec<u8> {
    let params = CancelNotification::new(session.to_owned());
    line(&json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}))
}

/// The answer to a question for leave. `option`: the agent's own id; none: nobody decides any more.
pub(super) fn decision(id: &RawValue, option: Option<&str>) -> Vec<u8> {
    let outcome = match option {
        Some(option) => RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(option.to_owned())),
        None => RequestPermissionOutcome::Cancelled,
    };
    line(&Answer { jsonrpc: "2.0", id, result: Some(RequestPermissionResponse::new(outcome)), error: None })
}

/// The answer to what nobody offered: an agent must not wait for ever.
pub(super) fn unknown(id: &RawValue, method: &str) -> Vec<u8> {
    let error = Error { code: ErrorCode::MethodNotFound.into(), message: format!("this client has no {method}") };
    line(&Answer { jsonrpc: "2.0", id, result: None::<()>, error: Some(error) })
}

/// The answer to a request that makes no sense.
pub(super) fn invalid(id: &RawValue, why: &str) -> Vec<u8> {
    let error = Error { code: ErrorCode::InvalidParams.into(), message: why.to_owned() };
    line(&Answer { jsonrpc: "2.0", id, result: None::<()>, error: Some(error) })
}

#[derive(Serialize)]
struct Answer<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

#[derive(Serialize)]
struct Error {
    code: i32,
    message: String,
}

fn request(id: u64, method: &str, params: &impl Serialize) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and maps with text keys cannot fail; a line that is only its end would do no harm.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
