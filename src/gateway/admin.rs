//! Health, metrics and the operator's socket, on a thread of their own so that they answer when the doors are busy. No keys here.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::sync::oneshot;

use super::Gateway;
use super::error::SessionError;
use super::reload::Reloaded;

/// Starts the thread with the admin listener and, when there is one, the operator's socket. The answer resolves once that socket, in a
/// gateway that has to make room for the next, has given its last answer.
pub(crate) fn start(
    gateway: &Gateway,
    listener: OwnedFd,
    socket: Option<OwnedFd>,
) -> io::Result<oneshot::Receiver<()>> {
    let listener = TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    let socket = socket.map(UnixListener::from);
    if let Some(socket) = &socket {
        socket.set_nonblocking(true)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let gateway = gateway.clone();
    let (answered, all_answered) = oneshot::channel();
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let health = axum::Router::new()
                .route("/healthz", get(async || "ok\n"))
                .route("/readyz", get(ready))
                .route("/metrics", get(metrics))
                .with_state(gateway.clone());
            let operator = axum::Router::new()
                .route("/v1/sessions", get(sessions))
                .route("/v1/sessions/{name}/kill", post(kill))
                .route("/v1/stop", post(stop))
                .route("/v1/reload", post(reload))
                .with_state(gateway.clone());
            let operator = async {
                let ended = serve_operator(socket, operator, gateway).await;
                // Nobody listens any more when the gateway ends for another reason.
                let _ = answered.send(());
                ended
            };
            let (health, operator) = tokio::join!(serve_health(listener, health), operator);
            tracing::error!(?health, ?operator, "the admin thread ended");
        });
    })?;
    Ok(all_answered)
}

async fn serve_health(listener: TcpListener, routes: axum::Router) -> io::Result<()> {
    axum::serve(tokio::net::TcpListener::from_std(listener)?, routes).await
}

async fn serve_operator(socket: Option<UnixListener>, routes: axum::Router, gateway: Gateway) -> io::Result<()> {
    match socket {
        Some(socket) => {
            // The order to reload comes this way, and its answer has to go out before the gateway does.
            let outdated = async move { gateway.reloader().outdated().await };
            axum::serve(OperatorsOnly::new(socket)?, routes).with_graceful_shutdown(outdated).await
        }
        None => std::future::pending().await,
    }
}

/// Accepts root, and in single-user mode the one user.
struct OperatorsOnly {
    socket: tokio::net::UnixListener,
    own: u32,
}

impl OperatorsOnly {
    fn new(socket: UnixListener) -> io::Result<Self> {
        Ok(Self { socket: tokio::net::UnixListener::from_std(socket)?, own: crate::sys::credentials::current_uid() })
    }
}

impl axum::serve::Listener for OperatorsOnly {
    type Io = tokio::net::UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    // In root mode the gateway's own uid is nobody's login; in single-user mode it is the one user's.
                    Ok(peer) if peer.uid() == 0 || peer.uid() == self.own => return (stream, address),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused on the admin socket"),
                    Err(error) => tracing::warn!(%error, "the admin socket's peer is unknown"),
                },
                // No descriptors left, for instance: try again when some may be free.
                Err(error) => {
                    tracing::error!(%error, "the admin socket");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}

async fn ready(State(gateway): State<Gateway>) -> Response {
    match gateway.authority().can_record() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the audit log cannot be written\n").into_response(),
    }
}

async fn metrics(State(gateway): State<Gateway>) -> Response {
    gateway.measure();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], gateway.metrics().text()).into_response()
}

async fn sessions(State(gateway): State<Gateway>) -> Response {
    let sessions: Vec<_> = gateway.router().all().iter().map(|session| session.summary()).collect();
    as_json(StatusCode::OK, serde_json::to_value(sessions).unwrap_or_default())
}

async fn kill(State(gateway): State<Gateway>, Path(name): Path<String>) -> Response {
    match gateway.router().kill_any(&name).await {
        Ok(killed) => as_json(StatusCode::OK, json!({ "killed": killed })),
        Err(error) => failed(&error),
    }
}

async fn stop(State(gateway): State<Gateway>) -> Response {
    match gateway.router().stop_all().await {
        Ok(stopped) => as_json(StatusCode::OK, json!({ "stopped": stopped })),
        Err(error) => failed(&error),
    }
}

async fn reload(State(gateway): State<Gateway>) -> Response {
    match gateway.reloader().reload().await {
        Ok(Reloaded::Certificate) => as_json(StatusCode::OK, json!({ "gateway": "goes on" })),
        Ok(Reloaded::Gateway) => as_json(StatusCode::OK, json!({ "gateway": "restarts" })),
        Err(error) => failed(&error),
    }
}

fn failed(error: &SessionError) -> Response {
    let status = match error {
        SessionError::Unknown(_) => StatusCode::NOT_FOUND,
        other if other.retryable() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    as_json(status, json!({ "code": error.code(), "message": error.to_string() }))
}

fn as_json(status: StatusCode, value: serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}
