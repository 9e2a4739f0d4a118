//! Random streams: chunks do not matter, a second sieve finds nothing, an engine of another make has nothing to say.

use super::super::What;
use super::sieve;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::term::test::TermSize;
use alacritty_terminal::term::{Config as TermConfig, Osc52, Term};
use alacritty_terminal::vte::ansi::Processor;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::rc::Rc;

/// The same streams in every run; `PORTCULLIS_CASES` makes more of them.
fn runner(seed: u8) -> TestRunner {
    let cases = std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

/// What passes unchanged.
const CLEAN: &[&str] = &[
    "text ",
    "é©»",
    "漢🎉e\u{301}",
    "\r\n",
    "\n",
    "\t",
    "\x08",
    "\x0e",
    "\x0f",
    "\x07",
    "\x1b[1m",
    "\x1b[38;2;1;2;3m",
    "\x1b[K",
    "\x1b[2J",
    "\x1b[3;4H",
    "\x1b[2A",
    "\x1b[5b",
    "\x1b[2;4r",
    "\x1b[s",
    "\x1b7",
    "\x1b8",
    "\x1bM",
    "\x1bc",
    "\x1b#8",
    "\x1b(0",
    "\x1b[?25l",
    "\x1b[?2026h",
    "\x1b[?2026l",
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1b[?6h",
    "\x1b[>1u",
    "\x1b[<u",
    "\x1b[4h",
    "\x1b[2 q",
    "\x1b[22t",
    "\x1b[23t",
    "\x1b]0;title\x07",
    "\x1b]2;títle\x1b\\",
    "\x1b]8;;http://example.org/\x1b\\",
    "\x1b]4;1;rgb:00/11/22\x07",
    "\x1b]11;#123456\x1b\\",
    "\x1b]104\x07",
    "\x1bPq#0~\x1b\\",
    "\x1b_Ga=T;AAAA\x1b\\",
    "\x1b^pm\x1b\\",
];

/// Questions, alone or hidden in something.
const ASKING: &[&str] = &[
    "\x1b[c",
    "\x1b[>c",
    "\x1b[=c",
    "\x1b[>q",
    "\x1bZ",
    "\x1b[5n",
    "\x1b[6n",
    "\x1b[?6n",
    "\x1b[?996n",
    "\x1b[4$p",
    "\x1b[?2026$p",
    "\x1b[?u",
    "\x1b[?4m",
    "\x1b[14t",
    "\x1b[18t",
    "\x1b]4;1;?\x07",
    "\x1b]4;1;red;2;?\x07",
    "\x1b]10;?;?\x1b\\",
    "\x1b]11;?\u{9c}",
    "\x1b]12;?\x07",
    "\x1b]52;c;?\x07",
    "\x1b]52;c;aGVsbG8=\x07",
    "\x1b]9;note\x07",
    "\x1b]66;;big\x07",
    "\x1bP+q544e\x1b\\",
    "\x1bP$qm\x1b\\",
    "\x1b_Ga=q;\x1b\\",
    "\u{9b}6n",
    "\u{9d}11;?\x07",
    "\u{9a}",
    "\x05",
    "\x1b[?1004h",
    "\x1b[?2004;1004h",
    "\x1b[?47h",
    "\x1b[1;2s",
];

/// What questions are made of, and what breaks sequences.
const FRAGMENTS: &[&[u8]] = &[
    b"\x1b",
    b"\x1b[",
    b"[",
    b"6n",
    b"c",
    b"[c",
    b"n",
    b"?",
    b"?\x07",
    b"\\",
    b"\x1b\\",
    b"\x18",
    b"\x1a",
    b"\xc2",
    b"\x9b",
    b"\x9c",
    b"\xc2\x9c",
    b"\xc2\x80",
    b"1",
    b"\x1b]1",
    b"0;?",
    b"\xc2\x9b",
    b"\x9d",
    b"\x1b]",
    b"]",
    b"11;",
    b"11;?",
    b"4;1;",
    b"52;c;",
    b"\x07",
    b"\x1bP",
    b"P",
    b"+q",
    b"$q",
    b"q",
    b"\x1b_",
    b"_G",
    b"a=q",
    b";",
    b"0",
    b"6",
    b"5",
    b">",
    b"=",
    b"$",
    b"p",
    b" ",
    b"\x7f",
    b"\x00",
    b"\n",
    b"\r",
    b"\x05",
    b"\xe2",
    b"\xe2\x9c\x93",
    b"\xff",
    b"\x1b]0;",
    b"\x1b]8;",
    b"\x1b[?",
    b"1004",
    b"h",
    b"u",
    b"t",
    b"14",
    b"Z",
    b"\x1b^",
    b"\x1bX",
    b"\x1b(",
    b"%",
    b"@",
];

fn item() -> impl Strategy<Value = Vec<u8>> {
    let words = |words: &'static [&'static str]| select(words).prop_map(|word| word.as_bytes().to_vec());
    let truncated = select(ASKING).prop_flat_map(|word| {
        (1..=word.len()).prop_map(move |cut| word.as_bytes().get(..cut).unwrap_or_default().to_vec())
    });
    prop_oneof![
        3 => words(CLEAN),
        2 => words(ASKING),
        2 => truncated,
        4 => select(FRAGMENTS).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ]
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(item(), 1..40).prop_map(|items| items.concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4usize, 1..40usize], 1..8)
}

/// Collects whatever an engine wants to say.
#[derive(Clone, Default)]
struct Said(Rc<RefCell<Vec<String>>>);

impl EventListener for Said {
    fn send_event(&self, event: Event) {
        if let Event::PtyWrite(_)
        | Event::ColorRequest(..)
        | Event::TextAreaSizeRequest(_)
        | Event::ClipboardLoad(..)
        | Event::ClipboardStore(..) = event
        {
            self.0.borrow_mut().push(format!("{event:?}"));
        }
    }
}

fn engine_says(stream: &[u8]) -> Vec<String> {
    let said = Said::default();
    let config = TermConfig { kitty_keyboard: true, osc52: Osc52::CopyPaste, ..TermConfig::default() };
    let mut term = Term::new(config, &TermSize::new(20, 5), said.clone());
    let mut processor: Processor = Processor::new();
    processor.advance(&mut term, stream);
    processor.stop_sync(&mut term);
    let said = said.0.borrow();
    said.clone()
}

#[test]
fn the_engine_does_answer_when_it_is_asked() {
    let talkative = ASKING.iter().filter(|asking| !engine_says(asking.as_bytes()).is_empty()).count();
    assert!(talkative >= 15, "only {talkative}");
}

#[test]
fn streams_without_questions_pass_unchanged() {
    let streams = (prop::collection::vec(select(CLEAN), 1..60), cuts());
    runner(1)
        .run(&streams, |(items, cuts)| {
            let stream = items.concat().into_bytes();
            let (kept, notes) = sieve(&stream, &cuts);
            prop_assert_eq!(kept, stream);
            let loud = notes
                .iter()
                .any(|note| !matches!(note.what, What::Bell | What::Title(_) | What::FrameStart | What::FrameEnd));
            prop_assert!(!loud);
            Ok(())
        })
        .unwrap();
}

#[test]
fn questions_between_complete_sequences_leave_exactly_the_rest() {
    let asking = select(&ASKING[..15]);
    let streams = (prop::collection::vec((select(CLEAN), prop::option::of(asking)), 1..30), cuts());
    runner(2)
        .run(&streams, |(items, cuts)| {
            let (mut stream, mut rest, mut places) = (String::new(), String::new(), Vec::new());
            for (clean, asking) in items {
                stream.push_str(clean);
                rest.push_str(clean);
                if let Some(asking) = asking {
                    stream.push_str(asking);
                    places.push(rest.len());
                }
            }
            let (kept, notes) = sieve(stream.as_bytes(), &cuts);
            prop_assert_eq!(kept, rest.as_bytes());
            let noted: Vec<usize> =
                notes.iter().filter(|note| matches!(note.what, What::Query(_))).map(|note| note.at).collect();
            prop_assert_eq!(noted, places);
            Ok(())
        })
        .unwrap();
}

#[test]
fn chunks_change_neither_bytes_nor_notes() {
    runner(3)
        .run(&(hostile(), cuts()), |(stream, cuts)| {
            prop_assert_eq!(sieve(&stream, &cuts), sieve(&stream, &[usize::MAX]));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_second_sieve_finds_nothing() {
    runner(4)
        .run(&(hostile(), cuts()), |(stream, cuts)| {
            let (kept, notes) = sieve(&stream, &cuts);
            let (again, second) = sieve(&kept, &[usize::MAX]);
            prop_assert_eq!(&again, &kept);
            let quiet = |what: &What| matches!(what, What::Bell | What::Title(_) | What::FrameStart | What::FrameEnd);
            let first: Vec<_> = notes.into_iter().filter(|note| quiet(&note.what)).collect();
            prop_assert_eq!(second, first);
            // Nothing that a parser of C1 controls would act on.
            let c1 = kept.windows(2).any(|pair| {
                pair[0] == 0xc2
                    && (0x90..=0x9f).contains(&pair[1])
                    && pair[1] != 0x9c
                    && !matches!(pair[1], 0x91..=0x95 | 0x99)
            });
            prop_assert!(!c1, "{}", kept.escape_ascii());
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_engine_has_nothing_to_say() {
    runner(5)
        .run(&(hostile(), cuts()), |(stream, cuts)| {
            let (kept, _) = sieve(&stream, &cuts);
            let said = engine_says(&kept);
            prop_assert!(said.is_empty(), "{:?} to {}", said, kept.escape_ascii());
            Ok(())
        })
        .unwrap();
}
