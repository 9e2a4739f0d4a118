//! The first words on a link, the same for every kind of session; does not know sockets.

use std::collections::VecDeque;

use super::outbox::Outbox;
use crate::wire::LINK_VERSION;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{Chosen, HostHello, LinkHello, Session};

/// Why this host cannot speak with that gateway, if so.
pub(super) fn objection(hello: &LinkHello) -> Option<String> {
    let spoken = hello.version_min..=hello.version_max;
    (!spoken.contains(&LINK_VERSION)).then(|| {
        let theirs = format!("{}..={}", hello.version_min, hello.version_max);
        format!("the gateway speaks link {theirs}, this host {LINK_VERSION}: update the older of both")
    })
}

/// What the host is, and what its session was started with.
pub(super) fn greet(outbox: &mut Outbox, session: Session, chosen: &Chosen, capacity: usize, log: &VecDeque<String>) {
    outbox.control(Body::Hello(HostHello {
        version: LINK_VERSION,
        software: concat!("portcullis ", env!("CARGO_PKG_VERSION")).to_owned(),
        session: Some(session),
        ring_capacity: capacity as u64,
        log: log.iter().cloned().collect(),
    }));
    outbox.control(Body::Chosen(chosen.clone()));
}
