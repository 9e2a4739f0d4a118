//! What the caller's own terminal says of its colours, found in what it types; asks nothing itself.

/// The question: foreground and background. A terminal that does not know them says nothing.
pub(crate) const ASK: &[u8] = b"\x1b]10;?\x1b\\\x1b]11;?\x1b\\";

/// Longer is no answer of a terminal (ours have 24 bytes).
const MOST: usize = 64;

/// See the module. What is typed passes by; the host takes answers out of it.
#[derive(Debug, Default)]
pub(crate) struct Colors {
    /// `#rrggbb`, or empty.
    pub(crate) foreground: String,
    /// The same.
    pub(crate) background: String,
    /// An answer that is not whole, from its ESC on.
    partial: Vec<u8>,
}

impl Colors {
    /// True when something new was said.
    pub(crate) fn hear(&mut self, typed: &[u8]) -> bool {
        let mut news = false;
        for byte in typed {
            match (self.partial.as_slice(), byte) {
                ([] | [0x1b], 0x1b) => self.partial = vec![0x1b],
                ([], _) => {}
                ([0x1b], b']') => self.partial.push(b']'),
                ([0x1b], _) => self.partial.clear(),
                // ESC begins the end.
                (_, 0x07 | 0x1b) => {
                    let answer = std::mem::take(&mut self.partial);
                    news |= self.answer(answer.get(2..).unwrap_or_default());
                }
                (partial, _) if partial.len() == MOST => self.partial.clear(),
                _ => self.partial.push(*byte),
            }
        }
        news
    }

    fn answer(&mut self, text: &[u8]) -> bool {
        let Ok(text) = str::from_utf8(text) else { return false };
        let (slot, value) = match text.split_once(';') {
            Some(("10", value)) => (&mut self.foreground, value),
            Some(("11", value)) => (&mut self.background, value),
            _ => return false,
        };
        let Some(color) = color(value) else { return false };
        let news = *slot != color;
        *slot = color;
        news
    }
}

/// XParseColor's `rgb:` with one to four digits each, or `rgba:`.
fn color(value: &str) -> Option<String> {
    let parts = value.strip_prefix("rgb:").or_else(|| value.strip_prefix("rgba:"))?;
    let mut color = "#".to_owned();
    for part in parts.split('/').take(3) {
        let digits = part.len();
        let good = (1..=4).contains(&digits) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(part, 16).ok().filter(|_| good)?;
        // Four bits for each digit, scaled to eight.
        let most = (1 << (4 * digits)) - 1;
        color.push_str(&format!("{:02x}", number * 255 / most));
    }
    (color.len() == 7).then_some(color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_in_whatever_is_typed_and_however_it_is_cut() {
        let typed = b"a\x1b[A\x1b]10;rgb:ffff/0000/8080\x1b\\b\x1b]11;rgba:f/0/8/f\x07\x1b]52;c;x\x07";
        for cut in 1..typed.len() {
            let mut colors = Colors::default();
            let news = typed.chunks(cut).filter(|piece| colors.hear(piece)).count();
            assert!((1..=2).contains(&news), "{cut}");
            assert_eq!((colors.foreground.as_str(), colors.background.as_str()), ("#ff0080", "#ff0088"), "{cut}");
            assert!(!typed.chunks(cut).any(|piece| colors.hear(piece)), "said before");
        }
    }

    #[test]
    fn what_is_no_colour_changes_nothing_and_nothing_grows() {
        let mut colors = Colors::default();
        for typed in [
            "\x1b]11;?\x07",
            "\x1b]11;rgb:1/2\x07",
            "\x1b]11;rgb:x/y/z\x07",
            "\x1b]12;rgb:1/2/3\x07",
            "\x1b]11;rgb:+1/2/3\x07",
        ] {
            assert!(!colors.hear(typed.as_bytes()), "{typed:?}");
        }
        assert!(!colors.hear(&[b"\x1b]11;".as_slice(), &[b'0'; 100_000]].concat()));
        assert!(colors.partial.len() <= MOST && colors.background.is_empty());
    }
}
