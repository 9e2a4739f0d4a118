//! The grammar, case by case.

use proptest::prelude::*;

use super::*;

fn verb(line: &str) -> Result<Verb, UsageError> {
    parse(&split(line)?)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn every_verb_has_its_shape() {
    assert_eq!(verb("ls"), Ok(Verb::List { json: false }));
    assert_eq!(verb("ls --json"), Ok(Verb::List { json: true }));
    assert_eq!(verb("kill main"), Ok(Verb::Kill { session: name("main") }));
    assert_eq!(verb("restart main"), Ok(Verb::Restart { session: name("main") }));
    assert_eq!(verb("forget main"), Ok(Verb::Forget { session: name("main") }));
    assert_eq!(verb("show main"), Ok(Verb::Show { session: name("main") }));
    assert_eq!(verb("rename a b"), Ok(Verb::Rename { session: name("a"), name: name("b") }));
    assert!(matches!(verb("help"), Ok(Verb::Help { text }) if text.contains("attach NAME")));
    assert!(matches!(verb("help attach"), Ok(Verb::Help { text }) if text.starts_with("attach NAME")));
}

#[test]
fn new_takes_its_parts_in_any_order() {
    let expected = NewVerb {
        agent: name("claude"),
        directory: Some("work/x y".into()),
        name: Some(name("main")),
        mode: Some("terminal".into()),
        options: vec![("model".into(), "opus".into()), ("resume".into(), String::new())],
        args: vec!["--print".into(), "-x".into()],
    };
    for line in [
        "new claude 'work/x y' --name main --mode terminal --model opus --resume -- --print -x",
        "new claude --model=opus --resume= --name=main 'work/x y' --mode=terminal -- --print -x",
    ] {
        assert_eq!(verb(line), Ok(Verb::New(expected.clone())), "{line}");
    }
    let refused = ["new", "new claude a b", "new claude --name", "new claude --name x --name y", "new claude -x"];
    for line in refused.into_iter().chain(["new claude --model -rf", "new claude --model=-rf", "new claude --name A"]) {
        assert!(verb(line).is_err(), "{line}");
    }
}

#[test]
fn attach_and_send_take_their_flags() {
    let attach = |view, from| Ok(Verb::Attach(AttachVerb { session: name("main"), view, from }));
    assert_eq!(verb("attach main"), attach(false, From::Live));
    assert_eq!(verb("attach main --from start --view"), attach(true, From::Start));
    assert_eq!(verb("attach main --from=17"), attach(false, From::Offset(17)));
    for line in ["attach", "attach main x", "attach main --from", "attach main --from end", "attach main --from +1"] {
        assert!(verb(line).is_err(), "{line}");
    }
    assert!(verb("attach main --from 99999999999999999999").is_err());

    let send = |text: &str, enter| Ok(Verb::Send(SendVerb { session: name("main"), text: text.into(), enter }));
    assert_eq!(verb("send main hello world"), send("hello world", true));
    assert_eq!(verb("send main 'a  b' c --no-enter"), send("a  b c", false));
    assert_eq!(verb("send main --no-enter x"), send("x", false));
    assert_eq!(verb("send --no-enter main x"), send("x", false));
    assert_eq!(verb("send main -- --no-enter"), send("--no-enter", true));
    assert_eq!(verb("send main -- x --no-enter"), send("x --no-enter", true));
    assert_eq!(verb("send main ''"), send("", true));
    assert!(verb("send main").is_err());
}

#[test]
fn verbs_win_over_agents_over_sessions() {
    let is_agent = |word: &str| word == "claude" || word == "ls";
    let resolve = |line: &str| match verb(line) {
        Ok(Verb::Named(named)) => named.resolve(is_agent),
        other => panic!("{other:?}"),
    };
    assert_eq!(verb("ls"), Ok(Verb::List { json: false }));
    assert!(matches!(resolve("claude"), Ok(Target::Open(open)) if open.directory.is_none()));
    assert!(
        matches!(resolve("claude /srv/x -- --resume"), Ok(Target::Open(open)) if open.directory.as_deref() == Some("/srv/x") && open.args == ["--resume"])
    );
    assert!(matches!(resolve("main"), Ok(Target::Attach(attach)) if attach.session == name("main")));
    assert_eq!(resolve("main /srv"), Err(UsageError::NoAgent("main".into())));
}

#[test]
fn each_error_says_what_would_be_right() {
    for (line, part) in [
        ("attach", "attach NAME"),
        ("kill a b", "kill NAME"),
        ("ls --jsn", "ls [--json]"),
        ("send main", "needs a text"),
        ("help dance", "`help` lists them"),
        ("claude --resume", "[-- ARGS]"),
        ("Claude", "`help` lists them"),
        ("rename a B", "a-z 0-9"),
        ("'ls", "quote"),
        ("", "help [VERB]"),
    ] {
        let text = verb(line).unwrap_err().to_string();
        assert!(text.contains(part), "{line}: {text}");
    }
}

#[test]
fn a_forced_command_is_a_verb_or_an_agent() {
    let is_agent = |word: &str| word == "claude";
    for good in ["ls", "attach main --view", "claude", "claude work"] {
        assert!(is_forcible(good, &is_agent), "{good}");
    }
    for bad in ["", "atach main", "main", "bash -c id", "attach", "'ls"] {
        assert!(!is_forcible(bad, &is_agent), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_line_panics_and_no_error_acts_on_a_terminal(line in ".{0,80}") {
        if let Err(error) = verb(&line) {
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }
}
