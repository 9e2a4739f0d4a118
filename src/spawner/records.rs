//! Which hosts there are, on disk, so that the next spawner finds them; does not know whether they live.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agents::name_text;
use crate::base::{AccountName, SessionId};

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its session.
    #[serde(with = "name_text")]
    pub(super) session: SessionId,
    /// Whose.
    #[serde(with = "name_text")]
    pub(super) account: AccountName,
    /// Its process.
    pub(super) pid: i32,
    /// Clock ticks after boot: with the pid, which process it is.
    pub(super) start_time: u64,
}

/// The directory of records, one file for each host.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

/// Most bytes of one record; ours have about 150.
const RECORD: u64 = 4096;

impl Records {
    /// In this directory, which exists.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Writes a record; it is there whole or not at all.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let path = self.path(record.session);
        let new = path.with_extension("new");
        let text = serde_json::to_vec(record).map_err(io::Error::other)?;
        let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        std::fs::rename(new, path)
    }

    /// Removes a record; one that is not there is no error.
    pub(super) fn remove(&self, session: SessionId) -> io::Result<()> {
        match std::fs::remove_file(self.path(session)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All records. Files that are none are removed: a host is found by its record alone.
    pub(super) fn read(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            match read_one(&path) {
                Some(record) if self.path(record.session) == path => records.push(record),
                _ => std::fs::remove_file(&path)?,
            }
        }
        Ok(records)
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.0.join(session.to_string())
    }
}

fn read_one(path: &Path) -> Option<Record> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(RECORD).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_rubbish_does_not() {
        let path = std::env::temp_dir().join(format!("pc-records-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let records = Records::new(path.clone());
        let record = Record {
            session: SessionId::from_bytes([7; 16]),
            account: "ann".parse().unwrap(),
            pid: 4,
            start_time: u64::MAX,
        };
        records.write(&record).unwrap();
        std::fs::write(path.join("torn"), "{").unwrap();
        // Under another session's name.
        let other = path.join(SessionId::from_bytes([8; 16]).to_string());
        std::fs::copy(path.join(record.session.to_string()), &other).unwrap();
        assert_eq!(records.read().unwrap(), std::slice::from_ref(&record));
        assert!(!other.exists() && !path.join("torn").exists());
        records.remove(record.session).unwrap();
        records.remove(record.session).unwrap();
        assert_eq!(records.read().unwrap(), []);
        std::fs::remove_dir_all(path).unwrap();
    }
}
