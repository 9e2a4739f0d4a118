//! Which stretch of output cannot matter any more: the dead-prefix rule, alone. Finds it; feeds nothing.
//!
//! # The rule
//! Of a stretch without barriers, everything before its tail Q may be left out, except lasting state, when Q
//! * begins with CR LF and holds at least K = 2 x rows + history line feeds after those;
//! * holds nothing of [`Kind::Grid`], and prints an ASCII character, before any REP;
//! * runs with a scroll region of the whole screen.
//!
//! # Proof
//! 1. Nothing in Q moves the cursor up. With the region the whole screen each LF moves one row down or scrolls one row, so after at most rows - 1
//!    LFs the cursor is on the last row and each later LF makes a new bottom row. At least rows + history rows of the result were created inside
//!    Q; the rows that existed at Q's beginning have left the screen and the history.
//! 2. What a new row holds depends on Q, on the pen at its creation (the colour of the blank row), and on the cursor's column and pending wrap.
//!    The last two are fixed by the CR that opens Q; that is why it is fed, while the column before it is stale.
//! 3. Automatic wraps only add line feeds. Autowrap, insert, newline and origin mode, character sets and tab stops may have any value: they are
//!    lasting state, and act inside Q as usual.
//! 4. So what is before Q matters through lasting state alone. Text and [`Kind::Row`], [`Kind::Repeat`], [`Kind::Grid`] are left out. The pen is
//!    rebuilt by feeding the SGRs after the last full reset, or all of them on top of the exact pen at the stretch's beginning. [`Kind::Keep`] is
//!    fed in order. Pen and other lasting state do not read each other, so their mutual order is free.
//! 5. What depends on a position or changes the frame (saved cursors, margins, origin mode, the other screen, tab stops, resets, queries), what is
//!    unknown, malformed or holds controls is a barrier: stretches end there, and it is parsed with an exact screen before it.
//! 6. REP, in Q or long after it, repeats the last printed character, which may lie before Q: therefore the printing rule. Marks that join a cell
//!    are counted in the cell.
//! 7. A stretch begins and ends outside sequences: one that an ESC cuts short is one barrier with the sequence that cut it.
//!
//! Line feeds inside strings do not count because a string that holds a control is a barrier.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr3_iter, memrchr, memrchr_iter};

use super::scan::{ESC, Kind, sequence};

const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;
/// Ranges that one plan may list (256 KiB of them); a stretch that needs more ends early.
const MOST_RANGES: usize = 16 * 1024;

/// What the rule needs to know about the screen, exact at the first byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) rows: usize,
    pub(super) history: usize,
    pub(super) region_is_full: bool,
    /// A clause left out, to show that the tests notice.
    #[cfg(test)]
    pub(super) without: Option<Clause>,
}

/// The clauses of the rule that a test can leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    AllLines,
    FullRegion,
    Pens,
    Keeps,
    CarriageReturn,
    Printing,
    NoGrid,
}

/// What to do with the beginning of the bytes.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// These ranges first, in order: what lasts of the part left out.
    pub(super) keep: Vec<Range<usize>>,
    /// Then nothing up to here; 0 when nothing can be left out.
    pub(super) dead: usize,
    /// Then everything up to here.
    pub(super) end: usize,
}

impl Frame {
    fn holds(&self, clause: Clause) -> bool {
        #[cfg(test)]
        return self.without != Some(clause);
        #[cfg(not(test))]
        {
            let _ = clause;
            true
        }
    }

    fn lines(&self) -> usize {
        let lines = 2 * self.rows + self.history;
        if self.holds(Clause::AllLines) { lines } else { lines / 2 }
    }

    fn fits(&self) -> bool {
        self.region_is_full || !self.holds(Clause::FullRegion)
    }

    /// Whether there are line feeds enough for any plan; cheap, so that redraws never pay for a scan.
    pub(super) fn may_skip(&self, bytes: &[u8]) -> bool {
        memchr_iter(b'\n', bytes).nth(self.lines()).is_some()
    }
}

/// Plans the beginning of `bytes`, which begin and end outside sequences. `plain` says that they hold only text, [`Kind::Row`],
/// [`Kind::Repeat`] and [`Kind::Pen`].
pub(super) fn plan(bytes: &[u8], frame: &Frame, plain: bool) -> Plan {
    if plain && let Some(plan) = plan_plain(bytes, frame) {
        return plan;
    }
    let mut start = 0;
    while start < bytes.len() {
        let stretch = Stretch::scan(bytes, start);
        if let Some(tail) = stretch.tail(bytes, frame) {
            if start > 0 {
                // What is before must be parsed before the region is known.
                return Plan { end: start, ..Plan::default() };
            }
            if frame.fits()
                && let Some(keep) = stretch.lasting(bytes, tail, frame)
            {
                return Plan { keep, dead: tail, end: stretch.next };
            }
        }
        start = stretch.next;
    }
    Plan { end: bytes.len(), ..Plan::default() }
}

/// Without barriers the tail is found from the end, and only the pens are looked for before it.
fn plan_plain(bytes: &[u8], frame: &Frame) -> Option<Plan> {
    let tail = if frame.fits() { tail_start(bytes, 0..bytes.len(), frame)? } else { return None };
    let inside = Stretch::scan(bytes, tail);
    let sound = inside.next == bytes.len() && inside.grid_end == tail && inside.prints_first(bytes, tail, frame);
    let keep =
        if sound { pens_before(bytes, tail, &|kind| matches!(kind, Kind::Row | Kind::Repeat))? } else { return None };
    Some(Plan { keep, dead: tail, end: bytes.len() })
}

/// Bytes without a barrier, and the barrier after them.
struct Stretch {
    keeps: Vec<Range<usize>>,
    repeats: Vec<usize>,
    /// The end of the last sequence that Q may not hold.
    grid_end: usize,
    end: usize,
    /// Past the barrier.
    next: usize,
}

impl Stretch {
    fn scan(bytes: &[u8], start: usize) -> Self {
        let mut found =
            Self { keeps: Vec::new(), repeats: Vec::new(), grid_end: start, end: bytes.len(), next: bytes.len() };
        let mut past = start;
        for at in memchr3_iter(ESC, SHIFT_OUT, SHIFT_IN, &bytes[start..]).map(|at| start + at) {
            if at < past {
                continue;
            }
            if found.keeps.len() + found.repeats.len() == MOST_RANGES {
                (found.end, found.next) = (at, at);
                return found;
            }
            if bytes[at] != ESC {
                found.keeps.push(at..at + 1);
                continue;
            }
            let Some(sequence) = sequence(bytes, at) else { break };
            past = sequence.end;
            match sequence.kind {
                Kind::Row | Kind::Pen { .. } => {}
                Kind::Repeat => found.repeats.push(at),
                Kind::Keep => found.keeps.push(at..past),
                Kind::Grid => found.grid_end = past,
                Kind::Barrier => {
                    (found.end, found.next) = (at, past);
                    return found;
                }
            }
        }
        found
    }

    /// Where the shortest possible Q of this stretch begins.
    fn tail(&self, bytes: &[u8], frame: &Frame) -> Option<usize> {
        let from = if frame.holds(Clause::NoGrid) { self.grid_end } else { 0 };
        let tail = tail_start(bytes, from..self.end, frame)?;
        self.prints_first(bytes, tail, frame).then_some(tail)
    }

    /// After `tail` an ASCII character is printed, and no REP comes before it.
    fn prints_first(&self, bytes: &[u8], tail: usize, frame: &Frame) -> bool {
        let repeat = self.repeats.iter().find(|repeat| **repeat >= tail);
        !frame.holds(Clause::Printing) || prints(&bytes[tail..repeat.copied().unwrap_or(self.end)])
    }

    /// What must be fed of the part before `tail`.
    fn lasting(&self, bytes: &[u8], tail: usize, frame: &Frame) -> Option<Vec<Range<usize>>> {
        let mut keep = Vec::new();
        if frame.holds(Clause::Keeps) {
            keep.extend(self.keeps.iter().take_while(|range| range.start < tail).cloned());
        }
        if frame.holds(Clause::Pens) {
            keep.extend(pens_before(bytes, tail, &|_| true)?);
        }
        Some(keep)
    }
}

/// The last CR LF in the range with lines enough after it.
fn tail_start(bytes: &[u8], range: Range<usize>, frame: &Frame) -> Option<usize> {
    let feeds = memrchr_iter(b'\n', &bytes[range.clone()]).map(|at| range.start + at);
    let mut enough = feeds.skip(frame.lines());
    if !frame.holds(Clause::CarriageReturn) {
        return enough.next();
    }
    enough.find(|&at| at > range.start && bytes[at - 1] == b'\r').map(|at| at - 1)
}

/// Whether text between sequences holds an ASCII character that prints.
fn prints(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        let escape = memchr(ESC, rest);
        if rest[..escape.unwrap_or(rest.len())].iter().any(|byte| matches!(byte, 0x20..=0x7e)) {
            return true;
        }
        match escape.and_then(|at| sequence(rest, at)) {
            Some(found) => rest = &rest[found.end..],
            None => return false,
        }
    }
}

/// The SGRs before `end` back to the last full reset. Searching backward is sound: every ESC begins a sequence, in any state of the parser. None
/// when there are too many, or something that `other` does not expect.
fn pens_before(bytes: &[u8], end: usize, other: &dyn Fn(Kind) -> bool) -> Option<Vec<Range<usize>>> {
    let mut pens = Vec::new();
    let mut head = &bytes[..end];
    while let Some(at) = memrchr(ESC, head) {
        let found = sequence(bytes, at)?;
        match found.kind {
            Kind::Pen { reset } => {
                pens.push(at..found.end);
                if reset {
                    break;
                }
            }
            kind if other(kind) => {}
            _ => return None,
        }
        if pens.len() == MOST_RANGES {
            return None;
        }
        head = &head[..at];
    }
    pens.reverse();
    Some(pens)
}
