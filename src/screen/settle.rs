//! Taking output in: lazily, leaving out what is dead, in slices that a caller can afford. Does not paint.

use super::engine::Engine;
use super::scan::{ESC, last_ground};
#[cfg(test)]
use super::skip::Clause;
use super::skip::{Frame, plan};
use crate::base::WinSize;

/// A sequence still open after so many bytes is not kept whole for the engine, which would collect a string without limit.
const OPEN_MOST: usize = 64 * 1024;
/// Bytes scanned for one plan: larger windows gain nothing more and would make a slice long.
const SCAN: usize = 256 * 1024;
/// Bytes scanned for the cost of one interpreted byte (1.2 against 8 s/GiB).
const SCANNED_FOR_ONE: usize = 8;

/// The engine with its place in the output.
pub(super) struct Settler {
    pub(super) engine: Engine,
    /// Bytes at the front that are already decided to be interpreted.
    due: usize,
    pub(super) open: Option<Open>,
    pub(super) skips: bool,
    pub(super) skipped: u64,
    piece: usize,
    #[cfg(test)]
    pub(super) without: Option<Clause>,
}

/// A sequence longer than [`OPEN_MOST`] whose rest is dropped up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// OSC: ends with BEL too.
    Command,
    /// DCS, SOS, PM, APC.
    String,
    /// CSI and other escapes: end with their final byte.
    Control,
}

impl Settler {
    pub(super) fn new(size: WinSize, history: usize) -> Self {
        Self {
            engine: Engine::new(size, history),
            due: 0,
            open: None,
            skips: true,
            skipped: 0,
            piece: LARGE_PIECE,
            #[cfg(test)]
            without: None,
        }
    }

    /// Takes in what it can of two adjoining stretches; how much, and whether the budget was enough for that.
    pub(super) fn settle(&mut self, window: [&[u8]; 2], plain: bool, budget: usize) -> (usize, bool) {
        let [first, second] = window;
        let mut left = budget.max(1);
        let mut consumed = self.slice(first, plain, &mut left);
        if left == 0 {
            return (consumed, consumed == first.len() && second.is_empty());
        }
        let tail = &first[consumed..];
        let mut rest = second;
        if !tail.is_empty() && !second.is_empty() {
            match self.seam(tail, second, &mut left) {
                Some(taken) => {
                    consumed = first.len() + taken;
                    rest = &second[taken..];
                }
                None => rest = &[],
            }
        }
        if consumed >= first.len() && !rest.is_empty() {
            if left == 0 {
                return (consumed, false);
            }
            consumed += self.slice(rest, plain, &mut left);
        }
        let total = first.len() + second.len();
        if left > 0 && consumed < total {
            let begun = first.iter().chain(second).skip(consumed + 1);
            consumed += self.give_up_on(total - consumed, begun.copied());
        }
        (consumed, left > 0 || consumed == total)
    }

    /// Whether everything decided has been interpreted; between two slices the screen may show rows that are dead.
    pub(super) fn is_exact(&self) -> bool {
        self.due == 0
    }

    fn slice(&mut self, bytes: &[u8], plain: bool, left: &mut usize) -> usize {
        let mut at = self.close(bytes);
        let ground = at + last_ground(&bytes[at..]);
        while at < ground && *left > 0 {
            if self.due == 0 {
                at += self.decide(&bytes[at..ground], plain, left);
            }
            let end = (at + self.due).min(ground);
            let fed = self.feed(&bytes[at..end], left);
            self.due -= fed;
            at += fed;
        }
        at
    }

    /// Decides what becomes of the front; returns the length of what is left out.
    fn decide(&mut self, bytes: &[u8], plain: bool, left: &mut usize) -> usize {
        let frame = Frame {
            rows: usize::from(self.engine.size().rows()),
            history: self.engine.history(),
            region_is_full: self.engine.recorder.region_is_full(),
            #[cfg(test)]
            without: self.without,
        };
        if !self.skips || !frame.may_skip(bytes) {
            self.due = bytes.len();
            return 0;
        }
        let near = if plain || bytes.len() <= SCAN { bytes.len() } else { last_ground(&bytes[..SCAN]) };
        let near = if near == 0 { bytes.len() } else { near };
        let plan = plan(&bytes[..near], &frame, plain);
        if !plain {
            spend(left, near / SCANNED_FOR_ONE);
        }
        let mut kept = 0;
        for range in plan.keep {
            kept += range.len();
            self.engine.feed(&bytes[range]);
        }
        spend(left, kept + self.engine.take_work());
        self.skipped += plan.dead.saturating_sub(kept) as u64;
        self.due = plan.end - plan.dead;
        plan.dead
    }

    /// Interprets bytes that end outside sequences, until they or the budget end; how many.
    fn feed(&mut self, bytes: &[u8], left: &mut usize) -> usize {
        let mut at = 0;
        while at < bytes.len() && *left > 0 {
            let rest = &bytes[at..];
            let mut take = self.piece.min(*left);
            let cut = loop {
                if take >= rest.len() {
                    break rest.len();
                }
                match last_ground(&rest[..take]) {
                    0 => take *= 2,
                    cut => break cut,
                }
            };
            self.engine.feed(&rest[..cut]);
            at += cut;
            let work = self.engine.take_work();
            spend(left, cut + work);
            // A few bytes can ask for a lot: pieces shrink while they do, so that a slice keeps its length.
            self.piece = if work > 4 * cut { self.least_piece() } else { (self.piece * 2).min(LARGE_PIECE) };
        }
        at
    }

    fn least_piece(&self) -> usize {
        let size = self.engine.size();
        let cells = usize::from(size.cols()) * usize::from(size.rows());
        (640_000 / cells).clamp(16, 256)
    }

    /// A sequence or character that lies across the seam, with a little of what follows.
    fn seam(&mut self, tail: &[u8], second: &[u8], left: &mut usize) -> Option<usize> {
        let mut more = 256.min(second.len());
        loop {
            let joined = [tail, &second[..more]].concat();
            let ground = last_ground(&joined);
            if ground >= tail.len() {
                self.engine.feed(&joined[..ground]);
                spend(left, ground + self.engine.take_work());
                self.due = self.due.saturating_sub(ground);
                return Some(ground - tail.len());
            }
            if more == second.len() {
                return None;
            }
            more = (more * 8).min(second.len());
        }
    }

    /// What is left begins with an open sequence. Too long a one is dropped, so that no string can stop the settling.
    fn give_up_on(&mut self, length: usize, mut begun: impl Iterator<Item = u8>) -> usize {
        if length <= OPEN_MOST {
            return 0;
        }
        let introducer = begun.find(|byte| (0x20..0x7f).contains(byte));
        self.open = Some(match introducer {
            Some(b']') => Open::Command,
            Some(b'P' | b'X' | b'^' | b'_') => Open::String,
            _ => Open::Control,
        });
        length
    }

    /// Drops the rest of an open sequence; how many bytes.
    fn close(&mut self, bytes: &[u8]) -> usize {
        let Some(open) = self.open else { return 0 };
        let ends = |byte: &u8| {
            matches!((open, *byte), (_, ESC | 0x18 | 0x1a) | (Open::Command, 0x07) | (Open::Control, 0x40..=0x7e))
        };
        let Some(end) = bytes.iter().position(ends) else { return bytes.len() };
        self.open = None;
        if bytes[end] == ESC { end } else { end + 1 }
    }
}

/// What is interpreted between two looks at the budget.
const LARGE_PIECE: usize = 4096;

fn spend(left: &mut usize, cost: usize) {
    *left = left.saturating_sub(cost);
}
