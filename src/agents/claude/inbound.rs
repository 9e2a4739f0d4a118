//! The lines of Claude Code as types; does not know what follows from them. Fields that nobody reads are not named.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::agents::few::Few;
use crate::agents::limits::REQUEST_INPUT;

/// What every line has.
#[derive(Deserialize)]
pub(super) struct Head {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) subtype: Option<String>,
}

/// `system` of every subtype.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct System {
    pub(super) session_id: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) tools: Option<Few<String>>,
    pub(super) model: Option<String>,
    #[serde(rename = "permissionMode")]
    pub(super) mode: Option<String>,
    pub(super) slash_commands: Option<Few<String>>,
    pub(super) claude_code_version: Option<String>,
    pub(super) attempt: Option<f64>,
    pub(super) max_retries: Option<f64>,
    pub(super) retry_delay_ms: Option<f64>,
    pub(super) error_status: Option<f64>,
    pub(super) error: Option<String>,
}

/// `assistant` and `user`.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow)]
    pub(super) message: Message<'a>,
    #[serde(default)]
    pub(super) parent_tool_use_id: Option<String>,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default, borrow)]
    pub(super) tool_use_result: Option<&'a RawValue>,
    #[serde(default, rename = "isReplay")]
    pub(super) is_replay: bool,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    /// A text or a list of blocks.
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
    #[serde(default)]
    pub(super) usage: Option<Tokens>,
}

/// One block of a message; which fields it has follows from its type.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) thinking: Option<String>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
    #[serde(default)]
    pub(super) is_error: Option<bool>,
    #[serde(default, borrow)]
    pub(super) content: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Tokens {
    pub(super) input_tokens: f64,
    pub(super) output_tokens: f64,
    pub(super) cache_read_input_tokens: f64,
    pub(super) cache_creation_input_tokens: f64,
}

/// `stream_event`.
#[derive(Deserialize)]
pub(super) struct Streamed {
    pub(super) event: StreamEvent,
    #[serde(default)]
    pub(super) parent_tool_use_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct StreamEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    pub(super) message: Option<Identified>,
    #[serde(default)]
    pub(super) delta: Option<Delta>,
}

#[derive(Deserialize)]
pub(super) struct Identified {
    #[serde(default)]
    pub(super) id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Delta {
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
}

/// `result`.
#[derive(Deserialize)]
pub(super) struct Outcome<'a> {
    #[serde(default)]
    pub(super) is_error: bool,
    #[serde(default)]
    pub(super) api_error_status: Option<f64>,
    #[serde(default)]
    pub(super) duration_ms: f64,
    #[serde(default)]
    pub(super) result: Option<String>,
    #[serde(default)]
    pub(super) stop_reason: Option<String>,
    #[serde(default)]
    pub(super) terminal_reason: Option<String>,
    #[serde(default)]
    pub(super) total_cost_usd: f64,
    #[serde(default)]
    pub(super) usage: Tokens,
    #[serde(default, rename = "modelUsage", borrow)]
    pub(super) models: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) errors: Few<String>,
    #[serde(default, borrow)]
    pub(super) structured_output: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ModelUsage {
    #[serde(rename = "contextWindow")]
    pub(super) window: f64,
}

/// `control_request` and `control_cancel_request`.
#[derive(Deserialize)]
pub(super) struct Asks<'a> {
    pub(super) request_id: String,
    #[serde(default, borrow)]
    pub(super) request: Option<Request<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Request<'a> {
    pub(super) subtype: String,
    #[serde(default)]
    pub(super) tool_name: String,
    #[serde(default, borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) blocked_path: Option<String>,
    #[serde(default)]
    pub(super) decision_reason: Option<String>,
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
}

/// `control_response`.
#[derive(Deserialize)]
pub(super) struct Answers<'a> {
    #[serde(borrow)]
    pub(super) response: Answer<'a>,
}

#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    pub(super) subtype: String,
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default, borrow)]
    pub(super) response: Option<&'a RawValue>,
}

/// What `initialize` is answered with.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Abilities {
    pub(super) commands: Few<Named>,
    pub(super) models: Few<Named>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) value: String,
    #[serde(rename = "displayName")]
    pub(super) display: String,
    pub(super) description: String,
}

/// The input of the question tool.
#[derive(Deserialize)]
pub(super) struct Questions {
    pub(super) questions: Few<Asked>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) question: String,
    #[serde(default)]
    pub(super) header: String,
    #[serde(default)]
    pub(super) options: Few<Choice>,
    #[serde(default, rename = "multiSelect")]
    pub(super) multi: bool,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) label: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) preview: Option<String>,
}

/// What is read of any tool's input; a field of another type than here is as good as none.
#[derive(Default)]
pub(super) struct Input(pub(super) serde_json::Map<String, serde_json::Value>);

impl Input {
    pub(super) fn read(raw: Option<&RawValue>) -> Self {
        Self(parsed(raw).unwrap_or_default())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

/// This part as a type; none when it is another one, or too long to be taken apart.
pub(super) fn parsed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    let text = raw?.get();
    (text.len() <= REQUEST_INPUT).then(|| serde_json::from_str(text).ok())?
}
