//! The gateway's identity: one ed25519 key for both doors, made on first start; does not know what is signed with it.

use std::io;
use std::path::Path;

use super::failure::{About, Failure};
use super::files;
use crate::authn::SigningKey;
use crate::base::KeyId;

/// An OpenSSH private key file of any accepted kind is smaller.
const MOST: u64 = 64 * 1024;

/// Fingerprint of the key at `path`, which is made, or copied from `given`, if need be.
pub(super) fn ready(path: &Path, given: Option<&Path>, owner: files::Owner) -> Result<KeyId, Failure> {
    if let Some(given) = given {
        let bytes = files::read(given, MOST).about(
            format_args!("identity.host_key {}", given.display()),
            "name a readable key file, or \"\" to have one made",
        )?;
        let key = parse(&bytes, given)?;
        files::put(path, &bytes, 0o600, owner).about(path.display(), "make the state directory writable")?;
        return Ok(key.id().clone());
    }
    match files::read(path, MOST) {
        Ok(bytes) => Ok(parse(&bytes, path)?.id().clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = new("portcullis")?;
            let text = key.to_openssh().about("identity", "this is a fault of the program")?;
            files::put(path, text.as_bytes(), 0o600, owner)
                .about(path.display(), "make the state directory writable")?;
            Ok(key.id().clone())
        }
        Err(error) => Err(Failure::setup(format_args!("{}: {error}; make it readable", path.display()))),
    }
}

/// A new ed25519 key.
pub(super) fn new(comment: &str) -> Result<SigningKey, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).about("the system's random source", "the system must provide one")?;
    SigningKey::from_seed(&seed, comment).about("a new key", "this is a fault of the program")
}

fn parse(bytes: &[u8], path: &Path) -> Result<SigningKey, Failure> {
    let cure = "the identity is an unencrypted ed25519 key in OpenSSH's format: ssh-keygen -t ed25519 -N ''";
    let text = std::str::from_utf8(bytes).about(path.display(), cure)?;
    let key = SigningKey::from_openssh(text, None).about(path.display(), cure)?;
    if key.public().kind() != "ssh-ed25519" {
        return Err(Failure::setup(format_args!("{}: this key is {}; {cure}", path.display(), key.public().kind())));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::cli::testing::TempDir;

    #[test]
    fn made_once_kept_and_read_by_openssh() {
        let dir = TempDir::new("identity");
        let path = dir.join("identity");
        let first = ready(&path, None, None).unwrap();
        assert_eq!(ready(&path, None, None).unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let told = std::process::Command::new("ssh-keygen").arg("-l").arg("-f").arg(&path).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains(first.as_str()) && told.contains("ED25519"), "{told}");
    }

    #[test]
    fn a_given_key_is_copied_and_another_kind_refused() {
        let dir = TempDir::new("given");
        let make = |name: &str, kind: &str| {
            let path = dir.join(name);
            let done = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-N", "", "-f"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(done.success());
            path
        };
        let (good, bad) = (make("good", "ed25519"), make("bad", "ecdsa"));
        let id = ready(&dir.join("identity"), Some(&good), None).unwrap();
        assert_eq!(ready(&dir.join("identity"), None, None).unwrap(), id);
        let told = ready(&dir.join("identity"), Some(&bad), None).unwrap_err();
        assert!(told.message.contains("ecdsa"), "{told}");
        std::fs::write(dir.join("identity"), "nonsense").unwrap();
        assert_eq!(ready(&dir.join("identity"), None, None).unwrap_err().status, 78);
    }
}
