//! Recordings of real ACP agents, replayed: their lines make the expected events, and what is written to them is what
//! they took when they were recorded. `tests/foreign/record-acp` records; `GOLDEN=write` writes what is expected anew.

use std::path::{Path, PathBuf};

use super::Acp;
use crate::agents::driver::Command;
use crate::agents::{golden, recording};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agents/acp/golden")
}

/// Every recording by name.
pub(super) fn recordings() -> Vec<(String, String)> {
    golden::recordings(&folder())
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

#[test]
fn real_agents_are_understood() {
    golden::hold(&folder(), |name| Box::new(driver(name)), 30);
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
