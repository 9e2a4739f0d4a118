//! `endpoints.json`: where the doors are, written when the gateway is ready; does not open them.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files;
use super::listeners::Bound;

/// A file of six short texts.
const MOST: u64 = 64 * 1024;

/// What a client needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    /// host:port.
    pub(crate) https: String,
    /// host:port.
    pub(crate) ssh: String,
    /// host:port.
    pub(crate) admin: String,
    /// Fingerprint of the gateway's key.
    pub(crate) identity: String,
    /// What to log in as.
    pub(crate) account: String,
    /// Path of a private key that is listed; empty when the only ones are in an agent or elsewhere.
    pub(crate) client_key: String,
    /// The spawner.
    pub(crate) pid: u32,
}

impl Endpoints {
    /// Of these doors.
    pub(super) fn new(bound: &Bound, identity: &str, account: &str, client_key: Option<&Path>) -> Self {
        Self {
            https: bound.https.to_string(),
            ssh: bound.ssh.to_string(),
            admin: bound.admin.to_string(),
            identity: identity.to_owned(),
            account: account.to_owned(),
            client_key: client_key.map(|path| path.display().to_string()).unwrap_or_default(),
            pid: std::process::id(),
        }
    }

    /// What stands in the file.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = files::read(path, MOST)?;
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Replaces the file.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        files::put(path, &text, 0o644, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::TempDir;

    #[test]
    fn what_is_written_is_read() {
        let dir = TempDir::new("endpoints");
        let path = dir.join("endpoints.json");
        let bound = Bound {
            https: "127.0.0.1:1".parse().unwrap(),
            ssh: "[::1]:2".parse().unwrap(),
            admin: "127.0.0.1:3".parse().unwrap(),
        };
        let endpoints = Endpoints::new(&bound, "SHA256:x", "ann", Some(Path::new("/k")));
        endpoints.write(&path).unwrap();
        assert_eq!(Endpoints::read(&path).unwrap(), endpoints);
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 7);
        assert_eq!((&value["ssh"], &value["client_key"]), (&"[::1]:2".into(), &"/k".into()));
    }
}
