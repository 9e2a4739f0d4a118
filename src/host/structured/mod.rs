//! What the host of a structured session decides: the log of events, who gets what of it, what the agent is told. Pure: descriptors
//! and clocks are its caller's, protocols are the drivers'.

mod hold;
mod life;
mod lines;
mod messages;
mod pipes;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use super::core::{Event, Now};
use super::input::Input;
use super::outbox::Outbox;
use super::questions::Asked;
use crate::agents::conversation::{Act, Conversation, Patience, cut};
use crate::agents::limits::LOG_LINE;
use crate::agents::{ConversationId, DriverKind, driver_of};
use crate::base::{LogId, printable};
use crate::replay::Records;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{self, AgentEvent, AgentStream, Chosen, InputRefusal, Session, State};
use crate::wire::{encode_agent_event, encode_record};
use hold::Hold;
use life::Phase;
use lines::{Line, Lines};

pub(super) use pipes::Pipes;

/// Events that were cut on their way into the log are kept whole up to so many bytes together, the newest.
const WHOLE: usize = 16 * 1024 * 1024;
/// Notable changes are reported together, so long after the first: `ls` shows seconds.
const STATUS_DELAY: Duration = Duration::from_secs(2);
/// Lines of the host's own log that are kept.
const LOG_LINES: usize = 64;
/// Characters of one.
const LOG_CHARACTERS: usize = 300;

/// What is spoken with the agent that a launch describes; none for a driver that this host does not have.
pub(super) fn conversation(launch: &v1::Launch, log_id: LogId) -> Option<Conversation> {
    let wanted = launch.structured.as_ref()?;
    let id = ConversationId { id: wanted.conversation.clone(), resume: wanted.resume };
    let directory = launch.session.as_ref().map(|session| session.directory.as_str()).unwrap_or_default();
    let kind = DriverKind::ALL.into_iter().find(|kind| kind.as_str() == wanted.driver)?;
    let limit = |millis: u64| (millis > 0).then_some(millis);
    let patience = Patience { turn: limit(wanted.turn_ms), request: limit(wanted.request_ms) };
    Some(Conversation::new(driver_of(kind, &id, directory, *log_id.as_bytes()), patience))
}

/// Something to be done outside, at once and in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Close what is left of the pipes.
    ClosePipes,
    /// End the link for this reason.
    CloseLink(String),
    /// End the host.
    Leave,
}

/// The agent's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayIn {
    Open,
    /// What waits is written, then it is closed.
    Closing,
    /// The agent reads no more.
    Broken,
}

/// One session.
pub(super) struct Structured {
    session: Session,
    chosen: Chosen,
    records: Records,
    whole: VecDeque<(u64, Vec<u8>)>,
    whole_bytes: usize,
    conversation: Conversation,
    wake: Option<Instant>,
    /// None: as it is read.
    output: Option<Lines>,
    error: Lines,
    output_open: bool,
    /// For the agent's input.
    input: Input,
    way_in: WayIn,
    /// It was said that the agent does not read.
    is_behind: bool,
    hold: Option<Hold>,
    outbox: Outbox,
    linked: bool,
    /// A question of the gateway that is not whole yet.
    asked: Asked,
    /// The gateway has not heard what the agent does now.
    agent_due: bool,
    phase: Phase,
    status_due: Option<Instant>,
    log: VecDeque<String>,
}

impl Structured {
    /// A running session and what its driver says first. `launch` is what was said about it; what the host itself knows is filled in.
    pub(super) fn new(launch: v1::Launch, conversation: Conversation, log_id: LogId, ring: usize, now: Now) -> Self {
        let mut session = launch.session.unwrap_or_default();
        session.log_id = log_id.to_string();
        session.state = State::Running.into();
        session.driver = launch.structured.unwrap_or_default().driver;
        let output = (!conversation.is_raw()).then(Lines::of_output);
        let mut this = Self {
            session,
            chosen: launch.chosen.unwrap_or_default(),
            records: Records::new(ring),
            whole: VecDeque::new(),
            whole_bytes: 0,
            conversation,
            wake: None,
            output,
            error: Lines::of_error(),
            output_open: true,
            input: Input::default(),
            way_in: WayIn::Open,
            is_behind: false,
            hold: None,
            outbox: Outbox::default(),
            linked: false,
            asked: Asked::default(),
            agent_due: false,
            phase: Phase::Running,
            status_due: None,
            log: VecDeque::new(),
        };
        let effects = this.conversation.start(now.millis);
        this.follow(effects, now);
        this
    }

    /// Takes in what happened; the effects are to be carried out in order.
    pub(super) fn apply(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::LinkUp(hello) => self.link_up(&hello, &mut effects),
            Event::LinkDown => self.link_down(),
            Event::Message(message) => self.message(message, now, &mut effects),
            Event::OutputClosed => self.output_closed(now, &mut effects),
            Event::Exited(exit) => self.exited(exit, now, &mut effects),
            Event::Log(line) => self.note(&line, now),
            // Nothing listens for hooks here.
            Event::Hook(..) => {}
            Event::Tick => self.tick(now, &mut effects),
        }
        effects
    }

    /// Bytes of the agent's standard output.
    pub(super) fn output_bytes(&mut self, bytes: &[u8], now: Now) {
        self.session.last_output = now.unix;
        let (mut acts, conversation) = (Vec::new(), &mut self.conversation);
        match &mut self.output {
            Some(lines) => lines.push(bytes, |line| acts.extend(take_line(conversation, line, now))),
            None => acts = conversation.bytes(now.millis, bytes),
        }
        self.follow(acts, now);
        self.changed(now);
    }

    /// Bytes of its standard error: for people.
    pub(super) fn error_bytes(&mut self, bytes: &[u8], now: Now) {
        let (mut acts, conversation) = (Vec::new(), &mut self.conversation);
        self.error.push(bytes, |line| acts.extend(error_line(conversation, line, now)));
        self.follow(acts, now);
    }

    /// Bytes for the agent's input; [`Structured::agent_took`] must follow.
    pub(super) fn agent_input(&self, now: Now) -> Option<&[u8]> {
        self.input.next(now.at)
    }

    /// The agent took so many bytes.
    pub(super) fn agent_took(&mut self, length: usize, now: Now) {
        if let Some(receipt) = self.input.took(length, now.at) {
            self.taken(receipt);
        }
        self.mind_backlog(now);
    }

    /// Whether its input is to be closed, now that everything is written.
    pub(super) fn closes_input(&self) -> bool {
        self.way_in == WayIn::Closing && self.input.is_empty()
    }

    /// It reads no more.
    pub(super) fn input_broke(&mut self, why: &str, now: Now) {
        self.way_in = WayIn::Broken;
        self.refuse_unwritten(InputRefusal::Closed);
        self.note(&format!("the agent reads no more: {why}"), now);
    }

    /// Why the link is of no use any more, if so: to be asked after each turn.
    pub(super) fn link_fault(&self) -> Option<&'static str> {
        self.outbox.is_lost().then_some("the gateway left 1 MiB of events unread")
    }

    /// What to write to the link; [`Structured::link_took`] must follow.
    pub(super) fn link_output(&mut self, now: Now) -> Option<[IoSlice<'_>; 3]> {
        if !self.linked {
            return None;
        }
        // One that was not taken yet makes another useless, and a gateway that never reads must cost nothing.
        if self.agent_due && !self.outbox.is_waiting() {
            self.send_agent();
        }
        self.outbox.offer(self.records.ring(), now.at)
    }

    /// The link took so many bytes of what was offered last.
    pub(super) fn link_took(&mut self, length: usize) {
        self.outbox.took(self.records.ring(), length);
    }

    /// Whether messages are taken from the link.
    pub(super) fn wants_messages(&self) -> bool {
        !self.outbox.is_flooded()
    }

    /// When an [`Event::Tick`] is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        let status = self.status_due.filter(|_| self.linked);
        let hold = self.hold.map(|hold| hold.until);
        [self.wake, status, hold, self.phase.deadline()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.wake.is_some_and(|at| at <= now.at) {
            let followed = self.conversation.tick(now.millis);
            self.follow(followed, now);
        }
        if self.linked && self.status_due.is_some_and(|due| due <= now.at) {
            if self.outbox.is_waiting() { self.status_due = Some(now.at + STATUS_DELAY) } else { self.send_status() }
        }
        self.age(now, effects);
        self.hold = self.hold.filter(|hold| hold.until > now.at);
    }

    /// Carries out what the conversation wants.
    fn follow(&mut self, acts: Vec<Act>, now: Now) {
        for act in acts {
            match act {
                Act::Event(event) => self.push(event),
                Act::Write(line) if self.answers() => self.input.line(line),
                Act::CloseInput if self.way_in == WayIn::Open => self.way_in = WayIn::Closing,
                Act::Write(_) | Act::CloseInput => {}
            }
        }
        self.mind_backlog(now);
        let wait = self.conversation.wake().map(|at| Duration::from_millis(at.saturating_sub(now.millis)));
        self.wake = wait.map(|wait| now.at + wait);
    }

    /// Into the log, cut where it is long; then the whole of it is kept beside.
    fn push(&mut self, event: AgentEvent) {
        self.agent_due |= concerns_summary(&event);
        let number = self.records.next_number();
        let Some(short) = cut(&event) else {
            self.records.push(&encode_record(number, event));
            return;
        };
        self.records.push(&encode_record(number, short));
        let whole = encode_agent_event(&event);
        self.whole_bytes += whole.len();
        self.whole.push_back((number, whole));
        while self.whole_bytes > WHOLE
            && let Some((_, oldest)) = self.whole.pop_front()
        {
            self.whole_bytes -= oldest.len();
        }
    }

    /// A remark of the host's own.
    fn note(&mut self, line: &str, now: Now) {
        let line: String = printable(line, LOG_LINE).chars().take(LOG_CHARACTERS).collect();
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line.clone());
        let length = line.len() as u64;
        let log = v1::AgentLog { line, stream: AgentStream::Host.into(), length };
        self.push(AgentEvent { at: now.millis, kind: Some(Kind::Log(log)), ..AgentEvent::default() });
    }

    fn changed(&mut self, now: Now) {
        self.status_due.get_or_insert(now.at + STATUS_DELAY);
    }

    fn summary(&self) -> Session {
        let mut session = self.session.clone();
        let ring = self.records.ring();
        (session.head, session.tail) = (ring.head().0, ring.tail().0);
        session
    }
}

fn take_line(conversation: &mut Conversation, line: Line<'_>, now: Now) -> Vec<Act> {
    match line {
        Line::Whole(line) => conversation.line(now.millis, line),
        Line::Overlong(beginning, length) => conversation.overlong(now.millis, beginning, length),
    }
}

fn error_line(conversation: &mut Conversation, line: Line<'_>, now: Now) -> Vec<Act> {
    let (line, length) = match line {
        Line::Whole(line) => (line, line.len() as u64),
        Line::Overlong(beginning, length) => (beginning, length),
    };
    conversation.standard_error(now.millis, line, length)
}

/// Whether a viewer's first look is another one after it.
fn concerns_summary(event: &AgentEvent) -> bool {
    !matches!(
        event.kind,
        Some(
            Kind::Message(_)
                | Kind::Thought(_)
                | Kind::ToolCall(_)
                | Kind::ToolCallUpdate(_)
                | Kind::Log(_)
                | Kind::PipeOutput(_)
        ) | None
    )
}
