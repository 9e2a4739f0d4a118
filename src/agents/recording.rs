//! Recordings of real agents, and what must hold for any bytes in their place; read by tests and fuzz targets (`fuzz/`), never by the program.
//!
//! Of each line: behind `< ` what the agent took, behind `> ` what was asked of its driver (one verb; `ask-N` is the session's Nth
//! request), else what the agent said.

#![allow(clippy::panic, reason = "a broken promise ends a test or a fuzz target")]

use std::collections::BTreeSet;

use serde_json::Value;

use super::conversation::{Act, Conversation, Patience};
use super::driver::{Command, Millis};
use super::limits::{LINE, SUMMARY};
use super::waiting::Ids;
use super::{ConversationId, DriverKind, driver_of};
use crate::wire::encode_summary;
use crate::wire::v1::agent_command::Command as Wanted;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentCommand, AnswerPermission, AnswerQuestion, Interrupt, Prompt, QuestionAnswer, SetAgentMode, SetModel,
};

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The agent took it.
    Taken(&'a [u8]),
    /// Asked of the driver; [`command`] reads it.
    Asked(&'a [u8]),
    /// The agent said it.
    Said(&'a [u8]),
}

/// The lines of a recording.
pub fn steps(recording: &[u8]) -> impl Iterator<Item = Step<'_>> {
    let lines = recording.strip_suffix(b"\n").unwrap_or(recording).split(|byte| *byte == b'\n');
    lines.map(|line| match line {
        [b'<', b' ', rest @ ..] => Step::Taken(rest),
        [b'>', b' ', rest @ ..] => Step::Asked(rest),
        said => Step::Said(said),
    })
}

/// The session of every recording has this log id.
pub const SEED: [u8; 16] = [0; 16];

/// What was asked; none where the text says nothing that can be.
pub fn command(text: &[u8]) -> Option<Command> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let (verb, of) = value.as_object()?.iter().next()?;
    let field = |name: &str| of.get(name)?.as_str().map(str::to_owned);
    let whole = || of.as_str().map(str::to_owned);
    Some(match verb.as_str() {
        "prompt" => Command::Prompt { id: field("id")?, text: field("text")? },
        "permission" => {
            Command::Permission { id: numbered(field("id")?), option: field("option")?, reason: field("reason")? }
        }
        "question" => {
            let answers = of.get("answers")?.as_object()?.iter();
            let answers = answers.filter_map(|(text, said)| Some((text.clone(), said.as_str()?.to_owned())));
            Command::Question { id: numbered(field("id")?), answers: answers.collect() }
        }
        "interrupt" => Command::Interrupt,
        "mode" | "set_permission_mode" => Command::SetMode(whole()?),
        "model" | "set_model" => Command::SetModel(whole()?),
        _ => return None,
    })
}

/// The id that a driver makes for the session's request of this number, from 1.
pub fn request(number: usize) -> String {
    let mut ids = Ids::new(SEED);
    (1..number).for_each(|_| drop(ids.make()));
    ids.make()
}

fn numbered(id: String) -> String {
    // Any text may stand here; no recording asks as often.
    let number = id.strip_prefix("ask-").and_then(|number| number.parse().ok()).filter(|number| *number < 100);
    number.map_or(id, request)
}

/// Plays any bytes as a recording to a session of this kind. Panics where a promise is broken: every line for the agent is one line and
/// (but for a pipe) JSON, nothing is allowed before somebody has answered, no id names two requests, and a viewer's first look is whole.
pub fn survives(kind: DriverKind, bytes: &[u8]) {
    let id = ConversationId { id: "00000000-0000-4000-8000-000000000077".to_owned(), resume: false };
    let patience = Patience { turn: Some(60_000), request: Some(30_000) };
    let mut session = Session {
        conversation: Conversation::new(driver_of(kind, &id, "/place/work", SEED), patience),
        kind,
        allowing: BTreeSet::new(),
        is_answered: false,
        ids: BTreeSet::new(),
    };
    let mut now: Millis = 1_000;
    let acts = session.conversation.start(now);
    session.look(acts);
    for step in steps(bytes) {
        // A second: every deadline passes in a long input.
        now += 1_000;
        let acts = match step {
            Step::Taken(_) => continue,
            Step::Said(line) if line.len() > LINE => session.conversation.overlong(now, line, line.len() as u64),
            Step::Said(line) => {
                session.offers(line);
                session.conversation.line(now, line)
            }
            Step::Asked(text) => command(text).map(|command| session.ask(now, command)).unwrap_or_default(),
        };
        session.look(acts);
        if session.conversation.wake().is_some_and(|due| due <= now) {
            let acts = session.conversation.tick(now);
            session.look(acts);
        }
    }
    let acts = session.conversation.closed(now);
    session.look(acts);
}

struct Session {
    conversation: Conversation,
    kind: DriverKind,
    /// Options that the agent called allowing.
    allowing: BTreeSet<String>,
    /// Somebody has answered something.
    is_answered: bool,
    /// Of all requests so far.
    ids: BTreeSet<String>,
}

impl Session {
    fn ask(&mut self, now: Millis, command: Command) -> Vec<Act> {
        let summary = self.conversation.summary();
        let permission = |id: &str| summary.permissions.iter().find(|asked| asked.id == id);
        let question = |id: &str| summary.questions.iter().find(|asked| asked.id == id);
        let wanted = match command {
            Command::Prompt { id, text } => Wanted::Prompt(Prompt { id, text }),
            Command::Permission { id, option, reason } => {
                let digest = permission(&id).map(|asked| asked.digest.clone()).unwrap_or_default();
                Wanted::AnswerPermission(AnswerPermission { id, digest, option, reason })
            }
            Command::Question { id, answers } => {
                let digest = question(&id).map(|asked| asked.digest.clone()).unwrap_or_default();
                let answers = answers.into_iter().map(|(_, text)| QuestionAnswer { text, ..QuestionAnswer::default() });
                Wanted::AnswerQuestion(AnswerQuestion {
                    id,
                    digest,
                    answers: answers.collect(),
                    ..AnswerQuestion::default()
                })
            }
            Command::Decline { id, reason } => {
                Wanted::AnswerQuestion(AnswerQuestion { id, declined: true, reason, ..AnswerQuestion::default() })
            }
            Command::Interrupt => Wanted::Interrupt(Interrupt {}),
            Command::SetMode(mode) => Wanted::SetMode(SetAgentMode { mode }),
            Command::SetModel(model) => Wanted::SetModel(SetModel { model }),
        };
        let is_answer = matches!(wanted, Wanted::AnswerPermission(_) | Wanted::AnswerQuestion(_));
        let taken = self.conversation.command(now, AgentCommand { who: "ann".to_owned(), command: Some(wanted) });
        self.is_answered |= is_answer && taken.is_ok();
        taken.map(|(_, acts)| acts).unwrap_or_default()
    }

    /// Remembers what the agent would take for leave.
    fn offers(&mut self, line: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { return };
        for at in ["/params/options", "/options"] {
            for option in value.pointer(at).and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| option.get(name).and_then(Value::as_str);
                let id = text("optionId").or(text("id"));
                if let (Some(id), false) = (id, text("kind").is_some_and(|kind| kind.starts_with("reject"))) {
                    self.allowing.insert(id.to_owned());
                }
            }
        }
    }

    fn look(&mut self, acts: Vec<Act>) {
        for act in acts {
            let line = match act {
                Act::Write(line) => line,
                Act::Event(event) => {
                    self.names(event.kind);
                    continue;
                }
                Act::CloseInput => continue,
            };
            if self.kind == DriverKind::Pipe {
                continue;
            }
            let end = line.iter().position(|byte| *byte == b'\n');
            assert_eq!(end, line.len().checked_sub(1), "one line: {}", String::from_utf8_lossy(&line));
            let value: Value = serde_json::from_slice(&line)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)));
            assert!(self.is_answered || !self.allows(&value), "nobody has answered: {value}");
        }
    }

    fn names(&mut self, kind: Option<Kind>) {
        let id = match kind {
            Some(Kind::PermissionAsked(asked)) => asked.id,
            Some(Kind::QuestionAsked(asked)) => asked.id,
            _ => return,
        };
        let length = encode_summary(&self.conversation.summary()).len();
        assert!(length <= SUMMARY, "a first look of {length} bytes");
        assert!(!self.ids.contains(&id), "{id} names two requests");
        self.ids.insert(id);
    }

    /// Whether the agent would take this for leave.
    fn allows(&self, line: &Value) -> bool {
        let text = |at: &str| line.pointer(at).and_then(Value::as_str);
        match self.kind {
            DriverKind::Claude => text("/response/response/behavior") == Some("allow"),
            DriverKind::Acp => text("/result/outcome/optionId").is_some_and(|id| self.allowing.contains(id)),
            DriverKind::Lines => {
                let option = text("/option");
                text("/type") == Some("answer")
                    && option.is_some_and(|option| option == "allow-once" || self.allowing.contains(option))
            }
            DriverKind::Pipe => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recordings() -> Vec<Vec<u8>> {
        let folders = ["src/agents/claude/golden", "src/agents/acp/golden", "src/agents/golden"];
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let paths = folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
        let mut paths: Vec<_> = paths.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn every_recording_is_survived_by_every_driver() {
        let all = recordings();
        assert!(all.len() >= 50, "{}", all.len());
        for recording in &all {
            assert!(steps(recording).all(|step| !matches!(step, Step::Asked(text) if command(text).is_none())));
            for kind in DriverKind::ALL {
                survives(kind, recording);
            }
        }
    }

    #[test]
    fn leave_that_nobody_gave_is_found() {
        let id = ConversationId { id: "x".to_owned(), resume: false };
        let session = |kind| Session {
            conversation: Conversation::new(driver_of(kind, &id, "/", SEED), Patience::default()),
            kind,
            allowing: BTreeSet::from(["yes".to_owned()]),
            is_answered: false,
            ids: BTreeSet::new(),
        };
        for (kind, line) in [
            (DriverKind::Claude, r#"{"response":{"response":{"behavior":"allow"}}}"#),
            (DriverKind::Acp, r#"{"result":{"outcome":{"outcome":"selected","optionId":"yes"}}}"#),
            (DriverKind::Lines, r#"{"type":"answer","id":"1","option":"yes"}"#),
        ] {
            assert!(session(kind).allows(&serde_json::from_str(line).unwrap()), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Real recordings with bytes changed and lines taken out; `fuzz/run` goes further.
        #[test]
        fn damaged_recordings_are_survived(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            without in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let all = recordings();
            let mut recording = which.get(&all).clone();
            for (place, byte) in changes {
                let place = place.index(recording.len());
                recording[place] = byte;
            }
            let mut lines: Vec<&[u8]> = recording.split(|byte| *byte == b'\n').collect();
            for line in without {
                let line = line.index(lines.len());
                lines.remove(line);
                if lines.is_empty() { break; }
            }
            for kind in DriverKind::ALL {
                survives(kind, &lines.join(&b'\n'));
            }
        }
    }
}
