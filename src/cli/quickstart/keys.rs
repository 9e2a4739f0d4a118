//! Which public keys the caller has, and a new pair when there are none; does not know who may do what with them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::authn::{IdentityError, PublicKey, SigningKey};
use crate::base::KEY_FILE;
use crate::cli::failure::{About, Failure};
use crate::cli::{files, host_key};

/// Keys that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// Lines for a key file of ours, without the lines of authorized_keys.
    pub(super) lines: Vec<String>,
    /// authorized_keys, if it lists anything.
    pub(super) authorized: Option<Authorized>,
    /// A private key file whose public half is among the lines; one without a passphrase if there is one.
    pub(super) private: Option<PathBuf>,
}

/// ~/.ssh/authorized_keys as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorized {
    pub(super) path: PathBuf,
    /// Its lines with keys, options and all.
    pub(super) lines: Vec<String>,
}

impl Offered {
    /// `~/.ssh/*.pub`, what `ssh-add -L` printed, and `~/.ssh/authorized_keys`.
    pub(super) fn find(home: &Path, agent: &str) -> Self {
        let ssh = home.join(".ssh");
        let mut found = Self::default();
        let mut seen = Vec::new();
        let mut privates = Vec::new();
        for path in public_files(&ssh) {
            let Some(text) = text(&path) else { continue };
            let Some(key) = found.take(text.lines().next().unwrap_or_default(), &mut seen) else { continue };
            privates.extend(private_half(&path.with_extension(""), &key));
        }
        for line in agent.lines() {
            found.take(line, &mut seen);
        }
        // An encrypted one works too, after its passphrase.
        privates.sort_by_key(|(_, encrypted)| *encrypted);
        found.private = privates.into_iter().next().map(|(path, _)| path);
        found.authorized = authorized(ssh.join("authorized_keys"));
        found
    }

    /// Whether a new pair is needed.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.authorized.is_none()
    }

    /// Takes a line with a usable key that was not there yet.
    fn take(&mut self, line: &str, seen: &mut Vec<PublicKey>) -> Option<PublicKey> {
        let line = line.trim();
        let key = PublicKey::parse(line).ok()?;
        if !seen.contains(&key) {
            seen.push(key.clone());
            self.lines.push(line.to_owned());
        }
        Some(key)
    }
}

/// Makes a client's pair at `path` (and `path.pub`); returns the public line. A pair that is there is kept.
pub(super) fn client_pair(path: &Path, owner: files::Owner) -> Result<String, Failure> {
    let cure = "move it away, and a new pair is made";
    if path.exists() {
        let bytes = files::read(path, KEY_FILE as u64).about(path.display(), cure)?;
        let key = SigningKey::from_openssh(&String::from_utf8_lossy(&bytes), None).about(path.display(), cure)?;
        return Ok(format!("{} portcullis-client", key.public().line()));
    }
    let key = host_key::new("portcullis-client")?;
    let text = key.to_openssh().about("a client key", "this is a fault of the program")?;
    let line = format!("{} portcullis-client", key.public().line());
    let cure = "make its directory writable";
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        // A home that never used ssh.
        files::directory(parent, 0o700, owner).about(parent.display(), cure)?;
    }
    files::put(path, text.as_bytes(), 0o600, owner).about(path.display(), cure)?;
    let public = path.with_extension("pub");
    files::put(&public, format!("{line}\n").as_bytes(), 0o644, owner).about(public.display(), cure)?;
    Ok(line)
}

/// The usual names first: what ssh itself would try.
fn public_files(ssh: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(ssh) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "pub"))
        .collect();
    let usual = ["id_ed25519", "id_ecdsa", "id_rsa"];
    let rank = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (usual.iter().position(|name| *name == stem).unwrap_or(usual.len()), stem)
    };
    paths.sort_by_key(rank);
    paths
}

/// The private key file, if it is that key's; and whether it wants a passphrase.
fn private_half(path: &Path, key: &PublicKey) -> Option<(PathBuf, bool)> {
    match SigningKey::from_openssh(&text(path)?, None) {
        Ok(private) => (private.public() == key).then(|| (path.to_owned(), false)),
        Err(IdentityError::Encrypted) => Some((path.to_owned(), true)),
        // A key in hardware, or one of a format that ssh alone knows.
        Err(_) => None,
    }
}

fn authorized(path: PathBuf) -> Option<Authorized> {
    let bytes = files::read(&path, KEY_FILE as u64).ok()?;
    let keys = crate::cli::keys::parse(&bytes).keys;
    let all: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let lines: Vec<String> = keys
        .iter()
        .filter_map(|key| all.get(key.line.checked_sub(1)?))
        .map(|line| String::from_utf8_lossy(line).trim().to_owned())
        .collect();
    (!lines.is_empty()).then_some(Authorized { path, lines })
}

fn text(path: &Path) -> Option<String> {
    String::from_utf8(files::read(path, KEY_FILE as u64).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;
    use crate::cli::testing::TempDir;

    fn keygen(path: &Path, passphrase: &str) {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(path);
        assert!(command.status().unwrap().success());
    }

    #[test]
    fn nothing_is_nothing() {
        let home = TempDir::new("home-empty");
        assert!(Offered::find(home.path(), "The agent has no identities.\n").is_empty());
    }

    #[test]
    fn files_agent_and_authorized_keys_are_offered_once_each() {
        let home = TempDir::new("home");
        let ssh = home.join(".ssh");
        fs::create_dir(&ssh).unwrap();
        keygen(&ssh.join("id_ed25519"), "secret");
        keygen(&ssh.join("work"), "");
        keygen(&home.join("other"), "");
        let read = |path: &Path| fs::read_to_string(path.with_extension("pub")).unwrap();
        fs::write(ssh.join("broken.pub"), "ssh-ed25519 AAAA x\n").unwrap();
        fs::write(ssh.join("authorized_keys"), format!("# phone\nrestrict {}", read(&home.join("other")))).unwrap();
        let agent = format!("{}{}", read(&ssh.join("work")), read(&home.join("other")));
        let offered = Offered::find(home.path(), &agent);
        assert_eq!(offered.lines.len(), 3, "{offered:?}");
        assert_eq!(offered.private, Some(ssh.join("work")), "the one without a passphrase");
        let lines = offered.authorized.unwrap().lines;
        assert!(lines.len() == 1 && lines[0].starts_with("restrict ssh-ed25519 "), "{lines:?}");
    }

    #[test]
    fn a_new_pair_is_kept_and_ssh_reads_it() {
        let dir = TempDir::new("client");
        let path = dir.join("client_key");
        let line = client_pair(&path, None).unwrap();
        assert_eq!(client_pair(&path, None).unwrap(), line);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let told = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&path).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(line.starts_with(told.split(" portcullis").next().unwrap().trim()), "{told} {line}");
    }
}
