//! Opening a pseudo-terminal and handing its terminal side to an account; does not read or write either.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::{InputModes, OptionalActions, Winsize};

use crate::base::WinSize;

/// Both sides, closed by exec. Neither is anybody's controlling terminal yet.
#[derive(Debug)]
pub(crate) struct PtyPair {
    /// The host's side.
    pub(crate) master: OwnedFd,
    /// The agent's side.
    pub(crate) terminal: OwnedFd,
}

/// Opens a pair with this size and UTF-8 line editing.
pub(crate) fn open(size: WinSize) -> io::Result<PtyPair> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    // By the master, not by name: /dev/pts may belong to another mount.
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let window = Winsize { ws_row: size.rows(), ws_col: size.cols(), ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, window)?;
    let mut modes = rustix::termios::tcgetattr(&terminal)?;
    modes.input_modes |= InputModes::IUTF8;
    rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &modes)?;
    Ok(PtyPair { master, terminal })
}

/// Makes a terminal the account's alone (0600), so that its programs can open it again by name.
pub(crate) fn give(terminal: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    rustix::fs::fchown(terminal, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(rustix::fs::fchmod(terminal, Mode::RUSR | Mode::WUSR)?)
}

/// Makes a terminal this session's controlling terminal; the process must lead a session without one.
pub(crate) fn control(terminal: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_pair_has_its_size_and_belongs_to_whom_it_was_given() {
        let pair = open(WinSize::clamped(101, 33)).unwrap();
        give(pair.terminal.as_fd(), 12345, 23456).unwrap();
        let window = rustix::termios::tcgetwinsize(&pair.terminal).unwrap();
        assert_eq!((window.ws_col, window.ws_row), (101, 33));
        let stat = rustix::fs::fstat(&pair.terminal).unwrap();
        assert_eq!((stat.st_uid, stat.st_gid, stat.st_mode & 0o777), (12345, 23456, 0o600));
        assert!(rustix::termios::tcgetsid(&pair.terminal).is_err(), "it became nobody's controlling terminal");
    }
}
