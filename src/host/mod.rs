//! A session host: one agent's terminal, its log, its screen and one socket for the gateway. Knows no network, key or account policy.

mod core;
mod event_loop;
mod exit;
mod greeting;
mod hooks;
mod input;
mod jobs;
mod link;
mod outbox;
mod questions;
mod settler;
mod side;
mod structured;
mod terminal;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, RawFd};
use std::process::ExitCode;

use self::core::Core;
use crate::base::LogId;
use crate::sys::fork::inherited;
use crate::sys::memfd::read_sealed;
use crate::sys::pipe::Pipe;
use crate::sys::process::{self, Process};
use crate::sys::pty_master::PtyMaster;
use crate::sys::signal::Signals;
use crate::sys::stream::StreamListener;
use crate::wire::decode_launch;
use event_loop::{EventLoop, Outside};
use structured::{Pipes, Structured};
use terminal::Terminal;

/// Most bytes of what the launch says about a session: a directory's path is the longest of it.
const META: usize = 128 * 1024;
/// EX_SOFTWARE of sysexits.h: the launch sees that the host never became ready.
const FAILED: u8 = 70;

/// What a host is started with: numbers of descriptors that the launch opened for it, each taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostArgs {
    /// Shown by `ps`; the host itself takes the id from the session's description.
    pub(crate) session: String,
    /// Towards the agent.
    pub(crate) ends: Ends,
    /// Listening Unix stream socket for the gateway.
    pub(crate) listen_fd: RawFd,
    /// Listening Unix stream socket for the agent's hooks.
    pub(crate) hook_fd: RawFd,
    /// One byte goes there once the host serves.
    pub(crate) ready_fd: RawFd,
    /// Pipe that carries the agent's errno (4 bytes, native order) or just ends.
    pub(crate) exec_error_fd: RawFd,
    /// Sealed memory file with an encoded `Launch`: the session's name, account, agent, mode, directory …, and what was chosen.
    pub(crate) meta_fd: RawFd,
    /// The agent, a child of this process.
    pub(crate) child_pid: i32,
    /// Whose connections are links.
    pub(crate) gateway_uid: u32,
    /// Whose connections are hooks'.
    pub(crate) account_uid: u32,
    /// Bytes of output that are kept.
    pub(crate) ring: usize,
}

/// What lies between the host and its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// PTY master.
    Terminal(RawFd),
    /// The far ends of the agent's standard input, output and error.
    Pipes([RawFd; 3]),
}

/// Why a host could not begin. Ours, or the operating system's.
#[derive(Debug, thiserror::Error)]
enum HostError {
    #[error("cannot {0}: {1}")]
    Os(&'static str, io::Error),
    #[error("the session's description does not decode: {0}")]
    Meta(#[from] crate::wire::LinkError),
    #[error("the session's description names no driver that this host has")]
    Driver,
}

/// Serves one session until it is forgotten.
pub(crate) fn run(args: &HostArgs) -> ExitCode {
    // Before anything is read: no other process of this uid may look into this one.
    let served = process::undumpable().map_err(|e| HostError::Os("become undumpable", e)).and_then(|()| serve(args));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Descriptors 0-2 are /dev/null in a launch; by hand it helps.
            let _ = writeln!(io::stderr(), "portcullis host: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn serve(args: &HostArgs) -> Result<(), HostError> {
    let os = |what| move |error| HostError::Os(what, error);
    let take = |number| inherited(number).map_err(os("take over a descriptor"));
    let (listen, hook) = (take(args.listen_fd)?, take(args.hook_fd)?);
    let (ready, exec_error, meta) = (take(args.ready_fd)?, take(args.exec_error_fd)?, take(args.meta_fd)?);

    let meta = read_sealed(meta.as_fd(), META).map_err(os("read the session's description"))?;
    let launch = decode_launch(&meta)?;
    let hook = (!launch.hooks.is_empty()).then_some(hook);
    let mut log_id = [0; 16];
    getrandom::fill(&mut log_id).map_err(|error| HostError::Os("make a log id", error.into()))?;
    let outside = Outside {
        listener: StreamListener::new(listen).map_err(os("listen"))?,
        // Where nothing reports, a hook finds nobody and gives way at once.
        hooks: hook.map(StreamListener::new).transpose().map_err(os("listen for hooks"))?,
        // Before the wait for children, so that none is missed.
        signals: Some(Signals::block().map_err(os("wait for signals"))?),
        agent: Some(Process::open(args.child_pid).map_err(os("watch the agent"))?),
        exec_error: Some(File::from(exec_error)),
        gateway_uid: args.gateway_uid,
        account_uid: args.account_uid,
    };
    let log_id = LogId::from_bytes(log_id);
    // The launch lets the agent go on this byte; if nobody waits for it any more, its end will tell.
    let tell_ready = || drop(File::from(ready).write_all(&[1]));
    let ran = match args.ends {
        Ends::Terminal(pty) => {
            let pty = PtyMaster::new(take(pty)?).map_err(os("use the PTY"))?;
            let side = Terminal::new(Core::new(launch, log_id, args.ring), pty);
            tell_ready();
            EventLoop::new(side, outside).run()
        }
        Ends::Pipes([input, output, error]) => {
            let pipe = |number| Pipe::new(take(number)?).map_err(os("use a pipe"));
            let pipes = [pipe(input)?, pipe(output)?, pipe(error)?];
            let conversation = structured::conversation(&launch, log_id).ok_or(HostError::Driver)?;
            let core = Structured::new(launch, conversation, log_id, args.ring, event_loop::now());
            tell_ready();
            EventLoop::new(Pipes::new(core, pipes), outside).run()
        }
    };
    ran.map_err(os("wait in poll"))
}
