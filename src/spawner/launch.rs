//! Starting one session: a process that becomes its host, and that process's child that becomes its agent. Both run here
//! only until their exec; the spawner waits for neither.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::ends::Ends;
use super::gateway::SERVER_NICE;
use super::layout::{HOOK_SOCKET, Layout, host_socket};
use super::plan::Plan;
use crate::sys::exec::exec;
use crate::sys::fork::{c_strings, default_signals, exit_now, fork, keep_only, null_stdio, set_inherited};
use crate::sys::memfd::sealed_memfd;
use crate::sys::privileges::{become_identity, no_new_privileges};
use crate::sys::process::{Process, become_subreaper, enter, new_session, set_priority, set_umask, undumpable};
use crate::sys::rlimits::{self, Limit};
use crate::sys::seqpacket::Seqpacket;
use crate::sys::socket::{self, Access};

/// Connections that wait on a host's socket: one gateway and its successor.
const HOST_BACKLOG: i32 = 8;
/// Connections that wait on a hook socket: an agent's hooks may start side by side.
const HOOK_BACKLOG: i32 = 64;
/// What the agent's side says once the host is ready; everything else is a reason.
const READY: &[u8] = b"ready";

/// A launch under way.
#[derive(Debug)]
pub(super) struct Launching {
    /// The host to be: it keeps its pid.
    pub(super) process: Process,
    status: Seqpacket,
}

/// What a launch says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing now.
    Pending,
    /// The host serves and the agent is being executed.
    Ready,
    /// It did not work.
    Failed(String),
}

/// Forks; everything else happens in the new process.
pub(super) fn launch(plan: &Plan, layout: &Layout) -> io::Result<Launching> {
    let commands = Commands::new(plan)?;
    let (status, theirs) = Seqpacket::pair()?;
    status.set_nonblocking(true)?;
    let process = fork(|| {
        let kept = [theirs.as_fd(), layout.hosts.as_fd(), layout.agents.as_fd(), plan.directory.as_fd()];
        let Ok([status, hosts, agents, directory]) = start(&kept) else { return 1 };
        let status = Seqpacket::from(status);
        let Err(failed) = become_host(plan, &commands, &status, [hosts, agents, directory]);
        tell(&status, &failed)
    })?;
    Ok(Launching { process, status })
}

impl Launching {
    /// What it says next.
    pub(super) fn progress(&self) -> Progress {
        let mut datagram = Vec::new();
        match self.status.recv(&mut datagram) {
            Ok(Some(_)) if datagram == READY => Progress::Ready,
            Ok(Some(_)) => Progress::Failed(String::from_utf8_lossy(&datagram).into_owned()),
            Ok(None) => Progress::Failed("the session host ended before it was ready".into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Pending,
            Err(error) => Progress::Failed(error.to_string()),
        }
    }
}

impl AsFd for Launching {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }
}

/// Strings for exec, made before the fork.
struct Commands {
    program: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    host: Vec<CString>,
}

impl Commands {
    fn new(plan: &Plan) -> io::Result<Self> {
        Ok(Self {
            program: CString::new(plan.program.as_str())?,
            argv: c_strings(&plan.argv)?,
            environment: c_strings(&plan.environment)?,
            host: c_strings(&plan.host)?,
        })
    }
}

/// Which step failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {why}")]
struct Failed {
    step: &'static str,
    why: String,
}

trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, Failed>;
}

impl<T, E: std::fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, Failed> {
        self.map_err(|error| Failed { step, why: error.to_string() })
    }
}

enum Never {}

/// Nothing of the spawner's stays open but these, in their order.
fn start<const N: usize>(kept: &[BorrowedFd<'_>; N]) -> io::Result<[OwnedFd; N]> {
    undumpable()?;
    default_signals();
    null_stdio()?;
    set_umask(0o077);
    std::env::set_current_dir("/")?;
    keep(kept)
}

fn keep<const N: usize>(kept: &[BorrowedFd<'_>; N]) -> io::Result<[OwnedFd; N]> {
    keep_only(kept)?.try_into().map_err(|_| io::Error::other("descriptors were lost"))
}

/// The first process: leads a session of its own, makes terminal or pipes and sockets, forks the agent's side, drops, becomes the host.
fn become_host(
    plan: &Plan,
    commands: &Commands,
    status: &Seqpacket,
    [hosts, agents, directory]: [OwnedFd; 3],
) -> Result<Never, Failed> {
    new_session().step("session")?;
    // Before the drop, where it is allowed; the agent's side takes it back.
    set_priority(SERVER_NICE);
    let ends = Ends::open(plan.mode, plan.size, plan.account).step("terminal or pipes")?;
    let host_access = match &plan.host_identity {
        Some(host) => Access { owner: Some((host.uid, plan.gateway.gid)), mode: 0o660 },
        None => Access { owner: None, mode: 0o600 },
    };
    let listening = socket::listen(hosts.as_fd(), &host_socket(plan.session), host_access, HOST_BACKLOG);
    let listening = listening.step("host socket")?;
    let hook = hook_socket(plan, agents.as_fd()).step("hook socket")?;
    become_subreaper().step("subreaper")?;
    let (ready_reader, ready_writer) = io::pipe().step("pipe")?;
    let (error_reader, error_writer) = io::pipe().step("pipe")?;
    let meta = sealed_memfd("session", &plan.meta).step("memory file")?;
    let agent = fork(|| {
        let kept = [status.as_fd(), ready_reader.as_fd(), error_writer.as_fd(), directory.as_fd()];
        match prepare_agent(&ends, &kept) {
            Ok(kept) => become_agent(plan, commands, kept),
            Err(failed) => tell(status, &failed),
        }
    })
    .step("fork")?;
    let mut inherited = ends.of_host();
    inherited.extend([
        ("--listen-fd", listening.as_fd()),
        ("--hook-fd", hook.as_fd()),
        ("--ready-fd", ready_writer.as_fd()),
        ("--exec-error-fd", error_reader.as_fd()),
        ("--meta-fd", meta.as_fd()),
    ]);
    execute_host(plan, commands, agent.pid(), &inherited, status)
}

/// Keeps the descriptors that are the host's, from 3 on and by name, drops, and becomes it. What fails is told on the status socket,
/// which the exec closes, as a sign that it took place.
fn execute_host(
    plan: &Plan,
    commands: &Commands,
    agent: i32,
    descriptors: &[(&'static str, BorrowedFd<'_>)],
    status: &Seqpacket,
) -> Result<Never, Failed> {
    let numbered: Vec<BorrowedFd<'_>> =
        descriptors.iter().map(|(_, descriptor)| *descriptor).chain([status.as_fd()]).collect();
    let mut kept = keep_only(&numbered).step("descriptors")?;
    let status = kept.pop().ok_or("lost").step("descriptors")?;
    let mut arguments = vec!["--session".to_owned(), plan.session.to_string()];
    for (number, ((name, _), descriptor)) in (3..).zip(descriptors.iter().zip(&kept)) {
        set_inherited(descriptor.as_fd(), true).step("descriptors")?;
        arguments.extend([(*name).to_owned(), number.to_string()]);
    }
    for (name, value) in [
        ("--child-pid", agent.to_string()),
        ("--ring", plan.ring.to_string()),
        ("--gateway-uid", plan.gateway.uid.to_string()),
        ("--account-uid", plan.account.0.to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    let mut argv = commands.host.clone();
    argv.extend(c_strings(&arguments).step("arguments")?);
    let program = argv.first().cloned().ok_or("none configured").step("host program")?;
    let failed = drop_and_execute(plan, &program, &argv);
    // Not back into code that thinks it still has its own descriptors.
    exit_now(tell(&Seqpacket::from(status), &failed))
}

fn drop_and_execute(plan: &Plan, program: &CString, argv: &[CString]) -> Failed {
    let dropped = match &plan.host_identity {
        Some(host) => become_identity(host).step("becoming portcullis-host"),
        None => Ok(()),
    };
    let dropped = dropped.and_then(|()| no_new_privileges().step("no new privileges"));
    match dropped {
        Ok(()) => {
            let error = exec(program, argv, &[]);
            Failed { step: "executing the session host", why: format!("{}: {error}", program.to_string_lossy()) }
        }
        Err(failed) => failed,
    }
}

/// A directory that only the account enters, with a socket that only it connects to. Given away last: until then
/// nobody else can put anything in its place.
fn hook_socket(plan: &Plan, agents: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (uid, gid) = plan.account;
    let directory = socket::make_directory(agents, &plan.session.to_string())?;
    let readable = File::open(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    let access = Access { owner: Some((uid, gid)), mode: 0o600 };
    let hook = socket::listen(directory.as_fd(), HOOK_SOCKET, access, HOOK_BACKLOG)?;
    socket::give_directory(readable.as_fd(), uid, gid)?;
    Ok(hook)
}

/// The second process: a session of its own, and its end of terminal or pipes as standard streams.
fn prepare_agent(ends: &Ends, kept: &[BorrowedFd<'_>; 4]) -> Result<[OwnedFd; 4], Failed> {
    new_session().step("agent's session")?;
    ends.become_standard().step("standard streams")?;
    keep(kept).step("descriptors")
}

/// Takes the account's limits and identity, waits until the host is ready, becomes the agent. Returns the status of a process
/// that executed nothing.
fn become_agent(plan: &Plan, commands: &Commands, [status, ready, errors, directory]: [OwnedFd; 4]) -> i32 {
    let status = Seqpacket::from(status);
    if let Err(failed) = drop_to_account(plan) {
        return tell(&status, &failed);
    }
    let mut byte = [0];
    if File::from(ready).read(&mut byte).unwrap_or(0) != 1 {
        // No host, no agent. The host's own end tells the spawner.
        return 1;
    }
    // With or without a spawner to hear it.
    let _ = status.send(READY, &[]);
    let error = match enter(directory.as_fd()) {
        Ok(()) => exec(&commands.program, &commands.argv, &commands.environment),
        Err(error) => error,
    };
    // The host reports it as the session's end.
    let _ = File::from(errors).write_all(&error.raw_os_error().unwrap_or(0).to_ne_bytes());
    127
}

fn drop_to_account(plan: &Plan) -> Result<(), Failed> {
    set_priority(0);
    set_umask(0o022);
    set_limits(plan).step("limits")?;
    if let Some(identity) = &plan.agent_identity {
        become_identity(identity).step("becoming the account")?;
    }
    undumpable().step("undumpable")?;
    if plan.no_new_privs {
        no_new_privileges().step("no new privileges")?;
    }
    Ok(())
}

/// A reason, for a spawner that may have gone meanwhile.
fn tell(status: &Seqpacket, failed: &Failed) -> i32 {
    let _ = status.send(failed.to_string().as_bytes(), &[]);
    1
}

fn set_limits(plan: &Plan) -> io::Result<()> {
    let limits = &plan.limits;
    for (limit, value) in [
        (Limit::OpenFiles, limits.open_files),
        (Limit::Processes, limits.processes),
        (Limit::Memory, limits.memory),
        (Limit::FileSize, limits.file_size),
        (Limit::Core, limits.core),
    ] {
        if let Some(value) = value {
            rlimits::set(limit, value)?;
        }
    }
    Ok(())
}
