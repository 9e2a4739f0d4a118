//! The client's stream under the ssh library: can be cut from outside at any moment, is read no further while the connection's
//! valve is shut, and remembers what software the
//! client says it is. Does not know what is said after that.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::valve::Valve;

/// Longest identification line (RFC 4253, 4.2).
const LONGEST_ID: usize = 255;

/// While the valve is shut, so much is read so often: answers to keepalives must not starve behind what nobody takes.
const TRICKLE: (usize, Duration) = (36 * 1024, Duration::from_secs(5));

/// What the client calls itself, once it has said so.
pub(super) type ClientName = Arc<OnceLock<String>>;

/// A stream with its scissors.
pub(super) struct Line<S> {
    inner: S,
    /// Answers, or loses its sender, when the connection has to end: a stalled peer then keeps nobody waiting. Only the
    /// library's one task polls this stream, for reading and for writing, so one waker is enough.
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    first: Option<Vec<u8>>,
    name: ClientName,
    valve: Valve,
    trickle: Option<Pin<Box<Sleep>>>,
    /// Bytes that may be read although it is shut.
    allowed: usize,
}

impl<S> Line<S> {
    /// Wraps a stream; using or dropping the sender cuts it.
    pub(super) fn new(inner: S, valve: Valve) -> (Self, oneshot::Sender<()>, ClientName) {
        let (sender, cut) = oneshot::channel();
        let name = ClientName::default();
        let first = Some(Vec::new());
        let line = Self { inner, cut, is_cut: false, first, name: Arc::clone(&name), valve, trickle: None, allowed: 0 };
        (line, sender, name)
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.is_cut && Pin::new(&mut self.cut).poll(context).is_ready() {
            self.is_cut = true;
        }
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn is_held_back(&mut self, context: &mut Context<'_>) -> bool {
        if self.valve.poll_open(context).is_ready() {
            (self.trickle, self.allowed) = (None, 0);
            return false;
        }
        if self.allowed == 0 {
            let (bytes, pause) = TRICKLE;
            let sleep = self.trickle.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if sleep.as_mut().poll(context).is_pending() {
                return true;
            }
            (self.trickle, self.allowed) = (None, bytes);
        }
        false
    }

    fn note(&mut self, read: &[u8]) {
        let Some(first) = &mut self.first else { return };
        let end = read.iter().position(|byte| *byte == b'\n');
        first.extend_from_slice(read.get(..end.unwrap_or(read.len())).unwrap_or(read));
        if end.is_some() || first.len() > LONGEST_ID {
            first.truncate(LONGEST_ID);
            let name = String::from_utf8_lossy(first).trim_end().to_owned();
            let _ = self.name.set(name);
            self.first = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if self.is_held_back(cx) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.allowed = self.allowed.saturating_sub(buf.filled().len().saturating_sub(before));
        if self.first.is_some() {
            self.note(buf.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn a_waiting_read_and_a_waiting_write_end_when_cut() {
        run(async {
            for write in [false, true] {
                let (near, _far) = tokio::io::duplex(8);
                let (mut line, cut, _) = Line::new(near, Valve::default());
                let waiting = tokio::spawn(async move {
                    let mut buf = [0; 64];
                    if write { line.write_all(&buf).await } else { line.read_exact(&mut buf).await.map(|_| ()) }
                });
                tokio::task::yield_now().await;
                assert!(!waiting.is_finished());
                cut.send(()).unwrap();
                assert_eq!(waiting.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
            }
        });
    }

    #[test]
    fn nothing_is_read_while_the_valve_is_shut_but_a_trickle() {
        run(async {
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            let valve = Valve::default();
            let (mut line, _cut, _) = Line::new(near, valve.clone());
            let shut = [valve.shut(), valve.shut()];
            far.write_all(&[b'x'; 60 * 1024]).await.unwrap();
            tokio::time::pause();
            let began = tokio::time::Instant::now();
            let mut buf = vec![0; 36 * 1024];
            line.read_exact(&mut buf).await.unwrap();
            assert!(began.elapsed() >= TRICKLE.1);
            let mut rest = tokio::spawn(async move {
                let mut rest = vec![0; 24 * 1024];
                line.read_exact(&mut rest).await.unwrap();
            });
            tokio::select! {
                _ = &mut rest => panic!("read on"),
                () = tokio::time::sleep(TRICKLE.1 / 2) => {}
            }
            drop(shut);
            let opened = tokio::time::Instant::now();
            rest.await.unwrap();
            assert_eq!(opened.elapsed(), Duration::ZERO, "at once");
        });
    }

    #[test]
    fn the_client_says_what_it_is_however_it_is_cut() {
        run(async {
            let (near, mut far) = tokio::io::duplex(64);
            let (mut line, _cut, name) = Line::new(near, Valve::default());
            for piece in [&b"SSH-2.0-Open"[..], b"SSH_9.2\r\n\x00\x00binary"] {
                far.write_all(piece).await.unwrap();
                let mut buf = vec![0; piece.len()];
                line.read_exact(&mut buf).await.unwrap();
                assert_eq!(buf, piece);
            }
            assert_eq!(name.get().unwrap(), "SSH-2.0-OpenSSH_9.2");
        });
    }
}
