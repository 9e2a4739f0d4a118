//! A stream that stops reading at a limit until told otherwise; does not know what is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts what comes in. Before login a stranger gets no more than its limit, however it is cut into messages: the
/// WebSocket layer's own limit is set once for a connection and is the larger one of after login.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    left: Option<usize>,
    written: u64,
}

/// The limit was reached.
#[derive(Debug, thiserror::Error)]
#[error("more than the limit before login")]
pub(super) struct OverLimit;

impl<S> Metered<S> {
    /// At most `limit` bytes may be read.
    pub(super) fn new(inner: S, limit: usize) -> Self {
        Self { inner, left: Some(limit), written: 0 }
    }

    /// No limit from here on.
    pub(super) fn lift(&mut self) {
        self.left = None;
    }

    /// At most so many more bytes.
    pub(super) fn allow(&mut self, limit: usize) {
        self.left = Some(limit);
    }

    /// Bytes that the stream below took; standing still while more waits means a peer that does not read.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether an error of a read is this limit.
    pub(super) fn is_over(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<OverLimit>())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == Some(0) {
            return Poll::Ready(Err(io::Error::other(OverLimit)));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(came);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(took)) = &result {
            self.written += *took as u64;
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn the_limit_holds_until_it_is_lifted() {
        let mut metered = Metered::new(&[7u8; 100][..], 10);
        let mut piece = [0; 10];
        metered.read_exact(&mut piece).await.unwrap();
        let error = metered.read(&mut piece).await.unwrap_err();
        assert!(Metered::<&[u8]>::is_over(&error));
        metered.lift();
        assert_eq!(metered.read(&mut piece).await.unwrap(), 10);
    }
}
