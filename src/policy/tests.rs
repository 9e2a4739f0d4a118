//! Role × verb × everything that narrows a key.

use super::*;
use crate::authn::{Proven, Role, parse_authorized_keys};
use crate::base::{AccountName, Name};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn policy() -> AccountPolicy {
    AccountPolicy {
        name: "ann".parse().unwrap(),
        agents: vec![name("claude"), name("shell")],
        roots: vec!["/home/ann".into()],
        max_sessions: 20,
    }
}

fn proven(options: &str) -> Proven {
    let file = parse_authorized_keys(format!("{options} {KEY}").as_bytes(), &|_| true);
    let key = ssh_key_of(KEY);
    let account: AccountName = "ann".parse().unwrap();
    Proven::danger_verified_by_ssh(&key, Some(&account), &file.keys, "127.0.0.1".parse().unwrap(), 0).unwrap()
}

fn ssh_key_of(line: &str) -> ssh_key::PublicKey {
    ssh_key::PublicKey::from_openssh(line).unwrap()
}

fn grant(options: &str) -> Grant {
    Grant::admit(proven(options), &policy()).unwrap()
}

fn ask(grant: &Grant, verb: Verb, agent: &str, session: Option<&str>) -> &'static str {
    let (account, agent, session) = ("ann".parse().unwrap(), name(agent), session.map(name));
    let subject = Subject { account: &account, agent: &agent, session: session.as_ref() };
    grant.may(verb, &subject).map_or_else(|denial| denial.code(), |()| "yes")
}

#[test]
fn role_by_verb() {
    // Written out, so that a change of the rule has to change it here too.
    let table = [
        (Verb::List, ["yes", "yes", "yes"]),
        (Verb::View, ["yes", "yes", "yes"]),
        (Verb::Show, ["yes", "yes", "yes"]),
        (Verb::Drive, ["view-only", "yes", "yes"]),
        (Verb::Send, ["view-only", "yes", "yes"]),
        (Verb::Start, ["not-allowed", "not-allowed", "yes"]),
        (Verb::Kill, ["not-allowed", "not-allowed", "yes"]),
        (Verb::Restart, ["not-allowed", "not-allowed", "yes"]),
        (Verb::Rename, ["not-allowed", "not-allowed", "yes"]),
        (Verb::Forget, ["not-allowed", "not-allowed", "yes"]),
        (Verb::Prompt, ["view-only", "yes", "yes"]),
        (Verb::Approve, ["not-allowed", "yes", "yes"]),
    ];
    assert_eq!(table.len(), Verb::ALL.len());
    for (verb, want) in table {
        let got = ["role=view", "role=drive", "role=own"].map(|role| ask(&grant(role), verb, "claude", Some("a")));
        assert_eq!(got, want, "{verb}");
    }
    assert_eq!(grant("restrict").role(), Role::View);
}

#[test]
fn agents_narrow_on_both_sides() {
    let narrowed = grant("agents=\"claude\"");
    for verb in Verb::ALL {
        assert_eq!(ask(&narrowed, verb, "claude", Some("a")), "yes", "{verb}");
        assert_eq!(ask(&narrowed, verb, "shell", Some("a")), "agent-not-allowed", "{verb}");
    }
    assert_eq!(narrowed.agents().map(Name::as_str).collect::<Vec<_>>(), ["claude"]);
    let all = grant("");
    assert_eq!(ask(&all, Verb::Start, "opencode", Some("a")), "agent-not-allowed");
    assert_eq!(ask(&all, Verb::Restart, "opencode", Some("a")), "agent-not-allowed");
    assert_eq!(ask(&all, Verb::Kill, "opencode", Some("a")), "yes", "what runs can be ended");
}

#[test]
fn session_globs_narrow_every_verb() {
    let narrowed = grant("sessions=\"work-*,solo\"");
    for verb in Verb::ALL {
        assert_eq!(ask(&narrowed, verb, "claude", Some("work-1")), "yes", "{verb}");
        assert_eq!(ask(&narrowed, verb, "claude", Some("solo")), "yes", "{verb}");
        assert_eq!(ask(&narrowed, verb, "claude", Some("solo2")), "session-not-allowed", "{verb}");
        assert_eq!(ask(&narrowed, verb, "claude", None), "session-not-allowed", "{verb}");
    }
}

#[test]
fn another_account_is_another_world() {
    let (bob, agent, session) = ("bob".parse().unwrap(), name("claude"), name("a"));
    for verb in Verb::ALL {
        let denial = grant("").may(verb, &Subject { account: &bob, agent: &agent, session: Some(&session) });
        assert_eq!(denial.unwrap_err().code(), "not-allowed", "{verb}");
    }
    let denial = Grant::admit(proven(""), &AccountPolicy { name: bob, ..policy() });
    assert_eq!(denial.unwrap_err().code(), "not-allowed");
}

#[test]
fn terminal_approval_and_forced_verbs() {
    assert_eq!(grant("no-pty").may_terminal().unwrap_err().code(), "no-terminal");
    assert!(grant("restrict").may_terminal().is_ok());
    assert!(grant("").may_approve().is_ok());
    assert_eq!(grant("no-approve").may_approve().unwrap_err().code(), "not-allowed");
    assert_eq!(grant("restrict").may_approve().unwrap_err().code(), "not-allowed");
    assert_eq!(grant("command=\"ls\"").forced(), Some("ls"));
}

#[test]
fn a_grant_is_judged_again() {
    let held = grant("");
    let again = |text: &str| {
        let file = parse_authorized_keys(text.as_bytes(), &|_| true);
        held.renewed(&file.keys, &policy(), 0).map(|new| new.role())
    };
    assert_eq!(again(&format!("role=view {KEY}")), Ok(Role::View));
    assert!(matches!(again("# gone"), Err(Revoked::Key(_))));
    let other = AccountPolicy { name: "bob".parse().unwrap(), ..policy() };
    let file = parse_authorized_keys(KEY.as_bytes(), &|_| true);
    assert!(matches!(held.renewed(&file.keys, &other, 0), Err(Revoked::Policy(_))));
}
