//! `portcullis prepare AGENT`: shows what an agent needs in the caller's own home, merges it when the caller agrees, and takes it back.
//! What an agent needs is said by the room of agents.

use std::io::{self, BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::arguments::PrepareArguments;
use super::briefing::{BriefedAgent, Briefing, CLAUDE_SETTINGS};
use super::failure::{About, Failure};
use super::place;
use super::tree::{Tree, default_directory};
use super::{access, files};
use crate::agents::DriverKind;
use crate::agents::prepare::{ClaudeNeeds, Edit, Merged, claude, merge, undo};
use crate::base::Name;
use crate::sys::credentials::Account;
use crate::sys::terminal;

/// Claude Code keeps a history of every directory in this file; those of people who use it daily have a few MiB.
const MOST: u64 = 64 * 1024 * 1024;

/// What was merged, and where: kept until it is taken back.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    file: PathBuf,
    /// There was no such file before.
    created: bool,
    edits: Vec<Edit>,
}

/// Status 1 when nothing was written because nobody agreed.
pub(super) fn run(arguments: &PrepareArguments) -> Result<ExitCode, Failure> {
    let caller = place::caller()?;
    if caller.uid == 0 {
        return Err(Failure::setup(
            "agents never run as root: run this as the account that they run as, or in a session of it",
        ));
    }
    let name: Name = arguments.agent.parse().map_err(|error| {
        Failure::setup(format_args!(
            "{}: {error}; name an agent as the configuration does",
            arguments.agent.escape_default()
        ))
    })?;
    let mut out = io::stdout().lock();
    let told = if arguments.undo {
        take_back(&Place::of(&caller, &name), arguments.yes, &mut out)
    } else {
        add(&caller, &name, arguments, &mut out)
    };
    // Nobody may be there to read it.
    let _ = out.flush();
    told
}

/// Where the record of an agent is.
struct Place {
    agent: String,
    record: PathBuf,
}

impl Place {
    fn of(caller: &Account, agent: &Name) -> Self {
        let state = default_directory(|name| std::env::var(name).ok());
        let state = state.unwrap_or_else(|_| caller.home.join(".local/state/portcullis"));
        Self { agent: agent.to_string(), record: state.join("prepared").join(format!("{agent}.json")) }
    }

    fn read(&self) -> Result<Option<Record>, Failure> {
        let bytes = match files::read(&self.record, MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.about(self.record.display(), "make it readable")?,
        };
        let cure = "undo by hand what it says, and remove it";
        serde_json::from_slice(&bytes).about(self.record.display(), cure).map(Some)
    }

    fn write(&self, record: &Record) -> Result<(), Failure> {
        let cure = "make its directory writable";
        if let Some(directory) = self.record.parent() {
            std::fs::create_dir_all(directory).about(directory.display(), cure)?;
        }
        let text = serde_json::to_vec_pretty(record).map_err(Failure::other)?;
        files::put(&self.record, &text, 0o600, None).about(self.record.display(), cure)
    }

    /// The directories as well, unless they hold something else.
    fn remove(&self) -> Result<(), Failure> {
        std::fs::remove_file(&self.record).about(self.record.display(), "remove it")?;
        for directory in self.record.ancestors().skip(1).take(2) {
            if std::fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A file of the agent's as it was read.
struct Settings {
    file: PathBuf,
    text: String,
    mode: u32,
    exists: bool,
}

impl Settings {
    /// A link is followed: people keep such files elsewhere.
    fn read(file: &Path) -> Result<Self, Failure> {
        let real = file.canonicalize();
        if let (Err(_), true) = (&real, file.is_symlink()) {
            let file = file.display();
            return Err(Failure::setup(format_args!("{file} is a link to nothing: make what it names, or remove it")));
        }
        let file = real.unwrap_or_else(|_| file.to_owned());
        let bytes = match files::read(&file, MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.about(file.display(), "make it a readable file")?),
        };
        let mode = std::fs::metadata(&file).map_or(0o600, |data| data.permissions().mode() & 0o777);
        let exists = bytes.is_some();
        let text = String::from_utf8(bytes.unwrap_or_default()).about(file.display(), "it must be UTF-8: mend it")?;
        Ok(Self { file, text, mode, exists })
    }

    /// Whole or not at all, and only over what was read.
    fn replace(&self, text: &str) -> Result<(), Failure> {
        let now = Self::read(&self.file)?;
        if (now.exists, &now.text) != (self.exists, &self.text) {
            let file = self.file.display();
            return Err(Failure::other(format_args!("{file} was changed meanwhile, nothing is written: try again")));
        }
        files::put(&self.file, text.as_bytes(), self.mode, None)
            .about(self.file.display(), "make its directory writable")
    }

    fn remove(&self) -> Result<(), Failure> {
        std::fs::remove_file(&self.file).about(self.file.display(), "remove it")
    }
}

fn add(caller: &Account, name: &Name, arguments: &PrepareArguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let briefing = briefing(caller, arguments.dir.as_deref())?;
    let Some(agent) = briefing.agents.iter().find(|agent| agent.name == name.as_str()) else {
        let known: Vec<&str> = briefing.agents.iter().map(|agent| agent.name.as_str()).collect();
        let known = known.join(", ");
        return Err(Failure::setup(format_args!(
            "there is no agent {name} for {}; there are: {known}",
            briefing.account
        )));
    };
    if agent.driver != Some(DriverKind::Claude) {
        let _ = writeln!(out, "{}", needs_nothing(agent));
        return Ok(ExitCode::SUCCESS);
    }
    let needs = needs(caller, &briefing, out);
    let settings = Settings::read(&settings_file(caller, agent))?;
    let merged = merge(&settings.text, &claude(&needs)).about(settings.file.display(), "nothing is written")?;
    show(&merged, &settings, out);
    if merged.edits.is_empty() {
        let _ = writeln!(out, "Nothing is missing in {}.", settings.file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let place = Place::of(caller, name);
    let before = place.read()?;
    if let Some(before) = before.as_ref().filter(|before| before.file != settings.file) {
        let file = before.file.display();
        return Err(Failure::setup(format_args!("{name} was prepared in {file}: first take that back with --undo")));
    }
    let _ = writeln!(
        out,
        "It is remembered in {}; `portcullis prepare {name} --undo` takes it back.",
        place.record.display()
    );
    if !agreed(arguments.yes, out) {
        return Ok(ExitCode::FAILURE);
    }
    let known = before.as_ref().map(|record| record.edits.len());
    let mut record =
        before.unwrap_or_else(|| Record { file: settings.file.clone(), created: !settings.exists, edits: Vec::new() });
    record.edits.extend(merged.edits.into_iter().map(|(edit, _)| edit));
    // First: what cannot be taken back is not written.
    place.write(&record)?;
    if let Err(failure) = settings.replace(&merged.text) {
        // What was not done is not to be taken back.
        match known {
            Some(known) => {
                record.edits.truncate(known);
                place.write(&record)?;
            }
            None => place.remove()?,
        }
        return Err(failure);
    }
    let _ = writeln!(out, "Written.");
    Ok(ExitCode::SUCCESS)
}

fn take_back(place: &Place, yes: bool, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(record) = place.read()? else {
        let _ = writeln!(out, "{} was not prepared here: there is no {}.", place.agent, place.record.display());
        return Ok(ExitCode::SUCCESS);
    };
    let settings = Settings::read(&record.file)?;
    let undone = undo(&settings.text, &record.edits).about(settings.file.display(), "nothing is written")?;
    let goes = record.created && undone.is_empty;
    let _ =
        writeln!(out, "{}{}", settings.file.display(), if goes { " would be removed: it was made here" } else { "" });
    for edit in &undone.undone {
        let back = match (&edit.before, edit.is_item) {
            (_, true) => format!("loses {}", key_end(&edit.after)),
            (Some(before), _) => format!("is {before} again"),
            (None, _) => "goes".to_owned(),
        };
        let _ = writeln!(out, "  - {} {back}", named(&edit.path));
    }
    for edit in &undone.kept {
        let _ = writeln!(out, "    {} was changed since, and stays", named(&edit.path));
    }
    if undone.undone.is_empty() {
        let _ = writeln!(out, "Nothing of it is there any more.");
    } else if !agreed(yes, out) {
        return Ok(ExitCode::FAILURE);
    } else if goes {
        settings.remove()?;
    } else {
        settings.replace(&undone.text)?;
    }
    place.remove()?;
    let _ = writeln!(out, "Taken back.");
    Ok(ExitCode::SUCCESS)
}

/// What the configuration says about this account, wherever a gateway of this machine has put it.
fn briefing(caller: &Account, dir: Option<&Path>) -> Result<Briefing, Failure> {
    let places = match dir {
        Some(dir) => {
            let dir = place::absolute(dir)?;
            [true, false].map(|is_root| Tree::below(&dir, is_root).reachable).to_vec()
        }
        None => {
            // A program that a gateway has installed for its sessions knows where that is.
            let own = std::env::current_exe().ok();
            let own = own.as_deref().and_then(Path::parent).filter(|bin| bin.ends_with("bin")).and_then(Path::parent);
            let default = default_directory(|name| std::env::var(name).ok()).ok();
            let default = default.map(|dir| Tree::below(&dir, false).reachable);
            own.map(Path::to_owned).into_iter().chain(default).chain([Tree::system().reachable]).collect()
        }
    };
    let mut refused = None;
    for reachable in &places {
        match Briefing::read(reachable, &caller.name) {
            Ok(briefing) => return Ok(briefing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => refused = Some(format!("{}: {error}", reachable.display())),
        }
    }
    let cure = "start the gateway, name its directory with --dir, or ask its operator to add the account";
    Err(Failure::setup(match refused {
        Some(refused) => format!("{refused}; {cure}"),
        None => {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            format!("no gateway that serves {} was found (looked in {}); {cure}", caller.name, places.join(", "))
        }
    }))
}

fn needs_nothing(agent: &BriefedAgent) -> String {
    let name = &agent.name;
    match agent.driver {
        None => {
            format!("{name}: its configuration names no driver, so what it needs is not known. Nothing is written.")
        }
        Some(_) => format!(
            "{name} needs nothing in the home: its permissions and switches come from `env` of the configuration \
             (docs/agents.md, \"Unattended\"). Nothing is written."
        ),
    }
}

fn needs(caller: &Account, briefing: &Briefing, out: &mut dyn Write) -> ClaudeNeeds {
    let mut trusted = Vec::new();
    for root in briefing.roots.iter().filter(|root| root.trusted) {
        let real = root.path.canonicalize().ok().filter(|real| access::can_enter(caller, real));
        match real.as_deref().and_then(Path::to_str) {
            Some(real) => trusted.push(real.to_owned()),
            None => {
                let _ = writeln!(out, "The trusted root {} is left out: it cannot be entered.", root.path.display());
            }
        }
    }
    let api_key = std::env::var("ANTHROPIC_API_KEY").ok().filter(|key| !key.is_empty());
    ClaudeNeeds { trusted, api_key }
}

fn settings_file(caller: &Account, agent: &BriefedAgent) -> PathBuf {
    let own = || std::env::var_os(CLAUDE_SETTINGS).map(PathBuf::from).filter(|path| path.is_absolute());
    agent.settings.clone().or_else(own).unwrap_or_else(|| caller.home.clone()).join(".claude.json")
}

fn show(merged: &Merged, settings: &Settings, out: &mut dyn Write) {
    let file = settings.file.display();
    if !merged.edits.is_empty() {
        let _ = writeln!(out, "{file}{}", if settings.exists { "" } else { " (new)" });
    }
    for (edit, why) in &merged.edits {
        let what = match (&edit.after, edit.is_item, &edit.before) {
            (key, true, _) => format!("+ {}", key_end(key)),
            (after, _, Some(before)) => format!("= {after} (now {before})"),
            (after, _, None) => format!("= {after}"),
        };
        let _ = writeln!(out, "  + {} {what}: {why}", named(&edit.path));
    }
    for (path, _) in &merged.kept {
        let _ = writeln!(out, "    {} is yours, and stays as it is", named(path));
    }
}

/// A key as people know it: four characters are enough.
fn key_end(key: &serde_json::Value) -> String {
    let end: Vec<char> = key.as_str().unwrap_or_default().chars().rev().take(4).collect();
    format!("…{}", end.into_iter().rev().collect::<String>())
}

/// Names with what may be in them: a directory's name can hold anything.
fn named(path: &[String]) -> String {
    let name = |name: &String| match name.chars().all(|ch| ch.is_ascii_alphanumeric()) {
        true => name.clone(),
        false => format!("{name:?}"),
    };
    path.iter().map(name).collect::<Vec<_>>().join(".")
}

fn agreed(yes: bool, out: &mut dyn Write) -> bool {
    if yes {
        return true;
    }
    if !terminal::is_terminal() {
        let _ = writeln!(out, "Nothing is written: say --yes, or run this in a terminal.");
        return false;
    }
    let _ = write!(out, "Write this? [y/N] ");
    let _ = out.flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    let agreed = read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes");
    if !agreed {
        let _ = writeln!(out, "Nothing is written.");
    }
    agreed
}
