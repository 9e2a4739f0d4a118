//! The structured half of a session: questions to its agent, and one viewer's feed of events. Knows no door.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::attach::AttachRequest;
use super::attachment::{Attachment, ViewerItem};
use super::state::{Reply, State};
use super::{HOST_DEADLINE, Session};
use crate::agents::DriverKind;
use crate::agents::limits::SUMMARY;
use crate::base::{HISTORY_LINES, LINK_FRAME, Offset};
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::size::ViewerNumber;
use crate::replay::RecordReader;
use crate::wire::v1::agent_answer::Answer;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_question::Question;
use crate::wire::v1::to_host::Body as ToHostBody;
use crate::wire::v1::{self, locate};
use crate::wire::{decode_agent_answer, decode_record, decode_summary, encode_question};

/// A piece of a question: below the frame limit with its own fields.
const PIECE: usize = LINK_FRAME - 1024;

impl Session {
    /// Whether it speaks in events.
    pub(crate) fn is_structured(&self) -> bool {
        self.lock().is_structured()
    }

    /// Whether its agent is a bare program, to whose input clients write themselves.
    pub(crate) fn is_raw(&self) -> bool {
        self.lock().is_raw()
    }

    /// Whether this client may say something to a bare program now.
    ///
    /// # Errors
    /// Somebody else writes to it.
    pub(crate) fn may_write(&self, login: &LiveGrant) -> Result<(), SessionError> {
        let state = self.lock();
        state.lease.allows(login, &state.summary.name)
    }

    /// What its agent does and waits for; none before its host said so, and for a terminal whose agent does not report.
    pub(crate) fn agent_summary(&self) -> Option<v1::AgentSummary> {
        self.lock().agent.clone()
    }

    /// The agent's own id of a conversation that has begun; empty otherwise.
    pub(crate) fn conversation(&self) -> String {
        let Some(agent) = self.agent_summary() else { return String::new() };
        // Others have no history of their own, whatever id they say.
        let driver = self.lock().summary.driver.clone();
        if [DriverKind::Lines, DriverKind::Pipe].iter().any(|kind| kind.as_str() == driver) {
            return String::new();
        }
        // An agent that was killed in its first turn may have kept nothing of it.
        let has_history = |started: &v1::AgentStarted| agent.turns_ended > 0 || started.resumed;
        agent.started.filter(has_history).map(|started| started.agent_session).unwrap_or_default()
    }

    /// Whether its agent goes on with this conversation, or was told to.
    pub(crate) fn has_conversation(&self, id: &str) -> bool {
        let state = self.lock();
        let told = state.chosen.options.iter().any(|option| option.name == "resume" && option.value == id);
        told || state.summary.agent_session == id
    }

    /// Hands a command to the agent; what the agent's driver said at once.
    pub(crate) async fn command(&self, command: v1::AgentCommand) -> Result<v1::AgentReply, SessionError> {
        self.lock().must_live()?;
        // Before the question: a terminal's host would refuse too, with less to say.
        let answers = matches!(
            command.command,
            Some(Command::AnswerPermission(_) | Command::AnswerQuestion(_) | Command::RevokeRule(_))
        );
        if !(self.is_structured() || answers && self.agent_summary().is_some()) {
            return Err(wrong_mode("has a terminal: type into it", self.lock()));
        }
        match self.question(Question::Command(command)).await? {
            Answer::Reply(reply) => match reply.result {
                Some(v1::agent_reply::Result::Refusal(refusal)) => Err(SessionError::AgentRefused(Box::new(refusal))),
                _ => Ok(reply),
            },
            other => Err(unexpected(other)),
        }
    }

    /// The whole event of this number.
    pub(crate) async fn fetch_event(&self, number: u64) -> Result<v1::AgentEvent, SessionError> {
        if !self.is_structured() {
            return Err(wrong_mode("has a terminal and no events", self.lock()));
        }
        match self.question(Question::Fetch(number)).await? {
            Answer::Event(event) => Ok(event),
            other => Err(unexpected(other)),
        }
    }

    /// The agent may finish what it is about to write, then its input is closed.
    pub(crate) async fn stop_agent(&self) -> Result<(), SessionError> {
        self.question(Question::Stop(v1::StopAgent {})).await.map(drop)
    }

    /// Opens a viewer of events.
    pub(super) async fn open_events(
        &self,
        number: ViewerNumber,
        request: &AttachRequest,
        attachment: &mut Attachment,
    ) -> Result<v1::Attached, SessionError> {
        let log_id = self.lock().log_id;
        let (at, mut verdict) = match request.cursor {
            Some((log, _)) if log != log_id => (locate::At::Start(true), v1::Verdict::Reset),
            Some((_, Offset(number))) => (locate::At::Number(number), v1::Verdict::Continuous),
            None => match request.from_offset {
                Some(Offset(number)) => (locate::At::Number(number), v1::Verdict::Continuous),
                None if request.from_start => (locate::At::Start(true), v1::Verdict::Continuous),
                None => (locate::At::Live(true), v1::Verdict::Snapshot),
            },
        };
        if self.is_raw() && !matches!(at, locate::At::Live(_)) {
            // Held before it is asked for: what the answer says to be there is there when it is read.
            attachment.hold_from(Offset::ZERO);
        }
        let mut located = self.locate(at).await?;
        if located.beyond {
            // A number that this log has not reached belongs to nothing that it has said.
            (verdict, located) = (v1::Verdict::Reset, self.locate(locate::At::Start(true)).await?);
        }
        let mut head = 0;
        if verdict == v1::Verdict::Snapshot && request.history > 0 {
            head = located.number;
            let first = head.saturating_sub(request.history.min(HISTORY_LINES).into());
            located = self.locate(locate::At::Number(first)).await?;
            // History that is no longer held was not missed by anybody.
            located.lost_from = located.number;
        }
        let gap = (located.lost_from < located.number).then_some((located.lost_from, located.number));
        if gap.is_some() && verdict == v1::Verdict::Continuous {
            verdict = v1::Verdict::Gap;
        }
        attachment.feed_events(request.raw_lines, located.number);
        let mut attached = self.open_at(number, Offset(located.offset))?;
        if self.is_raw() {
            attachment.hold_from(Offset(located.offset));
        }
        attached.verdict = verdict.into();
        attached.offset = located.number;
        (attached.lost_from, attached.lost_to) = gap.unwrap_or_default();
        attached.agent = located.summary;
        attached.head = head;
        Ok(attached)
    }

    async fn locate(&self, at: locate::At) -> Result<v1::Located, SessionError> {
        match self.question(Question::Locate(v1::Locate { at: Some(at) })).await? {
            Answer::Located(located) => Ok(located),
            other => Err(unexpected(other)),
        }
    }

    async fn question(&self, question: Question) -> Result<Answer, SessionError> {
        let mut data = encode_question(&v1::AgentQuestion { question: Some(question) });
        let (request, answer) = self.lock().open_request();
        loop {
            let piece = data.split_to(data.len().min(PIECE));
            let more = !data.is_empty();
            if let Err(error) = self.tell(ToHostBody::Question(v1::Piece { request, data: piece, more })) {
                self.lock().requests.remove(&request);
                return Err(error);
            }
            if !more {
                break;
            }
        }
        match tokio::time::timeout(HOST_DEADLINE, answer).await {
            Ok(Ok(Reply { data, .. })) => {
                let answer = decode_agent_answer(data).ok().and_then(|answer| answer.answer);
                answer.ok_or(SessionError::Late("the session's host"))
            }
            Ok(Err(_)) => Err(SessionError::HostGone),
            Err(_) => {
                self.lock().requests.remove(&request);
                Err(SessionError::Late("the session's host"))
            }
        }
    }
}

/// What is asked needs the other kind of session.
pub(super) fn wrong_mode(what: &str, state: impl std::ops::Deref<Target = State>) -> SessionError {
    SessionError::Refused { code: "wrong-mode", message: format!("session {} {what}", state.summary.name) }
}

fn unexpected(answer: Answer) -> SessionError {
    match answer {
        Answer::Refusal(refusal) => SessionError::AgentRefused(Box::new(refusal)),
        _ => SessionError::Late("the session's host"),
    }
}

impl State {
    pub(super) fn is_structured(&self) -> bool {
        self.summary.mode == "structured"
    }

    /// An older host's bare program speaks in lines.
    pub(super) fn is_raw(&self) -> bool {
        self.is_structured() && self.summary.driver == DriverKind::Pipe.as_str()
    }

    /// A piece of what the agent does; whole, it counts.
    pub(super) fn take_agent(&mut self, piece: v1::Piece) {
        if self.agent_pieces.len() + piece.data.len() <= SUMMARY {
            self.agent_pieces.extend_from_slice(&piece.data);
        }
        if piece.more {
            return;
        }
        let whole = std::mem::replace(&mut self.agent_pieces, BytesMut::new()).freeze();
        let Ok(mut agent) = decode_summary(whole) else { return };
        let known = self.decisions;
        self.unaudited.extend(agent.decided.drain(..).filter(|decided| decided.number > known));
        self.decisions = self.unaudited.last().map_or(known, |decided| decided.number);
        let state = agent.state.clone().unwrap_or_default();
        self.summary.agent_state = state.state;
        (self.summary.agent_reason, self.summary.agent_since) = (state.reason, state.since);
        self.summary.pending = (agent.permissions.len() + agent.questions.len()) as u32;
        if let Some(started) = &agent.started {
            self.summary.agent_session.clone_from(&started.agent_session);
        }
        self.agent = Some(agent);
    }
}

/// From log bytes to events, in order and without a hole.
pub(super) struct EventFeed {
    reader: RecordReader,
    ready: VecDeque<ViewerItem>,
    raw_lines: bool,
    next: u64,
}

impl EventFeed {
    pub(super) fn new(raw_lines: bool, next: u64) -> Self {
        Self { reader: RecordReader::default(), ready: VecDeque::new(), raw_lines, next }
    }

    pub(super) fn pop(&mut self) -> Option<ViewerItem> {
        self.ready.pop_front()
    }

    /// What an item of the log means here.
    pub(super) fn push(&mut self, item: ViewerItem) {
        match item {
            ViewerItem::Bytes { data, .. } => self.bytes(&data),
            // Events are never shed: whoever was overtaken comes back and is told exactly what is gone.
            ViewerItem::Lost { .. } => self.end("too-slow"),
            ViewerItem::Ended { exit, .. } => self.ready.push_back(ViewerItem::Ended { exit, offset: self.place() }),
            ViewerItem::Detached { reason, resumable, .. } => {
                self.ready.push_back(ViewerItem::Detached { reason, resumable, offset: self.place() });
            }
            ViewerItem::SizeChanged { .. } => {}
            other => self.ready.push_back(other),
        }
    }

    fn bytes(&mut self, data: &[u8]) {
        let Ok(records) = self.reader.push(data) else { return self.end("internal") };
        for record in records {
            match decode_record(&record) {
                Ok(Some((number, mut event))) if number == self.next => {
                    self.next += 1;
                    if !self.raw_lines {
                        event.raw.clear();
                    }
                    self.ready.push_back(ViewerItem::AgentEvent { number, event: Box::new(event) });
                }
                _ => return self.end("internal"),
            }
        }
    }

    fn end(&mut self, reason: &'static str) {
        self.ready.push_back(ViewerItem::Detached { reason, resumable: true, offset: self.place() });
    }

    fn place(&self) -> Offset {
        Offset(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, text: &str) -> Vec<u8> {
        let kind = v1::agent_event::Kind::Message(v1::MessageChunk { text: text.into(), ..Default::default() });
        let event = v1::AgentEvent { raw: bytes::Bytes::from_static(b"line"), kind: Some(kind), ..Default::default() };
        let record = crate::wire::encode_record(number, event);
        [&(record.len() as u32).to_be_bytes()[..], &record].concat()
    }

    #[test]
    fn events_come_out_whole_and_a_hole_ends_the_feed() {
        let mut feed = EventFeed::new(false, 7);
        let bytes = [record(7, "one"), record(8, "two")].concat();
        for piece in bytes.chunks(5) {
            feed.push(ViewerItem::Bytes { offset: Offset::ZERO, data: bytes::Bytes::copy_from_slice(piece) });
        }
        for wanted in [7, 8] {
            let Some(ViewerItem::AgentEvent { number, event }) = feed.pop() else { panic!("no event") };
            assert_eq!((number, event.raw.len()), (wanted, 0), "raw lines are for those who ask");
        }
        feed.push(ViewerItem::Bytes { offset: Offset::ZERO, data: record(10, "hole").into() });
        assert!(matches!(feed.pop(), Some(ViewerItem::Detached { resumable: true, offset: Offset(9), .. })));
    }
}
