//! Reading an account's key files: as the account below its home, as the spawner elsewhere. Does not parse them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use super::helper::{Heard, Helper, Problem, Reply, Speaker};
use super::jobs::{become_account, expand, find_account};
use crate::base::{AccountName, KEY_FILE};
use crate::sys::credentials::current_uid;
use crate::sys::memfd::{is_sealed, sealed_memfd};
use crate::sys::path::{StrictError, StrictFile, Strictness, read_strict};
use crate::wire::v1::KeysAnswer;

/// Runs in the child.
#[derive(Debug)]
pub(super) struct ReadKeys<'a> {
    /// Whose, as `%u` names it.
    pub(super) account: &'a AccountName,
    /// Its Unix account.
    pub(super) user: &'a AccountName,
    /// Whether the child becomes the account.
    pub(super) separate: bool,
    /// With `%u` and `%h`.
    pub(super) pattern: &'a str,
    /// What the gateway has; empty for nothing.
    pub(super) known: &'a [u8],
}

impl ReadKeys<'_> {
    /// Says that nothing has changed, or hands over the file.
    pub(super) fn run(&self, speaker: &Speaker) -> Result<(), Problem> {
        let account = find_account(self.user, self.separate)?;
        let path = expand(self.pattern, self.account.as_str(), &account);
        let home = account.home.as_path();
        let inside = home != Path::new("/") && path.starts_with(home) && !path.components().any(is_parent);
        let strictness = if inside {
            if self.separate {
                become_account(&account)?;
            }
            Strictness { owner: account.uid, from: Some(home), private: false, most: KEY_FILE }
        } else {
            Strictness { owner: current_uid(), from: None, private: false, most: KEY_FILE }
        };
        let shown = path.to_string_lossy().into_owned();
        let failed = |error: &dyn std::fmt::Display| Problem::new("keys", format!("{error}"));
        match read_strict(&path, strictness, self.known).map_err(|error| unread(&error))? {
            StrictFile::Unchanged => speaker.say(&Reply::KeysUnchanged, None),
            StrictFile::Read { bytes, stamp } => {
                let sealed = sealed_memfd("keys", &bytes).map_err(|error| failed(&error))?;
                speaker.say(&Reply::Keys { stamp: stamp.to_bytes(), path: shown }, Some(sealed.as_fd()))
            }
        }
    }
}

/// Code of a file that is not there.
const MISSING: &str = "missing";

fn unread(error: &StrictError) -> Problem {
    let code = if matches!(error, StrictError::Missing(_)) { MISSING } else { "keys" };
    Problem::new(code, error.to_string())
}

fn is_parent(component: Component<'_>) -> bool {
    component == Component::ParentDir
}

/// A key file being read, in the spawner.
#[derive(Debug)]
pub(super) struct ReadingKeys {
    /// Who asked: connection and order number.
    pub(super) asker: super::connection::Asker,
    /// At work.
    pub(super) helper: Helper,
    /// As configured, for answers without a path.
    pub(super) pattern: String,
}

impl ReadingKeys {
    /// The answer, once it is there.
    pub(super) fn step(&mut self, now: std::time::Instant) -> Option<(KeysAnswer, Option<OwnedFd>)> {
        match self.helper.hear(now) {
            Heard::Reply(Reply::KeysUnchanged, _) => {
                Some((KeysAnswer { unchanged: true, path: self.pattern.clone(), ..KeysAnswer::default() }, None))
            }
            Heard::Reply(Reply::Keys { stamp, path }, Some(file)) => match is_sealed(file.as_fd(), KEY_FILE) {
                Ok(true) => Some((KeysAnswer { stamp: stamp.into(), path, ..KeysAnswer::default() }, Some(file))),
                _ => Some((self.problem("was not handed over sealed"), None)),
            },
            Heard::Reply(Reply::Problem(problem), _) => {
                Some((KeysAnswer { missing: problem.code == MISSING, ..self.problem(&problem.message) }, None))
            }
            Heard::Nothing if now >= self.helper.deadline() => {
                Some((self.problem("could not be read within 3 s"), None))
            }
            Heard::Nothing => None,
            Heard::Reply(..) | Heard::Gone => Some((self.problem("could not be read"), None)),
        }
    }

    fn problem(&self, problem: &str) -> KeysAnswer {
        KeysAnswer { problem: problem.into(), path: self.pattern.clone(), ..KeysAnswer::default() }
    }
}
