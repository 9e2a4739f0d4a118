//! Each attribute and mode, one by one: a program sets it, a repaint carries it over.

use super::super::Screen;
use super::compare::{Exactness, difference};
use super::{feed, reference, screen, size};

/// A snapshot of what `output` made is, on a fresh engine, the same now and after `later`.
fn survives(name: &str, output: &[u8], later: &[u8]) {
    let mut original = screen(24, 6, output);
    let paint = original.snapshot();
    let mut copy = reference(size(24, 6), 0);
    feed(&mut copy, &paint);
    let compare = |original: &Screen, copy: &super::Settler, when| {
        let found = difference(&original.settler.engine.recorder, &copy.engine.recorder, Exactness::Repaint);
        assert_eq!(found, Ok(()), "{name} {when}: {}", paint.escape_ascii());
    };
    compare(&original, &copy, "now");
    original.feed_all(later);
    feed(&mut copy, later);
    compare(&original, &copy, "later");
}

/// The output must differ from the same without what is tested: otherwise the case tests nothing.
fn matters(name: &str, output: &[u8]) {
    let plain = screen(24, 6, b"");
    let set = screen(24, 6, output);
    let found = difference(&plain.settler.engine.recorder, &set.settler.engine.recorder, Exactness::Repaint);
    assert!(found.is_err(), "{name} changes nothing");
}

const LATER: &[u8] = b"more\r\ntext\t|\x1b8saved\x1b[A\x1b[K";

#[test]
fn attributes() {
    for sgr in [
        "1",
        "2",
        "3",
        "4",
        "4:2",
        "4:3",
        "4:4",
        "4:5",
        "7",
        "8",
        "9",
        "1;2;3;7;9",
        "31",
        "97",
        "45",
        "103",
        "38;5;123",
        "48;5;9",
        "38;2;1;2;3",
        "48;2;255;0;7",
        "4;58:2::1:2:3",
        "4:3;58:5:77",
        "58:5:3",
    ] {
        let output = format!("a\x1b[{sgr}mbc\x1b[md\r\n\x1b[{sgr}me\x1b[K\r\nopen");
        matters(sgr, output.as_bytes());
        survives(sgr, output.as_bytes(), LATER);
    }
}

#[test]
fn modes() {
    for (name, output) in [
        ("application cursor", "\x1b[?1h"),
        ("origin", "\x1b[2;4r\x1b[?6h\x1b[2;3H"),
        ("no wrap", "\x1b[?7l"),
        ("hidden cursor", "\x1b[?25l"),
        ("mouse clicks", "\x1b[?1000h"),
        ("mouse drag", "\x1b[?1002h\x1b[?1006h"),
        ("mouse motion", "\x1b[?1003h\x1b[?1005h"),
        ("focus", "\x1b[?1004h"),
        ("alternate scroll", "\x1b[?1007l"),
        ("urgency", "\x1b[?1042l"),
        ("bracketed paste", "\x1b[?2004h"),
        ("synchronized output", "\x1b[?2026h"),
        ("insert", "abc\x1b[4h\x1b[2D"),
        ("new line", "\x1b[20h"),
        ("keypad", "\x1b="),
        ("blinking cursor", "\x1b[?12h"),
        ("cursor style", "\x1b[5 q"),
        ("cursor shape", "\x1b]50;CursorShape=2\x07"),
        ("modifyOtherKeys", "\x1b[>4;2m"),
        ("reverse video", "\x1b[?5h"),
        ("kitty keyboard", "\x1b[>1u\x1b[>31u"),
        ("kitty flags beside the stack", "\x1b[>1u\x1b[=4;2u"),
        ("kitty keyboard of the other screen", "\x1b[?1049h\x1b[>5u\x1b[?1049l"),
        ("title", "\x1b]2;name\x1b\\"),
        ("title stack", "\x1b]2;one\x1b\\\x1b[22t\x1b]2;two\x1b\\"),
        ("palette", "\x1b]4;1;rgb:10/20/30\x1b\\\x1b]11;#000080\x07"),
        ("tab stops", "\x1b[3g\x1b[5G\x1bH\x1b[1G"),
        ("line drawing", "\x1b(0lqk"),
        ("shifted out", "\x1b)0\x0elq"),
        ("region", "\x1b[2;4r\x1b[3;1H"),
        ("region of the last row", "\x1b[6;9r\x1b[2;2H"),
        ("empty region", "\x1b[8;9r\x1b[2;2H"),
        ("pen alone", "\x1b[1;31;44m"),
        ("open link", "\x1b]8;id=x;https://e.example/\x1b\\"),
    ] {
        matters(name, output.as_bytes());
        survives(name, output.as_bytes(), LATER);
        survives(name, output.as_bytes(), b"\x1b[?1049h\x1b[23t\x1b[<u\x1b[?1049l.");
    }
}

#[test]
fn text_of_any_width() {
    for (name, output) in [
        ("wide", "漢字テスト"),
        ("wide at the margin", "12345678901234567890123漢x"),
        ("emoji", "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f} 🏳\u{fe0f}\u{200d}🌈"),
        ("combining", "e\u{301}n\u{303}\u{323}"),
        ("wrapped", "a long line that wraps around the margin twice or so, no?"),
        ("wrapped into a blank", "123456789012345678901234 x\x1b[2;2H\x1b[K"),
        ("wrapped with a colour", "\x1b[44m123456789012345678901234567\x1b[m"),
        ("pending wrap", "123456789012345678901234"),
        ("pending wrap of a wide one", "1234567890123456789012漢"),
        ("links", "\x1b]8;;https://a.example/;b\x1b\\one\x1b]8;;\x1b\\ \x1b]8;id=2;https://c.example\x07two"),
        ("last cell of the screen", "\x1b[6;24Hx"),
        ("background to the margin", "\x1b[48;5;4m\x1b[2K\x1b[3;1H\x1b[J\x1b[mx"),
        ("leading blank whose character is gone", "12345678901234567890123漢\x1b[2;1H\x1b[K"),
    ] {
        matters(name, output.as_bytes());
        survives(name, output.as_bytes(), LATER);
    }
}

#[test]
fn both_screens() {
    for (name, output) in [
        ("alternate", "primary\r\ntext\x1b[?1049halt\x1b[3;3H"),
        ("alternate in colour", "\x1b[45mprimary\x1b[?1049halt"),
        ("pending wrap under it", "123456789012345678901234\x1b[?1049h\x1b[H"),
        ("saved cursors", "\x1b[2;5H\x1b[32m\x1b7\x1b[?1049h\x1b[4;4H\x1b[31m\x1b)0\x1b7\x1b[H"),
        ("saved cursor", "\x1b[2;5H\x1b[32m\x1b(0\x1b7\x1b[H\x1b[m\x1b(B"),
        ("back again", "one\x1b[?1049htwo\x1b[?1049l"),
        ("charsets under it", "\x1b(0q\x1b[?1049h\x1b(Bq"),
    ] {
        survives(name, output.as_bytes(), b"\x1b8x\x1b[?1049lq\x1b8y");
        survives(name, output.as_bytes(), LATER);
    }
}

#[test]
fn the_engines_states_are_told() {
    let set = screen(
        24,
        6,
        b"\x1b]2;T\x07\x1b[?1h\x1b=\x1b[?2004h\x1b[?1000h\x1b[?2026h\x1b[>3u\x1b[?25l\x1b[?1049h\x1b[>5u\x1b[3;4H",
    );
    let state = set.state();
    assert_eq!((state.title.as_str(), state.cursor, state.kitty_flags), ("T", (2, 3), 5));
    assert!(state.application_cursor && state.application_keypad && state.bracketed_paste);
    assert!(state.mouse && state.synchronized && state.alternate && !state.cursor_visible);
    let blank = screen(24, 6, b"").state();
    assert!(blank.cursor_visible && !blank.mouse && !blank.synchronized && !blank.alternate);
    let answers = screen(24, 6, b"\x1b[2;4r\x1b[?6h\x1b[2;3H\x1b[0;1;31m\x1b]11;#123456\x07\x1b[4 q").answer_state();
    assert_eq!((answers.cursor, answers.region, answers.origin), ((3, 3), (2, 4), true));
    assert_eq!((answers.pen.as_str(), answers.cursor_style), ("0;1;31", 4));
    assert_eq!(answers.colors.get(&super::super::ColorSlot::Background), Some(&[0x12, 0x34, 0x56]));
    assert_eq!((answers.private_modes.get(&6), answers.private_modes.get(&2026)), (Some(&true), Some(&false)));
}

#[test]
fn text_is_what_can_be_read() {
    let shown = screen(12, 4, "a\tb  \r\n漢e\u{301}\r\n\r\n".as_bytes());
    assert_eq!(shown.text(), "a       b\n漢e\u{301}");
}
