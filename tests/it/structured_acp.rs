//! The real OpenCode and claude-agent-acp as ACP agents: the tool's side effect is the oracle.

use std::process::Command;

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, OptionKind, PromptPhase, StopReason, server_message::Body as Say};

use crate::support::agents::{FakeModel, prepare, unique_word};
use crate::support::place::{Mode, Place, cache, run};
use crate::support::talk::{Talk, Watch, is_over, prompt, said};

/// What a test of one agent needs to know of it.
struct Agent {
    name: &'static str,
    /// How a prompt makes it create this file.
    touch: fn(&str) -> String,
}

const OPENCODE: Agent = Agent { name: "opencode", touch: |file| format!("run: touch {file}") };
const ADAPTER: Agent = Agent { name: "adapter", touch: |file| format!("run: touch {file}") };

/// A place where both are, and a session `talk` of one.
fn start(agent: &Agent) -> Talk {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    // The account cannot enter the cache; the same files under another name can be.
    let copy = "cp -alT \"$0\" \"$1\" 2>/dev/null || cp -aT \"$0\" \"$1\"";
    run(Command::new("sh").args(["-c", copy]).arg(cache().join("agents/acp")).arg(place.root.join("acp")));
    let program = place.root.join("acp/node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js");
    let claude = place.agents().join("claude");
    place.serve();
    place.configure(&format!(
        "[agents.adapter]\ncommand = [\"/usr/bin/env\", \"node\", \"{}\"]\nmodes = [\"structured\"]\ndriver = \"acp\"\n\
         env = {{ CLAUDE_CODE_EXECUTABLE = \"{}\" }}\nenv_pass = [\"ANTHROPIC_*\", \"CLAUDE_*\"]",
        program.display(),
        claude.display()
    ));
    let talk = Talk { place, model };
    talk.ssh(&["new", agent.name, "--mode", "structured", "--name", "talk"]);
    talk
}

async fn decide(watch: &mut Watch, kind: OptionKind) {
    let asked = loop {
        if let (_, Kind::PermissionAsked(asked)) = watch.next().await {
            break asked;
        }
    };
    let option = asked.options.iter().find(|option| option.kind() == kind).unwrap().id.clone();
    let answer = v1::AnswerPermission { id: asked.id, digest: asked.digest, option, ..Default::default() };
    let told = watch.ask(Request::AnswerPermission(answer)).await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
}

async fn works(agent: &Agent) {
    let talk = start(agent);
    let mut watch = Watch::start(&talk.place, None, true).await;
    let word = unique_word();
    watch.ask(prompt("p1", &format!("say: {word}"))).await;
    let events = watch.until(is_over("p1")).await;
    let text: String = events
        .iter()
        .filter_map(|kind| if let Kind::Message(chunk) = kind { Some(chunk.text.clone()) } else { None })
        .collect();
    assert!(text.contains(&word), "{events:?}");

    let (allowed, denied) = (talk.home().join(unique_word()), talk.home().join(unique_word()));
    watch.ask(prompt("p2", &(agent.touch)(&allowed.display().to_string()))).await;
    decide(&mut watch, OptionKind::AllowOnce).await;
    watch.until(is_over("p2")).await;
    assert!(allowed.exists(), "allowed");
    std::fs::remove_file(&allowed).unwrap();
    watch.ask(prompt("p3", &(agent.touch)(&denied.display().to_string()))).await;
    decide(&mut watch, OptionKind::RejectOnce).await;
    watch.until(is_over("p3")).await;
    assert!(!denied.exists(), "denied");

    watch.ask(prompt("p4", "slow: 2000 50")).await;
    watch.until(|kind| matches!(kind, Kind::Message(_))).await;
    assert!(matches!(watch.ask(Request::Interrupt(v1::Interrupt {})).await, Say::Done(_)));
    let events = watch.until(is_over("p4")).await;
    let ended = events.iter().find_map(|kind| if let Kind::TurnEnded(ended) = kind { Some(ended) } else { None });
    assert_eq!(ended.unwrap().stop_reason(), StopReason::Cancelled);
    assert!(matches!(events.last(), Some(Kind::Prompt(state)) if state.phase() == PromptPhase::Cancelled));

    // Again with its own history: what was said comes as events without a prompt, and the conversation goes on.
    talk.ssh(&["restart", "talk"]);
    let mut again = Watch::start(&talk.place, None, true).await;
    let other = unique_word();
    again.ask(prompt("p5", &format!("say: {other}"))).await;
    let events = again.until(is_over("p5")).await;
    assert!(events.iter().any(|kind| matches!(kind, Kind::Started(started) if started.resumed)), "{events:?}");
    assert!(
        events
            .iter()
            .any(|kind| matches!(kind, Kind::UserMessage(old) if old.prompt_id.is_empty() && old.text.contains(&word)))
    );
    assert!(
        !said(&events).is_empty()
            || events.iter().any(|kind| matches!(kind, Kind::Message(chunk) if chunk.text.contains(&other)))
    );
}

#[tokio::test]
async fn opencode_is_driven_through_its_acp() {
    works(&OPENCODE).await;
}

#[tokio::test]
async fn claude_agent_acp_is_driven_through_its_acp() {
    works(&ADAPTER).await;
}
