//! One mistake in the configuration and how it is told; does not know how it was found.

use std::fmt;

use crate::base::printable;

/// The parser shows one line of the file and a few of its own.
const EXCERPT: usize = 12;

/// A value that is not allowed, or a key that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The file, the variable or the flag.
    pub(crate) source: String,
    /// `section.key`.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What would be right.
    pub(crate) allowed: String,
    /// Where a file's grammar is broken: its lines and what the parser says of them, to be shown as lines.
    pub(crate) excerpt: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text: &str| printable(text, 400);
        write!(f, "{}: {}: {}; {}", part(&self.source), part(&self.key), part(&self.problem), part(&self.allowed))?;
        self.excerpt.lines().take(EXCERPT).try_for_each(|line| write!(f, "\n{}", part(line)))
    }
}

/// All mistakes of one run, one for each line; a broken grammar, which comes alone, has its excerpt below.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}
