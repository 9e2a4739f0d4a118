//! Fitted frames, judged by an engine that plays the viewer's terminal.

use super::super::{FittedView, Screen, enter_sequence, leave_sequence};
use super::compare::{Exactness, difference};
use super::generate::{Mix, Random, stream};
use super::{cases, screen, size};

/// A viewer's terminal.
fn terminal(cols: u32, rows: u32) -> Screen {
    Screen::new(size(cols, rows))
}

#[test]
fn a_small_window_shows_the_part_around_the_cursor() {
    let mut agent = screen(20, 6, b"1 one\r\n2 two\r\n3 three\r\n4 four\r\n5 five\r\n6 a line of 20 ch.");
    let mut view = FittedView::new(size(10, 4));
    let mut viewer = terminal(10, 4);
    let frame = view.frame(&agent, "status bar", false).expect("the first frame is whole");
    viewer.feed_all(&frame);
    assert_eq!(viewer.text(), "ee\n r\n\ne of 20 ch\nstatus bar".replace("ee\n r\n\ne of 20 ch", "\n\nf 20 ch."));
    assert_eq!(viewer.state().cursor, (2, 8));
    assert_eq!(view.frame(&agent, "status bar", false), None, "nothing changed");
    agent.feed_all(b"\x1b[1;1H");
    viewer.feed_all(&view.frame(&agent, "status bar", false).expect("the cursor moved away"));
    assert_eq!(viewer.text(), "1 one\n2 two\n3 three\nstatus bar");
    assert_eq!(viewer.state().cursor, (0, 0));
}

#[test]
fn only_changed_rows_are_sent() {
    let mut agent = screen(40, 10, b"\x1b[2J\x1b[1;1Hone\x1b[2;1Htwo\x1b[3;1Hthree");
    let mut view = FittedView::new(size(60, 12));
    view.frame(&agent, "s", true).expect("a full frame");
    agent.feed_all(b"\x1b[2;1HTWO");
    let frame = view.frame(&agent, "s", false).expect("a row changed").escape_ascii().to_string();
    assert!(frame.contains("TWO") && !frame.contains("one") && !frame.contains("three"), "{frame}");
    let status = view.frame(&agent, "other", false).expect("the status changed").escape_ascii().to_string();
    assert!(status.contains("other") && !status.contains("TWO"), "{status}");
}

#[test]
fn wide_characters_are_never_cut_in_half() {
    let agent = screen(20, 4, "漢字漢字漢字漢字漢字\x1b[1;20H".as_bytes());
    for cols in 2..20 {
        let mut view = FittedView::new(size(cols, 3));
        let mut viewer = terminal(cols, 3);
        viewer.feed_all(&view.frame(&agent, "", false).expect("first"));
        let row = viewer.text();
        let width = row
            .lines()
            .next()
            .map_or(0, |line| line.chars().filter(|c| *c != ' ').count() * 2 + line.matches(' ').count());
        assert!(width <= cols as usize, "{cols}: {row:?}");
        assert!(row.contains('字') || cols < 4, "{cols}: {row:?}");
    }
}

#[test]
fn frames_have_key_modes_and_no_mouse() {
    let mut agent = screen(20, 4, b"\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1h\x1b[>5u");
    let mut view = FittedView::new(size(10, 4));
    let mut viewer = terminal(10, 4);
    viewer.feed_all(b"\x1b[?1003h\x1b[2;3r\x1b[4h");
    viewer.feed_all(&view.frame(&agent, "", true).expect("first"));
    let state = viewer.state();
    assert!(!state.mouse && state.bracketed_paste && state.application_cursor && state.alternate);
    assert_eq!(state.kitty_flags, 5);
    agent.feed_all(b"\x1b[?2004l");
    viewer.feed_all(&view.frame(&agent, "", false).expect("a mode changed"));
    assert!(!viewer.state().bracketed_paste);
}

#[test]
fn a_status_cannot_act_on_the_terminal() {
    let agent = screen(20, 4, b"text");
    let mut view = FittedView::new(size(30, 4));
    let frame = view.frame(&agent, "a\x1b[2Jb", false).expect("first").escape_ascii().to_string();
    assert!(frame.contains("a\\\\u{1b}[2Jb"), "{frame}");
}

#[test]
fn changes_lead_to_the_same_picture_as_a_full_frame() {
    for seed in 0..cases(60) {
        let mut random = Random::new(seed ^ 0xf17);
        let window = (random.between(2, 40) as u32, random.between(2, 12) as u32);
        let mut agent = terminal(random.between(4, 44) as u32, random.between(2, 10) as u32);
        let mut view = FittedView::new(size(window.0, window.1));
        let mut viewer = terminal(window.0, window.1);
        for step in 0..6 {
            agent.feed_all(&stream(&mut random, Mix::Whole, 25));
            if let Some(frame) = view.frame(&agent, "status", step == 0) {
                assert_eq!(viewer.feed_all(&frame), frame.len());
            }
        }
        let mut fresh = terminal(window.0, window.1);
        let full = view.frame(&agent, "status", true).expect("full");
        fresh.feed_all(&full);
        assert_eq!(viewer.text(), fresh.text(), "seed {seed}");
        viewer.feed_all(&full);
        assert_eq!(viewer.state().cursor, fresh.state().cursor, "seed {seed}");
    }
}

#[test]
fn leaving_undoes_everything_that_would_disturb_a_shell() {
    for seed in 0..cases(100) {
        let mut random = Random::new(seed ^ 0x1eaf);
        let mut agent = terminal(30, 8);
        agent.feed_all(&stream(&mut random, Mix::Whole, 200));
        let mut viewer = terminal(30, 8);
        viewer.feed_all(b"\x1b]2;mine\x07");
        viewer.feed_all(enter_sequence());
        viewer.feed_all(&agent.snapshot());
        viewer.feed_all(leave_sequence());
        let state = viewer.state();
        assert!(!state.alternate && !state.mouse && !state.bracketed_paste && !state.application_cursor, "seed {seed}");
        assert!(!state.application_keypad && !state.synchronized && state.cursor_visible, "seed {seed}");
        assert_eq!((state.kitty_flags, state.cursor), (0, (7, 0)), "seed {seed}");
        let recorder = &viewer.settler.engine.recorder;
        assert!(recorder.region_is_full() && recorder.cursor_style.is_none() && recorder.modify_other_keys == 0);
        viewer.feed_all(b"\x1b[2J\x1b[Habc");
        let plain = terminal(30, 8);
        let cell = |screen: &Screen| screen.settler.engine.recorder.term.grid().cursor.template.clone();
        assert_eq!(cell(&viewer), cell(&plain), "seed {seed}");
        assert_eq!(viewer.text(), "abc", "seed {seed}: no insert mode, no character set");
    }
}

#[test]
fn a_frame_is_a_repaint_where_the_window_has_room() {
    let agent = screen(12, 4, "\x1b[1;31mred\x1b[m 漢 \x1b[4:3mwave\x1b[m\r\nplain".as_bytes());
    let mut view = FittedView::new(size(12, 5));
    let mut viewer = terminal(12, 5);
    viewer.feed_all(&view.frame(&agent, "", false).expect("first"));
    let mut cut = terminal(12, 5);
    cut.feed_all(
        "\x1b[?1049h\x1b[1;31mred\x1b[m 漢 \x1b[4:3mwave\x1b[m\r\nplain\x1b[5;1H\x1b[7m            \x1b[m\x1b[2;6H"
            .as_bytes(),
    );
    cut.feed_all(b"\x1b[?1007l\x1b[?1015l\x1b[?1016l");
    let found = difference(&viewer.settler.engine.recorder, &cut.settler.engine.recorder, Exactness::Repaint);
    assert_eq!(found, Ok(()));
    assert_eq!(viewer.text(), cut.text());
}

/// Characters that some terminals draw in one column and others in two: engine's columns, then what stands for the other opinion.
const DOUBTFUL: [(&str, &str); 8] = [
    ("❤\u{fe0f}", "漢"),
    ("1\u{fe0f}\u{20e3}", "漢"),
    ("👩\u{200d}👧", "漢"),
    ("👍🏽", "漢"),
    ("⌚", "x"),
    ("🦀", "x"),
    ("…", "漢"),
    ("\u{e0b0}", "漢"),
];

#[test]
fn a_character_of_doubtful_width_does_not_move_the_rest_of_its_row() {
    for (doubtful, instead) in DOUBTFUL {
        let line = format!("\x1b[41mab{doubtful}\x1b[mcd {doubtful}ef\r\n\x1b[44m{doubtful}\x1b[m\r\nlast");
        let agent = screen(20, 4, line.as_bytes());
        let mut view = FittedView::new(size(20, 5));
        let frame = view.frame(&agent, "", false).expect("first");
        for painted in [frame, agent.snapshot(), agent.repaint()] {
            let painted = String::from_utf8(painted).expect("text");
            let mut same = terminal(20, 5);
            same.feed_all(painted.as_bytes());
            let mut other = terminal(20, 5);
            other.feed_all(painted.replace(doubtful, instead).as_bytes());
            let columns = |screen: &Screen| {
                let grid = screen.settler.engine.recorder.term.grid();
                let row = &grid[alacritty_terminal::index::Line(0)];
                (0..20)
                    .filter(|at| matches!(row[alacritty_terminal::index::Column(*at)].c, 'a'..='f'))
                    .collect::<Vec<_>>()
            };
            assert_eq!(columns(&same).len(), 6, "{doubtful}: {}", painted.escape_debug());
            assert_eq!(columns(&other), columns(&same), "{doubtful}: {}", painted.escape_debug());
            assert!(other.text().contains("\nlast"), "{doubtful}");
        }
    }
}

#[test]
fn a_line_drawing_is_told_its_column_once() {
    let agent = screen(40, 2, format!("┌{}┐x", "─".repeat(30)).as_bytes());
    let mut view = FittedView::new(size(50, 5));
    let frame = String::from_utf8(view.frame(&agent, "", false).expect("first")).expect("text");
    assert_eq!(frame.matches('G').count(), 1, "{}", frame.escape_debug());
    assert!(frame.contains("┐\x1b[33Gx"), "{}", frame.escape_debug());
}
