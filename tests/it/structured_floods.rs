//! Agents that ask more than anybody can answer, at once or without listening, and agents that ask at the same time.

use std::process::Stdio;

use portcullis::wire::v1::AgentState;
use portcullis::wire::v1::agent_event::Kind;
use serde_json::Value;

use crate::support::eventually;
use crate::support::place::describe;
use crate::support::talk::{Talk, Watch, is_over, prompt};

/// Kibibytes that the host may have: its log of 16 MiB, as much of a queue as an agent may leave unread, and itself.
const HOST: u64 = 64 * 1024;

fn said_of(host: u32, file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{host}/{file}")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

fn waiting(talk: &Talk) -> Vec<Value> {
    let list: Value = serde_json::from_str(&talk.ssh(&["approvals", "--json"])).unwrap();
    list.as_array().unwrap().clone()
}

#[tokio::test]
async fn an_agent_that_asks_without_reading_costs_a_bounded_queue_and_can_be_killed() {
    let script = r#"echo '{"type":"ready"}'; read -r prompt
exec yes '{"type":"ask","id":"","title":"to be refused, which is an answer"}'"#;
    let talk = Talk::with(&[("flood", "lines", script)]);
    talk.ssh(&["new", "flood", "--name", "talk"]);
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "go")).await;
    let host = talk.place.host_pids()[0];
    eventually("the host reads no more", || {
        let before = said_of(host, "io", "rchar: ");
        talk.ssh(&["ls"]);
        (before > 1 << 20 && said_of(host, "io", "rchar: ") - before < 1 << 16).then_some(())
    });
    let memory = said_of(host, "status", "VmRSS:");
    assert!(memory < HOST, "{memory} KiB");
    talk.ssh(&["interrupt", "talk"]);
    talk.ssh(&["kill", "talk"]);
    assert!(talk.ssh(&["ls"]).contains("signal"), "{}", talk.ssh(&["ls"]));
}

#[tokio::test]
async fn more_than_people_can_be_asked_at_once_is_refused_and_a_first_look_is_whole() {
    let script = r#"echo '{"type":"ready"}'; read -r prompt; long=$(head -c 1000000 /dev/zero | tr '\0' x)
for n in $(seq 12); do printf '{"type":"ask","id":"q%s","title":"t","input":{"command":"%s"}}\n' "$n" "$long"; done
refused=0; while [ $refused -lt 10 ] && read -r line; do case $line in *declined*) refused=$((refused + 1));; esac; done
echo '{"type":"message","text":"ten were refused"}'; read -r line; echo '{"type":"complete"}'; exec cat"#;
    let talk = Talk::with(&[("many", "lines", script)]);
    talk.ssh(&["new", "many", "--name", "talk"]);
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "go")).await;
    watch.until(|kind| matches!(kind, Kind::Message(said) if said.text == "ten were refused")).await;
    let open = eventually("both are listed", || Some(waiting(&talk)).filter(|open| open.len() == 2));
    assert!(open.iter().all(|asked| asked["input"].as_str().unwrap().len() > 1_000_000), "whole");
    // Whoever comes now gets the same in its first look, over wss too.
    let late = Watch::start(&talk.place, None, false).await;
    let seen = late.attached.agent.clone().unwrap().permissions;
    assert_eq!(seen.iter().filter(|asked| asked.input.len() > 1_000_000).count(), 2);
    drop(late);
    let events = talk.place.ssh(&[], &["events", "talk", "--from", "start"]).stdout(Stdio::piped()).spawn().unwrap();
    talk.ssh(&["deny", open[0]["id"].as_str().unwrap()]);
    watch.until(is_over("p1")).await;
    talk.ssh(&["kill", "talk"]);
    let told = events.wait_with_output().unwrap();
    assert!(told.status.success() && !told.stdout.is_empty(), "{}", describe(&told));
}

#[tokio::test]
async fn two_agents_that_ask_at_once_are_answered_each_by_its_id() {
    // The agents number their requests alike.
    let script = r#"of() { sed 's/.*"id":\([0-9]*\).*/\1/' <<< "$1"; }
read -r line; printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":1,"agentCapabilities":{}}}\n' "$(of "$line")"
read -r line; printf '{"jsonrpc":"2.0","id":%s,"result":{"sessionId":"s"}}\n' "$(of "$line")"
read -r turn
echo '{"jsonrpc":"2.0","id":0,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"c","title":"list","kind":"execute","rawInput":{"command":"ls"}},"options":[{"optionId":"yes","name":"Yes","kind":"allow_once"},{"optionId":"no","name":"No","kind":"reject_once"}]}}'
read -r answer; printf '{"jsonrpc":"2.0","id":%s,"result":{"stopReason":"end_turn"}}\n' "$(of "$turn")"
exec cat"#;
    let talk = Talk::with(&[("twin", "acp", script)]);
    for name in ["talk", "other"] {
        talk.ssh(&["new", "twin", "--name", name]);
        talk.ssh(&["prompt", "--no-wait", name, "go"]);
    }
    let mut watch = Watch::start(&talk.place, None, false).await;
    let open = eventually("both wait", || Some(waiting(&talk)).filter(|open| open.len() == 2));
    assert_ne!(open[0]["id"], open[1]["id"]);
    let mine = open.iter().find(|asked| asked["session"] == "talk").unwrap()["id"].as_str().unwrap().to_owned();
    talk.ssh(&["approve", &mine]);
    watch.until(|kind| matches!(kind, Kind::State(state) if state.state() == AgentState::Idle)).await;
    let left = waiting(&talk);
    assert_eq!(left.iter().map(|asked| asked["session"].as_str()).collect::<Vec<_>>(), [Some("other")]);
    talk.ssh(&["deny", left[0]["id"].as_str().unwrap()]);
    eventually("nothing waits", || waiting(&talk).is_empty().then_some(()));
}
