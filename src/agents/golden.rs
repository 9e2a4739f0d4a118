//! Recordings of programs of JSON lines and of a bare one, replayed; and how any driver's recording is. `GOLDEN=write` writes what is expected anew.

use std::path::Path;

use serde_json::{Value, json};

use super::driver::{Driver, Effect, Effects};
use super::lines::Lines;
use super::pipe::Pipe;
use super::recording::{self, SEED};

/// Every recording of a folder, by name.
pub(super) fn recordings(folder: &Path) -> Vec<(String, String)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}

/// Holds every recording of a folder to what is expected of it; `driver` speaks with the agent of this name.
pub(super) fn hold(folder: &Path, driver: impl Fn(&str) -> Box<dyn Driver>, least: usize) {
    let all = recordings(folder);
    assert!(all.len() >= least, "{}", all.len());
    for (name, recording) in all {
        let path = folder.join(format!("{name}.expected"));
        let made = replay(&name, driver(&name).as_mut(), &recording);
        if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
            std::fs::write(&path, &made).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(made == expected, "{name} differs; now:\n{made}");
    }
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
            writes.push(value(String::from_utf8(line).unwrap().trim_end()));
            None
        }
        Effect::Condition(condition) => Some(json!({"condition": format!("{condition:?}")}).to_string()),
        Effect::CloseInput => Some(json!({"close": true}).to_string()),
    });
    told.collect()
}

/// A line of JSON, or a text.
fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| line.into())
}

/// What the driver makes of a recording.
fn replay(name: &str, driver: &mut dyn Driver, recording: &str) -> String {
    let (mut out, mut writes, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    let mut now = 1_000;
    out.extend(told(driver.start(now), now, None, &mut writes));
    for line in recording.lines() {
        now += 1;
        if let Some(line) = line.strip_prefix("< ") {
            taken.push(value(line));
        } else if let Some(text) = line.strip_prefix("> ") {
            out.push(format!("# {text}"));
            let command = recording::command(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            out.extend(told(driver.command(now, command).unwrap(), now, None, &mut writes));
        } else {
            out.push(format!("# {}", line.chars().take(140).collect::<String>()));
            let effects = match driver.is_raw() {
                true => driver.bytes(now, format!("{line}\n").as_bytes()),
                false => driver.line(now, line.as_bytes()),
            };
            out.extend(told(effects, now, Some(line), &mut writes));
        }
    }
    assert_eq!(writes, taken, "{name}: what is written is what the agent took");
    out.push("# end".into());
    out.extend(told(driver.closed(now), now, None, &mut writes));
    out.join("\n") + "\n"
}

#[test]
fn programs_of_json_lines_and_a_bare_one_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agents/golden");
    let driver = |name: &str| -> Box<dyn Driver> {
        if name.starts_with("pipe-") {
            Box::new(Pipe::new("/place/work"))
        } else {
            Box::new(Lines::new("/place/work", SEED))
        }
    };
    hold(&folder, driver, 7);
    let count = |name: &str, what: &str| {
        std::fs::read_to_string(folder.join(format!("{name}.expected"))).unwrap().matches(what).count()
    };
    assert_eq!(count("lines-echo", "STOP_REASON_END_TURN"), 2);
    assert_eq!(count("lines-work", "STOP_REASON_ERROR"), 1);
    assert_eq!((count("lines-allowed", "\"permission_asked\""), count("lines-question", "\"question_asked\"")), (1, 1));
    assert_eq!(count("lines-interrupt", "STOP_REASON_CANCELLED"), 1);
    assert_eq!(count("pipe-lines", "\"pipe_output\""), 3);
}
