//! Newtypes and limits that every room shares; knows no I/O, no clock and no other room.

mod characters;
mod ids;
mod limits;
mod names;
mod secret;
mod size;
mod text;

pub use characters::Characters;
pub use ids::{IdError, KeyId, LogId, Offset, SessionId, WriterId};
pub use limits::*;
pub use names::{AccountName, Name, NameError};
pub use secret::Secret;
pub use size::WinSize;
pub use text::{acts_on_terminal, printable, printable_lines};
