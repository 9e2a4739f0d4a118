//! Answers an attach: verdict first, then the viewer's slot opens where the verdict says. Knows no door.

use bytes::Bytes;

use super::Session;
use super::attachment::{Attachment, ViewerItem};
use super::slot::{Looks, Slot};
use super::state::{Reply, State, wire_size};
use crate::authn::Role;
use crate::base::{HISTORY_LINES, LogId, Offset, WinSize, WriterId};
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::size::ViewerNumber;
use crate::wire::v1;
use crate::wire::v1::to_host::Body as ToHostBody;

/// How somebody wants to look at a session.
#[derive(Debug, Clone)]
pub(crate) struct AttachRequest {
    pub(crate) mode: v1::ViewerMode,
    pub(crate) size: Option<WinSize>,
    pub(crate) hidden: bool,
    /// Look, do not touch.
    pub(crate) view: bool,
    pub(crate) cursor: Option<(LogId, Offset)>,
    /// From the oldest byte in the ring.
    pub(crate) from_start: bool,
    /// From this offset of the present log.
    pub(crate) from_offset: Option<Offset>,
    pub(crate) history: u32,
    pub(crate) writer: Option<WriterId>,
    pub(crate) door: &'static str,
    pub(crate) appearance: v1::Appearance,
    /// With each event the agent's own line.
    pub(crate) raw_lines: bool,
}

impl AttachRequest {
    /// The oldest byte that is wanted; none for the live head.
    fn begins(&self, log_id: LogId) -> Option<Offset> {
        match self.cursor {
            // The cursor of another log is answered from this one's beginning.
            Some((log, offset)) => Some(if log == log_id { offset } else { Offset::ZERO }),
            None => self.from_offset.or(self.from_start.then_some(Offset::ZERO)),
        }
    }
}

/// Where a viewer begins.
enum Opening {
    At {
        verdict: v1::Verdict,
        offset: Offset,
        lost: Option<(Offset, Offset)>,
        first: Bytes,
    },
    Painted {
        verdict: v1::Verdict,
        reply: Reply,
    },
    /// The refit that follows tells the host the window.
    Framed,
}

impl Session {
    /// Opens a viewer. The answer comes before anything else that the viewer gets.
    pub(crate) async fn attach(
        &self,
        request: AttachRequest,
        who: String,
        role: Role,
        may_drive: bool,
        grant: LiveGrant,
    ) -> Result<(v1::Attached, Attachment), SessionError> {
        let events = request.mode == v1::ViewerMode::Events;
        if events != self.is_structured() {
            let what =
                if events { "has a terminal, not events" } else { "is structured: it has events, not a terminal" };
            return Err(super::events::wrong_mode(what, self.lock()));
        }
        let writer = request.writer.unwrap_or_else(|| WriterId::from_bytes(crate::gateway::random()));
        let drives = may_drive && !request.view;
        let looks = Looks {
            who,
            door: request.door,
            role,
            mode: request.mode,
            window: request.size,
            hidden: request.hidden,
            drives,
            writer,
            appearance: super::appearance::tidy(request.appearance.clone()),
        };
        let (number, live) = self.reserve(looks)?;
        // From here on a dropped future leaves no trace.
        let mut attachment = Attachment::new(self.clone(), number, writer, drives, grant);
        live.into_iter().try_for_each(|message| self.tell(message))?;
        if events {
            let attached = self.open_events(number, &request, &mut attachment).await?;
            if !self.is_raw() {
                return Ok((attached, attachment));
            }
            let input_offset = self.writer_offset(&request).await?;
            let attached = v1::Attached { writer: Bytes::copy_from_slice(writer.as_bytes()), input_offset, ..attached };
            return Ok((attached, attachment));
        }
        let log_id = self.lock().log_id;
        if let Some(from) = request.begins(log_id) {
            // Held before it is asked for: what the answer says to be there is there when it is read.
            attachment.hold_from(from);
        }
        self.take_size(number, &request, drives)?;
        let input_offset = self.writer_offset(&request).await?;
        let opening = self.opening(&request).await?;
        let attached = self.open(number, &request, opening)?;
        let attached = v1::Attached { writer: Bytes::copy_from_slice(writer.as_bytes()), input_offset, ..attached };
        Ok((attached, attachment))
    }

    fn reserve(&self, looks: Looks) -> Result<(ViewerNumber, Vec<ToHostBody>), SessionError> {
        let mut state = self.lock();
        if state.link_gone {
            return Err(SessionError::HostGone);
        }
        let number = state.number_viewer();
        let mut slot = Slot::new(looks);
        if let Some((exit, offset)) = state.ended.clone() {
            slot.push(offset, ViewerItem::Ended { exit, offset });
        }
        state.slots.insert(number, slot);
        Ok((number, state.start_live()))
    }

    /// A visible driver's window counts from the first moment, so that the repaint has the right size.
    fn take_size(&self, number: ViewerNumber, request: &AttachRequest, drives: bool) -> Result<(), SessionError> {
        let sized = !matches!(request.mode, v1::ViewerMode::Exact | v1::ViewerMode::Events);
        let counts = drives && !request.hidden && sized;
        let Some(size) = request.size.filter(|_| counts) else { return Ok(()) };
        let resized = {
            let mut state = self.lock();
            if state.ended.is_some() { None } else { state.size.window(number, Some(size)) }
        };
        resized.map_or(Ok(()), |size| self.announce_size(size))
    }

    /// Up to where the writer that comes back was heard; a new one was not.
    async fn writer_offset(&self, request: &AttachRequest) -> Result<u64, SessionError> {
        let Some(writer) = request.writer else { return Ok(0) };
        let writer = Bytes::copy_from_slice(writer.as_bytes());
        let reply = self.ask(|request| ToHostBody::Writer(v1::AskWriter { request, writer })).await?;
        Ok(reply.offset.0)
    }

    async fn opening(&self, request: &AttachRequest) -> Result<Opening, SessionError> {
        let (log_id, grid) = {
            let state = self.lock();
            (state.log_id, state.size.effective())
        };
        let exact = request.mode == v1::ViewerMode::Exact;
        match request.cursor {
            Some((log, _)) if log != log_id => return self.painted(v1::Verdict::Reset, request, exact).await,
            Some((_, offset)) => return self.opening_at(offset, request, exact).await,
            None => {}
        }
        if let Some(offset) = request.from_offset.or(request.from_start.then_some(Offset::ZERO)) {
            return self.opening_at(offset, request, exact).await;
        }
        match (request.mode, request.size) {
            (v1::ViewerMode::Fitted, Some(window)) if window != grid => Ok(Opening::Framed),
            _ => self.painted(v1::Verdict::Snapshot, request, exact).await,
        }
    }

    async fn opening_at(&self, offset: Offset, request: &AttachRequest, exact: bool) -> Result<Opening, SessionError> {
        let window = request.size.filter(|_| request.mode == v1::ViewerMode::Fitted);
        if window.is_some_and(|window| window != self.size()) {
            return Ok(Opening::Framed);
        }
        let reply = self.read(offset).await?;
        Ok(match reply.lost {
            Some((from, to)) => {
                Opening::At { verdict: v1::Verdict::Gap, offset: to, lost: Some((from, to)), first: Bytes::new() }
            }
            // A cursor beyond the head belongs to nothing that this log has said.
            None if reply.offset < offset => return self.painted(v1::Verdict::Reset, request, exact).await,
            None => Opening::At { verdict: v1::Verdict::Continuous, offset, lost: None, first: reply.data },
        })
    }

    /// A repaint, or for an exact viewer, who wants no paint, the live head.
    async fn painted(
        &self,
        verdict: v1::Verdict,
        request: &AttachRequest,
        exact: bool,
    ) -> Result<Opening, SessionError> {
        if exact {
            let head = self.read(Offset(u64::MAX - 1)).await?.offset;
            let from = if verdict == v1::Verdict::Reset { Offset::ZERO } else { head };
            if from == head {
                return Ok(Opening::At {
                    verdict: v1::Verdict::Continuous,
                    offset: head,
                    lost: None,
                    first: Bytes::new(),
                });
            }
            let reply = self.read(from).await?;
            let offset = reply.lost.map_or(from, |(_, to)| to);
            let first = if reply.lost.is_some() { Bytes::new() } else { reply.data };
            return Ok(Opening::At { verdict, offset, lost: reply.lost, first });
        }
        let history = request.history.min(HISTORY_LINES);
        let reply = self.take_snapshot(v1::SnapshotKind::Screen, history).await?;
        Ok(Opening::Painted { verdict, reply })
    }

    /// Opens a viewer of events at this byte of the log.
    pub(super) fn open_at(&self, number: ViewerNumber, offset: Offset) -> Result<v1::Attached, SessionError> {
        let mut state = self.lock();
        let slot = state.slots.get_mut(&number).ok_or(SessionError::HostGone)?;
        slot.open_at(offset, true, Bytes::new());
        let mut attached = v1::Attached::default();
        describe(number, &mut state, &mut attached);
        Ok(attached)
    }

    fn open(
        &self,
        number: ViewerNumber,
        request: &AttachRequest,
        opening: Opening,
    ) -> Result<v1::Attached, SessionError> {
        let mut state = self.lock();
        let grid = state.size.effective();
        let (owner, head) = (state.owner_label(), state.known_head);
        let slot = state.slots.get_mut(&number).ok_or(SessionError::HostGone)?;
        let mut attached = v1::Attached { size: Some(wire_size(grid)), ..v1::Attached::default() };
        match opening {
            Opening::At { verdict, offset, lost, first } => {
                attached.verdict = verdict.into();
                attached.offset = offset.0;
                (attached.lost_from, attached.lost_to) = lost.map_or((0, 0), |(from, to)| (from.0, to.0));
                slot.open_at(offset, true, first);
            }
            Opening::Painted { verdict, reply } => {
                attached.verdict = verdict.into();
                attached.offset = reply.offset.0;
                let size = reply.size.unwrap_or(grid);
                slot.open_painted(
                    reply.offset,
                    size,
                    reply.data,
                    if verdict == v1::Verdict::Reset { "reset" } else { "attach" },
                );
            }
            Opening::Framed => {
                attached.verdict = v1::Verdict::Snapshot.into();
                attached.offset = head.0;
                slot.frames();
            }
        }
        attached.size_owner = owner;
        let messages = state.refit(Some(number));
        describe(number, &mut state, &mut attached);
        drop(state);
        messages.into_iter().try_for_each(|message| self.tell(message))?;
        let _ = request;
        Ok(attached)
    }
}

/// What an attach says of the session and of who looks.
fn describe(number: ViewerNumber, state: &mut State, attached: &mut v1::Attached) {
    if let Some(slot) = state.slots.get(&number) {
        let role = if slot.looks.drives { slot.looks.role } else { Role::View };
        attached.role = role.as_str().to_owned();
    }
    attached.log_id = state.log_id.to_string();
    state.announce_viewers();
    attached.viewers = state.viewers();
    attached.session = Some(state.summary());
    attached.agent.clone_from(&state.agent);
}
