//! From the PTY to the log: sieve in place, commit, and afterwards what the sieve noticed.

use bytes::Bytes;

use super::{BATCH, Core, GROWTH, Now};
use crate::base::{LINK_FRAME, Offset};
use crate::screen::{AnswerState, Mark, Note, Query, What, answer};
use crate::wire::v1::event::Kind;
use crate::wire::v1::{self, Bell, Notification};

/// Notifications of one batch; a program that prints more is not notifying anybody.
const NOTIFICATIONS: usize = 16;
/// A piece of a clipboard: fits into one event frame.
const CLIPBOARD: usize = LINK_FRAME - 1024;

impl Core {
    /// Whether the PTY is to be read now.
    pub(in crate::host) fn wants_output(&mut self, now: Now) -> bool {
        let open = self.phase.is_open(now.at) && !self.settler.is_overdue(&self.ring);
        open && self.room(now) > 0
    }

    /// Contiguous space behind the log to read the PTY into; asked for after [`Core::wants_output`].
    pub(in crate::host) fn space(&mut self, now: Now) -> &mut [u8] {
        let most = BATCH.min(self.ring.capacity() / 4).min(self.room(now));
        self.ring.free(most)
    }

    /// The first `length` bytes of [`Core::space`] were read. Only what the link is waiting for is done here.
    pub(in crate::host) fn output(&mut self, length: usize, now: Now) {
        self.batch_at = self.ring.head();
        let input = self.ring.written(length);
        self.sieve.push(input, &mut self.sieved);
        if self.sieved.is_whole(length) {
            self.ring.commit(length);
        } else {
            self.scratch.clear();
            self.sieved.assemble(input, &mut self.scratch);
            self.ring.push(&self.scratch);
        }
        if self.sieved.mark != Mark::Plain {
            self.settler.rough(self.ring.head());
        }
        self.session.last_output = now.unix;
    }

    /// What follows from the last batch, once the link has it: answers, events.
    pub(in crate::host) fn after_output(&mut self, now: Now) {
        self.changed(now);
        if self.sieved.notes.is_empty() {
            return;
        }
        let mut notes = std::mem::take(&mut self.sieved.notes);
        // Of what a batch says more than once the last counts: a flood of bells is one event for each read.
        let (mut bell, mut title, mut clipboard, mut notified) = (None, None, None, 0);
        for Note { at, what } in notes.drain(..) {
            let at = self.batch_at.plus(at as u64);
            match what {
                What::Query(query) => self.query(&query, at),
                What::Bell => bell = Some(at),
                What::Title(text) => title = Some((at, text)),
                What::Clipboard(data) => clipboard = Some((at, data)),
                What::Notification { title, body } if notified < NOTIFICATIONS => {
                    notified += 1;
                    self.event(at, Kind::Notification(Notification { title, body }));
                }
                What::Notification { .. } => {}
                What::FrameStart => self.jobs.frame_began(at, now.at),
                What::FrameEnd => self.jobs.frame_ended(),
                What::Cut(kind) => self.event(at, Kind::Cut(kind.to_owned())),
                What::FocusReports(on) => self.focus_reports = on,
                What::ColorReports(on) => self.color_reports = on,
                What::SizeReports(on) => {
                    self.size_reports = on;
                    self.report_size();
                }
            }
        }
        self.sieved.notes = notes;
        if let Some((at, text)) = title
            && text != self.session.title
        {
            self.session.title.clone_from(&text);
            self.event(at, Kind::Title(text));
            self.title_changed(now);
        }
        if let Some(at) = bell {
            self.jobs.ring_bell();
            self.event(at, Kind::Bell(Bell {}));
        }
        if let Some((at, data)) = clipboard {
            self.copy(at, data.into());
        }
    }

    /// A clipboard in as many events as it needs; one that the gateway leaves no room for is told as cut.
    fn copy(&mut self, at: Offset, mut data: Bytes) {
        if !self.outbox.has_room(data.len() + CLIPBOARD) {
            return self.event(at, Kind::Cut("clipboard".to_owned()));
        }
        loop {
            let piece = data.split_to(data.len().min(CLIPBOARD));
            let more = !data.is_empty();
            self.tell(at, v1::Event { kind: Some(Kind::Clipboard(piece)), more });
            if !more {
                return;
            }
        }
    }

    /// The way a terminal with mode 2048 tells its size.
    pub(super) fn report_size(&mut self) {
        if self.size_reports {
            let (size, (width, height)) = (self.settler.size(), self.look.pixels.unwrap_or_default());
            let report = format!("\x1b[48;{};{};{height};{width}t", size.rows(), size.cols());
            self.input.answer(report.into_bytes());
        }
    }

    /// The way a terminal with mode 1004 tells its focus.
    pub(super) fn report_focus(&mut self, focus: Option<bool>) {
        if let Some(focus) = focus.filter(|_| self.focus_reports) {
            self.input.answer(if focus { b"\x1b[I" } else { b"\x1b[O" }.to_vec());
        }
    }

    fn query(&mut self, query: &Query, at: Offset) {
        if !self.phase.is_running() || !self.input.answers_fit() {
            return;
        }
        let mut state = if query.needs_screen() {
            self.settler.settle_to(&self.ring, at);
            self.settler.answer_state()
        } else {
            AnswerState { size: self.settler.size(), ..AnswerState::default() }
        };
        (state.focus_reports, state.color_reports) = (self.focus_reports, self.color_reports);
        state.pixels = self.look.pixels;
        if let Some(bytes) = answer(query, &state, &self.look.theme) {
            self.input.answer(bytes);
        }
    }

    /// Bytes that the log may grow by without giving up what a viewer holds.
    fn room(&mut self, now: Now) -> usize {
        let Some(hold) = self.hold.as_mut().filter(|hold| hold.until > now.at) else { return usize::MAX };
        let kept = self.ring.head().since(hold.offset.max(self.ring.tail()));
        let room = (self.ring.capacity() as u64).saturating_sub(kept + GROWTH) as usize;
        let blocks = room == 0;
        if blocks && !hold.blocks {
            self.held += 1;
        }
        hold.blocks = blocks;
        room
    }
}
