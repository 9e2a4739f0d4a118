//! Text out of bytes that come in pieces cut anywhere; does not know whose bytes they are.

/// A character that is not whole yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Characters {
    /// At most three bytes: a fourth would make it whole.
    begun: Vec<u8>,
}

impl Characters {
    /// The text of these bytes after those of before; what is no UTF-8 becomes U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let rest = chunk.invalid();
            let may_go_on = std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none());
            if chunks.peek().is_none() && may_go_on {
                self.begun = rest.to_vec();
            } else if !rest.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_say_what_the_whole_says() {
        let whole = b"plain \xc3\xa4 \xe6\xbc\xa2 \xf0\x9f\x98\x80 \xff \xe6\xbc no \xf0\x9f end".to_vec();
        for size in 1..whole.len() {
            let mut characters = Characters::default();
            let text: String = whole.chunks(size).map(|piece| characters.push(piece)).collect();
            assert_eq!(text, String::from_utf8_lossy(&whole), "pieces of {size}");
        }
        let mut characters = Characters::default();
        assert_eq!((characters.push(b"\xe6\xbc"), characters.push(b"\xa2")), (String::new(), "漢".to_owned()));
    }
}
