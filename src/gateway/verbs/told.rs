//! What a person is told of a change that was made, the same at every door; makes none.

use super::table::state_text;
use crate::wire::v1::Session;

/// After `kill` and `stop`.
pub(crate) fn killed(name: &str, session: &Session) -> String {
    format!("{name}: {}\n", state_text(session))
}

/// After `restart`.
pub(crate) fn restarted(name: &str, with_history: bool) -> String {
    format!("{name}: restarted{}\n", if with_history { " with its history" } else { ", new" })
}

/// After `rename`.
pub(crate) fn renamed(name: &str, new: &str) -> String {
    format!("{name} is now {new}\n")
}

/// After `forget`.
pub(crate) fn forgotten(name: &str) -> String {
    format!("{name}: forgotten\n")
}
