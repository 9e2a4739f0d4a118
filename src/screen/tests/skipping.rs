//! Leaving out what is dead changes nothing: against an engine that interprets everything, and with each clause of the rule left out.

use super::super::settle::Settler;
use super::super::skip::Clause;
use super::compare::{Exactness, difference};
use super::generate::{Mix, Random, stream};
use super::{cases, feed, reference, shrink, size};

/// Prints, tabs, repeats, restores the cursor, scrolls both ways.
const TAIL: &[u8] =
    b"\x1b[b.\t|\x1b[3bx\x0ey\x0f\x1b8z\r\n\r\nq\x1b[2bw\x1b[1;1H\x1bM\x1bMtop\x1b[99;1H\n\nend\x1b[?1049l.\x1b8,";

struct Case {
    cols: u32,
    rows: u32,
    history: usize,
    seed: u64,
    without: Option<Clause>,
}

/// Both engines' states after `bytes` and after the tail, and how much was left out.
fn run(case: &Case, bytes: &[u8]) -> Result<u64, String> {
    let mut random = Random::new(case.seed ^ 0xabcd);
    let size = size(case.cols, case.rows);
    let mut whole = reference(size, case.history);
    let mut lazy = Settler::new(size, case.history);
    lazy.without = case.without;
    let (cut, window) = (random.between(1, 700), random.pick(&[2, 300, 5000, 50_000, 100_000]));
    let consumed = feed_in_cuts(&mut whole, bytes, cut);
    let settled = settle_in_windows(&mut lazy, bytes, window, &mut random);
    if consumed != settled {
        return Err(format!("{settled} bytes settled, {consumed} interpreted"));
    }
    difference(&lazy.engine.recorder, &whole.engine.recorder, Exactness::Full)?;
    let skipped = lazy.skipped;
    feed(&mut whole, TAIL);
    feed(&mut lazy, TAIL);
    difference(&lazy.engine.recorder, &whole.engine.recorder, Exactness::Full)
        .map_err(|text| format!("tail: {text}"))?;
    Ok(skipped)
}

fn feed_in_cuts(settler: &mut Settler, bytes: &[u8], cut: usize) -> usize {
    let (mut at, mut end) = (0, 0);
    while end < bytes.len() {
        end = (end + cut).min(bytes.len());
        at += feed(settler, &bytes[at..end]);
    }
    at
}

/// As a host does: bytes pile up to a window, then are settled in slices of any budget, across a seam anywhere.
fn settle_in_windows(settler: &mut Settler, bytes: &[u8], window: usize, random: &mut Random) -> usize {
    let (mut at, mut end) = (0, 0);
    while end < bytes.len() {
        end = (end + random.between(window / 2, window)).min(bytes.len());
        let seam = random.between(at, end);
        loop {
            let budget = random.pick(&[1, 30, 500, 1_000_000]);
            let pieces = if at < seam { [&bytes[at..seam], &bytes[seam..end]] } else { [&bytes[at..end], &[][..]] };
            let (consumed, done) = settler.settle(pieces, false, budget);
            at += consumed;
            if done {
                break;
            }
        }
        assert!(settler.is_exact());
    }
    at
}

fn case(seed: u64, without: Option<Clause>, mix: Mix) -> (Case, Vec<u8>) {
    let mut random = Random::new(seed);
    let case = Case {
        cols: random.between(5, 44) as u32,
        rows: random.between(2, 10) as u32,
        history: random.pick(&[0, 0, 7, 40]),
        seed,
        without,
    };
    let items = random.between(1, if mix == Mix::Flood { 40 } else { 1500 });
    let bytes = stream(&mut random, mix, items);
    (case, bytes)
}

/// How many percent were left out in all cases together.
fn holds(mix: Mix, count: u64) -> u64 {
    let (mut skipped, mut bytes_in_all) = (0, 0);
    for seed in 0..count {
        let (case, bytes) = case(seed, None, mix);
        match run(&case, &bytes) {
            Ok(left_out) => skipped += left_out,
            Err(text) => {
                let least = shrink(&bytes, |shorter| run(&case, shorter).is_err());
                let now = run(&case, &least).err();
                panic!(
                    "seed {seed} {}x{} history {}: {text}\nshrunk to {}\n{now:?}",
                    case.cols,
                    case.rows,
                    case.history,
                    least.escape_ascii()
                );
            }
        }
        bytes_in_all += bytes.len() as u64;
    }
    skipped * 100 / bytes_in_all
}

#[test]
fn a_general_mix_ends_on_the_same_screen() {
    let percent = holds(Mix::General, cases(300));
    assert!(percent >= 10, "only {percent} % left out: nothing was tested");
}

#[test]
fn floods_end_on_the_same_screen() {
    let percent = holds(Mix::Flood, cases(1500));
    assert!(percent >= 25, "only {percent} % left out: nothing was tested");
}

/// Without this clause some case differs.
fn dies_without(clause: Clause) {
    let most = cases(6000).max(6000);
    let found = (0..most).find(|seed| {
        let (case, bytes) = case(*seed, Some(clause), Mix::Flood);
        run(&case, &bytes).is_err()
    });
    assert!(found.is_some(), "{clause:?} may be left out of the rule and no case notices");
}

#[test]
fn fewer_lines_are_noticed() {
    dies_without(Clause::AllLines);
}

#[test]
fn a_smaller_region_is_noticed() {
    dies_without(Clause::FullRegion);
}

#[test]
fn missing_pens_are_noticed() {
    dies_without(Clause::Pens);
}

#[test]
fn missing_lasting_state_is_noticed() {
    dies_without(Clause::Keeps);
}

#[test]
fn a_missing_carriage_return_is_noticed() {
    dies_without(Clause::CarriageReturn);
}

#[test]
fn a_repetition_of_dead_text_is_noticed() {
    dies_without(Clause::Printing);
}

#[test]
fn an_upward_step_in_the_tail_is_noticed() {
    dies_without(Clause::NoGrid);
}

#[test]
fn a_plain_flood_is_left_out_with_and_without_the_hint() {
    let lines: Vec<u8> = (0..20_000).flat_map(|n| format!("\x1b[32mline\x1b[0m {n}\r\n").into_bytes()).collect();
    let size = size(80, 24);
    let mut whole = reference(size, 0);
    feed(&mut whole, &lines);
    for plain in [false, true] {
        let mut lazy = Settler::new(size, 0);
        let (consumed, done) = lazy.settle([&lines, &[]], plain, usize::MAX);
        assert_eq!((consumed, done), (lines.len(), true));
        assert!(lazy.skipped * 100 > 90 * lines.len() as u64, "{} of {}", lazy.skipped, lines.len());
        assert_eq!(difference(&lazy.engine.recorder, &whole.engine.recorder, Exactness::Full), Ok(()));
    }
}

#[test]
fn a_wrong_hint_is_noticed_where_it_matters() {
    let mut bytes = b"\x1b[2;5r\x1b]2;kept\x07".to_vec();
    bytes.extend(b"text\r\n".repeat(2000));
    let mut lazy = Settler::new(size(20, 6), 0);
    lazy.settle([&bytes, &[]], true, usize::MAX);
    assert_eq!(lazy.engine.recorder.region, (1, 5));
    assert_eq!(lazy.engine.recorder.title, "kept");
}

#[test]
fn a_budget_makes_slices_that_end_outside_sequences() {
    let bytes = "\x1b[1mé\x1b[0m漢\x1b]2;title\x07".repeat(300).into_bytes();
    let mut lazy = Settler::new(size(20, 6), 0);
    let (mut at, mut slices) = (0, 0);
    loop {
        let (consumed, done) = lazy.settle([&bytes[at..], &[]], false, 100);
        at += consumed;
        slices += 1;
        let mut screen = super::Screen { settler: reference(size(20, 6), 0) };
        assert_eq!(screen.feed_all(&bytes[..at]), at, "cut inside a sequence");
        if done {
            break;
        }
        assert!(consumed <= 200, "{consumed} bytes for a budget of 100");
    }
    assert_eq!(at, bytes.len());
    assert!(slices > 20, "{slices}");
}
