//! The checked table that the spawner works from; does not know the configuration file it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agents::{AgentSpec, Mode, name_list, name_text};
use crate::base::{AccountName, Name};
use crate::sys::privileges::Identity;

/// Everything that orders may refer to, and nothing that they may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Who runs what.
    pub(crate) identities: Identities,
    /// In the order of the configuration.
    pub(crate) accounts: Vec<AccountEntry>,
    /// In the order of the configuration.
    pub(crate) agents: Vec<AgentSpec>,
    /// Where everything lies.
    pub(crate) directories: Directories,
    /// What is executed.
    pub(crate) programs: Programs,
    /// Bytes of each host's ring.
    pub(crate) ring: u64,
    /// Where agents' LANG, LC_*, TZ and `env_pass` values come from.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Which identities the processes have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Identities {
    /// All is the caller's.
    SingleUser,
    /// The spawner is root and everything else somebody else.
    Separate {
        /// `portcullis`.
        gateway: SystemIdentity,
        /// `portcullis-host`.
        host: SystemIdentity,
    },
}

/// A system account without supplementary groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SystemIdentity {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl SystemIdentity {
    /// With no groups but its own.
    pub(crate) fn identity(self) -> Identity {
        Identity { uid: self.uid, gid: self.gid, groups: Vec::new() }
    }
}

/// An account that agents may run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountEntry {
    /// What orders call it.
    #[serde(with = "name_text")]
    pub(crate) name: AccountName,
    /// The Unix account; uid, groups, home and shell are looked up for each order.
    #[serde(with = "name_text")]
    pub(crate) user: AccountName,
    /// Absolute, or beginning with `%h`.
    pub(crate) roots: Vec<PathBuf>,
    /// Agents that it may run.
    #[serde(with = "name_list")]
    pub(crate) agents: Vec<Name>,
    /// With `%u` and `%h`. Files below the home directory are read as the account, others as the spawner.
    pub(crate) key_files: Vec<String>,
    /// Most sessions with a living agent.
    pub(crate) max_sessions: u32,
    /// Whether its agents are kept from gaining privileges by exec.
    pub(crate) no_new_privs: bool,
    /// Resource limits of its agents.
    pub(crate) limits: Limits,
}

/// Hard and soft resource limits; what is none stays as the spawner has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Descriptors.
    pub(crate) open_files: Option<u64>,
    /// Processes of the uid.
    pub(crate) processes: Option<u64>,
    /// Bytes of address space of one process.
    pub(crate) memory: Option<u64>,
    /// Bytes of one file.
    pub(crate) file_size: Option<u64>,
    /// Bytes of a core dump.
    pub(crate) core: Option<u64>,
}

/// Where everything lies; absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directories {
    /// The gateway's state.
    pub(crate) state: PathBuf,
    /// Lock, sockets, host records.
    pub(crate) run: PathBuf,
    /// Holds `bin` and `agents`, which accounts reach by path: the run directory where its parents let them through.
    pub(crate) reachable: PathBuf,
}

/// What is executed: absolute program, then arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Programs {
    /// The gateway, with its end of the order socket as descriptor 3; none where another unit runs it.
    pub(crate) gateway: Option<Vec<String>>,
    /// The session host; its named descriptors follow.
    pub(crate) host: Vec<String>,
}

impl Programs {
    /// What is run from `bin/portcullis` below the reachable directory. Without `gateway` another unit runs that.
    pub(crate) fn installed(directories: &Directories, gateway: bool) -> Self {
        let program = directories.reachable.join("bin/portcullis").to_string_lossy().into_owned();
        let of = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned());
            std::iter::once(program.clone()).chain(words).collect()
        };
        Self { gateway: gateway.then(|| of(&["gateway", "--spawner-fd", "3"])), host: of(&["host"]) }
    }
}

/// Why a table cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    /// Root asked for single-user mode, or an ordinary user for the other.
    #[error("{0}")]
    Caller(&'static str),
    /// Two of the system identities are one, or one is root.
    #[error("portcullis and portcullis-host must be two system users, neither of them root")]
    Identities,
    /// A path that is not absolute.
    #[error("{what} {path:?} is not an absolute path")]
    Relative {
        /// Of what.
        what: &'static str,
        /// As configured.
        path: String,
    },
    /// Nothing would keep the two apart.
    #[error("accounts {one} and {other} are both the Unix account {user}: give each its own")]
    SharedUser {
        /// Account.
        one: AccountName,
        /// Account.
        other: AccountName,
        /// Unix account.
        user: AccountName,
    },
    /// A reference or number that cannot be.
    #[error("{0}")]
    Entry(String),
}

impl Table {
    /// Holds the promises that the spawner itself depends on, whoever made the table.
    pub(crate) fn check(&self, own_uid: u32) -> Result<(), TableError> {
        match &self.identities {
            Identities::SingleUser if own_uid == 0 => {
                return Err(TableError::Caller("uid 0 is never an account: name the account that agents run as"));
            }
            Identities::Separate { .. } if own_uid != 0 => {
                return Err(TableError::Caller("separate identities need root: start as root, or in single-user mode"));
            }
            Identities::Separate { gateway, host } => {
                if gateway.uid == host.uid || gateway.uid == 0 || host.uid == 0 || gateway.gid == 0 || host.gid == 0 {
                    return Err(TableError::Identities);
                }
            }
            Identities::SingleUser => {}
        }
        let directories = &self.directories;
        for path in [&directories.state, &directories.run, &directories.reachable] {
            absolute("directory", &path.to_string_lossy())?;
        }
        for program in [Some(&self.programs.host), self.programs.gateway.as_ref()].into_iter().flatten() {
            absolute("program", program.first().map_or("", String::as_str))?;
        }
        // Below 64 KiB one frame would not fit; above 1 GiB it is a mistake in the unit.
        if !(64 * 1024..=1 << 30).contains(&self.ring) {
            return Err(TableError::Entry(format!("a ring of {} bytes: 64 KiB to 1 GiB", self.ring)));
        }
        self.check_agents()?;
        self.check_accounts()
    }

    fn check_agents(&self) -> Result<(), TableError> {
        let mut names = BTreeSet::new();
        for agent in &self.agents {
            if !names.insert(&agent.name) {
                return Err(TableError::Entry(format!("agent {} is there twice", agent.name)));
            }
            match agent.command.first() {
                None if agent.login_shell => {}
                program => absolute("agent's program", program.map_or("", String::as_str))?,
            }
            if let Some(file) = &agent.env_file {
                absolute("env_file", &file.to_string_lossy())?;
            }
            if agent.modes.is_empty() {
                return Err(TableError::Entry(format!("agent {} has no mode", agent.name)));
            }
            if agent.modes.contains(&Mode::Structured) && agent.driver.is_none() {
                return Err(TableError::Entry(format!("agent {} has mode structured and no driver", agent.name)));
            }
            if agent.free_args && self.identities != Identities::SingleUser {
                return Err(TableError::Entry(format!("agent {}: free_args is for single-user mode", agent.name)));
            }
        }
        Ok(())
    }

    fn check_accounts(&self) -> Result<(), TableError> {
        let mut names = BTreeSet::new();
        let mut users = BTreeMap::new();
        for account in &self.accounts {
            if !names.insert(&account.name) {
                return Err(TableError::Entry(format!("account {} is there twice", account.name)));
            }
            if let Some(one) = users.insert(&account.user, &account.name) {
                let (one, other) = (one.clone(), account.name.clone());
                return Err(TableError::SharedUser { one, other, user: account.user.clone() });
            }
            if let Some(agent) = account.agents.iter().find(|name| self.agent(name.as_str()).is_none()) {
                return Err(TableError::Entry(format!("account {}: there is no agent {agent}", account.name)));
            }
            for root in &account.roots {
                absolute_or_home("root", &root.to_string_lossy())?;
            }
            for file in &account.key_files {
                absolute_or_home("key file", file)?;
            }
        }
        match (&self.identities, self.accounts.len()) {
            (Identities::SingleUser, 2..) => {
                Err(TableError::Entry("single-user mode has one account, the caller's".into()))
            }
            _ => Ok(()),
        }
    }

    /// The agent of this name.
    pub(crate) fn agent(&self, name: &str) -> Option<&AgentSpec> {
        self.agents.iter().find(|agent| agent.name.as_str() == name)
    }

    /// The account of this name.
    pub(crate) fn account(&self, name: &str) -> Option<&AccountEntry> {
        self.accounts.iter().find(|account| account.name.as_str() == name)
    }
}

fn absolute(what: &'static str, path: &str) -> Result<(), TableError> {
    if path.starts_with('/') { Ok(()) } else { Err(TableError::Relative { what, path: path.into() }) }
}

fn absolute_or_home(what: &'static str, path: &str) -> Result<(), TableError> {
    absolute(
        what,
        path.strip_prefix("%h").filter(|rest| rest.is_empty() || rest.starts_with('/')).map_or(path, |_| "/"),
    )
}
