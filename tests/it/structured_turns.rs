//! Turns of the real Claude Code: what it streams, asks, retries and survives, as events and as what its tools did.

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, OptionKind, PromptPhase, StopReason, server_message::Body as Say};

use crate::support::agents::unique_word;
use crate::support::client::Heard;
use crate::support::eventually;
use crate::support::place::{children, is_alive};
use crate::support::talk::{Talk, Watch, is_over, prompt, said};
use crate::support::turns::{answer, asked, ended, fetch};

#[tokio::test]
async fn several_prompts_are_answered_in_order_each_with_its_own_end() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    let words: Vec<String> = (0..4).map(|_| unique_word()).collect();
    for (number, word) in words.iter().enumerate() {
        assert!(matches!(watch.ask(prompt(&format!("p{number}"), &format!("say: {word}"))).await, Say::Prompt(_)));
    }
    assert!(
        matches!(watch.ask(Request::CancelPrompt(v1::CancelPrompt { id: "p3".into() })).await, Say::Prompt(state) if state.phase() == PromptPhase::Cancelled)
    );
    for (number, word) in words.iter().enumerate().take(3) {
        let events = watch.until(is_over(&format!("p{number}"))).await;
        assert!(said(&events).contains(word), "{number}: {events:?}");
    }
    let word = unique_word();
    watch.ask(prompt("p4", &format!("say: {word}"))).await;
    let events = watch.until(is_over("p4")).await;
    assert!(said(&events).contains(&word) && !said(&events).contains(&words[3]), "the cancelled one was never said");
}

#[tokio::test]
async fn text_comes_in_chunks_and_thoughts_are_told_apart() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "think: deep and dark ;; slow: 8 30")).await;
    let events = watch.until(is_over("p1")).await;
    let chunks: String = events
        .iter()
        .filter_map(|kind| match kind {
            Kind::Message(chunk) if !chunk.whole => Some(chunk.text.clone()),
            _ => None,
        })
        .collect();
    assert!(chunks.contains("chunk-1") && chunks.contains("chunk-8"), "{chunks}");
    let pieces = events.iter().filter(|kind| matches!(kind, Kind::Message(chunk) if !chunk.whole)).count();
    assert!(pieces > 1, "streamed, not at once");
    assert!(events.iter().any(|kind| matches!(kind, Kind::Thought(thought) if thought.text.contains("deep and dark"))));
    assert!(said(&events).contains("chunk-8") && !said(&events).contains("deep and dark"));
}

#[tokio::test]
async fn a_question_is_answered_over_ssh_and_a_plan_approved() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "ask: which colour")).await;
    let id = talk.waiting()["id"].as_str().unwrap().to_owned();
    talk.ssh(&["answer", &id, "red"]);
    let events = watch.until(is_over("p1")).await;
    assert!(
        events.iter().any(|kind| matches!(kind, Kind::QuestionClosed(closed) if closed.answers[0].labels == ["red"]))
    );
    assert!(said(&events).contains("red"), "the model was told: {events:?}");

    talk.ssh(&["mode", "talk", "plan"]);
    watch.until(|kind| matches!(kind, Kind::Mode(mode) if mode.mode == "plan")).await;
    watch.ask(prompt("p2", "tool: ExitPlanMode {\"plan\":\"1. look\\n2. leap\"}")).await;
    let open = asked(&mut watch).await;
    watch.ask(answer(&open, OptionKind::AllowOnce)).await;
    let events = watch.until(is_over("p2")).await;
    assert!(ended(&events).iter().all(|ended| ended.stop_reason() == StopReason::EndTurn), "{events:?}");
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_while_streaming_and_while_asking() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "slow: 2000 50")).await;
    watch.until(|kind| matches!(kind, Kind::Message(_))).await;
    talk.ssh(&["interrupt", "talk"]);
    let events = watch.until(is_over("p1")).await;
    assert_eq!(ended(&events)[0].stop_reason(), StopReason::Cancelled);

    let file = talk.home().join(format!("never-{}", unique_word()));
    watch.ask(prompt("p2", &format!("run: touch {}", file.display()))).await;
    let open = asked(&mut watch).await;
    watch.ask(Request::Interrupt(v1::Interrupt {})).await;
    watch.until(is_over("p2")).await;
    assert!(
        matches!(watch.ask(answer(&open, OptionKind::AllowOnce)).await, Say::Error(error) if error.code == "expired")
    );
    assert!(!file.exists());
    assert!(
        matches!(watch.ask(Request::Interrupt(v1::Interrupt {})).await, Say::Error(error) if error.code == "not-working")
    );
    let word = unique_word();
    watch.ask(prompt("p3", &format!("say: {word}"))).await;
    assert!(said(&watch.until(is_over("p3")).await).contains(&word), "it is still usable");
}

#[tokio::test]
async fn what_is_allowed_for_the_session_is_not_asked_again_until_the_rule_is_taken_back() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    let (one, two) = (talk.home().join(unique_word()), talk.home().join(unique_word()));
    let run = |file: &std::path::Path| format!("run: touch {0} && rm -f {0} && touch {0}", file.display());
    watch.ask(prompt("p1", &run(&one))).await;
    let open = asked(&mut watch).await;
    talk.ssh(&["approve", &open.id, "--always"]);
    watch.until(is_over("p1")).await;
    assert!(one.exists());
    std::fs::remove_file(&one).unwrap();
    let rules = talk.ssh(&["rules", "talk"]);
    let rule = rules.split_whitespace().next().unwrap().to_owned();
    // The very same command again: nobody is asked.
    watch.ask(prompt("p2", &run(&one))).await;
    let events = watch.until(is_over("p2")).await;
    assert!(one.exists(), "{events:?}");
    assert!(
        events.iter().any(|kind| matches!(kind, Kind::PermissionClosed(closed) if closed.rule == rule)),
        "{events:?}"
    );
    std::fs::remove_file(&one).unwrap();
    let digest = open.digest.clone();
    let entry = eventually("the rule's decision is in the audit", || {
        talk.place.audit().into_iter().find(|entry| entry["event"] == "decided")
    });
    assert_eq!((entry["target"].as_str(), entry["digest"].as_str()), (Some(&rule[..]), Some(&digest[..])), "{entry}");
    assert!(entry["owner"].as_str().is_some_and(|who| !who.is_empty()) && entry["option"] == "allow-once", "{entry}");
    // Another one is asked for.
    watch.ask(prompt("p3", &run(&two))).await;
    let open = asked(&mut watch).await;
    watch.ask(answer(&open, OptionKind::RejectOnce)).await;
    watch.until(is_over("p3")).await;
    assert!(!two.exists());
    talk.ssh(&["revoke", "talk", &rule]);
    watch.ask(prompt("p4", &run(&one))).await;
    let open = asked(&mut watch).await;
    watch.ask(answer(&open, OptionKind::RejectOnce)).await;
    watch.until(is_over("p4")).await;
    assert!(!one.exists(), "asked again");
}

#[tokio::test]
async fn errors_of_the_model_end_the_turn_and_say_so() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "fail: 400")).await;
    let events = watch.until(is_over("p1")).await;
    let error = ended(&events)[0].error.clone().unwrap();
    assert_eq!((ended(&events)[0].stop_reason(), error.status), (StopReason::Error, 400));
    assert!(matches!(events.last(), Some(Kind::Prompt(state)) if state.phase() == PromptPhase::Failed));
    let told = talk.place.ssh(&[], &["prompt", "talk", "fail: 400"]).output().unwrap();
    assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stderr));
    // Overloaded once, then well: the retry is shown.
    let word = unique_word();
    watch.ask(prompt("p2", &format!("fail: 529 x1 ;; say: {word}"))).await;
    let events = watch.until(is_over("p2")).await;
    assert!(events.iter().any(|kind| matches!(kind, Kind::Retrying(retry) if retry.status == 529)), "{events:?}");
    assert!(said(&events).contains(&word));
}

#[tokio::test]
async fn a_long_answer_is_cut_on_its_way_and_fetched_whole() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "big: 2000000")).await;
    let mut cut = None;
    loop {
        let Heard::Said(_, Say::AgentEvent(event)) = watch.wss.next().await else { continue };
        let (number, event) = (event.number, event.event.unwrap());
        if let (Some(cut_off), Some(Kind::Message(chunk))) = (&event.cut, &event.kind) {
            assert!(cut_off.fetchable && chunk.whole && chunk.text.len() < 256 * 1024);
            cut = Some(number);
        }
        if event.kind.as_ref().is_some_and(is_over("p1")) {
            break;
        }
    }
    let number = cut.expect("no event was cut");
    let whole = fetch(&mut watch, number).await;
    let Some(Kind::Message(chunk)) = whole.kind else { panic!("another event") };
    assert!(chunk.text.len() >= 2_000_000, "{}", chunk.text.len());
    assert!(matches!(watch.ask(Request::FetchEvent(0)).await, Say::Error(error) if error.code == "event-gone"));
}

#[tokio::test]
async fn a_killed_agent_is_told_and_its_prompt_is_of_unknown_fate() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "slow: 2000 50")).await;
    watch.until(|kind| matches!(kind, Kind::Message(_))).await;
    let agent = talk.place.host_pids().into_iter().flat_map(children).next().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &agent.to_string()]).status().unwrap().success());
    let events = watch.until(is_over("p1")).await;
    assert!(matches!(events.last(), Some(Kind::Prompt(state)) if state.phase() == PromptPhase::Unknown), "{events:?}");
    eventually("the agent is reaped", || (!is_alive(agent)).then_some(()));
    let refused = talk.place.ssh(&[], &["prompt", "talk", "say: no"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("restart"),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    talk.ssh(&["restart", "talk"]);
    let word = unique_word();
    assert!(talk.ssh(&["prompt", "talk", &format!("say: {word}")]).contains(&word));
}

#[tokio::test]
async fn a_phone_that_was_gone_for_a_thousand_events_gets_each_of_them() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "slow: 1500 1")).await;
    let mut next = loop {
        let (number, kind) = watch.next().await;
        if matches!(kind, Kind::Message(_)) {
            break number + 1;
        }
    };
    let log_id = watch.attached.log_id.clone();
    drop(watch);
    eventually("the turn is over", || talk.ssh(&["ls"]).contains("idle").then_some(()));
    let cursor = v1::Cursor { log_id, offset: next };
    let mut back = Watch::start(&talk.place, Some(cursor), false).await;
    assert_eq!(back.attached.verdict(), v1::Verdict::Continuous);
    let mut chunks = 0;
    loop {
        let (number, kind) = back.next().await;
        assert_eq!(number, next);
        next += 1;
        chunks += usize::from(matches!(&kind, Kind::Message(chunk) if !chunk.whole));
        if is_over("p1")(&kind) {
            break;
        }
    }
    assert!(chunks > 1000, "{chunks}");
}

#[tokio::test]
async fn a_turn_goes_on_while_the_gateway_dies() {
    let talk = Talk::start();
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "slow: 300 10")).await;
    let (mut next, log_id) = (watch.attached.offset, watch.attached.log_id.clone());
    let mut text = String::new();
    let mut take = |number: u64, kind: &Kind| {
        assert_eq!(number, next, "no hole, nothing twice");
        next += 1;
        if let Kind::Message(chunk) = kind
            && !chunk.whole
        {
            text.push_str(&chunk.text);
        }
        (next, text.clone())
    };
    let next = loop {
        let (number, kind) = watch.next().await;
        let (next, text) = take(number, &kind);
        if text.contains("chunk-5 ") {
            break next;
        }
    };
    let gateway = talk.place.gateway_pid();
    assert!(std::process::Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
    eventually("another gateway serves", || (talk.place.gateway_pid() != gateway).then_some(()));
    let mut back = Watch::start(&talk.place, Some(v1::Cursor { log_id, offset: next }), false).await;
    assert_eq!(back.attached.verdict(), v1::Verdict::Continuous);
    let text = loop {
        let (number, kind) = back.next().await;
        let (_, text) = take(number, &kind);
        if is_over("p1")(&kind) {
            break text;
        }
    };
    let wanted: String = (1..=300).map(|chunk| format!("chunk-{chunk} ")).collect();
    assert_eq!(text.trim_end(), wanted.trim_end());
}

#[tokio::test]
async fn of_a_thousand_answers_exactly_one_wins() {
    let talk = Talk::start();
    let (mut one, mut two) =
        (Watch::start(&talk.place, None, false).await, Watch::start(&talk.place, None, false).await);
    let file = talk.home().join(unique_word());
    one.ask(prompt("p1", &format!("run: touch {}", file.display()))).await;
    let open = asked(&mut one).await;
    let race = async |watch: &mut Watch| {
        let mut won = 0;
        // As many as may be in flight, again and again.
        for _ in 0..50 {
            for id in 0..10 {
                let request = Some(answer(&open, OptionKind::AllowOnce));
                let body = v1::client_message::Body::Agent(v1::AgentRequest { session: "talk".into(), request });
                watch.wss.say(1000 + id, body).await;
            }
            let mut answered = 0;
            while answered < 10 {
                match watch.wss.next().await {
                    Heard::Said(1000..=1009, Say::Done(_)) => (won, answered) = (won + 1, answered + 1),
                    Heard::Said(1000..=1009, Say::Error(error)) => {
                        assert_eq!(error.code, "already-resolved");
                        answered += 1;
                    }
                    Heard::Closed(why) => panic!("{why:?}"),
                    _ => {}
                }
            }
        }
        won
    };
    let (first, second) = tokio::join!(race(&mut one), race(&mut two));
    assert_eq!(first + second, 1, "one winner, 999 told");
    eventually("the tool ran", || file.exists().then_some(()));
    std::fs::remove_file(&file).unwrap();
}
