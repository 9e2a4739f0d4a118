//! Appends entries to one chain; does not know who writes or what the clock says.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::SystemTime;

use super::line::{self, Head};
use super::{Entry, Event, Field};

/// Where the last line is looked for: a line is at most 32 fields of 512 characters, each escaped to at most 12 bytes.
const TAIL: u64 = 1024 * 1024;

/// Why an entry was not written; nothing that depends on it may happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// Another process writes this file.
    #[error("the audit file is being written by another process: each process has its own; end the other first")]
    InUse,
    /// The last line was changed, or the file is something else.
    #[error(
        "the end of the audit file is no line of ours: look at it with `portcullis audit verify`, move it away, and a new chain begins"
    )]
    Damaged,
    /// Disk full, no permission, and so on.
    #[error(
        "the audit entry could not be written ({0}): free space or check the file's owner; no new session starts until then"
    )]
    Write(#[source] io::Error),
    /// Reading back failed.
    #[error("the audit file could not be read ({0})")]
    Read(#[source] io::Error),
}

/// What was found when the file was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// No line was there.
    New,
    /// A whole last line.
    Whole,
    /// So many bytes of an unfinished line; kept, and followed by `recovered`.
    Torn(u64),
}

/// The one writer of a chain file (held by a lock on the file).
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    head: Head,
    /// End of the last whole line.
    end: u64,
    /// Bytes of a failed write that could not be taken back lie after `end`.
    torn: bool,
}

impl Writer {
    /// Takes a file that is open for reading and appending, and stands after its last whole line.
    pub(crate) fn open(file: File, now: SystemTime) -> Result<(Self, Opened), AuditError> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::InUse),
            Err(TryLockError::Error(error)) => return Err(AuditError::Read(error)),
        }
        let mut writer = Self { file, head: Head::NONE, end: 0, torn: false };
        let opened = writer.find_end(now)?;
        Ok((writer, opened))
    }

    /// Goes on in a new, empty file (after rotation); its first line says where the chain comes from.
    pub(crate) fn continue_in(&mut self, file: File, now: SystemTime) -> Result<(), AuditError> {
        let (mut next, opened) = Self::open(file, now)?;
        if opened == Opened::New {
            next.head = self.head;
            next.append(&Entry::new(Event::Continued), now)?;
        }
        *self = next;
        Ok(())
    }

    /// One entry, one write(2). After an error the chain is as before.
    pub(crate) fn append(&mut self, entry: &Entry, now: SystemTime) -> Result<(), AuditError> {
        if self.torn && self.file.set_len(self.end).is_err() {
            // The file may only grow (chattr +a): leave what lies there and say so in the chain.
            self.find_end(now)?;
        }
        self.torn = false;
        self.write_line("", entry, now)
    }

    /// Entries so far in the chain.
    #[cfg(test)]
    pub(crate) fn sequence(&self) -> u64 {
        self.head.seq
    }

    /// The last line's hash in hex.
    #[cfg(test)]
    pub(crate) fn head(&self) -> String {
        line::hex(&self.head.hash)
    }

    fn write_line(&mut self, before: &str, entry: &Entry, now: SystemTime) -> Result<(), AuditError> {
        let (line, head) = line::seal(self.head, entry, now);
        let bytes = format!("{before}{line}\n");
        let failure = match self.file.write(bytes.as_bytes()) {
            Ok(written) if written == bytes.len() => {
                self.head = head;
                self.end = self.end.saturating_add(written as u64);
                return Ok(());
            }
            Ok(_) => io::Error::from(io::ErrorKind::StorageFull),
            Err(error) => error,
        };
        self.torn = self.file.set_len(self.end).is_err();
        Err(AuditError::Write(failure))
    }

    fn find_end(&mut self, now: SystemTime) -> Result<Opened, AuditError> {
        let length = self.file.seek(SeekFrom::End(0)).map_err(AuditError::Read)?;
        if length == 0 {
            return Ok(Opened::New);
        }
        let from = length.saturating_sub(TAIL);
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(from)).map_err(AuditError::Read)?;
        (&self.file).take(TAIL).read_to_end(&mut tail).map_err(AuditError::Read)?;
        self.end = length;

        let split = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let (lines, torn) = tail.split_at_checked(split).ok_or(AuditError::Damaged)?;
        if torn.is_empty() {
            self.head = last_head(lines)?;
            return Ok(Opened::Whole);
        }
        let (bytes, recovered) = match line::open(torn) {
            // Only the newline is missing.
            Some((fields, hash)) => {
                self.head = Head { seq: fields.seq, hash };
                (0, Entry::new(Event::Recovered))
            }
            None if split == 0 && from > 0 => return Err(AuditError::Damaged),
            None => {
                self.head = if split == 0 { Head::NONE } else { last_head(lines)? };
                (torn.len() as u64, Entry::new(Event::Recovered).text(Field::TornHash, &line::hex(&line::digest(torn))))
            }
        };
        let entry = recovered.number(Field::TornBytes, i64::try_from(bytes).unwrap_or(i64::MAX));
        self.write_line("\n", &entry, now)?;
        Ok(Opened::Torn(bytes))
    }
}

/// The head that the last of these whole lines makes.
fn last_head(lines: &[u8]) -> Result<Head, AuditError> {
    let body = lines.strip_suffix(b"\n").ok_or(AuditError::Damaged)?;
    let last = body.rsplit(|byte| *byte == b'\n').next().ok_or(AuditError::Damaged)?;
    let (fields, hash) = line::open(last).ok_or(AuditError::Damaged)?;
    Ok(Head { seq: fields.seq, hash })
}
