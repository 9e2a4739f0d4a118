//! The ssh door: publickey login, channels, verbs, picker. The only room that knows russh; does not know what a session
//! is made of.

mod acp;
mod agent;
mod detach;
mod door;
mod join;
mod lexer;
mod line;
mod login;
mod meter;
mod out;
mod picker;
mod picking;
mod run;
mod server;
mod talk;
mod terminal;
mod valve;
mod viewer;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use russh::Disconnect;
use russh::server::{Handle, run_stream};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Gateway;
use super::authority::Door as DoorName;
use super::listen::{OverBudget, Permit};
pub(crate) use detach::{DetachKeys, Prefix, Scan};
use door::Door;
pub(crate) use lexer::{Lexer, Unit};
use line::Line;
use login::Login;
use valve::Valve;

/// The library reads a packet's length by itself, then the rest: from this buffer, with one system call for both (hop.md,
/// echo). A keystroke is 36 bytes; what is pasted is read past the buffer.
const READ_BUFFER: usize = 4 * 1024;
/// Time for channels to say why they end, and then for the client to take the disconnect message.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves one connection to its end. `permit` is the place among those not logged in; until it is given back, at login,
/// whoever accepted the connection ends it at the deadline by its socket.
pub(crate) async fn serve_connection<S>(gateway: Gateway, stream: S, peer: SocketAddr, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = Arc::new(server::config(gateway.authority().identity().signing().private().clone()));
    let valve = Valve::default();
    let (line, cut, client) = Line::new(BufReader::with_capacity(READ_BUFFER, stream), valve.clone());
    let (stop, stopped) = watch::channel(None);
    let (logged_in, mut grant) = oneshot::channel();
    let login = Login::new(gateway.clone(), peer, client, permit);
    let door = Door::new(gateway.clone(), login, logged_in, stopped, valve);
    let running = match run_stream(config, line, door).await {
        Ok(running) => running,
        Err(error) => return ended(&gateway, peer, &error),
    };
    let handle = running.handle();
    let mut running = pin!(running);
    let grant = tokio::select! {
        end = &mut running => return end.unwrap_or_else(|error| ended(&gateway, peer, &error)),
        grant = &mut grant => grant,
    };
    let Ok(grant) = grant else {
        // The door ended with its connection, which says in a moment why.
        return running.await.unwrap_or_else(|error| ended(&gateway, peer, &error));
    };
    let reason = tokio::select! {
        end = &mut running => return end.unwrap_or_else(|error| ended(&gateway, peer, &error)),
        reason = grant.revoked() => reason,
    };
    // Each channel says why it ends; then the connection does; then, for a client that takes nothing, the stream is cut.
    stop.send_replace(Some(reason.clone()));
    let channels_closed = timeout(GOODBYE / 2, &mut running).await.is_ok();
    if !channels_closed && timeout(GOODBYE, disconnect(&handle, reason)).await.is_ok() {
        let _ = timeout(GOODBYE, &mut running).await;
    }
    drop(cut);
}

async fn disconnect(handle: &Handle, reason: String) {
    // An error means that the connection is over.
    let _ = handle.disconnect(Disconnect::ByApplication, reason, "en".to_owned()).await;
}

/// A connection that ended by an error: most are networks, one is a stranger's doing.
fn ended(gateway: &Gateway, peer: SocketAddr, error: &russh::Error) {
    if let russh::Error::IO(io) = error
        && let Some(over) = io.get_ref().and_then(|inner| inner.downcast_ref::<OverBudget>())
    {
        let cure = "a login needs a few kilobytes; this is no ssh client";
        gateway.authority().refuse(DoorName::Ssh, peer, "", None, "over-budget", &over.to_string(), cure);
        return;
    }
    tracing::debug!(%peer, %error, "an ssh connection ended");
}
