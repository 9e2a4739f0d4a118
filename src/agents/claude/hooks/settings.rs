//! The arguments and the variable that make Claude Code in a terminal report to its host; starts nothing.

use serde_json::{Map, Value, json};

use crate::agents::{AgentSpec, DriverKind, Mode};

/// Where the hook program finds the session's hook socket.
pub const HOOK_VARIABLE: &str = "PORTCULLIS_HOOK";
/// Files of a person's own settings; the last one given counts.
const FLAG: &str = "--settings";
/// What is reported. The tools' ends tell that a dialog was answered; their beginnings would tell nothing more.
const EVENTS: [&str; 9] = [
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PermissionRequest",
    "PostToolUse",
    "PostToolUseFailure",
    "Stop",
    "StopFailure",
    "Notification",
];
/// Seconds that a request may wait for its answer: the dialog on the screen waits without end. The agent counts milliseconds in 31
/// bits; what is longer ends at once.
const FOR_PEOPLE: u32 = 20 * 24 * 60 * 60;
/// Seconds for all other reports; they take milliseconds.
const FOR_NEWS: u32 = 5;

/// The command with hooks that run `program`, an absolute path; none for an agent that has none, or where a person or the
/// configuration gives settings already: those count, whole.
pub fn with_hooks(spec: &AgentSpec, mode: Mode, argv: &[String], program: &str) -> Option<Vec<String>> {
    let given = argv.iter().any(|word| word == FLAG || word.starts_with("--settings="));
    if spec.driver != Some(DriverKind::Claude) || mode != Mode::Terminal || given {
        return None;
    }
    let (command, chosen) = argv.split_at_checked(spec.command.len())?;
    let settings = [FLAG.to_owned(), settings(program)];
    Some([command, &settings, chosen].concat())
}

fn settings(program: &str) -> String {
    // The shell between would be one more process for each report, and would stand between the agent and its child.
    let command = format!("exec {} hook", quoted(program));
    let hooks = EVENTS.map(|event| {
        let timeout = if event == "PermissionRequest" { FOR_PEOPLE } else { FOR_NEWS };
        let hook = json!({"type": "command", "command": command, "timeout": timeout});
        (event.to_owned(), json!([{"matcher": "", "hooks": [hook]}]))
    });
    json!({"hooks": Value::Object(Map::from_iter(hooks))}).to_string()
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claude() -> AgentSpec {
        AgentSpec {
            name: "claude".parse().unwrap(),
            command: vec!["/opt/claude".into(), "--fixed".into()],
            modes: Mode::ALL.to_vec(),
            options: Vec::new(),
            env: Default::default(),
            env_pass: Vec::new(),
            env_file: None,
            free_args: true,
            login_shell: false,
            driver: Some(DriverKind::Claude),
            structured_args: Vec::new(),
            turn_timeout: None,
            request_timeout: None,
        }
    }

    fn hooked(spec: &AgentSpec, mode: Mode, more: &[&str]) -> Option<Vec<String>> {
        let argv: Vec<String> = ["/opt/claude", "--fixed"].iter().chain(more).map(|word| (*word).to_owned()).collect();
        with_hooks(spec, mode, &argv, "/run/it's/portcullis")
    }

    #[test]
    fn settings_stand_between_the_command_and_what_was_chosen() {
        let argv = hooked(&claude(), Mode::Terminal, &["--model", "m"]).unwrap();
        assert_eq!(
            (&argv[..3], &argv[4..]),
            (&["/opt/claude", "--fixed", "--settings"].map(String::from)[..], &["--model".to_owned(), "m".into()][..])
        );
        let settings: Value = serde_json::from_str(&argv[3]).unwrap();
        let hook = &settings["hooks"]["PermissionRequest"][0]["hooks"][0];
        assert_eq!(hook["command"], r"exec '/run/it'\''s/portcullis' hook");
        assert!(hook["timeout"].as_u64().unwrap() * 1000 < 1 << 31);
        assert_eq!(settings["hooks"].as_object().unwrap().len(), EVENTS.len());
    }

    #[test]
    fn others_and_those_with_settings_of_their_own_are_left_alone() {
        let other = AgentSpec { driver: Some(DriverKind::Acp), ..claude() };
        assert_eq!(hooked(&other, Mode::Terminal, &[]), None);
        assert_eq!(hooked(&claude(), Mode::Structured, &[]), None);
        for given in [&["--settings", "mine"][..], &["--settings=mine"]] {
            assert_eq!(hooked(&claude(), Mode::Terminal, given), None);
        }
    }
}
