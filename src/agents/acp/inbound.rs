//! The lines of an ACP agent as types; does not know what follows from them. What can be long is borrowed or read as
//! text here, so that a line costs no more than a few times its size; the schema's own types are for what is short.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::agents::few::Few;
use crate::agents::limits::REQUEST_INPUT;

/// Any message of JSON-RPC 2.0: which it is follows from what it has.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(default, borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default, borrow)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The error of an answer.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Failure<'a> {
    pub(super) code: i64,
    pub(super) message: String,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

/// What agents put beside an error. None of it is in the standard; each field was seen from a real agent.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct FailureData {
    #[serde(rename = "errorKind")]
    pub(super) kind: String,
    #[serde(rename = "statusCode", alias = "status")]
    pub(super) status: u32,
    #[serde(alias = "message")]
    pub(super) details: String,
}

/// The version alone: an agent of another one may say everything else in another way.
#[derive(Deserialize)]
pub(super) struct Spoken<'a> {
    #[serde(rename = "protocolVersion", borrow)]
    pub(super) version: &'a RawValue,
}

/// What a new or loaded session is answered with. `models` is from before configuration options.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Opened<'a> {
    pub(super) session_id: String,
    #[serde(borrow)]
    pub(super) modes: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) models: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) config_options: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelState {
    pub(super) current_model_id: String,
    #[serde(default)]
    pub(super) available_models: Few<ModelOffered>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelOffered {
    pub(super) model_id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: Option<String>,
}

/// `session/update`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notified<'a> {
    #[serde(borrow)]
    pub(super) session_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) update: &'a RawValue,
}

#[derive(Deserialize)]
pub(super) struct UpdateKind {
    #[serde(rename = "sessionUpdate")]
    pub(super) kind: String,
}

/// The three kinds of message chunks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
    #[serde(default, borrow)]
    pub(super) message_id: Option<&'a RawValue>,
}

/// A content block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    mime_type: Option<String>,
    #[serde(default, borrow)]
    resource: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Resource {
    uri: String,
    #[serde(default)]
    text: Option<String>,
}

impl Block<'_> {
    /// What of it is text; of the rest, what it is.
    pub(super) fn words(self) -> String {
        match self.kind.as_str() {
            "text" => self.text.unwrap_or_default(),
            "resource" => read::<Resource>(self.resource).map(|one| one.text.unwrap_or(one.uri)).unwrap_or_default(),
            "resource_link" => self.uri.unwrap_or_default(),
            other => format!("[{other} {}]", self.mime_type.unwrap_or_default()),
        }
    }
}

/// `tool_call`, `tool_call_update`, and the call that a permission is asked for. Each field apart, because one that is
/// of an unknown kind must not take the others with it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call<'a> {
    pub(super) tool_call_id: String,
    #[serde(default, borrow)]
    pub(super) title: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) status: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) locations: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) raw_input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) raw_output: Option<&'a RawValue>,
    #[serde(default, borrow, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
}

/// One piece of what a call shows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Piece<'a> {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) old_text: Option<String>,
    #[serde(default)]
    pub(super) new_text: String,
}

#[derive(Deserialize)]
pub(super) struct Location {
    pub(super) path: String,
    #[serde(default)]
    pub(super) line: Option<u32>,
}

/// Where claude-agent-acp says which tool it is; ACP had no field for it before `name`.
#[derive(Deserialize)]
pub(super) struct CallMeta {
    #[serde(rename = "claudeCode")]
    pub(super) claude: CallTool,
}

#[derive(Deserialize)]
pub(super) struct CallTool {
    #[serde(rename = "toolName")]
    pub(super) name: String,
}

/// `session/request_permission`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted<'a> {
    #[serde(borrow)]
    pub(super) tool_call: &'a RawValue,
    pub(super) options: Few<Choice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Choice {
    pub(super) option_id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) kind: String,
}

/// What `session/prompt` is answered with.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Finished {
    pub(super) stop_reason: String,
    pub(super) usage: Option<Tokens>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tokens {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cached_read_tokens: u64,
    pub(super) cached_write_tokens: u64,
}

/// This part as one of the types above; none when it is another one.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// This part as a type of the schema, which may keep all of it as a tree; none when it is too long for that.
pub(super) fn parsed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    read(raw.filter(|raw| raw.get().len() <= REQUEST_INPUT))
}
