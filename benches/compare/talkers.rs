//! Agents on pipes that are measured: they speak Claude Code's lines and stamp them with the clock. Do not know who listens.

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Their names in quickstart's configuration.
pub(crate) const TALKERS: [&str; 3] = ["stamps", "events", "long"];
/// Characters of the answer of `long`: its line is just below the longest that is taken.
pub(crate) const LONG: usize = 15 * 1024 * 1024;

/// Nanoseconds of the clock that all processes of a machine share.
pub(crate) fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub(crate) fn run(name: &str) -> Result<()> {
    match name {
        "stamps" => turns(|text, out| {
            let got = clock();
            let _ = text;
            say(out, |now| format!("{got} {now}"))
        }),
        "events" => turns(|text, out| events(text.parse()?, out)),
        "long" => turns(|_, out| say(out, |_| "x".repeat(LONG))),
        _ => bail!("no such talker: {name}"),
    }
}

/// Answers the handshake, then each prompt with what `answer` says and the end of the turn.
fn turns(mut answer: impl FnMut(&str, &mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(std::io::stdin()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line?)?;
        if line["type"] == "control_request" {
            let id = &line["request_id"];
            let response = serde_json::json!({"type": "control_response", "response": {"subtype": "success", "request_id": id, "response": {}}});
            writeln!(out, "{response}")?;
        } else {
            let text = line["message"]["content"][0]["text"].as_str().context("a prompt's text")?;
            answer(text, &mut out)?;
            writeln!(out, r#"{{"type":"result","subtype":"success","is_error":false,"result":"","num_turns":1}}"#)?;
        }
        out.flush()?;
    }
    Ok(())
}

/// One finished block; its text is made of the time just before it is written.
fn say(out: &mut dyn Write, text: impl FnOnce(u64) -> String) -> Result<()> {
    let text = text(clock());
    let message = format!(
        r#"{{"type":"assistant","message":{{"id":"m","role":"assistant","content":[{{"type":"text","text":"{text}"}}]}},"session_id":"s"}}"#
    );
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}

/// 10,000 blocks a second, in a burst each millisecond.
fn events(count: u64, out: &mut dyn Write) -> Result<()> {
    let begin = Instant::now();
    for number in 0..count {
        let line = format!(
            r#"{{"type":"assistant","message":{{"id":"m{number}","role":"assistant","content":[{{"type":"text","text":"event {number} of many, as long as a short sentence is"}}]}},"session_id":"s"}}"#
        );
        writeln!(out, "{line}")?;
        if number % 10 == 9 {
            out.flush()?;
            let due = begin + Duration::from_millis(number / 10 + 1);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    Ok(())
}

/// Prompts of a bare pipe's client, one at a time: nanoseconds there and back.
pub(crate) fn bare(trips: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    use std::process::{Command, Stdio};
    let mut child = Command::new(std::env::current_exe()?)
        .args(["program", "stamps"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("stdin")?;
    let mut output = BufReader::new(child.stdout.take().context("stdout")?);
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let mut line = String::new();
    for _ in 0..trips {
        let begin = clock();
        writeln!(input, r#"{{"type":"user","message":{{"role":"user","content":[{{"type":"text","text":"x"}}]}}}}"#)?;
        line.clear();
        output.read_line(&mut line)?;
        let end = clock();
        let said: serde_json::Value = serde_json::from_str(&line)?;
        let (got, sent) = stamps(said["message"]["content"][0]["text"].as_str().context("stamps")?)?;
        there.push((got - begin) as f64 / 1e3);
        back.push((end - sent) as f64 / 1e3);
        output.read_line(&mut line)?;
    }
    drop(input);
    child.wait()?;
    Ok((there, back))
}

/// When the prompt was read, and when the answer was written.
pub(crate) fn stamps(text: &str) -> Result<(u64, u64)> {
    let (got, sent) = text.split_once(' ').context("two stamps")?;
    Ok((got.parse()?, sent.parse()?))
}
