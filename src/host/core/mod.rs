//! What a session host decides: the log, who gets what of it, what the program is told. Pure: descriptors and clocks are its caller's.
//!
//! The caller moves bytes: it reads the PTY into [`Core::space`], writes [`Core::link_output`] and [`Core::pty_input`],
//! and reports each with how far it came. Everything else that happens is an [`Event`], what the core wants done an [`Effect`].

mod agent;
mod appearance;
mod life;
mod messages;
mod output;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use super::input::Input;
use super::jobs::Jobs;
use super::outbox::Outbox;
use super::settler::Settler;
use crate::base::{LogId, Offset, WinSize, printable};
use crate::replay::Ring;
use crate::screen::{Sieve, Sieved};
use crate::wire::encode_event;
use crate::wire::v1::event::Kind;
use crate::wire::v1::{
    self, Chosen, Exit, HostStatus, Launch, LinkHello, Session, Size, State, ToHost, to_gateway::Body,
};
use agent::Agent;
use appearance::Look;
use life::Phase;

/// Most bytes of one batch from the PTY (hop.md, finding 6).
const BATCH: usize = 32 * 1024;
/// A ring is never smaller: a quarter of it is a batch, and what the sieve holds must fit twice.
const SMALLEST_RING: usize = 16 * 1024;
/// What a batch may grow by in the sieve, which gives out what it held (4 KiB) and closes strings.
const GROWTH: u64 = 5 * 1024;
/// Notable changes are reported together, so long after the first: `ls` shows seconds.
const STATUS_DELAY: Duration = Duration::from_secs(2);
/// Lines of the host's own log that are kept.
const LOG_LINES: usize = 64;
/// Characters of a line.
const LOG_LINE: usize = 300;

/// A moment: monotonic, and as Unix seconds for what people read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) unix: u64,
    /// The same in milliseconds.
    pub(super) millis: u64,
}

/// Something that happened outside.
#[derive(Debug)]
pub(super) enum Event {
    /// A gateway said hello; an older link is over.
    LinkUp(LinkHello),
    /// The link ended.
    LinkDown,
    /// A message came over the link.
    Message(ToHost),
    /// Nobody has the agent's output open.
    OutputClosed,
    /// The agent is over, or never began.
    Exited(Exit),
    /// A line for the host's log; may hold a stranger's text.
    Log(String),
    /// A hook's connection said a line; empty: it is gone.
    Hook(u64, Vec<u8>),
    /// [`Core::deadline`] has come.
    Tick,
}

/// Something to be done outside, at once and in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Set the terminal's size.
    SetSize(WinSize),
    /// Close the PTY.
    ClosePty,
    /// Say this to a hook's connection.
    ToHook(u64, Vec<u8>),
    /// End the link for this reason.
    CloseLink(String),
    /// End the host.
    Leave,
}

/// One session.
pub(super) struct Core {
    session: Session,
    chosen: Chosen,
    ring: Ring,
    sieve: Sieve,
    sieved: Sieved,
    scratch: Vec<u8>,
    /// Head before the batch that `sieved` tells of.
    batch_at: Offset,
    settler: Settler,
    jobs: Jobs,
    input: Input,
    outbox: Outbox,
    linked: bool,
    phase: Phase,
    hold: Option<Hold>,
    held: u64,
    look: Look,
    focus_reports: bool,
    color_reports: bool,
    size_reports: bool,
    status_due: Option<Instant>,
    log: VecDeque<String>,
    /// The agent reports by hooks.
    agent: Option<Agent>,
}

struct Hold {
    offset: Offset,
    until: Instant,
    /// The PTY is not read because of it.
    blocks: bool,
}

impl Core {
    /// A running session. `launch` is what was said about it; what the host itself knows is filled in.
    pub(super) fn new(launch: Launch, log_id: LogId, ring: usize) -> Self {
        let agent = Agent::of(&launch, log_id);
        let mut session = launch.session.unwrap_or_default();
        let ring = Ring::new(ring.max(SMALLEST_RING));
        let size = session.size.unwrap_or_default();
        session.log_id = log_id.to_string();
        session.state = State::Running.into();
        Self {
            settler: Settler::new(WinSize::clamped(size.cols, size.rows), ring.capacity()),
            session,
            chosen: launch.chosen.unwrap_or_default(),
            ring,
            sieve: Sieve::new(),
            sieved: Sieved::default(),
            scratch: Vec::new(),
            batch_at: Offset::ZERO,
            jobs: Jobs::default(),
            input: Input::default(),
            outbox: Outbox::default(),
            linked: false,
            phase: Phase::Running { look_again: None },
            hold: None,
            held: 0,
            look: Look::default(),
            focus_reports: false,
            color_reports: false,
            size_reports: false,
            status_due: None,
            log: VecDeque::new(),
            agent,
        }
    }

    /// Takes in what happened; the effects are to be carried out in order.
    pub(super) fn apply(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::LinkUp(hello) => self.link_up(&hello, &mut effects),
            Event::LinkDown => self.link_down(),
            Event::Message(message) => self.message(message, now, &mut effects),
            Event::OutputClosed => self.pty_closed(now, &mut effects),
            Event::Exited(exit) => self.exited(exit, now, &mut effects),
            Event::Log(line) => self.note(&line),
            Event::Hook(connection, line) => self.hook_said(connection, &line, now, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
        }
        effects
    }

    /// Why the link is of no use any more, if so: to be asked after each turn.
    pub(super) fn link_fault(&self) -> Option<&'static str> {
        self.outbox.is_lost().then_some("the gateway left 1 MiB of events unread")
    }

    /// What to write to the link; [`Core::link_took`] must follow.
    pub(super) fn link_output(&mut self, now: Now) -> Option<[IoSlice<'_>; 3]> {
        if !self.linked {
            return None;
        }
        self.send_agent();
        self.outbox.offer(&self.ring, now.at)
    }

    /// The link took so many bytes of what was offered last.
    pub(super) fn link_took(&mut self, length: usize) {
        self.outbox.took(&self.ring, length);
    }

    /// Whether messages are taken from the link.
    pub(super) fn wants_messages(&self) -> bool {
        !self.outbox.is_flooded()
    }

    /// What to write to the PTY; may be empty. [`Core::pty_took`] must follow.
    pub(super) fn pty_input(&self, now: Now) -> Option<&[u8]> {
        self.input.next(now.at)
    }

    /// The PTY took so many bytes.
    pub(super) fn pty_took(&mut self, length: usize, now: Now) {
        if let Some(receipt) = self.input.took(length, now.at) {
            self.outbox.taken(receipt.writer, receipt.upto, receipt.viewer, now.at);
        }
    }

    /// Whether [`Core::work`] would do something now.
    pub(super) fn is_busy(&self, now: Now) -> bool {
        self.settler.is_due(&self.ring)
            || self.settler.is_overdue(&self.ring)
            || self.jobs.is_ready(&self.ring, &self.settler, now.at)
    }

    /// One slice of background work, about a millisecond at most.
    pub(super) fn work(&mut self, now: Now) {
        if self.settler.is_due(&self.ring) || self.settler.is_overdue(&self.ring) {
            self.settler.slice(&self.ring);
        } else {
            self.jobs.slice(&mut self.settler, &self.ring, &mut self.outbox, now.at);
        }
    }

    /// When an [`Event::Tick`] is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        let hold = self.hold.as_ref().filter(|hold| hold.blocks).map(|hold| hold.until);
        let status = self.status_due.filter(|_| self.linked);
        [hold, status, self.phase.deadline()].into_iter().flatten().min()
    }

    /// When to come back although nothing happens: a timer, background work, input or an acknowledgement that waits.
    pub(super) fn deadline(&self, now: Now) -> Option<Instant> {
        let jobs = self.jobs.deadline(&self.ring, &self.settler, now.at);
        let acks = self.outbox.deadline().filter(|_| self.linked);
        // What is due but not taken waits for its descriptor, not for the clock.
        let waiting = [jobs, acks, self.input.due()].into_iter().flatten().filter(|at| *at > now.at);
        waiting.chain(self.timer()).min()
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.hold.as_ref().is_some_and(|hold| hold.until <= now.at) {
            self.hold = None;
        }
        if self.linked && self.status_due.is_some_and(|due| due <= now.at) {
            // One that was not taken yet makes another useless, and a gateway that never reads must cost nothing.
            if self.outbox.is_waiting() { self.status_due = Some(now.at + STATUS_DELAY) } else { self.send_status() }
        }
        self.age(now, effects);
    }

    fn send_status(&mut self) {
        self.status_due = None;
        self.outbox.control(Body::Status(HostStatus {
            head: self.ring.head().0,
            tail: self.ring.tail().0,
            last_input: self.session.last_input,
            last_output: self.session.last_output,
            title: self.session.title.clone(),
            held: self.held,
            bytes_skipped: self.settler.skipped(),
            panics_caught: self.settler.panics_caught(),
        }));
    }

    fn changed(&mut self, now: Now) {
        self.status_due.get_or_insert(now.at + STATUS_DELAY);
    }

    fn summary(&self) -> Session {
        let size = self.settler.size();
        let mut session = self.session.clone();
        session.size = Some(Size { cols: size.cols().into(), rows: size.rows().into() });
        (session.head, session.tail) = (self.ring.head().0, self.ring.tail().0);
        session
    }

    fn event(&mut self, at: Offset, kind: Kind) {
        self.tell(at, v1::Event { kind: Some(kind), more: false });
    }

    fn tell(&mut self, at: Offset, event: v1::Event) {
        if self.linked && !self.outbox.is_lost() {
            let mut frame = bytes::BytesMut::new();
            encode_event(&mut frame, at, &event);
            self.outbox.mark(at, frame.freeze());
        }
    }

    fn note(&mut self, line: &str) {
        let line = printable(line, LOG_LINE);
        // Escapes make it longer, and all lines together go into one frame of the hello.
        let line: String = line.chars().take(LOG_LINE).collect();
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line.clone());
        self.event(self.ring.head(), Kind::HostLog(line));
    }
}
