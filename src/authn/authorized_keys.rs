//! The `authorized_keys` format with sshd's semantics (sshd(8)); does not know where the bytes come from.
//!
//! One bad line costs its own key and nobody else's. An option that is not understood refuses the key, as in sshd.

use super::key::{KeyError, PublicKey, is_key_type};
use super::options::{KeyOptions, OptionError};
use crate::base::printable;

/// What a file lists, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFile {
    /// Keys that may log in, in the order of the file.
    pub keys: Vec<KeyLine>,
    /// Lines that list no usable key.
    pub problems: Vec<LineProblem>,
}

/// A line that lists a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// The key.
    pub key: PublicKey,
    /// What its options say.
    pub options: KeyOptions,
    /// What stands after the key, made printable, at most 64 characters; may be empty.
    pub comment: String,
    /// Line number, from 1.
    pub line: usize,
}

impl KeyLine {
    /// How to call the key in lists and logs: its label, else its comment, else its fingerprint.
    pub fn label(&self) -> &str {
        let comment = Some(self.comment.as_str()).filter(|comment| !comment.is_empty());
        self.options.label.as_deref().or(comment).unwrap_or_else(|| self.key.id().as_str())
    }
}

/// A line that lists no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineProblem {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: LineError,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The options.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Options or key that are not UTF-8, or a NUL.
    #[error("options and key must be text (UTF-8 without NUL)")]
    NotText,
}

/// Reads a whole file. `is_verb` says whether a `command=` value is a verb line of this gateway.
pub fn parse_authorized_keys(bytes: &[u8], is_verb: &dyn Fn(&str) -> bool) -> KeyFile {
    let mut file = KeyFile::default();
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate().map(|(index, line)| (index + 1, line)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match parse_line(line, number, is_verb) {
            Ok(key) => file.keys.push(key),
            Err(reason) => file.problems.push(LineProblem { line: number, reason }),
        }
    }
    file
}

fn parse_line(line: &[u8], number: usize, is_verb: &dyn Fn(&str) -> bool) -> Result<KeyLine, LineError> {
    if line.contains(&0) {
        return Err(LineError::NotText);
    }
    let (first, _) = split_blank(line, line.iter().position(is_blank).unwrap_or(line.len()));
    let first_is_type = std::str::from_utf8(first).is_ok_and(is_key_type);
    let (options, rest) = if first_is_type { (&[][..], line) } else { split_blank(line, options_end(line)?) };
    let options = std::str::from_utf8(options).map_err(|_| LineError::NotText)?;
    let (kind, rest) = split_blank(rest, rest.iter().position(is_blank).unwrap_or(rest.len()));
    let (base64, comment) = split_blank(rest, rest.iter().position(is_blank).unwrap_or(rest.len()));
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LineError::NotText);
    // The options first: a file of something else is best explained by its first word.
    let options = KeyOptions::parse(options, is_verb)?;
    if kind.is_empty() || base64.is_empty() {
        return Err(KeyError::Missing.into());
    }
    let key = PublicKey::from_words(text(kind)?, text(base64)?)?;
    let comment = printable(String::from_utf8_lossy(comment).trim(), 64);
    Ok(KeyLine { key, options, comment, line: number })
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where the options end: at the first blank outside quotes. `\"` does not open or close (sshkey_advance_past_options).
fn options_end(line: &[u8]) -> Result<usize, OptionError> {
    let mut quoted = false;
    let mut bytes = line.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if bytes.next_if(|(_, next)| **next == b'"').is_some() => {}
            b'"' => quoted = !quoted,
            b' ' | b'\t' if !quoted => return Ok(at),
            _ => {}
        }
    }
    if quoted { Err(OptionError::Unterminated) } else { Ok(line.len()) }
}

/// The first `at` bytes, and what follows the blanks after them.
fn split_blank(line: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (word, rest) = line.split_at_checked(at).unwrap_or((line, &[]));
    let blanks = rest.iter().take_while(|byte| is_blank(byte)).count();
    (word, rest.get(blanks..).unwrap_or(&[]))
}
