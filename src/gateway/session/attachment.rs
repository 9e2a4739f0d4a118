//! One viewer's hold on a session, as a door uses it. Dropping it detaches. Knows no socket.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Session;
use super::events::EventFeed;
use super::slot::{Fitting, Next, Slot, View};
use super::state::{Requester, State, wire_size};
use crate::audit::{Entry, Event, Field};
use crate::base::{HOLD, INPUT_MESSAGE, Offset, WinSize, WriterId};
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::size::ViewerNumber;
use crate::policy::{Denial, Verb};
use crate::screen::InputFilter;
use crate::wire::v1;
use crate::wire::v1::to_host::Body as ToHostBody;

/// A holding viewer renews its hold when it moved so far, at least four times in a ring's length, or when a third of the
/// time is over.
const HOLD_STEP: u64 = 256 * 1024;

/// What a viewer is told, in the order in which it has to be told. Snapshot, Bytes and Frame data go to the terminal as they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ViewerItem {
    /// Log bytes.
    Bytes { offset: Offset, data: Bytes },
    /// A repaint that represents the log up to `offset`.
    Snapshot { offset: Offset, size: WinSize, data: Bytes, reason: &'static str },
    /// What a fitted viewer draws while its window differs from the grid.
    Frame { data: Bytes },
    /// These bytes of the log are gone.
    Lost { from: Offset, to: Offset },
    /// The grid changed at this offset.
    SizeChanged { size: WinSize, owner: String, offset: Offset },
    /// Who looks.
    Viewers(Vec<v1::Viewer>),
    /// A title, a bell …
    Event { offset: Offset, event: v1::Event },
    /// The PTY took this viewer's input up to here.
    InputTaken { offset: u64 },
    /// The host refused input.
    InputRefused { accepted: u64, why: v1::InputRefusal },
    /// An event of a structured session.
    AgentEvent { number: u64, event: Box<v1::AgentEvent> },
    /// The agent has ended; nothing but Detached follows.
    Ended { exit: v1::Exit, offset: Offset },
    /// The attachment is over.
    Detached { reason: &'static str, resumable: bool, offset: Offset },
}

/// See the module.
pub(crate) struct Attachment {
    session: Session,
    number: ViewerNumber,
    writer: WriterId,
    drives: bool,
    typed: InputFilter,
    scratch: Vec<u8>,
    held: Option<(Offset, Instant)>,
    /// For the entries about who types and whose size it is.
    grant: LiveGrant,
    /// Of a structured session.
    events: Option<EventFeed>,
}

impl Attachment {
    pub(super) fn new(
        session: Session,
        number: ViewerNumber,
        writer: WriterId,
        drives: bool,
        grant: LiveGrant,
    ) -> Self {
        let (typed, scratch) = (InputFilter::new(), Vec::new());
        Self { session, number, writer, drives, typed, scratch, held: None, grant, events: None }
    }

    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Whose it is.
    pub(crate) fn grant(&self) -> &LiveGrant {
        &self.grant
    }

    /// Log bytes are events from now on, the first of this number.
    pub(super) fn feed_events(&mut self, raw_lines: bool, first: u64) {
        self.events = Some(EventFeed::new(raw_lines, first));
    }

    /// What comes next.
    pub(crate) fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<ViewerItem> {
        loop {
            if let Some(item) = self.events.as_mut().and_then(EventFeed::pop) {
                return Poll::Ready(item);
            }
            let item = std::task::ready!(self.poll_log(context));
            match &mut self.events {
                None => return Poll::Ready(item),
                Some(events) => events.push(item),
            }
        }
    }

    fn poll_log(&mut self, context: &mut Context<'_>) -> Poll<ViewerItem> {
        loop {
            let question = {
                let mut state = self.session.lock();
                let State { slots, ring, known_head, .. } = &mut *state;
                let Some(slot) = slots.get_mut(&self.number) else { return Poll::Pending };
                match slot.next(&View { ring: ring.as_ref(), known_head: *known_head }) {
                    Next::Item(item) => {
                        drop(state);
                        self.hold(&item);
                        return Poll::Ready(item);
                    }
                    Next::Wait => {
                        slot.register(context.waker());
                        return Poll::Pending;
                    }
                    Next::CatchUp(from) => state.ask_read(self.number, from),
                    Next::Repaint(reason) => state.ask_repaint(self.number, reason),
                    Next::LastLines(end) => state.ask_last_lines(self.number, end),
                }
            };
            // One that waits for its turn is sent when an answer makes room.
            if question.is_some_and(|question| self.session.tell(question).is_err()) {
                self.session.lock().detach_viewer(self.number, "host-gone");
            }
        }
    }

    /// Input whose first byte has this offset in the viewer's own numbering. Never waits; what became of it comes as an item.
    pub(crate) fn input(&mut self, offset: u64, bytes: &[u8], paste: bool) -> Result<(), SessionError> {
        if bytes.len() > INPUT_MESSAGE {
            return Err(SessionError::InputTooLong(bytes.len()));
        }
        if !self.drives {
            self.grant.may_type(Verb::Drive)?;
            let has = self.grant.role().as_str();
            return Err(Denial::ViewOnly { verb: Verb::Drive, has }.into());
        }
        if self.session.is_structured() {
            return self.write(offset, bytes);
        }
        self.scratch.clear();
        let typed = paste || self.typed.push(bytes, &mut self.scratch).typed;
        let (resized, takes_over) = {
            let mut state = self.session.lock();
            state.must_live()?;
            state.summary.last_input = crate::gateway::unix_now();
            let takes_over = typed && state.typist.replace(self.number) != Some(self.number);
            (if typed { state.size.typed(self.number, Instant::now()) } else { None }, takes_over)
        };
        if takes_over {
            self.session.note(self.grant.entry(Event::InputOwner));
        }
        if let Some(size) = resized {
            self.session.announce_size(size)?;
        }
        self.send(offset, bytes, paste)
    }

    /// Bytes for a bare program, as they are. The first of them make the input this writer's.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SessionError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let takes_over = {
            let mut state = self.session.lock();
            state.must_live()?;
            if !state.is_raw() {
                return Err(super::events::wrong_mode("takes prompts, not keys", state));
            }
            let State { lease, summary, .. } = &mut *state;
            let takes_over = lease.take(self.writer, &self.grant, &summary.name)?;
            summary.last_input = crate::gateway::unix_now();
            takes_over
        };
        if takes_over {
            self.session.note(self.grant.entry(Event::InputOwner));
        }
        self.send(offset, bytes, false)
    }

    /// Others may write to the bare program.
    pub(crate) fn release_input(&mut self) {
        self.session.lock().lease.release(self.writer);
    }

    fn send(&self, offset: u64, bytes: &[u8], paste: bool) -> Result<(), SessionError> {
        self.session.tell(ToHostBody::Input(v1::Input {
            writer: Bytes::copy_from_slice(self.writer.as_bytes()),
            offset,
            data: Bytes::copy_from_slice(bytes),
            paste,
            enter: false,
            viewer: self.number,
        }))
    }

    /// The viewer's window changed, or it was hidden or shown, or looks otherwise.
    pub(crate) fn resize(
        &mut self,
        size: WinSize,
        hidden: bool,
        appearance: Option<v1::Appearance>,
    ) -> Result<(), SessionError> {
        let (resized, repainted, messages) = {
            let mut state = self.session.lock();
            let Some(slot) = state.slots.get_mut(&self.number) else { return Ok(()) };
            slot.looks.window = Some(size);
            slot.looks.hidden = hidden;
            let counts = slot.looks.drives && !hidden && !slot.is_lossless();
            let resized = state.size.window(self.number, counts.then_some(size));
            let repainted = state.looks(self.number, appearance);
            (resized, repainted, state.refit(Some(self.number)))
        };
        if let Some(size) = resized {
            self.session.announce_size(size)?;
        } else if repainted {
            self.session.owner_appearance().map_or(Ok(()), |appearance| self.session.tell(appearance))?;
        }
        messages.into_iter().try_for_each(|message| self.session.tell(message))
    }

    /// A Frame was written to the client: the next one may come.
    pub(crate) fn frame_drawn(&mut self) {
        let framed = self.session.lock().slots.get(&self.number).is_some_and(|slot| slot.is_framed());
        if framed {
            // A link that takes nothing is found by its reader.
            let _ = self.session.tell(ToHostBody::NextFrame(v1::NextFrame { viewer: self.number, full: false }));
        }
    }

    /// An exact viewer that drives and is alone, and such a one of a bare program, holds the agent back, as long as it moves.
    fn hold(&mut self, item: &ViewerItem) {
        if let ViewerItem::Bytes { offset, data } = item {
            self.hold_from(offset.plus(data.len() as u64));
        }
    }

    /// The same from the offset that such a viewer is at; also before it has got anything.
    pub(super) fn hold_from(&mut self, at: Offset) {
        if !self.drives {
            return;
        }
        let (alone, step) = {
            let state = self.session.lock();
            let every = |slot: &Slot| slot.is_exact() || state.is_raw();
            let alone = state.slots.len() == 1 && state.slots.get(&self.number).is_some_and(every);
            (alone, HOLD_STEP.min(state.ring_capacity / 4))
        };
        let now = Instant::now();
        let stale = self
            .held
            .is_none_or(|(from, since)| at.since(from) >= step || now.saturating_duration_since(since) > HOLD / 3);
        if alone && stale {
            self.held = Some((at, now));
            let _ = self.session.hold(at, HOLD);
        } else if !alone && self.held.take().is_some() {
            let _ = self.session.hold(at, Duration::ZERO);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.session.note(self.grant.entry(Event::Detach));
        self.session.leave(self.number, self.held.is_some());
    }
}

impl Session {
    pub(super) fn hold(&self, at: Offset, time: Duration) -> Result<(), SessionError> {
        self.tell(ToHostBody::Hold(v1::Hold { offset: at.0, millis: time.as_millis() as u32 }))
    }

    /// Tells the host the grid and whose it is; the host's answer tells the viewers.
    pub(super) fn announce_size(&self, size: WinSize) -> Result<(), SessionError> {
        let owner = self.lock().owner_label();
        let entry = Entry::new(Event::SizeOwner).text(Field::Owner, &owner).text(Field::Size, &size.to_string());
        self.note(entry);
        self.owner_appearance().map_or(Ok(()), |appearance| self.tell(appearance))?;
        self.tell(ToHostBody::Size(v1::SetSize { cols: size.cols().into(), rows: size.rows().into(), owner }))
    }

    pub(super) fn note(&self, entry: Entry) {
        let summary = self.summary();
        self.0.journal.note(&entry.text(Field::Session, &summary.session_id).text(Field::Name, &summary.name));
    }

    fn leave(&self, number: ViewerNumber, held: bool) {
        let (resized, framed, silent) = {
            let mut state = self.lock();
            let Some(slot) = state.slots.remove(&number) else { return };
            let writer = slot.looks.writer;
            // Whoever came back before the old connection was given up goes on writing.
            if !state.slots.values().any(|other| other.looks.writer == writer) {
                state.lease.release(writer);
            }
            let resized = state.size.leaves(number);
            state.requests.retain(|_, requester| !matches!(requester, Requester::Viewer(viewer) if *viewer == number));
            state.announce_viewers();
            (resized, slot.is_framed(), state.stop_live())
        };
        let mut messages = Vec::new();
        if framed {
            messages.push(unfit(number));
        }
        if held {
            messages.push(ToHostBody::Hold(v1::Hold { offset: 0, millis: 0 }));
        }
        if silent {
            messages.push(ToHostBody::Live(v1::Live { on: false }));
        }
        for message in messages {
            // The host may be gone; then there is nothing to tell.
            let _ = self.tell(message);
        }
        if let Some(size) = resized {
            let _ = self.announce_size(size);
        }
    }
}

impl State {
    fn ask_read(&mut self, viewer: ViewerNumber, from: Offset) -> Option<ToHostBody> {
        let request = self.number_request();
        self.requests.insert(request, Requester::Viewer(viewer));
        if let Some(slot) = self.slots.get_mut(&viewer) {
            slot.reads(request);
        }
        let read = v1::Read { request, from: from.0, to: from.plus(super::slot::READ).0 };
        self.questions.ask(ToHostBody::Read(read))
    }

    pub(super) fn ask_repaint(&mut self, viewer: ViewerNumber, reason: &'static str) -> Option<ToHostBody> {
        let request = self.number_request();
        self.requests.insert(request, Requester::Viewer(viewer));
        if let Some(slot) = self.slots.get_mut(&viewer) {
            slot.paints(request, reason);
        }
        let kind = v1::SnapshotKind::Repaint.into();
        self.questions.ask(ToHostBody::Snapshot(v1::TakeSnapshot { request, kind, history: 0 }))
    }

    /// What a person's viewer is left with: the agent has ended there.
    pub(super) fn ask_last_lines(&mut self, viewer: ViewerNumber, end: Offset) -> Option<ToHostBody> {
        let request = self.number_request();
        self.requests.insert(request, Requester::Viewer(viewer));
        if let Some(slot) = self.slots.get_mut(&viewer) {
            slot.leaves_lines(request, end);
        }
        let kind = v1::SnapshotKind::Text.into();
        self.questions.ask(ToHostBody::Snapshot(v1::TakeSnapshot { request, kind, history: 0 }))
    }

    pub(super) fn detach_viewer(&mut self, viewer: ViewerNumber, reason: &'static str) {
        if let Some(slot) = self.slots.get_mut(&viewer) {
            slot.detach(reason, true);
        }
    }

    /// What the host has to be told after windows or the grid changed; of all viewers, or of one.
    pub(super) fn refit(&mut self, only: Option<ViewerNumber>) -> Vec<ToHostBody> {
        let grid = self.size.effective();
        let owner = self.owner_label();
        let name = self.summary.name.clone();
        let end = self.ended.as_ref().map(|(_, end)| *end);
        let mut messages = Vec::new();
        let (mut repaint, mut leave) = (Vec::new(), Vec::new());
        for (number, slot) in &mut self.slots {
            if only.is_some_and(|only| only != *number) {
                continue;
            }
            match (slot.fitting(grid, end.is_some()), end) {
                (Fitting::Same, _) => {}
                (Fitting::Framed(_), Some(end)) => leave.push((*number, end)),
                (Fitting::Framed(window), None) => {
                    slot.frames();
                    messages.extend(fit(*number, window, status(&name, grid, &owner, slot.looks.drives)));
                }
                (Fitting::Raw, _) => {
                    messages.push(unfit(*number));
                    repaint.push(*number);
                }
            }
        }
        if !repaint.is_empty() {
            messages.extend(self.start_live());
        }
        for viewer in repaint {
            messages.extend(self.ask_repaint(viewer, "resized"));
        }
        for (viewer, end) in leave {
            messages.extend(self.ask_last_lines(viewer, end));
        }
        if self.stop_live() {
            messages.push(ToHostBody::Live(v1::Live { on: false }));
        }
        messages
    }

    /// Output live for the first that wants it; the question finds out where it begins.
    pub(super) fn start_live(&mut self) -> Vec<ToHostBody> {
        if self.live {
            return Vec::new();
        }
        self.live = true;
        let request = self.number_request();
        self.requests.insert(request, Requester::Viewer(0));
        let mut messages = vec![ToHostBody::Live(v1::Live { on: true })];
        messages.extend(self.questions.ask(ToHostBody::Read(v1::Read { request, from: u64::MAX - 1, to: u64::MAX })));
        messages
    }

    /// True when nobody wants output any more: the ring is freed and the host told.
    fn stop_live(&mut self) -> bool {
        if !self.live || self.wants_live() {
            return false;
        }
        self.live = false;
        self.ring = None;
        true
    }
}

/// The host renders for this viewer no more.
pub(super) fn unfit(viewer: ViewerNumber) -> ToHostBody {
    ToHostBody::Fit(v1::Fit { viewer, cols: 0, rows: 0, status: String::new() })
}

/// A window for the host to render into, and its first whole frame.
pub(super) fn fit(viewer: ViewerNumber, window: WinSize, status: String) -> [ToHostBody; 2] {
    let size = wire_size(window);
    [
        ToHostBody::Fit(v1::Fit { viewer, cols: size.cols, rows: size.rows, status }),
        ToHostBody::NextFrame(v1::NextFrame { viewer, full: true }),
    ]
}

/// The line below a frame.
pub(super) fn status(name: &str, grid: WinSize, owner: &str, drives: bool) -> String {
    let whose = if owner.is_empty() { String::new() } else { format!(" of {owner}") };
    let cure = if drives { "; type to take the size" } else { "" };
    crate::base::printable(&format!("[{name}] {grid}{whose}{cure}"), 200)
}
