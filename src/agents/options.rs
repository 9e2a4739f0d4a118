//! From declared options and a client's choices to an argument list; does not know the program.

use serde::{Deserialize, Serialize};

use super::AgentSpec;

/// Most arguments that a client adds: far above any real command line, far below what exec refuses.
const MOST_ARGS: usize = 128;
/// Most bytes of one argument.
const MOST_BYTES: usize = 4096;

/// One thing that a client may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// What clients call it.
    pub name: String,
    /// Which values it takes.
    pub pattern: Pattern,
    /// What stands before the value, e.g. `--resume`.
    pub flag: String,
}

/// Flags that choose what an agent works with, never what it may do unasked. Of all others (`--settings`, `--allowedTools`, `--agent`) nobody
/// here can know.
const HARMLESS: [&str; 11] = [
    "--continue",
    "--effort",
    "--fallback-model",
    "--model",
    "--name",
    "--resume",
    "--session",
    "--session-id",
    "--verbose",
    "-m",
    "-r",
];
/// Claude Code's, which has values with which as much is asked as without.
const PERMISSION_MODE: &str = "--permission-mode";

impl OptionSpec {
    /// Values with which the agent surely asks as much as without the option; none where any value is harmless. It is the flag that
    /// counts, whatever the option is called here.
    pub fn asks_as_much(&self) -> Option<&'static [&'static str]> {
        match self.flag.as_str() {
            flag if HARMLESS.contains(&flag) => None,
            PERMISSION_MODE => Some(&["", "default", "plan"]),
            _ => Some(&[]),
        }
    }
}

/// Which values an option takes. None of them lets a value begin with `-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// 8-4-4-4-12 hex digits.
    Uuid,
    /// The same, or the empty value: then the flag stands alone.
    UuidOrNothing,
    /// `[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}`.
    Word,
    /// One of these.
    OneOf(Vec<String>),
}

/// Why a client's choices make no command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgvError {
    /// Not declared for this agent.
    #[error("agent {agent} has no option {option:?}; it has: {known}")]
    Unknown {
        /// The agent.
        agent: String,
        /// What was asked for.
        option: String,
        /// What there is.
        known: String,
    },
    /// The same option again.
    #[error("option {0:?} is given twice; give it once")]
    Twice(String),
    /// A value outside the pattern.
    #[error("option {option} takes {wanted}, not {value:?}")]
    Value {
        /// The option.
        option: String,
        /// What it takes.
        wanted: String,
        /// What was given, cut.
        value: String,
    },
    /// A tail where none is taken.
    #[error("agent {0} takes no arguments after --; only declared options")]
    Free(String),
    /// Not an id of this agent's.
    #[error(transparent)]
    Conversation(#[from] super::claude::BadConversation),
    /// Too much.
    #[error("at most {MOST_ARGS} arguments of at most {MOST_BYTES} bytes, none with a NUL")]
    TooMuch,
}

impl Pattern {
    /// Whether this value may be passed on.
    pub fn takes(&self, value: &str) -> bool {
        match self {
            Self::Uuid => is_uuid(value),
            Self::UuidOrNothing => value.is_empty() || is_uuid(value),
            Self::Word => is_word(value),
            Self::OneOf(values) => !value.starts_with('-') && values.iter().any(|one| one == value),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Uuid => "a UUID".into(),
            Self::UuidOrNothing => "a UUID or nothing".into(),
            Self::Word => "a word of at most 64 letters, digits and ._:/- that begins with a letter or digit".into(),
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
        }
    }
}

pub(super) fn argv(spec: &AgentSpec, options: &[(String, String)], free: &[String]) -> Result<Vec<String>, ArgvError> {
    if options.len() + free.len() > MOST_ARGS {
        return Err(ArgvError::TooMuch);
    }
    let mut argv = spec.command.clone();
    for (place, (name, value)) in options.iter().enumerate() {
        let Some(option) = spec.options.iter().find(|option| option.name == *name) else {
            let known: Vec<&str> = spec.options.iter().map(|option| option.name.as_str()).collect();
            return Err(ArgvError::Unknown {
                agent: spec.name.to_string(),
                option: crate::base::printable(name, 64),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            });
        };
        if options.iter().take(place).any(|(earlier, _)| earlier == name) {
            return Err(ArgvError::Twice(name.clone()));
        }
        if !option.pattern.takes(value) {
            return Err(ArgvError::Value {
                option: name.clone(),
                wanted: option.pattern.describe(),
                value: crate::base::printable(value, 64),
            });
        }
        argv.push(option.flag.clone());
        if !value.is_empty() {
            argv.push(value.clone());
        }
    }
    if !free.is_empty() && !spec.free_args {
        return Err(ArgvError::Free(spec.name.to_string()));
    }
    if free.iter().any(|arg| arg.len() > MOST_BYTES || arg.contains('\0')) {
        return Err(ArgvError::TooMuch);
    }
    argv.extend_from_slice(free);
    Ok(argv)
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_word(value: &str) -> bool {
    let mut bytes = value.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && value.len() <= 64
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Mode;

    const UUID: &str = "0123abcd-0000-4000-8000-00000000ffff";

    fn spec(free_args: bool) -> AgentSpec {
        let option = |name: &str, pattern, flag: &str| OptionSpec { name: name.into(), pattern, flag: flag.into() };
        AgentSpec {
            name: "claude".parse().unwrap(),
            command: vec!["/opt/claude".into(), "--fixed".into()],
            modes: vec![Mode::Terminal],
            options: vec![
                option("resume", Pattern::UuidOrNothing, "--resume"),
                option("model", Pattern::Word, "--model"),
                option("permission-mode", Pattern::OneOf(vec!["plan".into(), "-x".into()]), "--permission-mode"),
            ],
            env: Default::default(),
            env_pass: Vec::new(),
            env_file: None,
            free_args,
            login_shell: false,
            driver: None,
            structured_args: Vec::new(),
            turn_timeout: None,
            request_timeout: None,
        }
    }

    fn argv(options: &[(&str, &str)]) -> Result<String, ArgvError> {
        let options: Vec<_> = options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        spec(false).argv(&options, &[]).map(|argv| argv.join(" "))
    }

    #[test]
    fn declared_options_become_arguments() {
        assert_eq!(argv(&[]).unwrap(), "/opt/claude --fixed");
        assert_eq!(argv(&[("resume", "")]).unwrap(), "/opt/claude --fixed --resume");
        assert_eq!(
            argv(&[("model", "claude-x/1:2"), ("resume", UUID)]).unwrap(),
            format!("/opt/claude --fixed --model claude-x/1:2 --resume {UUID}")
        );
        assert_eq!(argv(&[("permission-mode", "plan")]).unwrap(), "/opt/claude --fixed --permission-mode plan");
    }

    #[test]
    fn everything_else_is_refused() {
        assert!(matches!(argv(&[("settings", "x")]), Err(ArgvError::Unknown { .. })));
        assert!(matches!(argv(&[("model", "a"), ("model", "b")]), Err(ArgvError::Twice(_))));
        let long = "x".repeat(65);
        for (name, value) in [
            ("model", "-p"),
            ("model", ""),
            ("model", "a b"),
            ("model", &long),
            ("model", "a\n"),
            ("resume", "--help"),
            ("resume", "0123abcd-0000-4000-8000-00000000fffg"),
            ("permission-mode", "-x"),
            ("permission-mode", "bypass"),
        ] {
            assert!(matches!(argv(&[(name, value)]), Err(ArgvError::Value { .. })), "{name}={value}");
        }
        assert!(!Pattern::Uuid.takes(""));
    }

    #[test]
    fn what_may_ask_less_is_known_by_its_flag() {
        let asks =
            |flag: &str| OptionSpec { name: "model".into(), pattern: Pattern::Word, flag: flag.into() }.asks_as_much();
        assert_eq!((asks("--model"), asks("--resume")), (None, None));
        assert_eq!(asks("--permission-mode"), Some(&["", "default", "plan"][..]));
        for flag in ["--dangerously-skip-permissions", "--settings", "--allowedTools", "--permission-mode=auto", "--x"]
        {
            assert_eq!(asks(flag), Some(&[][..]), "{flag}");
        }
    }

    #[test]
    fn a_free_tail_needs_free_args() {
        let tail = ["--resume".to_owned(), "x y".to_owned()];
        assert!(matches!(spec(false).argv(&[], &tail), Err(ArgvError::Free(_))));
        assert_eq!(spec(true).argv(&[], &tail).unwrap().last().unwrap(), "x y");
        assert_eq!(spec(true).argv(&[], &["a\0b".into()]), Err(ArgvError::TooMuch));
        assert_eq!(spec(true).argv(&[], &vec![String::new(); 129]), Err(ArgvError::TooMuch));
    }

    #[test]
    fn a_table_row_survives_its_trip() {
        let text = serde_json::to_string(&spec(true)).unwrap();
        assert_eq!(serde_json::from_str::<AgentSpec>(&text).unwrap(), spec(true));
        assert!(serde_json::from_str::<AgentSpec>(&text.replace("\"claude\"", "\"Claude\"")).is_err());
    }
}
