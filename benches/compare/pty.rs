//! The bare PTY with one blocking reader: what nobody can beat.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::programs::{END, READY};

/// Seconds from the first byte asked for to the last one read.
pub(crate) fn bulk(mebibytes: usize) -> Result<f64> {
    let (mut child, master) = program(&["program", "bulk", &mebibytes.to_string()])?;
    let mut master = File::from(master);
    let mut buffer = vec![0; 64 * 1024];
    until(&mut master, &mut buffer, READY)?;
    let begin = Instant::now();
    master.write_all(b"\n")?;
    until(&mut master, &mut buffer, END)?;
    let elapsed = begin.elapsed().as_secs_f64();
    child.kill().context("bulk program")?;
    child.wait()?;
    Ok(elapsed)
}

/// One of the bench's programs in a PTY of its own, and the PTY's master.
pub(crate) fn program(words: &[&str]) -> Result<(Child, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open(ptsname(&master, Vec::new())?, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    let child = Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::from(slave.try_clone()?))
        .stdout(Stdio::from(slave))
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, master))
}

fn until(master: &mut File, buffer: &mut [u8], wanted: &str) -> Result<()> {
    let mut tail = Vec::new();
    loop {
        match master.read(buffer)? {
            0 => bail!("the PTY ended before {wanted}"),
            length => {
                if crate::figures::ends(&mut tail, &buffer[..length], wanted) {
                    return Ok(());
                }
            }
        }
    }
}
