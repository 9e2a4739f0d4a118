//! From what a session says to frames on the wire, cut so that no frame is large; does not know sockets.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

use crate::agents::limits::SUMMARY;
use crate::base::{Offset, WinSize};
use crate::gateway::session::ViewerItem;
use crate::wire::v1::{self, ServerMessage, server_message::Body};
use crate::wire::{BinaryFrame, encode_server};

/// Terminal bytes in one binary frame: above 32 KiB nothing is gained (performance.md 1).
const BYTES_PIECE: usize = 32 * 1024;
/// Bytes of a repaint in one text frame. The write buffer keeps the capacity that one message once needed, so this
/// also bounds what an idle viewer costs after its first screen.
const PAINT_PIECE: usize = 12 * 1024;
/// Bytes of a fetched event in one text frame: rare and large, so larger pieces.
const EVENT_PIECE: usize = 256 * 1024;
/// Longest text frame. A reply above it would be a list of thousands of sessions.
const MOST_TEXT: usize = 1024 * 1024;
/// What open requests may make of an answer: all that a session's host says of them (`limits::SUMMARY`), whose characters take up to six
/// bytes each in JSON.
pub(super) const MOST_ASKED: usize = 6 * SUMMARY;

/// What is left of an item that does not fit one frame.
#[derive(Debug)]
pub(super) enum Rest {
    /// Log bytes.
    Bytes { offset: Offset, data: Bytes },
    /// A repaint, or history (with the id of its request).
    Snapshot { id: u64, offset: Offset, size: Option<WinSize>, data: Bytes, reason: &'static str },
    /// A fitted frame.
    Frame { data: Bytes },
    /// An event that was fetched whole, as JSON.
    Event { id: u64, number: u64, data: Bytes },
}

impl Rest {
    /// The next frame, and what is left after it.
    pub(super) fn cut(self, channel: u32) -> (Message, Option<Self>) {
        match self {
            Self::Bytes { offset, mut data } => {
                let piece = data.split_to(data.len().min(BYTES_PIECE));
                let message = Message::Binary(BinaryFrame::encode(channel, offset, &piece));
                let rest = Self::Bytes { offset: offset.plus(piece.len() as u64), data };
                (message, rest.unless_empty())
            }
            Self::Snapshot { id, offset, size, mut data, reason } => {
                let piece = data.split_to(data.len().min(PAINT_PIECE));
                let body = Body::Snapshot(v1::Snapshot {
                    channel,
                    offset: offset.0,
                    size: size.map(size_message),
                    data: piece,
                    more: !data.is_empty(),
                    reason: reason.to_owned(),
                });
                (text(id, body), Self::Snapshot { id, offset, size, data, reason }.unless_empty())
            }
            Self::Frame { mut data } => {
                let piece = data.split_to(data.len().min(PAINT_PIECE));
                let body = Body::Frame(v1::Frame { channel, data: piece, more: !data.is_empty() });
                (text(0, body), Self::Frame { data }.unless_empty())
            }
            Self::Event { id, number, mut data } => {
                let piece = data.split_to(data.len().min(EVENT_PIECE));
                let body = Body::EventPiece(v1::EventPiece { number, data: piece, more: !data.is_empty() });
                (text(id, body), Self::Event { id, number, data }.unless_empty())
            }
        }
    }

    /// True for what the session must hear of once it was written.
    pub(super) fn is_paint(&self) -> bool {
        matches!(self, Self::Snapshot { id: 0, .. } | Self::Frame { .. })
    }

    fn unless_empty(self) -> Option<Self> {
        let (Self::Bytes { data, .. } | Self::Snapshot { data, .. } | Self::Frame { data } | Self::Event { data, .. }) =
            &self;
        if data.is_empty() { None } else { Some(self) }
    }
}

/// What an item becomes.
#[derive(Debug)]
pub(super) enum Outbound {
    /// Frames to be cut one by one.
    Rest(Rest),
    /// One message.
    Body(Body),
    /// The last message of the attachment.
    Last(Body),
}

/// Translates one item.
pub(super) fn outbound(channel: u32, item: ViewerItem) -> Outbound {
    let body = match item {
        ViewerItem::Bytes { offset, data } => return Outbound::Rest(Rest::Bytes { offset, data }),
        ViewerItem::Snapshot { offset, size, data, reason } => {
            return Outbound::Rest(Rest::Snapshot { id: 0, offset, size: Some(size), data, reason });
        }
        ViewerItem::Frame { data } => return Outbound::Rest(Rest::Frame { data }),
        ViewerItem::Detached { reason, offset, .. } => {
            return Outbound::Last(Body::Detached(v1::Detached {
                channel,
                reason: reason.to_owned(),
                offset: offset.0,
            }));
        }
        ViewerItem::Lost { from, to } => Body::Lost(v1::Lost { channel, from: from.0, to: to.0 }),
        ViewerItem::SizeChanged { size, owner, offset } => {
            Body::SizeChanged(v1::SizeChanged { channel, size: Some(size_message(size)), owner, offset: offset.0 })
        }
        ViewerItem::Viewers(viewers) => Body::Viewers(v1::Viewers { channel, viewers }),
        ViewerItem::Event { offset, event } => {
            Body::Event(v1::SessionEvent { channel, offset: offset.0, event: Some(event) })
        }
        ViewerItem::AgentEvent { number, event } => {
            Body::AgentEvent(v1::LogEvent { channel, number, event: Some(*event) })
        }
        ViewerItem::InputTaken { offset } => Body::InputAck(v1::InputAck { channel, offset }),
        ViewerItem::InputRefused { accepted, why } => Body::Error(refusal(channel, accepted, why)),
        ViewerItem::Ended { exit, offset } => Body::Ended(v1::Ended { channel, exit: Some(exit), offset: offset.0 }),
    };
    Outbound::Body(body)
}

/// One text frame.
pub(super) fn text(id: u64, body: Body) -> Message {
    let most = if matches!(body, Body::Attached(_) | Body::Approvals(_)) { MOST_ASKED } else { MOST_TEXT };
    let encoded = encode_server(&ServerMessage { id, body: Some(body) });
    match encoded {
        Ok(text) if text.len() <= most => Message::text(text),
        Ok(text) => Message::text(too_long(id, text.len())),
        Err(_) => Message::text(too_long(id, 0)),
    }
}

/// The schema's form of a size.
pub(super) fn size_message(size: WinSize) -> v1::Size {
    v1::Size { cols: size.cols().into(), rows: size.rows().into() }
}

fn too_long(id: u64, length: usize) -> String {
    let error = v1::Error {
        code: "internal".into(),
        message: format!("the answer would have {length} bytes; the limit is {MOST_TEXT}: ask for less"),
        ..v1::Error::default()
    };
    encode_server(&ServerMessage { id, body: Some(Body::Error(error)) }).unwrap_or_default()
}

pub(super) fn refusal(channel: u32, accepted: u64, why: v1::InputRefusal) -> v1::Error {
    let (code, message, retryable) = match why {
        v1::InputRefusal::Full | v1::InputRefusal::Unspecified => {
            ("input-full", "the session's input queue is full (256 KiB): the program does not read", true)
        }
        v1::InputRefusal::Gap => {
            ("input-gap", "input begins beyond what came before; send again from `accepted`", true)
        }
        v1::InputRefusal::Closed => ("input-closed", "the agent's input is closed, it takes nothing more", false),
        v1::InputRefusal::Ended => ("session-ended", "the session has ended; `restart` starts it anew", false),
    };
    let after_ms = if code == "input-full" { 1_000 } else { 0 };
    v1::Error {
        code: code.into(),
        message: message.into(),
        retryable,
        after_ms,
        channel,
        accepted,
        ..v1::Error::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode_server;

    #[test]
    fn bytes_are_cut_without_loss_and_with_their_offsets() {
        let all: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let mut rest = Some(Rest::Bytes { offset: Offset(7), data: Bytes::from(all.clone()) });
        let mut got = Vec::new();
        while let Some(now) = rest.take() {
            let (message, after) = now.cut(3);
            let Message::Binary(frame) = message else { panic!("not binary") };
            let frame = BinaryFrame::decode(frame).unwrap();
            assert_eq!((frame.channel, frame.offset), (3, Offset(7 + got.len() as u64)));
            assert!(frame.data.len() <= BYTES_PIECE);
            got.extend_from_slice(&frame.data);
            rest = after;
        }
        assert_eq!(got, all);
    }

    #[test]
    fn a_repaint_says_when_it_is_whole_even_when_empty() {
        for length in [0, 1, PAINT_PIECE, PAINT_PIECE + 1, 40_000] {
            let data = Bytes::from(vec![b'x'; length]);
            let size = Some(WinSize::DEFAULT);
            let mut rest = Some(Rest::Snapshot { id: 0, offset: Offset(1), size, data, reason: "attach" });
            let (mut got, mut last) = (0, None);
            while let Some(now) = rest.take() {
                let (message, after) = now.cut(1);
                let message = decode_server(message.to_text().unwrap()).unwrap();
                let Some(Body::Snapshot(piece)) = message.body else { panic!("no snapshot") };
                got += piece.data.len();
                last = Some(piece.more);
                rest = after;
            }
            assert_eq!((got, last), (length, Some(false)));
        }
    }

    #[test]
    fn an_answer_that_is_too_long_becomes_an_error_with_its_id() {
        let message = text(9, Body::Text(v1::Text { text: "x".repeat(MOST_TEXT) }));
        let message = decode_server(message.to_text().unwrap()).unwrap();
        assert_eq!(message.id, 9);
        assert!(matches!(message.body, Some(Body::Error(error)) if error.code == "internal"));
    }
}
