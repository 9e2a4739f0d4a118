//! Codecs for every byte that crosses a long-lived boundary; knows no socket, no clock and no meaning.

mod agent;
mod binary;
mod client;
#[cfg(test)]
mod golden;
mod link;
mod order;
mod structured;

/// The generated types of `proto/portcullis/v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code; the proto files are its documentation")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/portcullis.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/portcullis.v1.serde.rs"));
}

pub use agent::{AgentEventError, agent_event_length, decode_agent_event, encode_agent_event, pipe_bytes, pipe_output};
pub use binary::{BINARY_HEADER, BinaryError, BinaryFrame};
pub use client::{ClientError, decode_client, decode_server, encode_client, encode_server};
pub use link::{
    Frame, FrameHeader, LINK_HEADER, LINK_VERSION, LinkDecoder, LinkError, decode_launch, decode_to_gateway,
    decode_to_host, encode_control_to_gateway, encode_control_to_host, encode_event, encode_header, encode_launch,
    encode_lost,
};
pub use order::{ORDER_VERSION, OrderError, decode_answer, decode_order, encode_answer, encode_order};
pub use structured::{
    decode_agent_answer, decode_question, decode_record, decode_summary, encode_agent_answer, encode_question,
    encode_record, encode_summary,
};
