//! What one push through the sieve gave: kept bytes as slices, notes with their places, a mark; does not know what is done with them.

use super::Query;
use std::ops::Range;

/// One push's result; cleared by the next push, its buffers reused.
#[derive(Debug, Default)]
pub struct Sieved {
    /// The kept bytes in order.
    pub pieces: Vec<Piece>,
    /// Bytes that are not in the input: held from an earlier push, or rewritten.
    pub own: Vec<u8>,
    /// What was seen, in order of `at`.
    pub notes: Vec<Note>,
    /// What the screen engine has to expect of the kept bytes.
    pub mark: Mark,
    kept: usize,
}

/// A stretch of kept bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Of the input.
    Input(Range<usize>),
    /// Of [`Sieved::own`].
    Own(Range<usize>),
}

/// Something seen in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Kept bytes of this push before its effect: where a removed sequence stood, the end of one that was kept.
    pub at: usize,
    /// What it was.
    pub what: What,
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A question, removed.
    Query(Query),
    /// A window title (OSC 0 or 2), kept; at most 1 KiB, without control characters.
    Title(String),
    /// A bell, kept; bells that follow each other at once are one note.
    Bell,
    /// An OSC 52 write, removed; decoded.
    Clipboard(Vec<u8>),
    /// OSC 9, 99 or 777, removed; without control characters.
    Notification {
        /// Empty for OSC 9.
        title: String,
        /// Empty for a title alone.
        body: String,
    },
    /// A sequence that was longer than its limit: what kind it was. The rest of it is gone.
    Cut(&'static str),
    /// The start of a synchronized frame, `CSI ? 2026 h`, kept.
    FrameStart,
    /// The end of a synchronized frame, `CSI ? 2026 l`, kept.
    FrameEnd,
    /// Mode 1004 was asked for or given up, removed: the host reports focus for the driver.
    FocusReports(bool),
    /// Mode 2031, removed: the host reports a changed colour scheme.
    ColorReports(bool),
    /// Mode 2048, removed: the host reports sizes.
    SizeReports(bool),
}

/// What kept bytes contain, for the screen engine's skipping (the plain set R of its dead-prefix rule).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Only text, line controls, SGR and what touches the cursor's row or moves down: no forward scan is needed.
    #[default]
    Plain,
    /// Also strings, modes, cursor addressing and others that a scan can drop or keep one by one.
    Mixed,
    /// Also sequences whose effect depends on the position, or that nobody knows.
    Barrier,
}

impl Sieved {
    /// How many bytes were kept.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Whether exactly the `n` bytes of the input were kept, unchanged, so that they can be committed in place.
    pub fn is_whole(&self, n: usize) -> bool {
        self.in_place() == n && self.kept == n
    }

    /// How many bytes at the input's start were kept as they stand and come first.
    pub fn in_place(&self) -> usize {
        match self.pieces.first() {
            Some(Piece::Input(range)) if range.start == 0 => range.end,
            _ => 0,
        }
    }

    /// Appends the kept bytes; `input` is what was pushed.
    pub fn assemble(&self, input: &[u8], into: &mut Vec<u8>) {
        into.reserve(self.kept);
        for piece in &self.pieces {
            let part = match piece {
                Piece::Input(range) => input.get(range.clone()),
                Piece::Own(range) => self.own.get(range.clone()),
            };
            into.extend_from_slice(part.unwrap_or_default());
        }
    }

    /// Empties it; buffers that a flood has blown up are given back.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.own.clear();
        self.notes.clear();
        // Enough for any ordinary batch of 32 KiB.
        self.pieces.shrink_to(256);
        self.own.shrink_to(16 * 1024);
        self.notes.shrink_to(256);
        self.mark = Mark::Plain;
        self.kept = 0;
    }

    pub(super) fn keep_input(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.kept += range.len();
        match self.pieces.last_mut() {
            Some(Piece::Input(last)) if last.end == range.start => last.end = range.end,
            _ => self.pieces.push(Piece::Input(range)),
        }
    }

    pub(super) fn keep_own(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.own.len();
        self.own.extend_from_slice(bytes);
        let end = self.own.len();
        self.kept += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Own(last)) if last.end == start => last.end = end,
            _ => self.pieces.push(Piece::Own(start..end)),
        }
    }

    pub(super) fn note(&mut self, what: What) {
        self.notes.push(Note { at: self.kept, what });
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.mark = self.mark.max(mark);
    }
}
