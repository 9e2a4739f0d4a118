//! The way to one channel of a client: bounded by the channel's window, so that one stalled channel holds up no other.
//! Does not know what is written.

use bytes::Bytes;
use russh::server::{Handle, Msg};
use russh::{ChannelWriteHalf, Sig};

use crate::wire::v1::{Exit, exit::How};

/// Data type code of stderr (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// How a command ended, as the client's exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Code(u32),
    /// Name without SIG (RFC 4254, 6.10).
    Signal(String),
}

impl Status {
    /// All is well.
    pub(super) const DONE: Self = Self::Code(0);
    /// The verb could not be done.
    pub(super) const FAILED: Self = Self::Code(1);
    /// The words made no sense, as with most programs.
    pub(super) const USAGE: Self = Self::Code(2);
    /// EX_IOERR of sysexits.h: bytes were lost.
    pub(super) const LOST: Self = Self::Code(74);
    /// EX_TEMPFAIL: come back.
    pub(super) const AGAIN: Self = Self::Code(75);
    /// EX_NOPERM: the key was taken away.
    pub(super) const REVOKED: Self = Self::Code(77);
    /// As a shell says it of a program that it cannot run.
    const NOT_STARTED: Self = Self::Code(127);

    /// The agent's own end where something else was wanted of it: never a success.
    pub(super) fn of_failed(exit: &Exit) -> Self {
        match Self::of(exit) {
            Self::Code(0) => Self::FAILED,
            status => status,
        }
    }

    /// The agent's own end.
    pub(super) fn of(exit: &Exit) -> Self {
        match &exit.how {
            Some(How::Code(code)) => Self::Code(code.unsigned_abs()),
            Some(How::Signal(name)) => Self::Signal(name.clone()),
            Some(How::NotStarted(_)) => Self::NOT_STARTED,
            None => Self::FAILED,
        }
    }
}

/// The channel or its connection is over: nobody reads any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// One channel's output.
pub(super) struct Out {
    half: ChannelWriteHalf<Msg>,
    handle: Handle,
    /// The client's terminal is raw: lines end with CR LF.
    raw: bool,
}

impl Out {
    /// `raw` when the channel has a terminal.
    pub(super) fn new(half: ChannelWriteHalf<Msg>, handle: Handle, raw: bool) -> Self {
        Self { half, handle, raw }
    }

    /// Bytes as they are. Waits while the client's window is closed; then what is sent next is what is newest.
    pub(super) async fn data(&self, data: impl Into<Bytes>) -> Result<(), Gone> {
        self.half.data_bytes(data).await.map_err(|_| Gone)
    }

    /// Lines of text.
    pub(super) async fn text(&self, text: &str) -> Result<(), Gone> {
        self.data(self.lines(text)).await
    }

    /// Lines of text for stderr.
    pub(super) async fn error(&self, text: &str) -> Result<(), Gone> {
        self.half.extended_data_bytes(STDERR, self.lines(text)).await.map_err(|_| Gone)
    }

    /// Status, EOF, close, in this order.
    pub(super) async fn finish(self, status: Status) {
        // Whoever is gone needs no status.
        let _ = match status {
            Status::Code(code) => self.half.exit_status(code).await.map_err(|_| ()),
            Status::Signal(name) => {
                let name = Sig::Custom(name);
                self.handle.exit_signal_request(self.half.id(), name, false, String::new(), "en".to_owned()).await
            }
        };
        let _ = self.half.eof().await;
        let _ = self.half.close().await;
    }

    fn lines(&self, text: &str) -> Vec<u8> {
        if self.raw { text.replace('\n', "\r\n").into_bytes() } else { text.as_bytes().to_vec() }
    }
}
