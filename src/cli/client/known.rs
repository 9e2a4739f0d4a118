//! Gateways that were met before: origin and fingerprint, one line each. Knows no socket.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::base::KeyId;

/// A file of that size holds thousands; more is not ours.
const MOST: u64 = 1024 * 1024;

/// Why a gateway is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// Another key than before.
    #[error(
        "{origin} answers with the key {found}, but was known with {pinned}.\n\
         Somebody may be in between. If the gateway really has a new identity, remove its line from {file}"
    )]
    Changed { origin: String, found: KeyId, pinned: KeyId, file: String },
    /// The file.
    #[error("{file}: {error}; the client keeps the fingerprints of known gateways there")]
    File { file: String, error: io::Error },
}

/// The known gateways.
#[derive(Debug)]
pub(crate) struct KnownGateways {
    file: PathBuf,
}

/// What is known of a gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The same key as before.
    Same,
    /// Never met.
    New,
}

impl KnownGateways {
    /// `known_gateways` in the client's state directory.
    pub(crate) fn new(state: &Path) -> Self {
        Self { file: state.join("known_gateways") }
    }

    /// Compares with what is kept.
    pub(crate) fn check(&self, origin: &str, found: &KeyId) -> Result<Known, PinError> {
        match pinned(&self.read()?, origin) {
            None => Ok(Known::New),
            Some(pinned) if pinned == *found => Ok(Known::Same),
            Some(pinned) => Err(PinError::Changed {
                origin: origin.to_owned(),
                found: found.clone(),
                pinned,
                file: self.file.display().to_string(),
            }),
        }
    }

    /// Keeps a new one.
    pub(crate) fn add(&self, origin: &str, key: &KeyId) -> Result<(), PinError> {
        let write = || -> io::Result<()> {
            if let Some(parent) = self.file.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.file)?;
            // One write: two clients that meet the gateway at once leave two whole lines.
            file.write_all(format!("{origin} {key}\n").as_bytes())
        };
        write().map_err(|error| self.failed(error))
    }

    fn read(&self) -> Result<String, PinError> {
        match std::fs::metadata(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(self.failed(error)),
            Ok(data) if data.len() > MOST => return Err(self.failed(io::Error::other("larger than 1 MiB"))),
            Ok(_) => {}
        }
        std::fs::read_to_string(&self.file).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> PinError {
        PinError::File { file: self.file.display().to_string(), error }
    }
}

// The first line of an origin counts.
fn pinned(text: &str, origin: &str) -> Option<KeyId> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == origin)
        .map(|(_, key)| KeyId::new(key.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_kept_and_a_changed_one_refused() {
        let directory = std::env::temp_dir().join(format!("portcullis-known-{}", std::process::id()));
        let known = KnownGateways::new(&directory);
        let (one, other) = (KeyId::new("SHA256:one".into()), KeyId::new("SHA256:other".into()));
        assert_eq!(known.check("wss://a:1", &one).unwrap(), Known::New);
        known.add("wss://a:1", &one).unwrap();
        assert_eq!(known.check("wss://a:1", &one).unwrap(), Known::Same);
        assert_eq!(known.check("wss://a:2", &other).unwrap(), Known::New);
        let error = known.check("wss://a:1", &other).unwrap_err();
        assert!(error.to_string().contains("known_gateways"), "{error}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
