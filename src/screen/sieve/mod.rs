//! The byte scanner in the output path: takes out what makes a terminal answer; knows neither the screen nor the answers.

mod query;
mod sieved;

pub use query::{ColorSlot, Query, Terminator};
pub use sieved::{Mark, Note, Piece, Sieved, What};

/// The state between two pushes.
#[derive(Debug, Default)]
pub struct Sieve {
    hold: Vec<u8>,
}

impl Sieve {
    /// At a stream's start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans the next bytes of the stream; the result does not depend on how the stream is cut.
    pub fn push(&mut self, input: &[u8], out: &mut Sieved) {
        out.clear();
        out.keep_input(0..input.len());
    }

    /// The stream is over: what is held goes, an open string is ended.
    pub fn finish(&mut self, out: &mut Sieved) {
        out.clear();
    }

    /// Bytes held back, at most 4 KiB.
    pub fn held(&self) -> usize {
        self.hold.len()
    }
}
