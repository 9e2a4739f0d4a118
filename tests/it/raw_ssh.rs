//! The ssh door against a client that does what the stock one would not: SHA-1, and requests for all but sessions.

use std::sync::Arc;

use russh::client::{self, Config, Handle, Handler, Msg};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg};
use tokio::time::timeout;

use crate::support::HANG;
use crate::support::by_hand::{Key, reasons_since};
use crate::support::place::{Mode, Place};

/// These tests are about what the gateway refuses, not about who it is.
struct Anybody;

impl Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn connect(place: &Place) -> Handle<Anybody> {
    client::connect(Arc::new(Config::default()), &place.endpoints().ssh, Anybody).await.unwrap()
}

fn private(path: &str) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::read_openssh_file(std::path::Path::new(path)).unwrap())
}

/// Whether a login whose signature uses this hash succeeds.
async fn log_in(place: &Place, handle: &mut Handle<Anybody>, key: &Arc<PrivateKey>, hash: Option<HashAlg>) -> bool {
    let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
    let login = handle.authenticate_publickey(place.endpoints().account, key);
    timeout(HANG, login).await.expect("no answer to a login").unwrap().success()
}

#[tokio::test]
async fn a_signature_with_sha1_is_refused_and_the_same_key_with_sha2_is_not() {
    let place = Place::served(Mode::Root);
    let key = Key::new(&place, "rsa", &["rsa", "-b", "2048"]);
    key.list(&place, "");
    let private = private(key.path());
    for (hash, reasons) in [(Some(HashAlg::Sha256), &[][..]), (None, &["sha1"]), (Some(HashAlg::Sha512), &[])] {
        let before = place.audit().len();
        let mut handle = connect(&place).await;
        assert_eq!(log_in(&place, &mut handle, &private, hash).await, reasons.is_empty(), "{hash:?}");
        assert_eq!(reasons_since(&place, before), reasons, "{hash:?}");
        if !reasons.is_empty() {
            assert!(place.console().contains("SHA-1"), "the person at the server is told: {}", place.console());
            // The refusal ends nothing: the same connection may do better.
            assert!(log_in(&place, &mut handle, &private, Some(HashAlg::Sha256)).await);
        }
    }
}

/// The next answer to a channel request.
async fn granted(channel: &mut Channel<Msg>) -> bool {
    loop {
        match timeout(HANG, channel.wait()).await.expect("no answer to a request") {
            Some(ChannelMsg::Success) => return true,
            Some(ChannelMsg::Failure) => return false,
            Some(_) => {}
            None => panic!("the channel was closed"),
        }
    }
}

#[tokio::test]
async fn whatever_is_no_session_is_refused_on_a_connection_that_lives() {
    let place = Place::served(Mode::Root);
    let endpoints = place.endpoints();
    let mut handle = connect(&place).await;
    assert!(log_in(&place, &mut handle, &private(&endpoints.client_key), None).await);
    let mut session = handle.channel_open_session().await.unwrap();

    // Requests on a session's channel, each beside one that is granted.
    session.request_x11(true, false, "MIT-MAGIC-COOKIE-1", "00", 0).await.unwrap();
    assert!(!granted(&mut session).await, "X11");
    session.agent_forward(true).await.unwrap();
    assert!(!granted(&mut session).await, "the agent");
    session.request_subsystem(true, "sftp").await.unwrap();
    assert!(!granted(&mut session).await, "a subsystem");
    session.set_env(true, "LD_PRELOAD", "/tmp/x.so").await.unwrap();
    assert!(!granted(&mut session).await, "an environment of the client's");
    session.set_env(true, "LANG", "C.UTF-8").await.unwrap();
    assert!(granted(&mut session).await, "what every client sends");
    session.request_pty(true, "xterm-256color", 80, 24, 0, 0, &[]).await.unwrap();
    assert!(granted(&mut session).await, "a terminal");

    // Requests and channels of the connection.
    let (_, port) = endpoints.admin.rsplit_once(':').unwrap();
    let port: u32 = port.parse().unwrap();
    assert!(handle.tcpip_forward("127.0.0.1", 0).await.is_err(), "-R");
    assert!(handle.streamlocal_forward("/tmp/portcullis-forwarded").await.is_err(), "-R with a socket");
    assert!(handle.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1).await.is_err(), "-L");
    let socket = place.dir.join("run/admin.sock").display().to_string();
    assert!(handle.channel_open_direct_streamlocal(socket).await.is_err(), "-L with a socket");
    let mut other = handle.channel_open_session().await.expect("a second session's channel");

    other.exec(true, "ls").await.unwrap();
    assert!(granted(&mut other).await);
    let mut listed = Vec::new();
    while let Some(message) = timeout(HANG, other.wait()).await.expect("neither output nor its end") {
        match message {
            ChannelMsg::Data { data } => listed.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => assert_eq!(exit_status, 0),
            _ => {}
        }
    }
    assert!(String::from_utf8_lossy(&listed).starts_with("no sessions"), "{}", String::from_utf8_lossy(&listed));
}
