//! Text that comes in pieces, and then whole: what of it stands on the terminal for good, what is still the last row.
//! Does not know whose text it is.

use sha2::{Digest, Sha256};

use super::text::{Care, Row, Style, clean, cut, rows};

/// Of a text that is held back whole: as long as an event may be.
const HELD: usize = 256 * 1024;

/// Which text a piece belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) message: String,
    pub(super) number: u32,
    pub(super) thought: bool,
    /// The tool call of the sub-agent that speaks.
    pub(super) parent: String,
}

/// How much of a block was said in pieces: enough to find the rest of it in the whole.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) block: Block,
    hash: Sha256,
    length: usize,
}

impl Said {
    pub(super) fn nothing(block: Block) -> Self {
        Self { block, hash: Sha256::new(), length: 0 }
    }

    /// Some of it was.
    pub(super) fn is_begun(&self) -> bool {
        self.length > 0
    }

    fn add(&mut self, piece: &str) {
        self.hash.update(piece);
        self.length += piece.len();
    }

    /// What of the whole was not said yet; none when the pieces were another text.
    pub(super) fn rest<'a>(&self, whole: &'a str) -> Option<&'a str> {
        let (before, rest) = whole.split_at_checked(self.length)?;
        (Sha256::digest(before) == self.hash.clone().finalize()).then_some(rest)
    }
}

/// A block that is being said.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) said: Said,
    style: Style,
    indent: &'static str,
    /// Clean, and not on the terminal for good.
    pending: String,
    /// Some of it is.
    begun: bool,
}

impl Stream {
    pub(super) fn new(said: Said) -> Self {
        let quiet = said.block.thought || !said.block.parent.is_empty();
        let (style, indent) = if quiet { (Style::Dim, "  ") } else { (Style::Plain, "") };
        let begun = said.is_begun();
        Self { said, style, indent, pending: String::new(), begun }
    }

    /// One more piece; the rows that it completes. With `hold` none are: the whole may come.
    pub(super) fn push(&mut self, piece: &str, width: usize, hold: bool) -> Vec<Row> {
        self.said.add(piece);
        self.append(piece, width, hold)
    }

    /// The whole text; all rows that are left.
    pub(super) fn whole(mut self, text: &str, width: usize) -> Vec<Row> {
        let rest = if self.begun { self.said.rest(text) } else { None };
        match rest {
            Some(rest) => {
                let mut out = self.append(rest, width, false);
                out.extend(self.end(width));
                out
            }
            // Other words than the pieces were: all of them, in place of what can still be taken back.
            None => {
                self.pending.clear();
                self.begun = false;
                let mut out = self.append(text, width, false);
                out.extend(self.end(width));
                out
            }
        }
    }

    /// No more comes; what was still open.
    pub(super) fn end(&mut self, width: usize) -> Vec<Row> {
        let text = std::mem::take(&mut self.pending);
        let text = text.trim_end_matches('\n');
        let open = !text.is_empty();
        self.begun |= open;
        if open { rows(self.style, self.indent, text, width) } else { Vec::new() }
    }

    /// The row that is still being written.
    pub(super) fn tail(&self, width: usize) -> Vec<Row> {
        let text = self.pending.trim_end_matches('\n');
        if text.is_empty() { Vec::new() } else { rows(self.style, self.indent, text, width) }
    }

    fn append(&mut self, piece: &str, width: usize, hold: bool) -> Vec<Row> {
        self.pending.push_str(&clean(piece, Care::Prose));
        if !self.begun {
            // Blank lines before the first word say nothing.
            let blank = self.pending.len() - self.pending.trim_start_matches('\n').len();
            self.pending.drain(..blank);
        }
        if hold && self.pending.len() <= HELD {
            return Vec::new();
        }
        let room = width.saturating_sub(self.indent.len()).max(1);
        let (mut out, mut from) = (Vec::new(), 0);
        loop {
            let rest = self.pending.get(from..).unwrap_or_default();
            let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
            let (end, next) = match cut(line, room) {
                Some(place) => place,
                // Line ends at the end wait: they are only said between two lines.
                None if rest.len() > line.len() && !rest.trim_end_matches('\n').is_empty() => {
                    if rest.get(line.len()..).is_none_or(|after| after.trim_end_matches('\n').is_empty()) {
                        break;
                    }
                    (line.len(), line.len() + 1)
                }
                None => break,
            };
            out.extend(rows(self.style, self.indent, rest.get(..end).unwrap_or_default(), width));
            from += next;
        }
        self.pending.drain(..from);
        self.begun |= !out.is_empty();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let block = Block { message: "m".into(), number: 0, thought: false, parent: String::new() };
        Stream::new(Said::nothing(block))
    }

    fn text(rows: &[Row]) -> String {
        rows.iter().map(|row| format!("{}|", row.text())).collect()
    }

    #[test]
    fn pieces_and_their_whole_are_said_once() {
        let whole = "The first line.\n\nThen a longer one that has to be wrapped, 漢字 too.\nEnd";
        for size in 1..whole.len() {
            for width in [12, 40] {
                let mut stream = stream();
                let mut out = Vec::new();
                let chars: Vec<char> = whole.chars().collect();
                for piece in chars.chunks(size) {
                    out.extend(stream.push(&piece.iter().collect::<String>(), width, false));
                    assert!(stream.tail(width).len() <= 2, "the open row and the line end before it");
                }
                out.extend(stream.whole(whole, width));
                assert_eq!(text(&out), text(&rows(Style::Plain, "", whole, width)), "pieces of {size} at {width}");
            }
        }
    }

    #[test]
    fn a_whole_with_more_than_its_pieces_adds_the_rest() {
        let mut stream = stream();
        let mut out = stream.push("one\ntwo", 40, false);
        out.extend(stream.whole("one\ntwo three\nfour", 40));
        assert_eq!(text(&out), "one|two three|four|");
    }

    #[test]
    fn another_whole_takes_the_place_of_what_is_not_yet_fixed() {
        let mut open = stream();
        assert!(open.push("half", 40, false).is_empty());
        assert_eq!(text(&open.whole("something else", 40)), "something else|");
        let mut fixed = stream();
        assert_eq!(text(&fixed.push("fixed\nhalf", 40, false)), "fixed|");
        assert_eq!(text(&fixed.whole("something else", 40)), "something else|");
    }

    #[test]
    fn history_waits_for_the_whole() {
        let mut stream = stream();
        assert!(stream.push("the middle\nof it\n", 40, true).is_empty());
        assert_eq!(text(&stream.whole("it began, the middle\nof it\n", 40)), "it began, the middle|of it|");
    }
}
