//! Commands for this machine that need no key: `keys`, `stop --all`, `ls --all`, `kill NAME`; whose socket answers is the proof.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::admin::Admin;
use super::arguments::{DoorArguments, KeysArguments, KeysCommand, ReloadArguments};
use super::endpoints::Endpoints;
use super::failure::{About, Failure};
use super::files;
use super::keys::{self, Added, KeyStore};
use super::place;
use super::tree::Tree;
use crate::base::{AccountName, KEY_FILE, Name, printable};
use crate::gateway::verbs::{list_json, state_text};
use crate::wire::v1::Session;

/// `keys add|ls|rm`.
pub(super) fn keys(arguments: &KeysArguments) -> Result<ExitCode, Failure> {
    let (file, doubt) = key_file(arguments)?;
    if let (Some(doubt), KeysCommand::Ls | KeysCommand::Rm { .. }) = (&doubt, &arguments.command) {
        return Err(doubt.clone());
    }
    let store = KeyStore::new(file)?;
    let path = store.path().display().to_string();
    let mut out = std::io::stdout().lock();
    match &arguments.command {
        KeysCommand::Ls => {
            let _ = keys::print(&store.list()?, &mut out);
        }
        KeysCommand::Add { line } => {
            let _ = match store.add(&given_line(line)?)? {
                Added::Key(id) => writeln!(out, "{path}: added {id}"),
                Added::Already(id) => writeln!(out, "{path}: {id} is listed already; nothing changed"),
            };
            if let Some(doubt) = doubt {
                let _ = writeln!(std::io::stderr(), "portcullis: no login with it yet: {doubt}");
            }
        }
        KeysCommand::Rm { key } => {
            for id in store.remove(key)? {
                let _ = writeln!(out, "{path}: removed {id}; connections with it end within seconds");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `stop --all` here; without `--all` the client's.
pub(super) fn stop(words: &[String]) -> Result<ExitCode, Failure> {
    if !words.iter().any(|word| word == "--all") {
        return super::verb(&with("stop", words));
    }
    let (rest, dir) = local_words(words.iter().filter(|word| *word != "--all"))?;
    if let Some(unknown) = rest.first() {
        return Err(usage(format_args!("stop --all [--dir DIR] takes no {unknown:?}")));
    }
    let tree = place::nearest_tree(dir.as_deref())?;
    let stopped = Admin::new(&tree.run).stop_all()?;
    let _ = writeln!(std::io::stdout(), "ended {stopped} session{}", if stopped == 1 { "" } else { "s" });
    Ok(ExitCode::SUCCESS)
}

/// `reload`.
pub(super) fn reload(arguments: &ReloadArguments) -> Result<ExitCode, Failure> {
    let tree = place::nearest_tree(arguments.dir.as_deref())?;
    let gateway = Admin::new(&tree.run).reload()?;
    let _ = writeln!(std::io::stdout(), "reloaded; the gateway {gateway}");
    Ok(ExitCode::SUCCESS)
}

/// `ls --all` here; without `--all` the client's.
pub(super) fn ls(words: &[String]) -> Result<ExitCode, Failure> {
    if !words.iter().any(|word| word == "--all") {
        return super::verb(&with("ls", words));
    }
    let (rest, dir) = local_words(words.iter().filter(|word| *word != "--all"))?;
    let json = match rest.as_slice() {
        [] => false,
        [word] if word == "--json" => true,
        [unknown, ..] => return Err(usage(format_args!("ls --all [--json] [--dir DIR] takes no {unknown:?}"))),
    };
    let tree = place::nearest_tree(dir.as_deref())?;
    let sessions = Admin::new(&tree.run).sessions()?;
    let text = if json { list_json(&sessions) } else { table(&sessions) };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// `kill NAME` here, unless a gateway, key or user is named, or nobody serves here.
pub(super) fn kill(words: &[String]) -> Result<ExitCode, Failure> {
    let is_remote = |word: &String| ["--gateway", "--key", "--user"].iter().any(|flag| word.starts_with(flag));
    if words.iter().any(is_remote) {
        return super::verb(&with("kill", words));
    }
    let (rest, dir) = local_words(words.iter())?;
    let [name] = rest.as_slice() else {
        return Err(usage("kill NAME [--dir DIR], or kill NAME --gateway wss://…"));
    };
    let tree = place::nearest_tree(dir.as_deref())?;
    let admin = Admin::new(&tree.run);
    if dir.is_none() && !admin.is_there() {
        return super::verb(&with("kill", words));
    }
    // It becomes part of a request line; no session has another kind of name.
    if name.parse::<Name>().is_err() {
        return Err(usage(format_args!("{:?} is no session's name", printable(name, 64))));
    }
    admin.kill(name)?;
    let _ = writeln!(std::io::stdout(), "ended {name}");
    Ok(ExitCode::SUCCESS)
}

fn with(verb: &str, words: &[String]) -> Vec<String> {
    [verb.to_owned()].into_iter().chain(words.iter().cloned()).collect()
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure { status: 2, message: format!("usage: {message}") }
}

/// What is left after `--dir DIR`.
fn local_words<'a>(words: impl Iterator<Item = &'a String>) -> Result<(Vec<String>, Option<PathBuf>), Failure> {
    let (mut rest, mut dir, mut words) = (Vec::new(), None, words);
    while let Some(word) = words.next() {
        if word == "--dir" {
            let value = words.next().ok_or_else(|| usage("--dir needs a directory"))?;
            dir = Some(PathBuf::from(value));
        } else if let Some(value) = word.strip_prefix("--dir=") {
            dir = Some(PathBuf::from(value));
        } else {
            rest.push(word.clone());
        }
    }
    Ok((rest, dir))
}

fn table(sessions: &[Session]) -> String {
    if sessions.is_empty() {
        return "no sessions\n".to_owned();
    }
    let head = ["NAME", "ACCOUNT", "AGENT", "STATE", "DIRECTORY"].map(str::to_owned);
    let rows = sessions.iter().map(|session| {
        let state = state_text(session);
        [&session.name, &session.account, &session.agent, &state, &session.directory].map(|text| printable(text, 80))
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0usize; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// `--file`, else of the installation, else the caller's own; and what makes doubtful that there is such an account.
fn key_file(arguments: &KeysArguments) -> Result<(PathBuf, Option<Failure>), Failure> {
    if let Some(file) = &arguments.file {
        return Ok((file.clone(), None));
    }
    let own = || place::caller().map(|caller| (caller.home.join(".config/portcullis/authorized_keys"), None));
    let Some(dir) = &arguments.dir else {
        return match &arguments.account {
            Some(account) => account_file(&place::tree(None)?, account),
            None => own(),
        };
    };
    let tree = place::tree(Some(dir))?;
    match &arguments.account {
        Some(account) => account_file(&tree, account),
        None => {
            let endpoints = Endpoints::read(&tree.endpoints)
                .about(tree.endpoints.display(), "say whose keys with --account NAME")?;
            account_file(&tree, &endpoints.account)
        }
    }
}

/// A file that is there is one whatever the configuration says: a key must come out of it also while that is broken.
fn account_file(tree: &Tree, account: &str) -> Result<(PathBuf, Option<Failure>), Failure> {
    let name: AccountName = account.parse().map_err(Failure::setup)?;
    let file = tree.keys.join(name.as_str());
    let doubt = if file.exists() { None } else { configured(tree, &name).err() };
    Ok((file, doubt))
}

fn configured(tree: &Tree, name: &AccountName) -> Result<(), Failure> {
    let accounts = place::settings(&tree.config, &DoorArguments::default())?.spawner.accounts;
    if accounts.iter().any(|known| known.name == *name) {
        return Ok(());
    }
    let known: Vec<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
    let known = if known.is_empty() { "no account".to_owned() } else { known.join(", ") };
    Err(Failure::setup(format_args!("there is no account {name}: {} configures {known}", tree.config.display())))
}

/// A line, the name of a file that holds one, or `-`.
fn given_line(words: &[String]) -> Result<String, Failure> {
    let bytes = match words {
        [dash] if dash == "-" => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().take(KEY_FILE as u64).read_to_end(&mut bytes);
            read.about("standard input", "pipe a public key into it")?;
            bytes
        }
        [name] if !name.contains(' ') => files::read(name.as_ref(), KEY_FILE as u64).about(name, "name a .pub file")?,
        words => return Ok(words.join(" ")),
    };
    String::from_utf8(bytes).about("the key", "a public key is text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::TempDir;
    use crate::wire::v1::State;

    #[test]
    fn columns_line_up_and_nothing_acts_on_the_terminal() {
        let listed = Session {
            name: "a".into(),
            account: "ann".into(),
            agent: "claude".into(),
            state: State::Running.into(),
            directory: "/x\x1b[2J".into(),
            ..Session::default()
        };
        let text = table(&[listed]);
        assert_eq!(text, "NAME  ACCOUNT  AGENT   STATE    DIRECTORY\na     ann      claude  running  /x\\u{1b}[2J\n");
        assert_eq!(table(&[]), "no sessions\n");
    }

    #[test]
    fn the_directory_may_stand_anywhere() {
        let words = ["x", "--dir", "/d", "y"].map(str::to_owned);
        let (rest, dir) = local_words(words.iter()).unwrap();
        assert_eq!((rest, dir), (vec!["x".to_owned(), "y".to_owned()], Some(PathBuf::from("/d"))));
        assert_eq!(local_words(["--dir".to_owned()].iter()).unwrap_err().status, 2);
    }

    #[test]
    fn a_key_files_account_is_one_that_is_configured() {
        let temp = TempDir::new("account-file");
        let tree = Tree::below(temp.path(), false);
        let text = "[accounts.ann]\n[accounts.bob]\n[agents.shell]\nlogin_shell = true\n";
        std::fs::write(&tree.config, text).unwrap();
        assert_eq!(account_file(&tree, "ann").unwrap(), (tree.keys.join("ann"), None));
        assert!(account_file(&tree, "../ann").unwrap_err().message.contains("no account name"));
        let ghost = account_file(&tree, "ghost").unwrap().1.unwrap();
        assert!(ghost.message.contains("ghost") && ghost.message.ends_with("ann, bob"), "{ghost}");
        // One that is there already, also while the configuration is broken.
        std::fs::create_dir(&tree.keys).unwrap();
        std::fs::write(tree.keys.join("old"), "").unwrap();
        std::fs::write(&tree.config, "[").unwrap();
        assert_eq!(account_file(&tree, "old").unwrap(), (tree.keys.join("old"), None));
        assert!(account_file(&tree, "ann").unwrap().1.is_some());
    }
}
