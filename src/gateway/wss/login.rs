//! Challenge, one answer, proof by the gateway: from a fresh WebSocket to a grant. Does not know what a grant allows.

use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::Caller;
use super::close::Close;
use super::connection::{End, bad_request, error_message};
use super::desk::Desk;
use super::meter::Metered;
use super::outbound::text;
use crate::authn::{AuthError, Challenge, LoginClaim, REFUSED, VerifyContext, server_proof};
use crate::base::printable;
use crate::gateway::error::SessionError;
use crate::gateway::listen::OverBudget;
use crate::gateway::{SOFTWARE, random};
use crate::wire::decode_client;
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};

/// Longest name of a client program in the audit log.
const CLIENT_NAME: usize = 80;

/// Speaks first, takes one answer. The caller holds the deadline.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin, D: Desk>(
    desk: &D,
    socket: &mut WebSocketStream<Metered<S>>,
    caller: &Caller,
) -> Result<D::Grant, End> {
    let nonce: [u8; 32] = random();
    let challenge = Challenge::new(nonce, Instant::now());
    send(socket, 0, challenge_body(desk, &nonce)).await?;

    let (id, login) = answer(desk, socket, caller).await?;
    let (grant, ready) = judge(desk, caller, challenge, &login).await?;
    send(socket, id, Body::Ready(ready)).await?;
    socket.get_mut().lift();
    Ok(grant)
}

fn challenge_body<D: Desk>(desk: &D, nonce: &[u8; 32]) -> Body {
    Body::Challenge(v1::Challenge {
        nonce: Bytes::copy_from_slice(nonce),
        server_key: desk.identity().public().line(),
        version: 1,
        require_channel_binding: desk.names().require_channel_binding,
        software: SOFTWARE.to_owned(),
    })
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin, D: Desk>(
    desk: &D,
    socket: &mut WebSocketStream<Metered<S>>,
    caller: &Caller,
) -> Result<(u64, v1::Login), End> {
    let refuse = |what: &'static str, close| {
        desk.refused(caller.peer, "", &AuthError::Malformed(what));
        let body = (close == Close::BadRequest).then(|| Box::new(bad_request(format!("{what}; log in first"))));
        Err(End::Close(close, body))
    };
    loop {
        let message = match socket.next().await {
            None => return Err(End::Gone),
            Some(Ok(message)) => message,
            Some(Err(WsError::Io(error))) if Metered::<S>::is_over(&error) || OverBudget::is(&error) => {
                return refuse("more than 64 KiB before login", Close::TooLarge);
            }
            Some(Err(WsError::Capacity(_))) => return refuse("more than 64 KiB before login", Close::TooLarge),
            Some(Err(WsError::Protocol(_) | WsError::Utf8(_))) => {
                return refuse("not the WebSocket protocol", Close::BadRequest);
            }
            Some(Err(_)) => return Err(End::Gone),
        };
        let text = match message {
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Close(_) => return Err(End::Gone),
            Message::Binary(_) => return refuse("a binary frame before login", Close::BadRequest),
            Message::Text(text) => text,
        };
        return match decode_client(&text) {
            Ok(v1::ClientMessage { id, body: Some(Ask::Login(login)) }) => Ok((id, login)),
            Ok(_) => refuse("another message before login", Close::BadRequest),
            Err(_) => refuse("not a message of the protocol", Close::BadRequest),
        };
    }
}

async fn judge<D: Desk>(
    desk: &D,
    caller: &Caller,
    challenge: Challenge,
    login: &v1::Login,
) -> Result<(D::Grant, v1::Ready), End> {
    let user = printable(&login.user, 64);
    if let Err(error) = desk.may_try(caller.peer) {
        desk.turned_away(caller.peer, "rate-limited", &error.to_string(), "try again later");
        return Err(end_of(&error));
    }
    let keys = match desk.keys(&login.user).await {
        Ok(keys) => keys,
        Err(error) => {
            desk.turned_away(caller.peer, error.code(), &error.to_string(), "try again");
            return Err(end_of(&error));
        }
    };
    let claim = LoginClaim::from(login);
    let context = VerifyContext {
        account: keys.account.as_ref(),
        origins: desk.names().origins,
        server: desk.identity().id(),
        exporter: caller.exporter,
        require_binding: desk.names().require_channel_binding,
        peer: caller.peer.ip(),
        now: Instant::now(),
        unix_now: desk.unix_now(),
    };
    let proven = match challenge.verify(&claim, &context, &keys.lines) {
        Ok(proven) => proven,
        Err(error) => {
            desk.refused(caller.peer, &user, &error);
            return Err(login_failed());
        }
    };
    // M as it was verified; the gateway's proof is over the same text.
    let signature = match server_proof(desk.identity(), proven.message().unwrap_or_default()) {
        Ok(signature) => signature,
        Err(error) => {
            tracing::error!("the identity key does not sign: {error}");
            return Err(End::Close(Close::Restarting, None));
        }
    };
    let client = printable(&login.client, CLIENT_NAME);
    match desk.admit(proven, caller.peer, &client) {
        Ok((grant, ready)) => Ok((grant, v1::Ready { signature, ..ready })),
        Err(error) => Err(end_of(&error)),
    }
}

// Unknown account, unknown key, bad signature: one answer.
fn login_failed() -> End {
    let error = v1::Error { code: "login-failed".into(), message: REFUSED.into(), ..v1::Error::default() };
    End::Close(Close::LoginFailed, Some(Box::new(error)))
}

// The proof was good, or could not be judged.
fn end_of(error: &SessionError) -> End {
    let close = match error {
        SessionError::RateLimited { .. } => Close::RateLimited,
        error if error.retryable() => Close::Restarting,
        _ => Close::NotAllowed,
    };
    End::Close(close, Some(Box::new(error_message(error, 0))))
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<Metered<S>>,
    id: u64,
    body: Body,
) -> Result<(), End> {
    socket.send(text(id, body)).await.map_err(|_| End::Gone)
}
