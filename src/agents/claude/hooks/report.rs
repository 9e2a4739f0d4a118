//! What Claude Code tells its hook program, and the line that the session's host gets of it; reads and writes nothing.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::agents::event::{clip, digest};
use crate::agents::limits::{REQUEST_INPUT, SHORT_TEXT};

/// Longest line to the host: a request that somebody can judge, and what names it.
pub const REPORT: usize = REQUEST_INPUT + 16 * SHORT_TEXT;

/// One hook's news. What people or the model wrote stays in the agent, but for the input of a request.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    #[serde(rename = "hook_event_name")]
    pub(super) event: String,
    #[serde(rename = "session_id", deserialize_with = "text")]
    pub(super) session: String,
    #[serde(deserialize_with = "text")]
    pub(super) cwd: String,
    #[serde(rename = "permission_mode", deserialize_with = "text")]
    pub(super) mode: String,
    #[serde(deserialize_with = "text")]
    pub(super) model: String,
    /// How a session began, or why it ended.
    #[serde(deserialize_with = "text")]
    pub(super) source: String,
    #[serde(rename = "notification_type", deserialize_with = "text")]
    pub(super) notification: String,
    /// The kind of a failure.
    #[serde(deserialize_with = "text")]
    pub(super) error: String,
    #[serde(rename = "tool_name", deserialize_with = "text")]
    pub(super) tool: String,
    /// Of a request alone.
    #[serde(rename = "tool_input", skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Box<RawValue>>,
    /// Of the tool's input.
    pub(super) digest: String,
}

impl Report {
    /// The hook program's standard input; none where it is no report of this agent's.
    pub fn read(input: &[u8]) -> Option<Self> {
        let mut report: Self = serde_json::from_slice(input).ok()?;
        if report.event.is_empty() || report.event.len() > 64 {
            return None;
        }
        let sum = |input: &RawValue| digest(input.get()).unwrap_or_default();
        report.digest = report.input.as_deref().map(sum).unwrap_or_default();
        if !report.is_request() {
            report.input = None;
        }
        Some(report)
    }

    /// Whether the agent takes an answer.
    pub fn is_request(&self) -> bool {
        self.event == "PermissionRequest"
    }

    /// The agent's own id of its conversation.
    pub fn conversation(&self) -> &str {
        &self.session
    }

    /// For the host, with its newline; none where it is longer than anybody could judge.
    pub fn line(&self) -> Option<Vec<u8>> {
        let mut line = serde_json::to_vec(self).ok()?;
        line.push(b'\n');
        (line.len() <= REPORT).then_some(line)
    }
}

/// A short text; another type is as good as none.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => clip(text, SHORT_TEXT),
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_requests_input_goes_to_the_host() {
        let read = |event: &str, more: &str| {
            let text = format!(
                r#"{{"session_id":"s","hook_event_name":"{event}","prompt":"secret","tool_name":"Bash","tool_input":{{"command":"ls"}}{more}}}"#
            );
            let report = Report::read(text.as_bytes()).unwrap();
            (report.is_request(), String::from_utf8(report.line().unwrap()).unwrap())
        };
        let (waits, asked) = read("PermissionRequest", "");
        assert!(waits && asked.contains(r#""tool_input":{"command":"ls"}"#) && asked.ends_with('\n'), "{asked}");
        let (waits, after) = read("PostToolUse", r#","tool_response":{"stdout":"secret"},"error":{"not":"a text"}"#);
        assert!(!waits && !after.contains("tool_input") && !after.contains("secret"), "{after}");
        let sum = digest(r#"{"command":"ls"}"#).unwrap();
        assert!(asked.contains(&sum) && after.contains(&sum), "the same call is known again");
        assert!(!asked.contains("secret"));
    }

    #[test]
    fn what_is_no_report_is_none_and_what_nobody_can_judge_no_line() {
        for bad in [&b""[..], b"{}", b"[]", b"{\"hook_event_name\":7}", b"\xff"] {
            assert!(Report::read(bad).is_none());
        }
        let long = "x".repeat(REPORT);
        let text = format!(r#"{{"hook_event_name":"PermissionRequest","tool_input":{{"command":"{long}"}}}}"#);
        assert!(Report::read(text.as_bytes()).unwrap().line().is_none());
    }
}
