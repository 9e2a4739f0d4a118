//! What each agent is: its command, declared options and environment; starts nothing and reads nothing.

pub mod acp;
pub mod acp_server;
pub mod claude;
pub mod conversation;
pub mod driver;
pub mod environment;
mod event;
mod few;
#[cfg(test)]
mod golden;
pub mod limits;
pub mod lines;
mod names;
mod options;
pub mod pipe;
pub mod prepare;
#[cfg(any(test, fuzzing))]
pub mod recording;
mod structured;
mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::Name;

pub use names::{name_list, name_text};
pub use options::{ArgvError, OptionSpec, Pattern};
pub use structured::{ConversationId, DriverKind, driver_of};

/// One configured program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// What clients call it.
    #[serde(with = "name_text")]
    pub name: Name,
    /// Absolute program and fixed arguments. Empty only with `login_shell`: then the account's own shell.
    pub command: Vec<String>,
    /// How it may be driven; the first is the default.
    pub modes: Vec<Mode>,
    /// What clients may choose.
    pub options: Vec<OptionSpec>,
    /// Set for it, above everything else.
    pub env: BTreeMap<String, String>,
    /// Names that it gets from the configured snapshot; a trailing `*` stands for any ending.
    pub env_pass: Vec<String>,
    /// NAME=VALUE lines, read by the spawner, for its eyes only (0600).
    pub env_file: Option<PathBuf>,
    /// Takes a client's tail of arguments as it is. Single-user mode only.
    pub free_args: bool,
    /// Started as `-name`, as login does.
    pub login_shell: bool,
    /// What it is: what it speaks in structured mode, and whether it reports from a terminal.
    #[serde(default)]
    pub driver: Option<DriverKind>,
    /// Fixed arguments of structured mode, after those of `command`.
    #[serde(default)]
    pub structured_args: Vec<String>,
    /// In structured mode: seconds of work after which a turn is interrupted; none: never. Waiting for people does not count.
    #[serde(default)]
    pub turn_timeout: Option<u32>,
    /// In structured mode: seconds after which a request that nobody answered is rejected; none: never.
    #[serde(default)]
    pub request_timeout: Option<u32>,
}

/// How an agent is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Through a pseudo-terminal.
    Terminal,
    /// Through pipes, as typed events.
    Structured,
}

impl Mode {
    /// Every mode, for configuration and tests.
    pub const ALL: [Self; 2] = [Self::Terminal, Self::Structured];

    /// As in orders and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Structured => "structured",
        }
    }
}

impl AgentSpec {
    /// The mode of this name; the first one for the empty name; none when the agent has no such mode.
    pub fn mode(&self, name: &str) -> Option<Mode> {
        if name.is_empty() {
            return self.modes.first().copied();
        }
        self.modes.iter().copied().find(|mode| mode.as_str() == name)
    }

    /// The command with a client's choices. Options come in the client's order, each flag with its value as an
    /// argument of its own; then the free tail.
    pub fn argv(&self, options: &[(String, String)], free: &[String]) -> Result<Vec<String>, ArgvError> {
        options::argv(self, options, free)
    }

    /// The command of terminal mode; with the id of a conversation of the agent's own, that goes on, whatever the options name.
    pub fn terminal_argv(
        &self,
        options: &[(String, String)],
        free: &[String],
        conversation: &str,
    ) -> Result<Vec<String>, ArgvError> {
        structured::resumed(self, options, free, conversation)
    }

    /// The command of structured mode: what the driver needs comes before a client's choices, of which `resume` is the conversation's.
    pub fn structured_argv(
        &self,
        options: &[(String, String)],
        free: &[String],
        conversation: &ConversationId,
    ) -> Result<Vec<String>, ArgvError> {
        structured::argv(self, options, free, conversation)
    }
}
