//! Another program in this one's place, without harm: it is asked first whether it could, and gets everything by exec.
//! Does not know what it will do with it.

use std::fs::Metadata;
use std::io::{self, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::connection::Asker;
use super::given::LogEntry;
use super::handed::{Descriptors, Handed};
use super::helper::{Heard, Helper, Problem, Reply};
use super::service::Service;
use crate::base::printable;
use crate::sys::exec::exec;
use crate::sys::fork::{c_strings, set_inherited};
use crate::sys::memfd::sealed_memfd;

/// The file that this spawner was started from, and how a program in its place is asked and started.
pub(crate) struct Program {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// Which file that was.
    pub(crate) stamp: Stamp,
    /// Words with which it says by its status whether it could serve; gets on standard input what will be handed over.
    pub(crate) check: Vec<String>,
    /// Words with which it takes over; the number of a descriptor follows.
    pub(crate) serve: Vec<String>,
}

/// Which file a path meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// Of the file behind this path.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let data: Metadata = std::fs::metadata(path)?;
        let modified = (data.mtime(), data.mtime_nsec());
        Ok(Self { device: data.dev(), inode: data.ino(), length: data.len(), modified })
    }
}

/// A replacement under way.
#[derive(Debug)]
pub(super) struct Replacing {
    asker: Asker,
    /// None once the program has passed: only what is under way is waited for.
    pub(super) helper: Option<Helper>,
}

impl Service {
    /// Begins when the program's file is another one than it was; false when it is the same.
    pub(super) fn begin_to_replace(&mut self, asker: Asker, now: Instant) -> Result<bool, String> {
        let Some(program) = &self.given.program else { return Ok(false) };
        if self.replacing.is_some() {
            return Err("a new program is being checked already: wait for it".into());
        }
        let path = program.path.clone();
        let stamp = Stamp::of(&path).map_err(|error| format!("{}: {error}; nothing was changed", path.display()))?;
        if stamp == program.stamp {
            return Ok(false);
        }
        let words = program.check.clone();
        let text = self.handed(asker).text().map_err(|error| error.to_string())?;
        let helper = Helper::start(now, move |speaker| {
            ask(&path, &words, &text)?;
            speaker.say(&Reply::Passed, None)
        });
        let helper = helper.map_err(|error| format!("a helper cannot be started: {error}"))?;
        self.replacing = Some(Replacing { asker, helper: Some(helper) });
        Ok(true)
    }

    /// Lets a replacement take its step. Returns only when there is none, it waits, or it failed.
    pub(super) fn step_replacing(&mut self, now: Instant) {
        let Some(replacing) = &mut self.replacing else { return };
        let asker = replacing.asker;
        if let Some(helper) = &mut replacing.helper {
            let failed = match helper.hear(now) {
                Heard::Reply(Reply::Passed, None) => None,
                Heard::Reply(Reply::Problem(problem), None) => Some(problem.message),
                Heard::Nothing if now < helper.deadline() => return,
                Heard::Nothing => Some("its check did not end within 3 s".into()),
                Heard::Reply(..) | Heard::Gone => Some("its check broke off".into()),
            };
            replacing.helper = None;
            if let Some(why) = failed {
                return self.keep_program(&why);
            }
        }
        // No new orders are taken; what is under way has deadlines.
        let starts_nothing = self.starts.is_empty() && self.checks.is_empty();
        if starts_nothing && self.keys.is_empty() && self.stops.is_empty() && self.cleaners.is_empty() {
            let error = self.become_replacement(asker);
            self.keep_program(&error.to_string());
        }
    }

    /// Whether a program has passed and no further orders are taken.
    pub(super) fn is_leaving(&self) -> bool {
        self.replacing.as_ref().is_some_and(|replacing| replacing.helper.is_none())
    }

    fn keep_program(&mut self, why: &str) {
        let Some(Replacing { asker, .. }) = self.replacing.take() else { return };
        let path = self.given.program.as_ref().map(|program| program.path.display().to_string()).unwrap_or_default();
        let why = format!("{path} was not taken, and nothing was changed: {}", printable(why.trim(), 600));
        self.note(&LogEntry::Reloaded { outcome: why.clone() });
        self.done(asker, &why);
    }

    /// Returns only when it failed.
    fn become_replacement(&mut self, asker: Asker) -> io::Error {
        let Some(program) = &self.given.program else { return io::Error::other("no program") };
        let (path, mut argv) = (program.path.clone(), vec![program.path.display().to_string()]);
        argv.extend(program.serve.iter().cloned());
        self.note(&LogEntry::Reloaded { outcome: format!("replaced by {}", path.display()) });
        let tried = (|| {
            let handed = sealed_memfd("handed", &self.handed(asker).text()?)?;
            argv.push(handed.as_raw_fd().to_string());
            let (argv, name) = (c_strings(&argv)?, c_strings([path.as_os_str().as_bytes()])?);
            let variables = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
            let environment = c_strings(variables)?;
            set_inherited(handed.as_fd(), true)?;
            self.descriptors().set_inherited(true)?;
            Ok::<_, io::Error>(match name.first() {
                Some(name) => exec(name, &argv, &environment),
                None => io::Error::other("no program"),
            })
        })();
        // Still this program.
        let _ = self.descriptors().set_inherited(false);
        tried.unwrap_or_else(|error| error)
    }

    fn handed(&self, asker: Asker) -> Handed {
        Handed::new(
            self.table.clone(),
            self.descriptors().numbers(),
            self.gateway.handed(),
            self.connection.as_ref().map(super::connection::Connection::handed),
            self.strangers.clone(),
            (asker.connection, asker.number),
        )
    }

    fn descriptors(&self) -> Descriptors<std::os::fd::BorrowedFd<'_>> {
        let listeners = &self.given.listeners;
        Descriptors {
            lock: self.layout.lock.as_fd(),
            admin_socket: self.layout.admin.as_fd(),
            orders: self.layout.listener.as_fd(),
            https: listeners.https.as_ref().map(AsFd::as_fd),
            ssh: listeners.ssh.as_ref().map(AsFd::as_fd),
            admin: listeners.admin.as_ref().map(AsFd::as_fd),
            config: self.files.config.as_fd(),
            tls: self.files.tls.as_ref().map(|(certificate, key)| (certificate.as_fd(), key.as_fd())),
            connection: self.connection.as_ref().map(AsFd::as_fd),
        }
    }
}

/// Runs in the child: the program's own word on whether it could take over.
fn ask(path: &Path, words: &[String], handed: &[u8]) -> Result<(), Problem> {
    let failed = |error: io::Error| Problem::new("replace", error.to_string());
    let mut input = std::fs::File::from(sealed_memfd("handed", handed).map_err(failed)?);
    input.rewind().map_err(failed)?;
    let asked = Command::new(path).args(words).stdin(input).stdout(Stdio::null()).output().map_err(failed)?;
    if asked.status.success() {
        return Ok(());
    }
    let told = printable(String::from_utf8_lossy(&asked.stderr).trim(), 400);
    Err(Problem::new(
        "replace",
        format!("`{} {}` ended with {}: {told}", path.display(), words.join(" "), asked.status),
    ))
}
