//! The tables `agents.NAME` and `accounts.NAME`: what may be started, and by whom; does not look whether either exists on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::reader::Reader;
use super::sections::{KEY_FILE_ALLOWED, key_file, small};
use super::settings::{AccountLimits, AccountSettings, RootSettings};
use crate::agents::{AgentSpec, DriverKind, Mode, OptionSpec, Pattern, environment};
use crate::base::{AccountName, Name};

const NAME_ALLOWED: &str = "allowed: a name of a-z 0-9 . _ -, beginning with a letter or digit, at most 64 long";
const PATTERN_ALLOWED: &str = "allowed: \"uuid\", \"uuid-or-nothing\", \"word\", or a list of values";
const ENV_ALLOWED: &str = "allowed: names of letters, digits and _ that are not LD_*, GIT_*, SSH_*, PORTCULLIS_*, NODE_OPTIONS, \
                           BASH_ENV or IS_SANDBOX";

/// Agents in the order of their names.
pub(super) fn agents(reader: &mut Reader) -> Vec<AgentSpec> {
    let tables = reader.tables(&["agents"], "allowed: tables such as [agents.claude]");
    tables.iter().filter_map(|table| agent(reader, table)).collect()
}

/// Accounts in the order of their names.
pub(super) fn accounts(reader: &mut Reader, agents: &[AgentSpec], key_files: &[String]) -> Vec<AccountSettings> {
    let tables = reader.tables(&["accounts"], "allowed: tables such as [accounts.alice]");
    tables.iter().filter_map(|table| account(reader, table, agents, key_files)).collect()
}

fn agent(reader: &mut Reader, table: &str) -> Option<AgentSpec> {
    let at = |key| ["agents", table, key];
    let command = command(reader, &at("command"));
    let login_shell = reader.take(&at("login_shell"), "allowed: true or false").unwrap_or(false);
    if command.is_empty() && !login_shell && !reader.is_set(&at("command")) {
        let allowed = "allowed: [\"/absolute/program\", \"argument\", …]; only login_shell = true may go without (the account's own shell)";
        reader.note(&at("command"), "is missing", allowed);
    }
    let parse_mode = |text: &str| Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
    let modes_allowed = "allowed: \"terminal\", \"structured\"";
    let modes = reader.parse_list(&at("modes"), vec![Mode::Terminal], modes_allowed, parse_mode);
    let driver = driver(reader, table, &modes);
    let [turn_timeout, request_timeout] =
        ["turn_timeout", "request_timeout"].map(|key| timeout(reader, &["agents", table, key]));
    let argument = |text: &str| (!text.contains('\0')).then(|| text.to_owned());
    let structured_args =
        reader.parse_list(&at("structured_args"), Vec::new(), "allowed: a list of arguments", argument);
    let env_file = reader.parse_with(&at("env_file"), None, "allowed: an absolute path, or \"\" for none", |text| {
        if text.is_empty() { Some(None) } else { text.starts_with('/').then(|| Some(PathBuf::from(text))) }
    });
    let passed = |text: &str| {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let good = environment::is_name(stem) && !environment::is_forbidden(stem);
        good.then(|| text.to_owned())
    };
    let free_args = reader.take(&at("free_args"), "allowed: true or false").unwrap_or(false);
    let env_pass = reader.parse_list(&at("env_pass"), Vec::new(), ENV_ALLOWED, passed);
    let env = env(reader, &at("env"));
    let options = options(reader, table);
    let Ok(name) = table.parse::<Name>() else {
        reader.note(&["agents", table], "is no agent name", NAME_ALLOWED);
        return None;
    };
    Some(AgentSpec {
        name,
        command,
        modes,
        options,
        env,
        env_pass,
        env_file,
        free_args,
        login_shell,
        driver,
        structured_args,
        turn_timeout,
        request_timeout,
    })
}

/// What it is: what it speaks in structured mode, which cannot do without; in a terminal Claude Code gets hooks that report.
fn driver(reader: &mut Reader, table: &str, modes: &[Mode]) -> Option<DriverKind> {
    let path = ["agents", table, "driver"];
    let allowed = "allowed: \"claude\", \"acp\", \"lines\", \"pipe\"";
    let kind = |text: &str| DriverKind::ALL.into_iter().find(|kind| kind.as_str() == text).map(Some);
    let driver = reader.parse_with(&path, None, allowed, kind);
    let structured = modes.contains(&Mode::Structured);
    if structured && driver.is_none() && !reader.is_set(&path) {
        reader.note(&path, "is missing for mode \"structured\"", allowed);
    }
    driver
}

/// Seconds; none when nobody set it, and for 0.
fn timeout(reader: &mut Reader, path: &[&str]) -> Option<u32> {
    let seconds: Option<u32> = reader.take(path, "allowed: seconds, 0 for no limit");
    seconds.filter(|seconds| *seconds > 0)
}

fn command(reader: &mut Reader, path: &[&str]) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Command {
        One(String),
        Many(Vec<String>),
    }
    let allowed = "allowed: an absolute program, or a list of it and its fixed arguments";
    let words = match reader.take(path, allowed) {
        None => return Vec::new(),
        Some(Command::One(program)) => vec![program],
        Some(Command::Many(words)) => words,
    };
    let absolute = words.first().is_some_and(|program| program.starts_with('/'));
    if !absolute || words.iter().any(|word| word.contains('\0')) {
        reader.note(path, "does not begin with an absolute program", allowed);
    }
    words
}

fn env(reader: &mut Reader, path: &[&str]) -> BTreeMap<String, String> {
    let table: BTreeMap<String, String> =
        reader.take(path, "allowed: a table of texts, as in { EDITOR = \"vi\" }").unwrap_or_default();
    for name in table.keys() {
        if !environment::is_name(name) || environment::is_forbidden(name) {
            reader.note(path, format!("{name:?} may not be set"), ENV_ALLOWED);
        }
    }
    table
}

fn options(reader: &mut Reader, table: &str) -> Vec<OptionSpec> {
    let names = reader.tables(&["agents", table, "options"], "allowed: tables such as [agents.claude.options.resume]");
    names.iter().filter_map(|name| option(reader, table, name)).collect()
}

fn option(reader: &mut Reader, table: &str, name: &str) -> Option<OptionSpec> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Kind(String),
        Values(Vec<String>),
    }
    let at = |key| ["agents", table, "options", name, key];
    let flag_allowed = "allowed: what stands before the value, beginning with -, as in --resume";
    let flag: Option<String> = reader.take(&at("flag"), flag_allowed);
    match &flag {
        None if !reader.is_set(&at("flag")) => reader.note(&at("flag"), "is missing", flag_allowed),
        Some(flag) if !flag.starts_with('-') => reader.note(&at("flag"), format!("{flag:?} is no flag"), flag_allowed),
        _ => {}
    }
    let written = reader.take(&at("pattern"), PATTERN_ALLOWED);
    let pattern = match written {
        Some(Written::Kind(kind)) => match kind.as_str() {
            "uuid" => Some(Pattern::Uuid),
            "uuid-or-nothing" => Some(Pattern::UuidOrNothing),
            "word" => Some(Pattern::Word),
            _ => None,
        },
        Some(Written::Values(values)) if !values.is_empty() && values.iter().all(|value| !value.starts_with('-')) => {
            Some(Pattern::OneOf(values))
        }
        _ => None,
    };
    if pattern.is_none() {
        reader.note(&at("pattern"), "is missing or none of the patterns", PATTERN_ALLOWED);
    }
    if name.parse::<Name>().is_err() {
        reader.note(&["agents", table, "options", name], "is no option name", NAME_ALLOWED);
    }
    Some(OptionSpec { name: name.to_owned(), pattern: pattern?, flag: flag? })
}

fn account(
    reader: &mut Reader,
    table: &str,
    agents: &[AgentSpec],
    default_key_files: &[String],
) -> Option<AccountSettings> {
    let at = |key| ["accounts", table, key];
    let roots = roots(reader, &at("roots"));
    let all: Vec<Name> = agents.iter().map(|agent| agent.name.clone()).collect();
    let known = all.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let agents_allowed = format!("allowed: configured agents: {known}");
    let agents = reader.parse_list(&at("agents"), all.clone(), &agents_allowed, |text| {
        all.iter().find(|n| n.as_str() == text).cloned()
    });
    let key_files = reader.parse_list(&at("key_files"), default_key_files.to_vec(), KEY_FILE_ALLOWED, key_file);
    let max_sessions = small(reader, &at("max_sessions"), 20, 1, 1000);
    let no_new_privs = reader.take(&at("no_new_privs"), "allowed: true or false");
    let mut limit = |key| limit(reader, &["accounts", table, "limits", key]);
    let limits = AccountLimits {
        processes: limit("processes"),
        open_files: limit("open_files"),
        file_bytes: limit("file_bytes"),
        memory_bytes: limit("memory_bytes"),
        core_bytes: limit("core_bytes"),
    };
    let Ok(name) = table.parse::<AccountName>() else {
        reader.note(&["accounts", table], "is no account name", "allowed: at most 32 of a-z A-Z 0-9 . _ -");
        return None;
    };
    let unix = "allowed: the name of a Unix account; uid 0 is never one";
    let user = reader.parse(&at("user"), name.clone(), unix);
    if user.as_str() == "root" {
        reader.note(&["accounts", table], "agents never run as root", unix);
        return None;
    }
    Some(AccountSettings { name, user, roots, agents, key_files, max_sessions, no_new_privs, limits })
}

fn roots(reader: &mut Reader, path: &[&str]) -> Vec<RootSettings> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Path(String),
        Table(Table),
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        path: String,
        #[serde(default)]
        trusted: bool,
    }
    let allowed = "allowed: absolute directories, or beginning with %h for the account's home, without ..; one that agents may trust \
                   unasked as { path = \"/srv/projects\", trusted = true }";
    let Some(written) = reader.take::<Vec<Written>>(path, allowed) else {
        return vec![RootSettings { path: "%h".to_owned(), is_trusted: false }];
    };
    if written.is_empty() {
        reader.note(path, "is empty", allowed);
    }
    let mut roots = Vec::with_capacity(written.len());
    for root in written {
        let (root, is_trusted) = match root {
            Written::Path(root) => (root, false),
            Written::Table(Table { path, trusted }) => (path, trusted),
        };
        let rooted = root.starts_with('/') || root == "%h" || root.starts_with("%h/");
        if rooted && !root.contains('\0') && !root.split('/').any(|part| part == "..") {
            roots.push(RootSettings { path: root, is_trusted });
        } else {
            reader.note(path, format!("{root:?} is not what belongs here"), allowed);
        }
    }
    roots
}

/// None when nobody set it.
fn limit(reader: &mut Reader, path: &[&str]) -> Option<u64> {
    let allowed = "allowed: a number, not below 0";
    reader.take(path, allowed)
}
