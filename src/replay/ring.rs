//! The bytes of a log that are still there, addressed by log offset; does not know where they come from or who reads.

use crate::base::Offset;

/// A byte ring. Memory is taken from the system zeroed and untouched, so it costs what was written (hop.md, memory).
///
/// Writing goes straight into the ring: [`Ring::free`] lends contiguous space at the head, [`Ring::commit`] makes it log.
#[derive(Debug)]
pub struct Ring {
    bytes: Vec<u8>,
    tail: u64,
    head: u64,
}

impl Ring {
    /// A ring that keeps the newest `capacity` bytes (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity.max(1)], tail: 0, head: 0 }
    }

    /// The most bytes that it keeps.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The oldest byte that is there.
    pub fn tail(&self) -> Offset {
        Offset(self.tail)
    }

    /// The next byte that will be there.
    pub fn head(&self) -> Offset {
        Offset(self.head)
    }

    /// Contiguous space of 1 to `most` bytes behind the head (less than `most` at the seam). The oldest bytes that lie in it are given up.
    pub fn free(&mut self, most: usize) -> &mut [u8] {
        let at = self.place(self.head);
        let length = most.clamp(1, self.bytes.len() - at);
        self.give_up(length);
        self.bytes.get_mut(at..at + length).unwrap_or_default()
    }

    /// The first `length` bytes of the space behind the head, as they were written through [`Ring::free`].
    pub fn written(&self, length: usize) -> &[u8] {
        let at = self.place(self.head);
        self.bytes.get(at..at + length).unwrap_or_default()
    }

    /// The first `length` bytes of the space that [`Ring::free`] lent become log.
    pub fn commit(&mut self, length: usize) {
        let length = length.min(self.bytes.len() - self.place(self.head));
        self.give_up(length);
        self.head += length as u64;
    }

    /// Copies bytes in behind the head; of more than the capacity the newest stay.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.free(bytes.len());
            let length = space.len();
            let (now, later) = bytes.split_at(length);
            space.copy_from_slice(now);
            self.commit(length);
            bytes = later;
        }
    }

    /// What is there of `from..to`, in order; the second slice is what lies beyond the seam.
    pub fn slices(&self, from: Offset, to: Offset) -> [&[u8]; 2] {
        let from = from.0.clamp(self.tail, self.head);
        let length = (to.0.clamp(from, self.head) - from) as usize;
        let at = self.place(from);
        let first = length.min(self.bytes.len() - at);
        [self.bytes.get(at..at + first).unwrap_or_default(), self.bytes.get(..length - first).unwrap_or_default()]
    }

    /// At most `most` bytes from `from` on in one piece: nothing only when nothing is there.
    pub fn piece(&self, from: Offset, most: usize) -> &[u8] {
        let [first, _] = self.slices(from, from.plus(most as u64));
        first
    }

    /// Gives up what lies before `offset`.
    pub fn drop_before(&mut self, offset: Offset) {
        self.tail = offset.0.clamp(self.tail, self.head);
    }

    fn place(&self, offset: u64) -> usize {
        (offset % self.bytes.len() as u64) as usize
    }

    fn give_up(&mut self, length: usize) {
        let kept_from = (self.head + length as u64).saturating_sub(self.bytes.len() as u64);
        self.tail = self.tail.max(kept_from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(ring: &Ring, from: u64, to: u64) -> Vec<u8> {
        ring.slices(Offset(from), Offset(to)).concat()
    }

    #[test]
    fn space_is_contiguous_and_stops_at_the_seam() {
        let mut ring = Ring::new(8);
        ring.push(b"abcdef");
        assert_eq!(ring.free(5).len(), 2);
        ring.free(2).copy_from_slice(b"gh");
        assert_eq!((ring.written(2), ring.head()), (&b"gh"[..], Offset(6)), "lent is not log yet");
        ring.commit(2);
        assert_eq!((ring.tail(), ring.head()), (Offset(0), Offset(8)));
        assert_eq!(ring.free(3).len(), 3);
        assert_eq!(ring.tail(), Offset(3), "what is lent is given up");
        assert_eq!(ring.piece(Offset(3), 100), b"defgh");
    }

    proptest! {
        #[test]
        fn it_keeps_exactly_the_newest(capacity in 1_usize..40, pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), any::<bool>()), 0..20), from in 0_u64..200, length in 0_u64..200) {
            let mut ring = Ring::new(capacity);
            let mut log = Vec::new();
            for (piece, direct) in pieces {
                if direct {
                    let space = ring.free(piece.len().max(1));
                    let take = space.len().min(piece.len());
                    space[..take].copy_from_slice(&piece[..take]);
                    ring.commit(take);
                    log.extend_from_slice(&piece[..take]);
                } else {
                    ring.push(&piece);
                    log.extend_from_slice(&piece);
                }
                prop_assert_eq!(ring.head().0, log.len() as u64);
                prop_assert!(ring.head().since(ring.tail()) <= capacity as u64);
            }
            let (tail, head) = (ring.tail().0, ring.head().0);
            prop_assert_eq!(all(&ring, 0, u64::MAX), &log[tail as usize..]);
            let (start, end) = (from.clamp(tail, head), (from + length).clamp(tail, head));
            prop_assert_eq!(all(&ring, from, from + length), &log[start as usize..end as usize]);
        }
    }
}
