//! What the link gets next, cut into frames: output straight from the ring, between it everything else; does no I/O.
//!
//! The host never waits for the link. Output is not queued at all: `live` is a cursor, and what the ring gives up
//! before the link took it becomes a `lost` frame. The rest is bounded: see [`Outbox::is_flooded`] and [`Outbox::is_lost`].

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::base::{LINK_FRAME, Offset, WriterId};
use crate::replay::{Ring, lost};
use crate::wire::v1::{
    self, AgentSummary, Data, FrameData, InputTaken, Piece, SnapshotData, ToGateway, to_gateway::Body,
};
use crate::wire::{FrameHeader, LINK_HEADER, encode_control_to_gateway, encode_header, encode_lost, encode_summary};

/// A piece of a long answer: below the frame limit with its own fields.
const PIECE: usize = 60 * 1024;
/// Answers waiting for a gateway that does not read; above it no further question is read from the link.
const ANSWERS: usize = 1024 * 1024;
/// Events waiting for their place; above it the link is closed, for events are never shed.
const MARKS: usize = 1024 * 1024;
/// An acknowledgement waits so long for the echo: one wake-up of the gateway instead of two for each keystroke.
const ACK_DELAY: Duration = Duration::from_millis(4);
/// Reads that may be outstanding (link v1); the gateway lets further ones wait.
const READS: usize = 4;

/// An answer that may be longer than a frame.
pub(super) enum Answer {
    /// Without its `data` and `more`.
    Snapshot(SnapshotData),
    /// For this viewer; `last`: drawn after the agent's end.
    Frame { viewer: u32, last: bool },
    /// An encoded `AgentAnswer`.
    Agent { request: u32 },
}

/// Everything on its way to the gateway.
#[derive(Default)]
pub(super) struct Outbox {
    /// Whole frames, or the rest of one that went out in part.
    pending: BytesMut,
    /// The next log byte that the link gets.
    live: Option<Offset>,
    /// Payload of the output frame that was offered last, with its header.
    offered: Option<([u8; LINK_HEADER], usize)>,
    /// Frames that come after all bytes below their offset and before those above.
    marks: VecDeque<(Offset, Bytes)>,
    mark_bytes: usize,
    reads: VecDeque<Read>,
    answers: VecDeque<(Answer, Bytes)>,
    answer_bytes: usize,
    acks: Vec<(WriterId, u64, u32)>,
    ack_due: Option<Instant>,
}

struct Read {
    request: u32,
    next: Offset,
    to: Offset,
}

impl Outbox {
    /// Live output from `head` on; a second time it changes nothing.
    pub(super) fn go_live(&mut self, head: Offset) {
        self.live.get_or_insert(head);
    }

    pub(super) fn stop_live(&mut self) {
        self.live = None;
    }

    /// A control message, in order with others.
    pub(super) fn control(&mut self, body: Body) {
        encode_control_to_gateway(&mut self.pending, &ToGateway { body: Some(body) });
    }

    /// What the agent does and waits for, in pieces.
    pub(super) fn agent(&mut self, summary: &AgentSummary) {
        let mut data = encode_summary(summary);
        loop {
            let piece = data.split_to(data.len().min(PIECE));
            let more = !data.is_empty();
            self.control(Body::Agent(Piece { request: 0, data: piece, more }));
            if !more {
                return;
            }
        }
    }

    /// A frame that belongs at this place of the log.
    pub(super) fn mark(&mut self, at: Offset, frame: Bytes) {
        self.mark_bytes += frame.len();
        self.marks.push_back((at, frame));
    }

    /// A control message that belongs at this place of the log.
    pub(super) fn mark_control(&mut self, at: Offset, body: Body) {
        let mut frame = BytesMut::new();
        encode_control_to_gateway(&mut frame, &ToGateway { body: Some(body) });
        self.mark(at, frame.freeze());
    }

    /// Log bytes `from..to`; false when too many reads are outstanding.
    pub(super) fn read(&mut self, request: u32, from: Offset, to: Offset) -> bool {
        let room = self.reads.len() < READS;
        if room {
            self.reads.push_back(Read { request, next: from.min(to), to });
        }
        room
    }

    pub(super) fn answer(&mut self, answer: Answer, data: Vec<u8>) {
        self.answer_bytes += data.len();
        self.answers.push_back((answer, data.into()));
    }

    /// The PTY took this writer's bytes up to `offset`; sent with the next output or shortly after.
    pub(super) fn taken(&mut self, writer: WriterId, offset: u64, viewer: u32, now: Instant) {
        match self.acks.iter_mut().find(|(known, _, by)| *known == writer && *by == viewer) {
            Some((_, at, _)) => *at = offset,
            None => self.acks.push((writer, offset, viewer)),
        }
        self.ack_due.get_or_insert(now + ACK_DELAY);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ack_due
    }

    /// Whether frames are left that an earlier write did not take.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the gateway asks faster than it reads: no more is taken from it until it does.
    pub(super) fn is_flooded(&self) -> bool {
        self.pending.len() + self.answer_bytes > ANSWERS
    }

    /// Whether the gateway has left so many events unread that the link is no use.
    pub(super) fn is_lost(&self) -> bool {
        self.mark_bytes > MARKS
    }

    /// Whether so many bytes of events may still wait.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.mark_bytes + length <= MARKS
    }

    /// What to write now, in order; none when there is nothing. [`Outbox::took`] must follow.
    pub(super) fn offer<'a>(&'a mut self, ring: &'a Ring, now: Instant) -> Option<[IoSlice<'a>; 3]> {
        self.offered = None;
        if self.pending.is_empty() {
            self.prepare(ring);
        }
        let live = if self.pending.len() > LINK_FRAME { &[][..] } else { self.live_piece(ring) };
        if !self.acks.is_empty() && (!live.is_empty() || self.ack_due.is_some_and(|due| due <= now)) {
            self.put_acks();
        }
        if live.is_empty() {
            return (!self.pending.is_empty())
                .then(|| [IoSlice::new(&self.pending), IoSlice::new(&[]), IoSlice::new(&[])]);
        }
        let header = encode_header(FrameHeader::Output, live.len() as u32, self.live.unwrap_or_default());
        let (header, _) = self.offered.insert((header, live.len()));
        Some([IoSlice::new(&self.pending), IoSlice::new(header), IoSlice::new(live)])
    }

    /// So many bytes of the last offer went out.
    pub(super) fn took(&mut self, ring: &Ring, mut length: usize) {
        let waiting = self.pending.len();
        if length < waiting {
            self.pending.advance(length);
            return;
        }
        length -= waiting;
        // Nothing idle keeps a buffer.
        self.pending = BytesMut::new();
        let (Some((header, payload)), Some(live)) = (self.offered.take(), self.live) else { return };
        if length == 0 {
            return;
        }
        if length < LINK_HEADER + payload {
            // The ring may move on before the rest is taken.
            self.pending.extend_from_slice(header.get(length..).unwrap_or_default());
            let sent = length.saturating_sub(LINK_HEADER);
            self.pending.extend_from_slice(ring.piece(live, payload).get(sent..).unwrap_or_default());
        }
        self.live = Some(live.plus(payload as u64));
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.pending.len() + self.mark_bytes + self.answer_bytes
    }

    /// The acknowledgements that wait for company go now.
    pub(super) fn put_acks(&mut self) {
        for (writer, offset, viewer) in std::mem::take(&mut self.acks) {
            let writer = Bytes::copy_from_slice(writer.as_bytes());
            self.control(Body::Taken(InputTaken { writer, offset, viewer }));
        }
        self.ack_due = None;
    }

    /// Marks that are due, a hole, one piece of an answer: into `pending`.
    fn prepare(&mut self, ring: &Ring) {
        if let Some(live) = self.live
            && let Some((from, to)) = lost(live, ring.tail())
        {
            self.put_marks(from);
            encode_lost(&mut self.pending, from, to);
            self.live = Some(to);
        }
        self.put_marks(self.live.unwrap_or(ring.head()));
        if !self.put_answer() {
            self.put_data(ring);
        }
    }

    fn put_marks(&mut self, upto: Offset) {
        while self.pending.len() < LINK_FRAME
            && self.marks.front().is_some_and(|(at, _)| *at <= upto)
            && let Some((_, frame)) = self.marks.pop_front()
        {
            self.mark_bytes -= frame.len();
            self.pending.extend_from_slice(&frame);
        }
    }

    fn put_answer(&mut self) -> bool {
        let Some((answer, data)) = self.answers.front_mut() else { return false };
        let piece = data.split_to(data.len().min(PIECE));
        let more = !data.is_empty();
        self.answer_bytes -= piece.len();
        let body = match answer {
            Answer::Snapshot(message) => Body::Snapshot(SnapshotData { data: piece, more, ..message.clone() }),
            Answer::Frame { viewer, last } => {
                Body::Frame(FrameData { viewer: *viewer, data: piece, more, last: *last })
            }
            Answer::Agent { request } => Body::Answer(v1::Piece { request: *request, data: piece, more }),
        };
        if !more {
            self.answers.pop_front();
        }
        self.control(body);
        true
    }

    fn put_data(&mut self, ring: &Ring) {
        let Some(read) = self.reads.front_mut() else { return };
        let mut message = Data { request: read.request, ..Data::default() };
        // The whole hole, also beyond what was asked: whoever reads on learns once how much is gone.
        if let Some((from, to)) = lost(read.next, ring.tail()).filter(|_| read.next < read.to) {
            (message.lost_from, message.lost_to) = (from.0, to.0);
            read.next = to;
        }
        let most = (read.to.since(read.next) as usize).min(PIECE);
        message.offset = read.next.0;
        message.data = Bytes::copy_from_slice(ring.piece(read.next, most));
        read.next = read.next.plus(message.data.len() as u64);
        message.more = read.next < read.to;
        if !message.more {
            self.reads.pop_front();
        }
        self.control(Body::Data(message));
    }

    /// Output that may go now: up to the next mark, in one piece.
    fn live_piece<'a>(&self, ring: &'a Ring) -> &'a [u8] {
        let Some(live) = self.live else { return &[] };
        if live < ring.tail() {
            return &[];
        }
        let until = self.marks.front().map_or(ring.head(), |(at, _)| *at);
        ring.piece(live, (until.since(live) as usize).min(LINK_FRAME))
    }
}
