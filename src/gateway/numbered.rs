//! Typed bytes by their number, kept until the gateway says that the program's terminal took them. Pure; knows no
//! socket. With it nothing typed is lost or doubled across reconnects.

use std::collections::VecDeque;

use crate::base::{INPUT_MESSAGE, INPUT_QUEUE};

/// Most bytes kept; as much as a session's own queue. At the limit the keyboard is not read.
const MOST: usize = INPUT_QUEUE;

/// Input of one writer.
#[derive(Debug, Default)]
pub(crate) struct NumberedInput {
    kept: VecDeque<u8>,
    // Offset of the first kept byte: everything before it was taken.
    taken: u64,
    // Offset of the first byte not sent on this connection.
    sent: u64,
}

impl NumberedInput {
    /// Room for so many more bytes.
    pub(crate) fn room(&self) -> usize {
        MOST.saturating_sub(self.kept.len())
    }

    /// Bytes that were not taken yet.
    pub(crate) fn length(&self) -> usize {
        self.kept.len()
    }

    /// Whether everything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Typed bytes, at most `room`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
    }

    /// The next message to send: offset of its first byte, and the bytes.
    pub(crate) fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        let from = (self.sent.saturating_sub(self.taken)) as usize;
        let piece: Vec<u8> = self.kept.iter().skip(from).take(INPUT_MESSAGE).copied().collect();
        if piece.is_empty() {
            return None;
        }
        let offset = self.sent;
        self.sent += piece.len() as u64;
        Some((offset, piece))
    }

    /// Bytes up to here were taken. An older word changes nothing; one beyond what was typed is not believed.
    pub(crate) fn taken(&mut self, offset: u64) {
        let typed = self.taken + self.kept.len() as u64;
        let offset = offset.clamp(self.taken, typed);
        self.kept.drain(..(offset - self.taken) as usize);
        self.taken = offset;
        self.sent = self.sent.max(offset);
    }

    /// What was handed out from `offset` on did not get away; what was before it may still be under way.
    pub(crate) fn unsent(&mut self, offset: u64) {
        self.sent = self.sent.min(offset).max(self.taken);
    }

    /// A new connection, or a refusal: everything from `offset` on is to be sent (again).
    pub(crate) fn again_from(&mut self, offset: u64) {
        self.taken(offset);
        self.sent = self.taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_taken_is_not_sent_again_and_what_was_not_is() {
        let mut input = NumberedInput::default();
        input.push(b"abcdef");
        assert_eq!(input.next(), Some((0, b"abcdef".to_vec())));
        assert_eq!(input.next(), None);
        input.taken(2);
        input.push(b"gh");
        assert_eq!(input.next(), Some((6, b"gh".to_vec())));
        // The connection breaks; the host had taken 4.
        input.again_from(4);
        assert_eq!(input.next(), Some((4, b"efgh".to_vec())));
        input.taken(8);
        assert_eq!((input.next(), input.kept.len()), (None, 0));
        // Two messages of three were too much at once: the first counts, wherever the others begin.
        for piece in [&b"ij"[..], b"kl", b"mn"] {
            input.push(piece);
            input.next();
        }
        input.unsent(10);
        input.unsent(12);
        assert_eq!((input.length(), input.next()), (6, Some((10, b"klmn".to_vec()))));
    }

    proptest! {
        // A host that takes any prefix of each message, and connections that break anywhere.
        #[test]
        fn nothing_is_lost_or_doubled(steps in proptest::collection::vec((0u8..4, 0usize..5), 1..200)) {
            let mut input = NumberedInput::default();
            let (mut typed, mut host) = (Vec::<u8>::new(), Vec::<u8>::new());
            let mut flight: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
            for (what, count) in steps {
                match what {
                    0 => { let bytes = vec![typed.len() as u8; count]; typed.extend(&bytes); input.push(&bytes); }
                    1 => flight.extend(input.next()),
                    2 => if let Some((offset, bytes)) = flight.pop_front() {
                        let skip = (host.len() as u64 - offset) as usize;
                        host.extend(bytes.into_iter().skip(skip));
                        input.taken(host.len() as u64);
                    },
                    _ => { flight.clear(); input.again_from(host.len() as u64); }
                }
            }
            input.again_from(host.len() as u64);
            while let Some((_, bytes)) = input.next() { host.extend(bytes); }
            prop_assert_eq!(host, typed);
        }
    }
}
