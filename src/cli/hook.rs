//! `portcullis hook`: says to the session's host what Claude Code says to it, and brings a decision back; decides nothing.
//!
//! Whatever is amiss, it ends in silence: then the agent's own dialog decides, which is on the screen all the while.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::agents::claude::hooks::{HOOK_VARIABLE, KEPT, OVER, REPORT, Report};
use crate::agents::limits::LINE;
use crate::sys::poll::{self, Interest};
use crate::sys::stream::{Stream, StreamRead, connect_at};
use crate::sys::watch::Watch;

/// A host that does not take a report or keep a request within this has something else to do.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two dialogs in a row the agent may look as if it waited for none.
const BETWEEN: Duration = Duration::from_millis(100);

/// One report. What it prints is for the agent, and nothing but a decision means anything there.
pub(super) fn run() -> ExitCode {
    let decision = report(&mut io::stdin().lock(), std::env::var_os(HOOK_VARIABLE).map(PathBuf::from));
    if let Some(decision) = decision {
        // An agent that does not listen any more has decided.
        let _ = io::stdout().write_all(&decision);
    }
    ExitCode::SUCCESS
}

fn report(input: &mut impl Read, socket: Option<PathBuf>) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    input.take(LINE as u64).read_to_end(&mut text).ok()?;
    let report = Report::read(&text)?;
    let mut host = Host::connect(&socket?)?;
    let deadline = Instant::now() + PATIENCE;
    host.say(&report.line()?, deadline)?;
    if !report.is_request() {
        return None;
    }
    if host.line(deadline)? != KEPT {
        return None;
    }
    host.decision(Dialog::of(report.conversation()))
}

/// The session's host.
struct Host {
    stream: Stream,
    heard: Vec<u8>,
}

impl Host {
    fn connect(socket: &Path) -> Option<Self> {
        // Through the directory: a path may be longer than a socket's address.
        let directory = File::open(socket.parent()?).ok()?;
        let stream = connect_at(directory.as_fd(), socket.file_name()?.to_str()?).ok()?;
        Some(Self { stream: stream.into(), heard: Vec::new() })
    }

    fn say(&self, mut bytes: &[u8], deadline: Instant) -> Option<()> {
        while !bytes.is_empty() {
            match self.stream.write(&[IoSlice::new(bytes)]).ok()? {
                0 => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    let room = Interest { read: false, write: true };
                    poll::wait(&[Some((self.stream.as_fd(), room))], Some(left)).ok()?;
                }
                length => bytes = bytes.get(length..)?,
            }
        }
        Some(())
    }

    /// The next line, if it comes in time.
    fn line(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.heard_line() {
                return Some(line);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            poll::wait(&[Some((self.stream.as_fd(), Interest::READ))], Some(left)).ok()?;
            self.hear()?;
        }
    }

    /// What somebody decides, unless the dialog is answered before.
    fn decision(&mut self, mut dialog: Option<Dialog>) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.heard_line() {
                return Some(line);
            }
            if dialog.as_mut().is_some_and(|dialog| dialog.is_over(Instant::now())) {
                // A host that takes no more hears of it by the end of the connection.
                let _ = self.say(&[OVER, b"\n"].concat(), Instant::now() + PATIENCE);
                return None;
            }
            let watch = dialog.as_ref().map(|dialog| (dialog.watch.as_fd(), Interest::READ));
            let due = dialog.as_ref().and_then(|dialog| dialog.due);
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            let [host, _] = poll::wait(&[Some((self.stream.as_fd(), Interest::READ)), watch], wait).ok()?;
            if host.read {
                self.hear()?;
            }
        }
    }

    fn heard_line(&mut self) -> Option<Vec<u8>> {
        let end = self.heard.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        Some(line.get(..end)?.to_vec())
    }

    /// Reads once; none at the end.
    fn hear(&mut self) -> Option<()> {
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space).ok()? {
            StreamRead::Bytes(length) => self.heard.extend_from_slice(space.get(..length)?),
            StreamRead::Empty => {}
            StreamRead::Closed => return None,
        }
        // What a host decides is never longer.
        (self.heard.len() <= REPORT * 2).then_some(())
    }
}

/// The dialog on the screen, as the agent's own state file tells of it. The agent does not end its hook when somebody answers there.
struct Dialog {
    file: PathBuf,
    watch: Watch,
    /// It has been there.
    shown: bool,
    /// It seems to be gone; looked at again then.
    due: Option<Instant>,
}

/// What is read of the state file.
#[derive(serde::Deserialize)]
struct AgentState {
    status: String,
    #[serde(rename = "sessionId")]
    conversation: String,
}

impl Dialog {
    /// Of the agent whose child this is; none where its file is not where it is looked for: then the end of the tool tells.
    fn of(conversation: &str) -> Option<Self> {
        let settings = std::env::var_os("CLAUDE_CONFIG_DIR").map(PathBuf::from);
        let settings = settings.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".claude")))?;
        let sessions = settings.join("sessions");
        let file = sessions.join(format!("{}.json", std::os::unix::process::parent_id()));
        // Watched before it is read: no change is missed.
        let dialog = Self { watch: Watch::directory(&sessions).ok()?, file, shown: false, due: None };
        dialog.state().filter(|state| state.conversation == conversation)?;
        Some(dialog)
    }

    fn state(&self) -> Option<AgentState> {
        serde_json::from_slice(&std::fs::read(&self.file).ok()?).ok()
    }

    /// Whether somebody has answered it.
    fn is_over(&mut self, now: Instant) -> bool {
        self.watch.take();
        // A file that is being written says nothing, and is news again when it is whole.
        let Some(state) = self.state() else { return false };
        if state.status == "waiting" {
            (self.shown, self.due) = (true, None);
            return false;
        }
        if !self.shown {
            return false;
        }
        *self.due.get_or_insert(now + BETWEEN) <= now
    }
}
