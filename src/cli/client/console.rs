//! The caller's side: keyboard, output, window, signals, as one source of events. Does not know the gateway.

use std::io::{Read, Write};

use bytes::Bytes;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::base::WinSize;
use crate::gateway::lines::LEAVE;
use crate::screen::{enter_sequence, leave_sequence};
use crate::sys::terminal::{self, RawMode};

/// One read of the keyboard; a paste comes in several.
const READ: usize = 4096;
/// Reads waiting: what is typed while the gateway is slow; then the terminal's own buffer holds it.
const READS: usize = 4;
/// Pieces waiting to be written: enough that socket and terminal work at once.
const WRITES: usize = 4;

/// What happened on the caller's side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Typed, or piped in.
    Typed(Vec<u8>),
    /// Nothing more is typed.
    Over,
    /// The window has another size.
    Resized(WinSize),
    /// A signal that ends the program, by number.
    Signal(u8),
}

/// Why nothing can be written any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Nobody reads standard output.
    OutputClosed,
    /// A signal came while waiting.
    Signal(u8),
}

/// See the module. Dropping it restores the terminal.
pub(crate) struct Console {
    raw: Option<RawMode>,
    typed: mpsc::Receiver<Vec<u8>>,
    typed_ended: bool,
    output: Option<mpsc::Sender<Bytes>>,
    written: oneshot::Receiver<()>,
    window: Signal,
    ends: [(Signal, u8); 3],
    painted: bool,
    /// Before the first and after the last that is written to a terminal.
    frame: Frame,
}

#[derive(Clone, Copy)]
struct Frame {
    enter: &'static [u8],
    leave: &'static [u8],
}

impl Console {
    /// Raw mode when there is a terminal at both ends. Must be called within the runtime.
    pub(crate) fn open() -> std::io::Result<Self> {
        Self::open_with(Frame { enter: enter_sequence(), leave: leave_sequence() })
    }

    /// The same for a line terminal: it stays where it is on the ordinary screen.
    pub(crate) fn open_lines() -> std::io::Result<Self> {
        Self::open_with(Frame { enter: b"", leave: LEAVE })
    }

    fn open_with(frame: Frame) -> std::io::Result<Self> {
        let raw = if terminal::is_terminal() {
            terminal::restore_on_panic(frame.leave);
            Some(RawMode::enter()?)
        } else {
            None
        };
        let of = |kind, number| signal(kind).map(|signal| (signal, number));
        let (output, written) = start_writer();
        Ok(Self {
            raw,
            typed: start_reader(),
            typed_ended: false,
            output: Some(output),
            written,
            window: signal(SignalKind::window_change())?,
            ends: [of(SignalKind::hangup(), 1)?, of(SignalKind::interrupt(), 2)?, of(SignalKind::terminate(), 15)?],
            painted: false,
            frame,
        })
    }

    /// Whether a person looks.
    pub(crate) fn is_terminal(&self) -> bool {
        self.raw.is_some()
    }

    /// The next event; loses nothing when dropped. `read` is false while no more input can be kept.
    pub(crate) async fn happened(&mut self, read: bool) -> Happened {
        let [hang_up, interrupt, terminate] = &mut self.ends;
        tokio::select! {
            biased;
            _ = hang_up.0.recv() => Happened::Signal(hang_up.1),
            _ = terminate.0.recv() => Happened::Signal(terminate.1),
            _ = interrupt.0.recv() => Happened::Signal(interrupt.1),
            _ = self.window.recv() => Happened::Resized(terminal::window_size()),
            typed = self.typed.recv(), if read && !self.typed_ended => match typed {
                Some(bytes) => Happened::Typed(bytes),
                None => {
                    self.typed_ended = true;
                    Happened::Over
                }
            },
        }
    }

    /// Writes in order; waits while the terminal or pipe takes nothing, but not for longer than until a signal.
    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<(), Stopped> {
        if !std::mem::replace(&mut self.painted, true) && self.is_terminal() {
            bytes = [self.frame.enter, &bytes].concat().into();
        }
        let Some(output) = &self.output else { return Err(Stopped::OutputClosed) };
        let [hang_up, interrupt, terminate] = &mut self.ends;
        tokio::select! {
            place = output.reserve() => match place {
                Ok(place) => {
                    place.send(bytes);
                    Ok(())
                }
                Err(_) => Err(Stopped::OutputClosed),
            },
            _ = hang_up.0.recv() => Err(Stopped::Signal(hang_up.1)),
            _ = terminate.0.recv() => Err(Stopped::Signal(terminate.1)),
            _ = interrupt.0.recv() => Err(Stopped::Signal(interrupt.1)),
        }
    }

    /// A line for the person: on the terminal's last row without moving anything else, or on standard error.
    pub(crate) async fn notice(&mut self, text: &str) -> Result<(), Stopped> {
        if !self.is_terminal() {
            eprintln!("portcullis: {text}");
            return Ok(());
        }
        let window = terminal::window_size();
        let text: String = text.chars().take(usize::from(window.cols()).saturating_sub(1)).collect();
        let line = format!("\x1b7\x1b[{};1H\x1b[0;7m{text}\x1b[0m\x1b[K\x1b8", window.rows());
        self.write(Bytes::from(line)).await
    }

    /// Waits until all that was written is out, or a signal comes.
    pub(crate) async fn drain(&mut self) -> Result<(), Stopped> {
        self.output = None;
        let [hang_up, interrupt, terminate] = &mut self.ends;
        tokio::select! {
            _ = &mut self.written => Ok(()),
            _ = hang_up.0.recv() => Err(Stopped::Signal(hang_up.1)),
            _ = terminate.0.recv() => Err(Stopped::Signal(terminate.1)),
            _ = interrupt.0.recv() => Err(Stopped::Signal(interrupt.1)),
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if self.raw.is_some() && self.painted {
            use std::os::fd::AsFd;
            terminal::write_what_fits(std::io::stdout().as_fd(), self.frame.leave);
        }
    }
}

// Reading a terminal cannot be broken off, so it is a thread that ends with the process.
fn start_reader() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(READS);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut piece = [0; READ];
        while let Ok(read) = input.read(&mut piece) {
            let bytes = piece.get(..read).unwrap_or_default().to_vec();
            if bytes.is_empty() || sender.blocking_send(bytes).is_err() {
                break;
            }
        }
    });
    receiver
}

// A terminal that its user stopped takes nothing for as long as it pleases: a thread waits, not the program.
fn start_writer() -> (mpsc::Sender<Bytes>, oneshot::Receiver<()>) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(WRITES);
    let (done, written) = oneshot::channel();
    std::thread::spawn(move || {
        while let Some(bytes) = receiver.blocking_recv() {
            let mut output = std::io::stdout().lock();
            if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                break;
            }
        }
        let _ = done.send(());
    });
    (sender, written)
}
