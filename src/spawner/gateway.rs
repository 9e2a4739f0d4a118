//! The gateway as the spawner's child: started, started again, ended; does not know what it serves.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::handed::HandedGateway;
use crate::sys::exec::exec;
use crate::sys::fork::{c_strings, default_signals, fork, keep_only, open_null, set_inherited, set_stdin};
use crate::sys::privileges::{Identity, become_identity, no_new_privileges};
use crate::sys::process::{Kill, Process, new_session, set_priority, set_umask};
use crate::sys::seqpacket::Seqpacket;

/// Before a gateway that had served is replaced.
const RESTART: Duration = Duration::from_millis(100);
/// Longest time before one that never served is tried again.
const RESTART_MOST: Duration = Duration::from_secs(5);
/// What a gateway that should end gets before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between OpenSSH's and an interactive program's: gateway and hosts before agents (performance measurements).
pub(super) const SERVER_NICE: i32 = -5;

/// Where the gateway is.
#[derive(Debug)]
pub(super) enum Gateway {
    /// Another unit's.
    External,
    /// Ours.
    Child {
        /// Its state.
        state: ChildState,
        /// The next delay after one that never served.
        delay: Duration,
    },
}

/// A child gateway.
#[derive(Debug)]
pub(super) enum ChildState {
    /// To be started then.
    Waiting(Instant),
    /// Runs.
    Running {
        /// It.
        process: Process,
        /// Whether it reported so.
        ready: bool,
        /// Killed then, because its order socket is closed.
        kill_at: Option<Instant>,
    },
}

impl Gateway {
    /// To be started at once, or never.
    pub(super) fn new(child: bool, now: Instant) -> Self {
        if child { Self::Child { state: ChildState::Waiting(now), delay: RESTART } } else { Self::External }
    }

    /// Where an earlier program left it; one that is gone is started at once.
    pub(super) fn resume(child: bool, handed: Option<HandedGateway>, now: Instant) -> Self {
        let mut gateway = Self::new(child, now);
        if let (Self::Child { state, .. }, Some(handed)) = (&mut gateway, handed)
            // Not reaped yet: the pid cannot be another's.
            && let Ok(process) = Process::open(handed.pid)
        {
            *state = ChildState::Running { process, ready: handed.ready, kill_at: None };
        }
        gateway
    }

    /// What another program has to know of it.
    pub(super) fn handed(&self) -> Option<HandedGateway> {
        match self {
            Self::Child { state: ChildState::Running { process, ready, .. }, .. } => {
                Some(HandedGateway { pid: process.pid(), ready: *ready })
            }
            _ => None,
        }
    }

    /// It serves: the next restart is quick again.
    pub(super) fn served(&mut self) {
        if let Self::Child { state: ChildState::Running { ready, .. }, delay } = self {
            *ready = true;
            *delay = RESTART;
        }
    }

    /// It has ended; when the next one starts.
    pub(super) fn ended(&mut self, now: Instant) {
        if let Self::Child { state, delay } = self {
            let served = matches!(state, ChildState::Running { ready: true, .. });
            let wait = if served { RESTART } else { *delay };
            if !served {
                *delay = (*delay * 2).min(RESTART_MOST);
            }
            *state = ChildState::Waiting(now + wait);
        }
    }

    /// Its order socket is closed: it cannot come back with that, so it must be replaced.
    pub(super) fn cut_off(&mut self, now: Instant) {
        if let Self::Child { state: ChildState::Running { process, kill_at, .. }, .. } = self
            && kill_at.is_none()
        {
            let _ = process.signal(Kill::Terminate);
            *kill_at = Some(now + PATIENCE);
        }
    }

    /// The running child.
    pub(super) fn process(&self) -> Option<&Process> {
        match self {
            Self::Child { state: ChildState::Running { process, .. }, .. } => Some(process),
            _ => None,
        }
    }

    /// Whether one must be started now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self, Self::Child { state: ChildState::Waiting(at), .. } if *at <= now)
    }

    /// When something must be done without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Child { state: ChildState::Waiting(at), .. } => Some(*at),
            Self::Child { state: ChildState::Running { kill_at, .. }, .. } => *kill_at,
            Self::External => None,
        }
    }

    /// Kills one whose time is over.
    pub(super) fn enforce(&mut self, now: Instant) {
        if let Self::Child { state: ChildState::Running { process, kill_at: Some(at), .. }, .. } = self
            && *at <= now
        {
            let _ = process.signal(Kill::Kill);
            *at = now + PATIENCE;
        }
    }

    /// Notes a new child.
    pub(super) fn started(&mut self, process: Process) {
        if let Self::Child { state, .. } = self {
            *state = ChildState::Running { process, ready: false, kill_at: None };
        }
    }

    /// Ends it and waits for that, at most `PATIENCE` before it is killed.
    pub(super) fn end(&mut self) {
        if let Some(process) = self.process() {
            let _ = process.signal(Kill::Terminate);
            if !process.ends_within(PATIENCE).unwrap_or(false) {
                let _ = process.signal(Kill::Kill);
                let _ = process.ends_within(PATIENCE);
            }
        }
    }
}

/// Starts a gateway with the other end of its order socket as descriptor 3, the spawner's standard output and error, an empty
/// environment, a session of its own (so that no terminal signals it), and no privileges.
pub(super) fn launch(command: &[String], identity: Option<&Identity>) -> io::Result<(Process, Seqpacket)> {
    let argv = c_strings(command)?;
    let program = argv.first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no gateway program"))?;
    let (ours, theirs) = Seqpacket::pair()?;
    let process = fork(|| {
        let failed = match prepare(theirs.as_fd(), identity) {
            Ok(()) => exec(program, &argv, &[]).to_string(),
            Err(error) => error,
        };
        eprintln!("the gateway cannot be started: {} {failed}", program.to_string_lossy());
        127
    })?;
    Ok((process, ours))
}

fn prepare(socket: BorrowedFd<'_>, identity: Option<&Identity>) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    default_signals();
    new_session().map_err(text)?;
    set_umask(0o077);
    std::env::set_current_dir("/").map_err(text)?;
    // Allowed to root only; check says so.
    set_priority(SERVER_NICE);
    let null = open_null().map_err(text)?;
    // 1 and 2 stay the spawner's: refused logins are printed there.
    set_stdin(null.as_fd()).map_err(text)?;
    let kept = keep_only(&[socket]).map_err(text)?;
    // Closed by keep_only already.
    std::mem::forget(null);
    if let Some(identity) = identity {
        become_identity(identity).map_err(|error| error.to_string())?;
    }
    no_new_privileges().map_err(text)?;
    for descriptor in &kept {
        set_inherited(descriptor.as_fd(), true).map_err(text)?;
    }
    // Open across the exec.
    std::mem::forget(kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child() -> Process {
        fork(|| 0).unwrap()
    }

    fn due(gateway: &Gateway, now: Instant) -> Duration {
        gateway.deadline().unwrap() - now
    }

    #[test]
    fn only_one_that_never_served_waits_longer() {
        let now = Instant::now();
        let mut gateway = Gateway::new(true, now);
        assert!(gateway.is_due(now));
        for wait in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            gateway.started(child());
            gateway.ended(now);
            assert_eq!(due(&gateway, now), Duration::from_millis(wait));
        }
        gateway.started(child());
        gateway.served();
        gateway.ended(now);
        assert_eq!(due(&gateway, now), RESTART);
        gateway.started(child());
        gateway.ended(now);
        assert_eq!(due(&gateway, now), RESTART, "the delay began anew");
        assert!(!Gateway::new(false, now).is_due(now));
    }
}
