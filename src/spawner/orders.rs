//! What each permitted order does. Does not know the loop, nor how processes are made.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::connection::Asker;
use super::given::{Fresh, LogEntry};
use super::helper::Helper;
use super::jobs::Resolve;
use super::keys::{ReadKeys, ReadingKeys};
use super::launch::{Launching, launch};
use super::plan::{Plan, Refusal, Request, Resolved};
use super::records::Record;
use super::service::{Files, Service};
use super::start::{StartStep, Starting};
use super::stop::{Stop, StopStep, kill_tree};
use super::table::Identities;
use crate::base::{SessionId, printable};
use crate::sys::credentials::current_uid;
use crate::sys::procfs;
use crate::wire::ORDER_VERSION;
use crate::wire::v1::{
    Accepted, HelloAnswer, HostRecord, Keys, KeysAnswer, OrderDone, Refused, Start, Started, Stopped, answer, order,
};

/// How long a login shell's PATH is believed: long enough for a burst of starts, short enough after an edit of a profile.
const PATH_FRESH: Duration = Duration::from_secs(60);
/// Askers that wait for one start: retries of one client.
const ASKERS: usize = 16;
/// Records in one answer; each has at most 90 bytes, an answer 64 KiB.
const PAGE: usize = 500;

impl Service {
    /// Carries a permitted order out, or begins to.
    pub(super) fn carry_out(&mut self, asker: Asker, body: Option<order::Body>, now: Instant) {
        match body {
            Some(order::Body::Hello(_)) => self.answer_with_files(
                asker,
                |descriptors| answer::Body::Hello(HelloAnswer { version: ORDER_VERSION, descriptors }),
                true,
            ),
            Some(order::Body::Ready(_)) => {
                self.gateway.served();
                self.done(asker, "");
                (self.given.on_ready)();
            }
            Some(order::Body::Start(start)) => self.start(asker, &start, now),
            Some(order::Body::Stop(stop)) => {
                self.stop(asker, &stop.session_id, Duration::from_millis(stop.grace_ms.into()), now);
            }
            Some(order::Body::StopAll(stop)) => {
                let sessions = self.hosts.iter().map(super::sessions::Host::ids).collect();
                let grace = Duration::from_millis(stop.grace_ms.into());
                self.stops.push(Stop::new(asker, sessions, true, grace, now));
            }
            Some(order::Body::List(_)) => self.list(asker),
            Some(order::Body::Keys(keys)) => self.read_keys(asker, &keys, now),
            Some(order::Body::Reload(_)) => match self.begin_to_replace(asker, now) {
                Ok(true) => {}
                Ok(false) => self.reload(asker),
                Err(why) => self.done(asker, &why),
            },
            Some(order::Body::Reopen(_)) => match self.given.log.reopen() {
                Ok(()) => self.done(asker, ""),
                Err(error) => self.done(asker, &format!("the spawner's audit cannot be opened anew: {error}")),
            },
            // The gate lets none through.
            None => {}
        }
    }

    pub(super) fn done(&mut self, asker: Asker, message: &str) {
        self.answer(asker, answer::Body::Done(OrderDone { message: message.into() }), &[]);
    }

    fn refuse(&mut self, asker: Asker, session: &str, refusal: &Refusal) {
        let refused =
            Refused { code: refusal.code.into(), message: refusal.message.clone(), session_id: printable(session, 64) };
        self.answer(asker, answer::Body::Refused(refused), &[]);
    }

    fn accept_start(&mut self, asker: Asker, session: SessionId) {
        self.answer(asker, answer::Body::Accepted(Accepted { session_id: session.to_string() }), &[]);
    }

    fn start(&mut self, asker: Asker, order: &Start, now: Instant) {
        if let Err(refusal) = self.try_start(asker, order, now) {
            self.note(&LogEntry::SessionRefused {
                session: &order.session_id,
                code: refusal.code,
                message: &refusal.message,
            });
            self.refuse(asker, &order.session_id, &refusal);
        }
    }

    fn try_start(&mut self, asker: Asker, order: &Start, now: Instant) -> Result<(), Refusal> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Refusal::new("launch-failed", format!("the system's random source: {error}")))?;
        let request = Request::parse(order, &self.table, random)?;
        let session = request.session;
        if order.check {
            // Whoever asks wants to know of account and directory; the shell's PATH refuses nothing.
            let helper = self.resolve(&request, false, now)?;
            self.leaves_nothing(helper.pid());
            self.checks.push(Starting::new(request, asker, helper, false));
            return Ok(());
        }
        if let Some(host) = self.hosts.find(session) {
            let (same, pid) = (host.record.account == request.account.name, host.record.pid);
            if !same {
                return Err(Refusal::new("busy", "that session id is another account's: choose a new one"));
            }
            self.accept_start(asker, session);
            self.answer(asker, started(session, pid), &[]);
            return Ok(());
        }
        if let Some(starting) = self.starts.get_mut(&session) {
            if !starting.request.is_same(order) || starting.askers.len() >= ASKERS {
                return Err(Refusal::new("busy", "that session is being started: wait for it"));
            }
            starting.askers.push(asker);
            self.accept_start(asker, session);
            return Ok(());
        }
        self.check_limit(&request)?;
        let entry = LogEntry::SessionStarting {
            session,
            account: request.account.name.as_str(),
            agent: request.agent.name.as_str(),
            directory: request.root.join(&request.relative).to_string_lossy().into_owned(),
            creator: &request.creator,
        };
        self.given.log.entry(&entry).map_err(|error| {
            Refusal::new("audit-unavailable", format!("the spawner's audit cannot be written: {error}"))
        })?;
        let cached = self.paths.get(&request.account.name);
        let want_path = cached.is_none_or(|(_, at)| now.saturating_duration_since(*at) > PATH_FRESH);
        let helper = self.resolve(&request, want_path, now)?;
        self.starts.insert(session, Starting::new(request, asker, helper, want_path));
        self.accept_start(asker, session);
        Ok(())
    }

    /// A helper that looks up what the order names.
    fn resolve(&self, request: &Request, want_path: bool, now: Instant) -> Result<Helper, Refusal> {
        let work = Resolve {
            user: &request.account.user,
            separate: self.is_separate(),
            root: &request.root,
            relative: &request.relative,
            env_file: request.agent.env_file.as_deref(),
            want_path,
        };
        Helper::start(now, |speaker| work.run(speaker))
            .map_err(|error| Refusal::new("launch-failed", format!("a helper cannot be started: {error}")))
    }

    fn check_limit(&self, request: &Request) -> Result<(), Refusal> {
        let (name, most) = (&request.account.name, request.account.max_sessions as usize);
        let starting = self.starts.values().filter(|start| start.request.account.name == *name).count();
        let all = self.hosts.iter().filter(|host| host.record.account == *name).count() + starting;
        if all < most {
            return Ok(());
        }
        // Only those count whose agent lives, and that takes a look at all processes.
        let living = self.hosts.with_agent().iter().filter(|host| host.record.account == *name).count() + starting;
        if living < most {
            return Ok(());
        }
        let message = format!("account {name} has {living} live sessions; its limit is {most}: end one first");
        Err(Refusal::new("too-many-sessions", message))
    }

    fn is_separate(&self) -> bool {
        self.table.identities != Identities::SingleUser
    }

    /// Lets every start take its step.
    pub(super) fn step_starts(&mut self, now: Instant) {
        let sessions: Vec<SessionId> = self.starts.keys().copied().collect();
        for session in sessions {
            let Some(mut starting) = self.starts.remove(&session) else { continue };
            match starting.step(now) {
                StartStep::Pending => {
                    self.starts.insert(session, starting);
                }
                StartStep::Resolved { resolved, asked } => match self.launch(&starting.request, resolved, asked, now) {
                    Ok((launching, start_time)) => {
                        starting.launched(launching, start_time, now);
                        self.starts.insert(session, starting);
                    }
                    Err(refusal) => self.start_failed(starting, &refusal),
                },
                StartStep::Ready(launching, start_time) => self.start_ready(starting, launching, start_time),
                StartStep::Failed(refusal) => self.start_failed(starting, &refusal),
            }
        }
    }

    /// Lets every check take its step. Nothing of the session that it is about is touched.
    pub(super) fn step_checks(&mut self, now: Instant) {
        for mut check in std::mem::take(&mut self.checks) {
            let refusal = match check.step(now) {
                StartStep::Pending => {
                    self.checks.push(check);
                    continue;
                }
                StartStep::Failed(refusal) => Some(refusal),
                StartStep::Resolved { .. } | StartStep::Ready(..) => None,
            };
            let session = check.request.session.to_string();
            for asker in check.askers {
                match &refusal {
                    Some(refusal) => self.refuse(asker, &session, refusal),
                    None => self.done(asker, ""),
                }
            }
        }
    }

    fn launch(
        &mut self,
        request: &Request,
        mut resolved: Resolved,
        asked: bool,
        now: Instant,
    ) -> Result<(Launching, u64), Refusal> {
        let name = &request.account.name;
        if asked {
            self.paths.insert(name.clone(), (resolved.shell_path.clone(), now));
        } else if let Some((path, _)) = self.paths.get(name) {
            resolved.shell_path.clone_from(path);
        }
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let plan = Plan::new(request, &self.table, resolved, created);
        let failed =
            |what: &str, error: &dyn std::fmt::Display| Refusal::new("launch-failed", format!("{what}: {error}"));
        // What an earlier host of this session may have left.
        self.layout.forget(request.session).map_err(|error| failed("old files", &error))?;
        let launching = launch(&plan, &self.layout).map_err(|error| failed("fork", &error))?;
        let pid = launching.process.pid();
        let recorded = procfs::stat(pid).ok_or_else(|| failed("fork", &"the process is gone")).and_then(|stat| {
            let record = Record { session: request.session, account: name.clone(), pid, start_time: stat.start_time };
            self.layout.records.write(&record).map_err(|error| failed("host record", &error))?;
            Ok(stat.start_time)
        });
        match recorded {
            Ok(start_time) => Ok((launching, start_time)),
            Err(refusal) => {
                kill_tree(pid);
                Err(refusal)
            }
        }
    }

    fn start_ready(&mut self, starting: Starting, launching: Launching, start_time: u64) {
        let session = starting.request.session;
        let pid = launching.process.pid();
        if let Err(error) = self.given.log.entry(&LogEntry::SessionStarted { session, pid }) {
            kill_tree(pid);
            let message = format!("the spawner's audit cannot be written: {error}");
            return self.start_failed(starting, &Refusal::new("audit-unavailable", message));
        }
        let record = Record { session, account: starting.request.account.name, pid, start_time };
        self.hosts.insert(record, launching.process);
        let present = starting.askers.iter().filter(|asker| self.is_present(**asker)).count();
        if present == 0 {
            // Its gateway has gone; the present one may have listed the hosts already.
            self.tell(started(session, pid));
        }
        for asker in starting.askers {
            self.answer(asker, started(session, pid), &[]);
        }
    }

    fn start_failed(&mut self, starting: Starting, refusal: &Refusal) {
        if let Some(pid) = starting.host_pid() {
            kill_tree(pid);
        }
        let session = starting.request.session;
        self.clean(session);
        let text = session.to_string();
        self.note(&LogEntry::SessionRefused { session: &text, code: refusal.code, message: &refusal.message });
        for asker in starting.askers {
            self.refuse(asker, &text, refusal);
        }
    }

    fn stop(&mut self, asker: Asker, session: &str, grace: Duration, now: Instant) {
        let Ok(session) = session.parse::<SessionId>() else {
            return self.refuse(asker, session, &Refusal::new("bad-option", "a session id is 32 hex digits"));
        };
        if let Some(starting) = self.starts.remove(&session) {
            self.start_failed(starting, &Refusal::new("launch-failed", "the session was stopped while it started"));
        }
        match self.hosts.find(session).map(super::sessions::Host::ids) {
            Some(ids) => self.stops.push(Stop::new(asker, vec![ids], false, grace, now)),
            // Nothing is left of it: that is what was asked for.
            None => self.answer(asker, stopped(Some(session), 0), &[]),
        }
    }

    /// Lets every stop take its step.
    pub(super) fn step_stops(&mut self, now: Instant) {
        let stops = std::mem::take(&mut self.stops);
        for mut stop in stops {
            match stop.step(now) {
                StopStep::Pending => self.stops.push(stop),
                StopStep::Done(processes) => {
                    for (session, _) in &stop.sessions {
                        self.note(&LogEntry::SessionStopped { session: *session, processes });
                    }
                    let session = stop.sessions.first().map(|(session, _)| *session).filter(|_| !stop.all);
                    self.answer(stop.asker, stopped(session, processes), &[]);
                }
                StopStep::Stuck(left) => {
                    let session = stop.sessions.first().filter(|_| !stop.all).map(|(session, _)| session.to_string());
                    let message = format!("{left} processes do not end, even killed: they wait in the kernel");
                    self.refuse(stop.asker, &session.unwrap_or_default(), &Refusal::new("busy", message));
                }
            }
        }
    }

    fn list(&mut self, asker: Asker) {
        let records: Vec<HostRecord> = self
            .hosts
            .iter()
            .map(|host| HostRecord {
                session_id: host.record.session.to_string(),
                account: host.record.account.to_string(),
                pid: host.record.pid,
                start_time: host.record.start_time,
            })
            .collect();
        let mut pages = records.chunks(PAGE).map(<[HostRecord]>::to_vec).peekable();
        loop {
            let hosts = pages.next().unwrap_or_default();
            let more = pages.peek().is_some();
            self.answer(asker, answer::Body::Hosts(crate::wire::v1::Hosts { hosts, more }), &[]);
            if !more {
                return;
            }
        }
    }

    fn read_keys(&mut self, asker: Asker, order: &Keys, now: Instant) {
        let file = usize::try_from(order.file).ok();
        let found = self.table.account(&order.account).and_then(|account| {
            let pattern = file.and_then(|file| account.key_files.get(file))?;
            Some((account.clone(), pattern.clone()))
        });
        let problem = |problem: &str| KeysAnswer { problem: problem.into(), ..KeysAnswer::default() };
        let Some((account, pattern)) = found else {
            let answer = problem("no such account or key file is configured");
            return self.answer(asker, answer::Body::Keys(answer), &[]);
        };
        let work = ReadKeys {
            account: &account.name,
            user: &account.user,
            separate: self.is_separate(),
            pattern: &pattern,
            known: &order.stamp,
        };
        match Helper::start(now, |speaker| work.run(speaker)) {
            Ok(helper) => {
                self.leaves_nothing(helper.pid());
                // What `%h` is only the helper knows.
                let pattern = pattern.replace("%u", account.name.as_str());
                self.keys.push(ReadingKeys { asker, helper, pattern });
            }
            Err(error) => {
                let answer = problem(&format!("a helper cannot be started: {error}"));
                self.answer(asker, answer::Body::Keys(answer), &[]);
            }
        }
    }

    /// Lets every reading take its step.
    pub(super) fn step_keys(&mut self, now: Instant) {
        let mut reading = std::mem::take(&mut self.keys);
        reading.retain_mut(|keys| match keys.step(now) {
            None => true,
            Some((answer, file)) => {
                let descriptors: Vec<_> = file.iter().map(std::os::fd::AsFd::as_fd).collect();
                self.answer(keys.asker, answer::Body::Keys(answer), &descriptors);
                false
            }
        });
        self.keys = reading;
    }

    /// Takes what a reload brings, or keeps everything. The answer to one that brought something carries the new files.
    pub(super) fn reload(&mut self, asker: Asker) {
        let outcome = match &mut self.given.reload {
            Some(reload) => reload().and_then(|fresh| self.take_fresh(fresh)),
            None => Err("nothing can be reloaded here: restart instead".into()),
        };
        let text = outcome.as_ref().err().cloned().unwrap_or_else(|| "taken".into());
        self.note(&LogEntry::Reloaded { outcome: text });
        match outcome {
            Ok(()) => self.answer_with_files(
                asker,
                |descriptors| answer::Body::Hello(HelloAnswer { version: ORDER_VERSION, descriptors }),
                false,
            ),
            Err(why) => self.done(asker, &why),
        }
    }

    fn take_fresh(&mut self, fresh: Fresh) -> Result<(), String> {
        fresh.table.check(current_uid()).map_err(|error| error.to_string())?;
        let (old, new) = (&self.table, &fresh.table);
        if (&old.identities, &old.directories, &old.programs) != (&new.identities, &new.directories, &new.programs) {
            return Err("identities, directories and programs change only with a restart".into());
        }
        self.files = Files::new(&fresh.config, fresh.tls.as_ref()).map_err(|error| error.to_string())?;
        self.table = fresh.table;
        self.paths.clear();
        Ok(())
    }
}

fn started(session: SessionId, pid: i32) -> answer::Body {
    answer::Body::Started(Started { session_id: session.to_string(), host_pid: pid })
}

fn stopped(session: Option<SessionId>, processes: u32) -> answer::Body {
    let session_id = session.map(|session| session.to_string()).unwrap_or_default();
    answer::Body::Stopped(Stopped { session_id, processes })
}
