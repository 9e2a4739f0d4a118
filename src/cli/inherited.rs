//! Listeners that systemd bound for us (sd_listen_fds(3)); does not check what they are.

use std::os::fd::OwnedFd;

use super::failure::{About, Failure};
use crate::sys::fork;

/// By FileDescriptorName; none when this process was not started with any.
pub(super) fn listeners() -> Result<Option<Vec<(String, OwnedFd)>>, Failure> {
    let cure = "start it without socket activation";
    let Ok(numbers) = sd_notify::listen_fds_with_names() else { return Ok(None) };
    let mut named = Vec::new();
    for (number, name) in numbers {
        named.push((name, fork::inherited(number).about("a socket from systemd", cure)?));
    }
    Ok((!named.is_empty()).then_some(named))
}
