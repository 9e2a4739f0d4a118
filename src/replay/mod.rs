//! A session's log in memory and the arithmetic of cursors; knows no I/O, no clock and nothing of what the bytes mean.

mod reach;
mod ring;
mod shared;

pub use reach::{Reach, lost, reach};
pub use ring::Ring;
pub use shared::SharedRing;
