//! The caller's own terminal: raw mode that is always undone, window size, writing without waiting. Does not know what
//! is shown.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::base::WinSize;

/// What the terminal was before. One process has one controlling terminal, and a panic hook gets no argument.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode on standard input; dropping it, `restore` or a panic after `restore_on_panic` undoes it, whichever is first.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Switches standard input to raw mode. Errors: not a terminal, or in raw mode already.
    pub(crate) fn enter() -> io::Result<Self> {
        let input = io::stdin();
        let before = tcgetattr(&input)?;
        let mut kept = lock();
        if kept.is_some() {
            return Err(io::Error::other("the terminal is in raw mode already"));
        }
        let mut raw = before.clone();
        raw.make_raw();
        *kept = Some(before);
        drop(kept);
        let guard = Self(());
        tcsetattr(&input, OptionalActions::Now, &raw)?;
        Ok(guard)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was; nothing when it was never changed.
pub(crate) fn restore() {
    if let Some(before) = lock().take() {
        // Nobody is left to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// Makes a panic of any thread restore the terminal, and write `leave` to it, before its message is printed.
pub(crate) fn restore_on_panic(leave: &'static [u8]) {
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if lock().is_some() {
            write_what_fits(io::stdout().as_fd(), leave);
            restore();
        }
        next(info);
    }));
}

/// Whether both ends of the conversation are a terminal.
pub(crate) fn is_terminal() -> bool {
    isatty(io::stdin()) && isatty(io::stdout())
}

/// The window of standard output; the default when it has none.
pub(crate) fn window_size() -> WinSize {
    tcgetwinsize(io::stdout()).map_or(WinSize::DEFAULT, |size| WinSize::clamped(size.ws_col.into(), size.ws_row.into()))
}

/// Its width and height in pixels; zeros when it does not know.
pub(crate) fn window_pixels() -> (u16, u16) {
    tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_xpixel, size.ws_ypixel))
}

/// Writes as much as is taken at once: a terminal that its user has stopped (Ctrl-S) must not keep a leaving program.
pub(crate) fn write_what_fits(to: BorrowedFd<'_>, mut bytes: &[u8]) {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    while !bytes.is_empty() {
        let mut ready = [PollFd::new(&to, PollFlags::OUT)];
        if !matches!(poll(&mut ready, Some(&at_once)), Ok(1..)) {
            return;
        }
        // What poll promises for a terminal is room for at least one byte; a short piece does not block.
        let piece = bytes.get(..bytes.len().min(128)).unwrap_or_default();
        match rustix::io::write(to, piece) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(_) => return,
        }
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    // The value is replaced whole; a panic elsewhere leaves nothing half done.
    BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
