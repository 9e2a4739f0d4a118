//! What a client may send, as types; a prompt's blocks become one text. Does not know the sessions.

use serde::Deserialize;
use serde_json::Value;

use super::rpc::RpcError;

/// `session/new`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSession {
    #[serde(default)]
    pub(super) cwd: String,
    #[serde(default)]
    pub(super) mcp_servers: Vec<Value>,
}

/// `session/load`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadSession {
    pub(super) session_id: String,
}

/// `session/prompt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptSession {
    pub(super) session_id: String,
    pub(super) prompt: Vec<Block>,
}

/// `session/cancel`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cancel {
    pub(super) session_id: String,
}

/// `session/set_mode`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetMode {
    pub(super) session_id: String,
    pub(super) mode_id: String,
}

/// `session/set_model`, which older clients have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetModel {
    pub(super) session_id: String,
    pub(super) model_id: String,
}

/// `session/set_config_option`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetConfig {
    pub(super) session_id: String,
    pub(super) config_id: String,
    pub(super) value: Value,
}

/// The client's choice on a request.
#[derive(Debug, Deserialize)]
pub(super) struct PermissionAnswer {
    pub(super) outcome: Outcome,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    Cancelled,
    #[serde(rename_all = "camelCase")]
    Selected {
        option_id: String,
    },
}

/// A piece of a prompt.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
    },
    ResourceLink {
        #[serde(default)]
        name: String,
        uri: String,
    },
    Image {},
    Audio {},
    Resource {},
    #[serde(other)]
    Unknown,
}

/// The parameters of a method: by name, since an array would be taken for the fields in order.
pub(super) fn params<T: for<'a> Deserialize<'a>>(params: Value) -> Result<T, RpcError> {
    if !params.is_object() {
        return Err(RpcError::params("params must be an object"));
    }
    serde_json::from_value(params).map_err(|error| RpcError::params(error.to_string()))
}

/// One text of a prompt's blocks. A link stands as its client would write it down, because the file is the editor's.
pub(super) fn text_of(blocks: &[Block]) -> Result<String, RpcError> {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Text { text: more } => text.push_str(more),
            Block::ResourceLink { name, uri } => match uri.strip_prefix("file://") {
                // What an agent takes for a file in its directory, if it has the same one.
                Some(path) => text.push_str(&format!("@{path}")),
                None => text.push_str(&format!("[{name}]({uri})")),
            },
            Block::Image {} | Block::Audio {} | Block::Resource {} | Block::Unknown => {
                return Err(RpcError::params(
                    "a prompt here has text and resource_link; images, audio and embedded resources are not taken",
                ));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_become_one_text_and_what_is_no_text_is_refused() {
        let blocks = json!([
            {"type": "text", "text": "look at "}, {"type": "resource_link", "uri": "file:///a/b.rs", "name": "b.rs"},
            {"type": "text", "text": " and "}, {"type": "resource_link", "uri": "https://x.example/y", "name": "y"},
        ]);
        let blocks: Vec<Block> = serde_json::from_value(blocks).unwrap();
        assert_eq!(text_of(&blocks).unwrap(), "look at @/a/b.rs and [y](https://x.example/y)");
        for other in ["image", "audio", "resource", "hologram"] {
            let blocks: Vec<Block> = serde_json::from_value(json!([{"type": other, "data": "x"}])).unwrap();
            assert!(text_of(&blocks).is_err(), "{other}");
        }
        assert!(serde_json::from_value::<Vec<Block>>(json!([{"type": "text"}])).is_err());
    }
}
