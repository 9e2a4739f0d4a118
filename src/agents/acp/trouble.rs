//! What an agent's error means: whose fault, which status, whether again; does not know what follows from it.

use super::inbound::{Failure, FailureData, parsed, read};
use crate::agents::event::clip;
use crate::agents::limits::SHORT_TEXT;
use crate::wire::v1::AgentError;

/// ACP's own code: authentication is required.
const AUTHENTICATION: i64 = -32000;

/// An error, understood as far as it can be.
pub(super) struct Trouble {
    pub(super) message: String,
    status: u32,
    /// The model wants other credentials.
    pub(super) is_login: bool,
}

impl Trouble {
    /// Of a JSON-RPC error. ACP has a code for logins alone; for the rest, agents put a kind or a status beside it, or
    /// into the text (claude-agent-acp: `API Error: 529 …`).
    pub(super) fn of(failure: &Failure<'_>) -> Self {
        let data: FailureData = parsed(failure.data).unwrap_or_default();
        let details = read::<String>(failure.data).unwrap_or(data.details);
        let mut message = clip(failure.message.clone(), SHORT_TEXT);
        if !details.is_empty() && !message.contains(&details) {
            message = clip(format!("{message}: {details}"), SHORT_TEXT);
        }
        let status = if data.status > 0 { data.status } else { status_in(&message) };
        let is_login = failure.code == AUTHENTICATION || data.kind == "authentication_failed" || status == 401;
        Self { message, status, is_login }
    }

    /// Of our own making.
    pub(super) fn plain(message: &str) -> Self {
        Self { message: clip(message.to_owned(), SHORT_TEXT), status: 0, is_login: false }
    }

    pub(super) fn event(&self) -> AgentError {
        // Timeouts, rates and faults of the server pass; the rest is wrong in the same way next time.
        let retryable = matches!(self.status, 408 | 429 | 500..=599);
        AgentError { message: self.message.clone(), status: self.status, retryable }
    }
}

fn status_in(message: &str) -> u32 {
    let Some((_, rest)) = message.split_once("API Error: ") else { return 0 };
    let digits = rest.split(|ch: char| !ch.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().ok().filter(|status| (400..600).contains(status)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_say_what_went_wrong_is_understood() {
        let cases = [
            (r#"{"code":-32000,"message":"Authentication required"}"#, 0, true, false),
            (r#"{"code":-32603,"message":"API Error: 529 overloaded"}"#, 529, false, true),
            (r#"{"code":-32603,"message":"API Error: 400 no"}"#, 400, false, false),
            (r#"{"code":-32603,"message":"x","data":{"statusCode":429}}"#, 429, false, true),
            (r#"{"code":-32603,"message":"x","data":{"errorKind":"authentication_failed"}}"#, 0, true, false),
            (r#"{"code":-32603,"message":"x","data":{"statusCode":"many"}}"#, 0, false, false),
            (r#"{"code":-32603,"message":"API Error: 99999999999"}"#, 0, false, false),
        ];
        for (text, status, is_login, retryable) in cases {
            let trouble = Trouble::of(&serde_json::from_str(text).unwrap());
            let event = trouble.event();
            assert_eq!((event.status, trouble.is_login, event.retryable), (status, is_login, retryable), "{text}");
        }
    }

    #[test]
    fn details_are_said_once() {
        let text = |text: &str| Trouble::of(&serde_json::from_str(text).unwrap()).message;
        assert_eq!(text(r#"{"code":1,"message":"a: b","data":"b"}"#), "a: b");
        assert_eq!(text(r#"{"code":1,"message":"a","data":{"details":"b"}}"#), "a: b");
    }
}
