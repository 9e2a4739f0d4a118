//! What host and gateway say about structured sessions, as bytes to be cut into pieces, and the records of their log; does not know what
//! either does with them.

use bytes::Bytes;
use prost::Message;

use super::LinkError;
use super::v1::{AgentAnswer, AgentEvent, AgentQuestion, AgentSummary, LogRecord};

/// A question of the gateway.
pub fn encode_question(question: &AgentQuestion) -> Bytes {
    question.encode_to_vec().into()
}

/// The other end of [`encode_question`].
pub fn decode_question(bytes: Bytes) -> Result<AgentQuestion, LinkError> {
    Ok(AgentQuestion::decode(bytes)?)
}

/// A host's answer.
pub fn encode_agent_answer(answer: &AgentAnswer) -> Vec<u8> {
    answer.encode_to_vec()
}

/// The other end of [`encode_agent_answer`].
pub fn decode_agent_answer(bytes: Bytes) -> Result<AgentAnswer, LinkError> {
    Ok(AgentAnswer::decode(bytes)?)
}

/// What an agent does and waits for.
pub fn encode_summary(summary: &AgentSummary) -> Bytes {
    summary.encode_to_vec().into()
}

/// The other end of [`encode_summary`].
pub fn decode_summary(bytes: Bytes) -> Result<AgentSummary, LinkError> {
    Ok(AgentSummary::decode(bytes)?)
}

/// An event with its number, as it stands in the log.
pub fn encode_record(number: u64, event: AgentEvent) -> Vec<u8> {
    LogRecord { number, event: Some(event) }.encode_to_vec()
}

/// The other end of [`encode_record`]; none for a record without an event.
pub fn decode_record(bytes: &[u8]) -> Result<Option<(u64, AgentEvent)>, LinkError> {
    let LogRecord { number, event } = LogRecord::decode(bytes)?;
    Ok(event.map(|event| (number, event)))
}
