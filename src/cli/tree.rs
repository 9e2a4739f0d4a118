//! Where everything lies, with owners and modes (ARCHITECTURE.md, "Who owns what"); does not know what is in the files.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::failure::{About, Failure};
use super::files::{Owner, directory};

/// All paths of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    /// The directory of `--dir`; none: the system's places.
    pub(super) dir: Option<PathBuf>,
    pub(super) config: PathBuf,
    /// The gateway's: identity, audit.
    pub(super) state: PathBuf,
    /// Sockets, lock, host records.
    pub(super) run: PathBuf,
    /// Key files by account.
    pub(super) keys: PathBuf,
    /// The spawner's audit.
    pub(super) log: PathBuf,
    /// Holds `bin` and `agents`, which accounts reach by path.
    pub(super) reachable: PathBuf,
    pub(super) tls_certificate: PathBuf,
    pub(super) tls_key: PathBuf,
    /// Where the doors are, written when the gateway is ready.
    pub(super) endpoints: PathBuf,
}

/// Uids and gids that own parts of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// Everything is the caller's.
    Caller,
    /// Root's, but for what the gateway owns.
    Root { gateway: (u32, u32) },
}

impl Tree {
    /// The system's places, for a service.
    pub(super) fn system() -> Self {
        let (etc, run) = (Path::new("/etc/portcullis"), Path::new("/run/portcullis"));
        Self {
            dir: None,
            config: etc.join("portcullis.toml"),
            state: "/var/lib/portcullis".into(),
            run: run.into(),
            keys: etc.join("keys"),
            log: "/var/log/portcullis".into(),
            reachable: run.into(),
            tls_certificate: etc.join("tls.crt"),
            tls_key: etc.join("tls.key"),
            endpoints: run.join("endpoints.json"),
        }
    }

    /// Everything below one directory. As root the parents may be closed to the other identities, so what must be reachable by path is
    /// under `/run`, named after the directory.
    pub(super) fn below(dir: &Path, is_root: bool) -> Self {
        let run = dir.join("run");
        let reachable =
            if is_root { PathBuf::from(format!("/run/portcullis-{}", short_hash(dir))) } else { run.clone() };
        Self {
            dir: Some(dir.to_owned()),
            config: dir.join("portcullis.toml"),
            state: dir.join("state"),
            keys: dir.join("keys"),
            log: dir.join("log"),
            reachable,
            tls_certificate: dir.join("tls.crt"),
            tls_key: dir.join("tls.key"),
            endpoints: dir.join("endpoints.json"),
            run,
        }
    }

    /// The spawner's chain.
    pub(super) fn spawner_audit(&self) -> PathBuf {
        self.log.join("spawner.jsonl")
    }

    /// The identity key, in the gateway's own directory.
    pub(super) fn identity(&self) -> PathBuf {
        self.state.join(IDENTITY)
    }

    /// Makes what must be there before the spawner, which makes the rest; what is there already is put right.
    pub(super) fn create(&self, owners: Owners) -> Result<(), Failure> {
        for (path, mode, owner) in self.directories(owners) {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).about(parent.display(), "make it, or choose another --dir")?;
            }
            directory(&path, mode, owner)
                .about(path.display(), "its owner must be able to set this directory's owner and mode")?;
        }
        Ok(())
    }

    /// Parents first.
    pub(super) fn directories(&self, owners: Owners) -> Vec<(PathBuf, u32, Owner)> {
        let (open, mine, gateways) = match owners {
            Owners::Caller => ((0o700, None), (0o700, None), (0o700, None)),
            Owners::Root { gateway } => ((0o755, Some((0, 0))), (0o700, Some((0, 0))), (0o700, Some(gateway))),
        };
        let top = self.dir.clone().or_else(|| self.config.parent().map(Path::to_owned));
        let mut list: Vec<_> = top.into_iter().map(|top| (top, open)).collect();
        list.extend([(self.state.clone(), gateways), (self.keys.clone(), open), (self.log.clone(), mine)]);
        list.into_iter().map(|(path, (mode, owner))| (path, mode, owner)).collect()
    }
}

/// File name of the identity key in the state directory.
pub(super) const IDENTITY: &str = "identity";

/// `--dir`, else where state of this kind belongs for this user.
pub(super) fn default_directory(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| variable(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("portcullis"))
        .ok_or_else(|| Failure::setup("neither HOME nor XDG_STATE_HOME names a directory; say where with --dir DIR"))
}

fn short_hash(dir: &Path) -> String {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::cli::testing::TempDir;

    #[test]
    fn a_callers_tree_is_closed_and_making_it_again_changes_nothing() {
        let temp = TempDir::new("tree");
        let tree = Tree::below(&temp.join("d"), false);
        for _ in 0..2 {
            tree.create(Owners::Caller).unwrap();
            for (path, ..) in tree.directories(Owners::Caller) {
                assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o700, "{}", path.display());
            }
        }
        assert_eq!(tree.reachable, tree.run);
    }

    #[test]
    fn roots_tree_has_the_owners_of_the_architecture() {
        let temp = TempDir::new("root-tree");
        let tree = Tree::below(&temp.join("d"), true);
        assert!(tree.reachable.starts_with("/run"), "{}", tree.reachable.display());
        tree.create(Owners::Root { gateway: (4001, 4002) }).unwrap();
        let found = |path: &Path| {
            let data = std::fs::metadata(path).unwrap();
            (data.uid(), data.gid(), data.mode() & 0o7777)
        };
        assert_eq!(found(&tree.state), (4001, 4002, 0o700));
        assert_eq!(found(&tree.keys), (0, 0, 0o755));
        assert_eq!(found(&tree.log), (0, 0, 0o700));
        assert_eq!(found(&temp.join("d")), (0, 0, 0o755));
    }

    #[test]
    fn the_default_directory_is_the_users_state() {
        let of = |pairs: &'static [(&str, &str)]| {
            default_directory(move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
        };
        assert_eq!(of(&[("HOME", "/h")]).unwrap(), Path::new("/h/.local/state/portcullis"));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).unwrap(), Path::new("/s/portcullis"));
        assert_eq!(of(&[("XDG_STATE_HOME", "s")]).unwrap_err().status, 78);
    }
}
