//! A login made piece by piece, so that a test can change one of them; and keys with options for it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use futures_util::SinkExt;
use portcullis::authn::{Message as SignedText, PublicKey, SigningKey};
use portcullis::wire::encode_client;
use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Heard, Tls, hear, open_on};
use super::place::{Place, run};

/// A key pair of this place's tests.
pub struct Key {
    pub path: PathBuf,
    /// Type and base64.
    pub public: String,
}

impl Key {
    /// Made by the real ssh-keygen; nothing lists it yet.
    pub fn new(place: &Place, name: &str, kind: &[&str]) -> Self {
        let path = place.root.join(name);
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", name, "-t"]).args(kind).arg("-f").arg(&path));
        let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let public = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Self { path, public }
    }

    /// A new ed25519 key that the account lists with these options, by `portcullis keys add`.
    pub fn listed(place: &Place, name: &str, options: &str) -> Self {
        let key = Self::new(place, name, &["ed25519"]);
        key.list(place, options);
        key
    }

    /// Lists it.
    pub fn list(&self, place: &Place, options: &str) {
        let line = format!("{options} {} {}", self.public, self.name());
        let mut command = place.command();
        command.args(["keys", "add", "--dir"]).arg(&place.dir).args(["--account", &place.endpoints().account]);
        run(command.arg(line.trim()));
    }

    /// Takes it off the list.
    pub fn unlist(&self, place: &Place) {
        let mut command = place.command();
        command.args(["keys", "rm", "--dir"]).arg(&place.dir).args(["--account", &place.endpoints().account]);
        run(command.arg(self.name()));
    }

    pub fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub fn signing(&self) -> SigningKey {
        SigningKey::from_openssh(&std::fs::read_to_string(&self.path).unwrap(), None).unwrap()
    }
}

/// What a client says about itself; a test changes one thing.
#[derive(Clone)]
pub struct Claim {
    pub user: String,
    /// In the message.
    pub origin: String,
    /// Under the signature.
    pub signed_origin: String,
    pub binding: &'static str,
    /// Under the signature.
    pub signed_binding: &'static str,
    pub public: String,
}

/// A connection that has its challenge.
pub struct ByHand {
    pub socket: WebSocketStream<Tls>,
    pub exporter: [u8; 32],
    pub challenge: v1::Challenge,
}

impl ByHand {
    pub async fn open(address: &str) -> Self {
        Self::open_from(address, [127, 0, 0, 1].into()).await
    }

    /// From another loopback address.
    pub async fn open_from(address: &str, source: IpAddr) -> Self {
        Self::open_on(connect_from(address, source).await, address).await
    }

    pub async fn open_on(tcp: TcpStream, address: &str) -> Self {
        let (mut socket, exporter) = open_on(tcp, address).await;
        match hear(&mut socket).await {
            Heard::Said(0, Say::Challenge(challenge)) => Self { socket, exporter, challenge },
            other => panic!("no challenge: {other:?}"),
        }
    }

    /// An honest login.
    pub fn claim(place: &Place, key: &Key) -> Claim {
        let endpoints = place.endpoints();
        let origin = format!("wss://{}", endpoints.https);
        let (user, public) = (endpoints.account, key.public.clone());
        Claim {
            user,
            origin: origin.clone(),
            signed_origin: origin,
            binding: "exporter",
            signed_binding: "exporter",
            public,
        }
    }

    /// Signs a claim for this connection.
    pub fn login(&self, claim: &Claim, key: &SigningKey) -> v1::Login {
        let client_nonce = [42; 32];
        let (mut login, text) = self.unsigned(claim, &client_nonce);
        login.signature = key.sign(portcullis::authn::NAMESPACE, text.as_bytes()).unwrap();
        login
    }

    /// Without a signature, and what has to be signed.
    pub fn unsigned(&self, claim: &Claim, client_nonce: &[u8; 32]) -> (v1::Login, String) {
        let server = PublicKey::parse(&self.challenge.server_key).unwrap();
        let public = PublicKey::parse(&claim.public).unwrap();
        let text = SignedText {
            origin: &claim.signed_origin,
            server: server.id(),
            server_nonce: self.challenge.nonce.as_ref().try_into().unwrap(),
            client_nonce,
            user: &claim.user,
            key: public.id(),
            exporter: (claim.signed_binding == "exporter").then_some(&self.exporter),
        };
        let login = v1::Login {
            user: claim.user.clone(),
            origin: claim.origin.clone(),
            public_key: claim.public.clone(),
            client_nonce: client_nonce.to_vec().into(),
            binding: claim.binding.into(),
            signature: String::new(),
            client: "tests".into(),
        };
        (login, text.text().unwrap())
    }

    /// Sends a login without waiting.
    pub async fn send(&mut self, login: v1::Login) {
        let text = encode_client(&v1::ClientMessage { id: 1, body: Some(Ask::Login(login)) }).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends it and waits for the answer.
    pub async fn answer(&mut self, login: v1::Login) -> Heard {
        self.send(login).await;
        hear(&mut self.socket).await
    }

    /// The answer to an honest login by this key.
    pub async fn log_in(place: &Place, key: &Key) -> Heard {
        let mut hand = Self::open(&place.endpoints().https).await;
        let login = hand.login(&Self::claim(place, key), &key.signing());
        hand.answer(login).await
    }
}

pub async fn connect_from(address: &str, source: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let stream = socket.connect(address.parse().unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn is_ready(heard: &Heard) -> bool {
    matches!(heard, Heard::Said(1, Say::Ready(_)))
}

/// Reasons of the refusals since so many entries of the audit log.
pub fn reasons_since(place: &Place, entries: usize) -> Vec<String> {
    let audit = place.audit();
    let refused = audit.iter().skip(entries).filter(|entry| entry["event"] == "refused");
    refused.filter_map(|entry| Some(entry["reason"].as_str()?.to_owned())).collect()
}
