//! Names that passed their pattern; does not know whether anything bears them.

use std::fmt;
use std::str::FromStr;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not the pattern of session and agent names.
    #[error("{0:?} is no name: a letter or digit, then at most 63 of a-z 0-9 . _ -")]
    Name(String),
    /// Not the pattern of account names.
    #[error("{0:?} is no account name: at most 32 of a-z A-Z 0-9 . _ -, not beginning with - or .")]
    Account(String),
}

/// Name of a session or agent: `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Name of a Unix account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let low = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let mut bytes = text.bytes();
        let good = bytes.next().is_some_and(low)
            && text.len() <= 64
            && bytes.all(|b| low(b) || matches!(b, b'.' | b'_' | b'-'));
        if good { Ok(Self(text.to_owned())) } else { Err(NameError::Name(text.to_owned())) }
    }
}

impl FromStr for AccountName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut bytes = text.bytes();
        let good =
            bytes.next().is_some_and(word) && text.len() <= 32 && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'));
        if good { Ok(Self(text.to_owned())) } else { Err(NameError::Account(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_holds() {
        for good in ["a", "claude", "0", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("root-2.x_y".parse::<AccountName>().is_ok());
        assert!("../x".parse::<AccountName>().is_err());
    }
}
