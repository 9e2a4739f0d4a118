//! Events of structured sessions as bytes; does not know what they mean.

use prost::Message;

use super::v1::{AgentEvent, PipeOutput, pipe_output::Content};

/// Bytes that are no event.
#[derive(Debug, thiserror::Error)]
#[error("not an event of an agent: {0}")]
pub struct AgentEventError(#[from] prost::DecodeError);

/// As it lies in a host's ring.
pub fn encode_agent_event(event: &AgentEvent) -> Vec<u8> {
    event.encode_to_vec()
}

/// From a host's ring.
pub fn decode_agent_event(bytes: &[u8]) -> Result<AgentEvent, AgentEventError> {
    Ok(AgentEvent::decode(bytes)?)
}

/// Bytes of a bare program's output: as text where they are one.
pub fn pipe_output(bytes: &[u8]) -> PipeOutput {
    let content = match std::str::from_utf8(bytes) {
        Ok(text) => Content::Text(text.to_owned()),
        Err(_) => Content::Data(bytes.to_vec().into()),
    };
    PipeOutput { content: Some(content) }
}

/// The bytes, however they are written.
pub fn pipe_bytes(output: &PipeOutput) -> &[u8] {
    match &output.content {
        Some(Content::Text(text)) => text.as_bytes(),
        Some(Content::Data(data)) => data,
        None => &[],
    }
}

/// Bytes of [`encode_agent_event`], without making them.
pub fn agent_event_length(event: &AgentEvent) -> usize {
    event.encoded_len()
}
