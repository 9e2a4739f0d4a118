//! Repaints against what they repaint: now, after more output, after resizes, at any byte.

use super::super::paint::Painter;
use super::super::settle::Settler;
use super::super::{Checkpoint, HistoryJob, Screen};
use super::compare::{Exactness, difference, is_out_of_reach};
use super::generate::{Mix, Random, stream};
use super::{cases, feed, reference, screen, shrink, size};
use crate::base::WinSize;

/// What a program prints afterwards; it prints before it repeats.
const TAIL: &[u8] =
    b"p\t|\x1b[2bx\x0ey\x0f\x1b8z\r\n\r\nq\x1b[2bw\x1b[1;1H\x1bM\x1bMtop\x1b[99;1H\n\nend\x1b[?1049lback\x1b8,\x1b[?1049hagain\x1b[u\x1b[<u\x1b[23t";

fn painted(settler: Settler, again: bool) -> Vec<u8> {
    let screen = Screen { settler };
    if again { screen.repaint() } else { screen.snapshot() }
}

/// A settler that has taken in the stream with resizes in it; and the size it ended with.
fn drive(seed: u64, bytes: &[u8]) -> (Settler, WinSize) {
    let mut random = Random::new(seed ^ 77);
    let mut now = size(random.between(5, 44) as u32, random.between(2, 10) as u32);
    let mut settler = reference(now, 0);
    let mut at = 0;
    for _ in 0..random.below(4) {
        let end = random.between(at, bytes.len());
        at += feed(&mut settler, &bytes[at..end]);
        now = size(random.between(2, 60) as u32, random.between(2, 14) as u32);
        settler.engine.resize(now);
    }
    feed(&mut settler, &bytes[at..]);
    (settler, now)
}

/// False when the case is one that cannot be carried over.
fn check(seed: u64, stream: &[u8]) -> Result<bool, String> {
    let (mut original, now) = drive(seed, stream);
    let (again, _) = drive(seed, stream);
    let onto_used = seed.is_multiple_of(2);
    let bytes = painted(again, onto_used);
    let mut copy = reference(now, 0);
    if onto_used {
        // The viewer has seen the beginning; what it stacked as titles stays with it.
        feed(&mut copy, &stream[..stream.len() / 2]);
        feed(&mut copy, b"\x18");
        copy.engine.recorder.titles.clear();
    }
    feed(&mut copy, &bytes);
    if is_out_of_reach(&original.engine.recorder) {
        return Ok(false);
    }
    same(&original, &copy)?;
    feed(&mut original, TAIL);
    feed(&mut copy, TAIL);
    same(&original, &copy).map_err(|text| format!("tail: {text}"))?;
    Ok(true)
}

fn same(one: &Settler, other: &Settler) -> Result<(), String> {
    difference(&one.engine.recorder, &other.engine.recorder, Exactness::Repaint)
}

#[test]
fn any_output_repaints_to_the_same_screen_and_future() {
    let count = cases(1200);
    let mut carried = 0;
    for seed in 0..count {
        let mut random = Random::new(seed);
        let items = random.between(1, 300);
        let bytes = stream(&mut random, Mix::Whole, items);
        let found = check(seed, &bytes);
        carried += u64::from(found == Ok(true));
        if let Err(text) = found {
            let least = shrink(&bytes, |shorter| check(seed, shorter).is_err());
            let now = check(seed, &least);
            let (settler, size) = drive(seed, &least);
            let paint = painted(settler, seed.is_multiple_of(2));
            panic!(
                "seed {seed}: {text}\nshrunk to {} at {size}\n{now:?}\npainted {}",
                least.escape_ascii(),
                paint.escape_ascii()
            );
        }
    }
    assert!(carried * 100 > count * 80, "only {carried} of {count} cases compared");
}

#[test]
fn a_snapshot_and_the_bytes_after_it_equal_the_whole_stream() {
    for seed in 0..cases(300) {
        let mut random = Random::new(seed ^ 0x5eed);
        let bytes = stream(&mut random, Mix::Whole, 150);
        let size = size(random.between(5, 44) as u32, random.between(2, 10) as u32);
        let mut early = Screen { settler: reference(size, 0) };
        let offset = early.feed_all(&bytes[..random.below(bytes.len())]);
        if is_out_of_reach(&early.settler.engine.recorder) {
            continue;
        }
        let mut viewer = reference(size, 0);
        feed(&mut viewer, &early.snapshot());
        // What the screen repeats is not carried: print before the rest does.
        feed(&mut viewer, b".");
        early.feed_all(b".");
        feed(&mut viewer, &bytes[offset..]);
        early.feed_all(&bytes[offset..]);
        if !is_out_of_reach(&early.settler.engine.recorder) {
            let found = difference(&early.settler.engine.recorder, &viewer.engine.recorder, Exactness::Repaint);
            assert_eq!(found, Ok(()), "seed {seed}, offset {offset} of {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn leaving_the_alternate_screen_brings_back_what_the_engine_would_have() {
    for seed in 0..cases(200) {
        let mut random = Random::new(seed ^ 0xa17);
        let bytes = stream(&mut random, Mix::Whole, 60);
        let sizes: Vec<_> = (0..random.below(4)).map(|n| size(random.between(2, 60) as u32, 9 - n as u32)).collect();
        let back = |kept: bool| {
            let mut settler = reference(size(20, 10), 0);
            settler.engine.recorder.keeps_primary = kept;
            feed(&mut settler, &bytes);
            feed(&mut settler, b"\x1b[?1049l\x1b[?1049hother\r\n");
            for size in &sizes {
                settler.engine.resize(*size);
            }
            feed(&mut settler, b"\x1b[?1049l");
            let mut painter = Painter::default();
            painter.screen(settler.engine.recorder.term.grid());
            painter.out.escape_ascii().to_string()
        };
        assert_eq!(back(true), back(false), "seed {seed}: {}", bytes.escape_ascii());
    }
}

/// Lines above the screen, from an engine that keeps all of them.
fn all_history(size: WinSize, bytes: &[u8]) -> Vec<u8> {
    HistoryJob { settler: fed(size, bytes), lines: usize::MAX >> 40, pending: Vec::new() }.finish()
}

fn fed(size: WinSize, bytes: &[u8]) -> Settler {
    let mut settler = reference(size, 5000);
    feed(&mut settler, bytes);
    settler
}

#[test]
fn history_from_any_checkpoint_is_the_end_of_all_history() {
    for seed in 0..cases(150).min(2000) {
        let mut random = Random::new(seed ^ 0x4157);
        let size = size(random.between(5, 44) as u32, random.between(2, 10) as u32);
        let bytes: Vec<u8> = (0..400)
            .flat_map(|n| {
                let pen = random.pick(&["", "\x1b[31m", "\x1b[1;44m", "\x1b[m"]);
                let text = "word ".repeat(random.below(14));
                format!("{pen}{n} {text}漢\r\n").into_bytes()
            })
            .collect();
        let mut screen = Screen::new(size);
        let cut = screen.feed_all(&bytes[..random.below(bytes.len() / 2)]);
        let checkpoint: Checkpoint = screen.checkpoint();
        let lines = random.between(1, 300) as u32;
        let mut job = HistoryJob::new(&checkpoint, lines);
        for piece in bytes[cut..].chunks(random.between(1, 5000)) {
            job.feed(piece);
        }
        let rows = job.lines();
        let found = plain_lines(&job.finish(), rows);
        let all = all_history(size, &bytes);
        let whole = plain_lines(&all, 5000);
        assert!(!found.is_empty());
        assert!(whole.ends_with(&found[1..]), "seed {seed}: {:?} of {:?}", found.last(), whole.last());
    }
}

/// Flowing output as lines without attributes.
fn plain_lines(flow: &[u8], rows: usize) -> Vec<String> {
    assert!(rows > 0);
    let mut text = String::new();
    let mut rest = std::str::from_utf8(flow).expect("flow is text");
    while let Some(at) = rest.find('\x1b') {
        text.push_str(&rest[..at]);
        let end = super::super::scan::sequence(rest.as_bytes(), at).expect("whole").end;
        rest = &rest[end..];
    }
    text.push_str(rest);
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn history_on_the_alternate_screen_is_that_of_the_primary_one() {
    let mut screen = Screen::new(size(20, 4));
    screen.feed_all(b"start\r\n");
    let mut job = HistoryJob::new(&screen.checkpoint(), 100);
    job.feed(b"1\r\n2\r\n3\r\n4\r\n5\r\n\x1b[?1049h\x1b[2Jalternate\r\n\r\n\r\n\r\n\r\n");
    job.resize(size(30, 4));
    assert_eq!(job.lines(), 3);
    assert_eq!(plain_lines(&job.finish(), 3), ["start", "1", "2"]);
}

#[test]
fn a_wrapped_history_line_flows() {
    let mut job = HistoryJob::new(&Screen::new(size(5, 2)).checkpoint(), 10);
    job.feed(b"abcdefgh\r\n\x1b[41mx\r\n\r\n\r\n");
    let flow = job.finish();
    let rows = ["abcdefgh", "\x1b[41mx\x1b[0m", "\x1b[41m     \x1b[0m", ""].join("\r\n");
    let plain = "\x1b[m\x1b]8;;\x1b\\";
    assert_eq!(String::from_utf8(flow), Ok(format!("{plain}{rows}{plain}")));
}

#[test]
fn a_first_snapshot_pushes_up_and_never_clears_scrollback() {
    let bytes = screen(20, 4, b"one\r\ntwo").snapshot();
    let text = bytes.escape_ascii().to_string();
    assert!(!text.contains("[3J") && !text.contains("[2J"), "{text}");
    let mut viewer = Settler::new(size(20, 4), 50);
    feed(&mut viewer, b"$ ls\r\n$ ssh host\r\n");
    feed(&mut viewer, &bytes);
    let job = HistoryJob { settler: viewer, lines: 50, pending: Vec::new() };
    let flow = String::from_utf8(job.finish()).expect("text");
    assert!(flow.contains("$ ls\r\n$ ssh host"), "{flow:?}");
    let again = screen(20, 4, b"one\r\ntwo").repaint();
    let mut viewer = Settler::new(size(20, 4), 50);
    feed(&mut viewer, b"first\r\nsecond");
    feed(&mut viewer, &again);
    let mut job = HistoryJob { settler: viewer, lines: 50, pending: Vec::new() };
    assert_eq!(job.lines(), 0, "a repaint leaves the scrollback alone");
}
