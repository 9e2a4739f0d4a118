//! A logged-in connection to a gateway: TCP, TLS, WebSocket, proof both ways. Does not know what is asked over it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as Frame};

use super::keys::Signer;
use super::known::{Known, KnownGateways, PinError};
use super::target::Target;
use super::tls::Trust;
use crate::authn::{Message, PublicKey, verify_server_proof};
use crate::base::{KeyId, printable};
use crate::gateway::wss::{Close, Then};
use crate::wire::v1::{self, ClientMessage, ServerMessage, client_message::Body as Ask, server_message::Body};
use crate::wire::{decode_server, encode_client};

/// TCP, TLS and HTTP; the login has the gateway's own 10 s beside it.
const CONNECT: Duration = Duration::from_secs(10);
/// From challenge to ready: an agent may ask its user.
const LOGIN: Duration = Duration::from_secs(15);
/// The gateway's longest request takes 30 s.
const REPLY: Duration = Duration::from_secs(40);

/// The socket.
pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// See the module.
pub(crate) struct Connection {
    /// Raw frames, for an attachment's loop.
    pub(crate) socket: Socket,
    /// What the gateway said of this key.
    pub(crate) ready: v1::Ready,
    next_id: u64,
}

/// Why there is no connection, or an answer was none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Not there, or gone; may come back.
    #[error("{origin}: {why}")]
    Unreachable { origin: String, why: String },
    /// The key in front is not the one that is known.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Another key than the endpoints file says.
    #[error("{origin} answers with the key {found}, but its endpoints file says {wanted}: somebody may be in between")]
    Identity { origin: String, found: KeyId, wanted: KeyId },
    /// Neither bound nor certified.
    #[error(
        "{0} cannot be bound to its TLS connection, and its certificate is valid under no CA of this system: no login \
         there. Dial the gateway directly with TLS 1.3, or give it a certificate of a CA"
    )]
    Unproven(String),
    /// The gateway demands a bound login.
    #[error("{0} takes only logins bound to its TLS connection: leave out --no-binding and dial it directly")]
    MustBind(String),
    /// The gateway's proof.
    #[error("{0}")]
    Proof(#[from] crate::authn::SignError),
    /// This key is not accepted; another may be. The gateway's words say that it is a login that was refused.
    #[error("{0}")]
    LoginRefused(String),
    /// Refused for good.
    #[error("{0}")]
    Refused(String),
    /// Not the protocol that we speak.
    #[error("{origin} does not speak this protocol: {why}")]
    Protocol { origin: String, why: String },
    /// An error of a session or verb.
    #[error("{}", .0.message)]
    Answer(Box<v1::Error>),
}

impl ConnectError {
    /// Whether the same may work in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Answer(error) => error.retryable,
            _ => false,
        }
    }
}

/// Everything that a connection needs besides the network; kept for reconnects.
pub(crate) struct Dialler {
    /// Where.
    pub(crate) target: Target,
    /// Keys to try; after the first success only the one that worked.
    pub(crate) signers: Vec<Signer>,
    /// Certificates.
    pub(crate) trust: Arc<Trust>,
    /// Pins.
    pub(crate) known: KnownGateways,
}

impl Dialler {
    /// Connects and logs in, with each key in turn.
    pub(crate) async fn connect(&mut self) -> Result<Connection, ConnectError> {
        let mut refused = None;
        for at in 0..self.signers.len() {
            let Some(signer) = self.signers.get(at).cloned() else { break };
            match self.connect_with(&signer).await {
                Err(error @ ConnectError::LoginRefused(_)) => refused = Some(error),
                Ok(connection) => {
                    self.signers = vec![signer];
                    return Ok(connection);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| ConnectError::LoginRefused("login refused: no key to try".into())))
    }

    async fn connect_with(&self, signer: &Signer) -> Result<Connection, ConnectError> {
        let dialled = timeout(CONNECT, self.dial()).await;
        let (mut socket, exporter) = dialled.unwrap_or_else(|_| Err(self.unreachable("no answer within 10 s")))?;
        let logged_in = timeout(LOGIN, self.log_in(&mut socket, signer, exporter)).await;
        let ready = logged_in.unwrap_or_else(|_| Err(self.unreachable("no login within 15 s")))?;
        Ok(Connection { socket, ready, next_id: 2 })
    }

    async fn dial(&self) -> Result<(Socket, Option<[u8; 32]>), ConnectError> {
        let target = &self.target;
        let unreachable = |error: std::io::Error| self.unreachable(&error.to_string());
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let secured = self.trust.secure(stream, &target.host).await.map_err(unreachable)?;
        let exporter = secured.exporter.filter(|_| target.bind);
        if exporter.is_none() && !secured.certified {
            return Err(ConnectError::Unproven(target.origin.clone()));
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(64 * 1024)
            .write_buffer_size(0)
            // An attach tells of every open request, whole.
            .max_message_size(Some(64 << 20))
            .max_frame_size(Some(64 << 20));
        let url = format!("{}/v1/ws", target.origin);
        match tokio_tungstenite::client_async_with_config(url, secured.stream, Some(config)).await {
            Ok((socket, _)) => Ok((socket, exporter)),
            Err(WsError::Http(response)) => {
                let words = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
                let why = format!("{} {}", response.status(), printable(words.trim(), 200));
                Err(ConnectError::Protocol { origin: target.origin.clone(), why })
            }
            Err(error) => Err(self.unreachable(&error.to_string())),
        }
    }

    async fn log_in(
        &self,
        socket: &mut Socket,
        signer: &Signer,
        exporter: Option<[u8; 32]>,
    ) -> Result<v1::Ready, ConnectError> {
        let origin = &self.target.origin;
        let protocol = |why: &str| ConnectError::Protocol { origin: origin.clone(), why: why.to_owned() };
        let Body::Challenge(challenge) = self.next_body(socket).await? else { return Err(protocol("no challenge")) };
        if challenge.version != 1 {
            return Err(protocol(&format!("it wants version {}; this client speaks 1", challenge.version)));
        }
        if challenge.require_channel_binding && exporter.is_none() {
            return Err(ConnectError::MustBind(origin.clone()));
        }
        let server = PublicKey::parse(&challenge.server_key).map_err(|_| protocol("its identity key is unusable"))?;
        let known = self.pinned(server.id())?;
        let server_nonce: [u8; 32] = challenge.nonce[..].try_into().map_err(|_| protocol("a nonce of another size"))?;
        let client_nonce: [u8; 32] = crate::gateway::random();
        let (signer, user, dialled) = (signer.clone(), self.target.user.clone(), origin.clone());
        let server_id = server.id().clone();
        let public_key = signer.public().line();
        // An agent may ask its user: not on the thread that watches the terminal.
        let signed = tokio::task::spawn_blocking(move || {
            signer.sign(&Message {
                origin: &dialled,
                server: &server_id,
                server_nonce: &server_nonce,
                client_nonce: &client_nonce,
                user: &user,
                key: signer.public().id(),
                exporter: exporter.as_ref(),
            })
        });
        let signed = signed.await.map_err(|_| protocol("signing was broken off"))??;
        let login = v1::Login {
            user: self.target.user.clone(),
            origin: origin.clone(),
            public_key,
            client_nonce: Bytes::copy_from_slice(&client_nonce),
            binding: if exporter.is_some() { "exporter" } else { "none" }.to_owned(),
            signature: signed.signature,
            client: crate::gateway::SOFTWARE.to_owned(),
        };
        send(socket, 1, Ask::Login(login)).await.map_err(|why| self.unreachable(&why))?;
        let ready = match self.next_body(socket).await? {
            Body::Ready(ready) => ready,
            Body::Error(error) if error.code == "login-failed" => {
                return Err(ConnectError::LoginRefused(printable(&error.message, 300)));
            }
            Body::Error(error) if error.retryable => return Err(self.unreachable(&error.message)),
            Body::Error(error) => return Err(ConnectError::Refused(printable(&error.message, 300))),
            _ => return Err(protocol("another answer to the login")),
        };
        verify_server_proof(&server, &signed.message, &ready.signature)?;
        if known == Known::New {
            self.known.add(origin, server.id())?;
            eprintln!("portcullis: {origin} is new; its identity {} is kept in known_gateways", server.id());
        }
        Ok(ready)
    }

    fn pinned(&self, found: &KeyId) -> Result<Known, ConnectError> {
        match &self.target.identity {
            Some(wanted) if wanted == found => Ok(Known::Same),
            Some(wanted) => Err(ConnectError::Identity {
                origin: self.target.origin.clone(),
                found: found.clone(),
                wanted: wanted.clone(),
            }),
            None => Ok(self.known.check(&self.target.origin, found)?),
        }
    }

    async fn next_body(&self, socket: &mut Socket) -> Result<Body, ConnectError> {
        loop {
            let message = next(socket).await.map_err(|gone| self.gone(&gone))?;
            if let Incoming::Message(message) = message
                && let Some(body) = message.body
            {
                return Ok(body);
            }
        }
    }

    /// What an ended connection means.
    pub(crate) fn gone(&self, gone: &Gone) -> ConnectError {
        match gone.then {
            Then::ComeBack => self.unreachable(&gone.why),
            Then::LogIn => ConnectError::LoginRefused(gone.why.clone()),
            Then::StayAway => ConnectError::Refused(gone.why.clone()),
        }
    }

    fn unreachable(&self, why: &str) -> ConnectError {
        ConnectError::Unreachable { origin: self.target.origin.clone(), why: printable(why, 300) }
    }
}

impl Connection {
    /// Asks and waits for the answer to that question.
    pub(crate) async fn ask(&mut self, dialler: &Dialler, ask: Ask) -> Result<Body, ConnectError> {
        let id = self.take_id();
        let answer = async {
            send(&mut self.socket, id, ask).await.map_err(|why| dialler.unreachable(&why))?;
            loop {
                let incoming = next(&mut self.socket).await.map_err(|gone| dialler.gone(&gone))?;
                if let Incoming::Message(ServerMessage { id: of, body: Some(body) }) = incoming
                    && of == id
                {
                    return match body {
                        Body::Error(error) => Err(ConnectError::Answer(Box::new(error))),
                        body => Ok(body),
                    };
                }
            }
        };
        timeout(REPLY, answer).await.unwrap_or_else(|_| Err(dialler.unreachable("no answer within 40 s")))
    }

    /// A fresh message id.
    pub(crate) fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A text frame.
    Message(ServerMessage),
    /// A binary frame.
    Bytes(crate::wire::BinaryFrame),
    /// Only a sign of life.
    Alive,
}

/// A connection that ended.
#[derive(Debug)]
pub(crate) struct Gone {
    /// What to do.
    pub(crate) then: Then,
    /// The reason, printable.
    pub(crate) why: String,
}

/// The next frame.
pub(crate) async fn next(socket: &mut Socket) -> Result<Incoming, Gone> {
    let broken = |why: String| Gone { then: Then::ComeBack, why };
    match socket.next().await {
        None => Err(broken("the connection was closed".into())),
        Some(Err(error)) => Err(broken(break_text(&error))),
        Some(Ok(Frame::Text(text))) => {
            decode_server(&text).map(Incoming::Message).map_err(|error| broken(error.to_string()))
        }
        Some(Ok(Frame::Binary(bytes))) => {
            crate::wire::BinaryFrame::decode(bytes).map(Incoming::Bytes).map_err(|error| broken(error.to_string()))
        }
        Some(Ok(Frame::Close(frame))) => Err(match frame {
            Some(frame) => Gone { then: Close::then(frame.code.into()), why: printable(&frame.reason, 200) },
            None => broken("the connection was closed".into()),
        }),
        Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => Ok(Incoming::Alive),
    }
}

// What a person is told of a connection that broke; the library's words for a missing TLS farewell are about its own API.
fn break_text(error: &WsError) -> String {
    use std::io::ErrorKind as K;
    match error {
        WsError::Io(error) if matches!(error.kind(), K::UnexpectedEof | K::ConnectionReset | K::BrokenPipe) => {
            "the connection broke".to_owned()
        }
        other => other.to_string(),
    }
}

/// Sends one message.
pub(crate) async fn send(socket: &mut Socket, id: u64, ask: Ask) -> Result<(), String> {
    let text = encode_client(&ClientMessage { id, body: Some(ask) }).map_err(|error| error.to_string())?;
    socket.send(Frame::text(text)).await.map_err(|error| break_text(&error))
}
