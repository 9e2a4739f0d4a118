//! Ending everything below a session's host: hang-up, TERM, KILL until none is left; the host itself stays. Does not know why.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connection::Asker;
use crate::base::SessionId;
use crate::sys::process::{Kill, Process};
use crate::sys::procfs;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// Longest grace that a client may ask for.
const GRACE: Duration = Duration::from_secs(30);
/// After KILL: a process that is still there sits in the kernel.
const GIVE_UP: Duration = Duration::from_secs(10);

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stop {
    /// Who is told.
    pub(super) asker: Asker,
    /// Whose sessions: one, or all.
    pub(super) sessions: Vec<(SessionId, i32)>,
    /// Whether it is `stop_all`.
    pub(super) all: bool,
    started: Instant,
    grace: Duration,
    next: Instant,
    /// Pid and start time of each that was signalled, with the strongest signal that it got.
    signalled: BTreeSet<(i32, u64, u8)>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StopStep {
    /// Some are left.
    Pending,
    /// None is left; so many were ended.
    Done(u32),
    /// So many do not end.
    Stuck(usize),
}

impl Stop {
    /// Begins now. Half of the grace after the hang-up comes TERM with another hang-up, at its end KILL.
    pub(super) fn new(asker: Asker, sessions: Vec<(SessionId, i32)>, all: bool, grace: Duration, now: Instant) -> Self {
        Self { asker, sessions, all, started: now, grace: grace.min(GRACE), next: now, signalled: BTreeSet::new() }
    }

    /// When it looks next.
    pub(super) fn deadline(&self) -> Instant {
        self.next
    }

    /// Looks and signals. What was started since the last look gets all that its elders got.
    pub(super) fn step(&mut self, now: Instant) -> StopStep {
        if now < self.next {
            return StopStep::Pending;
        }
        let left: Vec<(i32, u64)> = self.sessions.iter().flat_map(|(_, host)| procfs::descendants(*host)).collect();
        if left.is_empty() {
            let ended: BTreeSet<i32> = self.signalled.iter().map(|(pid, ..)| *pid).collect();
            return StopStep::Done(u32::try_from(ended.len()).unwrap_or(u32::MAX));
        }
        let elapsed = now.saturating_duration_since(self.started);
        if elapsed > self.grace + GIVE_UP {
            return StopStep::Stuck(left.len());
        }
        let half = self.grace / 2;
        // A bash that is about to wait for its first line notes a hang-up and waits all the same, and it ignores TERM:
        // a second hang-up wakes it.
        let ladder = [
            (0, Kill::HangUp, Duration::ZERO),
            (1, Kill::Terminate, half),
            (2, Kill::HangUp, half),
            (3, Kill::Kill, self.grace),
        ];
        for (pid, start_time) in left {
            let Ok(Some(process)) = Process::open_same(pid, start_time) else { continue };
            for (rank, kill, after) in ladder {
                if elapsed >= after && (self.signalled.insert((pid, start_time, rank)) || kill == Kill::Kill) {
                    // A process of a session is the spawner's to signal; one that has ended is no error.
                    let _ = process.signal(kill);
                }
            }
        }
        self.next = now + LOOK;
        StopStep::Pending
    }
}

/// Kills a process with everything below it, at once and without asking: for launches that failed.
pub(super) fn kill_tree(root: i32) {
    for (pid, start_time) in procfs::descendants(root) {
        kill_same(pid, start_time);
    }
    if let Some(stat) = procfs::stat(root) {
        kill_same(root, stat.start_time);
    }
}

/// Kills one process, if it is still that.
pub(super) fn kill_same(pid: i32, start_time: u64) {
    if let Ok(Some(process)) = Process::open_same(pid, start_time) {
        let _ = process.signal(Kill::Kill);
    }
}
