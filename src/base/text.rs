//! Making a stranger's text safe to print; does not know where it goes.

/// Control characters and everything that could act on a terminal or forge a line becomes `\u{..}`; at most `most` characters.
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (count, ch) in text.chars().enumerate() {
        if count == most {
            out.push('…');
            break;
        }
        if acts_on_terminal(ch) { out.extend(ch.escape_unicode()) } else { out.push(ch) }
    }
    out
}

/// The same for a text of several lines, whole: line ends and tabs stay; what only joins characters, and the other half of a line end, is left out.
pub fn printable_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '\n' | '\t' => out.push(ch),
            '\r' | '\u{200d}' => {}
            ch if acts_on_terminal(ch) => out.extend(ch.escape_unicode()),
            ch => out.push(ch),
        }
    }
    out
}

/// Control characters, and what turns, hides or joins the text around it without being seen itself.
pub fn acts_on_terminal(ch: char) -> bool {
    ch.is_control()
        || matches!(ch,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{printable, printable_lines};

    #[test]
    fn nothing_that_acts_gets_through() {
        assert_eq!(printable("a\x1b[2Jb\n\u{202e}ü", 100), "a\\u{1b}[2Jb\\u{a}\\u{202e}ü");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable_lines("a\tb\r\n\u{9b}2J\u{202e}ü"), "a\tb\n\\u{9b}2J\\u{202e}ü");
    }
}
