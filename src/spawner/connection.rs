//! The gateway's order socket: datagrams in, answers out, each order through the gate; does not carry orders out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::gate::Gate;
use super::handed::HandedConnection;
use crate::sys::seqpacket::Seqpacket;
use crate::wire::v1::{Answer, Order, answer};
use crate::wire::{decode_order, encode_answer};

/// Who waits for an answer: an order of one connection. Answers to an earlier connection's orders go nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    /// Which connection.
    pub(super) connection: u64,
    /// Its order.
    pub(super) number: u32,
}

/// One connected gateway.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    socket: Seqpacket,
    gate: Gate,
    /// Whether it belongs to the gateway that the spawner itself started.
    pub(super) child: bool,
}

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// A permitted order.
    Order(Box<Order>),
    /// Nothing now.
    Nothing,
    /// The peer is gone, or did what ends its connection.
    Over(Option<String>),
}

impl Connection {
    /// A connection that has said nothing yet. Reading never waits.
    pub(super) fn new(id: u64, socket: Seqpacket, child: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { id, socket, gate: Gate::default(), child })
    }

    /// The same connection in another program.
    pub(super) fn resume(handed: &HandedConnection, socket: Seqpacket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let gate = Gate::resume(handed.greeted, handed.ready);
        Ok(Self { id: handed.id, socket, gate, child: handed.child })
    }

    /// What another program has to know of it.
    pub(super) fn handed(&self) -> HandedConnection {
        HandedConnection { id: self.id, child: self.child, greeted: self.gate.greeted(), ready: self.gate.ready() }
    }

    /// Its number among this spawner's connections.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The next order.
    pub(super) fn receive(&mut self) -> Received {
        let mut datagram = Vec::new();
        match self.socket.recv(&mut datagram) {
            // Orders carry no descriptors; whatever came is closed here.
            Ok(Some(_)) => {}
            Ok(None) => return Received::Over(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Nothing,
            Err(error) => return Received::Over(Some(error.to_string())),
        }
        let order = match decode_order(&datagram) {
            Ok(order) => order,
            Err(error) => return Received::Over(Some(error.to_string())),
        };
        match self.gate.admit(order.body.as_ref()) {
            Ok(()) => Received::Order(Box::new(order)),
            Err(error) => Received::Over(Some(error.to_string())),
        }
    }

    /// Who asks with this number.
    pub(super) fn asker(&self, number: u32) -> Asker {
        Asker { connection: self.id, number }
    }

    /// Whether this connection asked.
    pub(super) fn is(&self, asker: Asker) -> bool {
        self.id == asker.connection
    }

    /// Whether the peer has said hello.
    pub(super) fn greeted(&self) -> bool {
        self.gate.greeted()
    }

    /// Sends an answer. A peer that does not read until its socket is full is an error like one that is gone: it must
    /// not be able to hold the spawner.
    pub(super) fn send(&self, number: u32, body: answer::Body, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let answer = Answer { number, body: Some(body) };
        let datagram = encode_answer(&answer).map_err(io::Error::other)?;
        self.socket.send(&datagram, descriptors)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
