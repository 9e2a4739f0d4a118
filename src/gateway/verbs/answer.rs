//! What an agent says in one turn, as text that is printed while it comes; keeps none of it, and knows no turn and no door.

use sha2::{Digest, Sha256};

use crate::base::printable_lines;
use crate::wire::v1::MessageChunk;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Answer {
    block: Option<Block>,
    /// What was printed last did not end its line.
    is_open: bool,
}

/// How much of a block was said in pieces: enough to find the rest of it in the whole.
#[derive(Debug)]
struct Block {
    message: String,
    number: u32,
    hash: Sha256,
    length: usize,
}

impl Answer {
    /// What of the chunk is to be printed; none when `is_cut` and its end is nowhere. What is printed cannot be taken back, so a whole that
    /// is not what its pieces were follows them on a line of its own.
    pub(super) fn take(&mut self, chunk: &MessageChunk, is_cut: bool) -> (String, bool) {
        let mut out = String::new();
        let known = self.block.take().filter(|block| block.is_of(chunk));
        if known.is_none() {
            self.end_line(&mut out);
        }
        if !chunk.whole {
            let mut block = known.unwrap_or_else(|| Block::new(chunk));
            block.hash.update(&chunk.text);
            block.length += chunk.text.len();
            self.block = Some(block);
            self.print(&mut out, &chunk.text);
            return (out, !is_cut);
        }
        let has_pieces = known.is_some();
        match known.map_or(Some(chunk.text.as_str()), |block| block.rest(&chunk.text)) {
            Some(rest) => self.print(&mut out, rest),
            // Its pieces were all of it; what is left of the whole cannot be told from them.
            None if is_cut => {}
            None => {
                self.end_line(&mut out);
                self.print(&mut out, &chunk.text);
            }
        }
        self.end_line(&mut out);
        (out, !is_cut || has_pieces)
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> String {
        let mut out = String::new();
        self.end_line(&mut out);
        out
    }

    fn print(&mut self, out: &mut String, text: &str) {
        let text = printable_lines(text);
        self.is_open = text.chars().next_back().map_or(self.is_open, |last| last != '\n');
        out.push_str(&text);
    }

    fn end_line(&mut self, out: &mut String) {
        if std::mem::take(&mut self.is_open) {
            out.push('\n');
        }
    }
}

impl Block {
    fn new(chunk: &MessageChunk) -> Self {
        Self { message: chunk.message_id.clone(), number: chunk.block, hash: Sha256::new(), length: 0 }
    }

    fn is_of(&self, chunk: &MessageChunk) -> bool {
        self.message == chunk.message_id && self.number == chunk.block
    }

    fn rest<'a>(&self, whole: &'a str) -> Option<&'a str> {
        let (before, rest) = whole.split_at_checked(self.length)?;
        (Sha256::digest(before) == self.hash.clone().finalize()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str, block: u32, whole: bool) -> MessageChunk {
        MessageChunk { text: text.into(), block, whole, ..MessageChunk::default() }
    }

    fn printed(chunks: &[(MessageChunk, bool)]) -> (String, bool) {
        let mut answer = Answer::default();
        let (mut all, mut complete) = (String::new(), true);
        for (chunk, is_cut) in chunks {
            let (text, is_whole) = answer.take(chunk, *is_cut);
            all += &text;
            complete &= is_whole;
        }
        (all + &answer.end(), complete)
    }

    #[test]
    fn each_word_is_printed_once_whatever_it_came_in() {
        let pieces = [(chunk("one\ntw", 0, false), false), (chunk("o", 0, false), false)];
        assert_eq!(printed(&pieces), ("one\ntwo\n".into(), true));
        let whole = |text: &str, is_cut| [&pieces[..], &[(chunk(text, 0, true), is_cut)]].concat();
        assert_eq!(printed(&whole("one\ntwo", false)), ("one\ntwo\n".into(), true));
        assert_eq!(printed(&whole("one\ntwo three\n", false)), ("one\ntwo three\n".into(), true));
        assert_eq!(printed(&whole("another", false)), ("one\ntwo\nanother\n".into(), true));
        assert_eq!(printed(&whole("one", true)), ("one\ntwo\n".into(), true), "its pieces were all of it");
        let next = [whole("one\ntwo", false), vec![(chunk("next", 1, true), false)]].concat();
        assert_eq!(printed(&next), ("one\ntwo\nnext\n".into(), true));
    }

    #[test]
    fn an_end_that_is_nowhere_is_said() {
        assert_eq!(printed(&[(chunk("head", 0, true), true)]), ("head\n".into(), false));
        assert_eq!(printed(&[(chunk("head", 0, false), true)]), ("head\n".into(), false));
    }

    #[test]
    fn nothing_acts_on_the_terminal() {
        let said = [(chunk("a\x1b]0;x\x07\tb\r\n\u{202e}", 0, false), false)];
        assert_eq!(printed(&said).0, "a\\u{1b}]0;x\\u{7}\tb\n\\u{202e}\n");
    }
}
