//! How soon a session host is there, alone: descriptors as a launch gives them, then fork, exec and the byte that says ready.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use portcullis::wire::v1::{Session, Size};
use prost::Message as _;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::pipe;

use crate::pty;

/// Milliseconds of each start.
pub(super) fn starts(program: &Path, count: usize) -> Result<Vec<f64>> {
    let dir = std::env::temp_dir().join(format!("pc-bench-host-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let taken = (0..count).map(|at| start(program, &dir.join(at.to_string()))).collect();
    std::fs::remove_dir_all(&dir)?;
    taken
}

fn start(program: &Path, sockets: &Path) -> Result<f64> {
    std::fs::create_dir(sockets)?;
    let (agent, master) = pty::program(&["program", "quiet"])?;
    let mut agent = Ended(agent);
    let (ready, readies) = pipe()?;
    let (exec_error, _no_error) = pipe()?;
    let listen = OwnedFd::from(UnixListener::bind(sockets.join("link"))?);
    let hook = OwnedFd::from(UnixListener::bind(sockets.join("hook"))?);
    let session = Session {
        session_id: "0".repeat(32),
        name: "bench".into(),
        size: Some(Size { cols: 80, rows: 24 }),
        ..Session::default()
    };
    let meta = sealed(&session.encode_to_vec())?;
    let mut command = Command::new(program);
    command.args(["host", "--session", &session.session_id]);
    let given = [
        ("--pty-fd", &master),
        ("--listen-fd", &listen),
        ("--hook-fd", &hook),
        ("--ready-fd", &readies),
        ("--exec-error-fd", &exec_error),
        ("--meta-fd", &meta),
    ];
    for (name, fd) in given {
        fcntl_setfd(fd, FdFlags::empty())?;
        command.args([name.to_owned(), fd.as_raw_fd().to_string()]);
    }
    command.args(["--child-pid", &agent.0.id().to_string(), "--ring", "4194304"]);
    command.args(["--gateway-uid", "0", "--account-uid", "0"]).stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let mut host = Ended(command.spawn()?);
    File::from(ready).read_exact(&mut [0]).context("the host never became ready")?;
    let taken = begin.elapsed().as_secs_f64() * 1e3;
    host.end();
    agent.end();
    Ok(taken)
}

fn sealed(bytes: &[u8]) -> Result<OwnedFd> {
    let memory = memfd_create("session", MemfdFlags::ALLOW_SEALING)?;
    File::from(memory.try_clone()?).write_all(bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(memory.as_fd(), seals)?;
    Ok(memory)
}

/// A process that is over when this is.
struct Ended(Child);

impl Ended {
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.end();
    }
}
