//! The spawner's one loop: waits for sockets, signals, ends of processes and deadlines, and lets each part take its step.
//! Does not judge orders.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::connection::{Asker, Connection, Received};
use super::gateway::{Gateway, launch};
use super::given::{Given, Listeners, LogEntry, Tls};
use super::handed::Handed;
use super::helper::Helper;
use super::keys::ReadingKeys;
use super::layout::Layout;
use super::replace::Replacing;
use super::sessions::Hosts;
use super::start::Starting;
use super::stop::{Stop, kill_same};
use super::table::{Directories, Identities, Table};
use super::{Ended, SpawnerError};
use crate::base::{AccountName, SessionId};
use crate::sys::credentials::{current_uid, peer};
use crate::sys::memfd::sealed_memfd;
use crate::sys::process::{Ended as ProcessEnded, become_subreaper, own_pid, reap_any, set_umask, undumpable};
use crate::sys::procfs;
use crate::sys::readiness::readable;
use crate::sys::signal::{Received as Signal, Signals};
use crate::wire::v1::{HostGone, answer};

/// Helpers at work at once, each a process; further orders wait in the socket, at most a helper's deadline.
const HELPERS: usize = 32;
/// Orders taken in one turn, so that a busy gateway does not keep ends and deadlines waiting.
const ORDERS: usize = 64;

/// Everything that the spawner has.
pub(super) struct Service {
    pub(super) table: Table,
    pub(super) given: Given,
    pub(super) files: Files,
    pub(super) layout: Layout,
    pub(super) hosts: Hosts,
    pub(super) starts: BTreeMap<SessionId, Starting>,
    /// Starts that shall only be judged; they end before anything is launched.
    pub(super) checks: Vec<Starting>,
    pub(super) keys: Vec<ReadingKeys>,
    pub(super) stops: Vec<Stop>,
    /// What login shells said, and when.
    pub(super) paths: BTreeMap<AccountName, (Option<String>, Instant)>,
    pub(super) gateway: Gateway,
    /// Another program is about to take this one's place.
    pub(super) replacing: Option<Replacing>,
    pub(super) connection: Option<Connection>,
    connections: u64,
    signals: Signals,
    /// Helpers that remove what an account left in its hook directory.
    pub(super) cleaners: Vec<Helper>,
    /// Helpers that leave no descendants behind.
    quiet: BTreeSet<i32>,
    /// Children that this process had before it was the spawner.
    pub(super) strangers: BTreeSet<i32>,
}

/// Sealed memory files for the gateway.
pub(super) struct Files {
    pub(super) config: OwnedFd,
    pub(super) tls: Option<(OwnedFd, OwnedFd)>,
}

impl Files {
    pub(super) fn new(config: &[u8], tls: Option<&Tls>) -> io::Result<Self> {
        let tls = tls.map(|tls| {
            Ok::<_, io::Error>((
                sealed_memfd("tls-cert", &tls.certificate)?,
                sealed_memfd("tls-key", tls.key.reveal())?,
            ))
        });
        Ok(Self { config: sealed_memfd("config", config)?, tls: tls.transpose()? })
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> SpawnerError {
    move |source| SpawnerError::System { what, source }
}

/// What an exec undoes.
fn harden() -> Result<(), SpawnerError> {
    undumpable().map_err(system("becoming undumpable"))?;
    set_umask(0o077);
    Ok(())
}

impl Service {
    /// Takes the lock and adopts.
    pub(super) fn open(table: Table, given: Given) -> Result<Self, SpawnerError> {
        table.check(current_uid())?;
        harden()?;
        let layout = Layout::prepare(&table, given.executable.as_deref())?;
        let files = Files::new(&given.config, given.tls.as_ref()).map_err(system("memory files"))?;
        let gateway = Gateway::new(table.programs.gateway.is_some(), Instant::now());
        let (mut service, gone) = Self::assemble(table, given, layout, files, gateway)?;
        let known: BTreeSet<i32> = service.hosts.iter().map(|host| host.record.pid).collect();
        let children = procfs::children(own_pid()).into_iter().map(|(pid, _)| pid);
        service.strangers = children.filter(|pid| !known.contains(pid)).collect();
        for session in gone {
            service.clean(session);
        }
        Ok(service)
    }

    /// Goes on where the program stopped that this process ran before.
    pub(super) fn resume(number: RawFd, given: impl FnOnce(Listeners) -> Given) -> Result<Self, SpawnerError> {
        let handed = Handed::take(number)?;
        let held = handed.descriptors.open().map_err(system("descriptors"))?;
        let given = given(Listeners { https: held.https, ssh: held.ssh, admin: held.admin });
        let table = handed.table;
        harden()?;
        let held_layout = (held.lock.into(), held.admin_socket, held.orders.into());
        let layout = Layout::resume(&table, given.executable.as_deref(), held_layout)?;
        let files = Files { config: held.config, tls: held.tls };
        let gateway = Gateway::resume(table.programs.gateway.is_some(), handed.gateway, Instant::now());
        let (mut service, gone) = Self::assemble(table, given, layout, files, gateway)?;
        service.strangers = handed.strangers;
        if let (Some(connection), Some(socket)) = (&handed.connection, held.connection) {
            let connection = Connection::resume(connection, socket.into()).map_err(system("the gateway's socket"))?;
            service.connections = connection.id();
            service.connection = Some(connection);
        } else {
            // A child without a connection cannot make another one.
            service.gateway.cut_off(Instant::now());
        }
        for session in gone {
            service.clean(session);
            service.tell(answer::Body::Gone(HostGone { session_id: session.to_string() }));
        }
        // The table that was handed over stays where the new one cannot be.
        let (connection, number) = handed.asker;
        service.reload(Asker { connection, number });
        Ok(service)
    }

    /// With the hosts that are on record; also those on record that are gone.
    fn assemble(
        table: Table,
        given: Given,
        layout: Layout,
        files: Files,
        gateway: Gateway,
    ) -> Result<(Self, Vec<SessionId>), SpawnerError> {
        let signals = Signals::block().map_err(system("signals"))?;
        become_subreaper().map_err(system("becoming subreaper"))?;
        let (hosts, gone) = Hosts::adopt(&layout.records).map_err(system("host records"))?;
        let mut service = Self {
            table,
            given,
            files,
            layout,
            hosts,
            starts: BTreeMap::new(),
            checks: Vec::new(),
            keys: Vec::new(),
            stops: Vec::new(),
            paths: BTreeMap::new(),
            gateway,
            replacing: None,
            connection: None,
            connections: 0,
            signals,
            cleaners: Vec::new(),
            quiet: BTreeSet::new(),
            strangers: BTreeSet::new(),
        };
        let adopted = service.hosts.iter().count();
        service.given.log.entry(&LogEntry::Started { adopted }).map_err(SpawnerError::Audit)?;
        Ok((service, gone))
    }

    /// Serves until it is told to end.
    pub(super) fn run(mut self) -> Result<Ended, SpawnerError> {
        loop {
            if self.turn()? {
                return Ok(self.end());
            }
        }
    }

    fn end(mut self) -> Ended {
        let sessions = self.hosts.with_agent().len() + self.starts.values().filter_map(Starting::host_pid).count();
        self.connection = None;
        self.gateway.end();
        // A host whose end came together with ours.
        if let Ok((gone, _)) = self.wait(Some(Duration::ZERO)) {
            gone.into_iter().for_each(|session| self.host_gone(session));
        }
        let Directories { run, reachable, .. } = &self.table.directories;
        let made = reachable != run && self.given.executable.is_some();
        if made && self.hosts.iter().count() == 0 && self.starts.is_empty() {
            self.layout.withdraw(reachable);
        }
        self.layout.close();
        self.note(&LogEntry::Ended { sessions });
        Ended { sessions }
    }

    /// One wait and what follows from it; true when the spawner should end.
    fn turn(&mut self) -> Result<bool, SpawnerError> {
        let now = Instant::now();
        self.start_gateway(now);
        let timeout = self.deadline().map(|at| at.saturating_duration_since(now));
        let (gone, gateway_gone) = self.wait(timeout)?;
        let now = Instant::now();
        while let Some(signal) =
            self.signals.next().map_err(|source| SpawnerError::System { what: "signals", source })?
        {
            match signal {
                Signal::End(_) => return Ok(true),
                Signal::Child => {}
            }
        }
        for session in gone {
            self.host_gone(session);
        }
        self.reap(gateway_gone, now);
        self.accept(now);
        self.take_orders(now);
        self.step_starts(now);
        self.step_checks(now);
        self.step_keys(now);
        self.step_stops(now);
        self.step_replacing(now);
        self.cleaners
            .retain_mut(|helper| now < helper.deadline() && matches!(helper.hear(now), super::helper::Heard::Nothing));
        self.gateway.enforce(now);
        Ok(false)
    }

    /// Waits; which hosts have ended, and whether the gateway has. Everything else is asked in any case.
    fn wait(&self, timeout: Option<Duration>) -> Result<(Vec<SessionId>, bool), SpawnerError> {
        let mut descriptors: Vec<BorrowedFd<'_>> = Vec::new();
        let hosts: Vec<SessionId> = self.hosts.iter().map(|host| host.record.session).collect();
        descriptors.extend(self.hosts.iter().map(AsFd::as_fd));
        let gateway = self.gateway.process();
        descriptors.extend(gateway.map(AsFd::as_fd));
        descriptors.push(self.signals.as_fd());
        descriptors.push(self.layout.listener.as_fd());
        descriptors.extend(self.starts.values().chain(&self.checks).filter_map(Starting::descriptor));
        descriptors.extend(self.keys.iter().map(|keys| keys.helper.as_fd()));
        descriptors.extend(self.cleaners.iter().map(AsFd::as_fd));
        descriptors.extend(self.replacement_helper().map(AsFd::as_fd));
        if self.has_room() {
            descriptors.extend(self.connection.as_ref().map(AsFd::as_fd));
        }
        let ready = readable(&descriptors, timeout)
            .map_err(|source| SpawnerError::System { what: "waiting for events", source })?;
        let mut ready = ready.into_iter();
        let gone = hosts.into_iter().zip(ready.by_ref()).filter(|(_, ready)| *ready).map(|(session, _)| session);
        let gone: Vec<SessionId> = gone.collect();
        Ok((gone, gateway.is_some() && ready.next() == Some(true)))
    }

    fn deadline(&self) -> Option<Instant> {
        let starts = self.starts.values().chain(&self.checks).filter_map(Starting::deadline);
        let helpers = self.keys.iter().map(|keys| keys.helper.deadline());
        let cleaners = self.cleaners.iter().map(Helper::deadline);
        let stops = self.stops.iter().map(Stop::deadline);
        let replacement = self.replacement_helper().map(Helper::deadline);
        starts.chain(helpers).chain(cleaners).chain(stops).chain(replacement).chain(self.gateway.deadline()).min()
    }

    fn has_room(&self) -> bool {
        self.starts.len() + self.checks.len() + self.keys.len() < HELPERS && !self.is_leaving()
    }

    fn replacement_helper(&self) -> Option<&Helper> {
        self.replacing.as_ref().and_then(|replacing| replacing.helper.as_ref())
    }

    fn start_gateway(&mut self, now: Instant) {
        if !self.gateway.is_due(now) {
            return;
        }
        let Some(command) = &self.table.programs.gateway else { return };
        let identity = match &self.table.identities {
            Identities::Separate { gateway, .. } => Some(gateway.identity()),
            Identities::SingleUser => None,
        };
        match launch(command, identity.as_ref()) {
            Ok((process, socket)) => {
                self.note(&LogEntry::GatewayStarted { pid: process.pid() });
                self.gateway.started(process);
                self.connect(socket, true);
            }
            Err(error) => {
                self.note(&LogEntry::Trouble { what: format!("the gateway was not started: {error}") });
                self.gateway.ended(now);
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        let gateway = match &self.table.identities {
            Identities::Separate { gateway, .. } => gateway.uid,
            Identities::SingleUser => current_uid(),
        };
        while let Ok(socket) = self.layout.listener.accept() {
            let uid = peer(socket.as_fd()).map(|peer| peer.uid);
            let accepted = uid.as_ref().is_ok_and(|uid| *uid == gateway);
            self.note(&LogEntry::Connection { uid: uid.unwrap_or(u32::MAX), accepted });
            if accepted {
                self.disconnect(now);
                self.connect(socket, false);
            }
        }
    }

    fn connect(&mut self, socket: crate::sys::seqpacket::Seqpacket, child: bool) {
        self.connections += 1;
        match Connection::new(self.connections, socket, child) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => self.note(&LogEntry::Trouble { what: format!("the gateway's socket: {error}") }),
        }
    }

    /// The connection is over. Our own gateway cannot make another one.
    fn disconnect(&mut self, now: Instant) {
        if self.connection.take().is_some_and(|connection| connection.child) {
            self.gateway.cut_off(now);
        }
    }

    fn take_orders(&mut self, now: Instant) {
        for _ in 0..ORDERS {
            if !self.has_room() {
                return;
            }
            let Some(connection) = &mut self.connection else { return };
            match connection.receive() {
                Received::Order(order) => {
                    let asker = connection.asker(order.number);
                    self.carry_out(asker, order.body, now);
                }
                Received::Nothing => return,
                Received::Over(reason) => {
                    if let Some(reason) = reason {
                        self.note(&LogEntry::OrderRefused { reason });
                    }
                    return self.disconnect(now);
                }
            }
        }
    }

    /// Answers whoever asked, if that connection is still there.
    pub(super) fn answer(&mut self, asker: Asker, body: answer::Body, descriptors: &[BorrowedFd<'_>]) {
        let Some(connection) = self.connection.as_ref().filter(|connection| connection.is(asker)) else { return };
        if let Err(error) = connection.send(asker.number, body, descriptors) {
            self.dropped(&error);
        }
    }

    /// Tells the gateway something that it did not ask for.
    pub(super) fn tell(&mut self, body: answer::Body) {
        let Some(connection) = self.connection.as_ref().filter(|connection| connection.greeted()) else { return };
        if let Err(error) = connection.send(0, body, &[]) {
            self.dropped(&error);
        }
    }

    fn dropped(&mut self, error: &io::Error) {
        self.note(&LogEntry::Trouble { what: format!("an answer to the gateway was not sent: {error}") });
        self.disconnect(Instant::now());
    }

    /// Whether this asker's connection is the present one.
    pub(super) fn is_present(&self, asker: Asker) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is(asker))
    }

    /// Answers with our own descriptors: files, listeners, directories.
    pub(super) fn answer_with_files(
        &mut self,
        asker: Asker,
        body: impl FnOnce(Vec<String>) -> answer::Body,
        all: bool,
    ) {
        let mut named: Vec<(&str, BorrowedFd<'_>)> = Vec::new();
        if all {
            let listeners = &self.given.listeners;
            for (name, listener) in [("https", &listeners.https), ("ssh", &listeners.ssh), ("admin", &listeners.admin)]
            {
                named.extend(listener.as_ref().map(|listener| (name, listener.as_fd())));
            }
            named.push(("admin.sock", self.layout.admin.as_fd()));
            named.push(("state", self.layout.state.as_fd()));
            named.push(("hosts", self.layout.hosts.as_fd()));
        }
        named.push(("config", self.files.config.as_fd()));
        if let Some((certificate, key)) = &self.files.tls {
            named.push(("tls-cert", certificate.as_fd()));
            named.push(("tls-key", key.as_fd()));
        }
        let names = named.iter().map(|(name, _)| (*name).to_owned()).collect();
        let descriptors: Vec<BorrowedFd<'_>> = named.iter().map(|(_, descriptor)| *descriptor).collect();
        let Some(connection) = self.connection.as_ref().filter(|connection| connection.is(asker)) else { return };
        if let Err(error) = connection.send(asker.number, body(names), &descriptors) {
            self.dropped(&error);
        }
    }

    fn host_gone(&mut self, session: SessionId) {
        if self.hosts.remove(session).is_none() {
            return;
        }
        self.clean(session);
        self.note(&LogEntry::HostGone { session });
        self.tell(answer::Body::Gone(HostGone { session_id: session.to_string() }));
    }

    /// Removes what a host leaves by name.
    pub(super) fn clean(&mut self, session: SessionId) {
        match self.layout.forget(session) {
            Ok(true) => {}
            Ok(false) => {
                let path = self.layout.agents_path.join(session.to_string());
                // It may hold any number of files: not in the loop.
                let cleaner = Helper::start(Instant::now(), move |_| {
                    let _ = std::fs::remove_dir_all(path);
                    Ok(())
                });
                self.cleaners.extend(cleaner.ok());
            }
            Err(error) => self.note(&LogEntry::Trouble { what: format!("files of session {session}: {error}") }),
        }
    }

    /// Takes the status of every child that has ended, and kills what a dead session or shell left to us.
    fn reap(&mut self, gateway_gone: bool, now: Instant) {
        let gateway = self.gateway.process().map(crate::sys::process::Process::pid);
        let mut how = None;
        let mut sweep = false;
        while let Some((pid, ended)) = reap_any() {
            if Some(pid) == gateway {
                how = Some(ended);
            }
            sweep |= !self.quiet.remove(&pid) && Some(pid) != gateway;
        }
        if gateway_gone || how.is_some() {
            let how = match how {
                Some(ProcessEnded::Status(status)) => format!("status {status}"),
                Some(ProcessEnded::Signal(signal)) => format!("signal {signal}"),
                None => "unknown".into(),
            };
            self.note(&LogEntry::GatewayEnded { how });
            if self.connection.as_ref().is_some_and(|connection| connection.child) {
                self.connection = None;
            }
            self.gateway.ended(now);
        }
        if sweep {
            self.sweep();
        }
    }

    /// An orphan of a dead session is killed; its children come next, with its own end.
    fn sweep(&self) {
        let mut known = self.strangers.clone();
        known.extend(self.hosts.iter().map(|host| host.record.pid));
        known.extend(self.gateway.process().map(crate::sys::process::Process::pid));
        let starts = self.starts.values().chain(&self.checks);
        known.extend(starts.filter_map(|start| start.host_pid().or(start.helper_pid())));
        known.extend(self.keys.iter().map(|keys| keys.helper.pid()));
        known.extend(self.cleaners.iter().map(Helper::pid));
        known.extend(self.replacement_helper().map(Helper::pid));
        for (pid, start_time) in procfs::children(own_pid()) {
            if !known.contains(&pid) {
                kill_same(pid, start_time);
            }
        }
    }

    /// Notes that this helper needs no sweep after it.
    pub(super) fn leaves_nothing(&mut self, pid: i32) {
        self.quiet.insert(pid);
    }

    /// An entry that nothing depends on. Where it cannot be written, the console is what is left.
    pub(super) fn note(&mut self, entry: &LogEntry<'_>) {
        if let Err(error) = self.given.log.entry(entry) {
            eprintln!("the spawner's audit cannot be written: {error}");
        }
    }
}
