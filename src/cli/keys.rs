//! `keys add|ls|rm`: edits one of our own key files under a lock; never ~/.ssh/authorized_keys, whose sshd would refuse our options.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::failure::{About, Failure};
use super::files;
use crate::authn::{KeyFile, KeyLine, parse_authorized_keys};
use crate::base::{KEY_FILE, KeyId};
use crate::gateway::verbs::is_forcible;

/// One key file of ours.
#[derive(Debug)]
pub(super) struct KeyStore {
    path: PathBuf,
}

/// What an addition did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Added {
    /// New.
    Key(KeyId),
    /// The key was listed already; nothing changed.
    Already(KeyId),
}

impl KeyStore {
    /// Refuses what belongs to sshd.
    pub(super) fn new(path: PathBuf) -> Result<Self, Failure> {
        let parent_is_ssh = path.parent().and_then(Path::file_name).is_some_and(|name| name == ".ssh");
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let real_is_ssh = real.parent().and_then(Path::file_name).is_some_and(|name| name == ".ssh");
        if parent_is_ssh || real_is_ssh {
            return Err(Failure::setup(format_args!(
                "{} belongs to sshd, which refuses lines with our options; use a file of ours, as in ~/.config/portcullis/authorized_keys",
                path.display()
            )));
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its keys and the lines that list none; a missing file lists nothing.
    pub(super) fn list(&self) -> Result<KeyFile, Failure> {
        Ok(parse(&self.bytes()?))
    }

    /// Appends a line, which must list exactly one usable key.
    pub(super) fn add(&self, line: &str) -> Result<Added, Failure> {
        let key = one_key(line)?;
        let _lock = self.lock()?;
        let mut bytes = self.bytes()?;
        if parse(&bytes).keys.iter().any(|have| have.key.id() == key.key.id()) {
            return Ok(Added::Already(key.key.id().clone()));
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line.trim().as_bytes());
        bytes.push(b'\n');
        self.replace(&bytes)?;
        Ok(Added::Key(key.key.id().clone()))
    }

    /// Removes every line with this fingerprint, label or comment; returns their fingerprints. Other lines stay as they are.
    pub(super) fn remove(&self, which: &str) -> Result<Vec<KeyId>, Failure> {
        let _lock = self.lock()?;
        let bytes = self.bytes()?;
        let matches = |key: &&KeyLine| key.key.id().as_str() == which || key.label() == which || key.comment == which;
        let gone: Vec<KeyLine> = parse(&bytes).keys.iter().filter(matches).cloned().collect();
        if gone.is_empty() {
            return Err(Failure::other(format_args!(
                "{}: no key has the fingerprint, label or comment {which:?}; `keys ls` shows them",
                self.path.display()
            )));
        }
        let mut different: Vec<&KeyId> = gone.iter().map(|key| key.key.id()).collect();
        different.sort();
        different.dedup();
        if different.len() > 1 {
            return Err(Failure::other(format_args!("{which:?} names {} keys; give a fingerprint", different.len())));
        }
        let kept: Vec<u8> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .zip(1usize..)
            .filter(|(_, number)| !gone.iter().any(|key| key.line == *number))
            .flat_map(|(line, _)| line.iter().copied())
            .collect();
        self.replace(&kept)?;
        Ok(gone.into_iter().map(|key| key.key.id().clone()).collect())
    }

    fn bytes(&self) -> Result<Vec<u8>, Failure> {
        match files::read(&self.path, KEY_FILE as u64) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.about(self.path.display(), "make it a readable file of at most 1 MiB"),
        }
    }

    /// Keeps the owner; 0600 unless it was there with stricter or other bits that its owner chose.
    fn replace(&self, bytes: &[u8]) -> Result<(), Failure> {
        let have = fs::metadata(&self.path).ok();
        let owner = have.as_ref().map(|data| (data.uid(), data.gid()));
        let mode = have.map_or(0o600, |data| data.mode() & 0o755);
        files::put(&self.path, bytes, mode, owner).about(self.path.display(), "make its directory writable")
    }

    /// Beside the file, because the file itself is replaced.
    fn lock(&self) -> Result<File, Failure> {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).about(parent.display(), "make it, or name another file with --file")?;
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(".lock");
        let path = self.path.with_file_name(name);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.about(path.display(), "make its directory writable")?;
        file.lock().about(path.display(), "wait for the other program that edits this file")?;
        Ok(file)
    }
}

/// Prints what `keys ls` shows.
pub(super) fn print(file: &KeyFile, out: &mut impl Write) -> std::io::Result<()> {
    for key in &file.keys {
        let options = &key.options;
        let approve = if options.approve { " approve" } else { "" };
        writeln!(out, "{}  {}  {}{approve}  {}", key.key.id(), key.key.kind(), options.role.as_str(), key.label())?;
    }
    file.problems.iter().try_for_each(|problem| writeln!(out, "NOT USED: {problem}"))
}

/// As the doors do, but for the agents of a `command=`: which there are is not known here.
pub(super) fn parse(bytes: &[u8]) -> KeyFile {
    parse_authorized_keys(bytes, &|text| is_forcible(text, &|_| true))
}

fn one_key(line: &str) -> Result<KeyLine, Failure> {
    let mut file = parse(line.trim().as_bytes());
    match (file.keys.pop(), file.keys.is_empty(), file.problems.first()) {
        (Some(key), true, None) => Ok(key),
        (_, _, Some(problem)) => Err(Failure::setup(format_args!("this is no key to add: {}", problem.reason))),
        _ => Err(Failure::setup("give one line as in authorized_keys: options, type, key, comment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::host_key;
    use crate::cli::testing::TempDir;

    fn line(label: &str) -> (String, KeyId) {
        let key = host_key::new(label).unwrap();
        (format!("{} {label}", key.public().line()), key.id().clone())
    }

    #[test]
    fn added_listed_removed_and_the_rest_untouched() {
        let dir = TempDir::new("keys");
        let store = KeyStore::new(dir.join("deep/er/authorized_keys")).unwrap();
        let ((ann, ann_id), (bob, bob_id)) = (line("ann"), line("bob"));
        assert_eq!(store.add(&ann).unwrap(), Added::Key(ann_id.clone()));
        assert_eq!(store.add(&format!("role=view {ann}")).unwrap(), Added::Already(ann_id.clone()));
        let mut text = fs::read_to_string(store.path()).unwrap();
        text.insert_str(0, "# mine\nnonsense here\n");
        fs::write(store.path(), text.trim_end()).unwrap();
        assert_eq!(
            store.add(&format!("role=\"view\",label=\"Bob's phone\" {bob}")).unwrap(),
            Added::Key(bob_id.clone())
        );
        let listed = store.list().unwrap();
        assert_eq!((listed.keys.len(), listed.problems.len()), (2, 1));
        let mut out = Vec::new();
        print(&listed, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.contains(bob_id.as_str()) && out.contains("Bob's phone") && out.contains("NOT USED: line 2"),
            "{out}"
        );
        assert_eq!(store.remove("Bob's phone").unwrap(), [bob_id]);
        assert_eq!(store.remove(ann_id.as_str()).unwrap(), [ann_id]);
        assert_eq!(fs::read_to_string(store.path()).unwrap(), "# mine\nnonsense here\n");
        assert!(store.remove("ann").is_err());
    }

    #[test]
    fn the_example_in_the_repository_lists_every_key() {
        let file = parse(include_bytes!("../../keys/authorized_keys.example"));
        assert_eq!((file.keys.len(), file.problems), (5, vec![]));
    }

    #[test]
    fn a_new_file_is_the_owners_alone() {
        let dir = TempDir::new("keys-mode");
        let store = KeyStore::new(dir.join("authorized_keys")).unwrap();
        store.add(&line("x").0).unwrap();
        assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn sshds_own_file_is_refused_also_through_a_link() {
        let dir = TempDir::new("keys-ssh");
        fs::create_dir(dir.join(".ssh")).unwrap();
        fs::write(dir.join(".ssh/authorized_keys"), "").unwrap();
        std::os::unix::fs::symlink(dir.join(".ssh/authorized_keys"), dir.join("mine")).unwrap();
        assert_eq!(KeyStore::new(dir.join(".ssh/authorized_keys")).unwrap_err().status, 78);
        assert_eq!(KeyStore::new(dir.join("mine")).unwrap_err().status, 78);
    }

    #[test]
    fn what_is_no_key_is_not_added() {
        let dir = TempDir::new("keys-bad");
        let store = KeyStore::new(dir.join("k")).unwrap();
        let (good, _) = line("x");
        for bad in ["", "# x", "ssh-ed25519 AAAA", &format!("surprise {good}"), &format!("{good}\n{good}")] {
            assert_eq!(store.add(bad).unwrap_err().status, 78, "{bad}");
        }
        assert!(!store.path().exists());
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let dir = TempDir::new("keys-race");
        let path = dir.join("k");
        let workers: Vec<_> = (0..8)
            .map(|number| {
                let path = path.clone();
                std::thread::spawn(move || KeyStore::new(path).unwrap().add(&line(&format!("n{number}")).0).unwrap())
            })
            .collect();
        workers.into_iter().for_each(|worker| drop(worker.join().unwrap()));
        assert_eq!(KeyStore::new(path).unwrap().list().unwrap().keys.len(), 8);
    }
}
