//! A small wss client of the tests' own, on the library's message types but not on the program's client.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use portcullis::authn::{Message as SignedText, SigningKey};
use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use portcullis::wire::{BinaryFrame, decode_server, encode_client};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::HANG;
use super::place::Place;

pub type Tls = tokio_rustls::client::TlsStream<TcpStream>;

/// A logged-in connection.
pub struct Wss {
    pub socket: WebSocketStream<Tls>,
    pub ready: v1::Ready,
    next_id: u64,
    waiting: VecDeque<Heard>,
}

/// What came.
#[derive(Debug, Clone)]
pub enum Heard {
    Said(u64, Say),
    Bytes(BinaryFrame),
    Closed(Option<(u16, String)>),
}

impl Wss {
    /// Logs in with the place's own key.
    pub async fn login(place: &Place) -> Self {
        let endpoints = place.endpoints();
        Self::login_to(&endpoints.https, &endpoints.https, &endpoints.client_key, &endpoints.account).await
    }

    /// Logs in at `address` as if `dialled` had been dialled (they differ behind a proxy).
    pub async fn login_to(address: &str, dialled: &str, key: &str, user: &str) -> Self {
        Self::try_login(address, dialled, key, user).await.unwrap_or_else(|heard| panic!("login: {heard:?}"))
    }

    /// The same; what the gateway said instead of `ready`.
    pub async fn try_login(address: &str, dialled: &str, key: &str, user: &str) -> Result<Self, Heard> {
        let tcp = TcpStream::connect(address).await.map_err(|_| Heard::Closed(None))?;
        Self::try_login_on(tcp, dialled, key, user).await
    }

    /// The same on a TCP connection that is there; one that breaks is `Closed`.
    pub async fn try_login_on(tcp: TcpStream, dialled: &str, key: &str, user: &str) -> Result<Self, Heard> {
        let gone = |_| Heard::Closed(None);
        let (mut socket, exporter) = try_open_on(tcp, dialled).await.map_err(gone)?;
        let challenge = match hear(&mut socket).await {
            Heard::Said(_, Say::Challenge(challenge)) => challenge,
            other => return Err(other),
        };
        let signing = SigningKey::from_openssh(&std::fs::read_to_string(key).unwrap(), None).unwrap();
        let server = portcullis::authn::PublicKey::parse(&challenge.server_key).unwrap();
        let mut client_nonce = [0; 32];
        getrandom::fill(&mut client_nonce).unwrap();
        let origin = format!("wss://{dialled}");
        let text = SignedText {
            origin: &origin,
            server: server.id(),
            server_nonce: challenge.nonce.as_ref().try_into().unwrap(),
            client_nonce: &client_nonce,
            user,
            key: signing.id(),
            exporter: Some(&exporter),
        };
        let signed = signing.sign_login(&text).unwrap();
        let login = v1::Login {
            user: user.into(),
            origin: origin.clone(),
            public_key: signing.public().line(),
            client_nonce: client_nonce.to_vec().into(),
            binding: "exporter".into(),
            signature: signed.signature,
            client: "tests".into(),
        };
        let mut this = Self { socket, ready: v1::Ready::default(), next_id: 1, waiting: VecDeque::new() };
        this.try_say(1, Ask::Login(login)).await.map_err(gone)?;
        match hear(&mut this.socket).await {
            Heard::Said(_, Say::Ready(ready)) => {
                portcullis::authn::verify_server_proof(&server, &signed.message, &ready.signature).unwrap();
                this.ready = ready;
                Ok(this)
            }
            other => Err(other),
        }
    }

    /// Sends a request without waiting.
    pub async fn say(&mut self, id: u64, body: Ask) {
        self.try_say(id, body).await.unwrap();
    }

    /// The same on a connection that may break.
    pub async fn try_say(&mut self, id: u64, body: Ask) -> Result<(), Error> {
        let text = encode_client(&v1::ClientMessage { id, body: Some(body) }).unwrap();
        self.socket.send(Message::text(text)).await
    }

    /// Sends a request and waits for its answer; everything else is kept for `next`.
    pub async fn ask(&mut self, body: Ask) -> Say {
        self.next_id += 1;
        let id = self.next_id;
        self.say(id, body).await;
        loop {
            match hear(&mut self.socket).await {
                Heard::Said(answered, body) if answered == id => return body,
                Heard::Closed(why) => panic!("closed: {why:?}"),
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Attaches; panics with the refusal.
    pub async fn attach(&mut self, attach: v1::Attach) -> v1::Attached {
        match self.ask(Ask::Attach(attach)).await {
            Say::Attached(attached) => attached,
            other => panic!("attach: {other:?}"),
        }
    }

    /// Starts a session; returns it.
    pub async fn start(&mut self, agent: &str, name: &str) -> v1::Session {
        let new = v1::NewSession { agent: agent.into(), name: name.into(), ..Default::default() };
        match self.ask(Ask::New(new)).await {
            Say::Session(session) => session,
            other => panic!("new: {other:?}"),
        }
    }

    /// Types bytes at an input offset.
    pub async fn input(&mut self, channel: u32, offset: u64, bytes: &[u8]) {
        self.try_input(channel, offset, bytes).await.unwrap();
    }

    /// The same on a connection that may break.
    pub async fn try_input(&mut self, channel: u32, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let frame = BinaryFrame::encode(channel, portcullis::base::Offset(offset), bytes);
        self.socket.send(Message::binary(frame)).await
    }

    /// The next thing heard.
    pub async fn next(&mut self) -> Heard {
        match self.waiting.pop_front() {
            Some(heard) => heard,
            None => hear(&mut self.socket).await,
        }
    }

    /// Collects what goes to the terminal of a channel until it contains `wanted`.
    pub async fn until(&mut self, channel: u32, wanted: &str) -> Vec<u8> {
        let mut seen = Vec::new();
        loop {
            match self.next().await {
                Heard::Bytes(frame) if frame.channel == channel => seen.extend_from_slice(&frame.data),
                Heard::Said(_, Say::Snapshot(snapshot)) if snapshot.channel == channel => {
                    seen.extend_from_slice(&snapshot.data);
                }
                Heard::Said(_, Say::Frame(frame)) if frame.channel == channel => seen.extend_from_slice(&frame.data),
                Heard::Closed(why) => panic!("closed {why:?} before {wanted:?}: {}", String::from_utf8_lossy(&seen)),
                _ => {}
            }
            if seen.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
                return seen;
            }
        }
    }
}

/// TLS without asking who is there, and the WebSocket; the exporter of that TLS connection.
pub async fn open(address: &str) -> (WebSocketStream<Tls>, [u8; 32]) {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    open_on(tcp, address).await
}

/// The same on a TCP connection that is there.
pub async fn open_on(tcp: TcpStream, address: &str) -> (WebSocketStream<Tls>, [u8; 32]) {
    try_open_on(tcp, address).await.unwrap()
}

/// The same where the connection may break.
pub async fn try_open_on(tcp: TcpStream, address: &str) -> Result<(WebSocketStream<Tls>, [u8; 32]), Error> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tcp.set_nodelay(true)?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(careless())).connect(name, tcp).await?;
    let exporter = tls.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap();
    let (socket, _) = tokio_tungstenite::client_async(format!("wss://{address}/v1/ws"), tls).await?;
    Ok((socket, exporter))
}

/// The next message of a socket.
pub async fn hear(socket: &mut WebSocketStream<Tls>) -> Heard {
    // Pings are no news, so the deadline stands across them.
    let deadline = tokio::time::Instant::now() + HANG;
    loop {
        let frame = tokio::time::timeout_at(deadline, socket.next()).await.expect("nothing came");
        match frame {
            Some(Ok(Message::Text(text))) => {
                let message = decode_server(&text).unwrap();
                if let Some(body) = message.body {
                    return Heard::Said(message.id, body);
                }
            }
            Some(Ok(Message::Binary(bytes))) => return Heard::Bytes(BinaryFrame::decode(bytes).unwrap()),
            Some(Ok(Message::Close(close))) => {
                return Heard::Closed(close.map(|close| (close.code.into(), close.reason.to_string())));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Heard::Closed(None),
        }
    }
}

/// Accepts any certificate: these tests prove the gateway's identity by its signature over this very connection.
pub fn careless() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
