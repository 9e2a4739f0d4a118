//! The engine as one thing that takes bytes: parser and recorder, guarded against what neither survives. Does not know what may be skipped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use alacritty_terminal::vte::ansi::{Processor, Timeout};

use super::recorder::Recorder;
use super::scan::repetition;
use crate::base::WinSize;

/// The engine would freeze in a synchronized update until somebody's timer; its bytes are never held back here.
#[derive(Default)]
struct NeverPending;

impl Timeout for NeverPending {
    fn set_timeout(&mut self, _: Duration) {}

    fn clear_timeout(&mut self) {}

    fn pending_timeout(&self) -> bool {
        false
    }
}

pub(super) struct Engine {
    pub(super) recorder: Recorder,
    parser: Processor<NeverPending>,
    size: WinSize,
    history: usize,
    panics: u64,
}

impl Engine {
    pub(super) fn new(size: WinSize, history: usize) -> Self {
        Self { recorder: Recorder::new(size, history), parser: Processor::new(), size, history, panics: 0 }
    }

    pub(super) fn size(&self) -> WinSize {
        self.size
    }

    pub(super) fn history(&self) -> usize {
        self.history
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics
    }

    /// Interprets bytes that begin and end outside sequences. A panic of the engine costs the screen, not the process.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.guarded(|engine| engine.feed_clamped(bytes));
    }

    /// To the same size nothing happens: the region stays, as the engine leaves it.
    pub(super) fn resize(&mut self, size: WinSize) {
        if self.size != size {
            self.size = size;
            self.guarded(|engine| engine.recorder.resize(size));
        }
    }

    /// Work done since the last call beyond the bytes fed, in printed characters.
    pub(super) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.recorder.work)
    }

    fn guarded(&mut self, act: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            self.panics += 1;
            self.recorder = Recorder::new(self.size, self.history);
            self.parser = Processor::new();
        }
    }

    /// REP prints up to 65,535 characters for seven bytes. More than a screenful leaves the same screen as a screenful and the rest of a row.
    fn feed_clamped(&mut self, bytes: &[u8]) {
        let cols = usize::from(self.size.cols());
        let screenful = usize::from(self.size.rows()) * cols;
        let mut fed = 0;
        for last in memchr::memchr_iter(b'b', bytes) {
            let Some(sequence) = repetition(bytes, last) else { continue };
            let parameters = &bytes[sequence.start + 2..sequence.end];
            let count = first_number(parameters);
            self.recorder.work += count.min(screenful + cols);
            if count <= screenful + cols {
                continue;
            }
            self.parser.advance(&mut self.recorder, &bytes[fed..sequence.start]);
            let controls: Vec<u8> = parameters.iter().copied().filter(|byte| *byte < 0x20).collect();
            self.parser.advance(&mut self.recorder, &controls);
            self.parser.advance(&mut self.recorder, format!("\x1b[{}b", screenful + count % cols).as_bytes());
            fed = last + 1;
        }
        self.parser.advance(&mut self.recorder, &bytes[fed..]);
    }
}

/// The first parameter as the parser reads it: digits up to a separator, saturating.
fn first_number(parameters: &[u8]) -> usize {
    let first = parameters.split(|byte| matches!(byte, b';' | b':')).next().unwrap_or_default();
    let digits = first.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0u16, |number, digit| number.saturating_mul(10).saturating_add(u16::from(digit - b'0'))).into()
}
