//! What a terminal would do with an agent's output: sieve, answers, input filter, engine and its repaints. Knows no I/O, no clock and no viewer.

mod answers;
mod engine;
mod fitted;
mod history;
mod input;
mod paint;
mod recorder;
mod scan;
mod settle;
mod sieve;
mod skip;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod text;

use crate::base::WinSize;
use recorder::Recorder;
use settle::{Open, Settler};
use snapshot::Onto;

pub use answers::{AnswerState, Rgb, Theme, answer, color_scheme};
pub use fitted::FittedView;
pub use history::HistoryJob;
pub use input::{InputFilter, InputKind};
pub use sieve::{ColorSlot, Mark, Note, Piece, Query, Sieve, Sieved, Terminator, What};
pub use state::ScreenState;

/// How far [`Screen::settle`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Bytes of the window that the screen now represents; always ends outside sequences and characters.
    pub consumed: usize,
    /// Nothing more can be consumed before further bytes come; false when only the budget ended.
    pub done: bool,
}

/// A screen with its size, small enough to keep: where a history job begins.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The size at that byte.
    pub size: WinSize,
    /// What paints the screen on a blank terminal of that size.
    pub snapshot: Vec<u8>,
}

/// The terminal of one session. Takes in output lazily: [`Screen::settle`] when somebody asks, not for each byte.
pub struct Screen {
    settler: Settler,
}

impl Screen {
    /// A blank screen.
    pub fn new(size: WinSize) -> Self {
        Self { settler: Settler::new(size, 0) }
    }

    /// Whether output that cannot matter any more is left out (it is, unless said otherwise); off, every byte is interpreted.
    pub fn set_skip(&mut self, skip: bool) {
        self.settler.skips = skip;
    }

    /// Takes in what the program wrote next: `window` is that stretch in one or two pieces (the ring's seam), from where the last call stopped; 256
    /// KiB are best. `plain` says that it holds only the sieve's plain set of sequences. `budget` is the work of one call in bytes of plain text:
    /// 64 Ki are under 1 ms. The screen may be painted or resized only after a call that said `done`.
    pub fn settle(&mut self, window: [&[u8]; 2], plain: bool, budget: usize) -> Settled {
        let (consumed, done) = self.settler.settle(window, plain, budget);
        Settled { consumed, done }
    }

    /// Interprets every byte, at once: the reference that skipping is measured against. How many; the rest is an unfinished sequence.
    pub fn feed_all(&mut self, bytes: &[u8]) -> usize {
        let skips = std::mem::replace(&mut self.settler.skips, false);
        let (consumed, _) = self.settler.settle([bytes, &[]], false, usize::MAX);
        self.settler.skips = skips;
        consumed
    }

    /// Changes the grid; the primary screen reflows, the alternate one is cut or padded. What was printed before must have been settled: it
    /// belongs to the old width.
    pub fn resize(&mut self, size: WinSize) {
        self.settler.engine.resize(size);
    }

    /// The grid's size.
    pub fn size(&self) -> WinSize {
        self.settler.engine.size()
    }

    /// Paints this screen on a terminal of the same size whose own screen is pushed up first; its scrollback stays.
    pub fn snapshot(&self) -> Vec<u8> {
        self.painted(Onto::Fresh)
    }

    /// Paints this screen over what a terminal of the same size shows of this session; nothing moves into its scrollback.
    pub fn repaint(&self) -> Vec<u8> {
        self.painted(Onto::Used)
    }

    fn painted(&self, onto: Onto) -> Vec<u8> {
        let mut bytes = snapshot::snapshot(self.recorder(), onto);
        // The rest of a dropped string is still to come, and must find a string to end.
        match self.settler.open {
            Some(Open::Command) => bytes.extend_from_slice(b"\x1b]777777;"),
            Some(Open::String) => bytes.extend_from_slice(b"\x1bX"),
            Some(Open::Control) | None => {}
        }
        bytes
    }

    /// The screen as plain text, one line for each row, trailing blanks removed.
    pub fn text(&self) -> String {
        text::text(self.recorder().term.grid())
    }

    /// Modes, title and cursor.
    pub fn state(&self) -> ScreenState {
        state::screen_state(self.recorder())
    }

    /// What answers to queries depend on, as far as the screen knows it: the host completes pixels, focus and colour reports.
    pub fn answer_state(&self) -> AnswerState {
        state::answer_state(self.recorder(), self.size())
    }

    /// Where a history job may begin later: for each 1 MiB of output one.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { size: self.size(), snapshot: snapshot::snapshot(self.recorder(), Onto::Used) }
    }

    /// Bytes that did not have to be interpreted.
    pub fn skipped(&self) -> u64 {
        self.settler.skipped
    }

    /// How often the engine panicked and was rebuilt blank; after that the program should be asked to repaint (SIGWINCH).
    pub fn panics_caught(&self) -> u64 {
        self.settler.engine.panics()
    }

    /// Everything decided has been interpreted: what [`Settled::done`] said last.
    pub fn is_exact(&self) -> bool {
        self.settler.is_exact()
    }

    fn recorder(&self) -> &Recorder {
        &self.settler.engine.recorder
    }
}

/// What every enter sends to a stock terminal before its first snapshot or frame: its own title is put aside for [`leave_sequence`].
pub fn enter_sequence() -> &'static [u8] {
    b"\x1b[22;2t"
}

/// What every leave sends: the keyboard stacks of both screens are empty, the alternate screen is left, mouse, focus, paste and key modes are off,
/// the cursor is shown in its own style, region, character sets and pen are plain, the title is the viewer's own again. The cursor stands below
/// everything.
pub fn leave_sequence() -> &'static [u8] {
    b"\x1b[?2026l\x1b[<99u\x1b[?1049l\x1b[<99u\x1b[!p\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\
      \x1b[?2004l\x1b[?2031l\x1b[?2048l\x1b[?1l\x1b>\x1b[>4m\x1b[?5l\x1b[?6l\x1b[?7h\x1b[?25h\x1b[0 q\x1b[4l\x1b[20l\x1b[r\x1b(B\x0f\x1b]8;;\x1b\\\x1b[m\
      \x1b[23;2t\x1b[999;1H\r\n"
}
