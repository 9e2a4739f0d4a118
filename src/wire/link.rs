//! Link v1 framing between gateway and host; does not know what either does with a frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::v1::{Event, Launch, ToGateway, ToHost};
use crate::base::{LINK_FRAME, Offset};

/// type u8, length u32, offset u64.
pub const LINK_HEADER: usize = 13;
/// The only version so far.
pub const LINK_VERSION: u32 = 1;

const OUTPUT: u8 = 1;
const LOST: u8 = 2;
const EVENT: u8 = 3;
const CONTROL: u8 = 4;

/// What a header says follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameHeader {
    /// Log bytes.
    Output,
    /// A hole.
    Lost,
    /// An event.
    Event,
    /// A control message.
    Control,
}

/// One received frame. Control payloads stay bytes: each side decodes its own direction.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Log bytes from this offset on.
    Output(Offset, Bytes),
    /// Bytes from the first up to the second offset were lost.
    Lost(Offset, Offset),
    /// An event at an offset.
    Event(Offset, Event),
    /// A prost message.
    Control(Bytes),
}

/// A peer that does not speak link v1. Never continued from.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A length above the limit.
    #[error("a link frame of {0} bytes; the limit is 65792")]
    TooLong(u32),
    /// A payload that does not decode.
    #[error("a link frame that does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A lost frame without its second offset, or one that goes backwards.
    #[error("a lost frame without a hole")]
    Lost,
}

/// The 13 bytes before `length` bytes of payload.
pub fn encode_header(kind: FrameHeader, length: u32, offset: Offset) -> [u8; LINK_HEADER] {
    let kind = match kind {
        FrameHeader::Output => OUTPUT,
        FrameHeader::Lost => LOST,
        FrameHeader::Event => EVENT,
        FrameHeader::Control => CONTROL,
    };
    let mut header = [0; LINK_HEADER];
    let mut rest = &mut header[..];
    rest.put_u8(kind);
    rest.put_u32(length);
    rest.put_u64(offset.0);
    header
}

/// A whole frame: the bytes in `from..to` are gone.
pub fn encode_lost(out: &mut BytesMut, from: Offset, to: Offset) {
    out.put_slice(&encode_header(FrameHeader::Lost, 8, from));
    out.put_u64(to.0);
}

/// A whole event frame.
pub fn encode_event(out: &mut BytesMut, at: Offset, event: &Event) {
    put_message(out, FrameHeader::Event, at, event);
}

/// A whole control frame, gateway to host.
pub fn encode_control_to_host(out: &mut BytesMut, message: &ToHost) {
    put_message(out, FrameHeader::Control, Offset::ZERO, message);
}

/// A whole control frame, host to gateway.
pub fn encode_control_to_gateway(out: &mut BytesMut, message: &ToGateway) {
    put_message(out, FrameHeader::Control, Offset::ZERO, message);
}

/// The payload of a control frame on its way to the host.
pub fn decode_to_host(payload: Bytes) -> Result<ToHost, LinkError> {
    Ok(ToHost::decode(payload)?)
}

/// The payload of a control frame on its way to the gateway.
pub fn decode_to_gateway(payload: Bytes) -> Result<ToGateway, LinkError> {
    Ok(ToGateway::decode(payload)?)
}

/// What a launch tells a host about its session.
pub fn encode_launch(launch: &Launch) -> Vec<u8> {
    launch.encode_to_vec()
}

/// The other end of [`encode_launch`].
pub fn decode_launch(bytes: &[u8]) -> Result<Launch, LinkError> {
    Ok(Launch::decode(bytes)?)
}

fn put_message(out: &mut BytesMut, kind: FrameHeader, offset: Offset, message: &impl Message) {
    let length = message.encoded_len();
    debug_assert!(length <= LINK_FRAME, "senders cut their data below the frame limit");
    out.reserve(LINK_HEADER + length);
    out.put_slice(&encode_header(kind, length as u32, offset));
    message.encode_raw(out);
}

/// Cuts a byte stream into frames. Holds at most one incomplete frame beyond what the caller appended.
#[derive(Debug, Default)]
pub struct LinkDecoder {
    buffer: BytesMut,
}

impl LinkDecoder {
    /// Where received bytes are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame; none when more bytes are needed. Frames of an unknown type are skipped.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, LinkError> {
        loop {
            let Some(header) = self.buffer.first_chunk::<LINK_HEADER>() else { return Ok(None) };
            let mut header = &header[..];
            let (kind, length, offset) = (header.get_u8(), header.get_u32(), Offset(header.get_u64()));
            if length as usize > LINK_FRAME {
                return Err(LinkError::TooLong(length));
            }
            if self.buffer.len() < LINK_HEADER + length as usize {
                return Ok(None);
            }
            self.buffer.advance(LINK_HEADER);
            let payload = self.buffer.split_to(length as usize).freeze();
            match kind {
                OUTPUT => return Ok(Some(Frame::Output(offset, payload))),
                LOST => return lost(offset, payload).map(Some),
                EVENT => return Ok(Some(Frame::Event(offset, Event::decode(payload)?))),
                CONTROL => return Ok(Some(Frame::Control(payload))),
                _ => {}
            }
        }
    }
}

fn lost(from: Offset, mut payload: Bytes) -> Result<Frame, LinkError> {
    let to = payload.try_get_u64().map_err(|_| LinkError::Lost)?;
    if to <= from.0 { Err(LinkError::Lost) } else { Ok(Frame::Lost(from, Offset(to))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{Bell, event::Kind};

    #[test]
    fn frames_come_back_however_the_stream_is_cut() {
        let mut stream = BytesMut::new();
        stream.put_slice(&encode_header(FrameHeader::Output, 3, Offset(9)));
        stream.put_slice(b"abc");
        encode_lost(&mut stream, Offset(1), Offset(5));
        stream.put_slice(&[200, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'?']);
        let event = Event { kind: Some(Kind::Bell(Bell {})), more: false };
        encode_event(&mut stream, Offset(12), &event);
        let wanted = [
            Frame::Output(Offset(9), Bytes::from_static(b"abc")),
            Frame::Lost(Offset(1), Offset(5)),
            Frame::Event(Offset(12), event),
        ];
        for piece in 1..stream.len() {
            let mut decoder = LinkDecoder::default();
            let mut got = Vec::new();
            for chunk in stream.chunks(piece) {
                decoder.buffer().extend_from_slice(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, wanted, "pieces of {piece}");
        }
    }

    #[test]
    fn an_endless_frame_and_a_hole_that_goes_back_are_refused() {
        let mut decoder = LinkDecoder::default();
        decoder.buffer().put_slice(&encode_header(FrameHeader::Output, LINK_FRAME as u32 + 1, Offset::ZERO));
        assert!(matches!(decoder.next_frame(), Err(LinkError::TooLong(length)) if length as usize == LINK_FRAME + 1));
        let mut decoder = LinkDecoder::default();
        encode_lost(decoder.buffer(), Offset(5), Offset(5));
        assert!(matches!(decoder.next_frame(), Err(LinkError::Lost)));
    }
}
