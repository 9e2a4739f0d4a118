//! The picker by its keys and by its picture, drawn on a real screen engine.

use proptest::prelude::*;

use super::*;
use crate::screen::Screen;
use crate::wire::v1::State;

fn session(name: &str) -> Session {
    Session {
        session_id: format!("id-{name}"),
        name: name.into(),
        agent: "claude".into(),
        directory: "/home/ann/projects/portcullis".into(),
        state: State::Running.into(),
        ..Session::default()
    }
}

fn picker(names: &[&str]) -> Picker {
    let agents = ["claude", "shell"].map(|name| name.parse().unwrap()).to_vec();
    let mut picker = Picker::new("portcullis: ann".into(), agents, "/home/ann".into());
    picker.set_sessions(names.iter().map(|name| session(name)).collect());
    picker
}

fn press(picker: &mut Picker, typed: &[u8]) -> Action {
    let mut keyboard = Keyboard::default();
    let mut last = Action::Stay;
    for key in keyboard.push(typed).into_iter().chain(keyboard.close()) {
        last = picker.apply(key);
    }
    last
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn arrows_letters_and_numbers_choose() {
    for (typed, expected) in [
        (&b"\r"[..], "a"),
        (b"\x1b[B\r", "b"),
        (b"\x1bOB\x1b[B\x1b[A\r", "b"),
        (b"jjjjk\r", "b"),
        (b"3", "c"),
        (b"\x1b[F\r", "c"),
        (b"\x1b[F\x1b[H\r", "a"),
    ] {
        assert_eq!(
            press(&mut picker(&["a", "b", "c"]), typed),
            Action::Attach(name(expected)),
            "{}",
            typed.escape_ascii()
        );
    }
    assert_eq!(press(&mut picker(&["a"]), b"7"), Action::Stay);
    assert_eq!(press(&mut picker(&[]), b"\r"), Action::Stay);
    for quit in [&b"q"[..], b"\x03", b"\x04", b"\x1b"] {
        assert_eq!(press(&mut picker(&["a"]), quit), Action::Quit);
    }
}

#[test]
fn new_asks_for_agent_and_directory() {
    let start = |agent: &str, directory: Option<&str>| Action::Start {
        agent: name(agent),
        directory: directory.map(Into::into),
    };
    assert_eq!(press(&mut picker(&[]), b"n\r\r"), start("claude", None));
    assert_eq!(press(&mut picker(&["x"]), b"n2work/\xc3\xa4x\x7f\r"), start("shell", Some("work/ä")));
    assert_eq!(press(&mut picker(&["a"]), b"nj\rqn\r"), start("shell", Some("qn")), "letters are text there");
    let mut back = picker(&["a", "b"]);
    assert_eq!(press(&mut back, b"n\r\x1b"), Action::Stay);
    assert_eq!(press(&mut back, b"j\r"), Action::Attach(name("b")), "back at the list");
    let mut none = Picker::new(String::new(), Vec::new(), "/".into());
    assert_eq!(press(&mut none, b"n"), Action::Stay);
    assert!(none.lines(WinSize::DEFAULT).0.last().unwrap().contains("no agent"));
}

#[test]
fn the_choice_stays_on_its_session_when_the_list_changes() {
    let mut picker = picker(&["a", "b", "c"]);
    press(&mut picker, b"j");
    assert!(picker.set_sessions(["b", "c"].map(session).to_vec()));
    assert!(!picker.set_sessions(["b", "c"].map(session).to_vec()));
    assert_eq!(press(&mut picker, b"\r"), Action::Attach(name("b")));
    picker.set_sessions(vec![session("z")]);
    assert_eq!(press(&mut picker, b"\r"), Action::Attach(name("z")));
}

/// The rows of a terminal, without what is blank at their ends.
fn rows(screen: &Screen) -> Vec<String> {
    let mut rows: Vec<String> = screen.text().lines().map(|line| line.trim_end().to_owned()).collect();
    rows.resize(screen.size().rows().into(), String::new());
    rows
}

#[test]
fn at_forty_columns_everything_needed_is_there() {
    let size = WinSize::clamped(40, 10);
    let mut terminal = Screen::new(size);
    terminal.feed_all(b"prompt$ ssh host\r\n");
    let mut drawing = Drawing::default();
    let mut picker = picker(&["main", "other"]);
    terminal.feed_all(&drawing.draw(&picker, size, false));
    press(&mut picker, b"j");
    terminal.feed_all(&drawing.draw(&picker, size, false));
    assert_eq!(
        rows(&terminal)[..6],
        [
            "prompt$ ssh host",
            "portcullis: ann",
            "  1 main  running  claude  …s/portcullis",
            "> 2 other  running  claude  …/portcullis",
            "↑↓ Enter attach  n new  q quit",
            ""
        ]
    );
    terminal.feed_all(&drawing.clear());
    assert_eq!(rows(&terminal)[..2], ["prompt$ ssh host", ""], "nothing is left");
    terminal.feed_all(b"next");
    assert_eq!(rows(&terminal)[1], "next", "the cursor is where it was");
}

proptest! {
    #[test]
    fn redrawing_leaves_one_picture_at_any_size(
        cols in 4u16..120, height in 2u16..40, count in 0usize..60,
        keys in prop::collection::vec(prop::sample::select(b"jkn1q\r\x7fx\x1b".to_vec()), 0..20),
        above in 0usize..40,
    ) {
        let size = WinSize::clamped(cols.into(), height.into());
        let mut terminal = Screen::new(size);
        terminal.feed_all("line\r\n".repeat(above).as_bytes());
        let mut drawing = Drawing::default();
        let names: Vec<String> = (0..count).map(|n| format!("session-{n}")).collect();
        let mut picker = picker(&names.iter().map(String::as_str).collect::<Vec<_>>());
        terminal.feed_all(&drawing.draw(&picker, size, false));
        for key in keys {
            press(&mut picker, &[key]);
            terminal.feed_all(&drawing.draw(&picker, size, false));
        }
        let (lines, _) = picker.lines(size);
        prop_assert!(lines.iter().all(|line| line.width() <= usize::from(size.cols())));
        let text = rows(&terminal);
        let wanted: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        let shown = |text: &[String]| text.windows(wanted.len()).any(|part| part.iter().map(String::as_str).eq(wanted.iter().copied()));
        prop_assert!(shown(&text), "{:?} in {:?}", wanted, text);
        terminal.feed_all(&drawing.clear());
        let left = rows(&terminal);
        prop_assert!(left.iter().all(|line| line.is_empty() || "line".starts_with(line.as_str())), "{:?}", left);
    }
}

fn asked(session: &str, digest: &str) -> Approval {
    asked_by(session, digest, "touch x", r#"{"command":"touch x","description":"it"}"#)
}

fn asked_by(session: &str, digest: &str, command: &str, input: &str) -> Approval {
    let (id, digest, summary) = ("r1".into(), digest.into(), format!("Bash: {command}"));
    let (tool, command, input) = ("Bash".into(), command.into(), input.into());
    let permission = PermissionAsked { id, digest, summary, tool, command, input, ..Default::default() };
    Approval { session: session.into(), permission: Some(permission), question: None }
}

fn foot(picker: &Picker) -> String {
    picker.lines(WinSize::clamped(60, 10)).0.pop().unwrap()
}

#[test]
fn what_the_chosen_sessions_agent_asks_for_is_decided_with_a_key_once_it_could_be_read() {
    let size = WinSize::clamped(60, 10);
    let mut picker = picker(&["one", "two"]);
    let one = asked("two", "d");
    assert!(picker.set_asked(vec![one.clone()]) && !picker.set_asked(vec![one]));
    assert_eq!((picker.apply(Key::Char('y')), picker.drawn(size)), (Action::Stay, None), "another one is chosen");
    picker.apply(Key::Down);
    let drawn = picker.drawn(size).unwrap();
    assert!(foot(&picker).starts_with("…: Bash: "));
    assert_eq!(picker.apply(Key::Char('y')), Action::Stay, "it has only just come");
    assert!(picker.arm(Some(drawn.clone())) && !picker.arm(Some(drawn.clone())));
    assert!(foot(&picker).starts_with("y allow  d deny: Bash: "));
    for (key, allow) in [('d', false), ('y', true)] {
        let decided = Action::Decide { asked: Box::new(drawn.clone()), allow };
        assert_eq!(picker.apply(Key::Char(key)), decided);
    }
}

#[test]
fn what_the_line_does_not_say_whole_cannot_be_allowed_in_the_list() {
    let long = "x".repeat(60);
    let hidden = r#"{"command":"touch x","dangerouslyDisableSandbox":true}"#;
    for (command, input) in [
        ("touch x (+1 line)\nid", r#"{"command":"touch x (+1 line)\nid"}"#),
        (&long[..], r#"{"command":"xxx"}"#),
        ("touch x", hidden),
        ("touch x", "[]"),
        ("\x1b[2Jtouch x", r#"{"command":"x"}"#),
        ("", r#"{"file_path":"/x"}"#),
    ] {
        let size = WinSize::clamped(60, 10);
        let mut picker = picker(&["one"]);
        picker.set_asked(vec![asked_by("one", "d", command, input)]);
        let drawn = picker.drawn(size).unwrap();
        picker.arm(Some(drawn.clone()));
        assert!(foot(&picker).starts_with("Enter shows it  d deny: ") && !foot(&picker).contains('\x1b'), "{command}");
        assert_eq!(picker.apply(Key::Char('y')), Action::Stay, "{command}");
        assert!(foot(&picker).starts_with("this line does not say all of it"), "{command}");
        assert_eq!(picker.apply(Key::Char('d')), Action::Decide { asked: Box::new(drawn), allow: false }, "{command}");
    }
}

#[test]
fn a_key_decides_only_what_it_was_pressed_at() {
    let size = WinSize::clamped(60, 10);
    let mut picker = picker(&["one", "two"]);
    picker.set_asked(vec![asked("one", "d"), asked("two", "d")]);
    picker.arm(picker.drawn(size));
    picker.set_asked(vec![asked("one", "e"), asked("two", "d")]);
    assert_eq!(picker.apply(Key::Char('y')), Action::Stay, "the request has changed");
    picker.arm(picker.drawn(size));
    picker.apply(Key::Down);
    assert_eq!(picker.apply(Key::Char('y')), Action::Stay, "another session's");
    picker.arm(picker.drawn(size));
    picker.set_note("allowed");
    assert_eq!((picker.drawn(size), picker.drawn(WinSize::clamped(60, 3))), (None, None), "it is not on the picture");
    picker.apply(Key::Char('x'));
    assert_eq!(picker.drawn(WinSize::clamped(60, 3)), None);
    assert!(picker.lines(WinSize::clamped(60, 3)).0.iter().all(|line| !line.contains("Bash")));
    assert!(picker.lines(WinSize::clamped(60, 4)).0.iter().any(|line| line.contains("Bash")));
}
