//! The picker by its keys and by its picture, drawn on a real screen engine.

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::Processor;
use proptest::prelude::*;

use super::*;
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

struct Size(WinSize);

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.0.rows().into()
    }
    fn screen_lines(&self) -> usize {
        self.0.rows().into()
    }
    fn columns(&self) -> usize {
        self.0.cols().into()
    }
}

struct Terminal(Term<VoidListener>, Processor);

impl Terminal {
    fn new(size: WinSize) -> Self {
        Self(Term::new(Config::default(), &Size(size), VoidListener), Processor::new())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.1.advance(&mut self.0, bytes);
    }

    fn text(&self) -> Vec<String> {
        let grid = self.0.grid();
        let row = |line| (0..grid.columns()).map(|column| grid[Line(line)][Column(column)].c).collect::<String>();
        (0..grid.screen_lines() as i32).map(|line| row(line).trim_end().to_owned()).collect()
    }
}

#[test]
fn at_forty_columns_everything_needed_is_there() {
    let size = WinSize::clamped(40, 10);
    let mut terminal = Terminal::new(size);
    terminal.feed(b"prompt$ ssh host\r\n");
    let mut drawing = Drawing::default();
    let mut picker = picker(&["main", "other"]);
    terminal.feed(&drawing.draw(&picker, size, false));
    press(&mut picker, b"j");
    terminal.feed(&drawing.draw(&picker, size, false));
    assert_eq!(
        terminal.text()[..6],
        [
            "prompt$ ssh host",
            "portcullis: ann",
            "  1 main  running  claude  …s/portcullis",
            "> 2 other  running  claude  …/portcullis",
            "↑↓ Enter attach  n new  q quit",
            ""
        ]
    );
    terminal.feed(&drawing.clear());
    assert_eq!(terminal.text()[..2], ["prompt$ ssh host", ""], "nothing is left");
    assert_eq!(terminal.0.grid().cursor.point.line, Line(1));
}

proptest! {
    #[test]
    fn redrawing_leaves_one_picture_at_any_size(
        cols in 4u16..120, rows in 2u16..40, count in 0usize..60,
        keys in prop::collection::vec(prop::sample::select(b"jkn1q\r\x7fx\x1b".to_vec()), 0..20),
        above in 0usize..40,
    ) {
        let size = WinSize::clamped(cols.into(), rows.into());
        let mut terminal = Terminal::new(size);
        terminal.feed("line\r\n".repeat(above).as_bytes());
        let mut drawing = Drawing::default();
        let names: Vec<String> = (0..count).map(|n| format!("session-{n}")).collect();
        let mut picker = picker(&names.iter().map(String::as_str).collect::<Vec<_>>());
        terminal.feed(&drawing.draw(&picker, size, false));
        for key in keys {
            press(&mut picker, &[key]);
            terminal.feed(&drawing.draw(&picker, size, false));
        }
        let (lines, _) = picker.lines(size);
        prop_assert!(lines.iter().all(|line| line.width() <= usize::from(size.cols())));
        let text = terminal.text();
        let wanted: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        let shown = |text: &[String]| text.windows(wanted.len()).any(|part| part.iter().map(String::as_str).eq(wanted.iter().copied()));
        prop_assert!(shown(&text), "{:?} in {:?}", wanted, text);
        terminal.feed(&drawing.clear());
        let left = terminal.text();
        prop_assert!(left.iter().all(|line| line.is_empty() || "line".starts_with(line.as_str())), "{:?}", left);
    }
}
