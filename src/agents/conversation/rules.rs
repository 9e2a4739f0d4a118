//! Standing answers of one session: what one allows, and whether it covers a request; does not know who gave them.

use crate::agents::driver::Millis;
use crate::agents::event::head;
use crate::agents::limits::RULE_TEXT;
use crate::wire::v1::{PermissionAsked, Rule, ToolKind};

/// Programs whose second word says what they do: their beginnings mean the same whatever follows. For all others only
/// the very same command is covered (`rm old` must not allow `rm old ..`).
const WITH_VERBS: [&str; 18] = [
    "bun", "bundle", "cargo", "composer", "deno", "dotnet", "git", "go", "gradle", "just", "make", "mvn", "npm",
    "pnpm", "swift", "uv", "yarn", "zig",
];

/// What a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Covers {
    /// Plain commands that begin with these words.
    Beginning(Vec<String>),
    /// This command.
    Command(String),
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
                Some([program, verb, ..]) if has_verb(program, verb) && asked.paths.is_empty() => {
                    Covers::Beginning(vec![(*program).to_owned(), (*verb).to_owned()])
                }
                _ => Covers::Command(asked.command.clone()),
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
                Covers::Beginning(words) => {
                    asked.paths.is_empty()
                        && plain_words(&asked.command)
                            .is_some_and(|all| all.len() >= words.len() && all.iter().zip(words).all(|(a, b)| a == b))
                }
                Covers::Command(command) => *command == asked.command,
                Covers::Path(path) => asked.paths.as_slice() == [path.as_str()],
                Covers::Input(digest) => *digest == asked.digest,
            }
    }

    /// Exactly what it allows, for people.
    pub(super) fn description(&self) -> String {
        match &self.covers {
            Covers::Beginning(words) => format!("{}: commands that begin with `{}`", self.tool, words.join(" ")),
            Covers::Command(command) => format!("{}: exactly `{}`", self.tool, head(command, 200)),
            Covers::Path(path) => format!("{}: {}", self.tool, head(path, 200)),
            Covers::Input(digest) => format!("{}: the same call again ({:.12})", self.tool, digest),
        }
    }

    pub(super) fn as_rule(&self, id: String, by: &str, since: Millis) -> Rule {
        Rule { id, description: self.description(), tool: self.tool.clone(), by: by.to_owned(), since, used: 0 }
    }
}

fn has_verb(program: &str, verb: &str) -> bool {
    WITH_VERBS.contains(&program)
        && verb.starts_with(|first: char| first.is_ascii_lowercase())
        && verb.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b':')
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
        assert_eq!(rule.description(), "Bash: commands that begin with `cargo test`");
        for good in ["cargo test", "cargo test -p x", "cargo  test a::b"] {
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
        for command in ["rm old", "sudo cargo test", "cargo +nightly", "cargo -q", "echo a; echo b", "git -c x=y log"] {
            let rule = Standing::from_request(&shell(command)).unwrap();
            assert!(rule.covers(&shell(command)), "{command}");
            assert!(!rule.covers(&shell(&format!("{command} more"))), "{command}");
        }
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
