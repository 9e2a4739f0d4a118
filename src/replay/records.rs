//! A log of numbered records on a byte ring: whole records only, found by number or by offset; does not know what a record says.

use std::collections::VecDeque;

use crate::base::Offset;

use super::Ring;

/// Bytes before each record: its length, big endian.
pub const RECORD_HEADER: usize = 4;

/// Records in a ring. The ring's tail always lies where a record begins.
#[derive(Debug)]
pub struct Records {
    ring: Ring,
    /// Where each record that is there begins, oldest first.
    starts: VecDeque<Offset>,
    /// The number of the first of them.
    first: u64,
}

impl Records {
    /// Keeps the newest records of `capacity` bytes together.
    pub fn new(capacity: usize) -> Self {
        Self { ring: Ring::new(capacity), starts: VecDeque::new(), first: 0 }
    }

    /// The bytes, for whoever sends them.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The number of the next record.
    pub fn next_number(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// The number of the oldest record that is there, or of the next one.
    pub fn first_number(&self) -> u64 {
        self.first
    }

    /// Appends a record; its number. One that is longer than the ring is not kept: everything is gone then, and its number with it.
    pub fn push(&mut self, record: &[u8]) -> u64 {
        let number = self.next_number();
        self.starts.push_back(self.ring.head());
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.ring.push(&length.to_be_bytes());
        self.ring.push(record);
        while self.starts.front().is_some_and(|start| *start < self.ring.tail()) {
            self.starts.pop_front();
            self.first += 1;
        }
        self.ring.drop_before(self.starts.front().copied().unwrap_or(self.ring.head()));
        number
    }

    /// Where the record of this number begins, or the next one will; none for what is gone or beyond that.
    pub fn find(&self, number: u64) -> Option<Offset> {
        if number == self.next_number() {
            return Some(self.ring.head());
        }
        self.starts.get(usize::try_from(number.checked_sub(self.first)?).ok()?).copied()
    }
}

/// Cuts a byte stream into records, of which none is longer than `MOST`.
#[derive(Debug, Default)]
pub struct RecordReader {
    waiting: Vec<u8>,
}

/// A record longer than anybody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of {0} bytes; the limit is {MOST}")]
pub struct RecordTooLong(pub usize);

/// Longest record that a reader takes.
pub const MOST: usize = 1024 * 1024;

impl RecordReader {
    /// The records that are whole with these bytes.
    ///
    /// # Errors
    /// A length above the limit: what follows makes no sense any more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RecordTooLong> {
        self.waiting.extend_from_slice(bytes);
        let mut records = Vec::new();
        let mut rest = &self.waiting[..];
        while let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER>() {
            let length = u32::from_be_bytes(*header) as usize;
            if length > MOST {
                return Err(RecordTooLong(length));
            }
            let Some((record, after)) = behind.split_at_checked(length) else { break };
            records.push(record.to_vec());
            rest = after;
        }
        let used = self.waiting.len() - rest.len();
        self.waiting.drain(..used);
        if self.waiting.is_empty() {
            // Nothing idle keeps a buffer.
            self.waiting = Vec::new();
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tail_is_always_a_beginning() {
        let mut records = Records::new(20);
        assert_eq!((records.push(b"one"), records.push(b"two22"), records.push(b"3")), (0, 1, 2));
        assert_eq!((records.first_number(), records.next_number()), (1, 3), "7 + 9 + 5 bytes do not fit");
        assert_eq!(records.ring().tail(), Offset(7));
        assert_eq!((records.find(0), records.find(1), records.find(2)), (None, Some(Offset(7)), Some(Offset(16))));
        assert_eq!((records.find(3), records.find(4)), (Some(Offset(21)), None));
        records.push(&[0; 30]);
        assert_eq!((records.first_number(), records.next_number()), (4, 4), "longer than the ring");
        assert_eq!(records.ring().tail(), records.ring().head());
    }

    #[test]
    fn a_length_that_nobody_writes_is_an_error() {
        let mut reader = RecordReader::default();
        assert_eq!(reader.push(&[0, 0x10, 0, 1]), Err(RecordTooLong(MOST + 1)));
        assert_eq!(RecordReader::default().push(&[0, 0, 0, 0]), Ok(vec![Vec::new()]));
    }

    proptest! {
        #[test]
        fn what_is_there_comes_back(capacity in 8_usize..80, all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..30), cut in 1_usize..9) {
            let mut records = Records::new(capacity);
            for (number, record) in (0..).zip(&all) {
                prop_assert_eq!(records.push(record), number);
            }
            let first = records.first_number();
            let from = records.find(first).unwrap();
            prop_assert_eq!(from, records.ring().tail());
            let bytes = records.ring().slices(from, records.ring().head()).concat();
            let mut reader = RecordReader::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(cut) {
                got.extend(reader.push(piece).unwrap());
            }
            prop_assert_eq!(&got[..], &all[first as usize..]);
        }
    }
}
