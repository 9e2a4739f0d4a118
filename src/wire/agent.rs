//! Events of structured sessions as bytes; does not know what they mean.

use prost::Message;

use super::v1::AgentEvent;

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

/// Bytes of [`encode_agent_event`], without making them.
pub fn agent_event_length(event: &AgentEvent) -> usize {
    event.encoded_len()
}
