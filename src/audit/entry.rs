//! What may be said in the audit log: the events, the names of their fields, one entry; does not know the chain.

use serde_json::Value;

use crate::base::printable;

/// Characters of one field, the most: a directory or an agent's message fits, a stranger's novel does not.
const FIELD_CHARACTERS: usize = 512;
/// Fields of one entry, the most; with the limit above a line stays far below what the writer reads back at once.
const FIELDS: usize = 32;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// As it stands in the log; stable.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

vocabulary!(
    /// What happened.
    Event {
        /// A process began to write.
        Begun = "begun",
        /// A torn line stands before this one: a crash or a full disk.
        Recovered = "recovered",
        /// The chain goes on from another file (after rotation).
        Continued = "continued",
        /// Somebody proved a key and was admitted.
        Login = "login",
        /// Somebody was not; `reason` is the true one.
        Refused = "refused",
        /// A login ended.
        Logout = "logout",
        /// A key was removed, expired or changed under a live login.
        Revoked = "revoked",
        /// A session was asked for and may start.
        SessionStart = "session-start",
        /// A session could not start.
        SessionFailed = "session-failed",
        /// A viewer was attached.
        Attach = "attach",
        /// A viewer left.
        Detach = "detach",
        /// The effective size has a new owner.
        SizeOwner = "size-owner",
        /// Another writer types.
        InputOwner = "input-owner",
        /// An agent ended.
        SessionEnd = "session-end",
        /// A verb that changes a session: kill, restart, rename, forget, send.
        Act = "act",
        /// An answer to an agent's request, with its digest and option; one that came too late is followed by `answer-lost`.
        Answer = "answer",
        /// Another answer had won, or the request was gone.
        AnswerLost = "answer-lost",
        /// A request that a rule (and who made it) or a deadline decided.
        Decided = "decided",
        /// Something that needed no key: the admin socket, reload, rotation.
        Admin = "admin",
        /// A host was found again after a restart.
        Adopted = "adopted",
        /// The gateway was started or ended.
        Gateway = "gateway",
    }
);

vocabulary!(
    /// Names of fields.
    Field {
        Account = "account",
        Act = "act",
        Agent = "agent",
        Bytes = "bytes",
        Client = "client",
        Code = "code",
        Creator = "creator",
        Digest = "digest",
        Directory = "directory",
        Door = "door",
        Exit = "exit",
        File = "file",
        Key = "key",
        Label = "label",
        Line = "line",
        Message = "message",
        Mode = "mode",
        Name = "name",
        Number = "number",
        Option = "option",
        Owner = "owner",
        Peer = "peer",
        Pid = "pid",
        Reason = "reason",
        Request = "request",
        Role = "role",
        Session = "session",
        Size = "size",
        Target = "target",
        TornBytes = "torn_bytes",
        TornHash = "torn_hash",
        User = "user",
        Version = "version",
    }
);

/// One thing to be logged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    event: Event,
    fields: Vec<(Field, Value)>,
}

impl Entry {
    /// Without fields yet.
    pub(crate) fn new(event: Event) -> Self {
        Self { event, fields: Vec::new() }
    }

    /// Adds a text, made printable and cut at 512 characters: it may come from a stranger.
    #[must_use]
    pub(crate) fn text(self, field: Field, text: &str) -> Self {
        self.with(field, Value::String(printable(text, FIELD_CHARACTERS)))
    }

    /// Adds a text when there is one.
    #[must_use]
    pub(crate) fn text_if(self, field: Field, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(field, text),
            None => self,
        }
    }

    /// Adds a number.
    #[must_use]
    pub(crate) fn number(self, field: Field, number: impl Into<i64>) -> Self {
        self.with(field, Value::from(number.into()))
    }

    /// `"event":"…","field":…` for the middle of a line.
    pub(super) fn encode(&self) -> String {
        let mut out = format!("\"event\":\"{}\"", self.event.as_str());
        for (field, value) in &self.fields {
            out.push_str(&format!(",\"{}\":{value}", field.as_str()));
        }
        out
    }

    /// A field that is there already is replaced: a JSON object names each once.
    fn with(mut self, field: Field, value: Value) -> Self {
        let room = self.fields.len() < FIELDS;
        match self.fields.iter_mut().find(|(have, _)| *have == field) {
            Some(place) => place.1 = value,
            None if room => self.fields.push((field, value)),
            None => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_cannot_forge_a_line_or_act_on_a_terminal() {
        let entry = Entry::new(Event::Refused).text(Field::User, "x\"\n{\"seq\":1}\x1b[2J").number(Field::Pid, 7);
        let encoded = entry.encode();
        assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{encoded}");
        let value: Value = serde_json::from_str(&format!("{{{encoded}}}")).unwrap();
        assert_eq!(value["user"], "x\"\\u{a}{\"seq\":1}\\u{1b}[2J");
        assert_eq!(value["pid"], 7);
    }

    #[test]
    fn each_field_is_named_once() {
        let entry = Entry::new(Event::Login).text(Field::User, "a").text(Field::User, "b");
        assert_eq!(entry.encode(), r#""event":"login","user":"b""#);
    }
}
