//! The gateway's end of the spawner's order socket: numbers orders, matches answers. Does not know what the spawner does with them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::gateway::error::SessionError;
use crate::gateway::readiness;
use crate::sys::seqpacket::Seqpacket;
use crate::wire::v1::answer::Body as AnswerBody;
use crate::wire::v1::order::Body as OrderBody;
use crate::wire::{self, ORDER_VERSION, v1};

/// The spawner answers `failed` after 5 s itself; this is for a spawner that hangs.
const DEADLINE: Duration = Duration::from_secs(15);
/// Orders under way: logins (one each, at most 1,024 unauthenticated but 10/s a source) and starts; beyond it callers wait.
const ORDERS: usize = 64;
/// Hosts that went, not yet looked at; as many as may die in one turn of the loop.
const GONE: usize = 64;

/// An answer and the descriptors that came with it.
pub(crate) type Answered = (AnswerBody, Vec<OwnedFd>);

/// Gives orders. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Spawner {
    calls: mpsc::Sender<Call>,
}

struct Call {
    body: OrderBody,
    answer: oneshot::Sender<Answered>,
}

/// Why the gateway cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    /// The spawner's end is closed or silent.
    #[error("the spawner did not answer hello: {0}")]
    Os(#[from] io::Error),
    /// Something else than a hello answer.
    #[error("the spawner answered hello with something else")]
    Answer,
    /// A descriptor that must be there is not.
    #[error("the spawner gave no descriptor {0:?}")]
    Missing(&'static str),
}

/// The named descriptors of a hello answer.
pub(crate) struct Given(HashMap<String, OwnedFd>);

impl Given {
    /// Takes a descriptor that must be there.
    pub(crate) fn take(&mut self, name: &'static str) -> Result<OwnedFd, HelloError> {
        self.0.remove(name).ok_or(HelloError::Missing(name))
    }

    /// Takes a descriptor that may be absent.
    pub(crate) fn take_if(&mut self, name: &'static str) -> Option<OwnedFd> {
        self.0.remove(name)
    }
}

/// Says hello and waits for its answer; before any runtime, because listeners and configuration come with it.
pub(crate) fn hello(socket: &Seqpacket) -> Result<Given, HelloError> {
    let order = v1::Order { number: 0, body: Some(OrderBody::Hello(v1::OrderHello { version: ORDER_VERSION })) };
    let datagram = wire::encode_order(&order).map_err(|_| HelloError::Answer)?;
    socket.send(&datagram, &[])?;
    let deadline = Instant::now() + DEADLINE;
    let mut buffer = Vec::new();
    let descriptors = loop {
        match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::Error::from(io::ErrorKind::TimedOut).into());
                }
                crate::sys::poll::wait(&[Some((socket.as_fd(), crate::sys::poll::Interest::READ))], Some(left))?;
            }
            other => break other?.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?,
        }
    };
    let answer = wire::decode_answer(&buffer).map_err(|_| HelloError::Answer)?;
    let Some(AnswerBody::Hello(hello)) = answer.body else { return Err(HelloError::Answer) };
    Ok(Given(hello.descriptors.into_iter().zip(descriptors).collect()))
}

/// The order task and the receiver of hosts that went. The task ends when the spawner closes the socket.
pub(crate) fn start(
    socket: Seqpacket,
) -> io::Result<(Spawner, mpsc::Receiver<v1::HostGone>, impl Future<Output = io::Error>)> {
    let (calls, received) = mpsc::channel(ORDERS);
    let (gone_sender, gone) = mpsc::channel(GONE);
    let socket = readiness::readable(socket)?;
    let desk = Desk { socket, received, gone: gone_sender, open: HashMap::new(), pages: Vec::new(), last: 0 };
    Ok((Spawner { calls }, gone, desk.run()))
}

impl Spawner {
    /// Gives an order and waits for its last answer.
    pub(crate) async fn order(&self, body: OrderBody) -> Result<Answered, SessionError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { body, answer }).await.map_err(|_| SessionError::NoSpawner)?;
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(_)) => Err(SessionError::NoSpawner),
            Err(_) => Err(SessionError::Late("the spawner")),
        }
    }
}

struct Desk {
    socket: AsyncFd<Seqpacket>,
    received: mpsc::Receiver<Call>,
    gone: mpsc::Sender<v1::HostGone>,
    open: HashMap<u32, oneshot::Sender<Answered>>,
    /// Pages of a list of hosts that goes on.
    pages: Vec<v1::HostRecord>,
    last: u32,
}

impl Desk {
    async fn run(mut self) -> io::Error {
        let mut buffer = Vec::new();
        loop {
            tokio::select! {
                call = self.received.recv() => match call {
                    Some(call) => if let Err(error) = self.give(call).await { return error },
                    None => return io::ErrorKind::NotConnected.into(),
                },
                answer = receive(&self.socket, &mut buffer) => match answer {
                    Ok((answer, descriptors)) => self.take(answer, descriptors),
                    Err(error) => return error,
                },
            }
        }
    }

    async fn give(&mut self, call: Call) -> io::Result<()> {
        // Answers that nobody waits for any more are forgotten here, so that the table stays small.
        self.open.retain(|_, answer| !answer.is_closed());
        self.last = self.last.wrapping_add(1).max(1);
        let order = v1::Order { number: self.last, body: Some(call.body) };
        // An order above 64 KiB drops the caller's sender, which reads as "no spawner"; doors refuse such sizes before.
        let Ok(datagram) = wire::encode_order(&order) else { return Ok(()) };
        self.open.insert(self.last, call.answer);
        loop {
            match self.socket.get_ref().send(&datagram, &[]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = readiness::writable(self.socket.as_fd().try_clone_to_owned()?)?;
                    let _ = tokio::time::timeout(DEADLINE, writable.writable()).await.map_err(io::Error::from)??;
                }
                other => return other,
            }
        }
    }

    fn take(&mut self, answer: v1::Answer, descriptors: Vec<OwnedFd>) {
        match answer.body {
            // The last answer of a start is Started or Refused.
            None | Some(AnswerBody::Accepted(_)) => {}
            Some(AnswerBody::Gone(gone)) => {
                // A full queue only delays the tidying: the link's end says the same.
                let _ = self.gone.try_send(gone);
            }
            Some(AnswerBody::Hosts(page)) if page.more => self.pages.extend(page.hosts),
            Some(AnswerBody::Hosts(last)) => {
                // Pages of one list follow each other: the spawner answers one order at a time.
                let mut hosts = std::mem::take(&mut self.pages);
                hosts.extend(last.hosts);
                self.hand_over(answer.number, AnswerBody::Hosts(v1::Hosts { hosts, more: false }), descriptors);
            }
            Some(body) => self.hand_over(answer.number, body, descriptors),
        }
    }

    fn hand_over(&mut self, number: u32, body: AnswerBody, descriptors: Vec<OwnedFd>) {
        if let Some(waiting) = self.open.remove(&number) {
            // Whoever gave up needs no answer.
            let _ = waiting.send((body, descriptors));
        }
    }
}

async fn receive(socket: &AsyncFd<Seqpacket>, buffer: &mut Vec<u8>) -> io::Result<(v1::Answer, Vec<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await?;
        match ready.get_inner().recv(buffer) {
            Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Some(descriptors)) => {
                let answer = wire::decode_answer(buffer).map_err(|_| io::ErrorKind::InvalidData)?;
                return Ok((answer, descriptors));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
