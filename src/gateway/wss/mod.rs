//! The wss door: HTTP/1.1 up to the upgrade, login, then one task for each connection. Does not know how TLS was made,
//! nor what a session is made of.

mod acks;
mod close;
mod connection;
mod desk;
mod login;
mod meter;
mod outbound;
mod requests;
mod upgrade;

#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::SinkExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) use close::{Close, Then};
use connection::{Connection, End, Pulse};
use desk::Desk;
use meter::Metered;
use outbound::text;
use upgrade::{Judgement, Refusal, judge};

use super::Gateway;
use super::listen::Permit;
use crate::base::{INBOUND_AFTER_LOGIN, INBOUND_BEFORE_LOGIN};
use crate::wire::v1::server_message::Body;

/// hyper's least read buffer; a handshake has under 1 KiB.
const HTTP_BUFFER: usize = 8 * 1024;
/// tungstenite touches all of it for each connection: 163 -> 37 KiB an idle session (performance.md 5).
const READ_BUFFER: usize = 4 * 1024;
/// Frames are collected up to here before the socket is written; also what is kept of a connection that had much to say.
const WRITE_BUFFER: usize = 16 * 1024;
/// The longest text frame and the buffer before it; nothing is fed while the buffer waits for the socket.
const MOST_WRITE_BUFFER: usize = 2 * 1024 * 1024 + outbound::MOST_ASKED;
/// What a stranger may send inside TLS: the listener's 64 KiB count the handshake and TLS's own bytes too, and only
/// what is noticed here is answered with a close code. So the difference has room for a handshake, and for one TLS
/// record (16 KiB) that is read ahead.
const PLAIN_BEFORE_LOGIN: usize = INBOUND_BEFORE_LOGIN - 24 * 1024;
/// So much before the listener's deadline, at which the socket is shut down, the client is told of it.
const TELL_EARLIER: Duration = Duration::from_millis(250);
/// How long a peer may take to take the close frame and to answer it.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the listener knows of a connection.
#[derive(Debug, Clone, Copy)]
struct Caller {
    peer: SocketAddr,
    exporter: Option<[u8; 32]>,
    /// Accept plus the login deadline: absolute, whatever the peer drips.
    deadline: Instant,
    pulse: Pulse,
}

/// Serves one connection to its end. `exporter`: RFC 9266, of this very TLS 1.3 connection; none where TLS is older.
pub(crate) async fn serve_connection<S>(
    gateway: Gateway,
    stream: S,
    exporter: Option<[u8; 32]>,
    peer: SocketAddr,
    permit: Permit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let caller = Caller { peer, exporter, deadline: permit.deadline().into(), pulse: Pulse::NORMAL };
    serve(gateway, stream, caller, || permit.logged_in()).await;
}

// `logged_in` is called once the client is told; dropped without, it stands for a connection that never came so far.
async fn serve<S, D: Desk>(desk: D, stream: S, caller: Caller, logged_in: impl FnOnce() + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let metered = Metered::new(stream, PLAIN_BEFORE_LOGIN);
    // Both parts are boxed, so that an idle viewer does not keep the room that its login needed.
    // Past the deadline in the HTTP part there is nobody to tell: no frame exists yet.
    let deadline = caller.deadline - TELL_EARLIER;
    let mut socket = match timeout_at(deadline, Box::pin(accept(&desk, metered, &caller))).await {
        Ok(Some(socket)) => socket,
        Ok(None) => return,
        Err(_) => return late(&desk, &caller),
    };
    let grant = match timeout_at(deadline, Box::pin(login::log_in(&desk, &mut socket, &caller))).await {
        Ok(Ok(grant)) => grant,
        Ok(Err(end)) => return goodbye(socket, end).await,
        Err(_) => {
            late(&desk, &caller);
            return goodbye(socket, End::Close(Close::Deadline, None)).await;
        }
    };
    logged_in();
    let mut connection = Connection::new(socket, desk, grant, caller.pulse);
    let end = connection.run().await;
    connection.detach_all();
    goodbye(connection.socket, end).await;
}

fn late<D: Desk>(desk: &D, caller: &Caller) {
    desk.turned_away(caller.peer, "deadline", "not logged in within 10 seconds", "log in at once");
}

// HTTP/1.1, one request; a WebSocket if that request was one.
async fn accept<S, D: Desk>(desk: &D, stream: Metered<S>, caller: &Caller) -> Option<WebSocketStream<Metered<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // One connection is upgraded once.
    let (sender, mut upgrades) = mpsc::channel(1);
    let peer = caller.peer;
    let service = hyper::service::service_fn(|request| {
        let response = respond(desk, peer, request, &sender);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(HTTP_BUFFER)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A peer that breaks off or sends no HTTP gets hyper's own answer.
    connection.await.ok()?;
    let upgraded = upgrades.try_recv().ok()?.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<Metered<S>>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MOST_WRITE_BUFFER)
        .max_message_size(Some(INBOUND_AFTER_LOGIN))
        .max_frame_size(Some(INBOUND_AFTER_LOGIN));
    let stream = parts.io.into_inner();
    Some(WebSocketStream::from_partially_read(stream, parts.read_buf.to_vec(), Role::Server, Some(config)).await)
}

fn respond<D: Desk>(
    desk: &D,
    peer: SocketAddr,
    mut request: Request<Incoming>,
    upgrades: &mpsc::Sender<OnUpgrade>,
) -> Response<Full<Bytes>> {
    match judge(request.method(), request.uri().path(), request.headers(), desk.names()) {
        Judgement::Hello => line(StatusCode::OK, "This is a Portcullis gateway; clients connect to /v1/ws."),
        Judgement::Refuse(refusal) => {
            if let Some(reason) = refusal.audit_reason() {
                desk.turned_away(peer, reason, &refusal.to_string(), "only if it was meant to be allowed");
            }
            refuse(refusal)
        }
        Judgement::Upgrade(accept) => {
            let Ok(accept) = HeaderValue::from_str(&accept) else { return refuse(Refusal::NotWebSocket) };
            if upgrades.try_send(hyper::upgrade::on(&mut request)).is_err() {
                return refuse(Refusal::NotWebSocket);
            }
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            response
        }
    }
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    line(refusal.status(), &refusal.to_string())
}

fn line(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // One request for each connection. (hyper's own switch for it would also change the header of the upgrade.)
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

// The last words, within a limit: the error, the close frame, then what the peer still sends is thrown away until it
// closes, because a socket that is closed with unread bytes takes back what was sent.
async fn goodbye<S>(mut socket: WebSocketStream<Metered<S>>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parting = async {
        if let End::Close(close, error) = end {
            if let Some(error) = error {
                let _ = socket.feed(text(0, Body::Error(*error))).await;
            }
            if socket.close(Some(close.frame())).await.is_err() {
                return;
            }
            socket.get_mut().allow(INBOUND_AFTER_LOGIN);
            let mut thrown_away = [0; READ_BUFFER];
            while socket.get_mut().read(&mut thrown_away).await.is_ok_and(|read| read > 0) {}
        } else {
            // Answers the peer's close frame.
            let _ = socket.flush().await;
        }
    };
    // A peer that takes nothing in this time takes nothing.
    let _ = timeout(GOODBYE, parting).await;
    let _ = timeout(GOODBYE, socket.get_mut().shutdown()).await;
}
