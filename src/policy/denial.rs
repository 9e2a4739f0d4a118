//! Why something is not allowed; does not know how it is told.

use super::grant::Verb;
use crate::authn::Role;
use crate::base::{AccountName, Name};

/// A refusal by policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The role is too low to type.
    #[error("{verb} needs role drive, this key has role {has}; change role= on its line")]
    ViewOnly {
        /// What was asked.
        verb: Verb,
        /// What the key has.
        has: &'static str,
    },
    /// The role is too low.
    #[error("{verb} needs role {}, this key has role {}; change role= on its line", .needs.as_str(), .has.as_str())]
    Role {
        /// What was asked.
        verb: Verb,
        /// The least role.
        needs: Role,
        /// What the key has.
        has: Role,
    },
    /// Another account's session, or another account's policy.
    #[error("this key speaks for account {0} alone")]
    Account(AccountName),
    /// `agents=` of the key.
    #[error("agent {0} is not among agents= of this key")]
    KeyAgent(Name),
    /// The account's agents.
    #[error("agent {0} is not among the account's agents; see `accounts` in the configuration")]
    AccountAgent(Name),
    /// `sessions=` of the key.
    #[error("session {0} does not match sessions= of this key")]
    Session(Name),
    /// `sessions=` of the key, and no name was given.
    #[error("sessions= of this key allows some names only; give one with --name")]
    Unnamed,
    /// `no-pty`.
    #[error("no-pty on this key's line: no terminal sessions")]
    NoTerminal,
    /// `command=` at a door where nothing can be forced.
    #[error("this key may only run {0:?} (command= on its line), over ssh")]
    Forced(String),
    /// No approve, and a terminal: whoever types there answers its dialogs.
    #[error(
        "{verb} needs approve: whoever types into a terminal can answer what its agent asks; view it, or add approve to this key's line"
    )]
    TypingApproves {
        /// What was asked.
        verb: Verb,
    },
    /// No approve.
    #[error("this key may not approve; add approve to its line")]
    NoApprove,
}

impl Denial {
    /// Stable code for clients: docs/protocol.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ViewOnly { .. } | Self::TypingApproves { .. } => "view-only",
            Self::Role { .. } | Self::Account(_) | Self::Forced(_) | Self::NoApprove => "not-allowed",
            Self::KeyAgent(_) | Self::AccountAgent(_) => "agent-not-allowed",
            Self::Session(_) | Self::Unnamed => "session-not-allowed",
            Self::NoTerminal => "no-terminal",
        }
    }
}
