//! Frames of the host applied to a session's state; synchronous, knows no socket.

use bytes::Bytes;

use super::Session;
use super::attachment::{ViewerItem, unfit};
use super::state::{Reply, Requester, State};
use crate::audit::{Entry, Event, Field};
use crate::base::{Offset, WinSize, WriterId};
use crate::gateway::error::SessionError;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::to_host::Body as ToHostBody;
use crate::wire::{Frame, LinkError, decode_to_gateway, v1};

impl Session {
    /// Applies what one read of the link brought, under one lock; then wakes viewers and says what the host has to hear.
    pub(super) fn take_frames(&self, frames: &mut Vec<Frame>) -> Result<(), LinkError> {
        let mut answers = Vec::new();
        let unaudited = {
            let mut state = self.lock();
            let mut bytes = false;
            for frame in frames.drain(..) {
                bytes |= matches!(frame, Frame::Output(..) | Frame::Lost(..));
                state.take_frame(frame, &mut answers)?;
            }
            if bytes {
                state.wake_readers();
            }
            std::mem::take(&mut state.unaudited)
        };
        for decided in unaudited {
            self.audit(&decided);
        }
        for answer in answers {
            // A link that takes nothing more is found by its reader.
            let _ = self.tell(answer);
        }
        Ok(())
    }

    /// A gateway that adopts a session hears of its newest decisions again: twice in the audit is better than never.
    fn audit(&self, decided: &v1::Decided) {
        let summary = self.summary();
        let texts = [
            (Field::Account, &summary.account),
            (Field::Request, &decided.request),
            (Field::Digest, &decided.digest),
            (Field::Option, &decided.option),
            (Field::Target, &decided.rule),
            (Field::Owner, &decided.by),
            (Field::Reason, &decided.reason),
        ];
        let known = texts.into_iter().filter(|(_, text)| !text.is_empty());
        self.note(known.fold(Entry::new(Event::Decided), |entry, (field, text)| entry.text(field, text)));
    }
}

impl State {
    fn take_frame(&mut self, frame: Frame, answers: &mut Vec<ToHostBody>) -> Result<(), LinkError> {
        match frame {
            Frame::Output(at, data) => self.take_output(at, data),
            Frame::Lost(_, to) => {
                self.known_head = self.known_head.max(to);
                if let Some(ring) = &mut self.ring {
                    ring.skip_to(to);
                }
                self.start_ring(to);
            }
            Frame::Event(at, event) => self.take_event(at, event),
            Frame::Control(payload) => {
                if let Some(body) = decode_to_gateway(payload)?.body {
                    self.take_control(body, answers);
                }
            }
        }
        Ok(())
    }

    fn take_output(&mut self, at: Offset, data: Bytes) {
        self.known_head = self.known_head.max(at.plus(data.len() as u64));
        self.summary.last_output = crate::gateway::unix_now();
        if !self.live {
            return;
        }
        self.start_ring(at);
        if let Some(ring) = &mut self.ring {
            ring.push(at, data);
        }
    }

    fn take_event(&mut self, at: Offset, event: v1::Event) {
        if let Some(v1::event::Kind::Title(title)) = &event.kind {
            self.summary.title.clone_from(title);
        }
        self.tell_all(at, &ViewerItem::Event { offset: at, event });
    }

    fn take_control(&mut self, body: Body, answers: &mut Vec<ToHostBody>) {
        match body {
            // A second hello means nothing.
            Body::Hello(_) => {}
            Body::Data(data) => {
                if !data.more {
                    answers.extend(self.questions.read_answered());
                }
                self.take_data(data);
            }
            Body::Snapshot(snapshot) => {
                if !snapshot.more {
                    answers.extend(self.questions.snapshot_answered());
                }
                self.take_snapshot(snapshot);
            }
            Body::Frame(frame) => {
                if let Some(slot) = self.slots.get_mut(&frame.viewer) {
                    slot.frame_answer(&frame.data, frame.more);
                }
            }
            Body::Taken(taken) => self.take_taken(&taken),
            Body::Refused(refused) => self.take_refused(&refused),
            Body::Size(size) => self.take_size(&size, answers),
            Body::Writer(writer) => {
                let reply = Reply { offset: Offset(writer.offset), ..Reply::default() };
                self.collect(writer.request, reply, false);
            }
            Body::Ended(ended) => {
                let end = Offset(ended.offset);
                let framed: Vec<_> =
                    self.slots.iter().filter(|(_, slot)| slot.is_framed()).map(|(number, _)| *number).collect();
                for viewer in framed {
                    answers.push(unfit(viewer));
                    answers.extend(self.ask_last_lines(viewer, end));
                }
                self.take_end(ended.exit.unwrap_or_default(), end);
            }
            Body::Chosen(chosen) => self.chosen = chosen,
            Body::Answer(piece) => {
                let reply = Reply { data: piece.data, ..Reply::default() };
                self.collect(piece.request, reply, piece.more);
            }
            Body::Agent(piece) => self.take_agent(piece),
            Body::Status(status) => {
                if !self.live {
                    // While output is live its own offsets say it; a status may be ahead of them.
                    self.known_head = self.known_head.max(Offset(status.head));
                }
                self.summary.tail = status.tail;
                self.summary.last_input = self.summary.last_input.max(status.last_input);
                self.summary.last_output = self.summary.last_output.max(status.last_output);
                self.summary.title = status.title.clone();
                self.status = Some(status);
            }
        }
    }

    fn take_data(&mut self, data: v1::Data) {
        let at = Offset(data.offset);
        let lost = (data.lost_to > data.lost_from).then_some((Offset(data.lost_from), Offset(data.lost_to)));
        match self.requests.get(&data.request) {
            Some(Requester::Task { .. }) => {
                let piece = Reply { offset: at, size: None, data: data.data, lost };
                self.collect(data.request, piece, data.more);
            }
            // The question where live output begins.
            Some(Requester::Viewer(0)) => {
                self.requests.remove(&data.request);
                self.known_head = self.known_head.max(at);
                self.start_ring(at);
                self.wake_readers();
            }
            Some(&Requester::Viewer(viewer)) => {
                if !data.more {
                    self.requests.remove(&data.request);
                }
                if let Some(slot) = self.slots.get_mut(&viewer) {
                    slot.read_answer(data.request, at, data.data, data.more, lost);
                }
            }
            None => {}
        }
    }

    fn take_snapshot(&mut self, snapshot: v1::SnapshotData) {
        let offset = Offset(snapshot.offset);
        let size = WinSize::clamped(snapshot.cols, snapshot.rows);
        match self.requests.get(&snapshot.request) {
            Some(Requester::Task { .. }) => {
                let piece = Reply { offset, size: Some(size), data: snapshot.data, lost: None };
                self.collect(snapshot.request, piece, snapshot.more);
            }
            Some(&Requester::Viewer(viewer)) => {
                if !snapshot.more {
                    self.requests.remove(&snapshot.request);
                }
                if let Some(slot) = self.slots.get_mut(&viewer) {
                    slot.paint_answer(snapshot.request, offset, size, &snapshot.data, snapshot.more);
                }
            }
            None => {}
        }
    }

    fn take_taken(&mut self, taken: &v1::InputTaken) {
        let Ok(writer) = WriterId::from_slice(&taken.writer) else { return };
        if let Some(sender) = self.sends.remove(&writer) {
            let _ = sender.send(Ok(()));
            return;
        }
        if let Some(slot) = self.slots.get_mut(&taken.viewer).filter(|slot| slot.looks.writer == writer) {
            let at = slot.cursor();
            slot.push_acknowledgement(at, taken.offset);
        }
    }

    fn take_refused(&mut self, refused: &v1::InputRefused) {
        let Ok(writer) = WriterId::from_slice(&refused.writer) else { return };
        if let Some(sender) = self.sends.remove(&writer) {
            let _ = sender.send(Err(SessionError::InputFull { accepted: refused.accepted }));
            return;
        }
        if let Some(slot) = self.slots.get_mut(&refused.viewer).filter(|slot| slot.looks.writer == writer) {
            let at = slot.cursor();
            slot.push(at, ViewerItem::InputRefused { accepted: refused.accepted, why: refused.why() });
        }
    }

    fn take_size(&mut self, is: &v1::SizeIs, answers: &mut Vec<ToHostBody>) {
        let size = WinSize::clamped(is.cols, is.rows);
        let offset = Offset(is.offset);
        self.known_head = self.known_head.max(offset);
        // A newer wish of a driver is on its way to the host; its own answer follows.
        if self.size.owner().is_none() || self.size.effective() == size {
            self.size.is(size);
        }
        let item = ViewerItem::SizeChanged { size, owner: is.owner.clone(), offset };
        self.tell_all(offset, &item);
        answers.extend(self.refit(None));
    }
}
