//! Bytes on their way to one host: written at once when the socket takes them, kept to a bound otherwise. Does not know what they mean.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use tokio::sync::Notify;

use crate::base::INPUT_QUEUE;
use crate::gateway::error::SessionError;
use crate::gateway::readiness;
use crate::sys::stream::Stream;
use crate::wire;
use crate::wire::v1;

/// Twice the host's own input queue: beyond it the host has stopped reading its link altogether.
const MOST: usize = 2 * INPUT_QUEUE;

/// The writing half of a link. The lock is here because input comes from connection tasks and questions from others;
/// a hold is one encode and one non-blocking write.
pub(crate) struct Outgoing {
    socket: Stream,
    waiting: Mutex<BytesMut>,
    stuck: Notify,
}

impl Outgoing {
    pub(crate) fn new(socket: Stream) -> Self {
        Self { socket, waiting: Mutex::new(BytesMut::new()), stuck: Notify::new() }
    }

    /// Queues a message and writes what the socket takes now.
    pub(crate) fn send(&self, message: &v1::ToHost) -> Result<(), SessionError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() > MOST {
            return Err(SessionError::Late("the session's host"));
        }
        let idle = waiting.is_empty();
        wire::encode_control_to_host(&mut waiting, message);
        if idle && !self.write(&mut waiting) {
            self.stuck.notify_one();
        }
        Ok(())
    }

    /// Writes what waits, whenever something waits; never ends but with the link.
    pub(crate) async fn drain(&self) -> io::Result<()> {
        loop {
            self.stuck.notified().await;
            // Registered only while something waits: a standing WRITABLE interest wakes the gateway at each read
            // of the host (hop.md, finding 1).
            let writable = readiness::writable(self.socket.as_fd().try_clone_to_owned()?)?;
            loop {
                let mut ready = writable.writable().await?;
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if self.write(&mut waiting) {
                    break;
                }
                ready.clear_ready();
            }
        }
    }

    /// True when nothing waits any more. A dead socket is found by the reading half; its bytes are dropped here.
    fn write(&self, waiting: &mut BytesMut) -> bool {
        while !waiting.is_empty() {
            match self.socket.write(&[IoSlice::new(waiting)]) {
                Ok(0) => return false,
                Ok(taken) => waiting.advance(taken),
                Err(_) => waiting.clear(),
            }
        }
        // An idle link keeps no buffer: with many sessions they add up.
        *waiting = BytesMut::new();
        true
    }
}
