//! A command line as words, the way a POSIX shell splits it, without any expansion; does not know what they mean.

use super::UsageError;

/// Words of one line: quotes and backslashes as in a POSIX shell; `$`, `*`, `;`, `|`, `#` and the like are ordinary
/// characters. A `#` is kept because the local client, whose words no shell splits again, keeps it too.
///
/// # Errors
/// A quote that is not closed, or a backslash at the end.
pub(crate) fn split(line: &str) -> Result<Vec<String>, UsageError> {
    shlex::split(&without_comments(line)).ok_or(UsageError::Quote)
}

/// The same line with each `#` that would begin a comment escaped.
fn without_comments(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut quote = None;
    let mut at_start = true;
    let mut chars = line.chars();
    while let Some(ch) = chars.next() {
        let between = quote.is_none() && matches!(ch, ' ' | '\t' | '\n');
        match (quote, ch) {
            (None, '#') if at_start => out.push('\\'),
            (None, '\'' | '"') => quote = Some(ch),
            (Some(open), _) if ch == open => quote = None,
            _ => {}
        }
        out.push(ch);
        if ch == '\\' && quote != Some('\'') {
            out.extend(chars.next());
        }
        at_start = between;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::split;

    #[test]
    fn words_are_those_of_a_shell_without_expansion() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("  ls\t--json ", &["ls", "--json"]),
            ("send main 'hello  world' it\\'s", &["send", "main", "hello  world", "it's"]),
            ("send main \"a \\\"b\\\" $HOME\"", &["send", "main", "a \"b\" $HOME"]),
            ("send main $(id) ; rm -rf * | cat", &["send", "main", "$(id)", ";", "rm", "-rf", "*", "|", "cat"]),
            ("send main #42 is 'a # b' c#d", &["send", "main", "#42", "is", "a # b", "c#d"]),
            ("new claude ''", &["new", "claude", ""]),
            ("a\\ #b \\#c", &["a #b", "#c"]),
        ];
        for (line, words) in cases {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for open in ["send main 'x", "send \"x", "x\\"] {
            assert!(split(open).is_err(), "{open}");
        }
    }

    proptest! {
        #[test]
        fn what_was_quoted_comes_back(words in prop::collection::vec("[ -~\\n\\téß☃]{0,12}", 0..6)) {
            let line = shlex::try_join(words.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(split(&line).unwrap(), words);
        }
    }
}
