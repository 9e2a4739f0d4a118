//! Cuts an agent's output into lines of bounded length; does not know what they say.

use crate::agents::limits::{LINE, LOG_LINE};

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Longer than the limit: its beginning, and how long it was.
    Overlong(&'a [u8], u64),
}

/// The unfinished line of one stream.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    waiting: Vec<u8>,
    /// Bytes of the present line that were not kept.
    dropped: u64,
}

impl Lines {
    /// Lines of standard output.
    pub(super) fn of_output() -> Self {
        Self::new(LINE)
    }

    /// Lines of standard error.
    pub(super) fn of_error() -> Self {
        Self::new(LOG_LINE)
    }

    fn new(limit: usize) -> Self {
        Self { limit, waiting: Vec::new(), dropped: 0 }
    }

    /// The lines that end in these bytes, in order.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.waiting.is_empty() && self.dropped == 0 && line.len() <= self.limit {
                each(Line::Whole(line));
                continue;
            }
            self.keep(line);
            self.finish(&mut each);
        }
        self.keep(bytes);
    }

    /// The stream is at its end: what has no newline is a line too.
    pub(super) fn end(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.waiting.is_empty() {
            self.finish(&mut each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.waiting.len());
        let (kept, rest) = bytes.split_at(bytes.len().min(room));
        self.waiting.extend_from_slice(kept);
        self.dropped += rest.len() as u64;
    }

    fn finish(&mut self, each: &mut impl FnMut(Line<'_>)) {
        // Not kept for the next line: one long line must not cost its length for ever.
        let line = std::mem::take(&mut self.waiting);
        let dropped = std::mem::take(&mut self.dropped);
        match dropped {
            0 => each(Line::Whole(&line)),
            more => {
                let length = line.len() as u64 + more;
                each(Line::Overlong(line.get(..LOG_LINE).unwrap_or(&line), length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new(limit);
        let mut got = Vec::new();
        let mut each = |line: Line<'_>| {
            got.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::Overlong(line, length) => format!("{}…{length}", String::from_utf8_lossy(line)),
            });
        };
        pieces.iter().for_each(|piece| lines.push(piece, &mut each));
        lines.end(&mut each);
        got
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\n\ntwo two\nlast";
        for piece in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(piece).collect();
            assert_eq!(cut(100, &pieces), ["one", "", "two two", "last"], "pieces of {piece}");
        }
    }

    #[test]
    fn a_long_line_is_told_and_the_next_is_whole() {
        for pieces in [&[&b"123456789\nnext\n"[..]][..], &[b"1234", b"56789", b"\nnext\n"]] {
            assert_eq!(cut(4, pieces), ["1234…9", "next"]);
        }
        assert_eq!(cut(4, &[b"12345"]), ["1234…5"]);
    }
}
