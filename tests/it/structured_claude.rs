//! The real Claude Code where its model fails or its settings change: other modes and models, refused credentials, dropped
//! connections, and the same conversation after a stop.

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, AgentState, OptionKind, PromptPhase, StopReason, server_message::Body as Say};

use crate::support::agents::unique_word;
use crate::support::place::describe;
use crate::support::talk::{Talk, Watch, is_over, prompt};
use crate::support::turns::{answer, asked, code, ended, fate, text, turn};

const FAILED: (StopReason, PromptPhase) = (StopReason::Error, PromptPhase::Failed);

async fn next_state(watch: &mut Watch) -> AgentState {
    match watch.until(|kind| matches!(kind, Kind::State(_))).await.pop() {
        Some(Kind::State(state)) => state.state(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_mode_counts_for_the_next_tool_and_another_model_for_the_next_request() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, true).await;
    watch.until(|kind| matches!(kind, Kind::State(state) if state.state() == AgentState::Idle)).await;
    let set_model = |model: &str| Request::SetModel(v1::SetModel { model: model.into() });
    let file = talk.home().join(unique_word());
    let write = format!("write: {} one", file.display());
    watch.ask(prompt("p1", &write)).await;
    let open = asked(&mut watch).await;
    watch.ask(answer(&open, OptionKind::RejectOnce)).await;
    watch.until(is_over("p1")).await;
    assert!(!file.exists());
    talk.ssh(&["mode", "talk", "acceptEdits"]);
    let before = talk.model.models_asked();
    let told = watch.ask(set_model("haiku")).await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    watch.until(|kind| matches!(kind, Kind::Model(now) if now.model == "haiku")).await;
    let events = turn(&mut watch, "p2", &write).await;
    assert!(!events.iter().any(|kind| matches!(kind, Kind::PermissionAsked(_))), "nobody is asked: {events:?}");
    assert!(file.exists());
    std::fs::remove_file(&file).unwrap();
    let models = talk.model.models_asked();
    assert!(models.last().unwrap().contains("haiku") && !before.last().unwrap().contains("haiku"), "{models:?}");
}

#[tokio::test]
async fn refused_credentials_are_shown_as_a_missing_login_until_they_are_taken() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    let events = turn(&mut watch, "p1", "fail: 401").await;
    assert_eq!(fate(&events), FAILED);
    assert!(events.iter().any(|kind| matches!(kind, Kind::Retrying(retry) if retry.status == 401)), "{events:?}");
    assert_eq!(next_state(&mut watch).await, AgentState::NeedsLogin);
    assert!(talk.ssh(&["ls"]).contains("needs-login"));
    let told = talk.place.ssh(&[], &["prompt", "talk", "fail: 401"]).output().unwrap();
    assert_eq!(told.status.code(), Some(1), "{}", describe(&told));
    assert!(String::from_utf8_lossy(&told.stderr).contains("401"), "{}", describe(&told));
    // The login may have been made good outside: the next prompt tries.
    let word = unique_word();
    assert!(talk.ssh(&["prompt", "talk", &format!("say: {word}")]).contains(&word));
    assert!(talk.ssh(&["ls"]).contains("idle"));
}

#[tokio::test]
async fn a_dropped_connection_and_an_overload_for_good_end_the_turn_and_the_next_is_well() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    for (id, what) in [("p1", "drop:"), ("p2", "fail: 529")] {
        let events = turn(&mut watch, id, what).await;
        assert_eq!(fate(&events), FAILED, "{what}: {events:?}");
        let error = ended(&events)[0].error.clone().unwrap();
        assert!(!error.message.is_empty(), "{what}: {error:?}");
        // The agent gives no status with its last word; each retry had one.
        let retried = events.iter().any(|kind| matches!(kind, Kind::Retrying(retry) if retry.status == 529));
        assert_eq!(retried, what == "fail: 529", "{what}: {events:?}");
        assert_eq!(next_state(&mut watch).await, AgentState::Idle, "{what}");
    }
    let word = unique_word();
    assert!(text(&turn(&mut watch, "p3", &format!("say: {word}")).await).contains(&word));
}

#[tokio::test]
async fn after_a_stop_the_conversation_goes_on_with_what_was_said() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    let word = unique_word();
    let events = turn(&mut watch, "p1", &format!("say: {word}")).await;
    assert!(text(&events).contains(&word));
    talk.ssh(&["kill", "talk"]);
    assert!(talk.ssh(&["ls"]).contains("exit 0"), "it was asked to stop and did: {}", talk.ssh(&["ls"]));
    assert_eq!(code(watch.ask(prompt("p2", "say: no")).await), "session-ended");
    assert_eq!(talk.ssh(&["restart", "talk"]), "talk: restarted with its history\n");
    let mut again = Watch::start(&talk.place, None, true).await;
    assert_eq!(fate(&turn(&mut again, "p3", "say: on").await), (StopReason::EndTurn, PromptPhase::Finished));
    let summary = Watch::start(&talk.place, None, false).await.attached.agent.unwrap();
    assert!(summary.started.unwrap().resumed);
    // The agent gives its model all that was said before.
    let messages: Vec<u64> = talk.model.requests().iter().map(|one| one["messages"].as_u64().unwrap()).collect();
    assert!(messages.len() == 2 && messages[1] >= messages[0] + 2, "{messages:?}");
}
