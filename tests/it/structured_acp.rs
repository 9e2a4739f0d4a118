//! The real OpenCode and claude-agent-acp as ACP agents, verb by verb: what the tool did, what the model was asked and what
//! the events say are the oracles. Claude Code's own protocol is in `structured_turns` and `structured_claude`.

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, AgentState, OptionKind, PromptPhase, StopReason, server_message::Body as Say};

use crate::support::agents::unique_word;
use crate::support::client::Heard;
use crate::support::soon;
use crate::support::talk::{Talk, Watch, is_over, prompt};
use crate::support::turns::{answer, asked, code, decide, ended, fate, fetch, pieces, text, thoughts, turn};

const WELL: (StopReason, PromptPhase) = (StopReason::EndTurn, PromptPhase::Finished);
const FAILED: (StopReason, PromptPhase) = (StopReason::Error, PromptPhase::Failed);
const CANCELLED: (StopReason, PromptPhase) = (StopReason::Cancelled, PromptPhase::Cancelled);

async fn start(agent: &str) -> (Talk, Watch) {
    let talk = Talk::acp(agent);
    let watch = Watch::start(&talk.place, None, true).await;
    (talk, watch)
}

async fn answers_several_prompts_in_pieces_and_thinks(agent: &str) {
    let (_talk, mut watch) = start(agent).await;
    let words = [unique_word(), unique_word()];
    for (number, word) in words.iter().enumerate() {
        let events = turn(&mut watch, &format!("p{number}"), &format!("say: {word}")).await;
        assert_eq!((text(&events).trim(), fate(&events)), (word.as_str(), WELL), "{events:?}");
    }
    let events = turn(&mut watch, "p2", "think: deep and dark ;; slow: 8 30").await;
    let said = text(&events);
    assert!(said.contains("chunk-1") && said.contains("chunk-8") && !said.contains("deep and dark"), "{said}");
    assert!(pieces(&events) > 1, "streamed, not at once: {events:?}");
    assert!(thoughts(&events).contains("deep and dark"), "{events:?}");
}

async fn makes_the_file_exactly_when_it_may(agent: &str) {
    let (talk, mut watch) = start(agent).await;
    let (allowed, denied) = (talk.home().join(unique_word()), talk.home().join(unique_word()));
    for (id, file, kind) in [("p1", &allowed, OptionKind::AllowOnce), ("p2", &denied, OptionKind::RejectOnce)] {
        watch.ask(prompt(id, &format!("run: touch {}", file.display()))).await;
        let open = asked(&mut watch).await;
        assert!(open.input.contains(&file.display().to_string()), "shown whole: {open:?}");
        assert!(!file.exists(), "nothing is approved by default");
        watch.ask(answer(&open, kind)).await;
        watch.until(is_over(id)).await;
        assert_eq!(file.exists(), kind == OptionKind::AllowOnce, "{kind:?}");
    }
    std::fs::remove_file(&allowed).unwrap();
    let word = unique_word();
    let events = turn(&mut watch, "p3", &format!("say: {word}")).await;
    assert!(text(&events).contains(&word), "it goes on after a refusal: {events:?}");
    // Allowed for the session by a rule of ours: the very same again is not asked.
    watch.ask(prompt("p4", &format!("run: touch {}", denied.display()))).await;
    let open = asked(&mut watch).await;
    talk.ssh(&["approve", &open.id, "--always"]);
    watch.until(is_over("p4")).await;
    std::fs::remove_file(&denied).unwrap();
    let events = turn(&mut watch, "p5", &format!("run: touch {}", denied.display())).await;
    let by_rule = |kind: &Kind| matches!(kind, Kind::PermissionClosed(closed) if !closed.rule.is_empty());
    assert!(events.iter().any(by_rule), "{events:?}");
    std::fs::remove_file(&denied).unwrap();
}

async fn is_interrupted_while_it_streams_and_while_it_asks(agent: &str) {
    let (talk, mut watch) = start(agent).await;
    watch.ask(prompt("p1", "slow: 2000 50")).await;
    watch.until(|kind| matches!(kind, Kind::Message(_))).await;
    talk.ssh(&["interrupt", "talk"]);
    assert_eq!(fate(&watch.until(is_over("p1")).await), CANCELLED);
    let file = talk.home().join(unique_word());
    watch.ask(prompt("p2", &format!("run: touch {}", file.display()))).await;
    let open = asked(&mut watch).await;
    watch.ask(Request::Interrupt(v1::Interrupt {})).await;
    assert_eq!(fate(&watch.until(is_over("p2")).await), CANCELLED);
    assert_eq!(code(watch.ask(answer(&open, OptionKind::AllowOnce)).await), "expired");
    let word = unique_word();
    let events = turn(&mut watch, "p3", &format!("say: {word}")).await;
    assert!(text(&events).contains(&word) && !file.exists(), "{events:?}");
}

async fn takes_another_mode_and_model(agent: &str, mode: &str, model: &str, asks_for: &str) -> (Talk, Watch) {
    let (talk, mut watch) = start(agent).await;
    let set_mode = |mode: &str| Request::SetMode(v1::SetAgentMode { mode: mode.into() });
    let set_model = |model: &str| Request::SetModel(v1::SetModel { model: model.into() });
    watch.until(|kind| matches!(kind, Kind::State(state) if state.state() == AgentState::Idle)).await;
    for none in [set_mode("bypassPermissions"), set_mode("none"), set_model("none")] {
        assert_eq!(code(watch.ask(none).await), "not-offered");
    }
    talk.ssh(&["mode", "talk", mode]);
    watch.until(|kind| matches!(kind, Kind::Mode(now) if now.mode == mode)).await;
    assert!(matches!(watch.ask(set_model(model)).await, Say::Done(_)));
    watch.until(|kind| matches!(kind, Kind::Model(now) if now.model == model)).await;
    let events = turn(&mut watch, "p1", "say: changed").await;
    assert_eq!(fate(&events), WELL);
    let asked = talk.model.models_asked();
    assert!(asked.last().unwrap().contains(asks_for), "{asked:?}");
    let again = Watch::start(&talk.place, None, false).await.attached.agent.unwrap().started.unwrap();
    assert_eq!((again.mode.as_str(), again.model.as_str()), (mode, model), "in every attach reply");
    (talk, watch)
}

async fn fails(watch: &mut Watch, id: &str, what: &str) -> AgentState {
    let events = turn(watch, id, what).await;
    assert_eq!(fate(&events), FAILED, "{what}: {events:?}");
    assert!(!ended(&events)[0].error.clone().unwrap().message.is_empty(), "{what}");
    match watch.until(|kind| matches!(kind, Kind::State(_))).await.pop() {
        Some(Kind::State(state)) => state.state(),
        other => panic!("{other:?}"),
    }
}

/// Overloaded once: the agent tries again by itself.
async fn retries(watch: &mut Watch) {
    let word = unique_word();
    let events = turn(watch, "retried", &format!("fail: 529 x1 ;; say: {word}")).await;
    assert_eq!(fate(&events), WELL);
    assert!(text(&events).contains(&word), "{events:?}");
}

/// Longer than an event of the log, in one line where an earlier conversation is told.
async fn says_two_megabytes_and_tells_them_again_in_one_line(agent: &str) {
    const LONG: usize = 2_000_000;
    let (talk, mut watch) = start(agent).await;
    let events = turn(&mut watch, "p1", &format!("big: {LONG}")).await;
    assert!(text(&events).len() >= LONG, "{}", text(&events).len());
    talk.ssh(&["restart", "talk"]);
    let mut again = Watch::start(&talk.place, None, true).await;
    let number = loop {
        let heard = again.wss.next().await;
        let Heard::Said(_, Say::AgentEvent(v1::LogEvent { number, event: Some(event), .. })) = heard else {
            continue;
        };
        if let (Some(cut), Some(Kind::Message(chunk))) = (&event.cut, &event.kind) {
            assert!(cut.fetchable && chunk.text.len() < 256 * 1024);
            break number;
        }
    };
    let Some(Kind::Message(chunk)) = fetch(&mut again, number).await.kind else { panic!("another event") };
    assert!(chunk.text.len() >= LONG, "{}", chunk.text.len());
}

async fn goes_on_after_a_stop_with_its_own_history(agent: &str) {
    let (talk, mut watch) = start(agent).await;
    let word = unique_word();
    turn(&mut watch, "p1", &format!("say: {word}")).await;
    talk.ssh(&["kill", "talk"]);
    assert_eq!(code(watch.ask(prompt("p2", "say: no")).await), "session-ended");
    assert_eq!(talk.ssh(&["restart", "talk"]), "talk: restarted with its history\n");
    let mut again = Watch::start(&talk.place, None, true).await;
    let other = unique_word();
    let events = turn(&mut again, "p3", &format!("say: {other}")).await;
    assert!(events.iter().any(|kind| matches!(kind, Kind::Started(started) if started.resumed)), "{events:?}");
    let is_old =
        |kind: &Kind| matches!(kind, Kind::UserMessage(old) if old.prompt_id.is_empty() && old.text.contains(&word));
    assert!(events.iter().any(is_old), "{events:?}");
    assert!(text(&events).contains(&other), "{events:?}");
}

/// The model asks for a tool that it was not given, and is told so.
async fn offers_its_model_no_question(watch: &mut Watch) {
    let events = turn(watch, "q1", "ask: which colour").await;
    assert!(text(&events).contains("no tool available for"), "the agent has questions now: {events:?}");
    assert!(!events.iter().any(|kind| matches!(kind, Kind::QuestionAsked(_))));
}

#[tokio::test]
async fn opencode_answers_several_prompts_in_pieces_and_thinks() {
    answers_several_prompts_in_pieces_and_thinks("opencode").await;
}

#[tokio::test]
async fn opencode_makes_the_file_exactly_when_it_may() {
    makes_the_file_exactly_when_it_may("opencode").await;
}

#[tokio::test]
async fn opencode_is_interrupted_while_it_streams_and_while_it_asks() {
    is_interrupted_while_it_streams_and_while_it_asks("opencode").await;
}

#[tokio::test]
async fn opencode_takes_another_mode_and_model() {
    takes_another_mode_and_model("opencode", "plan", "fake/fake-2", "fake-2").await;
}

#[tokio::test]
async fn opencode_has_no_question_and_says_its_plan_as_a_tool_call() {
    let (_talk, mut watch) = start("opencode").await;
    offers_its_model_no_question(&mut watch).await;
    let events = turn(&mut watch, "p1", "plan: 2").await;
    let is_plan = |kind: &Kind| matches!(kind, Kind::ToolCall(call) if call.title == "todowrite" && call.raw_input.contains("step 1"));
    assert!(events.iter().any(is_plan) && !events.iter().any(|kind| matches!(kind, Kind::Plan(_))), "{events:?}");
}

#[tokio::test]
async fn errors_of_its_model_end_opencodes_turn_and_an_overload_is_tried_again() {
    let (_talk, mut watch) = start("opencode").await;
    assert_eq!(fails(&mut watch, "p1", "fail: 400").await, AgentState::Idle);
    assert_eq!(fails(&mut watch, "p2", "fail: 401").await, AgentState::Idle, "it does not say what is wrong");
    retries(&mut watch).await;
}

#[tokio::test]
async fn a_dropped_model_connection_leaves_opencode_working_until_it_is_interrupted() {
    let (talk, mut watch) = start("opencode").await;
    watch.ask(prompt("p1", "drop:")).await;
    soon("the model was asked", || (!talk.model.models_asked().is_empty()).then_some(())).await;
    assert!(talk.ssh(&["ls"]).contains("working"), "visible");
    talk.ssh(&["interrupt", "talk"]);
    watch.until(is_over("p1")).await;
    let word = unique_word();
    assert!(text(&turn(&mut watch, "p2", &format!("say: {word}")).await).contains(&word));
}

#[tokio::test]
async fn opencode_says_two_megabytes_and_tells_them_again_in_one_line() {
    says_two_megabytes_and_tells_them_again_in_one_line("opencode").await;
}

#[tokio::test]
async fn opencode_goes_on_after_a_stop_with_its_own_history() {
    goes_on_after_a_stop_with_its_own_history("opencode").await;
}

#[tokio::test]
async fn claude_agent_acp_answers_several_prompts_in_pieces_and_thinks() {
    answers_several_prompts_in_pieces_and_thinks("adapter").await;
}

#[tokio::test]
async fn claude_agent_acp_makes_the_file_exactly_when_it_may() {
    makes_the_file_exactly_when_it_may("adapter").await;
}

#[tokio::test]
async fn claude_agent_acp_is_interrupted_while_it_streams_and_while_it_asks() {
    is_interrupted_while_it_streams_and_while_it_asks("adapter").await;
}

#[tokio::test]
async fn claude_agent_acp_takes_another_mode_and_model() {
    let (talk, mut watch) = takes_another_mode_and_model("adapter", "acceptEdits", "haiku", "haiku").await;
    let file = talk.home().join(unique_word());
    let events = turn(&mut watch, "p2", &format!("write: {} one", file.display())).await;
    assert!(!events.iter().any(|kind| matches!(kind, Kind::PermissionAsked(_))), "the mode counts: {events:?}");
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn claude_agent_acp_has_no_question_shows_its_plan_and_asks_to_leave_plan_mode() {
    let (talk, mut watch) = start("adapter").await;
    offers_its_model_no_question(&mut watch).await;
    let events = turn(&mut watch, "p1", "plan: 2").await;
    let is_plan =
        |kind: &Kind| matches!(kind, Kind::Plan(plan) if plan.entries.iter().any(|step| step.content == "step 1"));
    assert!(events.iter().any(is_plan), "{events:?}");
    talk.ssh(&["mode", "talk", "plan"]);
    watch.ask(prompt("p2", "tool: ExitPlanMode {\"plan\":\"1. look\"}")).await;
    let open = decide(&mut watch, OptionKind::AllowOnce).await;
    assert!(open.input.contains("1. look"), "{open:?}");
    let events = watch.until(is_over("p2")).await;
    let has_left = |kind: &Kind| matches!(kind, Kind::Mode(now) if now.mode != "plan");
    assert!(events.iter().any(has_left) && fate(&events) == WELL, "{events:?}");
}

#[tokio::test]
async fn errors_of_its_model_and_a_dropped_connection_end_claude_agent_acps_turn_and_401_needs_a_login() {
    let (talk, mut watch) = start("adapter").await;
    assert_eq!(fails(&mut watch, "p1", "fail: 400").await, AgentState::Idle);
    assert_eq!(fails(&mut watch, "p2", "drop:").await, AgentState::Idle);
    assert_eq!(fails(&mut watch, "p3", "fail: 401").await, AgentState::NeedsLogin);
    assert!(talk.ssh(&["ls"]).contains("needs-login"));
    retries(&mut watch).await;
}

#[tokio::test]
async fn claude_agent_acp_says_two_megabytes_and_tells_them_again_in_one_line() {
    says_two_megabytes_and_tells_them_again_in_one_line("adapter").await;
}

#[tokio::test]
async fn claude_agent_acp_goes_on_after_a_stop_with_its_own_history() {
    goes_on_after_a_stop_with_its_own_history("adapter").await;
}
