//! The work of helper children that concerns a start: whose account, which directory, which PATH. Runs in the child; the
//! spawner only hears of it.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::helper::{Problem, Reply, Speaker};
use crate::agents::environment::{ENV_FILE, FALLBACK_PATH, parse_file};
use crate::base::AccountName;
use crate::sys::credentials::{self, Account, current_uid};
use crate::sys::path::{self, StrictFile, Strictness, open_beneath, open_root, path_of, read_strict};
use crate::sys::privileges::{Identity, become_identity};

/// What a start needs to know.
#[derive(Debug)]
pub(super) struct Resolve<'a> {
    /// Whose session, by its Unix account.
    pub(super) user: &'a AccountName,
    /// Whether the child becomes the account.
    pub(super) separate: bool,
    /// As configured.
    pub(super) root: &'a Path,
    /// As ordered.
    pub(super) relative: &'a str,
    /// The agent's.
    pub(super) env_file: Option<&'a Path>,
    /// Whether the login shell is asked.
    pub(super) want_path: bool,
}

impl Resolve<'_> {
    /// Says the account, then, as the account, the directory and the PATH.
    pub(super) fn run(&self, speaker: &Speaker) -> Result<(), Problem> {
        let account = find_account(self.user, self.separate)?;
        let env_file = self.env_file.map(read_env_file).transpose()?.unwrap_or_default();
        speaker.say(&Reply::Account { account: account.clone(), env_file }, None)?;
        if self.separate {
            become_account(&account)?;
        }
        let directory = self.directory(&account)?;
        let path = path_of(directory.as_fd()).map_err(|error| no_directory(self.relative, &error))?;
        let path = path.to_string_lossy().into_owned();
        speaker.say(&Reply::Directory { path }, Some(directory.as_fd()))?;
        if self.want_path {
            speaker.say(&Reply::ShellPath(shell_path(&account)), None)?;
        }
        Ok(())
    }

    fn directory(&self, account: &Account) -> Result<OwnedFd, Problem> {
        let root = expand(&self.root.to_string_lossy(), &account.name, account);
        let shown = crate::base::printable(&root.join(self.relative).to_string_lossy(), 200);
        let opened = open_root(&root).map_err(|error| no_directory(&shown, &error))?;
        let directory = open_beneath(opened.as_fd(), self.relative).map_err(|error| match error.raw_os_error() {
            Some(code) if path::is_escape(code) => Problem::new(
                "directory-outside-roots",
                format!("{shown} leads out of the root {}: choose a directory inside it", root.display()),
            ),
            _ => no_directory(&shown, &error),
        })?;
        // Opened is not entered: that takes the right to search it.
        path::open_directory(directory.as_fd(), ".").map_err(|error| no_directory(&shown, &error))
    }
}

/// The account, which is never root, and in single-user mode the caller's.
pub(super) fn find_account(name: &AccountName, separate: bool) -> Result<Account, Problem> {
    let none = |why: String| Problem::new("no-such-account", why);
    let account = credentials::account(name.as_str())
        .map_err(|error| none(format!("account {name} cannot be looked up: {error}")))?
        .ok_or_else(|| none(format!("there is no account {name} on this machine")))?;
    if account.uid == 0 {
        return Err(none(format!("account {name} has uid 0, which is never an account: name another")));
    }
    if !separate && account.uid != current_uid() {
        return Err(none(format!("single-user mode runs as uid {} and account {name} is another", current_uid())));
    }
    Ok(account)
}

/// The account's identity with all its groups.
pub(super) fn identity_of(account: &Account) -> Identity {
    Identity { uid: account.uid, gid: account.gid, groups: account.groups.clone() }
}

/// Becomes the account for good.
pub(super) fn become_account(account: &Account) -> Result<(), Problem> {
    become_identity(&identity_of(account))
        .map_err(|error| Problem::new("launch-failed", format!("account {}: {error}", account.name)))
}

/// A configured path with `%u`, a name, and the account's `%h`; `%%` is a percent sign.
pub(super) fn expand(pattern: &str, name: &str, account: &Account) -> PathBuf {
    let mut path = String::new();
    let mut rest = pattern.chars();
    while let Some(ch) = rest.next() {
        match (ch, if ch == '%' { rest.next() } else { None }) {
            ('%', Some('u')) => path.push_str(name),
            ('%', Some('h')) => path.push_str(&account.home.to_string_lossy()),
            ('%', Some('%')) => path.push('%'),
            (first, second) => {
                path.push(first);
                path.extend(second);
            }
        }
    }
    path.into()
}

fn no_directory(shown: &str, error: &io::Error) -> Problem {
    Problem::new("no-such-directory", format!("directory {shown} cannot be entered by the account: {error}"))
}

fn read_env_file(file: &Path) -> Result<Vec<(String, String)>, Problem> {
    let failed = |why: String| Problem::new("launch-failed", format!("the agent's env_file: {why}"));
    let strictness = Strictness { owner: current_uid(), from: None, private: true, most: ENV_FILE };
    let read = read_strict(file, strictness, b"").map_err(|error| failed(error.to_string()))?;
    let StrictFile::Read { bytes, .. } = read else { return Ok(Vec::new()) };
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".into()))?;
    parse_file(&text).map_err(|error| failed(error.to_string()))
}

/// Stands before the line that counts: profiles print what they like.
const MARK: &str = "portcullis-path-follows";
/// Most bytes that a profile may print before it.
const CHATTER: u64 = 64 * 1024;
/// Most bytes of a PATH.
const PATH: usize = 8 * 1024;

/// PATH as a login shell of the account has it; none where that fails. The caller's deadline ends a shell that hangs.
fn shell_path(account: &Account) -> Option<String> {
    let home = if account.home.is_dir() { account.home.as_path() } else { Path::new("/") };
    let mut shell = Command::new(&account.shell)
        // printenv says what programs get, whatever the shell's own syntax for lists.
        .args(["-l", "-c", &format!("echo; echo {MARK}; /usr/bin/printenv PATH")])
        .env_clear()
        .env("HOME", &account.home)
        .env("USER", &account.name)
        .env("LOGNAME", &account.name)
        .env("SHELL", &account.shell)
        .env("PATH", FALLBACK_PATH)
        .env("TERM", "dumb")
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(shell.stdout.take()?.take(CHATTER)).split(b'\n');
    // Not to the end: a daemon that the profile started may hold the pipe open.
    lines.find(|line| line.as_ref().is_ok_and(|line| line == MARK.as_bytes()))?.ok()?;
    let path = String::from_utf8(lines.next()?.ok()?).ok()?;
    let usable = !path.is_empty() && path.len() <= PATH && !path.chars().any(char::is_control);
    usable.then_some(path)
}
