//! The host's one thread: waits in poll(2), moves bytes, tells the core what happened and does what it says. Decides nothing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::core::{Event, Now};
use super::exit;
use super::hooks::{HOOKS, Hooks};
use super::link::{CANDIDATES, Candidate, Link, LinkFault};
use super::side::{DESCRIPTORS, Side, Wish};
use crate::sys::poll::{self, Interest, Ready};
use crate::sys::process::{self, Process};
use crate::sys::signal::{Received, Signals};
use crate::sys::stream::StreamListener;
use crate::wire::v1::Exit;

/// What one turn writes to the link at most, so that input is not kept waiting by a reader that is as fast as we are.
const TURN: usize = 256 * 1024;
/// Reads of 16 KiB that a displaced link still gets: more than its socket holds.
const DISPLACED: usize = 64;
/// After an error that would come again at once (no descriptors left).
const PAUSE: Duration = Duration::from_millis(100);

/// A program's exec takes so long at most before it counts as begun, on a file system that does not answer, say.
const EXEC: Duration = Duration::from_secs(1);
/// Descriptors besides candidates and hooks.
const NAMED: usize = 9;

/// Everything outside that every host holds.
pub(super) struct Outside {
    pub(super) listener: StreamListener,
    /// Where the agent's hooks report, if they do.
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
pub(super) struct EventLoop<S> {
    side: S,
    outside: Outside,
    link: Option<Link>,
    candidates: Vec<Candidate>,
    hooks: Hooks,
    accept_pause: Option<Instant>,
    /// Until then nobody is greeted unless it is known whether the agent's program runs.
    exec_due: Instant,
    /// The last turn left output that the link would have taken.
    unsent: bool,
    over: bool,
}

/// What is ready, by name.
struct Woken {
    side: [Ready; DESCRIPTORS],
    link: Ready,
    listener: Ready,
    hooks: Ready,
    agent: Ready,
    exec_error: Ready,
    signals: Ready,
    /// Candidates, then hooks.
    others: [Ready; CANDIDATES + HOOKS],
}

impl<S: Side> EventLoop<S> {
    pub(super) fn new(side: S, outside: Outside) -> Self {
        Self {
            side,
            outside,
            link: None,
            candidates: Vec::new(),
            hooks: Hooks::default(),
            accept_pause: None,
            exec_due: Instant::now() + EXEC,
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
        let exec_due = Some(self.exec_due).filter(|due| self.outside.exec_error.is_some() && *due > now.at);
        let pauses = [self.side.pause(now), self.accept_pause, exec_due];
        let hellos = self.candidates.iter().map(|candidate| candidate.until).chain(self.hooks.deadline());
        let deadline = self.side.deadline(now).into_iter().chain(pauses.into_iter().flatten()).chain(hellos).min();
        let busy = self.unsent || self.side.is_busy(now);
        let timeout = if busy { Some(Duration::ZERO) } else { deadline.map(|at| at.saturating_duration_since(now.at)) };

        let [first, second, third] = self.side.interests(now);
        let wants_messages = self.side.wants_messages();
        let accepts = Interest { read: self.accept_pause.is_none(), write: false };
        let greets = Interest { read: accepts.read && exec_due.is_none(), write: false };
        let out = &self.outside;
        let [one, two, three] = self.side.descriptors();
        let hooks = Interest { read: accepts.read && self.hooks.has_room(), write: false };
        let mut slots = [None; NAMED + CANDIDATES + HOOKS];
        let named: [_; NAMED] = [
            one.map(|fd| (fd, first)),
            two.map(|fd| (fd, second)),
            three.map(|fd| (fd, third)),
            self.link.as_ref().map(|link| (link.as_fd(), Interest { read: wants_messages, write: link.blocked })),
            Some((out.listener.as_fd(), greets)),
            out.hooks.as_ref().map(|listener| (listener.as_fd(), hooks)),
            out.agent.as_ref().map(|agent| (agent.as_fd(), Interest::READ)),
            out.exec_error.as_ref().map(|pipe| (pipe.as_fd(), Interest::READ)),
            out.signals.as_ref().map(|signals| (signals.as_fd(), Interest::READ)),
        ];
        let candidates =
            (0..CANDIDATES).map(|place| self.candidates.get(place).map(|candidate| candidate.link.as_fd()));
        let others = candidates.chain(self.hooks.descriptors().map(Some));
        let others = others.map(|descriptor| descriptor.map(|descriptor| (descriptor, Interest::READ)));
        for (slot, one) in slots.iter_mut().zip(named.into_iter().chain(others)) {
            *slot = one;
        }
        let [one, two, three, link, listener, hooks, agent, exec_error, signals, others @ ..] =
            poll::wait(&slots, timeout)?;
        Ok(Woken { side: [one, two, three], link, listener, hooks, agent, exec_error, signals, others })
    }

    fn turn(&mut self, woken: &Woken) {
        let now = now();
        self.accept_pause = self.accept_pause.filter(|until| *until > now.at);
        if self.side.read(&woken.side, self.link.as_ref().map(AsFd::as_fd), now) {
            self.write_link(now);
            let wishes = self.side.after_read(now);
            self.fulfil(wishes, now);
        }
        if woken.link.read {
            self.read_link(now);
        }
        self.side.write(&woken.side, now);
        if woken.exec_error.read {
            self.read_exec_error(now);
        }
        if woken.agent.read {
            self.reap_agent(now);
        }
        if woken.signals.read {
            self.read_signals(now);
        }
        let (candidates, hooks) = woken.others.split_at(CANDIDATES);
        self.greet(candidates, now);
        self.hear_hooks(hooks, now);
        self.accept(woken.listener.read, woken.hooks.read, now);
        if let Some(reason) = self.side.link_fault() {
            self.close_link(reason, now);
        }
        if self.side.timer().is_some_and(|at| at <= now.at) {
            self.apply(Event::Tick, now);
        }
        // What a timer, a new link or an end made for the agent; a side that is blocked waits for its descriptor.
        self.side.write(&[Ready::default(); DESCRIPTORS], now);
        if self.side.is_busy(now) {
            self.side.work(now);
        }
        if let Some(link) = self.link.as_mut() {
            link.blocked &= !woken.link.write;
        }
        self.write_link(now);
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
        while let Some(parts) = self.side.link_output(now) {
            match link.stream.write(&parts) {
                Ok(0) => {
                    link.blocked = true;
                    return;
                }
                Ok(length) => {
                    self.side.link_took(length);
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

    fn greet(&mut self, ready: &[Ready], now: Now) {
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

    /// Before a new connection is taken: the places are those that were waited for.
    fn hear_hooks(&mut self, ready: &[Ready], now: Now) {
        for (connection, line) in self.hooks.read(ready, now.at) {
            self.apply(Event::Hook(connection, line), now);
        }
        self.hooks.close();
    }

    fn accept(&mut self, links: bool, hooks: bool, now: Now) {
        if hooks && let Some(listener) = &self.outside.hooks {
            match listener.accept() {
                Ok(Some((stream, uid))) if uid == self.outside.account_uid => self.hooks.add(stream, now.at),
                Ok(Some((_, uid))) => {
                    let line = format!("a hook connection by uid {uid} was refused: only the account's may connect");
                    self.apply(Event::Log(line), now);
                }
                Ok(None) => {}
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
            self.agent_is_gone(exit::not_started(&error), now);
        }
    }

    fn reap_agent(&mut self, now: Now) {
        if let Some(Ok(ended)) = self.outside.agent.take().map(|agent| agent.reap()) {
            self.agent_is_gone(exit::ended(ended), now);
        }
    }

    /// Nobody waits for what its hooks would be told.
    fn agent_is_gone(&mut self, exit: Exit, now: Now) {
        self.apply(Event::Exited(exit), now);
        self.hooks = Hooks::default();
        self.outside.hooks = None;
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
                self.agent_is_gone(exit::ended(ended), now);
            }
        }
    }

    fn apply(&mut self, event: Event, now: Now) {
        let wishes = self.side.apply(event, now);
        self.fulfil(wishes, now);
    }

    fn fulfil(&mut self, wishes: Vec<Wish>, now: Now) {
        for wish in wishes {
            match wish {
                Wish::CloseLink(reason) => self.close_link(&reason, now),
                Wish::Leave => self.over = true,
                Wish::ToHook(connection, line) => self.hooks.say(connection, &line),
            }
        }
    }
}

pub(super) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { at: Instant::now(), unix: since.as_secs(), millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}
