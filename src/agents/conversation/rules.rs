//! Standing answers of one session: what one allows, and whether it covers a request; does not know who gave them.

use crate::agents::driver::Millis;
use crate::agents::event::{digest, head};
use crate::agents::limits::RULE_TEXT;
use crate::wire::v1::{PermissionAsked, Rule, ToolKind};

/// Programs and first words that do the same whatever plain arguments follow: they run what the project itself says, or only look. For
/// all others only the very same command is covered (`rm old` must not allow `rm old ..`, `npm run` runs any script).
const VERBS: [(&str, &[&str]); 7] = [
    ("cargo", &["bench", "build", "check", "clippy", "doc", "fmt", "test", "tree"]),
    ("git", &["blame", "diff", "log", "show", "status"]),
    ("go", &["build", "test", "vet"]),
    ("npm", &["test"]),
    ("pnpm", &["test"]),
    ("swift", &["build", "test"]),
    ("yarn", &["test"]),
];
/// Options that change how much is done or shown, never what is run or written. Others (`--config`, `-exec`, `--output`) can mean anything.
const OPTIONS: [&str; 36] = [
    "--",
    "--all",
    "--all-features",
    "--all-targets",
    "--bin",
    "--cached",
    "--check",
    "--doc",
    "--example",
    "--exact",
    "--features",
    "--ignored",
    "--lib",
    "--locked",
    "--name-only",
    "--no-default-features",
    "--no-fail-fast",
    "--no-run",
    "--nocapture",
    "--offline",
    "--oneline",
    "--package",
    "--quiet",
    "--release",
    "--short",
    "--staged",
    "--stat",
    "--test",
    "--tests",
    "--verbose",
    "--workspace",
    "-n",
    "-p",
    "-q",
    "-run",
    "-v",
];
/// What an agent says of a command beside the command: its own words, and how long it waits.
const BESIDE: [&str; 3] = ["command", "description", "timeout"];

/// What a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Covers {
    /// Plain commands of this program and verb, and everything else in the input as it was.
    Beginning { program: String, verb: String, beside: String },
    /// This command, and everything else in the input as it was.
    Command { command: String, beside: String },
    /// This path and no other.
    Path(String),
    /// This very input.
    Input(String),
}

/// A rule that could be made, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    tool: String,
    covers: Covers,
}

impl Standing {
    /// The widest rule that a person can still judge by its one line; none where each request deserves its own answer.
    pub(super) fn from_request(asked: &PermissionAsked) -> Option<Self> {
        if asked.command.len() > RULE_TEXT || asked.paths.iter().any(|path| path.len() > RULE_TEXT) {
            return None;
        }
        let covers = match asked.kind() {
            ToolKind::SwitchMode | ToolKind::Unspecified => return None,
            _ if !asked.command.is_empty() => match plain_words(&asked.command).as_deref() {
                Some([program, verb, rest @ ..]) if begins(program, verb, rest) && asked.paths.is_empty() => {
                    let (program, verb) = ((*program).to_owned(), (*verb).to_owned());
                    Covers::Beginning { program, verb, beside: beside(asked) }
                }
                _ => Covers::Command { command: asked.command.clone(), beside: beside(asked) },
            },
            ToolKind::Edit | ToolKind::Read => match asked.paths.as_slice() {
                [path] => Covers::Path(path.clone()),
                _ => Covers::Input(asked.digest.clone()),
            },
            _ => Covers::Input(asked.digest.clone()),
        };
        Some(Self { tool: asked.tool.clone(), covers })
    }

    /// Whether this request would have been allowed by it.
    pub(super) fn covers(&self, asked: &PermissionAsked) -> bool {
        self.tool == asked.tool
            && asked.kind() != ToolKind::SwitchMode
            && match &self.covers {
                // A path that the agent points out is more than the command's beginning says.
                Covers::Beginning { program, verb, beside: other } => {
                    let words = plain_words(&asked.command);
                    let is_such = |words: &[&str]| matches!(words, [one, two, rest @ ..] if one == program && two == verb && begins(one, two, rest));
                    asked.paths.is_empty() && words.as_deref().is_some_and(is_such) && *other == beside(asked)
                }
                Covers::Command { command, beside: other } => *command == asked.command && *other == beside(asked),
                Covers::Path(path) => asked.paths.as_slice() == [path.as_str()],
                Covers::Input(digest) => *digest == asked.digest,
            }
    }

    /// Exactly what it allows, for people.
    pub(super) fn description(&self) -> String {
        match &self.covers {
            Covers::Beginning { program, verb, .. } => {
                format!("{}: commands that begin with `{program} {verb}` and have everyday arguments", self.tool)
            }
            Covers::Command { command, .. } => format!("{}: exactly `{}`", self.tool, head(command, 200)),
            Covers::Path(path) => format!("{}: {}", self.tool, head(path, 200)),
            Covers::Input(digest) => format!("{}: the same call again ({:.12})", self.tool, digest),
        }
    }

    pub(super) fn as_rule(&self, id: String, by: &str, since: Millis) -> Rule {
        Rule { id, description: self.description(), tool: self.tool.clone(), by: by.to_owned(), since, used: 0 }
    }
}

/// Whether these are such words, with arguments that stay in the project.
fn begins(program: &str, verb: &str, rest: &[&str]) -> bool {
    let stays = |word: &&str| match word.starts_with('-') {
        true => OPTIONS.contains(word),
        false => !word.starts_with('/') && !word.contains("..") && !word.contains(['=', '@', '%']),
    };
    VERBS.iter().any(|(name, verbs)| *name == program && verbs.contains(&verb)) && rest.iter().all(stays)
}

/// A digest of what the input says beside the command: a call that leaves the sandbox is another one.
fn beside(asked: &PermissionAsked) -> String {
    let Ok(serde_json::Value::Object(mut input)) = serde_json::from_str(&asked.input) else { return String::new() };
    input.retain(|name, _| !BESIDE.contains(&name.as_str()));
    digest(&serde_json::Value::Object(input).to_string()).unwrap_or_default()
}

/// The words of a command in which no shell sees anything but words; none for all others.
fn plain_words(command: &str) -> Option<Vec<&str>> {
    let plain = command.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_./:=,+@%".contains(&byte));
    plain.then(|| command.split(' ').filter(|word| !word.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(command: &str) -> PermissionAsked {
        PermissionAsked {
            tool: "Bash".into(),
            kind: ToolKind::Execute.into(),
            command: command.into(),
            digest: crate::agents::event::digest(&serde_json::json!({ "command": command }).to_string()).unwrap(),
            ..PermissionAsked::default()
        }
    }

    #[test]
    fn a_beginning_covers_arguments_and_nothing_that_a_shell_would_do() {
        let rule = Standing::from_request(&shell("cargo test --lib")).unwrap();
        assert_eq!(rule.description(), "Bash: commands that begin with `cargo test` and have everyday arguments");
        for good in ["cargo test", "cargo test -p x", "cargo  test a::b", "cargo test -- --nocapture"] {
            assert!(rule.covers(&shell(good)), "{good}");
        }
        for bad in [
            "cargo test; rm -rf /",
            "cargo test ; rm -rf /",
            "cargo test x;id",
            "cargo test x&id",
            "cargo test x|id",
            "cargo test >x",
            "cargo test <x",
            "cargo test {a,b}",
            "cargo test *",
            "cargo test ~",
            "cargo test $HOME",
            "cargo test a\\ b",
            "cargo test # x",
            "cargo test\tx",
            "cargo test\rx",
            "cargo test x\u{a0}y",
            "cargo test && id",
            "cargo test | sh",
            "cargo test > /etc/passwd",
            "cargo test $(id)",
            "cargo test `id`",
            "cargo test\nid",
            "cargo test & id",
            "cargo tests",
            "cargo",
            "cargo run",
            "xcargo test",
            "cargo test \"a b\"",
            "FOO=1 cargo test",
            "cargo test --config build.rustc=evil",
            "cargo test --manifest-path /tmp/x",
            "cargo test /tmp/x",
            "cargo test ../x",
            "cargo test --target-dir x",
            "",
        ] {
            assert!(!rule.covers(&shell(bad)), "{bad}");
        }
        let outside = PermissionAsked { paths: vec!["/etc/passwd".into()], ..shell("cargo test") };
        assert!(!rule.covers(&outside));
        assert!(!rule.covers(&PermissionAsked { tool: "Other".into(), ..shell("cargo test") }));
    }

    #[test]
    fn what_has_no_verb_is_covered_only_as_it_stands() {
        for command in [
            "rm old",
            "sudo cargo test",
            "cargo +nightly",
            "cargo -q",
            "echo a; echo b",
            "git -c x=y log",
            "bundle exec rspec",
            "uv run x",
            "npm run build",
            "npm exec x",
            "go run .",
            "make all",
            "git push",
            "git diff --output=x",
            "cargo run",
            "go test -exec x",
        ] {
            let rule = Standing::from_request(&shell(command)).unwrap();
            assert!(rule.covers(&shell(command)), "{command}");
            assert!(!rule.covers(&shell(&format!("{command} more"))), "{command}");
        }
    }

    #[test]
    fn what_else_the_call_says_is_not_covered() {
        let with = |command: &str, more: serde_json::Value| {
            let mut input = serde_json::json!({ "command": command });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            PermissionAsked { input: input.to_string(), ..shell(command) }
        };
        for command in ["ls", "cargo test"] {
            let rule = Standing::from_request(&with(command, serde_json::json!({ "description": "one" }))).unwrap();
            assert!(rule.covers(&with(command, serde_json::json!({ "description": "two", "timeout": 5 }))));
            assert!(!rule.covers(&with(command, serde_json::json!({ "dangerouslyDisableSandbox": true }))));
        }
        let rule = Standing::from_request(&shell("echo safe\ntouch x")).unwrap();
        assert_eq!(rule.description(), "Bash: exactly `echo safe (+1 line)`");
    }

    #[test]
    fn other_tools_are_covered_by_path_or_input_and_plans_never() {
        let edit = |path: &str, digest: &str| PermissionAsked {
            tool: "Edit".into(),
            kind: ToolKind::Edit.into(),
            paths: vec![path.into()],
            digest: digest.into(),
            ..PermissionAsked::default()
        };
        let rule = Standing::from_request(&edit("/w/a", "1")).unwrap();
        assert!(rule.covers(&edit("/w/a", "2")) && !rule.covers(&edit("/w/b", "1")));
        let fetch = |digest: &str| PermissionAsked { kind: ToolKind::Fetch.into(), ..edit("", digest) };
        let rule = Standing::from_request(&fetch("1")).unwrap();
        assert!(rule.covers(&fetch("1")) && !rule.covers(&fetch("2")));
        let plan = PermissionAsked { kind: ToolKind::SwitchMode.into(), ..edit("", "1") };
        assert_eq!(Standing::from_request(&plan), None);
    }
}
