//! Bare relays between a TCP client and a program's PTY, in one process and in two: what a separate host costs before anything is
//! encrypted, framed or counted. The floor under our echo figures.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};

use crate::programs::READY;
use crate::pty;

/// Which relay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// The process that has the client has the PTY too, as sshd does.
    One,
    /// A second process has the PTY, behind a Unix socket, as with us.
    Two,
}

/// A relay at work with the echo program in its terminal; ended when dropped.
pub(crate) struct Relay {
    child: Child,
    stream: TcpStream,
}

impl Relay {
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let word = match kind {
            Kind::One => "one",
            Kind::Two => "two",
        };
        let mut child = Command::new(std::env::current_exe()?).args(["relay", word]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let stream = TcpStream::connect(line.trim())?;
        stream.set_nodelay(true)?;
        let mut relay = Self { child, stream };
        let mut said = Vec::new();
        while !said.ends_with(READY.as_bytes()) {
            let mut bytes = [0; 64];
            match relay.stream.read(&mut bytes)? {
                0 => bail!("the relay ended"),
                length => said.extend_from_slice(&bytes[..length]),
            }
        }
        Ok(relay)
    }

    /// Microseconds of each trip of one byte.
    pub(crate) fn trips(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut taken = Vec::with_capacity(count);
        let mut byte = [0];
        for _ in 0..count {
            let begin = Instant::now();
            self.stream.write_all(b"x")?;
            self.stream.read_exact(&mut byte)?;
            taken.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        Ok(taken)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The end of the stream ends them all.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// In a process of its own: prints its address, serves one client.
pub(crate) fn serve(kind: &str) -> Result<()> {
    if kind == "host" {
        let (mut child, master) = pty::program(&["program", "echo"])?;
        relay(std::io::stdin().as_fd().try_clone_to_owned()?, master)?;
        child.kill()?;
        child.wait()?;
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    if kind == "one" {
        let (mut child, master) = pty::program(&["program", "echo"])?;
        relay(stream.into(), master)?;
        child.kill()?;
        child.wait()?;
        return Ok(());
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut host =
        Command::new(std::env::current_exe()?).args(["relay", "host"]).stdin(OwnedFd::from(theirs)).spawn()?;
    relay(stream.into(), ours.into())?;
    host.wait()?;
    Ok(())
}

/// Until either end is over.
fn relay(left: OwnedFd, right: OwnedFd) -> Result<()> {
    let (left, right) = (File::from(left), File::from(right));
    let mut buffer = [0; 4096];
    loop {
        let end = |file| PollFd::from_borrowed_fd(file, PollFlags::IN);
        let mut ends = [end(left.as_fd()), end(right.as_fd())];
        poll(&mut ends, None)?;
        let ready = ends.map(|end| !end.revents().is_empty());
        for (is_ready, mut from, mut to) in [(ready[0], &left, &right), (ready[1], &right, &left)] {
            if !is_ready {
                continue;
            }
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(length) => to.write_all(&buffer[..length])?,
            }
        }
    }
}
