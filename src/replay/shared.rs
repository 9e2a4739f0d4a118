//! The gateway's short ring of one session: references to pieces of the log, continuous by offset; knows no viewer and no socket.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::Offset;

/// What a piece counts at least: with its allocation and its place in the queue it costs this much, and a program that prints
/// byte by byte must not make the ring many times its capacity.
const LEAST: usize = 256;

/// Pieces of the log from `tail` to `head` without a hole; the oldest pieces go when `capacity` bytes are exceeded, each counted as
/// 256 at least.
#[derive(Debug)]
pub struct SharedRing {
    pieces: VecDeque<(Offset, Bytes)>,
    tail: Offset,
    head: Offset,
    /// Of all pieces, as they count.
    cost: usize,
    capacity: usize,
}

impl SharedRing {
    /// An empty ring whose next byte will be at `at`.
    pub fn new(at: Offset, capacity: usize) -> Self {
        Self { pieces: VecDeque::new(), tail: at, head: at, cost: 0, capacity }
    }

    /// The offset of the next byte to come.
    pub fn head(&self) -> Offset {
        self.head
    }

    /// The oldest offset that is still here.
    pub fn tail(&self) -> Offset {
        self.tail
    }

    /// Appends a piece. What is here already is cut off its front; after a hole the ring starts anew at the piece.
    pub fn push(&mut self, at: Offset, mut piece: Bytes) {
        self.skip_to(at);
        let known = self.head.since(at);
        if known >= piece.len() as u64 {
            return;
        }
        let piece = piece.split_off(known as usize);
        let start = self.head;
        self.head = start.plus(piece.len() as u64);
        self.cost += piece.len().max(LEAST);
        self.pieces.push_back((start, piece));
        while self.cost > self.capacity {
            let Some((_, oldest)) = self.pieces.pop_front() else { break };
            self.cost -= oldest.len().max(LEAST);
            self.tail = self.tail.plus(oldest.len() as u64);
        }
    }

    /// Forgets everything before `at`, which lies beyond the head: a hole.
    pub fn skip_to(&mut self, at: Offset) {
        if at > self.head {
            self.pieces.clear();
            self.cost = 0;
            self.tail = at;
            self.head = at;
        }
    }

    /// True when a viewer at this offset misses nothing here.
    pub fn holds(&self, at: Offset) -> bool {
        self.tail <= at && at <= self.head
    }

    /// A reference to what follows `at`, within one piece and at most `most` bytes; none at the head or outside the ring.
    pub fn read(&self, at: Offset, most: usize) -> Option<Bytes> {
        if !self.holds(at) || at == self.head {
            return None;
        }
        // Nearly everybody wants the newest piece; looking for it among thousands is what a key's echo would wait for.
        let newest = self.pieces.back().filter(|(start, _)| *start <= at);
        let (start, piece) = match newest {
            Some(newest) => newest,
            None => self.pieces.get(self.pieces.partition_point(|(start, _)| *start <= at).checked_sub(1)?)?,
        };
        let skip = at.since(*start) as usize;
        let end = piece.len().min(skip.saturating_add(most));
        Some(piece.slice(skip..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(capacity: usize) -> SharedRing {
        SharedRing::new(Offset(10), capacity)
    }

    #[test]
    fn a_viewer_reads_what_was_pushed_from_any_offset() {
        let mut ring = ring(4 * LEAST);
        ring.push(Offset(10), Bytes::from_static(b"abc"));
        ring.push(Offset(13), Bytes::from_static(b"defg"));
        assert_eq!(ring.read(Offset(10), 99).as_deref(), Some(&b"abc"[..]));
        assert_eq!(ring.read(Offset(12), 99).as_deref(), Some(&b"c"[..]));
        assert_eq!(ring.read(Offset(14), 2).as_deref(), Some(&b"ef"[..]));
        assert_eq!(ring.read(Offset(17), 99), None);
        assert!(!ring.holds(Offset(9)) && ring.holds(Offset(17)) && !ring.holds(Offset(18)));
    }

    #[test]
    fn doubles_are_cut_and_holes_start_anew() {
        let mut ring = ring(4 * LEAST);
        ring.push(Offset(10), Bytes::from_static(b"abc"));
        ring.push(Offset(11), Bytes::from_static(b"bcde"));
        assert_eq!((ring.head(), ring.read(Offset(13), 9).as_deref()), (Offset(15), Some(&b"de"[..])));
        ring.push(Offset(20), Bytes::from_static(b"x"));
        assert_eq!((ring.tail(), ring.head()), (Offset(20), Offset(21)));
        assert!(!ring.holds(Offset(15)));
    }

    #[test]
    fn the_oldest_pieces_go() {
        let mut ring = ring(4 * LEAST);
        for (index, byte) in (0u64..9).zip(b'a'..) {
            ring.push(Offset(10 + index), Bytes::from(vec![byte]));
        }
        assert_eq!((ring.tail(), ring.head()), (Offset(15), Offset(19)), "each counts as more than its one byte");
        assert_eq!(ring.read(Offset(15), 9).as_deref(), Some(&b"f"[..]));
        ring.push(Offset(19), Bytes::from(vec![b'x'; 3 * LEAST + 1]));
        assert_eq!((ring.tail(), ring.head()), (Offset(19), Offset(20 + 3 * LEAST as u64)));
        ring.push(Offset(5000), Bytes::from(vec![b'y'; 4 * LEAST]));
        assert_eq!((ring.tail(), ring.cost), (Offset(5000), 4 * LEAST), "a hole gives its cost back");
    }
}
