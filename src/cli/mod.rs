//! Subcommands: reads the command line and calls the room that does the work; the only place that prints for a person.

mod access;
mod admin;
mod arguments;
mod audit;
mod certificate;
mod check;
pub(crate) mod endpoints;
mod failure;
mod files;
mod host_key;
mod identities;
mod inherited;
mod keys;
mod listeners;
mod local;
mod place;
mod processes;
mod programs;
mod quickstart;
mod replacement;
mod serve;
mod spawner_log;
#[cfg(test)]
mod testing;
mod tree;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, AuditCommand, Command};
use self::failure::Failure;

pub(crate) mod client;

/// Runs the program.
pub fn run() -> ExitCode {
    match command(Arguments::parse().command) {
        Ok(status) => status,
        Err(failure) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "portcullis: {failure}");
            ExitCode::from(failure.status)
        }
    }
}

fn command(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Keys(arguments) => local::keys(&arguments),
        Command::Audit(AuditCommand::Verify { path }) => {
            audit::run(&path, &mut std::io::stdout().lock()).map(ExitCode::from)
        }
        Command::Stop(arguments) => local::stop(&arguments),
        Command::Reload(arguments) => local::reload(&arguments),
        Command::Gateway(arguments) => processes::gateway(&arguments),
        Command::Host(arguments) => processes::host(arguments),
        Command::Ls(arguments) => local::ls(&arguments.words),
        Command::Kill(arguments) => local::kill(&arguments.words),
        Command::Verb(words) => verb(&words),
    }
}

/// A verb for a gateway, over wss.
fn verb(words: &[String]) -> Result<ExitCode, Failure> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = variable("HOME");
    let state = variable("XDG_STATE_HOME").or_else(|| home.as_ref().map(|home| home.join(".local/state")));
    let state = state.map(|state| state.join("portcullis"));
    let caller = client::Caller {
        agent: variable("SSH_AUTH_SOCK"),
        login_name: place::caller()?.name,
        defaults: state.iter().cloned().chain([PathBuf::from("/run/portcullis")]).collect(),
        home,
        state,
    };
    Ok(client::run(words, &caller))
}
