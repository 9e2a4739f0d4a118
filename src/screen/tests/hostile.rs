//! Output that would kill or bloat a bare engine.

use super::super::Screen;
use super::super::settle::Settler;
use super::compare::{Exactness, difference};
use super::generate::{Random, stream};
use super::{cases, feed, reference, screen, size};

fn fed(bytes: &[u8]) -> Screen {
    screen(80, 24, bytes)
}

#[test]
fn a_kitty_keyboard_loop_keeps_sixteen() {
    let mut screen = fed(&b"\x1b[>1u".repeat(5000));
    assert_eq!((screen.panics_caught(), screen.settler.engine.recorder.keys.len()), (0, 16));
    screen.feed_all(b"\x1b[>7u");
    assert_eq!(screen.state().kitty_flags, 7);
    screen.feed_all(b"\x1b[<u");
    assert_eq!(screen.state().kitty_flags, 1);
    screen.feed_all(b"\x1b[<15u");
    assert_eq!(screen.state().kitty_flags, 0);
}

#[test]
fn titles_and_their_stack_are_bounded() {
    let mut bytes = b"\x1b]0;".to_vec();
    bytes.extend("é".repeat(16 * 1024).bytes());
    bytes.extend_from_slice(b"\x07");
    bytes.extend(b"\x1b[22t".repeat(5000));
    let screen = fed(&bytes);
    assert_eq!(screen.state().title.len(), 1024);
    assert_eq!(screen.settler.engine.recorder.titles.len(), 16);
}

#[test]
fn a_title_cannot_carry_controls() {
    let screen = fed("\x1b]2;a\u{9b}6n\u{85}b\x7f\x07".as_bytes());
    assert_eq!(screen.state().title, "a6nb");
}

#[test]
fn an_endless_string_is_dropped_and_the_text_after_it_is_not() {
    for (open, close) in [
        ("\x1b]2;", "\x07"),
        ("\x1b]2;", "\x1b\\"),
        ("\x1b_G", "\x1b\\"),
        ("\x1bPq", "\x1b\\"),
        ("\x1b[", "m"),
        ("\x1bX", "\x18"),
    ] {
        let mut screen = Screen::new(size(80, 24));
        let mut kept = open.as_bytes().to_vec();
        for _ in 0..40 {
            kept.extend(b"0".repeat(4096));
            let consumed = screen.settle([&kept, &[]], false, usize::MAX).consumed;
            kept.drain(..consumed);
            assert!(kept.len() <= 80 * 1024, "{}", kept.len());
        }
        assert!(screen.settler.open.is_some());
        let paint = screen.snapshot();
        let rest = format!("000{close}text");
        kept.extend(rest.bytes());
        assert!(screen.settle([&kept, &[]], false, usize::MAX).done);
        assert_eq!((screen.text().as_str(), screen.state().title.as_str()), ("text", ""), "{open:?}");
        if open != "\x1b[" {
            let mut viewer = Screen::new(size(80, 24));
            viewer.feed_all(&[&paint, rest.as_bytes()].concat());
            assert_eq!((viewer.text().as_str(), viewer.state().title.as_str()), ("text", ""), "viewer of {open:?}");
        }
    }
}

#[test]
fn marks_do_not_pile_up_on_one_cell() {
    let mut bytes = b"a".to_vec();
    bytes.extend("\u{301}".repeat(100_000).bytes());
    bytes.extend("\r\x1b[C\u{302}".repeat(1000).bytes());
    bytes.extend("\u{65e5}".bytes());
    bytes.extend("\u{301}".repeat(100).bytes());
    let screen = fed(&bytes);
    assert_eq!(screen.text().chars().count(), 1 + 16 + 1 + 16);
}

#[test]
fn links_are_bounded() {
    let long = format!("\x1b]8;;http://x/{}\x07a\x1b]8;;\x07", "y".repeat(3000));
    assert!(!fed(long.as_bytes()).snapshot().escape_ascii().to_string().contains("http://x/"));
    let mut screen = Screen::new(size(200, 100));
    for n in 0..20_000 {
        let link = format!("\x1b]8;;http://{n}/{}\x07a", "y".repeat(1900));
        screen.feed_all(link.as_bytes());
    }
    let paint = screen.snapshot().len();
    assert!((100_000..3_000_000).contains(&paint), "{paint} bytes of repaint");
}

#[test]
fn repetitions_are_clamped_to_a_screenful() {
    let mut settler = Settler::new(size(20, 5), 0);
    feed(&mut settler, b"x\x1b[65535b");
    assert!(settler.engine.take_work() <= 140);
    for (cols, rows, before, count) in
        [(20, 5, "x", 65535), (7, 3, "\x1b[2;3Hyx", 999), (20, 5, "ab\x1b[?7lx", 400), (9, 4, "\x1b[4hx", 777)]
    {
        let output = format!("{before}\x1b[{count}b");
        let repeated = screen(cols, rows, output.as_bytes());
        let printed = screen(cols, rows, format!("{before}{}", "x".repeat(count)).as_bytes());
        let found = difference(&repeated.settler.engine.recorder, &printed.settler.engine.recorder, Exactness::Full);
        assert_eq!(found, Ok(()), "{output:?}");
    }
    // Not to be evaded by controls inside, leading zeros or a second parameter.
    for output in ["x\x1b[65\x0b535b", "x\x1b[00065535b", "x\x1b[65535;1b", "x\x1b[9\u{80}9999b"] {
        feed(&mut settler, output.as_bytes());
        assert!(settler.engine.take_work() <= 140, "{output:?}");
    }
}

#[test]
fn tabs_backward_without_stops_cost_a_row() {
    let mut settler = Settler::new(size(1000, 5), 0);
    feed(&mut settler, b"\x1b[3g\x1b[1000G");
    let _ = settler.engine.take_work();
    feed(&mut settler, &b"\x1b[65535Z".repeat(100));
    assert!(settler.engine.take_work() <= 100_000);
}

#[test]
fn expensive_sequences_end_a_slice_early() {
    let bytes = b"\x1b#8".repeat(20_000);
    let mut settler = Settler::new(size(200, 50), 0);
    let (first, _) = settler.settle([&bytes, &[]], false, 64 * 1024);
    let (second, done) = settler.settle([&bytes[first..], &[]], false, 64 * 1024);
    assert!(!done && (3..2000).contains(&second), "{second} bytes in one slice");
}

#[test]
fn an_endless_synchronized_update_holds_nothing_back() {
    let screen = fed(b"\x1b[?2026hshown\x1b[?2026h");
    assert_eq!(screen.text(), "shown");
    assert!(screen.state().synchronized);
}

#[test]
fn a_panic_costs_the_screen_only() {
    let mut screen = Screen::new(size(80, 24));
    screen.settler.engine.recorder.panic_at = Some('§');
    screen.feed_all(b"before\x1b[?1049h");
    screen.feed_all("a § b".as_bytes());
    assert_eq!((screen.panics_caught(), screen.text().as_str()), (1, ""));
    screen.feed_all(b"after");
    assert_eq!((screen.text().as_str(), screen.state().alternate), ("after", false));
}

#[test]
fn growing_keeps_no_spare_rows() {
    let mut settler = reference(size(80, 24), 0);
    feed(&mut settler, b"\x1b[>1u\x1b[=5uprimary\r\n\x1b[31m\x1b[2;2H\x1b7");
    settler.engine.resize(size(80, 25));
    assert_eq!(Screen::new(size(80, 25)).settler.engine.recorder.key_flags().bits(), 0);
    assert_eq!(settler.engine.recorder.key_flags().bits(), 5, "flags survive");
    feed(&mut settler, b"\x1b[?1049halternate");
    settler.engine.resize(size(80, 30));
    feed(&mut settler, b" more");
    let mut screen = Screen { settler };
    assert_eq!(screen.text(), "\n alternate more");
    screen.feed_all(b"\x1b[?1049l");
    assert_eq!((screen.text().as_str(), screen.state().kitty_flags), ("primary", 1));
}

#[test]
fn random_bytes_never_panic_the_engine() {
    for seed in 0..cases(150) {
        let mut random = Random::new(seed ^ 0xf022);
        let mut screen = Screen::new(size(random.between(2, 30) as u32, random.between(2, 9) as u32));
        for _ in 0..6 {
            let mut bytes = stream(&mut random, super::generate::Mix::General, 120);
            for _ in 0..random.below(30) {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            let seam = random.below(bytes.len());
            screen.settle([&bytes[..seam], &bytes[seam..]], false, usize::MAX);
            screen.resize(size(random.between(2, 30) as u32, random.between(2, 9) as u32));
            let mut viewer = Screen::new(screen.size());
            let paint = screen.snapshot();
            assert_eq!(viewer.feed_all(&paint), paint.len());
        }
        assert_eq!(screen.panics_caught(), 0, "seed {seed}");
    }
}
