//! Signals as something to wait for beside sockets; does not know what they should cause.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// SIGTERM, SIGINT, SIGHUP or SIGQUIT: end.
    End(i32),
    /// SIGCHLD: children have ended.
    Child,
}

/// TERM, INT, HUP, QUIT and CHLD of this thread's process, blocked and read instead. The program must have one thread, or
/// have blocked them in all.
#[derive(Debug)]
pub(crate) struct Signals(File);

impl Signals {
    /// Blocks the signals and opens the descriptor.
    pub(crate) fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set that the other calls read.
        let descriptor = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGCHLD] {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else has the number.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) })))
    }

    /// The next signal; none when there is none now.
    pub(crate) fn next(&mut self) -> io::Result<Option<Received>> {
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        match self.0.read(&mut record) {
            Ok(length) if length == record.len() => {}
            Ok(_) => return Err(io::Error::other("a signal record that was cut")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        // ssi_signo is the first field.
        let [a, b, c, d, ..] = record;
        let signal = u32::from_ne_bytes([a, b, c, d]) as i32;
        Ok(Some(if signal == libc::SIGCHLD { Received::Child } else { Received::End(signal) }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
