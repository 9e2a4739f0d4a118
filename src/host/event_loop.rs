//! The host's one thread: waits in poll(2), moves bytes, tells the core what happened and does what it says. Decides nothing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::core::{Core, Effect, Event, Now};
use super::exit;
use super::link::{CANDIDATES, Candidate, Link, LinkFault};
use crate::sys::poll::{self, Interest, Ready};
use crate::sys::process::{self, Process};
use crate::sys::pty_master::{PtyMaster, PtyRead};
use crate::sys::signal::{Received, Signals};
use crate::sys::stream::StreamListener;

/// A first read shorter than this is a keystroke's echo: sent at once, without another read (hop.md, finding 6).
const SHORT: usize = 512;
/// A batch of this length is part of a flood, not of a screen or an answer.
const FLOOD: usize = 4 * 1024;
/// In a flood the terminal is looked at so often, as a network card's driver does it, instead of at each 4 KiB that arrive: a wake-up of
/// ours, the gateway's, the socket's and the client's for each costs more than moving them. A terminal holds 12 KiB, which no program
/// prints faster; input cuts the pause short.
const PAUSE_IN_FLOOD: Duration = Duration::from_micros(60);
/// And a batch is sent after so long in all.
const GATHERED: Duration = Duration::from_millis(1);
/// Two batches so close belong to one flood.
const ONE_FLOOD: Duration = Duration::from_millis(2);
/// What one turn writes to the link at most, so that input is not kept waiting by a reader that is as fast as we are.
const TURN: usize = 256 * 1024;
/// Reads of 16 KiB that a displaced link still gets: more than its socket holds.
const DISPLACED: usize = 64;
/// After an error that would come again at once (no descriptors left, a terminal nobody has open).
const PAUSE: Duration = Duration::from_millis(100);

/// Everything outside that the host holds.
pub(super) struct Outside {
    pub(super) pty: Option<PtyMaster>,
    pub(super) listener: StreamListener,
    /// Where agents' hooks will report; nobody is answered yet.
    pub(super) hooks: Option<StreamListener>,
    pub(super) agent: Option<Process>,
    /// Carries the agent's errno if its program could not be started; ends when it could.
    pub(super) exec_error: Option<File>,
    /// None in a process that is more than a host.
    pub(super) signals: Option<Signals>,
    /// Whose connections are links.
    pub(super) gateway_uid: u32,
    /// Whose connections are hooks'.
    pub(super) account_uid: u32,
}

/// A host at work.
pub(super) struct EventLoop {
    core: Core,
    outside: Outside,
    link: Option<Link>,
    candidates: Vec<Candidate>,
    /// The terminal's input was full at the last write.
    pty_blocked: bool,
    pty_pause: Option<Instant>,
    /// When the newest batch of a flood was read.
    flooded: Option<Instant>,
    accept_pause: Option<Instant>,
    /// The last turn left output that the link would have taken.
    unsent: bool,
    over: bool,
}

/// What is ready, by name.
struct Woken {
    pty: Ready,
    link: Ready,
    listener: Ready,
    hooks: Ready,
    agent: Ready,
    exec_error: Ready,
    signals: Ready,
    candidates: [Ready; CANDIDATES],
}

impl EventLoop {
    pub(super) fn new(core: Core, outside: Outside) -> Self {
        Self {
            core,
            outside,
            link: None,
            candidates: Vec::new(),
            pty_blocked: false,
            pty_pause: None,
            flooded: None,
            accept_pause: None,
            unsent: false,
            over: false,
        }
    }

    /// Until the session is forgotten.
    pub(super) fn run(mut self) -> io::Result<()> {
        while !self.over {
            let woken = self.wait(now())?;
            self.turn(&woken);
        }
        Ok(())
    }

    fn wait(&mut self, now: Now) -> io::Result<Woken> {
        let pauses = [self.pty_pause, self.accept_pause];
        let hellos = self.candidates.iter().map(|candidate| candidate.until);
        let deadline = self.core.deadline(now).into_iter().chain(pauses.into_iter().flatten()).chain(hellos).min();
        let busy = self.unsent || self.core.is_busy(now);
        let timeout = if busy { Some(Duration::ZERO) } else { deadline.map(|at| at.saturating_duration_since(now.at)) };

        let pty_write = self.pty_blocked && self.pty_pause.is_none();
        let pty = Interest { read: self.core.wants_output(now), write: pty_write };
        let wants_messages = self.core.wants_messages();
        let accepts = Interest { read: self.accept_pause.is_none(), write: false };
        let out = &self.outside;
        let mut candidates = self.candidates.iter().map(|candidate| (candidate.link.as_fd(), Interest::READ));
        let slots = [
            out.pty.as_ref().map(|master| (master.as_fd(), pty)),
            self.link.as_ref().map(|link| (link.as_fd(), Interest { read: wants_messages, write: link.blocked })),
            Some((out.listener.as_fd(), accepts)),
            out.hooks.as_ref().map(|hooks| (hooks.as_fd(), accepts)),
            out.agent.as_ref().map(|agent| (agent.as_fd(), Interest::READ)),
            out.exec_error.as_ref().map(|pipe| (pipe.as_fd(), Interest::READ)),
            out.signals.as_ref().map(|signals| (signals.as_fd(), Interest::READ)),
            candidates.next(),
            candidates.next(),
            candidates.next(),
            candidates.next(),
        ];
        let [pty, link, listener, hooks, agent, exec_error, signals, candidates @ ..] = poll::wait(&slots, timeout)?;
        Ok(Woken { pty, link, listener, hooks, agent, exec_error, signals, candidates })
    }

    fn turn(&mut self, woken: &Woken) {
        let now = now();
        for pause in [&mut self.pty_pause, &mut self.accept_pause] {
            *pause = pause.filter(|until| *until > now.at);
        }
        if woken.pty.read {
            self.read_pty(now);
        }
        if woken.link.read {
            self.read_link(now);
        }
        if !self.pty_blocked || woken.pty.write {
            self.write_pty(now);
        }
        if woken.exec_error.read {
            self.read_exec_error(now);
        }
        if woken.agent.read {
            self.reap_agent(now);
        }
        if woken.signals.read {
            self.read_signals(now);
        }
        self.greet(&woken.candidates, now);
        self.accept(woken.listener.read, woken.hooks.read, now);
        if let Some(reason) = self.core.link_fault() {
            self.close_link(reason, now);
        }
        if self.core.timer().is_some_and(|at| at <= now.at) {
            self.apply(Event::Tick, now);
        }
        if self.core.is_busy(now) {
            self.core.work(now);
        }
        if let Some(link) = self.link.as_mut() {
            link.blocked &= !woken.link.write;
        }
        self.write_link(now);
    }

    /// Until nothing is left, the batch is full, or the first read was short. In a flood what comes in the next moment belongs to it.
    fn read_pty(&mut self, now: Now) {
        let Some(pty) = &self.outside.pty else { return };
        let flooded = self.flooded.is_some_and(|at| now.at.saturating_duration_since(at) < ONE_FLOOD);
        let space = self.core.space(now);
        let (mut filled, mut paused_at) = (0, 0);
        let mut closed = false;
        while let Some(rest) = space.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match pty.read(rest) {
                Ok(PtyRead::Bytes(length)) if filled == 0 && length < SHORT => {
                    filled = length;
                    break;
                }
                Ok(PtyRead::Bytes(length)) => filled += length,
                Ok(PtyRead::Empty) if flooded && filled >= paused_at + FLOOD && now.at.elapsed() < GATHERED => {
                    paused_at = filled;
                    let input = self.link.as_ref().map(|link| (link.as_fd(), Interest::READ));
                    if !matches!(poll::wait(&[input], Some(PAUSE_IN_FLOOD)), Ok([Ready { read: false, .. }])) {
                        break;
                    }
                }
                Ok(PtyRead::Empty) => break,
                Ok(PtyRead::Closed) | Err(_) => {
                    closed = true;
                    break;
                }
            }
        }
        self.flooded = (filled >= FLOOD).then_some(now.at);
        if filled > 0 {
            self.core.output(filled, now);
            self.write_link(now);
            self.core.after_output(now);
        }
        if closed {
            self.apply(Event::PtyClosed, now);
        }
    }

    fn write_pty(&mut self, now: Now) {
        let Some(pty) = self.outside.pty.as_ref().filter(|_| self.pty_pause.is_none()) else { return };
        let was_blocked = std::mem::take(&mut self.pty_blocked);
        let mut took = false;
        while let Some(input) = self.core.pty_input(now) {
            let length = if input.is_empty() { Ok(0) } else { pty.write(input) };
            if input.is_empty() || matches!(length, Ok(1..)) {
                self.core.pty_took(length.unwrap_or_default(), now);
                took = true;
                continue;
            }
            self.pty_blocked = true;
            // Ready and yet not writable: nobody has the terminal open. The wait must not spin on it.
            if length.is_err() || (was_blocked && !took) {
                self.pty_pause = Some(now.at + PAUSE);
            }
            return;
        }
    }

    fn read_link(&mut self, now: Now) {
        if let Err(fault) = self.receive(now) {
            self.close_link(&fault.to_string(), now);
        }
    }

    /// Reads the link once and does what it says; whether there was anything.
    fn receive(&mut self, now: Now) -> Result<bool, LinkFault> {
        let received = self.link.as_mut().map_or(Ok(false), Link::receive);
        self.take_messages(now)?;
        received
    }

    fn take_messages(&mut self, now: Now) -> Result<(), LinkFault> {
        while let Some(message) = self.link.as_mut().map_or(Ok(None), Link::next_message)? {
            self.apply(Event::Message(message), now);
        }
        Ok(())
    }

    fn write_link(&mut self, now: Now) {
        self.unsent = false;
        let Some(link) = self.link.as_mut().filter(|link| !link.blocked) else { return };
        let mut total = 0;
        while let Some(parts) = self.core.link_output(now) {
            match link.stream.write(&parts) {
                Ok(0) => {
                    link.blocked = true;
                    return;
                }
                Ok(length) => {
                    self.core.link_took(length);
                    total += length;
                }
                Err(error) => {
                    self.close_link(&LinkFault::Io(error).to_string(), now);
                    return;
                }
            }
            if total >= TURN {
                self.unsent = true;
                return;
            }
        }
    }

    fn close_link(&mut self, reason: &str, now: Now) {
        if self.link.take().is_some() {
            self.apply(Event::LinkDown, now);
            self.apply(Event::Log(format!("link closed: {reason}")), now);
        }
    }

    fn greet(&mut self, ready: &[Ready; CANDIDATES], now: Now) {
        let candidates = std::mem::take(&mut self.candidates);
        for (index, mut candidate) in candidates.into_iter().enumerate() {
            if !ready.get(index).is_some_and(|ready| ready.read) {
                if candidate.until > now.at {
                    self.candidates.push(candidate);
                }
                continue;
            }
            match candidate.hello() {
                Ok(Some(hello)) => {
                    // What reached the host is delivered, whoever sent it.
                    let mut rounds = 0..DISPLACED;
                    while rounds.next().is_some() && matches!(self.receive(now), Ok(true)) {}
                    self.close_link("a newer gateway took over", now);
                    self.link = Some(candidate.link);
                    self.apply(Event::LinkUp(hello), now);
                    if let Err(fault) = self.take_messages(now) {
                        self.close_link(&fault.to_string(), now);
                    }
                }
                Ok(None) => self.candidates.push(candidate),
                Err(fault) => self.apply(Event::Log(format!("a connection was closed: {fault}")), now),
            }
        }
    }

    fn accept(&mut self, links: bool, hooks: bool, now: Now) {
        if hooks && let Some(listener) = &self.outside.hooks {
            // Closed at once, whoever it is: structured sessions are not built yet.
            match listener.accept() {
                Ok(Some((_, uid))) if uid != self.outside.account_uid => {
                    let line = format!("a hook connection by uid {uid} was refused: only the account's may connect");
                    self.apply(Event::Log(line), now);
                }
                Ok(_) => {}
                Err(_) => self.accept_pause = Some(now.at + PAUSE),
            }
        }
        if !links {
            return;
        }
        match self.outside.listener.accept() {
            Ok(Some((stream, uid))) if uid == self.outside.gateway_uid => {
                if self.candidates.len() == CANDIDATES {
                    self.candidates.remove(0);
                }
                self.candidates.push(Candidate::new(stream, now.at));
            }
            Ok(Some((_, uid))) => {
                let line = format!("a connection by uid {uid} was refused: only the gateway's may connect");
                self.apply(Event::Log(line), now);
            }
            Ok(None) => {}
            Err(error) => {
                self.accept_pause = Some(now.at + PAUSE);
                self.apply(Event::Log(format!("accepting a connection failed: {error}")), now);
            }
        }
    }

    fn read_exec_error(&mut self, now: Now) {
        let Some(mut pipe) = self.outside.exec_error.take() else { return };
        let mut errno = [0; 4];
        // Four bytes are one write, or nothing and the end.
        if pipe.read_exact(&mut errno).is_ok() {
            let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
            self.apply(Event::Exited(exit::not_started(&error)), now);
        }
    }

    fn reap_agent(&mut self, now: Now) {
        if let Some(Ok(ended)) = self.outside.agent.take().map(|agent| agent.reap()) {
            self.apply(Event::Exited(exit::ended(ended)), now);
        }
    }

    fn read_signals(&mut self, now: Now) {
        let Some(signals) = &mut self.outside.signals else { return };
        let mut children = false;
        while let Ok(Some(received)) = signals.next() {
            match received {
                Received::Child => children = true,
                Received::End(signal) => self.over |= exit::is_terminate(signal),
            }
        }
        let agent = self.outside.agent.as_ref().map(Process::pid);
        // Orphans of the agent are this process's to reap.
        while children && let Some((pid, ended)) = process::reap_any() {
            if Some(pid) == agent {
                // A program that could not be started says why before it exits; both may be newer than the last poll.
                self.read_exec_error(now);
                self.outside.agent = None;
                self.apply(Event::Exited(exit::ended(ended)), now);
            }
        }
    }

    fn apply(&mut self, event: Event, now: Now) {
        for effect in self.core.apply(event, now) {
            match effect {
                Effect::SetSize(size) => {
                    if let Some(Err(error)) = self.outside.pty.as_ref().map(|pty| pty.set_size(size)) {
                        self.apply(Event::Log(format!("the terminal refused the size {size}: {error}")), now);
                    }
                }
                Effect::ClosePty => self.outside.pty = None,
                Effect::CloseLink(reason) => self.close_link(&reason, now),
                Effect::Leave => self.over = true,
            }
        }
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Now { at: Instant::now(), unix }
}
