//! Programs that print anything: nothing panics, nothing grows, nothing is approved.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{kinds, say, working, writes};
use crate::agents::driver::Driver;
use crate::agents::limits::REQUESTS_OPEN;
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
