//! Subcommands: reads the command line and calls the room that does the work; the only place that prints for a person.

mod access;
mod admin;
mod arguments;
mod audit;
mod briefing;
mod certificate;
mod check;
pub(crate) mod endpoints;
mod failure;
mod files;
mod hook;
mod host_key;
mod identities;
mod inherited;
mod keys;
mod listeners;
mod local;
mod place;
mod prepare;
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

use clap::{CommandFactory, Parser};

use self::arguments::{Arguments, AuditCommand, Command};
use self::failure::Failure;
use crate::gateway::verbs::help_text;

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
        Command::Audit(AuditCommand::Verify { paths }) => {
            audit::run(&paths, &mut std::io::stdout().lock()).map(ExitCode::from)
        }
        Command::Prepare(arguments) => prepare::run(&arguments),
        Command::Stop(arguments) if is_help(arguments.words.first()) => help("stop"),
        Command::Stop(arguments) => local::stop(&arguments.words),
        Command::Reload(arguments) => local::reload(&arguments),
        Command::Gateway(arguments) => processes::gateway(&arguments),
        Command::Host(arguments) => processes::host(arguments),
        Command::Hook => Ok(hook::run()),
        Command::Ls(arguments) if is_help(arguments.words.first()) => help("ls"),
        Command::Ls(arguments) => local::ls(&arguments.words),
        Command::Kill(arguments) if is_help(arguments.words.first()) => help("kill"),
        Command::Kill(arguments) => local::kill(&arguments.words),
        Command::Verb(words) if is_help(words.get(1)) => help(words.first().map_or("", String::as_str)),
        Command::Verb(words) if words.first().is_some_and(|word| word == "help") => {
            help(words.get(1).map_or("", String::as_str))
        }
        Command::Verb(words) => verb(&words),
    }
}

fn is_help(word: Option<&String>) -> bool {
    word.is_some_and(|word| word == "--help" || word == "-h")
}

/// About a subcommand, a verb, or (without a word) everything; on standard output, as it was asked for.
fn help(word: &str) -> Result<ExitCode, Failure> {
    let mut all = Arguments::command();
    let verb = if word == "open" { "AGENT" } else { word };
    let text = match (all.find_subcommand_mut(word), help_text(Some(verb))) {
        (_, Some(text)) => format!("portcullis {text}"),
        (Some(subcommand), None) => subcommand.render_help().to_string(),
        (None, None) if word.is_empty() => all.render_help().to_string(),
        (None, None) => {
            return Err(Failure {
                status: 2,
                message: format!("there is no verb {word:?}; portcullis help lists them"),
            });
        }
    };
    // Nobody may be there to read it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
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
