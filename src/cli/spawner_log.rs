//! The spawner's audit file: turns what it tells into entries of its own chain; decides nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::failure::{About, Failure};
use crate::audit::{AuditError, Entry, Event, Field, Writer};
use crate::spawner::{Log, LogEntry};

/// An open chain and where it lies.
pub(super) struct SpawnerLog {
    writer: Writer,
    path: PathBuf,
}

impl SpawnerLog {
    /// Opens or begins the chain.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let cure = "put that right: nothing is started that cannot be audited";
        let file = open(path).about(path.display(), cure)?;
        let (writer, _) = Writer::open(file, SystemTime::now()).about(path.display(), cure)?;
        Ok(Self { writer, path: path.to_owned() })
    }
}

impl Log for SpawnerLog {
    fn entry(&mut self, entry: &LogEntry<'_>) -> io::Result<()> {
        if let LogEntry::Trouble { what } = entry {
            tracing::warn!("{}", crate::base::printable(what, 400));
        }
        self.writer.append(&told(entry), SystemTime::now()).map_err(into_io)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = open(&self.path)?;
        self.writer.continue_in(file, SystemTime::now()).map_err(into_io)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn into_io(error: AuditError) -> io::Error {
    io::Error::other(error)
}

fn told(entry: &LogEntry<'_>) -> Entry {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    match entry {
        LogEntry::Started { adopted } => Entry::new(Event::Begun)
            .text(Field::Version, env!("CARGO_PKG_VERSION"))
            .number(Field::Number, count(*adopted)),
        LogEntry::Ended { sessions } => {
            Entry::new(Event::Admin).text(Field::Act, "end").number(Field::Number, count(*sessions))
        }
        LogEntry::GatewayStarted { pid } => {
            Entry::new(Event::Gateway).text(Field::Act, "start").number(Field::Pid, *pid)
        }
        LogEntry::GatewayEnded { how } => Entry::new(Event::Gateway).text(Field::Act, "end").text(Field::Exit, how),
        LogEntry::Connection { uid, accepted } => {
            let event = if *accepted { Event::Login } else { Event::Refused };
            Entry::new(event).text(Field::Door, "orders").text(Field::User, &format!("uid {uid}"))
        }
        LogEntry::OrderRefused { reason } => {
            Entry::new(Event::Refused).text(Field::Door, "orders").text(Field::Reason, reason)
        }
        LogEntry::SessionStarting { session, account, agent, directory, creator } => Entry::new(Event::SessionStart)
            .text(Field::Session, &session.to_string())
            .text(Field::Account, account)
            .text(Field::Agent, agent)
            .text(Field::Directory, directory)
            .text(Field::Creator, creator),
        LogEntry::SessionStarted { session, pid } => Entry::new(Event::Act)
            .text(Field::Act, "started")
            .text(Field::Session, &session.to_string())
            .number(Field::Pid, *pid),
        LogEntry::SessionRefused { session, code, message } => Entry::new(Event::SessionFailed)
            .text(Field::Session, session)
            .text(Field::Code, code)
            .text(Field::Reason, message),
        LogEntry::SessionStopped { session, processes } => Entry::new(Event::Act)
            .text(Field::Act, "stop")
            .text(Field::Session, &session.to_string())
            .number(Field::Number, *processes),
        LogEntry::HostGone { session } => Entry::new(Event::SessionEnd).text(Field::Session, &session.to_string()),
        LogEntry::Reloaded { outcome } => {
            Entry::new(Event::Admin).text(Field::Act, "reload").text(Field::Message, outcome)
        }
        LogEntry::Trouble { what } => Entry::new(Event::Admin).text(Field::Act, "trouble").text(Field::Message, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Verdict, verify};
    use crate::cli::testing::TempDir;

    #[test]
    fn what_the_spawner_tells_is_a_chain_that_goes_on_after_rotation() {
        let dir = TempDir::new("spawner-log");
        let path = dir.join("spawner.jsonl");
        let mut log = SpawnerLog::open(&path).unwrap();
        log.entry(&LogEntry::Started { adopted: 2 }).unwrap();
        log.entry(&LogEntry::SessionRefused { session: "x", code: "bad-option", message: "no\nsuch" }).unwrap();
        let old = dir.join("spawner.jsonl.1");
        std::fs::rename(&path, &old).unwrap();
        log.reopen().unwrap();
        log.entry(&LogEntry::Ended { sessions: 0 }).unwrap();
        let check = |path: &Path| verify(std::fs::read(path).unwrap().as_slice()).unwrap();
        let (first, second) = (check(&old), check(&path));
        assert_eq!((&first.verdict, first.entries), (&Verdict::Whole, 2));
        assert_eq!((&second.verdict, second.entries), (&Verdict::Whole, 2));
        assert_eq!(second.continues, Some(first.head));
    }
}
