//! Lines that have left the screen, by interpreting a stretch of output once more. Does not know where the bytes are kept.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;

use super::Checkpoint;
use super::paint::Painter;
use super::settle::Settler;
use crate::base::{HISTORY_LINES, WinSize};

/// Rebuilds the lines above the screen, from a checkpoint and the bytes after it. It lives for one request: its memory is `lines` rows.
pub struct HistoryJob {
    pub(super) settler: Settler,
    pub(super) lines: usize,
    pub(super) pending: Vec<u8>,
}

impl HistoryJob {
    /// Keeps the last `lines` lines, at most [`HISTORY_LINES`].
    pub fn new(checkpoint: &Checkpoint, lines: u32) -> Self {
        let lines = lines.clamp(1, HISTORY_LINES) as usize;
        let mut settler = Settler::new(checkpoint.size, lines);
        settler.skips = false;
        settler.engine.feed(&checkpoint.snapshot);
        Self { settler, lines, pending: Vec::new() }
    }

    /// The bytes after the checkpoint, in order, in slices that suit the caller (64 KiB are under 1 ms).
    pub fn feed(&mut self, bytes: &[u8]) {
        let pending = std::mem::take(&mut self.pending);
        let (mut consumed, mut done) = (0, false);
        while !done {
            let (first, second) = (pending.len().min(consumed), consumed.saturating_sub(pending.len()));
            let (taken, whole) = self.settler.settle([&pending[first..], &bytes[second..]], false, usize::MAX);
            consumed += taken;
            done = whole;
        }
        let kept = pending.iter().chain(bytes).skip(consumed);
        self.pending = kept.copied().collect();
    }

    /// The session was resized at this byte.
    pub fn resize(&mut self, size: WinSize) {
        self.settler.engine.resize(size);
    }

    /// Lines that there are now above the screen; fewer than asked for when the checkpoint was too young.
    pub fn lines(&mut self) -> usize {
        self.leave_alternate();
        self.settler.engine.recorder.term.grid().history_size().min(self.lines)
    }

    /// The lines above the screen as flowing text: CR LF only where a line did not wrap, also at the end; attributes are reset there.
    pub fn finish(mut self) -> Vec<u8> {
        let lines = self.lines() as i32;
        let grid = self.settler.engine.recorder.term.grid();
        let mut painter = Painter::default();
        painter.reset_pen();
        for line in -lines..0 {
            painter.flow(grid, Line(line), line > -lines, true);
        }
        painter.reset_pen();
        if !painter.out.is_empty() && lines > 0 && super::paint::wraps(&grid[Line(-1)], grid.columns()) {
            painter.push(b"\r\n");
        }
        painter.out
    }

    /// The alternate screen has no history.
    fn leave_alternate(&mut self) {
        self.settler.engine.feed(b"\x1b[?1049l");
    }
}
