//! Agents that lie, flood, hang or print anything: nothing panics, nothing grows, nothing is approved.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::calls::RUNNING;
use super::golden::{command, driver, recordings};
use super::{Acp, Phase};
use crate::agents::driver::{Command, Condition, Driver, Effect, Effects, Refused};
use crate::agents::limits::{HANDSHAKE, INTERRUPT, REQUESTS_OPEN};
use crate::agents::recording::{SEED, request};
use crate::wire::v1::agent_event::Kind;

fn line(agent: &mut Acp, now: u64, value: Value) -> Effects {
    agent.line(now, value.to_string().as_bytes())
}

fn writes(effects: &Effects) -> Vec<Value> {
    let lines = effects.iter().filter_map(|effect| match effect {
        Effect::Write(line) => Some(serde_json::from_slice(line).unwrap()),
        _ => None,
    });
    lines.collect()
}

fn kinds(effects: Effects) -> Vec<Kind> {
    let events = effects.into_iter().filter_map(|effect| match effect {
        Effect::Event(event) => event.kind,
        _ => None,
    });
    events.collect()
}

fn conditions(effects: &Effects) -> Vec<&Condition> {
    let all = effects.iter().filter_map(|effect| match effect {
        Effect::Condition(condition) => Some(condition),
        _ => None,
    });
    all.collect()
}

fn prompt(id: &str) -> Command {
    Command::Prompt { id: id.into(), text: "do it".into() }
}

fn introduced(agent: &mut Acp) -> Effects {
    agent.start(1);
    let result = json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}, "authMethods": [
        {"id": "l", "name": "Log in", "description": "Run `agent login`"}]});
    line(agent, 2, json!({"jsonrpc": "2.0", "id": 1, "result": result}))
}

fn ready() -> Acp {
    let mut agent = Acp::new("/place", None, SEED);
    introduced(&mut agent);
    let modes = json!({"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "plan", "name": "P"},
        {"id": "bypassPermissions", "name": "All"}]});
    let models =
        json!({"currentModelId": "m1", "availableModels": [{"modelId": "m1", "name": "M"}, {"modelId": "m2"}]});
    line(&mut agent, 3, json!({"id": 2, "result": {"sessionId": "s", "modes": modes, "models": models}}));
    assert!(agent.is_ready());
    agent
}

fn working() -> Acp {
    let mut agent = ready();
    agent.command(4, prompt("p1")).unwrap();
    agent
}

fn ask(id: Value, options: Value) -> Value {
    let call = json!({"toolCallId": "c", "title": "ls", "kind": "execute", "rawInput": {"command": "rm -r ."}});
    let params = json!({"sessionId": "s", "toolCall": call, "options": options});
    json!({"jsonrpc": "2.0", "id": id, "method": "session/request_permission", "params": params})
}

fn update(update: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}})
}

#[test]
fn another_version_is_refused_with_its_name_and_nothing_hangs() {
    for (version, said) in [(json!(0), "\"0\""), (json!(2), "\"2\""), (json!("1.0"), "1.0"), (Value::Null, "\"null\"")]
    {
        let mut agent = Acp::new("/place", None, SEED);
        agent.start(1);
        let effects = line(&mut agent, 2, json!({"id": 1, "result": {"protocolVersion": version}}));
        assert!(effects.contains(&Effect::CloseInput), "{version}");
        assert!(matches!(conditions(&effects)[..], [Condition::Ended(why)] if why.contains(said)), "{effects:?}");
        assert_eq!(agent.wake(), None);
        let refused = agent.command(3, prompt("p1")).unwrap_err();
        assert_eq!(refused.code(), "other-protocol");
        assert_eq!(agent.command(3, Command::SetMode("ask".into())).unwrap_err(), refused);
    }
}

#[test]
fn silence_is_visible_at_every_step() {
    let mut agent = Acp::new("/place", None, SEED);
    agent.start(1);
    assert_eq!(agent.wake(), Some(1 + HANDSHAKE));
    assert!(agent.tick(HANDSHAKE).is_empty());
    let late = agent.tick(1 + HANDSHAKE);
    assert!(matches!(conditions(&late)[..], [Condition::Starting(why)] if why.contains("initialize")), "{late:?}");
    assert_eq!(agent.wake(), None);
    assert!(matches!(agent.command(2, prompt("p1")), Err(Refused::Busy(_))));

    let mut agent = Acp::new("/place", Some("s"), SEED);
    introduced(&mut agent);
    // History that comes keeps the wait alive.
    line(&mut agent, 20_000, update(json!({"sessionUpdate": "x"})));
    assert_eq!(agent.wake(), Some(20_000 + HANDSHAKE));
    assert!(matches!(conditions(&agent.tick(60_000))[..], [Condition::Starting(_)]));

    let mut agent = ready();
    agent.command(10, Command::SetMode("plan".into())).unwrap();
    assert_eq!(agent.wake(), Some(10 + HANDSHAKE));
    assert!(matches!(kinds(agent.tick(10 + HANDSHAKE))[..], [Kind::Log(_)]));

    let mut agent = working();
    agent.command(100, Command::Interrupt).unwrap();
    assert_eq!(agent.wake(), Some(100 + INTERRUPT));
    assert!(matches!(conditions(&agent.tick(100 + INTERRUPT))[..], [Condition::Working(why)] if !why.is_empty()));
    assert_eq!(agent.wake(), None);
}

#[test]
fn a_missing_login_is_shown_and_the_next_prompt_tries_again() {
    let mut agent = Acp::new("/place", None, SEED);
    introduced(&mut agent);
    let refusal = json!({"code": -32000, "message": "Authentication required"});
    let effects = line(&mut agent, 3, json!({"id": 2, "error": refusal}));
    assert!(matches!(conditions(&effects)[..], [Condition::NeedsLogin(why)] if why.contains("Run `agent login`")));
    let again = agent.command(4, prompt("p1")).unwrap();
    assert_eq!(writes(&again)[0]["method"], "session/new");
    let effects = line(&mut agent, 5, json!({"id": 3, "error": refusal}));
    assert!(matches!(conditions(&effects)[..], [Condition::NeedsLogin(_)]));
    assert!(kinds(effects).iter().any(|kind| matches!(kind, Kind::TurnEnded(end) if end.error.is_some())));
    agent.command(6, prompt("p2")).unwrap();
    let effects = line(&mut agent, 7, json!({"id": 4, "result": {"sessionId": "s"}}));
    assert_eq!(writes(&effects)[0]["params"]["prompt"][0]["text"], "do it");
    assert!(matches!(agent.condition, Condition::Working(_)));
}

#[test]
fn what_was_not_offered_is_refused_and_answered() {
    let mut agent = working();
    for (id, method) in
        [(json!(7), "fs/read_text_file"), (json!("x"), "terminal/create"), (json!(9), "elicitation/create")]
    {
        let effects = line(&mut agent, 5, json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}}));
        let answer = &writes(&effects)[0];
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(-32601)));
    }
    assert!(line(&mut agent, 6, json!({"method": "agent/gossip", "params": [1]})).is_empty());
    let invalid = line(&mut agent, 6, json!({"id": 1, "method": "session/request_permission", "params": {}}));
    assert_eq!(writes(&invalid)[0]["error"]["code"], -32602);
}

#[test]
fn nothing_is_approved_without_an_answer() {
    let options = json!([{"optionId": "yes", "name": "Y", "kind": "allow_once"}, {"optionId": "ever", "kind": "allow_always"},
        {"optionId": "no", "name": "N", "kind": "reject_once"}]);
    let mut agent = working();
    let asked = line(&mut agent, 5, ask(json!(0), options.clone()));
    assert!(writes(&asked).is_empty());
    let Some(Kind::PermissionAsked(asked)) = kinds(asked).pop() else { panic!() };
    assert_eq!((asked.command.as_str(), asked.id.as_str(), asked.digest.len()), ("rm -r .", request(1).as_str(), 64));
    assert_eq!(asked.summary, "execute: rm -r .");
    // What the agent would remember by itself is not offered: rules are the session's.
    assert_eq!(asked.options.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["allow-once", "reject-once"]);
    let decide = |agent: &mut Acp, id: &str, option: &str| {
        agent.command(6, Command::Permission { id: id.into(), option: option.into(), reason: String::new() })
    };
    assert_eq!(decide(&mut agent, &request(2), "allow-once").unwrap_err().code(), "no-such-permission");
    assert_eq!(decide(&mut agent, &request(1), "yes").unwrap_err().code(), "no-such-option");
    let answer = decide(&mut agent, &request(1), "reject-once").unwrap();
    assert_eq!(writes(&answer)[0]["result"]["outcome"]["optionId"], "no");
    assert_eq!(decide(&mut agent, &request(1), "allow-once").unwrap_err().code(), "no-such-permission");
    // Without a way to reject there is one all the same.
    line(&mut agent, 7, ask(json!(1), json!([{"optionId": "ever", "kind": "allow_always"}])));
    let answer = decide(&mut agent, &request(2), "reject-once").unwrap();
    assert_eq!(writes(&answer)[0]["result"]["outcome"]["outcome"], "cancelled");
    // An open one dies with its turn; after an interrupt nobody is asked.
    line(&mut agent, 8, ask(json!(2), options.clone()));
    let effects = agent.command(9, Command::Interrupt).unwrap();
    assert_eq!(writes(&effects)[1]["result"]["outcome"]["outcome"], "cancelled");
    let effects = line(&mut agent, 10, ask(json!(3), options.clone()));
    assert_eq!(writes(&effects)[0]["result"]["outcome"]["outcome"], "cancelled");
    assert!(kinds(effects).is_empty());
    // Nor about what is history.
    let mut agent = Acp::new("/place", Some("s"), SEED);
    introduced(&mut agent);
    let effects = line(&mut agent, 3, ask(json!(3), options));
    assert_eq!(writes(&effects)[0]["result"]["outcome"]["outcome"], "cancelled");
}

#[test]
fn older_agents_get_their_own_methods_and_no_mode_makes_approvals_void() {
    let mut agent = ready();
    assert!(agent.started.modes.iter().all(|mode| mode.id != "bypassPermissions"));
    assert_eq!(agent.command(4, Command::SetMode("bypassPermissions".into())).unwrap_err().code(), "not-offered");
    let effects = agent.command(4, Command::SetMode("plan".into())).unwrap();
    assert_eq!(writes(&effects)[0]["method"], "session/set_mode");
    let id = writes(&effects)[0]["id"].clone();
    assert!(
        matches!(&kinds(line(&mut agent, 5, json!({"id": id, "result": null})))[..], [Kind::Mode(now)] if now.mode == "plan")
    );
    let effects = agent.command(6, Command::SetModel("m2".into())).unwrap();
    let write = &writes(&effects)[0];
    assert_eq!((&write["method"], &write["params"]["modelId"]), (&json!("session/set_model"), &json!("m2")));
    let refused = line(&mut agent, 7, json!({"id": write["id"], "error": {"code": 1, "message": "no"}}));
    assert!(matches!(kinds(refused)[..], [Kind::Log(_)]));
    assert_eq!(agent.started.model, "m1");
}

#[test]
fn a_call_that_is_named_alone_is_asked_about_with_what_was_said_of_it() {
    let mut agent = working();
    line(
        &mut agent,
        5,
        update(json!({"sessionUpdate": "tool_call", "toolCallId": "c", "title": "t", "rawInput": {"a": 1}})),
    );
    let params = json!({"sessionId": "s", "toolCall": {"toolCallId": "c"}, "options": []});
    let effects = line(&mut agent, 6, json!({"id": 0, "method": "session/request_permission", "params": params}));
    assert!(matches!(&kinds(effects)[..], [Kind::PermissionAsked(asked)] if asked.input == "{\"a\":1}"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut agent = working();
    let input = "x".repeat(60_000);
    for n in 0..3 * RUNNING {
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": format!("c{n}"), "title": "t", "rawInput": {"a": input}});
        line(&mut agent, 5, update(call));
    }
    let (calls, bytes) = agent.calls.size();
    assert!(calls <= RUNNING && bytes <= 4 << 20, "{calls} {bytes}");
    for n in 0..2 * REQUESTS_OPEN {
        line(&mut agent, 5, ask(json!(n), json!([])));
    }
    assert_eq!(agent.open.len(), REQUESTS_OPEN);
    // One that cannot be judged whole is not put before anybody.
    let mut agent = working();
    let call = json!({"toolCallId": "c", "rawInput": {"command": "x".repeat(2 << 20)}});
    let params = json!({"sessionId": "s", "toolCall": call, "options": []});
    let effects = line(&mut agent, 6, json!({"id": 0, "method": "session/request_permission", "params": params}));
    assert_eq!(writes(&effects)[0]["result"]["outcome"]["outcome"], "cancelled");
    for _ in 0..1000 {
        _ = agent.command(7, Command::SetMode("plan".into()));
    }
    assert!(agent.pending.len() <= super::PENDING);
}

#[test]
fn what_nobody_could_judge_or_would_be_too_much_is_refused() {
    let asks = |id: u32, input: &str| {
        let call = format!(r#"{{"toolCallId":"c","kind":"execute","rawInput":{input}}}"#);
        format!(
            r#"{{"id":{id},"method":"session/request_permission","params":{{"sessionId":"s","toolCall":{call},"options":[]}}}}"#
        )
    };
    let refused = |agent: &mut Acp, line: &str| {
        let effects = agent.line(5, line.as_bytes());
        writes(&effects).first().is_some_and(|line| line["result"]["outcome"]["outcome"] == "cancelled")
    };
    let mut agent = working();
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    assert!(!refused(&mut agent, &asks(1, &deep)));
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    assert!(refused(&mut agent, &asks(2, &deep)), "without a digest no answer");
    let mut agent = working();
    let half = format!(r#"{{"command":"{}"}}"#, "x".repeat(1 << 19));
    assert_eq!((0..16).filter(|id| refused(&mut agent, &asks(*id, &half))).count(), 13, "4 MiB in all, shown twice");
    // An id that is longer than any is not repeated.
    let long = json!({"jsonrpc": "2.0", "id": "x".repeat(1 << 20), "method": "fs/read_text_file", "params": {}});
    assert!(matches!(kinds(line(&mut agent, 6, long))[..], [Kind::Log(_)]));
}

#[test]
fn the_end_ends_everything_once() {
    let mut agent = working();
    line(&mut agent, 5, ask(json!(0), json!([])));
    let effects = agent.closed(6);
    assert!(writes(&effects).is_empty());
    assert!(matches!(conditions(&effects)[..], [Condition::Ended(_)]));
    assert!(matches!(kinds(effects)[..], [Kind::PermissionClosed(_), Kind::TurnEnded(_)]));
    assert_eq!(agent.command(7, prompt("p2")).unwrap_err(), Refused::Ended);
    assert!(agent.closed(8).is_empty());
    let mut agent = working();
    let effects = agent.stop(5);
    assert_eq!(writes(&effects)[0]["method"], "session/cancel");
    assert_eq!(effects.last(), Some(&Effect::CloseInput));
}

#[test]
fn garbage_is_kept_for_people_and_changes_nothing() {
    let mut agent = working();
    for text in [
        "Debugger listening on ws://",
        "{",
        "[]",
        "[{\"id\":3}]",
        "{}",
        "{\"id\":99,\"result\":{}}",
        "\u{fffd}",
        "7",
        "{\"id\":{\"a\":1},\"method\":\"fs/x\"}",
        "{\"id\":3.5,\"result\":{}}",
        "{\"method\":\"session/update\",\"params\":3}",
    ] {
        let effects = agent.line(5, text.as_bytes());
        assert!(matches!(kinds(effects)[..], [Kind::Log(_)]), "{text}");
    }
    assert!(agent.line(5, b"\xff\xfe").len() == 1 && agent.line(5, b"  \r").is_empty());
    assert!(matches!(kinds(agent.overlong(5, b"{\"id\":3", 99_000_000))[..], [Kind::Log(_), Kind::Log(_)]));
    let empty = update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": ""}}));
    assert!(line(&mut agent, 5, empty).is_empty());
    let other = json!({"method": "session/update", "params": {"sessionId": "other", "update": {"sessionUpdate": "plan", "entries": []}}});
    assert!(line(&mut agent, 5, other).is_empty());
    assert!(matches!(agent.phase, Phase::Ready) && agent.turn.is_some());
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let effects = agent.line(5, format!("{{\"method\":\"session/update\",\"params\":{deep}}}").as_bytes());
    assert!(matches!(kinds(effects)[..], [Kind::Log(_)]));
}

/// Every recorded line with bytes changed, cut and swapped, at every stage.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Repeat,
    Skip,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        any::<usize>().prop_map(Damage::Cut),
        Just(Damage::Repeat),
        Just(Damage::Skip),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_leave_it_whole(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40)) {
        let mut agent = working();
        for bytes in lines {
            agent.line(5, &bytes);
        }
        agent.closed(6);
    }

    #[test]
    fn damaged_recordings_leave_it_whole(which in any::<prop::sample::Index>(), hurts in prop::collection::vec((0usize..40, damage()), 0..12)) {
        let all = recordings();
        let (name, recording) = which.get(&all);
        let mut agent = driver(name);
        agent.start(1);
        for (place, line) in recording.lines().enumerate() {
            if let Some(text) = line.strip_prefix("> ") {
                _ = agent.command(5, command(text));
            } else if line.starts_with('{') {
                let mut bytes = line.as_bytes().to_vec();
                let mut times = 1;
                for (_, hurt) in hurts.iter().filter(|(at, _)| *at == place) {
                    match hurt {
                        Damage::Flip(at, byte) => { let at = at % bytes.len().max(1); if let Some(one) = bytes.get_mut(at) { *one = *byte; } }
                        Damage::Cut(at) => bytes.truncate(at % (bytes.len() + 1)),
                        Damage::Repeat => times = 3,
                        Damage::Skip => times = 0,
                    }
                }
                for _ in 0..times {
                    agent.line(6, &bytes);
                    agent.tick(7);
                }
            }
        }
        agent.closed(8);
        prop_assert!(agent.turn.is_none() && agent.open.is_empty() && agent.pending.is_empty());
    }
}
