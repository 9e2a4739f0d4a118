//! Sieve, screen and answers as a host uses them: one after the other on the same bytes.

use super::super::scan::{Kind, sequence};
use super::super::settle::Settler;
use super::super::{Mark, Query, Screen, Sieve, Sieved, Theme, What, answer};
use super::compare::{Exactness, difference};
use super::generate::{Mix, Random, stream};
use super::{cases, feed, reference, size};

/// Kept bytes of each push with their mark.
fn sieved(bytes: &[u8], random: &mut Random) -> Vec<(Vec<u8>, Mark)> {
    let (mut sieve, mut out) = (Sieve::new(), Sieved::default());
    let mut batches = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + random.pick(&[1, 9, 300, 4000])).min(bytes.len());
        sieve.push(&bytes[at..end], &mut out);
        let mut kept = Vec::new();
        out.assemble(&bytes[at..end], &mut kept);
        batches.push((kept, out.mark));
        at = end;
    }
    sieve.finish(&mut out);
    let mut kept = Vec::new();
    out.assemble(&[], &mut kept);
    batches.push((kept, out.mark));
    batches
}

#[test]
fn marks_are_hints_that_change_nothing() {
    let mut hinted = 0;
    for seed in 0..cases(300) {
        let mut random = Random::new(seed ^ 0x51e7e);
        let mix = random.pick(&[Mix::General, Mix::Flood, Mix::Flood]);
        let items = random.between(1, 40);
        let bytes = stream(&mut random, mix, items);
        let size = size(random.between(5, 44) as u32, random.between(2, 8) as u32);
        let (mut lazy, mut whole) = (Settler::new(size, 0), reference(size, 0));
        let (mut pending, mut plain, mut all) = (Vec::new(), true, Vec::new());
        let window = random.between(1, 3000);
        let batches = sieved(&bytes, &mut random);
        let last = batches.len() - 1;
        for (n, (kept, mark)) in batches.into_iter().enumerate() {
            all.extend_from_slice(&kept);
            pending.extend(kept);
            plain &= mark == Mark::Plain;
            if pending.len() >= window || n == last {
                hinted += usize::from(plain && pending.len() > 100);
                let (consumed, _) = lazy.settle([&pending, &[]], plain, usize::MAX);
                pending.drain(..consumed);
                // What is left over was begun in a batch with this mark.
                plain = pending.is_empty() || plain;
            }
        }
        feed(&mut whole, &all);
        let found = difference(&lazy.engine.recorder, &whole.engine.recorder, Exactness::Full);
        assert_eq!(found, Ok(()), "seed {seed}: {}", all.escape_ascii());
    }
    assert!(hinted > 0, "no window was plain");
}

#[test]
fn a_plain_mark_means_the_plain_set() {
    let mut plain = 0;
    for seed in 0..cases(500) {
        let mut random = Random::new(seed ^ 0x91a1);
        let bytes = stream(&mut random, Mix::Flood, 12);
        let mut open = false;
        for (kept, mark) in sieved(&bytes, &mut random) {
            let mut at = 0;
            while mark == Mark::Plain && !open && at < kept.len() {
                match kept[at] {
                    0x1b => {
                        let Some(found) = sequence(&kept, at) else { break };
                        let known = matches!(found.kind, Kind::Row | Kind::Repeat | Kind::Pen { .. });
                        assert!(known, "seed {seed}: {} is {:?}", kept[at..found.end].escape_ascii(), found.kind);
                        at = found.end;
                    }
                    byte => {
                        assert!(!matches!(byte, 0x0e | 0x0f), "seed {seed}: a shift is not plain");
                        at += 1;
                    }
                }
            }
            plain += usize::from(mark == Mark::Plain && kept.len() > 20);
            open = super::super::scan::last_ground(&kept) < kept.len() || open && !kept.contains(&0x1b);
        }
    }
    assert!(plain > 0, "no batch was plain");
}

#[test]
fn a_query_is_answered_from_the_screen_at_its_byte() {
    let (mut sieve, mut out) = (Sieve::new(), Sieved::default());
    let mut screen = Screen::new(size(20, 5));
    let input =
        b"ab\x1b[6nc\x1b[2;4r\x1b[?6h\x1b[2;2H\x1b[6n\x1b[?2026$p\x1b[?2026h\x1b[?2026$p\x1b[1;31m\x1bP$qm\x1b\\";
    sieve.push(input, &mut out);
    let mut kept = Vec::new();
    out.assemble(input, &mut kept);
    let mut consumed = 0;
    let mut answers = Vec::new();
    for note in &out.notes {
        if let What::Query(query) = &note.what {
            assert!(query.needs_screen(), "{query:?}");
            consumed += screen.feed_all(&kept[consumed..note.at]);
            assert_eq!(consumed, note.at, "a query stands outside sequences");
            answers.push(answer(query, &screen.answer_state(), &Theme::default()).expect("known"));
        }
    }
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let answers: Vec<_> = answers.iter().map(|bytes| text(bytes)).collect();
    assert_eq!(
        answers,
        [r"\x1b[1;3R", r"\x1b[2;2R", r"\x1b[?2026;2$y", r"\x1b[?2026;1$y", r"\x1bP1$r0;1;31m\x1b\\"],
        "{:?}",
        out.notes
    );
    assert!(!Query::PrimaryAttributes.needs_screen());
}
