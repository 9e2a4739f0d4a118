//! Client messages as protobuf JSON text; does not know who may send which.

use super::v1::{ClientMessage, ServerMessage};

/// A text frame that is no message.
#[derive(Debug, thiserror::Error)]
#[error("not a message: {0}")]
pub struct ClientError(#[from] serde_json::Error);

/// From a client's text frame. A body that this version does not know decodes to none.
pub fn decode_client(text: &str) -> Result<ClientMessage, ClientError> {
    Ok(serde_json::from_str(text)?)
}

/// From a gateway's text frame.
pub fn decode_server(text: &str) -> Result<ServerMessage, ClientError> {
    Ok(serde_json::from_str(text)?)
}

/// For a text frame to the gateway.
pub fn encode_client(message: &ClientMessage) -> Result<String, ClientError> {
    Ok(serde_json::to_string(message)?)
}

/// For a text frame to a client.
pub fn encode_server(message: &ServerMessage) -> Result<String, ClientError> {
    Ok(serde_json::to_string(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{Attach, ViewerMode, client_message::Body};

    #[test]
    fn json_is_the_protobuf_mapping_with_original_names() {
        let message = ClientMessage {
            id: 3,
            body: Some(Body::Attach(Attach {
                session: "main".into(),
                channel: 1,
                mode: ViewerMode::Raw.into(),
                from_start: true,
                ..Attach::default()
            })),
        };
        let text = encode_client(&message).unwrap();
        assert_eq!(
            text,
            r#"{"id":"3","attach":{"session":"main","channel":1,"mode":"VIEWER_MODE_RAW","from_start":true}}"#
        );
        assert_eq!(decode_client(&text).unwrap(), message);
    }

    #[test]
    fn what_is_unknown_is_ignored() {
        let message = decode_client(r#"{"id":4,"dance":{"x":1},"color":"red"}"#).unwrap();
        assert_eq!((message.id, message.body), (4, None));
        let message = decode_client(r#"{"attach":{"session":"a","mode":"VIEWER_MODE_HOLOGRAM"}}"#).unwrap();
        assert!(matches!(message.body, Some(Body::Attach(attach)) if attach.mode == 0));
        assert!(decode_client("{").is_err());
    }
}
