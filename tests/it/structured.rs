//! Structured sessions with the real Claude Code: prompts and approvals through every door, and what outlives what.

use std::process::Stdio;

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, AgentState, OptionKind, PromptPhase, server_message::Body as Say};
use serde_json::Value;

use crate::support::agents::unique_word;
use crate::support::eventually;
use crate::support::place::describe;
use crate::support::talk::{Talk, Watch, is_over, prompt, said};
use crate::support::tmux::Tmux;

#[test]
fn a_prompt_over_ssh_prints_the_answer_and_ls_tells_what_the_agent_does() {
    let talk = Talk::start();
    let word = unique_word();
    talk.model.answers_next(&format!("say: {word}"));
    let answer = talk.ssh(&["prompt", "talk", "what is the word?"]);
    assert!(answer.contains(&word), "{answer}");
    let list: Value = serde_json::from_str(&talk.ssh(&["ls", "--json"])).unwrap();
    assert_eq!((list[0]["mode"].as_str(), list[0]["agent_state"].as_str()), (Some("structured"), Some("idle")));
    let events = talk.place.ssh(&[], &["events", "talk", "--from", "start"]).stdout(Stdio::piped()).spawn().unwrap();
    talk.ssh(&["kill", "talk"]);
    let printed = events.wait_with_output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| event["number"].as_str().unwrap_or("0").parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "no event is missing\n{text}");
    assert!(text.contains(&word), "{text}");
}

#[tokio::test]
async fn two_clients_race_for_an_approval_and_the_file_is_there_when_it_was_allowed() {
    let talk = Talk::start();
    let (mut one, mut two) =
        (Watch::start(&talk.place, None, false).await, Watch::start(&talk.place, None, false).await);
    let file = talk.home().join(format!("made-by-{}", unique_word()));
    talk.model.answers_next(&format!("run: touch {}", file.display()));
    assert!(matches!(one.ask(prompt("p1", "make it")).await, Say::Prompt(_)));
    let asked = one.until(|kind| matches!(kind, Kind::PermissionAsked(_))).await.pop();
    let Some(Kind::PermissionAsked(asked)) = asked else { unreachable!() };
    let waiting = talk.waiting();
    assert_eq!((waiting["id"].as_str(), waiting["digest"].as_str()), (Some(&asked.id[..]), Some(&asked.digest[..])));
    assert!(!file.exists(), "nothing is approved by default");
    let option = |kind| asked.options.iter().find(|option| option.kind() == kind).unwrap().id.clone();
    let answer = |digest: &str, option: String| {
        let (id, digest) = (asked.id.clone(), digest.to_owned());
        Request::AnswerPermission(v1::AnswerPermission { id, digest, option, ..Default::default() })
    };
    let mut other = asked.digest.clone();
    let last = if other.pop() == Some('0') { '1' } else { '0' };
    other.push(last);
    let Say::Error(refused) = one.ask(answer(&other, option(OptionKind::AllowOnce))).await else { panic!("taken") };
    assert_eq!(refused.code, "digest-mismatch");
    assert!(!file.exists());

    let (first, second) = tokio::join!(
        one.ask(answer(&asked.digest, option(OptionKind::AllowOnce))),
        two.ask(answer(&asked.digest, option(OptionKind::AllowOnce)))
    );
    let lost: Vec<&v1::Error> = [&first, &second]
        .into_iter()
        .filter_map(|said| if let Say::Error(error) = said { Some(error) } else { None })
        .collect();
    assert!(
        matches!(lost[..], [error] if error.code == "already-resolved" && !error.by.is_empty()),
        "{first:?} {second:?}"
    );
    for watch in [&mut one, &mut two] {
        let closed = watch.until(|kind| matches!(kind, Kind::PermissionClosed(_))).await.pop();
        let Some(Kind::PermissionClosed(closed)) = closed else { unreachable!() };
        assert_eq!((closed.id, closed.outcome), (asked.id.clone(), v1::Closing::Allowed.into()));
    }
    one.until(is_over("p1")).await;
    assert!(file.exists(), "allowed");
    std::fs::remove_file(&file).unwrap();
    let audit = talk.place.audit();
    let answers: Vec<&Value> = audit.iter().filter(|entry| entry["event"] == "answer").collect();
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|entry| entry["option"].is_string() && entry["key"].is_string()));
    assert_eq!(audit.iter().filter(|entry| entry["event"] == "answer-lost").count(), 2);
}

#[tokio::test]
async fn a_denied_tool_does_nothing_and_the_agent_goes_on() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    let file = talk.home().join(format!("denied-{}", unique_word()));
    talk.model.answers_next(&format!("run: touch {}", file.display()));
    watch.ask(prompt("p1", "make it")).await;
    let id = talk.waiting()["id"].as_str().unwrap().to_owned();
    talk.ssh(&["deny", &id, "--reason", "not today"]);
    watch.until(is_over("p1")).await;
    assert!(!file.exists(), "denied");
    let late = talk.place.ssh(&[], &["approve", &id]).output().unwrap();
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("is already resolved: "), "{}", describe(&late));
    let word = unique_word();
    talk.model.answers_next(&format!("say: {word}"));
    watch.ask(prompt("p2", "go on")).await;
    assert!(said(&watch.until(is_over("p2")).await).contains(&word));
}

#[tokio::test]
async fn the_gateway_dies_with_an_approval_open_and_nothing_is_lost() {
    let talk = Talk::start();
    let file = talk.home().join(format!("later-{}", unique_word()));
    let mut watch = Watch::start(&talk.place, None, false).await;
    talk.model.answers_next(&format!("run: touch {}", file.display()));
    watch.ask(prompt("p1", "make it")).await;
    let mut next = watch.attached.offset;
    let asked = loop {
        let (number, kind) = watch.next().await;
        assert_eq!(number, next);
        next = number + 1;
        if let Kind::PermissionAsked(asked) = kind {
            break asked;
        }
    };
    let gateway = talk.place.gateway_pid();
    assert!(std::process::Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
    eventually("another gateway serves", || (talk.place.gateway_pid() != gateway).then_some(()));
    let log_id = watch.attached.log_id.clone();
    let mut back = Watch::start(&talk.place, Some(v1::Cursor { log_id, offset: next }), false).await;
    assert_eq!(back.attached.verdict(), v1::Verdict::Continuous);
    let summary = back.attached.agent.clone().unwrap();
    assert_eq!(
        summary.permissions.first().map(|open| open.id.clone()),
        Some(asked.id.clone()),
        "in every attach reply"
    );
    assert_eq!(summary.state.unwrap().state(), AgentState::NeedsApproval);
    // The same prompt again is the same prompt; the id with another text is a mistake.
    assert!(
        matches!(back.ask(prompt("p1", "make it")).await, Say::Prompt(state) if state.phase() == PromptPhase::HandedOver)
    );
    assert!(
        matches!(back.ask(prompt("p1", "make another")).await, Say::Error(error) if error.code == "prompt-id-reused")
    );
    talk.ssh(&["approve", &asked.id]);
    let mut numbers = next;
    loop {
        let (number, kind) = back.next().await;
        assert_eq!(number, numbers, "no hole across the restart");
        numbers += 1;
        if is_over("p1")(&kind) {
            break;
        }
    }
    assert!(file.exists());
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_restart_goes_on_with_the_agents_own_history() {
    let talk = Talk::start();
    assert_eq!(talk.ssh(&["restart", "talk"]), "talk: restarted, new\n", "nothing was said yet");
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "say: one")).await;
    watch.until(is_over("p1")).await;
    assert_eq!(talk.ssh(&["restart", "talk"]), "talk: restarted with its history\n");
    let log_id = watch.attached.log_id.clone();
    let mut again = Watch::start(&talk.place, Some(v1::Cursor { log_id, offset: 3 }), false).await;
    assert_eq!(again.attached.verdict(), v1::Verdict::Reset);
    again.ask(prompt("p2", "say: two")).await;
    let events = again.until(is_over("p2")).await;
    let started = events.iter().find_map(|kind| if let Kind::Started(started) = kind { Some(started) } else { None });
    assert!(started.is_some_and(|started| started.resumed), "{events:?}");
    // Nobody else goes on with it while this one lives.
    let id = &started.unwrap().agent_session;
    let second = ["new", "claude", "--mode", "structured", "--name", "second", "--resume", id];
    let refused = talk.place.ssh(&[], &second).output().unwrap();
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("session talk has that conversation already"),
        "{}",
        describe(&refused)
    );
    talk.ssh(&["kill", "talk"]);
    talk.ssh(&second);
    let refused = talk.place.ssh(&[], &["restart", "talk"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("session second has that conversation already"),
        "{}",
        describe(&refused)
    );
}

#[tokio::test]
async fn the_picker_shows_what_is_asked_for_and_a_key_decides() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    let file = talk.home().join(format!("picked-{}", unique_word()));
    watch.ask(prompt("p1", &format!("run: touch {}", file.display()))).await;
    talk.waiting();
    // Where the line does not say all of it, nothing can be allowed.
    let narrow = Tmux::start(60, 12, &talk.place.ssh(&["-tt"], &[]));
    narrow.until("Enter shows it  d deny: Bash: touch");
    narrow.types("y");
    narrow.until("this line does not say all of it");
    assert!(!file.exists());
    drop(narrow);
    let picker = Tmux::start(100, 12, &talk.place.ssh(&["-tt"], &[]));
    picker.until("y allow  d deny: Bash: touch");
    assert!(!file.exists());
    picker.types("y");
    watch.until(is_over("p1")).await;
    assert!(file.exists(), "allowed");
    std::fs::remove_file(&file).unwrap();
    picker.until("allowed");
}
