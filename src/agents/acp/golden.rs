//! Recordings of real ACP agents, replayed: their lines make the expected events, and what is written to them is what
//! they took when they were recorded. `tests/foreign/record-acp` records; `GOLDEN=write` writes what is expected anew.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Acp;
use crate::agents::driver::{Command, Driver, Effect, Effects};
use crate::agents::recording;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agents/acp/golden")
}

/// Every recording by name.
pub(super) fn recordings() -> Vec<(String, String)> {
    let paths = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}

pub(super) fn driver(name: &str) -> Acp {
    let resume = match name {
        "claude-load" => Some("00000000-0000-4000-8000-000000000077"),
        "claude-load-unknown" => Some("00000000-0000-4000-8000-000000000078"),
        "opencode-load" => Some("ses_1"),
        "opencode-load-unknown" => Some("ses_000000000000AAAAAAAAAAAAAA"),
        _ => None,
    };
    Acp::new("/place/work", resume, recording::SEED)
}

pub(super) fn command(text: &str) -> Command {
    recording::command(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
}

/// What the effects say, one line each; lines for the agent go apart.
fn told(effects: Effects, now: u64, raw: Option<&str>, writes: &mut Vec<Value>) -> Vec<String> {
    let mut raw = raw;
    let told = effects.into_iter().filter_map(|effect| match effect {
        Effect::Event(mut event) => {
            assert_eq!(event.at, now);
            if let Some(raw) = raw.take().filter(|_| event.raw_length > 0) {
                assert_eq!((event.raw_length, &event.raw[..]), (raw.len() as u64, raw.as_bytes()));
            } else {
                assert_eq!((event.raw.len(), event.raw_length), (0, 0));
            }
            (event.at, event.raw, event.raw_length) = (0, Default::default(), 0);
            Some(serde_json::to_string(&event).unwrap())
        }
        Effect::Write(line) => {
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            writes.push(serde_json::from_slice(&line).unwrap());
            None
        }
        Effect::Condition(condition) => Some(json!({"condition": format!("{condition:?}")}).to_string()),
        Effect::CloseInput => Some(json!({"close": true}).to_string()),
    });
    told.collect()
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
            out.push(format!("# {text}"));
            let effects = driver.command(now, command(text)).unwrap();
            out.extend(told(effects, now, None, &mut writes));
        } else {
            out.push(format!("# {}", line.chars().take(140).collect::<String>()));
            out.extend(told(driver.line(now, line.as_bytes()), now, Some(line), &mut writes));
        }
    }
    assert_eq!(writes, taken, "{name}: what is written is what the agent took");
    out.push("# end".into());
    out.extend(told(driver.closed(now), now, None, &mut writes));
    out.join("\n") + "\n"
}

#[test]
fn real_agents_are_understood() {
    let all = recordings();
    assert!(all.len() >= 30, "{}", all.len());
    for (name, recording) in all {
        let path = folder().join(format!("{name}.expected"));
        let made = replay(&name, &recording);
        if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
            std::fs::write(&path, &made).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(made == expected, "{name} differs; now:\n{made}");
    }
    what_is_expected_means_what_it_should();
}

/// What the expected events must say, whoever wrote them.
fn what_is_expected_means_what_it_should() {
    let expected = |name: &str| std::fs::read_to_string(folder().join(format!("{name}.expected"))).unwrap();
    let count = |name: &str, what: &str| expected(name).matches(what).count();
    for agent in ["claude", "opencode"] {
        let of = |case: &str| format!("{agent}-{case}");
        assert_eq!(count(&of("several-turns"), "\"turn_ended\""), 2, "{agent}");
        assert_eq!(count(&of("several-turns"), "STOP_REASON_END_TURN"), 2, "{agent}");
        assert!(count(&of("streaming"), "\"message\"") >= 3, "{agent}");
        assert!(count(&of("thinking"), "\"thought\"") >= 1, "{agent}");
        assert_eq!(count(&of("tool-allowed"), "\"permission_asked\""), 1, "{agent}");
        assert_eq!(count(&of("tool-allowed"), "\"permission_closed\""), 0, "{agent}");
        assert!(count(&of("tool-allowed"), "TOOL_STATUS_COMPLETED") >= 1, "{agent}");
        assert!(count(&of("tool-denied"), "TOOL_STATUS_FAILED") >= 1, "{agent}");
        assert_eq!(count(&of("tool-denied"), "TOOL_STATUS_COMPLETED"), 0, "{agent}");
        assert!(expected(&of("tool-allowed")).contains("\"command\":\"echo made > made.txt\""), "{agent}");
        assert!(expected(&of("write-and-edit")).contains("\"old\":\"one\",\"new\":\"two\""), "{agent}");
        assert_eq!(count(&of("interrupt-streaming"), "STOP_REASON_CANCELLED"), 1, "{agent}");
        assert_eq!(count(&of("interrupt-streaming"), "STOP_REASON_END_TURN"), 1, "{agent}");
        assert_eq!(count(&of("interrupt-asking"), "\"permission_closed\""), 1, "{agent}");
        assert!(expected(&of("mode")).contains("\"mode\":{\"mode\":\"plan\"}"), "{agent}");
        assert_eq!(count(&of("error-400"), "STOP_REASON_ERROR"), 1, "{agent}");
        assert_eq!(count(&of("error-400"), "STOP_REASON_END_TURN"), 1, "{agent}");
        // History comes without prompts and turns; after it, one live turn.
        assert_eq!(count(&of("load"), "\"user_message\""), 2, "{agent}");
        assert_eq!(count(&of("load"), "\"turn_started\""), 1, "{agent}");
        assert_eq!(count(&of("load"), "\"resumed\":true"), count(&of("load"), "\"started\""), "{agent}");
        assert!(expected(&of("load-unknown")).contains("{\"close\":true}"), "{agent}");
    }
    assert!(expected("claude-plan").contains("\"plan\""));
    assert!(expected("claude-error-401").contains("NeedsLogin"));
}
