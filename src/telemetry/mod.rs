//! Logs on stderr and the numbers that `/metrics` shows; does not know what they count.

mod logs;
mod metrics;

pub(crate) use logs::{LogForm, start_logs};
pub(crate) use metrics::{DoorLabel, LoginLabel, Metrics, Outcome};
