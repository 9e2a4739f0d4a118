//! What a cursor can still get from a log: pure arithmetic on offsets; does not know who asks.

use crate::base::{LogId, Offset};

/// How a log can serve a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every byte from the cursor on is there.
    Continuous,
    /// The bytes in `from..to` are gone; those from `to` on are there.
    Gap {
        /// The cursor.
        from: Offset,
        /// The oldest byte that is there.
        to: Offset,
    },
    /// The cursor belongs to another log, or to a place that this log has not reached.
    Reset,
}

/// The verdict on a cursor `(log, offset)` for the log `now` that holds the bytes `tail..head`.
pub fn reach((log, offset): (LogId, Offset), now: LogId, tail: Offset, head: Offset) -> Reach {
    if log != now || offset > head {
        return Reach::Reset;
    }
    match lost(offset, tail) {
        Some((from, to)) => Reach::Gap { from, to },
        None => Reach::Continuous,
    }
}

/// The hole before `tail` as seen from `offset`; none when nothing is missing.
pub fn lost(offset: Offset, tail: Offset) -> Option<(Offset, Offset)> {
    (offset < tail).then_some((offset, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_at_its_border() {
        let (this, other) = (LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16]));
        let (tail, head) = (Offset(10), Offset(20));
        let verdict = |log, offset| reach((log, Offset(offset)), this, tail, head);
        assert_eq!(verdict(this, 10), Reach::Continuous);
        assert_eq!(verdict(this, 20), Reach::Continuous);
        assert_eq!(verdict(this, 9), Reach::Gap { from: Offset(9), to: tail });
        assert_eq!(verdict(this, 21), Reach::Reset);
        assert_eq!(verdict(other, 15), Reach::Reset);
    }
}
