//! Programs that print anything: nothing panics, nothing grows, nothing is approved.

use proptest::prelude::*;
use serde_json::json;

use super::Lines;
use super::tests::{kinds, say, working, writes};
use crate::agents::driver::{Command, Driver};
use crate::agents::limits::REQUESTS_OPEN;
use crate::agents::recording::request;
use crate::wire::v1::agent_event::Kind;

#[test]
fn what_is_not_of_the_contract_is_kept_for_people() {
    let mut program = working();
    for line in [
        "hello",
        "{}",
        "{\"type\":3}",
        "{\"type\":\"dance\"}",
        "{\"type\":\"tool\"}",
        "[1]",
        "{\"type\":\"log\",\"text\":1}",
    ] {
        assert!(matches!(kinds(program.line(5, line.as_bytes()))[..], [Kind::Log(_)]), "{line}");
    }
    assert!(program.line(5, b"").is_empty());
    say(&mut program, 5, json!({"type": "complete"}));
    assert!(matches!(kinds(say(&mut program, 6, json!({"type": "complete"})))[..], [Kind::Log(_)]));
}

#[test]
fn requests_that_nobody_can_judge_are_refused() {
    let mut program = working();
    for bad in [
        json!({"type": "ask", "title": "no id"}),
        json!({"type": "ask", "id": "x".repeat(65)}),
        json!({"type": "ask", "id": "a", "options": [{"id": "a", "kind": "perhaps"}]}),
        json!({"type": "ask", "id": "a", "input": "x".repeat(2 << 20)}),
        json!({"type": "ask", "id": "a", "options": [{"id": "a", "kind": "allow-once"}]}),
        json!({"type": "ask", "id": "a", "options": [{"id": "a", "kind": "allow-once"}, {"id": "a", "kind": "reject-once"}]}),
        json!({"type": "question", "id": "a"}),
    ] {
        assert_eq!(writes(&say(&mut program, 5, bad))[0]["declined"], true);
    }
    assert!(program.open.is_empty());
    for n in 0..2 * REQUESTS_OPEN {
        say(&mut program, 5, json!({"type": "ask", "id": n.to_string(), "title": "x"}));
    }
    assert_eq!(program.open.len(), REQUESTS_OPEN);
    // Outside a turn nobody is asked.
    say(&mut program, 6, json!({"type": "complete"}));
    assert!(program.open.is_empty());
    assert_eq!(writes(&say(&mut program, 7, json!({"type": "ask", "id": "late"})))[0]["declined"], true);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_leave_it_whole(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40)) {
        let mut program = working();
        for bytes in lines {
            program.line(5, &bytes);
        }
        program.closed(6);
        prop_assert!(program.turn.is_none() && program.open.is_empty());
    }

    #[test]
    fn any_fields_leave_it_whole(kind in "ready|log|message|reasoning|tool|ask|question|complete", id in ".{0,80}", text in ".{0,80}", status in ".{0,12}") {
        let mut program = working();
        for _ in 0..3 {
            say(&mut program, 5, json!({"type": kind, "id": id, "text": text, "title": text, "status": status, "input": {"command": text}}));
        }
        program.closed(6);
        prop_assert!(program.open.is_empty());
    }
}

#[test]
fn what_nobody_could_judge_or_would_be_too_much_is_refused() {
    let refused = |program: &mut Lines, line: String| {
        writes(&program.line(5, line.as_bytes())).first().is_some_and(|answer| answer["declined"] == true)
    };
    let mut program = working();
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    let ask = |id: u32, input: &str| format!(r#"{{"type":"ask","id":"q{id}","title":"t","input":{input}}}"#);
    assert!(refused(&mut program, ask(0, &deep)), "without a digest no answer");
    let half = format!(r#"{{"command":"{}"}}"#, "x".repeat(1 << 19));
    assert_eq!((0..16).filter(|id| refused(&mut program, ask(*id, &half))).count(), 13, "4 MiB in all, shown twice");
    let question = |id: u32| format!(r#"{{"type":"question","id":"q{id}","text":"{}"}}"#, "x".repeat(1 << 19));
    let mut program = working();
    assert_eq!((0..16).filter(|id| refused(&mut program, question(*id))).count(), 9, "4 MiB in all");
}

#[test]
fn an_id_that_comes_again_names_another_request() {
    let mut program = working();
    for number in 1..=2 {
        let asked = kinds(say(&mut program, 5, json!({"type": "ask", "id": "a", "title": "x"})));
        assert!(matches!(&asked[..], [Kind::PermissionAsked(asked)] if asked.id == request(number)));
        let option = "reject-once".to_owned();
        let answer = Command::Permission { id: request(number), option, reason: String::new() };
        assert_eq!(writes(&program.command(6, answer).unwrap())[0]["id"], "a", "the program gets its own");
    }
}
