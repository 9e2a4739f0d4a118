//! The command line of structured mode; does not know what is said on the pipes afterwards.

use serde::{Deserialize, Serialize};

use super::acp::Acp;
use super::driver::Driver;
use super::lines::Lines;
use super::pipe::Pipe;
use super::{AgentSpec, ArgvError, claude};

/// What an agent speaks on its standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// Claude Code's stream-json with its control protocol.
    Claude,
    /// The Agent Client Protocol.
    Acp,
    /// One JSON object a line, docs/agents.md.
    Lines,
    /// Bytes.
    Pipe,
}

impl DriverKind {
    /// Every kind, for configuration and tests.
    pub const ALL: [Self; 4] = [Self::Claude, Self::Acp, Self::Lines, Self::Pipe];

    /// As in the configuration and a host's launch.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Acp => "acp",
            Self::Lines => "lines",
            Self::Pipe => "pipe",
        }
    }
}

/// The option that names an old conversation.
const RESUME: &str = "resume";

/// Which conversation an agent is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationId {
    /// As the agent names it: a UUID for a new one, where the agent lets its caller choose.
    pub id: String,
    /// It exists already.
    pub resume: bool,
}

impl ConversationId {
    /// The one to go on with if there is one, else the one that the options name, else a new one made of 16 random bytes.
    pub fn chosen(go_on: &str, options: &[(String, String)], random: [u8; 16]) -> Self {
        if !go_on.is_empty() {
            return Self { id: go_on.to_owned(), resume: true };
        }
        match options.iter().find(|(name, value)| name == RESUME && !value.is_empty()) {
            Some((_, id)) => Self { id: id.clone(), resume: true },
            None => Self { id: uuid(random), resume: false },
        }
    }
}

impl ConversationId {
    /// As Claude Code's driver takes it.
    pub fn of_claude(&self) -> claude::Conversation {
        let id = self.id.clone();
        if self.resume { claude::Conversation::Resume(id) } else { claude::Conversation::New(id) }
    }
}

/// Longest id of a conversation; UUIDs have 36, OpenCode's about 30.
const ID: usize = 128;

impl ConversationId {
    /// Whether an agent may have made this id: nothing that a program could take for a flag.
    pub fn is_id(text: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        text.len() <= ID && !text.starts_with('-') && !text.is_empty() && text.bytes().all(plain)
    }
}

/// What speaks with an agent of this kind. `seed`: the id of the session's log, of which ids of requests are made.
pub fn driver_of(kind: DriverKind, conversation: &ConversationId, directory: &str, seed: [u8; 16]) -> Box<dyn Driver> {
    match kind {
        DriverKind::Claude => Box::new(claude::Claude::new(conversation.of_claude(), directory, seed)),
        // The others make their own ids of new conversations.
        DriverKind::Acp => Box::new(Acp::new(directory, conversation.resume.then_some(&conversation.id), seed)),
        DriverKind::Lines => Box::new(Lines::new(directory, seed)),
        DriverKind::Pipe => Box::new(Pipe::new(directory)),
    }
}

/// Version 4, RFC 9562.
fn uuid(mut bytes: [u8; 16]) -> String {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [hex.get(..8), hex.get(8..12), hex.get(12..16), hex.get(16..20), hex.get(20..)];
    parts.map(Option::unwrap_or_default).join("-")
}

pub(super) fn argv(
    spec: &AgentSpec,
    options: &[(String, String)],
    free: &[String],
    conversation: &ConversationId,
) -> Result<Vec<String>, ArgvError> {
    // Judged with the rest, then left to the driver.
    spec.argv(options, free)?;
    let others: Vec<_> = options.iter().filter(|(name, _)| name != RESUME).cloned().collect();
    let chosen = spec.argv(&others, free)?;
    let mut argv = spec.command.clone();
    argv.extend_from_slice(&spec.structured_args);
    if spec.driver == Some(DriverKind::Claude) {
        argv.extend(claude::arguments(&conversation.of_claude())?);
    }
    argv.extend(chosen.into_iter().skip(spec.command.len()));
    Ok(argv)
}

/// The command of a terminal that goes on with a conversation; one that a client names in its free tail is the client's to choose.
pub(super) fn resumed(
    spec: &AgentSpec,
    options: &[(String, String)],
    free: &[String],
    conversation: &str,
) -> Result<Vec<String>, ArgvError> {
    let chosen = spec.argv(options, free)?;
    let names = |word: &String| {
        matches!(word.as_str(), "-r" | "-c" | "--continue" | "--session-id")
            || word.starts_with("--resume")
            || word.starts_with("--session-id=")
    };
    if spec.driver != Some(DriverKind::Claude) || conversation.is_empty() || free.iter().any(names) {
        return Ok(chosen);
    }
    let others: Vec<_> = options.iter().filter(|(name, _)| name != RESUME).cloned().collect();
    let chosen = spec.argv(&others, free)?;
    let (command, chosen) = chosen.split_at(spec.command.len().min(chosen.len()));
    Ok([command, &claude::resuming(conversation)?, chosen].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Pattern;
    use crate::agents::{Mode, OptionSpec};

    const FIXED: &str = "-p --input-format stream-json --output-format stream-json --verbose --include-partial-messages \
                         --replay-user-messages --permission-prompt-tool stdio";
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn claude() -> AgentSpec {
        let option = |name: &str, pattern, flag: &str| OptionSpec { name: name.into(), pattern, flag: flag.into() };
        AgentSpec {
            name: "claude".parse().unwrap(),
            command: vec!["/opt/claude".into(), "--fixed".into()],
            modes: Mode::ALL.to_vec(),
            options: vec![
                option("resume", Pattern::UuidOrNothing, "--resume"),
                option("model", Pattern::Word, "--model"),
            ],
            env: Default::default(),
            env_pass: Vec::new(),
            env_file: None,
            free_args: false,
            login_shell: false,
            driver: Some(DriverKind::Claude),
            structured_args: vec!["--more".into()],
            turn_timeout: None,
            request_timeout: None,
        }
    }

    fn line(options: &[(&str, &str)]) -> Result<String, ArgvError> {
        let options: Vec<_> = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let conversation = ConversationId::chosen("", &options, [0xff; 16]);
        claude().structured_argv(&options, &[], &conversation).map(|argv| argv.join(" "))
    }

    #[test]
    fn a_new_conversation_has_an_id_of_ours_and_an_old_one_its_own() {
        let fixed = format!("/opt/claude --fixed --more {}", FIXED);
        let new = "ffffffff-ffff-4fff-bfff-ffffffffffff";
        assert_eq!(line(&[("model", "m")]).unwrap(), format!("{fixed} --session-id {new} --model m"));
        assert_eq!(line(&[("resume", UUID)]).unwrap(), format!("{fixed} --resume {UUID}"));
        assert_eq!(line(&[("resume", "")]).unwrap(), format!("{fixed} --session-id {new}"), "nothing to choose from");
        assert!(matches!(line(&[("resume", "latest")]), Err(ArgvError::Value { .. })));
    }

    #[test]
    fn a_terminal_goes_on_with_its_own_conversation() {
        let options = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let of = |spec: &AgentSpec, pairs: &[(&str, &str)], free: &[&str], id: &str| {
            let free: Vec<String> = free.iter().map(|word| (*word).to_owned()).collect();
            spec.terminal_argv(&options(pairs), &free, id).map(|argv| argv.join(" "))
        };
        let spec = AgentSpec { free_args: true, ..claude() };
        let other = "11234567-89ab-cdef-0123-456789abcdef";
        let on = format!("/opt/claude --fixed --resume {UUID}");
        assert_eq!(of(&spec, &[("model", "m")], &[], UUID).unwrap(), format!("{on} --model m"));
        assert_eq!(of(&spec, &[("resume", other)], &["x"], UUID).unwrap(), format!("{on} x"));
        assert_eq!(of(&spec, &[("resume", other)], &[], "").unwrap(), format!("/opt/claude --fixed --resume {other}"));
        for mine in ["-c", "--resume=x", "--session-id"] {
            assert_eq!(of(&spec, &[], &[mine], UUID).unwrap(), format!("/opt/claude --fixed {mine}"));
        }
        assert!(of(&spec, &[], &[], "latest").is_err());
        let acp = AgentSpec { driver: Some(DriverKind::Acp), ..claude() };
        assert_eq!(of(&acp, &[], &[], UUID).unwrap(), "/opt/claude --fixed");
    }

    #[test]
    fn others_get_no_flags_of_claude() {
        let spec = AgentSpec { driver: Some(DriverKind::Acp), structured_args: vec!["acp".into()], ..claude() };
        let conversation = ConversationId::chosen("", &[], [0; 16]);
        assert_eq!(spec.structured_argv(&[], &[], &conversation).unwrap(), ["/opt/claude", "--fixed", "acp"]);
    }
}
