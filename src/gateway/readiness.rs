//! Descriptors in the runtime; does not know what is read or written.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// For reading only: a standing interest in writing wakes the gateway at each read of the other side (hop.md, finding 1).
pub(crate) fn readable<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    watch(inner, Interest::READABLE)
}

/// For writing only, as long as something waits to be written.
pub(crate) fn writable<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    watch(inner, Interest::WRITABLE)
}

fn watch<T: AsFd + AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // The replacement is unsafe because AsRawFd alone promises no open descriptor; the AsFd bound here does.
    #[allow(deprecated, reason = "AsFd gives the promise that the deprecation misses")]
    AsyncFd::with_interest(inner, interest)
}
