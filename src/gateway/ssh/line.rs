//! The client's stream under the ssh library: can be cut from outside at any moment, and remembers what software the
//! client says it is. Does not know what is said after that.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Longest identification line (RFC 4253, 4.2).
const LONGEST_ID: usize = 255;

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
}

impl<S> Line<S> {
    /// Wraps a stream; using or dropping the sender cuts it.
    pub(super) fn new(inner: S) -> (Self, oneshot::Sender<()>, ClientName) {
        let (sender, cut) = oneshot::channel();
        let name = ClientName::default();
        (Self { inner, cut, is_cut: false, first: Some(Vec::new()), name: Arc::clone(&name) }, sender, name)
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.is_cut && Pin::new(&mut self.cut).poll(context).is_ready() {
            self.is_cut = true;
        }
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
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
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
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
                let (mut line, cut, _) = Line::new(near);
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
    fn the_client_says_what_it_is_however_it_is_cut() {
        run(async {
            let (near, mut far) = tokio::io::duplex(64);
            let (mut line, _cut, name) = Line::new(near);
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
