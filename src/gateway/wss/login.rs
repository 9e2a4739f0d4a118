//! Challenge, one answer, proof by the gateway: from a fresh WebSocket to a grant. Does not know what a grant allows.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{Caller, DOOR};
use super::close::Close;
use super::connection::{End, bad_request};
use super::meter::Metered;
use super::outbound::text;
use crate::authn::{AuthError, Challenge, LoginClaim, REFUSED, VerifyContext, server_proof};
use crate::base::printable;
use crate::gateway::{Gateway, LiveGrant, LoginError, SOFTWARE, random};
use crate::wire::decode_client;
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};

/// Longest name of a client program in the audit log.
const CLIENT_NAME: usize = 80;

/// Speaks first, takes one answer. The caller holds the deadline.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Gateway,
    socket: &mut WebSocketStream<Metered<S>>,
    caller: &Caller,
) -> Result<LiveGrant, End> {
    let nonce: [u8; 32] = random();
    let challenge = Challenge::new(nonce, Instant::now());
    send(socket, 0, challenge_body(gateway, &nonce)).await?;

    let (id, login) = answer(gateway, socket, caller).await?;
    let (grant, ready) = judge(gateway, caller, challenge, &login).await?;
    send(socket, id, Body::Ready(ready)).await?;
    socket.get_mut().lift();
    Ok(grant)
}

fn challenge_body(gateway: &Gateway, nonce: &[u8; 32]) -> Body {
    Body::Challenge(v1::Challenge {
        nonce: Bytes::copy_from_slice(nonce),
        server_key: gateway.authority.identity().public_line(),
        version: 1,
        require_channel_binding: gateway.settings.require_channel_binding,
        software: SOFTWARE.to_owned(),
    })
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Gateway,
    socket: &mut WebSocketStream<Metered<S>>,
    caller: &Caller,
) -> Result<(u64, v1::Login), End> {
    let refuse = |what: &'static str, close| {
        gateway.authority.refused(DOOR, caller.peer, "", None, &AuthError::Malformed(what));
        let body = (close == Close::BadRequest).then(|| Box::new(bad_request(format!("{what}; log in first"))));
        Err(End::Close(close, body))
    };
    loop {
        let message = match socket.next().await {
            None => return Err(End::Gone),
            Some(Ok(message)) => message,
            Some(Err(WsError::Io(error))) if Metered::<S>::is_over(&error) => {
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

async fn judge(
    gateway: &Gateway,
    caller: &Caller,
    challenge: Challenge,
    login: &v1::Login,
) -> Result<(LiveGrant, v1::Ready), End> {
    let authority = &gateway.authority;
    let user = printable(&login.user, 64);
    let keys = match authority.keys(&login.user).await {
        Ok(keys) => keys,
        Err(error) => return Err(end_of(&error)),
    };
    let claim = LoginClaim::from(login);
    let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let context = VerifyContext {
        account: keys.account.as_ref(),
        origins: &gateway.settings.origins,
        server: authority.identity().id(),
        exporter: caller.exporter,
        require_binding: gateway.settings.require_channel_binding,
        peer: caller.peer.ip(),
        now: Instant::now(),
        unix_now,
    };
    let proven = match challenge.verify(&claim, &context, &keys.lines) {
        Ok(proven) => proven,
        Err(error) => {
            authority.refused(DOOR, caller.peer, &user, error.key(), &error);
            return Err(login_failed());
        }
    };
    // M as it was verified; the gateway's proof is over the same text.
    let signature = match server_proof(authority.identity().signing_key(), proven.message().unwrap_or_default()) {
        Ok(signature) => signature,
        Err(error) => {
            tracing::error!("the identity key does not sign: {error}");
            return Err(End::Close(Close::Restarting, None));
        }
    };
    let client = printable(&login.client, CLIENT_NAME);
    let grant = match authority.admit(proven, DOOR, caller.peer, &client) {
        Ok(grant) => grant,
        Err(error) => return Err(end_of(&error)),
    };
    let ready = authority.ready(&grant, signature);
    Ok((grant, ready))
}

// Unknown account, unknown key, bad signature: one answer.
fn login_failed() -> End {
    let error = v1::Error { code: "login-failed".into(), message: REFUSED.into(), ..v1::Error::default() };
    End::Close(Close::LoginFailed, Some(Box::new(error)))
}

fn end_of(error: &LoginError) -> End {
    let close = match error.code() {
        "login-failed" => return login_failed(),
        "rate-limited" => Close::RateLimited,
        code if error.retryable() => {
            tracing::warn!("login answered with {code}");
            Close::Restarting
        }
        _ => Close::NotAllowed,
    };
    let body = v1::Error {
        code: error.code().to_owned(),
        message: error.to_string(),
        retryable: error.retryable(),
        after_ms: error.after_ms(),
        ..v1::Error::default()
    };
    End::Close(close, Some(Box::new(body)))
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<Metered<S>>,
    id: u64,
    body: Body,
) -> Result<(), End> {
    socket.send(text(id, body)).await.map_err(|_| End::Gone)
}
