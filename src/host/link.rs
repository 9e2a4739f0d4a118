//! The socket side of the link: connections that have not said hello, and the one that has; does not know what messages do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::sys::stream::{Stream, StreamRead};
use crate::wire::v1::{LinkHello, ToHost, to_host};
use crate::wire::{Frame, LinkDecoder, LinkError, decode_to_host};

/// Connections that may wait to say hello; the newest displace the oldest.
pub(super) const CANDIDATES: usize = 4;
/// A gateway says hello at once; anything else connected by mistake.
const HELLO: Duration = Duration::from_secs(5);

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkFault {
    #[error("the gateway closed the link")]
    Closed,
    #[error("the link failed: {0}")]
    Io(#[from] io::Error),
    #[error("the gateway does not speak link v1: {0}")]
    Frames(#[from] LinkError),
    #[error("a connection did not begin with hello")]
    NoHello,
}

/// One connection from the gateway.
pub(super) struct Link {
    pub(super) stream: Stream,
    decoder: LinkDecoder,
    /// The socket was full at the last write.
    pub(super) blocked: bool,
}

/// A connection that has not said hello.
pub(super) struct Candidate {
    pub(super) link: Link,
    pub(super) until: Instant,
}

impl Link {
    /// Reads what came, once; whether there was anything. The messages are then in [`Link::next_message`].
    pub(super) fn receive(&mut self) -> Result<bool, LinkFault> {
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space)? {
            StreamRead::Bytes(length) => {
                self.decoder.buffer().extend_from_slice(space.get(..length).unwrap_or_default());
                Ok(true)
            }
            StreamRead::Empty => Ok(false),
            StreamRead::Closed => Err(LinkFault::Closed),
        }
    }

    /// The next whole message. Frames that only a host sends are skipped.
    pub(super) fn next_message(&mut self) -> Result<Option<ToHost>, LinkFault> {
        while let Some(frame) = self.decoder.next_frame()? {
            if let Frame::Control(message) = frame {
                return Ok(Some(decode_to_host(message)?));
            }
        }
        Ok(None)
    }
}

impl Candidate {
    pub(super) fn new(stream: Stream, now: Instant) -> Self {
        Self { link: Link { stream, decoder: LinkDecoder::default(), blocked: false }, until: now + HELLO }
    }

    /// The hello, once it is there.
    pub(super) fn hello(&mut self) -> Result<Option<LinkHello>, LinkFault> {
        self.link.receive()?;
        match self.link.next_message()?.map(|message| message.body) {
            Some(Some(to_host::Body::Hello(hello))) => Ok(Some(hello)),
            Some(_) => Err(LinkFault::NoHello),
            None => Ok(None),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
