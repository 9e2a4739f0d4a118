//! A wss client with as little of its own as the ssh one. Does not know what runs at the other end.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use portcullis::authn::{Message as SignedText, PublicKey, SigningKey, verify_server_proof};
use portcullis::base::Offset;
use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use portcullis::wire::{BinaryFrame, decode_server, encode_client};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A logged-in connection.
pub(crate) struct Connection {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    next: u64,
    /// Terminal bytes that came while an answer was awaited.
    early: VecDeque<Bytes>,
}

/// One attachment; the connection is its own.
pub(crate) struct WssLine {
    connection: Connection,
    offset: u64,
}

/// The channel of every attachment here.
const CHANNEL: u32 = 1;

impl Connection {
    pub(crate) async fn login(address: &str, user: &str, key: &Path) -> Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = tokio_rustls::TlsConnector::from(Arc::new(careless()?)).connect(name, tcp).await?;
        let exporter = tls.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))?;
        let (socket, _) = tokio_tungstenite::client_async(format!("wss://{address}/v1/ws"), tls).await?;
        let mut this = Self { socket, next: 1, early: VecDeque::new() };
        let Say::Challenge(challenge) = this.said().await?.1 else { bail!("no challenge") };
        let signing = SigningKey::from_openssh(&std::fs::read_to_string(key)?, None)?;
        let server = PublicKey::parse(&challenge.server_key)?;
        let mut client_nonce = [0; 32];
        getrandom::fill(&mut client_nonce)?;
        let origin = format!("wss://{address}");
        let text = SignedText {
            origin: &origin,
            server: server.id(),
            server_nonce: challenge.nonce.as_ref().try_into()?,
            client_nonce: &client_nonce,
            user,
            key: signing.id(),
            exporter: Some(&exporter),
        };
        let signed = signing.sign_login(&text)?;
        let login = v1::Login {
            user: user.into(),
            origin: origin.clone(),
            public_key: signing.public().line(),
            client_nonce: client_nonce.to_vec().into(),
            binding: "exporter".into(),
            signature: signed.signature.clone(),
            client: "bench".into(),
        };
        match this.ask(Ask::Login(login)).await? {
            Say::Ready(ready) => verify_server_proof(&server, &signed.message, &ready.signature)?,
            other => bail!("login: {other:?}"),
        }
        Ok(this)
    }

    /// One question, one answer.
    pub(crate) async fn ask(&mut self, body: Ask) -> Result<Say> {
        let id = self.next;
        self.next += 1;
        let text = encode_client(&v1::ClientMessage { id, body: Some(body) })?;
        self.socket.send(Message::text(text)).await?;
        loop {
            match self.said().await? {
                (answered, say) if answered == id => return Ok(say),
                (_, say) => self.early.extend(shown(say)?),
            }
        }
    }

    pub(crate) async fn start(&mut self, agent: &str, name: &str, size: (u32, u32)) -> Result<v1::Session> {
        let size = Some(v1::Size { cols: size.0, rows: size.1 });
        let new = v1::NewSession { agent: agent.into(), name: name.into(), size, ..Default::default() };
        match self.ask(Ask::New(new)).await? {
            Say::Session(session) => Ok(session),
            other => bail!("new {agent}: {other:?}"),
        }
    }

    pub(crate) async fn attach(mut self, session: &str, mode: v1::ViewerMode) -> Result<WssLine> {
        let attach = v1::Attach { session: session.into(), channel: CHANNEL, mode: mode.into(), ..Default::default() };
        match self.ask(Ask::Attach(attach)).await? {
            Say::Attached(attached) => Ok(WssLine { connection: self, offset: attached.input_offset }),
            other => bail!("attach {session}: {other:?}"),
        }
    }

    /// The events of a structured session from now on.
    pub(crate) async fn watch(mut self, session: &str) -> Result<Events> {
        let mode = v1::ViewerMode::Events.into();
        let attach = v1::Attach { session: session.into(), channel: CHANNEL, mode, ..Default::default() };
        match self.ask(Ask::Attach(attach)).await? {
            Say::Attached(_) => Ok(Events(self)),
            other => bail!("attach {session}: {other:?}"),
        }
    }

    async fn said(&mut self) -> Result<(u64, Say)> {
        loop {
            match self.socket.next().await.context("closed")?? {
                Message::Text(text) => {
                    let message = decode_server(&text)?;
                    if let Some(body) = message.body {
                        return Ok((message.id, body));
                    }
                }
                Message::Binary(bytes) => self.early.push_back(BinaryFrame::decode(bytes)?.data),
                Message::Close(close) => bail!("closed: {close:?}"),
                _ => {}
            }
        }
    }
}

/// A viewer of events.
pub(crate) struct Events(Connection);

impl Events {
    pub(crate) async fn prompt(&mut self, session: &str, id: &str, text: &str) -> Result<()> {
        let prompt = v1::Prompt { id: id.into(), text: text.into() };
        let request = Some(v1::agent_request::Request::Prompt(prompt));
        let body = Some(Ask::Agent(v1::AgentRequest { session: session.into(), request }));
        self.0.next += 1;
        let text = encode_client(&v1::ClientMessage { id: self.0.next, body })?;
        Ok(self.0.socket.send(Message::text(text)).await?)
    }

    pub(crate) async fn next(&mut self) -> Result<(u64, v1::agent_event::Kind)> {
        loop {
            match self.0.said().await?.1 {
                Say::AgentEvent(event) => {
                    let kind = event.event.and_then(|event| event.kind).context("an event of a kind")?;
                    return Ok((event.number, kind));
                }
                Say::Error(error) => bail!("error: {error:?}"),
                Say::Detached(detached) => bail!("detached: {detached:?}"),
                _ => {}
            }
        }
    }
}

impl WssLine {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let frame = BinaryFrame::encode(CHANNEL, Offset(self.offset), bytes);
        self.offset += bytes.len() as u64;
        Ok(self.connection.socket.send(Message::binary(frame)).await?)
    }

    pub(crate) async fn receive(&mut self) -> Result<Bytes> {
        if let Some(early) = self.connection.early.pop_front() {
            return Ok(early);
        }
        loop {
            match self.connection.socket.next().await.context("closed")?? {
                Message::Binary(bytes) => return Ok(BinaryFrame::decode(bytes)?.data),
                Message::Text(text) => {
                    if let Some(bytes) = decode_server(&text)?.body.map(shown).transpose()?.flatten() {
                        return Ok(bytes);
                    }
                }
                Message::Close(close) => bail!("closed: {close:?}"),
                _ => {}
            }
        }
    }

    /// Lines of history, all of them received.
    pub(crate) async fn history(&mut self, lines: u32) -> Result<usize> {
        let id = self.connection.next;
        self.connection.next += 1;
        let body = Some(Ask::History(v1::History { channel: CHANNEL, lines }));
        self.connection.socket.send(Message::text(encode_client(&v1::ClientMessage { id, body })?)).await?;
        let mut length = 0;
        loop {
            match self.connection.said().await? {
                (_, Say::Snapshot(snapshot)) => {
                    length += snapshot.data.len();
                    if !snapshot.more {
                        return Ok(length);
                    }
                }
                (_, Say::Error(error)) => bail!("history: {error:?}"),
                _ => {}
            }
        }
    }
}

/// What goes to the terminal, of a message that carries such.
fn shown(say: Say) -> Result<Option<Bytes>> {
    Ok(match say {
        Say::Snapshot(snapshot) => Some(snapshot.data),
        Say::Frame(frame) => Some(frame.data),
        Say::Lost(lost) => bail!("lost: {lost:?}"),
        Say::Error(error) => bail!("error: {error:?}"),
        Say::Ended(ended) => bail!("ended: {ended:?}"),
        Say::Detached(detached) => bail!("detached: {detached:?}"),
        _ => None,
    })
}

/// Any certificate, and no resumption: each login is a whole one. The identity is proven over this connection anyway.
fn careless() -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
