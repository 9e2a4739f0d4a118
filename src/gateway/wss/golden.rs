//! Replays the examples of docs/protocol.md, and compares its table of errors with what can be sent.

use std::collections::BTreeMap;
use std::path::Path;

use super::connection::error_message;
use super::outbound::refusal;
use crate::agents::driver::Refused;
use crate::base::{AccountName, Name};
use crate::gateway::error::SessionError;
use crate::gateway::router::SPAWNER_CODES;
use crate::policy::{Denial, Verb};
use crate::wire::v1::{self, InputRefusal};
use crate::wire::{decode_client, decode_server, encode_client, encode_server};

fn examples() -> Vec<&'static str> {
    let document = include_str!("../../../docs/protocol.md");
    document.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn every_example_is_a_message_and_means_all_that_it_says() {
    let examples = examples();
    assert!(examples.len() > 12, "{}", examples.len());
    for example in examples {
        // What a message does not know is ignored when it is read, so it would be missing when it is written again.
        let from_client = decode_client(example).unwrap();
        let again = match from_client.body {
            Some(_) => encode_client(&from_client).unwrap(),
            None => {
                let from_gateway = decode_server(example).unwrap();
                assert!(from_gateway.body.is_some(), "neither side knows {example}");
                encode_server(&from_gateway).unwrap()
            }
        };
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&again), value(example));
    }
}

/// One of each; the match keeps it complete.
fn session_errors() -> Vec<SessionError> {
    use SessionError as E;
    let name = || "x".parse::<Name>().unwrap();
    let all = vec![
        E::Unknown(String::new()),
        E::NameTaken(name()),
        E::NameReserved { name: name(), what: "" },
        E::BadName("X".parse::<Name>().unwrap_err()),
        E::BadRequest(String::new()),
        E::InputTooLong(1),
        E::InputFull { accepted: 1 },
        E::InputHeld { session: String::new(), who: String::new() },
        E::Ended { name: name(), how: String::new() },
        E::Lives(name()),
        E::RateLimited { what: "", after_ms: 5 },
        E::AuditUnavailable,
        E::Late(""),
        E::HostGone,
        E::NoSpawner,
        E::NotEnded("x".into()),
    ];
    for error in &all {
        match error {
            E::Unknown(_) | E::NameTaken(_) | E::NameReserved { .. } | E::BadName(_) | E::BadRequest(_) => {}
            E::InputTooLong(_) | E::InputFull { .. } | E::InputHeld { .. } | E::Ended { .. } | E::Lives(_) => {}
            E::RateLimited { .. } | E::AuditUnavailable | E::Late(_) | E::NotEnded(_) | E::HostGone | E::NoSpawner => {}
            // Below.
            E::Denied(_) | E::Refused { .. } | E::AgentRefused(_) => {}
        }
    }
    let account: AccountName = "x".parse().unwrap();
    let denials = [
        Denial::ViewOnly { verb: Verb::Send, has: "view" },
        Denial::Account(account),
        Denial::KeyAgent(name()),
        Denial::Session(name()),
        Denial::NoTerminal,
    ];
    let refused = SPAWNER_CODES.map(|code| E::Refused { code, message: String::new() });
    let by_agents = Refused::CODES.iter().chain(&[("event-gone", false), ("agent-refused", false)]);
    let by_agents = by_agents.map(|(code, retryable)| {
        let code = (*code).to_owned();
        E::AgentRefused(Box::new(v1::AgentRefusal { code, retryable: *retryable, ..Default::default() }))
    });
    all.into_iter().chain(denials.map(E::Denied)).chain(refused).chain(by_agents).collect()
}

/// Codes that stand in the door's and the router's code itself.
fn written(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if ["tests.rs", "testing.rs", "golden.rs"].contains(&file) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let starts = ["code: \"", "reply_error(id, 0, \"", "reply_error(id, channel, \""];
        for rest in starts.iter().flat_map(|start| text.split(start).skip(1)) {
            found.push(rest.split('"').next().unwrap().to_owned());
        }
    }
}

#[test]
fn every_error_code_is_in_the_document_with_whether_it_may_work_later() {
    let document = include_str!("../../../docs/protocol.md");
    let table = document.split("## Errors").nth(1).unwrap().split("## Close codes").next().unwrap();
    let mut listed = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for code in cells[1].split(", ") {
            assert!(listed.insert(code.trim_matches('`').to_owned(), cells[2] == "yes").is_none(), "{code} twice");
        }
    }
    let mut sent: Vec<v1::Error> = session_errors().iter().map(|error| error_message(error, 0)).collect();
    sent.extend(
        [InputRefusal::Full, InputRefusal::Gap, InputRefusal::Ended, InputRefusal::Closed]
            .map(|why| refusal(1, 0, why)),
    );
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gateway");
    let mut literal = Vec::new();
    for room in ["wss", "router", "session", "ssh"] {
        written(&sources.join(room), &mut literal);
    }
    assert!(literal.iter().any(|code| code == "no-such-channel"), "the search finds nothing: {literal:?}");
    for error in &sent {
        assert_eq!(listed.get(&error.code), Some(&error.retryable), "{}", error.code);
        assert_eq!(error.after_ms > 0, error.retryable && error.code != "input-gap", "{}", error.code);
    }
    let known = |code: &String| sent.iter().any(|error| error.code == *code) || literal.contains(code);
    assert_eq!(literal.iter().find(|code| !listed.contains_key(*code)), None, "not in docs/protocol.md");
    assert_eq!(listed.keys().find(|code| !known(code)), None, "in docs/protocol.md, but never sent");
}
