//! Conversations as rows at three widths.

use super::*;
use crate::wire::pipe_output;
use crate::wire::v1::{AgentError, Diff, Plan, PlanEntry, PlanStatus};

fn event(kind: Kind) -> AgentEvent {
    AgentEvent { kind: Some(kind), ..AgentEvent::default() }
}

fn chunk(text: &str, block: u32, whole: bool) -> Kind {
    Kind::Message(MessageChunk { text: text.into(), message_id: "m".into(), block, whole, ..Default::default() })
}

fn thought(text: &str, whole: bool) -> Kind {
    Kind::Thought(ThoughtChunk { text: text.into(), message_id: "m".into(), whole, ..Default::default() })
}

fn call(id: &str, title: &str, kind: ToolKind, diffs: Vec<Diff>) -> Kind {
    let (tool_call_id, title) = (id.into(), title.into());
    Kind::ToolCall(ToolCall { tool_call_id, title, kind: kind.into(), diffs, ..Default::default() })
}

fn done(id: &str, status: ToolStatus, content: &str) -> Kind {
    let (tool_call_id, content) = (id.into(), content.into());
    Kind::ToolCallUpdate(ToolCallUpdate { tool_call_id, status: status.into(), content, ..Default::default() })
}

fn transcript(width: usize) -> Transcript {
    let mut transcript = Transcript::default();
    transcript.set_width(width);
    transcript
}

fn shown(width: usize, kinds: Vec<Kind>) -> Vec<String> {
    let mut transcript = transcript(width);
    kinds.into_iter().for_each(|kind| transcript.take(&event(kind)));
    transcript.take_rows().iter().map(|row| row.text().to_owned()).collect()
}

#[test]
fn a_turn_reads_like_a_conversation() {
    let user = UserMessage { text: "fix it".into(), who: "ann".into(), ..Default::default() };
    let usage = Usage { input_tokens: 1600, output_tokens: 30, total_cost_micros: 12_500, ..Default::default() };
    let ended = TurnEnded { stop_reason: StopReason::EndTurn.into(), duration_ms: 3210, ..Default::default() };
    let diff = Diff { path: "a.rs".into(), old: "one".into(), new: "two".into() };
    let rows = shown(
        40,
        vec![
            Kind::UserMessage(user),
            thought("hm ", false),
            thought("hm well", true),
            chunk("I look.", 1, false),
            chunk("I look.", 1, true),
            call("t1", "cargo test", ToolKind::Execute, Vec::new()),
            done("t1", ToolStatus::Completed, "ok\n"),
            call("t2", "Edit a.rs", ToolKind::Edit, vec![diff]),
            done("t2", ToolStatus::Completed, ""),
            chunk("Done.", 2, true),
            Kind::Usage(usage),
            Kind::TurnEnded(ended),
        ],
    );
    let wanted = [
        "ann> fix it",
        "",
        "  hm well",
        "",
        "I look.",
        "",
        "$ cargo test",
        "  ok",
        "",
        "~ Edit a.rs",
        "  - one",
        "  + two",
        "",
        "Done.",
        "",
        "-- done, 3.2 s, 1600 tokens in, 30 out,",
        "$0.02 in all",
    ];
    assert_eq!(rows, wanted);
}

#[test]
fn pieces_are_said_once_also_when_others_speak_between_them() {
    let between = shown(
        40,
        vec![
            chunk("first, ", 0, false),
            call("t", "x", ToolKind::Other, Vec::new()),
            chunk("second", 0, false),
            chunk("first, second", 0, true),
        ],
    );
    assert_eq!(between, ["first, ", "", "+ x", "", "second"]);
    assert_eq!(shown(40, vec![chunk("a\nb", 0, false), chunk("a\nb", 0, true)]), ["a", "b"]);
    assert_eq!(shown(40, vec![chunk("never whole", 0, false), thought("x", true)]), ["never whole", "", "  x"]);
}

#[test]
fn a_whole_that_was_cut_adds_nothing_to_its_pieces_and_is_marked_without_them() {
    let long: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    let mut whole = event(chunk(&long[..16_384], 0, true));
    whole.cut = Some(Cut { length: 300_000, fetchable: true });
    for history in [false, true] {
        let mut transcript = transcript(40);
        transcript.history = history;
        for piece in long.as_bytes().chunks(1000) {
            transcript.take(&event(chunk(std::str::from_utf8(piece).unwrap(), 0, false)));
        }
        transcript.take(&whole);
        transcript.live();
        assert_eq!(transcript.take_rows().len(), 3000, "history: {history}");
    }
    let mut transcript = transcript(40);
    transcript.take(&whole);
    let last = transcript.take_rows().pop().unwrap();
    assert_eq!(last.text(), format!("… shortened: {} bytes more", 300_000 - agent_event_length(&whole)));
}

#[test]
fn parallel_calls_say_which_one_ended() {
    let rows = shown(
        40,
        vec![
            call("a", "one", ToolKind::Execute, Vec::new()),
            call("b", "two", ToolKind::Read, Vec::new()),
            done("b", ToolStatus::Completed, "of two"),
            done("a", ToolStatus::Failed, "of one"),
        ],
    );
    assert_eq!(rows, ["$ one", "", "< two", "  of two", "", "$ one (failed)", "  of one"]);
}

#[test]
fn a_decision_between_a_call_and_its_output_does_not_name_it_again() {
    let mut transcript = transcript(40);
    transcript.take(&event(call("t", "touch x", ToolKind::Execute, Vec::new())));
    transcript.remark(Style::Good, "allowed");
    transcript.take(&event(done("t", ToolStatus::Completed, "made")));
    let rows: Vec<String> = transcript.take_rows().iter().map(|row| row.text().to_owned()).collect();
    assert_eq!(rows, ["$ touch x", "", "allowed", "", "  made"]);
}

#[test]
fn a_bare_programs_output_is_one_text_wherever_its_reads_were_cut() {
    let said = "first 漢字\nsecond \u{1b}[2J half a line".as_bytes();
    let whole = shown(40, vec![chunk(&String::from_utf8_lossy(said), 0, false)]);
    for size in 1..said.len() {
        let reads = said.chunks(size).map(|read| Kind::PipeOutput(pipe_output(read)));
        let mut transcript = transcript(40);
        reads.for_each(|read| transcript.take(&event(read)));
        let rows: Vec<String> = transcript.take_rows().iter().map(|row| row.text().to_owned()).collect();
        assert_eq!(rows, whole, "reads of {size}");
        let tail: Vec<String> = transcript.tail().iter().map(|row| row.text().to_owned()).collect();
        assert_eq!(tail, ["second \\u{1b}[2J half a line"], "at once, without a newline");
    }
    let oops = AgentLog { line: "oops".into(), stream: AgentStream::Stderr.into(), length: 4 };
    let read = |bytes: &[u8]| Kind::PipeOutput(pipe_output(bytes));
    let rows = shown(40, vec![read(b"\xff one\ntw"), Kind::Log(oops), read(b"o\nthree\nfour")]);
    assert_eq!(rows, ["\u{fffd} one", "tw", "", "oops", "", "o", "three"]);
}

#[test]
fn every_row_fits_every_width_and_nothing_acts_on_the_terminal() {
    let hostile = "漢字 \x1b[2J\x1b]52;c;AAAA\x07 \u{9b}1A \u{202e}rtl \r\n\x08".repeat(30);
    let mut entry = PlanEntry { content: hostile.clone(), ..Default::default() };
    entry.set_status(PlanStatus::InProgress);
    let all = || {
        let text = hostile.clone();
        let error = Some(AgentError { message: text.clone(), ..Default::default() });
        let diffs = vec![Diff { path: text.clone(), old: text.clone(), new: format!("{text}x") }];
        let log = AgentLog { line: text.clone(), stream: AgentStream::Stderr.into(), length: 0 };
        vec![
            Kind::UserMessage(UserMessage { text: text.clone(), who: text.clone(), ..Default::default() }),
            chunk(&text, 0, false),
            chunk(&text, 0, true),
            thought(&text, true),
            call("t", &text, ToolKind::Edit, diffs),
            done("t", ToolStatus::Completed, &text),
            Kind::Plan(Plan { entries: vec![entry.clone()], text: text.clone() }),
            Kind::Retrying(Retrying { why: text.clone(), ..Default::default() }),
            Kind::Log(log),
            Kind::Mode(crate::wire::v1::ModeChanged { mode: text.clone() }),
            Kind::TurnEnded(TurnEnded { stop_reason: StopReason::Error.into(), error, ..Default::default() }),
        ]
    };
    for width in [39, 79, 119] {
        let mut transcript = transcript(width);
        for kind in all() {
            transcript.take(&event(kind));
            for row in transcript.take_rows().iter().chain(&transcript.tail()) {
                assert!(row.width() <= width, "{width}: {row:?}");
                let mut painted = String::new();
                row.paint(&mut painted);
                let plain = without_colours(&painted);
                assert!(!plain.chars().any(crate::base::acts_on_terminal), "{plain:?}");
            }
        }
    }
}

#[test]
fn history_shows_whole_texts_and_ends_with_what_is_being_written() {
    let mut transcript = transcript(40);
    transcript.history = true;
    for kind in [chunk("middle of it\n", 0, false), chunk("began, middle of it\n", 0, true), chunk("now", 1, false)] {
        transcript.take(&event(kind));
    }
    transcript.live();
    let rows: Vec<String> = transcript.take_rows().iter().map(|row| row.text().to_owned()).collect();
    assert_eq!(rows, ["began, middle of it"]);
    assert_eq!(transcript.tail().iter().map(Row::text).collect::<Vec<_>>(), ["now"]);
}
