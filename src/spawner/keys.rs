//! Reading an account's key files: as the account below its home, as the spawner elsewhere. Does not parse them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use super::helper::{Heard, Helper, Problem, Reply, Speaker};
use super::jobs::{become_account, expand, find_account};
use crate::base::{AccountName, KEY_FILE};
use crate::sys::credentials::{Account, current_uid};
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
        let place = KeyPlace::new(self.pattern, self.account, &account);
        if self.separate && place.below_home {
            become_account(&account)?;
        }
        let path = place.path.to_string_lossy().into_owned();
        let failed = |error: &dyn std::fmt::Display| Problem::new("keys", format!("{error}"));
        match read_strict(&place.path, place.strictness, self.known) {
            Err(error) => {
                let problem = place.unread(&error, self.user);
                speaker.say(&Reply::KeysRefused { problem, path }, None)
            }
            Ok(StrictFile::Unchanged) => speaker.say(&Reply::KeysUnchanged, None),
            Ok(StrictFile::Read { bytes, stamp }) => {
                let sealed = sealed_memfd("keys", &bytes).map_err(|error| failed(&error))?;
                speaker.say(&Reply::Keys { stamp: stamp.to_bytes(), path }, Some(sealed.as_fd()))
            }
        }
    }
}

/// Code of a file that is not there.
const MISSING: &str = "missing";

/// Where a configured key file lies and what must hold of it: below the account's home it is the account's or root's and
/// is read as the account; elsewhere nobody but root (in single-user mode, or the caller) decides who may log in.
pub(crate) struct KeyPlace<'a> {
    /// Expanded.
    pub(crate) path: PathBuf,
    /// Read as the account.
    pub(crate) below_home: bool,
    /// What must hold.
    pub(crate) strictness: Strictness<'a>,
}

impl<'a> KeyPlace<'a> {
    /// `name` is what `%u` stands for.
    pub(crate) fn new(pattern: &str, name: &AccountName, account: &'a Account) -> Self {
        let path = expand(pattern, name.as_str(), account);
        let home = account.home.as_path();
        let is_parent = |component| component == Component::ParentDir;
        let below_home = home != Path::new("/") && path.starts_with(home) && !path.components().any(is_parent);
        let (owner, from) = if below_home { (account.uid, Some(home)) } else { (current_uid(), None) };
        Self { path, below_home, strictness: Strictness { owner, from, private: false, most: KEY_FILE } }
    }

    fn unread(&self, error: &StrictError, user: &AccountName) -> Problem {
        match error {
            StrictError::Missing(_) => Problem::new(MISSING, error.to_string()),
            StrictError::System { .. } if self.below_home => {
                Problem::new("keys", format!("{error}: {user} itself must be able to read it"))
            }
            _ => Problem::new("keys", error.to_string()),
        }
    }
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
            Heard::Reply(Reply::KeysRefused { problem, path }, _) => {
                let missing = problem.code == MISSING;
                Some((KeysAnswer { problem: problem.message, path, missing, ..KeysAnswer::default() }, None))
            }
            Heard::Reply(Reply::Problem(problem), _) => Some((self.problem(&problem.message), None)),
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
