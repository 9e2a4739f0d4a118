//! Accepting: admission, one absolute deadline, a byte budget, TLS. Knows no protocol above TLS and no session.

mod admission;
mod gate;
mod rates;
mod shortage;
mod stream;
mod tls;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;

pub(crate) use gate::{Admission, Limits, LiveConnection, Permit, Refused};
pub(crate) use rates::{Frequency, TooOften};
pub(crate) use stream::{Budgeted, OverBudget, Socket};
use tls::exporter;
pub(crate) use tls::{Tls, TlsError};

/// A connection that was let in, on its way to log in.
pub(crate) struct Accepted {
    /// The stream; its reads fail beyond the byte budget until the permit is gone.
    pub(crate) stream: Budgeted<Socket>,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// To be dropped, or told `logged_in`, at login; until then deadline and eviction hold.
    pub(crate) permit: Permit,
}

/// Accepts on an inherited listener until the answer is aborted or dropped by its runtime; each connection runs `door`
/// in a task of its own, whose panic ends that connection only. `turned_away` hears of those that are not let in.
///
/// # Errors
/// The listener cannot be made non-blocking or registered.
pub(crate) fn spawn_listener<D, F, R>(
    listener: TcpListener,
    admission: Admission,
    turned_away: R,
    door: D,
) -> io::Result<JoinHandle<()>>
where
    D: Fn(Accepted) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
    R: Fn(SocketAddr, &Refused) + Send + Sync + 'static,
{
    listener.set_nonblocking(true)?;
    let listener = stream::watch(listener, Interest::READABLE)?;
    Ok(tokio::spawn(accept_all(listener, admission, turned_away, door)))
}

/// A connection with its TLS handshake done, on its way to log in.
pub(crate) struct Secured {
    /// The stream inside TLS; the byte budget counts what is outside.
    /// Boxed: a task keeps room for each place that its future ever moves a value to.
    pub(crate) stream: Box<TlsStream<Budgeted<Socket>>>,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// RFC 9266 tls-exporter; none below TLS 1.3.
    pub(crate) exporter: Option<[u8; 32]>,
    /// As [`Accepted::permit`].
    pub(crate) permit: Permit,
}

/// [`spawn_listener`] with TLS in front of the door. A handshake that fails ends its connection without a word.
pub(crate) fn spawn_tls_listener<D, F, R>(
    listener: TcpListener,
    admission: Admission,
    tls: Tls,
    turned_away: R,
    door: D,
) -> io::Result<JoinHandle<()>>
where
    D: Fn(Secured) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
    R: Fn(SocketAddr, &Refused) + Send + Sync + 'static,
{
    let door = Arc::new(door);
    spawn_listener(listener, admission, turned_away, move |Accepted { stream, peer, permit }| {
        let (tls, door) = (tls.clone(), Arc::clone(&door));
        async move {
            // Boxed, so that the handshake's state goes with it.
            match Box::pin(tls.accept(stream)).await {
                Ok(stream) => {
                    let exporter = exporter(&stream);
                    door(Secured { stream: Box::new(stream), peer, exporter, permit }).await;
                }
                Err(error) => tracing::debug!(%peer, %error, "no TLS handshake"),
            }
        }
    })
}

async fn accept_all<D, F, R>(listener: AsyncFd<TcpListener>, admission: Admission, turned_away: R, door: D)
where
    D: Fn(Accepted) -> F,
    F: Future<Output = ()> + Send + 'static,
    R: Fn(SocketAddr, &Refused),
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "a connection's task panicked; the others go on");
                }
                continue;
            }
        };
        if accepted.is_ok()
            && let Some(failures) = admission.shortage().worked(Instant::now())
        {
            tracing::info!(failures, "connections are taken in again");
        }
        match accepted {
            Ok((socket, peer)) => match admit(&admission, socket, peer) {
                Ok(Some(accepted)) => {
                    let (pending, deadline) = (accepted.permit.pending(), accepted.permit.deadline());
                    connections.spawn(guarded(Box::pin(door(accepted)), pending, deadline, admission.clone()));
                }
                Ok(None) => {}
                Err(refused) => turned_away(peer, &refused),
            },
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                admission.shed();
                let (pause, news) = admission.shortage().failed(Instant::now());
                if news {
                    tracing::warn!(%error, "no connection can be taken in; the oldest one that is not logged in is given up for each that waits. If this lasts, raise the limit of open files (LimitNOFILE=, ulimit -n)");
                }
                tracing::debug!(%error, ?pause, "accept failed");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn accept(listener: &AsyncFd<TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    listener.async_io(Interest::READABLE, TcpListener::accept).await
}

fn admit(admission: &Admission, socket: TcpStream, peer: SocketAddr) -> Result<Option<Accepted>, Refused> {
    let socket = Arc::new(socket);
    // Refused: the socket closes here. It costs less than to say so to the peer.
    let permit = admission.enter(peer, &socket, Instant::now())?;
    // A socket that cannot be set up has closed already.
    let Ok(stream) = Socket::new(socket) else { return Ok(None) };
    let stream = Budgeted::new(stream, admission.inbound(), permit.lifted());
    Ok(Some(Accepted { stream, peer, permit }))
}

/// Runs a door. At the deadline the socket of a connection that is not logged in is shut down; the door then sees the
/// end of its stream, and whatever tasks a library has made of it do too (dropping a future would not reach those).
async fn guarded(
    mut door: Pin<Box<impl Future<Output = ()>>>,
    pending: Arc<gate::Pending>,
    deadline: Instant,
    admission: Admission,
) {
    if tokio::time::timeout_at(deadline.into(), &mut door).await.is_ok() {
        return;
    }
    if pending.end() {
        admission.count_expired();
    }
    drop(pending);
    door.await;
}

/// Errors of accept(2) that say something of one peer and nothing of us.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::Interrupted | K::PermissionDenied)
        || matches!(error.kind(), K::NetworkDown | K::NetworkUnreachable | K::HostUnreachable | K::TimedOut)
}
