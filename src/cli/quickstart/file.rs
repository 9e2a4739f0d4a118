//! The configuration file that quickstart writes; does not decide what stands in it.

use std::fmt::Write;

use super::agents::Found;
use crate::cli::arguments::DoorArguments;

/// Names whose values agents need to reach their providers.
const PASSED: [&str; 12] = [
    "ANTHROPIC_*",
    "CLAUDE_*",
    "AWS_*",
    "GOOGLE_*",
    "OPENAI_*",
    "OPENCODE_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What differs from one machine to the next.
pub(super) struct Chosen<'a> {
    pub(super) account: &'a str,
    pub(super) roots: &'a [String],
    pub(super) key_files: &'a [String],
    pub(super) agents: &'a [Found],
    pub(super) doors: &'a DoorArguments,
    /// Agents run as the caller, who could start anything anyway.
    pub(super) is_single: bool,
}

/// The file's text.
pub(super) fn text(chosen: &Chosen<'_>) -> String {
    let mut out = "# Written by `portcullis quickstart`, and yours from now on: it is not written again.\n\
                   # Every key with its default: config/portcullis.toml of the source. `portcullis check` reads it.\n"
        .to_owned();
    let doors = chosen.doors.flags();
    if !doors.is_empty() {
        out.push_str("\n[listen]\n");
    }
    for flag in doors {
        let key = flag.key.rsplit('.').next().unwrap_or_default();
        let _ = writeln!(out, "{key} = {}", quoted(&flag.value));
    }
    for agent in chosen.agents {
        let _ = write!(
            out,
            "\n[agents.{}]\ncommand = [{}]\nenv_pass = {}\n",
            agent.name,
            quoted(&agent.program.to_string_lossy()),
            list(&PASSED)
        );
        out.push_str(structured(agent.name));
        if chosen.is_single {
            out.push_str("free_args = true\n");
        }
        out.push_str(options(agent.name));
    }
    let _ = write!(out, "\n[agents.shell]\nlogin_shell = true\nenv_pass = {}\n", list(&PASSED));
    let _ = write!(
        out,
        "\n[accounts.{}]\nroots = {}\nkey_files = {}\n",
        quoted(chosen.account),
        list(chosen.roots),
        list(chosen.key_files)
    );
    out
}

/// How it is driven without a terminal.
fn structured(agent: &str) -> &'static str {
    match agent {
        "claude" => "modes = [\"terminal\", \"structured\"]\ndriver = \"claude\"\n",
        "opencode" => "modes = [\"terminal\", \"structured\"]\ndriver = \"acp\"\nstructured_args = [\"acp\"]\n",
        _ => "",
    }
}

/// What clients may choose; bypassing permissions is not among it.
fn options(agent: &str) -> &'static str {
    match agent {
        "claude" => {
            "[agents.claude.options]\n\
             resume = { pattern = \"uuid-or-nothing\", flag = \"--resume\" }\n\
             model = { pattern = \"word\", flag = \"--model\" }\n\
             permission-mode = { pattern = [\"default\", \"acceptEdits\", \"plan\"], flag = \"--permission-mode\" }\n"
        }
        "opencode" => "[agents.opencode.options]\nmodel = { pattern = \"word\", flag = \"--model\" }\n",
        _ => "",
    }
}

fn list<T: AsRef<str>>(texts: &[T]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", "))
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, load};

    #[test]
    fn what_is_written_is_read_back() {
        let agents = [
            Found { name: "claude", program: "/opt/a \"b\"/claude".into() },
            Found { name: "opencode", program: "/usr/bin/opencode".into() },
        ];
        let doors = DoorArguments { https: Some("127.0.0.1:0".into()), ..DoorArguments::default() };
        let (roots, key_files) = (["%h".to_owned(), "/srv/ü\\x".to_owned()], ["/d/keys/%u".to_owned()]);
        let chosen = Chosen {
            account: "ann.b",
            roots: &roots,
            key_files: &key_files,
            agents: &agents,
            doors: &doors,
            is_single: true,
        };
        let settings = load(&Layers { file: Some(("f".into(), text(&chosen))), ..Layers::default() }).unwrap();
        assert_eq!(settings.listen.https.port(), 0);
        assert_eq!(settings.listen.ssh.port(), 8422);
        let names: Vec<&str> = settings.spawner.agents.iter().map(|agent| agent.name.as_str()).collect();
        assert_eq!(names, ["claude", "opencode", "shell"]);
        assert_eq!(settings.spawner.agents[0].command, ["/opt/a \"b\"/claude"]);
        assert!(settings.spawner.agents[0].free_args && settings.spawner.agents[2].login_shell);
        let account = &settings.spawner.accounts[0];
        let found: Vec<&str> = account.roots.iter().map(|root| root.path.as_str()).collect();
        assert_eq!(
            (account.name.as_str(), &found[..], &account.key_files[..]),
            ("ann.b", &["%h", "/srv/ü\\x"][..], &key_files[..])
        );
    }
}
