//! The binary frames on wss: terminal bytes behind channel and offset; does not know which way they go.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::Offset;

/// channel u32, offset u64, big endian.
pub const BINARY_HEADER: usize = 12;

/// Terminal bytes of one attachment: output at a log offset, or input at an input offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryFrame {
    /// The attachment.
    pub channel: u32,
    /// Offset of the first byte.
    pub offset: Offset,
    /// The bytes.
    pub data: Bytes,
}

/// A binary frame shorter than its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a binary frame of {0} bytes is shorter than its header of 12")]
pub struct BinaryError(pub usize);

impl BinaryFrame {
    /// Splits a received frame.
    pub fn decode(mut frame: Bytes) -> Result<Self, BinaryError> {
        let Some((header, _)) = frame.split_first_chunk::<BINARY_HEADER>() else {
            return Err(BinaryError(frame.len()));
        };
        let [c0, c1, c2, c3, o0, o1, o2, o3, o4, o5, o6, o7] = *header;
        Ok(Self {
            channel: u32::from_be_bytes([c0, c1, c2, c3]),
            offset: Offset(u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7])),
            data: frame.split_off(BINARY_HEADER),
        })
    }

    /// Header and data in one piece.
    pub fn encode(channel: u32, offset: Offset, data: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(BINARY_HEADER + data.len());
        out.put_u32(channel);
        out.put_u64(offset.0);
        out.put_slice(data);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_a_short_one_does_not() {
        let frame = BinaryFrame::encode(7, Offset(1 << 40), b"hi");
        assert_eq!(&frame[..], b"\0\0\0\x07\0\0\x01\0\0\0\0\0hi");
        let back = BinaryFrame::decode(frame).unwrap();
        assert_eq!((back.channel, back.offset, &back.data[..]), (7, Offset(1 << 40), &b"hi"[..]));
        assert_eq!(BinaryFrame::decode(Bytes::from_static(b"short")), Err(BinaryError(5)));
    }
}
