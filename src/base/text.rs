//! Making a stranger's text safe to print; does not know where it goes.

/// Control characters and everything that could act on a terminal or forge a line becomes `\u{..}`; at most `most` characters.
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (count, ch) in text.chars().enumerate() {
        if count == most {
            out.push('…');
            break;
        }
        let harmful = ch.is_control()
            || matches!(ch, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if harmful { out.extend(ch.escape_unicode()) } else { out.push(ch) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_that_acts_gets_through() {
        assert_eq!(printable("a\x1b[2Jb\n\u{202e}ü", 100), "a\\u{1b}[2Jb\\u{a}\\u{202e}ü");
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
