//! Which environment an agent gets: built, never inherited. Reads no environment and no file itself.

use std::collections::BTreeMap;

use super::AgentSpec;

/// PATH where the login shell gives none.
pub const FALLBACK_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Most bytes of an environment file.
pub const ENV_FILE: usize = 32 * 1024;

/// What the environment takes from the account and the system.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// USER and LOGNAME.
    pub user: &'a str,
    /// HOME.
    pub home: &'a str,
    /// SHELL.
    pub shell: &'a str,
    /// PATH as the login shell gives it.
    pub path: Option<&'a str>,
    /// Where LANG, LC_*, TZ and the names of `env_pass` come from.
    pub snapshot: &'a BTreeMap<String, String>,
}

/// A line of an environment file that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the environment file is not NAME=VALUE; write one on each line, # begins a comment")]
pub struct EnvFileError(pub usize);

/// The whole environment, by name. Later wins: the account, locale and zone, `env_pass`, the file, the agent's table.
/// What must never reach an agent is left out wherever it came from.
pub fn build(spec: &AgentSpec, around: &Surroundings<'_>, file: &[(String, String)]) -> BTreeMap<String, String> {
    let mut built = BTreeMap::new();
    for (name, value) in [
        ("HOME", around.home),
        ("USER", around.user),
        ("LOGNAME", around.user),
        ("SHELL", around.shell),
        ("PATH", around.path.unwrap_or(FALLBACK_PATH)),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
    ] {
        built.insert(name.to_owned(), value.to_owned());
    }
    let passed = around.snapshot.iter().filter(|(name, _)| {
        is_locale(name) || (spec.env_pass.iter().any(|pattern| matches(pattern, name)) && !steers_interpreter(name))
    });
    built.extend(passed.map(|(name, value)| (name.clone(), value.clone())));
    built.extend(file.iter().cloned());
    built.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    built.retain(|name, value| is_name(name) && !is_forbidden(name) && !value.contains('\0'));
    built
}

/// Whether this name never reaches an agent: it would load code into it, lead git or ssh astray, lift an agent's own
/// guard, or is ours.
pub fn is_forbidden(name: &str) -> bool {
    matches!(name, "NODE_OPTIONS" | "BASH_ENV" | "IS_SANDBOX")
        || ["LD_", "GIT_", "SSH_", "PORTCULLIS_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a pattern of `env_pass` (a name, or a beginning and `*`) covers this name.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

/// The lines of an environment file: NAME=VALUE, empty, or a comment. Values are taken as they stand, without quotes
/// or expansion.
pub fn parse_file(text: &str) -> Result<Vec<(String, String)>, EnvFileError> {
    let mut pairs = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(EnvFileError(place + 1))?;
        if !is_name(name) {
            return Err(EnvFileError(place + 1));
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Whether this can be a variable's name: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_name(name: &str) -> bool {
    !name.starts_with(|ch: char| ch.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_locale(name: &str) -> bool {
    name == "LANG" || name == "TZ" || name.starts_with("LC_")
}

/// Not passed from a snapshot by a wide pattern; an operator who writes one into `env` means it.
fn steers_interpreter(name: &str) -> bool {
    name == "ENV" || name.starts_with("PYTHON") || name.starts_with("PERL5")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Mode;

    fn spec(pass: &[&str], env: &[(&str, &str)]) -> AgentSpec {
        AgentSpec {
            name: "a".parse().unwrap(),
            command: vec!["/bin/true".into()],
            modes: vec![Mode::Terminal],
            options: Vec::new(),
            env: env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            env_pass: pass.iter().map(|name| name.to_string()).collect(),
            env_file: None,
            free_args: false,
            login_shell: false,
            driver: None,
            structured_args: Vec::new(),
            turn_timeout: None,
            request_timeout: None,
        }
    }

    fn built(spec: &AgentSpec, snapshot: &[(&str, &str)], file: &str) -> BTreeMap<String, String> {
        let snapshot = snapshot.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let around =
            Surroundings { user: "ann", home: "/home/ann", shell: "/bin/zsh", path: None, snapshot: &snapshot };
        build(spec, &around, &parse_file(file).unwrap())
    }

    #[test]
    fn only_what_is_named_is_there() {
        let all = built(&spec(&[], &[]), &[("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("TZ", "UTC"), ("SECRET", "x")], "");
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        let wanted = ["COLORTERM", "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "USER"];
        assert_eq!(names, wanted);
        assert_eq!((all["PATH"].as_str(), all["USER"].as_str()), (FALLBACK_PATH, "ann"));
    }

    #[test]
    fn what_must_never_pass_does_not_wherever_it_comes_from() {
        let bad = ["LD_PRELOAD", "NODE_OPTIONS", "GIT_DIR", "BASH_ENV", "SSH_AUTH_SOCK", "IS_SANDBOX", "PORTCULLIS_X"];
        let pairs: Vec<(&str, &str)> = bad.iter().map(|name| (*name, "1")).collect();
        let file: String = bad.iter().map(|name| format!("{name}=1\n")).collect();
        for all in [
            built(&spec(&["*"], &[]), &pairs, ""),
            built(&spec(&[], &pairs), &[], ""),
            built(&spec(&[], &[]), &[], &file),
        ] {
            assert!(bad.iter().all(|name| !all.contains_key(*name)), "{all:?}");
        }
        let all = built(&spec(&["*"], &[]), &[("PYTHONPATH", "x"), ("ENV", "x"), ("ANTHROPIC_X", "y")], "");
        assert!(!all.contains_key("PYTHONPATH") && !all.contains_key("ENV") && all["ANTHROPIC_X"] == "y");
    }

    #[test]
    fn the_more_special_source_wins() {
        let snapshot = [("AWS_REGION", "pass"), ("AWS_KEY", "pass"), ("OTHER", "pass")];
        let all = built(&spec(&["AWS_*"], &[("AWS_KEY", "table")]), &snapshot, "# c\n\nAWS_REGION=a=b\nAWS_KEY=file\n");
        assert_eq!((all["AWS_REGION"].as_str(), all["AWS_KEY"].as_str()), ("a=b", "table"));
        assert!(!all.contains_key("OTHER"));
        assert_eq!(parse_file("A=1\nnonsense"), Err(EnvFileError(2)));
        assert_eq!(parse_file("1A=1"), Err(EnvFileError(1)));
    }
}
