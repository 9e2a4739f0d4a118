//! What runs in the terminals that are measured; does not know through which door it is seen.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use sha2::{Digest, Sha256};

use crate::streams;

/// Printed when a program listens.
pub(crate) const READY: &str = "READY";
/// Printed behind the last byte of a bulk.
pub(crate) const END: &str = "END-OF-BULK";
/// Printed before and behind what the paced program prints, the latter followed by a hash.
pub(crate) const BEGIN_PACED: &str = "<paced>";
/// See `BEGIN_PACED`.
pub(crate) const END_PACED: &str = "</paced>";

/// The names that quickstart's configuration has to know, with their words.
pub(crate) const PROGRAMS: [&str; 7] = ["echo", "bulk", "noise", "paced", "screen", "quiet", "silent"];

pub(crate) fn run(name: &str, words: &[&str]) -> Result<()> {
    match (name, words) {
        ("echo", []) => echo(),
        ("bulk", [mebibytes]) => bulk(mebibytes.parse()?),
        ("noise", []) => noise(),
        ("paced", [seconds]) => paced(seconds.parse()?),
        ("screen", []) => screen(),
        ("quiet", []) => quiet(READY),
        ("silent", []) => quiet(""),
        _ => bail!("no such program: {name}"),
    }
}

/// Answers each read with the same bytes.
fn echo() -> Result<()> {
    raw(false)?;
    say(READY.as_bytes())?;
    let (mut input, mut buffer) = (std::io::stdin().lock(), [0; 4096]);
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            length => say(&buffer[..length])?,
        }
    }
}

/// Waits for a byte, then prints lines as fast as they are taken; twice over if a second byte comes.
fn bulk(mebibytes: usize) -> Result<()> {
    raw(true)?;
    say(READY.as_bytes())?;
    let block = streams::plain(64 * 1024);
    let mut input = std::io::stdin().lock();
    let mut byte = [0];
    while input.read(&mut byte)? > 0 {
        let mut left = mebibytes * 1024 * 1024;
        while left > 0 {
            let length = left.min(block.len());
            say(&block[..length])?;
            left -= length;
        }
        say(END.as_bytes())?;
    }
    Ok(())
}

/// 20 KiB/s in lines.
fn noise() -> Result<()> {
    raw(true)?;
    let block = streams::plain(1024);
    let begin = Instant::now();
    for tick in 1.. {
        say(&block)?;
        let due = begin + Duration::from_millis(50 * tick);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Waits for a byte, then prints 1 MiB/s and its hash.
fn paced(seconds: usize) -> Result<()> {
    raw(false)?;
    say(READY.as_bytes())?;
    std::io::stdin().lock().read_exact(&mut [0])?;
    say(BEGIN_PACED.as_bytes())?;
    // With CR LF: raw mode passes it on as it is, and no program prints stairs.
    let mut bytes = streams::sieved_plain(seconds * 1024 * 1024);
    bytes.truncate(seconds * 1024 * 1024);
    let begin = Instant::now();
    for (tick, block) in bytes.chunks(16 * 1024).enumerate() {
        say(block)?;
        let due = begin + Duration::from_micros(15_625) * (tick as u32 + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    say(format!("{END_PACED}{}\n", hash(&bytes)).as_bytes())?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Hex of the SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn screen() -> Result<()> {
    raw(false)?;
    say(&streams::screenful(3000))?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn quiet(text: &str) -> Result<()> {
    raw(false)?;
    say(text.as_bytes())?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Bytes as they come, no echo; with `lines` the terminal goes on making CR LF of LF.
fn raw(lines: bool) -> Result<()> {
    let stdin = std::io::stdin();
    let mut modes = tcgetattr(&stdin)?;
    let output = modes.output_modes;
    modes.make_raw();
    if lines {
        modes.output_modes = output;
    }
    tcsetattr(&stdin, OptionalActions::Now, &modes)?;
    Ok(())
}

fn say(bytes: &[u8]) -> Result<()> {
    let out = rustix::stdio::stdout();
    let mut left = bytes;
    while !left.is_empty() {
        let written = rustix::io::write(out, left)?;
        left = &left[written..];
    }
    Ok(())
}
