//! The gateway's end of one host's Unix socket: connects, says hello, then moves frames until it ends. Does not know what frames mean.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::unix::AsyncFd;

use super::outgoing::Outgoing;
use super::state::State;
use super::{Session, Shared};
use crate::base::{LINK_FRAME, SessionId};
use crate::gateway::journal::Journal;
use crate::gateway::readiness;
use crate::sys::stream::{Stream, StreamRead, connect_at};
use crate::wire::v1::to_gateway::Body;
use crate::wire::{Frame, LINK_HEADER, LINK_VERSION, LinkDecoder, LinkError, decode_to_gateway, v1};

/// A host that does not say hello in this time is not adopted.
const HELLO: Duration = Duration::from_secs(5);
/// One read: a whole frame, so that bulk moves in large pieces.
const READ: usize = LINK_FRAME + LINK_HEADER;

/// Why a host could not be linked, or how a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    /// The host closed it: it was forgotten, died, or a newer gateway came.
    #[error("the host closed the link")]
    Closed,
    /// The host speaks something else.
    #[error("the host does not speak link v1: {0}")]
    Protocol(#[from] LinkError),
    /// The host's hello makes no sense.
    #[error("the host's hello is not usable: {0}")]
    Hello(String),
    /// No hello in time.
    #[error("the host said no hello within 5 s")]
    Late,
    /// The operating system.
    #[error("the host's socket: {0}")]
    Os(#[from] io::Error),
}

/// A linked session and the future that moves its frames; the link lives as long as that future is polled.
pub(crate) struct Linked {
    pub(crate) session: Session,
    reader: Reader,
}

/// Connects to the host's socket below the hosts directory and exchanges hellos.
pub(crate) async fn connect(hosts: BorrowedFd<'_>, id: SessionId, journal: Journal) -> Result<Linked, LinkEnd> {
    let socket = connect_at(hosts, &format!("{id}.sock"))?;
    let outgoing = Outgoing::new(socket.try_clone()?.into());
    let hello = v1::LinkHello {
        version_min: LINK_VERSION,
        version_max: LINK_VERSION,
        software: crate::gateway::SOFTWARE.into(),
    };
    // An empty socket buffer takes a hello at once.
    let _ = outgoing.send(&v1::ToHost { body: Some(v1::to_host::Body::Hello(hello)) });
    let mut reader = Reader::new(socket.into())?;
    let hello = tokio::time::timeout(HELLO, reader.hello()).await.map_err(|_| LinkEnd::Late)??;
    let summary = hello.session.ok_or_else(|| LinkEnd::Hello("it names no session".into()))?;
    if summary.session_id != id.to_string() {
        return Err(LinkEnd::Hello("it names another session".into()));
    }
    let log_id = summary.log_id.parse().map_err(|_| LinkEnd::Hello("its log id is not one".into()))?;
    let state = Mutex::new(State::new(summary, log_id, hello.ring_capacity));
    let shared = Shared { id, state, outgoing, journal, forgotten: AtomicBool::new(false) };
    Ok(Linked { session: Session(Arc::new(shared)), reader })
}

impl Linked {
    /// Moves frames until the link ends; then every viewer hears of it.
    pub(crate) async fn run(mut self) -> LinkEnd {
        let session = self.session.clone();
        let end = tokio::select! {
            end = self.reader.run(&session) => end,
            drained = session.0.outgoing.drain() => drained.err().map_or(LinkEnd::Closed, LinkEnd::Os),
        };
        session.lock().lose_link();
        end
    }
}

struct Reader {
    socket: AsyncFd<Stream>,
    decoder: LinkDecoder,
    frames: Vec<Frame>,
}

impl Reader {
    fn new(socket: Stream) -> io::Result<Self> {
        let socket = readiness::readable(socket)?;
        Ok(Self { socket, decoder: LinkDecoder::default(), frames: Vec::new() })
    }

    async fn hello(&mut self) -> Result<v1::HostHello, LinkEnd> {
        loop {
            self.read().await?;
            let mut frames = std::mem::take(&mut self.frames).into_iter();
            for frame in frames.by_ref() {
                if let Frame::Control(payload) = frame
                    && let Some(Body::Hello(hello)) = decode_to_gateway(payload)?.body
                {
                    self.frames = frames.collect();
                    return Ok(hello);
                }
            }
        }
    }

    async fn run(&mut self, session: &Session) -> LinkEnd {
        loop {
            if let Err(error) = session.take_frames(&mut self.frames) {
                return error.into();
            }
            if let Err(end) = self.read().await {
                return end;
            }
        }
    }

    /// One read of the socket, decoded into `frames`.
    async fn read(&mut self) -> Result<(), LinkEnd> {
        loop {
            let mut ready = self.socket.readable().await?;
            let read = SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(READ, 0);
                let read = ready.get_inner().read(scratch)?;
                if let StreamRead::Bytes(length) = read {
                    fill(&mut self.decoder, scratch.get(..length).unwrap_or_default());
                }
                Ok::<_, io::Error>(read)
            });
            match read? {
                StreamRead::Closed => return Err(LinkEnd::Closed),
                StreamRead::Empty => ready.clear_ready(),
                StreamRead::Bytes(length) => {
                    // Less than asked for: the socket is empty, and the next readiness is news.
                    if length < READ {
                        ready.clear_ready();
                    }
                    break;
                }
            }
        }
        while let Some(frame) = self.decoder.next_frame()? {
            self.frames.push(frame);
        }
        Ok(())
    }
}

thread_local! {
    /// One read buffer for all links of a thread: an idle link owns none.
    static SCRATCH: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn fill(decoder: &mut LinkDecoder, bytes: &[u8]) {
    let buffer = decoder.buffer();
    if buffer.is_empty() {
        // A buffer of its own for these bytes: pieces in the short ring then pin nothing else.
        *buffer = BytesMut::from(bytes);
    } else {
        buffer.extend_from_slice(bytes);
    }
}
