//! Reads a chain from its first line to its last and says whether it is what was written; does not repair.

use std::fmt;
use std::io::{self, BufRead, Read};

use super::line::{self, Fields, Head};

/// A line longer than this is none of ours (the writer's limit).
const LINE: u64 = 1024 * 1024;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every line is what was written, in order.
    Whole,
    /// So many bytes of an unfinished last line: a crash or a full disk, not an edit.
    Torn(u64),
    /// A line was changed, removed, added or moved.
    Changed {
        /// Counted from 1.
        line: u64,
        /// What does not fit.
        why: &'static str,
    },
}

impl Verdict {
    /// 0, 2 or 1.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Changed { .. } => 1,
            Self::Torn(_) => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Torn(bytes) => {
                write!(f, "whole, but for a torn last line of {bytes} bytes (a crash, or being written)")
            }
            Self::Changed { line, why } => write!(f, "CHANGED at line {line}: {why}"),
        }
    }
}

/// What a chain holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// Lines that are right, from the first.
    pub(crate) entries: u64,
    /// Torn lines in the middle, each followed by its `recovered`.
    pub(crate) recovered: u64,
    /// The hash of the last right line, in hex; compare it with one noted elsewhere.
    pub(crate) head: String,
    /// The head of another file that this one goes on from.
    pub(crate) continues: Option<String>,
}

/// Reads everything; an error is the file's, not the chain's.
pub(crate) fn verify(mut input: impl BufRead) -> io::Result<Report> {
    let mut walk = Walk::default();
    let mut number = 0u64;
    let mut bytes = Vec::new();
    let verdict = loop {
        bytes.clear();
        (&mut input).take(LINE).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break walk.end();
        }
        number = number.saturating_add(1);
        let step = match bytes.strip_suffix(b"\n") {
            Some(line) => walk.line(line, number),
            None => break walk.tail(&bytes, number),
        };
        if let Err(verdict) = step {
            break verdict;
        }
    };
    Ok(Report {
        verdict,
        entries: walk.entries,
        recovered: walk.recovered,
        head: line::hex(&walk.head.hash),
        continues: walk.continues,
    })
}

struct Walk {
    head: Head,
    entries: u64,
    recovered: u64,
    continues: Option<String>,
    /// A line that is none: right only when the next one is its `recovered`.
    pending: Option<Pending>,
}

struct Pending {
    line: u64,
    bytes: u64,
    hash: String,
}

impl Default for Walk {
    fn default() -> Self {
        Self { head: Head::NONE, entries: 0, recovered: 0, continues: None, pending: None }
    }
}

impl Walk {
    fn line(&mut self, line: &[u8], number: u64) -> Result<(), Verdict> {
        let Some((fields, hash)) = line::open(line) else {
            if let Some(pending) = &self.pending {
                return Err(Verdict::Changed { line: pending.line, why: "its hash is not its own" });
            }
            self.pending =
                Some(Pending { line: number, bytes: line.len() as u64, hash: line::hex(&line::digest(line)) });
            return Ok(());
        };
        self.settle_torn(&fields)?;
        if self.entries == 0 && fields.event == "continued" {
            self.continues = Some(fields.prev.clone());
        } else if fields.prev != line::hex(&self.head.hash) {
            return Err(Verdict::Changed { line: number, why: "it does not follow the line before it" });
        } else if fields.seq != self.head.seq.saturating_add(1) {
            return Err(Verdict::Changed { line: number, why: "its number is not the next one" });
        }
        self.head = Head { seq: fields.seq, hash };
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    /// A torn line is good only if the very next entry names its length and hash.
    fn settle_torn(&mut self, fields: &Fields) -> Result<(), Verdict> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let named = fields.event == "recovered"
            && fields.torn_bytes == Some(pending.bytes)
            && fields.torn_hash.as_deref() == Some(pending.hash.as_str());
        if !named {
            return Err(Verdict::Changed { line: pending.line, why: "its hash is not its own" });
        }
        self.recovered = self.recovered.saturating_add(1);
        Ok(())
    }

    fn tail(&self, tail: &[u8], number: u64) -> Verdict {
        if let Some(pending) = &self.pending {
            return Verdict::Changed { line: pending.line, why: "its hash is not its own" };
        }
        // A torn write is a prefix of a line and its newline: a whole line with something else behind it was edited.
        let edited = tail.split_last().is_some_and(|(_, body)| line::open(body).is_some());
        if edited || tail.len() as u64 >= LINE {
            return Verdict::Changed { line: number, why: "no line ends so" };
        }
        Verdict::Torn(tail.len() as u64)
    }

    fn end(&self) -> Verdict {
        match &self.pending {
            Some(pending) => Verdict::Changed { line: pending.line, why: "its hash is not its own" },
            None => Verdict::Whole,
        }
    }
}
