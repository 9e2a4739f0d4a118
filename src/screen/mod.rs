//! What a terminal would do with an agent's output: sieve, answers, input filter, engine; knows no I/O, no clock and no viewer.

mod answers;
mod input;
mod sieve;

pub use answers::{AnswerState, Rgb, Theme, answer, color_scheme};
pub use input::{InputFilter, InputKind};
pub use sieve::{ColorSlot, Mark, Note, Piece, Query, Sieve, Sieved, Terminator, What};
