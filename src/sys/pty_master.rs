//! The master side of a pseudo terminal; does not know the program on the other side.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::base::WinSize;

/// A PTY master, never blocking.
#[derive(Debug)]
pub(crate) struct PtyMaster(OwnedFd);

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PtyRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// Nobody has the terminal open and all that was written has been read. Opening it anew ends this state.
    Closed,
}

impl PtyMaster {
    /// Takes an open master and makes it non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(fd))
    }

    /// Reads into `space`, which is not empty.
    pub(crate) fn read(&self, space: &mut [u8]) -> io::Result<PtyRead> {
        match rustix::io::read(&self.0, space) {
            Ok(0) | Err(Errno::IO) => Ok(PtyRead::Closed),
            Ok(length) => Ok(PtyRead::Bytes(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(PtyRead::Empty),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what fits; 0 when the terminal's input is full.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.0, bytes) {
            Ok(length) => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the window size; the foreground process group gets SIGWINCH when it changes.
    pub(crate) fn set_size(&self, size: WinSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows(), ws_col: size.cols(), ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.0, size)?)
    }
}

impl AsFd for PtyMaster {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pty;
    use std::fs::File;
    use std::io::{Read, Write};

    #[test]
    fn bytes_go_both_ways_and_a_closed_terminal_is_no_error() {
        let pair = pty::open(WinSize::clamped(33, 7)).unwrap();
        let (master, slave) = (PtyMaster::new(pair.master).unwrap(), pair.terminal);
        let size = rustix::termios::tcgetwinsize(&slave).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (33, 7));
        let mut slave = File::from(slave);
        let mut space = [0; 64];
        assert_eq!(master.read(&mut space).unwrap(), PtyRead::Empty);
        slave.write_all(b"out").unwrap();
        assert_eq!(master.read(&mut space).unwrap(), PtyRead::Bytes(3));
        assert_eq!(master.write(b"in\n").unwrap(), 3);
        assert_eq!(slave.read(&mut space).unwrap(), 3);
        slave.write_all(b"last").unwrap();
        drop(slave);
        let mut seen = 0;
        while let PtyRead::Bytes(length) = master.read(&mut space).unwrap() {
            seen += length;
        }
        assert_eq!(seen, 8, "the echo of 3 bytes with its CR, then the last 4");
        assert_eq!(master.read(&mut space).unwrap(), PtyRead::Closed);
    }

    #[test]
    fn a_full_terminal_takes_part_and_then_nothing() {
        let pair = pty::open(WinSize::DEFAULT).unwrap();
        let master = PtyMaster::new(pair.master).unwrap();
        let mut taken = 0;
        let line = [b'x'; 1023];
        while taken < 1 << 20 {
            match master.write(&line).unwrap() {
                0 => break,
                length => taken += length,
            }
        }
        assert!(taken < 1 << 20, "a terminal that nobody reads never got full");
    }
}
