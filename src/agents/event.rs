//! Making events: times, raw lines, clipped texts; does not know which agent speaks.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::driver::{Condition, Effect, Effects, Millis};
use super::limits::{LOG_LINE, RAW_KEPT, TEXT_KEPT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentEvent, AgentLog, AgentStream, Cut};

/// What one call of a driver makes, in order. The first event carries the agent's line.
pub(crate) struct Made<'a> {
    now: Millis,
    raw: Option<&'a [u8]>,
    effects: Effects,
}

impl<'a> Made<'a> {
    /// Nothing yet. `raw`: the agent's line that this is about.
    pub(crate) fn new(now: Millis, raw: Option<&'a [u8]>) -> Self {
        Self { now, raw, effects: Vec::new() }
    }

    /// The time of this call.
    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// One event.
    pub(crate) fn event(&mut self, kind: Kind) {
        let (raw, raw_length) = match self.raw.take() {
            Some(line) => (line.get(..RAW_KEPT).unwrap_or(line).to_vec().into(), line.len() as u64),
            None => Default::default(),
        };
        // Of so long a line some text was not kept.
        let cut = (raw_length > TEXT_KEPT as u64).then_some(Cut { length: raw_length, fetchable: false });
        self.effects.push(Effect::Event(AgentEvent { at: self.now, raw, raw_length, cut, kind: Some(kind) }));
    }

    /// One line for the log.
    pub(crate) fn log(&mut self, stream: AgentStream, line: &[u8], length: u64) {
        // The text says it all: the raw line beside it would say it twice.
        self.raw = None;
        let line = line.get(..LOG_LINE).unwrap_or(line);
        let text = String::from_utf8_lossy(line).into_owned();
        self.event(Kind::Log(AgentLog { line: text, stream: stream.into(), length }));
    }

    /// A remark of our own.
    pub(crate) fn remark(&mut self, text: &str) {
        let line = clip(text.to_owned(), LOG_LINE);
        self.event(Kind::Log(AgentLog { line, stream: AgentStream::Host.into(), length: text.len() as u64 }));
    }

    /// A line for the agent, with its newline.
    pub(crate) fn write(&mut self, line: Vec<u8>) {
        self.effects.push(Effect::Write(line));
    }

    /// What the agent does now.
    pub(crate) fn condition(&mut self, condition: Condition) {
        self.effects.push(Effect::Condition(condition));
    }

    /// All of it.
    pub(crate) fn done(self) -> Effects {
        self.effects
    }
}

/// At most `most` bytes of a text, whole characters.
pub(crate) fn clip(mut text: String, most: usize) -> String {
    if text.len() > most {
        let whole = (0..=most).rev().find(|place| text.is_char_boundary(*place));
        text.truncate(whole.unwrap_or(0));
        text.shrink_to_fit();
    }
    text
}

/// The first line of a text, printable, at most `most` characters, and how many more there are: nobody shall take it for all.
pub(crate) fn head(text: &str, most: usize) -> String {
    let mut lines = text.trim().lines();
    let first = crate::base::printable(lines.next().unwrap_or_default(), most);
    match lines.filter(|line| !line.trim().is_empty()).count() {
        0 => first,
        1 => format!("{first} (+1 line)"),
        more => format!("{first} (+{more} lines)"),
    }
}

/// SHA-256 in lower-case hex of this JSON with sorted keys and without blanks; none when it is no JSON.
pub(crate) fn digest(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    let mut hasher = Sha256::new();
    canonical(&value, &mut hasher);
    Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn canonical(value: &Value, into: &mut Sha256) {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by(|one, other| one.0.cmp(other.0));
            into.update(b"{");
            for (place, (key, value)) in pairs.into_iter().enumerate() {
                into.update(if place == 0 { "" } else { "," });
                into.update(Value::from(key.as_str()).to_string());
                into.update(b":");
                canonical(value, into);
            }
            into.update(b"}");
        }
        Value::Array(list) => {
            into.update(b"[");
            for (place, value) in list.iter().enumerate() {
                into.update(if place == 0 { "" } else { "," });
                canonical(value, into);
            }
            into.update(b"]");
        }
        plain => into.update(plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_the_content_and_not_its_order() {
        let one = digest(r#"{"b": [1, {"y":2,"x":"ä\n"}], "a": null}"#).unwrap();
        assert_eq!(Some(&one), digest(r#"{"a":null,"b":[1,{"x":"\u00e4\n","y":2}]}"#).as_ref());
        assert_ne!(Some(&one), digest(r#"{"a":null,"b":[{"x":"ä\n","y":2},1]}"#).as_ref());
        // sha256sum of the two bytes {}
        assert_eq!(digest("{}").unwrap(), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!(digest("{"), None);
    }

    #[test]
    fn a_clipped_text_is_still_text() {
        assert_eq!(clip("aäö".into(), 4), "aä");
        assert_eq!(head("\n  cargo test\n\n", 20), "cargo test");
        assert_eq!(head("\n  cargo test\nrm", 20), "cargo test (+1 line)");
        assert_eq!(head("cargo test\n\nrm\rx\ny\u{2028}", 5), "cargo… (+2 lines)");
    }
}
