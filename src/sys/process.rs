//! Single processes, by descriptor so that a reused pid is never hit; does not know what they are for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};

use super::{procfs, readiness};

/// A running process, or one that has ended since.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    descriptor: OwnedFd,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// What the spawner sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "KILL is what the signal is called")]
pub(crate) enum Kill {
    /// SIGHUP.
    HangUp,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Process {
    /// The process that has this pid now.
    pub(crate) fn open(pid: i32) -> io::Result<Self> {
        let descriptor = rustix::process::pidfd_open(raw(pid)?, PidfdFlags::empty())?;
        Ok(Self { pid, descriptor })
    }

    /// The process with this pid, if it is the one that started at `start_time` and is not a zombie.
    pub(crate) fn open_same(pid: i32, start_time: u64) -> io::Result<Option<Self>> {
        let process = match Self::open(pid) {
            Ok(process) => process,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The descriptor came first: what /proc says now is about it, or it is gone.
        let same = procfs::stat(pid).is_some_and(|stat| stat.start_time == start_time && !stat.zombie);
        Ok(same.then_some(process))
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal; a process that has ended is no error.
    pub(crate) fn signal(&self, kill: Kill) -> io::Result<()> {
        let signal = match kill {
            Kill::HangUp => Signal::HUP,
            Kill::Terminate => Signal::TERM,
            Kill::Kill => Signal::KILL,
        };
        match rustix::process::pidfd_send_signal(&self.descriptor, signal) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it ends within this time. True also for a zombie.
    pub(crate) fn ends_within(&self, timeout: Duration) -> io::Result<bool> {
        Ok(readiness::readable(&[self.as_fd()], Some(timeout))?.contains(&true))
    }

    /// Waits for a child's end and takes its status.
    pub(crate) fn reap(&self) -> io::Result<Ended> {
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), WaitIdOptions::EXITED)
        })?;
        let status = status.ok_or_else(|| io::Error::other("a wait that returned without an end"))?;
        Ok(match status.exit_status() {
            Some(status) => Ended::Status(status),
            None => Ended::Signal(status.terminating_signal().unwrap_or(0)),
        })
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Reaps one child that has ended, whichever it is; none when there is no such child now.
pub(crate) fn reap_any() -> Option<(i32, Ended)> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
    let ended = match status.exit_status() {
        Some(status) => Ended::Status(status),
        None => Ended::Signal(status.terminating_signal().unwrap_or(0)),
    };
    Some((pid.as_raw_nonzero().get(), ended))
}

/// This process's pid.
pub(crate) fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// No other process of this uid may trace it or read its memory. Undone by an exec.
pub(crate) fn undumpable() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// Orphaned descendants become children of this process. Kept by exec, not inherited.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // Any pid means on.
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// A session of its own, without controlling terminal.
pub(crate) fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Sets the nice value of this process, and of its autogroup: since that groups by session, nice alone does nothing
/// between sessions. Whether each was allowed.
pub(crate) fn set_priority(nice: i32) -> (bool, bool) {
    let process = rustix::process::setpriority_process(None, nice).is_ok();
    let group = std::fs::write("/proc/self/autogroup", nice.to_string()).is_ok();
    (process, group)
}

/// Permissions that new files of this process do not get; returns the earlier ones.
pub(crate) fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask)).bits()
}

/// Makes an open directory the working directory.
pub(crate) fn enter(dir: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::fchdir(dir)?)
}

fn raw(pid: i32) -> io::Result<Pid> {
    Pid::from_raw(pid).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "pid 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_with_another_start_time_is_not_the_same_process() {
        let mut child = std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        let start = procfs::stat(pid).unwrap().start_time;
        assert!(Process::open_same(pid, start + 1).unwrap().is_none());
        let process = Process::open_same(pid, start).unwrap().unwrap();
        process.signal(Kill::Kill).unwrap();
        assert!(process.ends_within(Duration::from_secs(60)).unwrap());
        assert!(Process::open_same(pid, start).unwrap().is_none(), "a zombie is gone");
        child.wait().unwrap();
        assert!(Process::open_same(pid, start).unwrap().is_none());
        process.signal(Kill::Terminate).unwrap();
    }
}
