//! A session's log in memory and the arithmetic of cursors; knows no I/O, no clock and nothing of what the bytes mean.

mod reach;
mod records;
mod ring;
mod shared;

pub use reach::{Reach, lost, reach};
pub use records::{MOST as RECORD_MOST, RECORD_HEADER, RecordReader, RecordTooLong, Records};
pub use ring::Ring;
pub use shared::SharedRing;
