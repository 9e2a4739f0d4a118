//! A client's TCP stream: registered for reading only, and with a byte budget until login. Does not know what is said.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Registers a descriptor for one direction.
#[allow(
    deprecated,
    reason = "its successor is unsafe for the sake of types whose descriptor may change; those used here own theirs until they go"
)]
pub(super) fn watch<T: AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}

/// A TCP socket that is watched for reading. Watched for writing too, it would wake its task for each acknowledgement
/// (hop.md, finding 1), so that is asked for only while a write has to wait.
#[derive(Debug)]
pub(crate) struct Socket {
    reading: AsyncFd<Arc<TcpStream>>,
    /// A duplicate, because epoll takes a descriptor once.
    waiting: Option<AsyncFd<TcpStream>>,
}

impl Socket {
    /// From an accepted socket; makes it non-blocking and switches Nagle's algorithm off.
    pub(crate) fn new(socket: Arc<TcpStream>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { reading: watch(socket, Interest::READABLE)?, waiting: None })
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.reading.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => {
                    self.waiting = None;
                    return Poll::Ready(done);
                }
            }
            let waiting = match &mut self.waiting {
                Some(waiting) => waiting,
                slot => {
                    let duplicate = self.reading.get_ref().try_clone()?;
                    slot.insert(watch(duplicate, Interest::WRITABLE)?)
                }
            };
            ready!(waiting.poll_write_ready(cx))?.clear_ready();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.reading.poll_read_ready(cx))?;
            let space = buf.initialize_unfilled();
            let asked = space.len();
            match guard.try_io(|socket| socket.get_ref().as_ref().read(space)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Ok(Ok(read)) => {
                    // Less than asked for: the socket is empty, and finding that out again would be a system call for each key.
                    if 0 < read && read < asked {
                        guard.clear_ready();
                    }
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut socket| socket.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut socket| socket.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.reading.get_ref().shutdown(std::net::Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// More came in than a stranger may send.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("more than {0} bytes before login")]
pub(crate) struct OverBudget(pub(crate) usize);

impl OverBudget {
    /// Whether an error of a read is this one.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// A stream that fails reads beyond a budget until the budget is lifted.
#[derive(Debug)]
pub(crate) struct Budgeted<S> {
    inner: S,
    left: usize,
    most: usize,
    lifted: Arc<AtomicBool>,
}

impl<S> Budgeted<S> {
    /// `most` bytes may be read while `lifted` is false.
    pub(crate) fn new(inner: S, most: usize, lifted: Arc<AtomicBool>) -> Self {
        Self { inner, left: most, most, lifted }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Budgeted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == usize::MAX || self.lifted.load(Ordering::Acquire) {
            self.left = usize::MAX;
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        if self.left == 0 {
            let over = OverBudget(self.most);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::QuotaExceeded, over)));
        }
        // Never more than is left: what the reader above buffers is bounded too.
        let mut part = buf.take(self.left);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let (read, initialized) = (part.filled().len(), part.initialized().len());
        buf.initialize_unfilled_to(initialized);
        buf.advance(read);
        self.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Budgeted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn the_budget_is_exact_and_can_be_lifted() {
        let (mut peer, stream) = tokio::io::duplex(1024);
        let lifted = Arc::new(AtomicBool::new(false));
        let mut stream = Budgeted::new(stream, 10, Arc::clone(&lifted));
        peer.write_all(&[1; 25]).await.unwrap();
        let mut got = Vec::new();
        let error = stream.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((got.len(), error.kind()), (10, io::ErrorKind::QuotaExceeded));
        assert_eq!(error.to_string(), "more than 10 bytes before login");
        lifted.store(true, Ordering::Release);
        drop(peer);
        stream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 25);
    }
}
