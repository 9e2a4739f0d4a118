//! One start order on its way: resolved in a helper, launched, ready. Decides nothing about other sessions.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::connection::Asker;
use super::helper::{Heard, Helper, Reply};
use super::launch::{Launching, Progress};
use super::plan::{Refusal, Request, Resolved};
use crate::sys::credentials::Account;

/// From the fork to a host that is ready.
pub(super) const LAUNCH: Duration = Duration::from_secs(5);

/// A start that was accepted.
#[derive(Debug)]
pub(super) struct Starting {
    /// What was ordered.
    pub(super) request: Request,
    /// Who is told.
    pub(super) askers: Vec<Asker>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Resolving(Resolving),
    Launching {
        launching: Launching,
        start_time: u64,
        deadline: Instant,
    },
    /// Between two stages, and after the last.
    Over,
}

/// A helper at work, and what it has said.
#[derive(Debug)]
struct Resolving {
    helper: Helper,
    want_path: bool,
    account: Option<(Account, Vec<(String, String)>)>,
    directory: Option<(OwnedFd, String)>,
}

/// What became of a start.
#[derive(Debug)]
pub(super) enum StartStep {
    /// Nothing yet.
    Pending,
    /// Everything is known; what the login shell was asked for stands inside.
    Resolved {
        /// The findings.
        resolved: Resolved,
        /// Whether the shell was asked.
        asked: bool,
    },
    /// The host serves.
    Ready(Launching, u64),
    /// Over.
    Failed(Refusal),
}

impl Starting {
    /// With its helper at work.
    pub(super) fn new(request: Request, asker: Asker, helper: Helper, want_path: bool) -> Self {
        let stage = Stage::Resolving(Resolving { helper, want_path, account: None, directory: None });
        Self { request, askers: vec![asker], stage }
    }

    /// Goes on with a launch.
    pub(super) fn launched(&mut self, launching: Launching, start_time: u64, now: Instant) {
        self.stage = Stage::Launching { launching, start_time, deadline: now + LAUNCH };
    }

    /// Takes what has come.
    pub(super) fn step(&mut self, now: Instant) -> StartStep {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Resolving(mut resolving) => loop {
                match resolving.step(now) {
                    Turn::Again => {}
                    Turn::Wait => {
                        self.stage = Stage::Resolving(resolving);
                        return StartStep::Pending;
                    }
                    Turn::Over(refusal) => return StartStep::Failed(refusal),
                    Turn::Done(shell_path) => return resolving.finish(shell_path),
                }
            },
            Stage::Launching { launching, start_time, deadline } => {
                let progress = launching.progress();
                match progress {
                    Progress::Ready => return StartStep::Ready(launching, start_time),
                    Progress::Pending if now < deadline => {
                        self.stage = Stage::Launching { launching, start_time, deadline };
                        return StartStep::Pending;
                    }
                    Progress::Pending | Progress::Failed(_) => {}
                }
                let why = match progress {
                    Progress::Failed(why) => why,
                    _ => format!("the session host was not ready within {} s", LAUNCH.as_secs()),
                };
                // Kept, so that its processes can be ended.
                self.stage = Stage::Launching { launching, start_time, deadline };
                StartStep::Failed(Refusal::new("launch-failed", why))
            }
            Stage::Over => StartStep::Failed(Refusal::new("launch-failed", "the launch is over")),
        }
    }

    /// The process that is becoming the host.
    pub(super) fn host_pid(&self) -> Option<i32> {
        match &self.stage {
            Stage::Launching { launching, .. } => Some(launching.process.pid()),
            _ => None,
        }
    }

    /// The helper.
    pub(super) fn helper_pid(&self) -> Option<i32> {
        match &self.stage {
            Stage::Resolving(resolving) => Some(resolving.helper.pid()),
            _ => None,
        }
    }

    /// When something must be done without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Resolving(resolving) => Some(resolving.helper.deadline()),
            Stage::Launching { deadline, .. } => Some(*deadline),
            Stage::Over => None,
        }
    }

    /// What to wait for.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Resolving(resolving) => Some(resolving.helper.as_fd()),
            Stage::Launching { launching, .. } => Some(launching.as_fd()),
            Stage::Over => None,
        }
    }
}

enum Turn {
    Again,
    Wait,
    Done(Option<String>),
    Over(Refusal),
}

impl Resolving {
    fn step(&mut self, now: Instant) -> Turn {
        if self.directory.is_some() && !self.want_path {
            return Turn::Done(None);
        }
        match self.helper.hear(now) {
            // Only the first word about the account counts: it was said before the child became that.
            Heard::Reply(Reply::Account { account, env_file }, None) if self.account.is_none() => {
                self.account = Some((account, env_file));
                Turn::Again
            }
            Heard::Reply(Reply::Directory { path }, Some(directory))
                if self.account.is_some() && self.directory.is_none() =>
            {
                self.directory = Some((directory, path));
                Turn::Again
            }
            Heard::Reply(Reply::ShellPath(path), None) if self.directory.is_some() => Turn::Done(path),
            Heard::Reply(Reply::Problem(problem), _) => Turn::Over(Refusal::from_problem(&problem)),
            Heard::Nothing if now < self.helper.deadline() => Turn::Wait,
            // A shell that hangs or dies costs its PATH, not the session.
            Heard::Nothing | Heard::Gone if self.directory.is_some() => Turn::Done(None),
            Heard::Nothing if self.account.is_none() => {
                Turn::Over(Refusal::new("no-such-account", "the account was not found within 3 s"))
            }
            Heard::Nothing => {
                Turn::Over(Refusal::new("no-such-directory", "the directory could not be opened within 3 s"))
            }
            Heard::Reply(..) | Heard::Gone => {
                Turn::Over(Refusal::new("launch-failed", "the helper that looks up the account and its directory died"))
            }
        }
    }

    fn finish(self, shell_path: Option<String>) -> StartStep {
        let (Some((account, env_file)), Some((directory, directory_path))) = (self.account, self.directory) else {
            return StartStep::Failed(Refusal::new("launch-failed", "the helper left something unsaid"));
        };
        let resolved = Resolved { account, env_file, directory, directory_path, shell_path };
        StartStep::Resolved { resolved, asked: self.want_path }
    }
}
