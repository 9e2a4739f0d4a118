//! What one login may do, and the questions that doors and router ask; does not know how a verb is done.

use std::fmt;
use std::path::PathBuf;

use super::denial::Denial;
use crate::authn::{AuthError, Door, KeyLine, KeyOptions, Proven, Role};
use crate::base::{AccountName, KeyId, Name};

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// See the account's sessions.
    List,
    /// Attach without typing.
    View,
    /// Attach and type, paste, decide the size.
    Drive,
    /// The screen as text.
    Show,
    /// Type without attaching.
    Send,
    /// Start a session.
    Start,
    /// End a session.
    Kill,
    /// End it and start it again.
    Restart,
    /// Give it another name.
    Rename,
    /// Remove an ended session.
    Forget,
    /// Give the agent something to do.
    Prompt,
    /// Decide what the agent may do: a right of its own, whatever the role.
    Approve,
}

impl Verb {
    /// Every verb, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::List,
        Self::View,
        Self::Drive,
        Self::Show,
        Self::Send,
        Self::Start,
        Self::Kill,
        Self::Restart,
        Self::Rename,
        Self::Forget,
        Self::Prompt,
        Self::Approve,
    ];

    /// The least role.
    pub const fn needs(self) -> Role {
        match self {
            Self::List | Self::View | Self::Show | Self::Approve => Role::View,
            Self::Drive | Self::Send | Self::Prompt => Role::Drive,
            Self::Start | Self::Kill | Self::Restart | Self::Rename | Self::Forget => Role::Own,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "ls",
            Self::View => "attach --view",
            Self::Drive => "typing",
            Self::Show => "show",
            Self::Send => "send",
            Self::Start => "new",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Rename => "rename",
            Self::Forget => "forget",
            Self::Prompt => "prompt",
            Self::Approve => "approve",
        })
    }
}

/// What the configuration says about one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPolicy {
    /// Its name.
    pub name: AccountName,
    /// Agents that may be started for it.
    pub agents: Vec<Name>,
    /// Directories below which sessions start; the first is the default.
    pub roots: Vec<PathBuf>,
    /// Most sessions alive at once.
    pub max_sessions: u32,
}

/// What a verb is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose session it is or will be.
    pub account: &'a AccountName,
    /// Its agent.
    pub agent: &'a Name,
    /// Its name; for [`Verb::Rename`] ask twice, with the old name and the new.
    pub session: Option<&'a Name>,
}

/// What one login may do. Made from a [`Proven`] alone.
#[derive(Debug)]
pub struct Grant {
    proven: Proven,
    policy: AccountPolicy,
}

impl Grant {
    /// Joins who somebody is with what the account may have.
    ///
    /// # Errors
    /// [`Denial::Account`] when the policy is another account's, [`Denial::Forced`] for a key with `command=` at a door
    /// that forces nothing.
    pub fn admit(proven: Proven, account: &AccountPolicy) -> Result<Self, Denial> {
        if *proven.account() != account.name {
            return Err(Denial::Account(proven.account().clone()));
        }
        match (&proven.options().command, proven.door()) {
            (Some(command), Door::Challenge) => Err(Denial::Forced(command.clone())),
            _ => Ok(Self { proven, policy: account.clone() }),
        }
    }

    /// The same login judged by what key file and configuration say now.
    ///
    /// # Errors
    /// It would no longer be admitted.
    pub fn renewed(&self, keys: &[KeyLine], account: &AccountPolicy, unix_now: u64) -> Result<Self, Revoked> {
        Ok(Self::admit(self.proven.renewed(keys, unix_now)?, account)?)
    }

    /// The account.
    pub fn account(&self) -> &AccountName {
        self.proven.account()
    }
    /// The key's fingerprint.
    pub fn key(&self) -> &KeyId {
        self.proven.key()
    }
    /// How the key is called.
    pub fn label(&self) -> &str {
        self.proven.label()
    }
    /// How far the key may go.
    pub fn role(&self) -> Role {
        self.proven.options().role
    }
    /// Whether the key may approve what an agent asks for.
    pub fn approves(&self) -> bool {
        self.proven.options().approve
    }
    /// Everything that the key's line says.
    pub fn options(&self) -> &KeyOptions {
        self.proven.options()
    }
    /// The verb line that the ssh door must run whatever is asked for.
    pub fn forced(&self) -> Option<&str> {
        self.proven.options().command.as_deref()
    }
    /// What the configuration says about the account.
    pub fn policy(&self) -> &AccountPolicy {
        &self.policy
    }
    /// The account's agents that this key may use.
    pub fn agents(&self) -> impl Iterator<Item = &Name> {
        self.policy.agents.iter().filter(|agent| self.key_has_agent(agent))
    }

    /// Whether a verb is allowed on a subject.
    ///
    /// # Errors
    /// The first thing that stands against it: account, role, agent, session name.
    pub fn may(&self, verb: Verb, subject: &Subject<'_>) -> Result<(), Denial> {
        if subject.account != self.account() {
            return Err(Denial::Account(self.account().clone()));
        }
        let (needs, has) = (verb.needs(), self.role());
        if has < needs {
            return Err(match needs {
                Role::Drive => Denial::ViewOnly { verb, has: has.as_str() },
                _ => Denial::Role { verb, needs, has },
            });
        }
        if verb == Verb::Approve {
            self.may_approve()?;
        }
        if !self.key_has_agent(subject.agent) {
            return Err(Denial::KeyAgent(subject.agent.clone()));
        }
        // A running session of an agent that was taken from the account can still be seen and ended.
        if matches!(verb, Verb::Start | Verb::Restart) && !self.policy.agents.contains(subject.agent) {
            return Err(Denial::AccountAgent(subject.agent.clone()));
        }
        match (&self.proven.options().sessions, subject.session) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Denial::Unnamed),
            (Some(globs), Some(name)) if globs.iter().any(|glob| glob.matches(name.as_str())) => Ok(()),
            (Some(_), Some(name)) => Err(Denial::Session(name.clone())),
        }
    }

    /// Whether terminal sessions are allowed at all.
    pub fn may_terminal(&self) -> Result<(), Denial> {
        if self.proven.options().pty { Ok(()) } else { Err(Denial::NoTerminal) }
    }

    /// Whether somebody who has this verb may also type into a terminal: an agent's dialog takes keys from anybody.
    pub fn may_type(&self, verb: Verb) -> Result<(), Denial> {
        if self.approves() { Ok(()) } else { Err(Denial::TypingApproves { verb }) }
    }

    /// Whether an agent's request may be approved.
    pub fn may_approve(&self) -> Result<(), Denial> {
        if self.approves() { Ok(()) } else { Err(Denial::NoApprove) }
    }

    fn key_has_agent(&self, agent: &Name) -> bool {
        self.proven.options().agents.as_ref().is_none_or(|agents| agents.contains(agent))
    }
}

/// Why a live login ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// By its key's line.
    #[error(transparent)]
    Key(#[from] AuthError),
    /// By policy.
    #[error(transparent)]
    Policy(#[from] Denial),
}
