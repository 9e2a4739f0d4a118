//! The first run: accounts, keys, agents, configuration, then serving; running it again changes nothing. Each step is a file of its own.

mod accounts;
mod agents;
mod detach;
mod file;
mod keys;
mod print;
mod setup;
mod unused;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::print::Facts;
use self::setup::Setup;
use super::arguments::{PlaceArguments, QuickstartArguments};
use super::endpoints::Endpoints;
use super::failure::{About, Failure};
use super::identities::Identities;
use super::place::{self, Place};
use super::serve::{self, Manner};
use super::tree::{Tree, default_directory};
use crate::config::Settings;
use crate::spawner;

pub(super) use print::shared_uid;

/// `portcullis quickstart`.
pub(super) fn run(arguments: &QuickstartArguments) -> Result<ExitCode, Failure> {
    let tree = Tree::below(&directory(arguments.dir.as_deref())?, place::is_root());
    let place = PlaceArguments { config: None, dir: tree.dir.clone() };
    if spawner::is_served(&tree.run) {
        let endpoints = detach::served(&tree)?;
        let settings = show(&tree, &endpoints, arguments)?;
        if let Some(sentence) = unused::unused(arguments, &settings, &endpoints, &tree) {
            // The terminal may be gone.
            let _ = writeln!(std::io::stderr(), "portcullis: {sentence}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let client_key = Setup { tree: &tree, arguments }.run(&mut |line| say(&line))?;
    if arguments.detach {
        let endpoints = detach::start(&tree, &arguments.doors, client_key.as_deref())?;
        return show(&tree, &endpoints, arguments).map(|_| ExitCode::SUCCESS);
    }
    serve_here(tree, place, arguments, client_key.as_deref())
}

/// In the foreground, until Ctrl-C or the terminal is closed.
fn serve_here(
    tree: Tree,
    place: PlaceArguments,
    arguments: &QuickstartArguments,
    client_key: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let settings = place::settings(&tree.config, &arguments.doors)?;
    serve::logs(&settings.log)?;
    let manner = Manner { take_environment: true, spawner_only: false };
    let prepared = serve::prepare(Place { tree: tree.clone(), settings: settings.clone() }, &manner)?;
    let identities = prepared.identities.clone();
    let endpoints = prepared.endpoints(client_key);
    let again = (place.clone(), arguments.doors.clone());
    let ended = serve::launch(prepared, manner, again, endpoints, move |endpoints| {
        let facts = Facts::new(&tree, &settings, &identities, endpoints);
        say(&format!("{}\nCtrl-C ends the gateway; sessions live on.", facts.text()));
    })?;
    say(&serve::farewell(ended.sessions, &place));
    Ok(ExitCode::SUCCESS)
}

/// What a first run printed, of one that serves.
fn show(tree: &Tree, endpoints: &Endpoints, arguments: &QuickstartArguments) -> Result<Settings, Failure> {
    let settings = place::settings(&tree.config, &arguments.doors)?;
    let identities = Identities::resolve(&settings, &place::caller()?, place::lookup)?;
    say(&Facts::new(tree, &settings, &identities, endpoints).text());
    Ok(settings)
}

/// Made, and by its real name: what lies below is named after it.
fn directory(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match wanted {
        Some(dir) => dir.to_owned(),
        None => default_directory(|name| std::env::var(name).ok())?,
    };
    let cure = "choose another --dir";
    std::fs::create_dir_all(&dir).about(dir.display(), cure)?;
    dir.canonicalize().about(dir.display(), cure)
}

/// The terminal may be gone.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
