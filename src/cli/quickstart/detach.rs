//! A server in the background, and one that is there already; waits for both with a deadline.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::arguments::DoorArguments;
use crate::cli::endpoints::Endpoints;
use crate::cli::failure::{About, Failure};
use crate::cli::tree::Tree;
use crate::spawner;
use crate::sys::readiness;

/// A loaded machine needs seconds; more is a fault that somebody should look at.
const DEADLINE: Duration = Duration::from_secs(60);
/// A process without output is at its end, unless it hangs there.
const ENDING: Duration = Duration::from_secs(5);

/// Where the one that serves this directory has its doors. One that is just starting is waited for.
pub(super) fn served(tree: &Tree) -> Result<Endpoints, Failure> {
    let since = Instant::now();
    while spawner::is_served(&tree.run) && since.elapsed() < DEADLINE {
        if let Ok(endpoints) = Endpoints::read(&tree.endpoints) {
            return Ok(endpoints);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Failure::other(format_args!(
        "{} is being served, but its gateway is not ready; see its console",
        tree.run.display()
    )))
}

/// Starts `serve` in a session of its own and waits until its gateway is ready.
pub(super) fn start(tree: &Tree, doors: &DoorArguments, client_key: Option<&Path>) -> Result<Endpoints, Failure> {
    let console = tree.log.join("console.log");
    let cure = "make its directory writable";
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&console).about(console.display(), cure)?;
    let program = std::env::current_exe().about("this program's own file", "install it anew")?;
    let mut command = Command::new(program);
    command.args(["serve", "--detached", "--take-environment", "--dir"]).args(&tree.dir).args(doors.words());
    if let Some(key) = client_key {
        command.arg("--client-key").arg(key);
    }
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
    let mut child = started.about("a server in the background", "try it without --detach")?;
    let said = child.stdout.take().and_then(|pipe| {
        let readable = readiness::readable(&[pipe.as_fd()], Some(DEADLINE)).ok()?;
        let mut line = String::new();
        // Its end, when it ended; its first line, when it serves.
        if readable.first() == Some(&true) {
            BufReader::new(pipe).read_line(&mut line).ok()?;
        }
        Some(line)
    });
    if said.as_ref().is_some_and(|line| line.trim_end() == "ready") {
        return Endpoints::read(&tree.endpoints).about(tree.endpoints.display(), "start it again");
    }
    let status = if said.is_some() { status(&mut child) } else { None };
    let told = std::fs::read_to_string(&console).unwrap_or_default();
    let last: Vec<&str> = told.lines().rev().take(10).collect();
    Err(Failure {
        status: status.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1),
        message: format!(
            "the server did not become ready; the end of {}:\n{}",
            console.display(),
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        ),
    })
}

/// Its exit status: its output ends a moment before the process does.
fn status(child: &mut Child) -> Option<i32> {
    let since = Instant::now();
    while since.elapsed() < ENDING {
        if let Some(status) = child.try_wait().ok()? {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}
