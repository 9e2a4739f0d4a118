//! Commands for this machine that need no key: `keys`, `stop --all`, `ls --all`, `kill NAME`; whose socket answers is the proof.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::admin::{Admin, Listed};
use super::arguments::{KeysArguments, KeysCommand, ReloadArguments, StopArguments};
use super::endpoints::Endpoints;
use super::failure::{About, Failure};
use super::files;
use super::keys::{self, Added, KeyStore};
use super::place;
use crate::base::{KEY_FILE, printable};

/// `keys add|ls|rm`.
pub(super) fn keys(arguments: &KeysArguments) -> Result<ExitCode, Failure> {
    let store = KeyStore::new(key_file(arguments)?)?;
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
        }
        KeysCommand::Rm { key } => {
            for id in store.remove(key)? {
                let _ = writeln!(out, "{path}: removed {id}; connections with it end within seconds");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `stop --all`.
pub(super) fn stop(arguments: &StopArguments) -> Result<ExitCode, Failure> {
    let tree = place::nearest_tree(arguments.dir.as_deref())?;
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
    if let Some(unknown) = rest.first() {
        return Err(usage(format_args!("ls --all [--dir DIR] takes no {unknown:?}")));
    }
    let tree = place::nearest_tree(dir.as_deref())?;
    let sessions = Admin::new(&tree.run).sessions()?;
    let _ = std::io::stdout().write_all(table(&sessions).as_bytes());
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
    if name.parse::<crate::base::Name>().is_err() {
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

fn table(sessions: &[Listed]) -> String {
    if sessions.is_empty() {
        return "no sessions\n".to_owned();
    }
    let head = ["NAME", "ACCOUNT", "AGENT", "STATE", "DIRECTORY"].map(str::to_owned);
    let rows = sessions.iter().map(|session| {
        let state = session.state.trim_start_matches("STATE_").to_lowercase();
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

/// `--file`, else of the installation, else the caller's own.
fn key_file(arguments: &KeysArguments) -> Result<PathBuf, Failure> {
    if let Some(file) = &arguments.file {
        return Ok(file.clone());
    }
    let own = || place::caller().map(|caller| caller.home.join(".config/portcullis/authorized_keys"));
    let Some(dir) = &arguments.dir else {
        return match &arguments.account {
            Some(account) => account_file(&place::tree(None)?.keys, account),
            None => own(),
        };
    };
    let tree = place::tree(Some(dir))?;
    match &arguments.account {
        Some(account) => account_file(&tree.keys, account),
        None => {
            let endpoints = Endpoints::read(&tree.endpoints)
                .about(tree.endpoints.display(), "say whose keys with --account NAME")?;
            account_file(&tree.keys, &endpoints.account)
        }
    }
}

fn account_file(keys: &std::path::Path, account: &str) -> Result<PathBuf, Failure> {
    let name: crate::base::AccountName = account.parse().map_err(Failure::setup)?;
    Ok(keys.join(name.as_str()))
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

    #[test]
    fn columns_line_up_and_nothing_acts_on_the_terminal() {
        let listed = Listed {
            name: "a".into(),
            account: "ann".into(),
            agent: "claude".into(),
            state: "STATE_RUNNING".into(),
            directory: "/x\x1b[2J".into(),
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
    fn a_key_files_account_cannot_leave_its_directory() {
        assert!(account_file("/k".as_ref(), "../x").is_err());
        assert_eq!(account_file("/k".as_ref(), "ann").unwrap(), PathBuf::from("/k/ann"));
    }
}
