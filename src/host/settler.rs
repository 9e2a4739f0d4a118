//! The screen engine behind the log: built when first needed, brought up to date lazily; does not know who looks at it.

use std::collections::VecDeque;

use crate::base::{Offset, WinSize};
use crate::replay::Ring;
use crate::screen::{AnswerState, Checkpoint, Screen, ScreenState};

/// Bytes fed to the engine in one slice: under 1 ms of redraws at 8 s/GiB (screen.md 1).
const SLICE: usize = 64 * 1024;
/// The engine is brought up to date at this debt (screen.md: a forced settle of an unskippable window is then 2 ms).
const DEBT: u64 = 256 * 1024;
/// Output between two checkpoints (screen.md, recommended design 11).
const CHECKPOINT: u64 = 1024 * 1024;

/// Engine, its place in the log, and where history can begin.
pub(super) struct Settler {
    size: WinSize,
    screen: Option<Box<Screen>>,
    parsed: Offset,
    /// The head up to which the engine took all that it can take.
    done_at: Offset,
    /// End of the newest batch that is not plain.
    rough_end: Offset,
    debt: u64,
    spacing: u64,
    checkpoints: VecDeque<(Offset, Checkpoint)>,
    resizes: VecDeque<(Offset, WinSize)>,
}

/// Where a history job begins and what happens on its way.
pub(super) struct HistoryStart {
    pub(super) at: Offset,
    /// The ring serves no older one.
    pub(super) is_oldest: bool,
    pub(super) checkpoint: Checkpoint,
    pub(super) resizes: VecDeque<(Offset, WinSize)>,
}

impl Settler {
    pub(super) fn new(size: WinSize, capacity: usize) -> Self {
        let quarter = (capacity / 4) as u64;
        Self {
            size,
            screen: None,
            parsed: Offset::ZERO,
            done_at: Offset::ZERO,
            rough_end: Offset::ZERO,
            debt: DEBT.min(quarter),
            spacing: CHECKPOINT.min(quarter),
            checkpoints: VecDeque::new(),
            resizes: VecDeque::new(),
        }
    }

    /// A batch that ends at `end` holds more than the plain set of sequences.
    pub(super) fn rough(&mut self, end: Offset) {
        self.rough_end = end;
    }

    /// Whether so much waits that it should be settled unasked.
    pub(super) fn is_due(&self, ring: &Ring) -> bool {
        ring.head().since(self.parsed) >= self.debt && !self.is_settled(ring)
    }

    /// Whether the engine has all that it can take now.
    pub(super) fn is_settled(&self, ring: &Ring) -> bool {
        self.done_at == ring.head()
    }

    /// Whether the log must not grow before the engine has caught up: it would lose bytes.
    pub(super) fn is_overdue(&self, ring: &Ring) -> bool {
        ring.head().since(self.parsed) >= ring.capacity() as u64 / 2
    }

    /// Whether the engine has all that it can take of what stands before `at`.
    pub(super) fn is_settled_to(&self, at: Offset) -> bool {
        self.done_at >= at || self.parsed >= at
    }

    /// One slice of at most a millisecond.
    pub(super) fn slice(&mut self, ring: &Ring) {
        self.slice_to(ring, ring.head());
    }

    /// The same, but nothing behind `at` is taken in.
    pub(super) fn slice_to(&mut self, ring: &Ring, at: Offset) {
        self.step(ring, at, SLICE);
        if self.is_settled(ring) && self.is_overdue(ring) {
            // One sequence as long as half the ring: the engine swallows it unfinished.
            self.force(ring, ring.head());
        }
    }

    /// Everything that can be settled, now.
    pub(super) fn settle(&mut self, ring: &Ring) {
        while !self.is_settled(ring) {
            self.slice(ring);
        }
    }

    /// Exactly to `at`, now: a query stood there.
    pub(super) fn settle_to(&mut self, ring: &Ring, at: Offset) {
        while self.parsed < at {
            if self.step(ring, at, usize::MAX) {
                self.force(ring, at);
            }
        }
    }

    /// The end of what the engine has interpreted.
    pub(super) fn parsed(&self) -> Offset {
        self.parsed
    }

    pub(super) fn size(&self) -> WinSize {
        self.size
    }

    /// Settles, then changes the grid.
    pub(super) fn resize(&mut self, ring: &Ring, size: WinSize) {
        self.settle(ring);
        self.size = size;
        if let Some(screen) = &mut self.screen {
            screen.resize(size);
            self.resizes.push_back((self.parsed, size));
        }
    }

    pub(super) fn screen(&mut self) -> &Screen {
        self.engine()
    }

    pub(super) fn state(&self) -> ScreenState {
        self.screen.as_ref().map(|screen| screen.state()).unwrap_or_default()
    }

    pub(super) fn answer_state(&mut self) -> AnswerState {
        self.engine().answer_state()
    }

    pub(super) fn skipped(&self) -> u64 {
        self.screen.as_ref().map_or(0, |screen| screen.skipped())
    }

    pub(super) fn panics_caught(&self) -> u64 {
        self.screen.as_ref().map_or(0, |screen| screen.panics_caught())
    }

    /// The newest checkpoint with `lines` line feeds between it and `until`, or the oldest that the ring still serves.
    pub(super) fn history_start(&mut self, ring: &Ring, lines: u64, until: Offset) -> Option<HistoryStart> {
        self.trim(ring);
        let wanted = lines.saturating_add(self.size.rows().into());
        let (mut seen, mut end) = (0, until);
        let mut chosen = None;
        for (at, checkpoint) in self.checkpoints.iter().rev().filter(|(at, _)| *at <= until) {
            let slices = ring.slices(*at, end);
            seen += slices.iter().flat_map(|s| s.iter()).filter(|byte| **byte == b'\n').count() as u64;
            end = *at;
            chosen = Some((*at, checkpoint));
            if seen >= wanted {
                break;
            }
        }
        let (at, checkpoint) = chosen?;
        let resizes = self.resizes.iter().filter(|(r, _)| *r > at && *r <= until).copied().collect();
        let is_oldest = self.checkpoints.front().is_some_and(|(oldest, _)| *oldest == at);
        Some(HistoryStart { at, is_oldest, checkpoint: checkpoint.clone(), resizes })
    }

    /// Feeds up to `to`; true when the engine takes nothing more before further bytes come.
    fn step(&mut self, ring: &Ring, to: Offset, budget: usize) -> bool {
        self.parsed = self.parsed.max(ring.tail());
        if to <= self.parsed {
            self.done_at = self.done_at.max(to);
            return true;
        }
        let window = ring.slices(self.parsed, to);
        let plain = self.parsed >= self.rough_end;
        let settled = self.engine().settle(window, plain, budget);
        self.parsed = self.parsed.plus(settled.consumed as u64).min(to);
        // An engine that neither advances nor waits would be asked for ever.
        let done = settled.done || settled.consumed == 0;
        if done {
            self.done_at = to;
        }
        self.checkpoint(ring);
        done
    }

    fn force(&mut self, ring: &Ring, to: Offset) {
        for slice in ring.slices(self.parsed, to) {
            self.engine().feed_all(slice);
        }
        self.parsed = self.parsed.max(to);
        self.done_at = self.done_at.max(to);
    }

    fn engine(&mut self) -> &mut Screen {
        let (size, at, checkpoints) = (self.size, self.parsed, &mut self.checkpoints);
        self.screen.get_or_insert_with(|| {
            let screen = Box::new(Screen::new(size));
            checkpoints.push_back((at, screen.checkpoint()));
            screen
        })
    }

    fn checkpoint(&mut self, ring: &Ring) {
        let Some(screen) = &self.screen else { return };
        let newest = self.checkpoints.back().map_or(Offset::ZERO, |(at, _)| *at);
        if self.parsed.since(newest) >= self.spacing {
            self.checkpoints.push_back((self.parsed, screen.checkpoint()));
            self.trim(ring);
        }
    }

    fn trim(&mut self, ring: &Ring) {
        while self.checkpoints.front().is_some_and(|(at, _)| *at < ring.tail()) {
            self.checkpoints.pop_front();
        }
        let oldest = self.checkpoints.front().map_or(self.parsed, |(at, _)| *at);
        while self.resizes.front().is_some_and(|(at, _)| *at < oldest) {
            self.resizes.pop_front();
        }
    }
}
