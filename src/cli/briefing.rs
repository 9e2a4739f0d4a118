//! What an account is told of the configuration, which only the spawner and the gateway can read: its roots and agents. Does not act on it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{self, Owner};
use super::identities::{Identities, Mode, Resolved};
use crate::agents::DriverKind;
use crate::config::Settings;
use crate::spawner::ACCOUNTS;

/// Names and paths; a list of a thousand roots is far smaller.
const MOST: u64 = 1024 * 1024;
/// Where Claude Code keeps its settings, when not in the home.
pub(super) const CLAUDE_SETTINGS: &str = "CLAUDE_CONFIG_DIR";

/// One account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Briefing {
    /// What clients log in as.
    pub(super) account: String,
    pub(super) roots: Vec<BriefedRoot>,
    pub(super) agents: Vec<BriefedAgent>,
}

/// A directory below which sessions start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BriefedRoot {
    pub(super) path: PathBuf,
    pub(super) trusted: bool,
}

/// A program that it may run; nothing of its command and environment but where its settings are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BriefedAgent {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) driver: Option<DriverKind>,
    /// As its environment in the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<PathBuf>,
}

/// Everybody's, ready to be written.
pub(super) struct Briefings {
    directory: PathBuf,
    files: Vec<(String, Owner, u32, Briefing)>,
}

impl Briefings {
    /// `reachable`: the directory that accounts reach by path.
    pub(super) fn new(settings: &Settings, identities: &Identities, reachable: &Path) -> Self {
        let file = |account: &Resolved| {
            let (owner, mode) = match &identities.mode {
                Mode::Single => (None, 0o600),
                Mode::Root { .. } => (Some((0, account.unix.gid)), 0o640),
            };
            (format!("{}.json", account.unix.name), owner, mode, briefing(settings, account))
        };
        Self { directory: reachable.join(ACCOUNTS), files: identities.accounts.iter().map(file).collect() }
    }

    /// Replaces the files. What cannot be written costs nobody a session: it is told and left.
    pub(super) fn write(&self) {
        let write = |(name, owner, mode, briefing): &(String, Owner, u32, Briefing)| {
            let text = serde_json::to_vec_pretty(briefing)?;
            files::put(&self.directory.join(name), &text, *mode, *owner)
        };
        if let Err(error) = self.files.iter().try_for_each(write).and_then(|()| self.remove_others()) {
            tracing::warn!("{} could not be written: {error}", self.directory.display());
        }
    }

    /// Of accounts that the configuration does not have any more.
    fn remove_others(&self) -> io::Result<()> {
        let ours: BTreeSet<&str> = self.files.iter().map(|(name, ..)| name.as_str()).collect();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_none_or(|name| !ours.contains(name)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Briefing {
    /// Of this Unix account, in a directory that accounts reach.
    pub(super) fn read(reachable: &Path, user: &str) -> io::Result<Self> {
        let bytes = files::read(&reachable.join(ACCOUNTS).join(format!("{user}.json")), MOST)?;
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

fn briefing(settings: &Settings, account: &Resolved) -> Briefing {
    let roots = account.roots.iter().zip(&account.settings.roots);
    let agents = settings.spawner.agents.iter().filter(|agent| account.settings.agents.contains(&agent.name));
    Briefing {
        account: account.settings.name.to_string(),
        roots: roots.map(|(path, root)| BriefedRoot { path: path.clone(), trusted: root.is_trusted }).collect(),
        agents: agents
            .map(|agent| BriefedAgent {
                name: agent.name.to_string(),
                driver: agent.driver,
                settings: agent.env.get(CLAUDE_SETTINGS).map(PathBuf::from),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::identities::tests::unix;
    use crate::cli::testing::TempDir;
    use crate::config::{Layers, load};

    #[test]
    fn each_account_is_told_its_own_and_nothing_secret() {
        let text = "[agents.c]\ncommand = \"/c\"\ndriver = \"claude\"\nenv = { CLAUDE_CONFIG_DIR = \"/s\", TOKEN = \"secret\" }\n\
                    [agents.x]\ncommand = \"/x\"\n[accounts.ann]\nroots = [\"%h\", { path = \"/srv\", trusted = true }]\nagents = [\"c\"]\n";
        let settings = load(&Layers { file: Some(("f".into(), text.into())), ..Layers::default() }).unwrap();
        let ann = unix("ann", 1000);
        let identities = Identities::resolve(&settings, &ann, |_| Some(ann.clone())).unwrap();
        let dir = TempDir::new("briefing");
        std::fs::create_dir(dir.join(ACCOUNTS)).unwrap();
        std::fs::write(dir.join(ACCOUNTS).join("gone.json"), "{}").unwrap();
        Briefings::new(&settings, &identities, dir.path()).write();
        let read = Briefing::read(dir.path(), "ann").unwrap();
        let roots: Vec<_> = read.roots.iter().map(|root| (root.path.to_str().unwrap(), root.trusted)).collect();
        assert_eq!(roots, [("/home/ann", false), ("/srv", true)]);
        let [agent] = &read.agents[..] else { panic!("{read:?}") };
        assert_eq!((agent.driver, agent.settings.as_deref()), (Some(DriverKind::Claude), Some(Path::new("/s"))));
        let raw = std::fs::read_to_string(dir.join(ACCOUNTS).join("ann.json")).unwrap();
        assert!(!raw.contains("secret") && !dir.join(ACCOUNTS).join("gone.json").exists(), "{raw}");
    }
}
