//! A question of the gateway, put together from its pieces; does not know the answer.

use bytes::BytesMut;

use crate::agents::limits::EVENT_OUT;
use crate::wire::v1::{AgentQuestion, Piece};
use crate::wire::{LinkError, decode_question};

/// A prompt's text and what names it.
const QUESTION: usize = EVENT_OUT * 4;

/// A question that no gateway of ours asks.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuestionError {
    #[error("the gateway asked a question of more than 1 MiB")]
    TooLong,
    #[error("the gateway asked a question that does not decode: {0}")]
    Decode(#[from] LinkError),
}

/// The pieces so far.
#[derive(Debug, Default)]
pub(super) struct Asked(BytesMut);

impl Asked {
    /// One more; the question, once it is whole.
    pub(super) fn take(&mut self, piece: &Piece) -> Result<Option<AgentQuestion>, QuestionError> {
        if self.0.len() + piece.data.len() > QUESTION {
            return Err(QuestionError::TooLong);
        }
        self.0.extend_from_slice(&piece.data);
        if piece.more {
            return Ok(None);
        }
        Ok(Some(decode_question(std::mem::take(&mut self.0).freeze())?))
    }
}
