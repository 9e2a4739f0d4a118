//! Recordings of the real Claude Code, replayed: its lines make the expected events, and what is written to it is what
//! it took when it was recorded. `tests/foreign/record-agents` records; `GOLDEN=write` writes what is expected anew.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Claude, Conversation};
use crate::agents::driver::{Command, Condition, Driver, Effect, Effects};
use crate::agents::recording;

const ID: &str = "00000000-0000-4000-8000-000000000077";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agents/claude/golden")
}

/// Every recording by name.
pub(super) fn recordings() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}

pub(super) fn driver(name: &str) -> Claude {
    let conversation = match name {
        "resume" => Conversation::Resume(ID.into()),
        "resume-unknown" => Conversation::Resume(ID.replace("77", "78")),
        _ => Conversation::New(ID.into()),
    };
    Claude::new(conversation, "/place/work", recording::SEED)
}

pub(super) fn command(text: &str) -> Command {
    recording::command(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
}

/// What the effects say, one line each; lines for the agent go apart.
fn told(effects: Effects, now: u64, raw: Option<&str>, writes: &mut Vec<Value>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first = true;
    for effect in effects {
        match effect {
            Effect::Event(mut event) => {
                assert_eq!(event.at, now);
                if first && let Some(raw) = raw {
                    assert_eq!(event.raw_length, raw.len() as u64);
                    assert_eq!(&event.raw[..], raw.as_bytes());
                } else {
                    assert_eq!((event.raw.len(), event.raw_length), (0, 0));
                }
                first = false;
                (event.at, event.raw, event.raw_length) = (0, Default::default(), 0);
                lines.push(serde_json::to_string(&event).unwrap());
            }
            Effect::Write(line) => {
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                writes.push(serde_json::from_slice(&line).unwrap());
            }
            Effect::Condition(condition) => lines.push(json!({"condition": format!("{condition:?}")}).to_string()),
            Effect::CloseInput => lines.push(json!({"close": true}).to_string()),
        }
    }
    lines
}

/// What the driver makes of a recording.
fn replay(name: &str, recording: &str) -> String {
    let mut driver = driver(name);
    let (mut out, mut writes, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    let mut now = 1_000;
    out.extend(told(driver.start(now), now, None, &mut writes));
    for line in recording.lines() {
        now += 1;
        if let Some(line) = line.strip_prefix("< ") {
            taken.push(serde_json::from_str::<Value>(line).unwrap());
        } else if let Some(text) = line.strip_prefix("> ") {
            if name == "resume-unknown" {
                // The recorder did not wait for the handshake; a driver does.
                assert!(driver.command(now, command(text)).is_err());
                writes.push(taken.last().cloned().unwrap_or_default());
                continue;
            }
            out.push(format!("# {text}"));
            let effects = driver.command(now, command(text)).unwrap();
            out.extend(told(effects, now, None, &mut writes));
        } else {
            out.push(format!("# {}", line.chars().take(60).collect::<String>()));
            out.extend(told(driver.line(now, line.as_bytes()), now, Some(line), &mut writes));
        }
    }
    if name != "resume-unknown" {
        assert_eq!(writes, taken, "{name}: what is written is what the agent took");
    }
    out.push("# end".into());
    out.extend(told(driver.closed(now), now, None, &mut writes));
    out.join("\n") + "\n"
}

#[test]
fn the_real_agent_is_understood() {
    let all = recordings();
    assert!(all.len() >= 20, "{}", all.len());
    let mut wrong = Vec::new();
    for (name, recording) in all {
        let path = folder().join(format!("{name}.expected"));
        let got = replay(&name, &recording);
        if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
            std::fs::write(&path, &got).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some((place, (got, expected))) =
            got.lines().zip(expected.lines().chain(std::iter::repeat(""))).enumerate().find(|(_, (a, b))| a != b)
        {
            wrong.push(format!("{name}.expected:{}:\n  got      {got}\n  expected {expected}", place + 1));
        } else if got != expected {
            wrong.push(format!("{name}.expected: more is expected"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recorded_turn_ends_and_leaves_nothing_open() {
    for (name, recording) in recordings() {
        let mut driver = driver(&name);
        driver.start(0);
        for line in recording.lines().filter(|line| !line.starts_with('<')) {
            match line.strip_prefix("> ") {
                Some(text) => _ = driver.command(1, command(text)),
                None => _ = driver.line(1, line.as_bytes()),
            }
        }
        assert!(driver.turn.is_none() && driver.open.is_empty() && driver.unanswered.len() <= 1, "{name}");
        driver.closed(2);
        assert!(matches!(driver.condition, Condition::Ended(_)));
    }
}

#[test]
fn an_agent_that_is_too_old_or_silent_says_so() {
    let ready = br#"{"type":"control_response","response":{"subtype":"success","request_id":"portcullis-1"}}"#;
    let mut silent = driver("prompt");
    silent.start(0);
    let wake = silent.wake().unwrap();
    assert_eq!(silent.tick(wake - 1), []);
    let told = format!("{:?}", silent.tick(wake));
    assert!(told.contains("no answer to the handshake"), "{told}");
    assert_eq!(silent.wake(), None);
    let prompt = || Command::Prompt { id: "p1".into(), text: "x".into() };
    assert_eq!(silent.command(wake, prompt()).unwrap_err().code(), "busy");
    silent.line(wake, ready);
    silent.command(wake, prompt()).unwrap();
    silent.line(wake, br#"{"type":"system","subtype":"init","claude_code_version":"1.0.99"}"#);
    silent.line(wake, br#"{"type":"result","subtype":"success"}"#);
    assert_eq!(silent.command(wake, prompt()).unwrap_err().code(), "agent-too-old");
}

#[test]
fn what_the_agent_refuses_has_not_happened() {
    let ready = br#"{"type":"control_response","response":{"subtype":"success","request_id":"portcullis-1"}}"#;
    let mut driver = driver("prompt");
    driver.start(0);
    assert_eq!(driver.command(0, Command::SetMode("plan".into())).unwrap_err().code(), "busy");
    driver.line(0, ready);
    driver.command(0, Command::SetMode("auto".into())).unwrap();
    let no =
        br#"{"type":"control_response","response":{"subtype":"error","request_id":"portcullis-2","error":"no auto"}}"#;
    let told = format!("{:?}", driver.line(0, no));
    assert!(told.contains("no auto") && !told.contains("ModeChanged"), "{told}");
    for (command, code) in [
        (Command::SetMode("bypassPermissions".into()), "not-offered"),
        (Command::SetModel("a\nb".into()), "not-offered"),
        (Command::Interrupt, "not-working"),
        (Command::Decline { id: "x".into(), reason: String::new() }, "no-such-permission"),
    ] {
        assert_eq!(driver.command(0, command).unwrap_err().code(), code);
    }
}
