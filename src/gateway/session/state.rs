//! What is known about one session and who looks at it; synchronous, changed by frames of the host and by viewers.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::attachment::ViewerItem;
use super::lease::Lease;
use super::questions::Questions;
use super::slot::Slot;
use crate::agents::limits::SUMMARY;
use crate::base::{LINK_FRAME, LogId, Offset, SHARED_RING, WinSize, WriterId, printable};
use crate::gateway::error::SessionError;
use crate::gateway::size::{SizePolicy, ViewerNumber};
use crate::gateway::verbs::state_text;
use crate::replay::SharedRing;
use crate::wire::v1::{self, exit::How};

/// Answers collected for one request at most: an event that was cut, of which a host keeps 16 MiB (its text is half of that); a
/// first look with its place in the log, and 10,000 wide history lines, are less.
const REPLY_MOST: usize = (16 << 20) + LINK_FRAME;
const _: () = assert!(SUMMARY + LINK_FRAME <= REPLY_MOST);

/// Characters of why an agent ended: as long as another refusal of an agent's.
const REASON: usize = 400;

/// A whole answer of the host.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) offset: Offset,
    pub(super) size: Option<WinSize>,
    pub(super) data: Bytes,
    /// What a read found gone.
    pub(super) lost: Option<(Offset, Offset)>,
}

/// Who waits for an answer.
pub(super) enum Requester {
    /// A task; pieces are collected.
    Task { sender: oneshot::Sender<Reply>, collected: BytesMut, first: Reply },
    /// A viewer that catches up.
    Viewer(ViewerNumber),
}

/// See the module.
pub(super) struct State {
    pub(super) summary: v1::Session,
    pub(super) log_id: LogId,
    /// What it was started with.
    pub(super) chosen: v1::Chosen,
    /// The head as last heard; exact while output is live.
    pub(super) known_head: Offset,
    /// None: output is not live, or where it begins is not known yet.
    pub(super) ring: Option<SharedRing>,
    pub(super) live: bool,
    /// Bytes that the host's ring keeps.
    pub(super) ring_capacity: u64,
    // A handful of each, looked up for every key: ordered maps of a few entries cost less than a hash.
    pub(super) slots: BTreeMap<ViewerNumber, Slot>,
    pub(super) size: SizePolicy,
    /// Who typed last.
    pub(super) typist: Option<ViewerNumber>,
    /// Who writes to a bare program.
    pub(super) lease: Lease,
    pub(super) ended: Option<(v1::Exit, Offset)>,
    pub(super) link_gone: bool,
    pub(super) requests: BTreeMap<u32, Requester>,
    pub(super) questions: Questions,
    pub(super) sends: BTreeMap<WriterId, oneshot::Sender<Result<(), SessionError>>>,
    pub(super) waiting_for_end: Vec<oneshot::Sender<()>>,
    /// The host's last word on itself, for metrics.
    pub(super) status: Option<v1::HostStatus>,
    /// What its agent does and waits for; none where it does not report.
    pub(super) agent: Option<v1::AgentSummary>,
    pub(super) agent_pieces: BytesMut,
    /// The number of the newest decision of a rule or a deadline that was heard of, and those that are not in the audit yet.
    pub(super) decisions: u64,
    pub(super) unaudited: Vec<v1::Decided>,
    last_request: u32,
    last_viewer: ViewerNumber,
}

impl State {
    pub(super) fn new(summary: v1::Session, log_id: LogId, ring_capacity: u64) -> Self {
        let size = summary.size.unwrap_or_default();
        let known_head = Offset(summary.head);
        let ended = summary.exit.clone().filter(|_| summary.state == i32::from(v1::State::Ended));
        Self {
            log_id,
            chosen: v1::Chosen::default(),
            known_head,
            ring: None,
            live: false,
            ring_capacity,
            slots: BTreeMap::new(),
            size: SizePolicy::new(WinSize::clamped(size.cols, size.rows)),
            typist: None,
            lease: Lease::default(),
            ended: ended.map(|exit| (exit, known_head)),
            link_gone: false,
            requests: BTreeMap::new(),
            questions: Questions::default(),
            sends: BTreeMap::new(),
            waiting_for_end: Vec::new(),
            status: None,
            agent: None,
            agent_pieces: BytesMut::new(),
            decisions: 0,
            unaudited: Vec::new(),
            last_request: 0,
            last_viewer: 0,
            summary,
        }
    }

    pub(super) fn summary(&self) -> v1::Session {
        let mut summary = self.summary.clone();
        summary.viewers = self.slots.len() as u32;
        summary.head = self.known_head.0;
        summary.size = Some(wire_size(self.size.effective()));
        summary.created_now = false;
        summary
    }

    pub(super) fn must_live(&self) -> Result<(), SessionError> {
        if self.link_gone {
            return Err(SessionError::HostGone);
        }
        if self.ended.is_none() {
            return Ok(());
        }
        let how = self.how_it_ended();
        Err(self.summary.name.parse().map_or_else(SessionError::from, |name| SessionError::Ended { name, how }))
    }

    pub(super) fn was_started(&self) -> Result<(), SessionError> {
        let Some(How::NotStarted(why)) = self.summary.exit.as_ref().and_then(|exit| exit.how.as_ref()) else {
            return Ok(());
        };
        let (agent, why) = (printable(&self.summary.agent, REASON), printable(why, REASON));
        let message = format!("agent {agent} could not be started: {why}: install it or correct its command");
        Err(SessionError::Refused { code: "launch-failed", message })
    }

    /// With why, where that is known: whoever starts it again should have mended it before.
    fn how_it_ended(&self) -> String {
        let exit = self.summary.exit.as_ref().and_then(|exit| exit.how.as_ref());
        let why = match exit {
            Some(How::NotStarted(why)) => format!("{why}: install the agent or correct its command"),
            _ => self.summary.agent_reason.clone(),
        };
        let how = state_text(&self.summary);
        if why.is_empty() { how } else { format!("{how}: {}", printable(&why, REASON)) }
    }

    pub(super) fn open_request(&mut self) -> (u32, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let request = self.number_request();
        let requester = Requester::Task { sender, collected: BytesMut::new(), first: Reply::default() };
        self.requests.insert(request, requester);
        (request, receiver)
    }

    pub(super) fn number_request(&mut self) -> u32 {
        self.last_request = self.last_request.wrapping_add(1).max(1);
        self.last_request
    }

    pub(super) fn number_viewer(&mut self) -> ViewerNumber {
        // Zero is `send`, which looks at nothing.
        self.last_viewer = self.last_viewer.wrapping_add(1).max(1);
        self.last_viewer
    }

    /// A structural item for every viewer, in its place between the bytes.
    pub(super) fn tell_all(&mut self, at: Offset, item: &ViewerItem) {
        for slot in self.slots.values_mut() {
            slot.push(at, item.clone());
        }
    }

    pub(super) fn detach_all(&mut self, reason: &'static str) {
        for slot in self.slots.values_mut() {
            slot.detach(reason, true);
        }
    }

    /// Everybody hears who looks.
    pub(super) fn announce_viewers(&mut self) {
        let viewers = self.viewers();
        let item = ViewerItem::Viewers(viewers);
        for slot in self.slots.values_mut() {
            let at = slot.cursor();
            slot.push(at, item.clone());
        }
    }

    pub(super) fn viewers(&self) -> Vec<v1::Viewer> {
        let mut numbered: Vec<_> = self.slots.iter().map(|(number, slot)| (*number, slot.described())).collect();
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, viewer)| viewer).collect()
    }

    pub(super) fn owner_label(&self) -> String {
        self.size.owner().and_then(|owner| self.slots.get(&owner)).map(|slot| slot.who().to_owned()).unwrap_or_default()
    }

    /// True when some viewer wants the log's bytes.
    pub(super) fn wants_live(&self) -> bool {
        self.slots.values().any(Slot::wants_live)
    }

    pub(super) fn wake_readers(&mut self) {
        for slot in self.slots.values_mut() {
            slot.wake();
        }
    }

    pub(super) fn start_ring(&mut self, at: Offset) {
        if self.live && self.ring.is_none() {
            self.ring = Some(SharedRing::new(at, SHARED_RING));
        }
    }

    /// One piece of an answer; the whole answer once nothing more follows.
    pub(super) fn collect(&mut self, request: u32, piece: Reply, more: bool) {
        let Some(Requester::Task { collected, first, .. }) = self.requests.get_mut(&request) else { return };
        if collected.is_empty() && first.size.is_none() && first.lost.is_none() {
            *first = Reply { data: Bytes::new(), ..piece };
        }
        if collected.len() + piece.data.len() <= REPLY_MOST {
            collected.extend_from_slice(&piece.data);
        }
        if more {
            return;
        }
        if let Some(Requester::Task { sender, collected, first }) = self.requests.remove(&request) {
            // A receiver that gave up needs no answer.
            let _ = sender.send(Reply { data: collected.freeze(), ..first });
        }
    }

    pub(super) fn take_end(&mut self, exit: v1::Exit, at: Offset) {
        if self.ended.is_some() {
            return;
        }
        self.known_head = self.known_head.max(at);
        self.summary.state = v1::State::Ended.into();
        self.summary.exit = Some(exit.clone());
        self.ended = Some((exit.clone(), at));
        self.tell_all(at, &ViewerItem::Ended { exit, offset: at });
        for waiting in self.waiting_for_end.drain(..) {
            let _ = waiting.send(());
        }
    }

    pub(super) fn lose_link(&mut self) {
        self.link_gone = true;
        self.requests.clear();
        self.sends.clear();
        self.waiting_for_end.clear();
        self.detach_all("host-gone");
    }
}

/// For the wire.
pub(super) fn wire_size(size: WinSize) -> v1::Size {
    v1::Size { cols: size.cols().into(), rows: size.rows().into() }
}
