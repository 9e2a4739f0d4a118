//! The contract of docs/agents.md, line by line.

use serde_json::{Value, json};

use super::Lines;
use crate::agents::driver::{Command, Condition, Driver, Effect, Effects, Refused};
use crate::agents::limits::{HANDSHAKE, INTERRUPT};
use crate::agents::recording::{SEED, request};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{Closing, StopReason, ToolStatus};

pub(super) fn say(program: &mut Lines, now: u64, value: Value) -> Effects {
    program.line(now, value.to_string().as_bytes())
}

pub(super) fn writes(effects: &Effects) -> Vec<Value> {
    let lines = effects.iter().filter_map(|effect| match effect {
        Effect::Write(line) => Some(serde_json::from_slice(line).unwrap()),
        _ => None,
    });
    lines.collect()
}

pub(super) fn kinds(effects: Effects) -> Vec<Kind> {
    let events = effects.into_iter().filter_map(|effect| match effect {
        Effect::Event(event) => event.kind,
        _ => None,
    });
    events.collect()
}

pub(super) fn working() -> Lines {
    let mut program = Lines::new("/place", SEED);
    program.start(1);
    say(&mut program, 2, json!({"type": "ready", "version": "3", "session": "c1"}));
    program.command(3, Command::Prompt { id: "p1".into(), text: "do\nit".into() }).unwrap();
    program
}

#[test]
fn a_turn_from_ready_to_complete() {
    let mut program = Lines::new("/place", SEED);
    assert_eq!(program.start(1), [Effect::Condition(Condition::Starting(String::new()))]);
    let prompt = || Command::Prompt { id: "p1".into(), text: "do\nit".into() };
    assert!(matches!(program.command(2, prompt()), Err(Refused::Busy(_))));
    let effects = say(&mut program, 2, json!({"type": "ready", "version": "3", "session": "c1"}));
    assert!(effects.contains(&Effect::Condition(Condition::Idle)));
    assert!(matches!(&kinds(effects)[..], [Kind::Started(s)] if s.agent_version == "3" && s.agent_session == "c1"));
    let effects = program.command(3, prompt()).unwrap();
    assert_eq!(writes(&effects), [json!({"type": "prompt", "id": "p1", "text": "do\nit"})]);
    assert!(matches!(program.command(3, prompt()), Err(Refused::Busy(_))));
    let mut all = Vec::new();
    for value in [
        json!({"type": "reasoning", "text": "hm"}),
        json!({"type": "message", "text": "par"}),
        json!({"type": "message", "text": ""}),
        json!({"type": "log", "text": "note"}),
        json!({"type": "tool", "id": "t", "title": "ls", "tool_kind": "execute", "input": {"command": "ls"}}),
        json!({"type": "tool", "id": "t", "status": "completed", "text": "out", "output": 0}),
        json!({"type": "complete", "text": "part"}),
    ] {
        all.extend(kinds(say(&mut program, 5, value)));
    }
    let [
        Kind::Thought(_),
        Kind::Message(chunk),
        Kind::Log(log),
        Kind::ToolCall(call),
        Kind::ToolCallUpdate(update),
        Kind::Message(whole),
        Kind::TurnEnded(end),
    ] = &all[..]
    else {
        panic!("{all:?}")
    };
    assert_eq!((chunk.message_id.as_str(), chunk.whole), ("turn-1", false));
    assert_eq!((whole.message_id.as_str(), whole.whole, whole.text.as_str()), ("turn-1", true, "part"));
    assert_eq!((log.line.as_str(), call.raw_input.as_str()), ("note", "{\"command\":\"ls\"}"));
    assert_eq!((update.status(), update.content.as_str()), (ToolStatus::Completed, "out"));
    assert_eq!((end.turn, end.stop_reason(), end.duration_ms), (1, StopReason::EndTurn, 2));
}

#[test]
fn leave_is_asked_for_and_given_by_id() {
    let mut program = working();
    let ask =
        json!({"type": "ask", "id": "a", "tool": "deploy", "title": "to production", "input": {"b": 1, "a": "x"}});
    let Some(Kind::PermissionAsked(asked)) = kinds(say(&mut program, 4, ask.clone())).pop() else { panic!() };
    assert_eq!((asked.summary.as_str(), asked.turn), ("deploy: to production", 1));
    assert_eq!(asked.options.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["allow-once", "reject-once"]);
    // The same id again is refused to the program, and stays open.
    assert_eq!(writes(&say(&mut program, 5, ask))[0]["declined"], true);
    let answer = |program: &mut Lines, option: &str| {
        program.command(6, Command::Permission { id: request(1), option: option.into(), reason: "why".into() })
    };
    assert_eq!(answer(&mut program, "never").unwrap_err().code(), "no-such-option");
    let effects = answer(&mut program, "reject-once").unwrap();
    assert_eq!(writes(&effects), [json!({"type": "answer", "id": "a", "option": "reject-once", "reason": "why"})]);
    assert_eq!(answer(&mut program, "allow-once").unwrap_err().code(), "no-such-permission");
    let own = json!([{"id": "go", "kind": "allow-once"}, {"id": "no", "name": "No", "kind": "reject-once"}]);
    let asked = kinds(say(&mut program, 7, json!({"type": "ask", "id": "b", "title": "x", "options": own})));
    assert!(matches!(&asked[..], [Kind::PermissionAsked(asked)] if asked.options[0].name == "go"));
}

#[test]
fn questions_are_answered_or_declined() {
    let mut program = working();
    let question = |id: &str| json!({"type": "question", "id": id, "text": "Which?", "options": ["red", {"label": "blue", "description": "d"}]});
    let asked = kinds(say(&mut program, 4, question("q1")));
    assert!(matches!(&asked[..], [Kind::QuestionAsked(asked)] if asked.questions[0].options.len() == 2));
    let effects =
        program.command(5, Command::Question { id: request(1), answers: vec![("Which?".into(), "red".into())] });
    assert_eq!(writes(&effects.unwrap()), [json!({"type": "answer", "id": "q1", "text": "red"})]);
    say(&mut program, 6, question("q2"));
    let effects = program.command(7, Command::Decline { id: request(2), reason: String::new() }).unwrap();
    assert_eq!(writes(&effects)[0]["declined"], true);
    let again = program.command(8, Command::Decline { id: request(2), reason: String::new() });
    assert_eq!(again.unwrap_err().code(), "no-such-permission");
}

#[test]
fn an_interrupt_closes_what_is_open_and_is_visible_when_it_is_ignored() {
    let mut program = working();
    say(&mut program, 4, json!({"type": "ask", "id": "a", "title": "x"}));
    let effects = program.command(10, Command::Interrupt).unwrap();
    assert_eq!(writes(&effects), [json!({"type": "interrupt"})]);
    assert!(matches!(&kinds(effects)[..], [Kind::PermissionClosed(closed)] if closed.outcome() == Closing::Cancelled));
    assert_eq!(program.wake(), Some(10 + INTERRUPT));
    assert!(
        matches!(&program.tick(10 + INTERRUPT)[..], [Effect::Condition(Condition::Working(why))] if !why.is_empty())
    );
    let end = kinds(say(&mut program, 99, json!({"type": "complete", "error": "stopped"})));
    assert!(matches!(&end[..], [Kind::TurnEnded(end)] if end.stop_reason() == StopReason::Cancelled));
    assert_eq!(program.command(100, Command::Interrupt).unwrap_err(), Refused::NotWorking);
}

#[test]
fn errors_ends_and_silence_are_said() {
    let mut program = working();
    let end = kinds(say(&mut program, 4, json!({"type": "complete", "error": "no disk"})));
    assert!(matches!(&end[..], [Kind::TurnEnded(end)] if end.stop_reason() == StopReason::Error));
    assert_eq!(writes(&program.stop(5)), [json!({"type": "stop"})]);
    let mut program = working();
    assert!(matches!(&kinds(program.closed(5))[..], [Kind::TurnEnded(end)] if end.stop_reason() == StopReason::Gone));
    assert_eq!(program.command(6, Command::SetMode("x".into())).unwrap_err().code(), "unsupported");
    let mut program = Lines::new("/place", SEED);
    program.start(1);
    assert_eq!(program.wake(), Some(1 + HANDSHAKE));
    assert!(
        matches!(&program.tick(1 + HANDSHAKE)[..], [Effect::Condition(Condition::Starting(why))] if !why.is_empty())
    );
}
