//! Dialogues with the agent's side of ACP: a client's lines and the gateway's answers as a script.

use serde_json::{Value, json};

use super::*;
use crate::wire::v1::{
    AgentMode, AgentModel, AgentStarted, AgentState, Closing, MessageChunk, OptionKind, PermissionAsked,
    PermissionClosed, PermissionOption, PromptPhase, Question, QuestionAsked, QuestionOption, StateChanged, StopReason,
    TurnEnded, UserMessage,
};

const ID: &str = "00112233445566778899aabbccddeeff";

struct Talk {
    server: Server,
    next: u64,
}

/// What the server did, as a test sees it.
#[derive(Debug, PartialEq)]
enum Did {
    Said(Value),
    Acted(u64, Act),
}

impl Talk {
    fn new() -> Self {
        Self { server: Server::new("tag".into(), "test"), next: 0 }
    }

    fn initialized() -> Self {
        let mut talk = Self::new();
        talk.hear(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": 1}}));
        talk
    }

    /// With a new session that the client knows.
    fn begun() -> Self {
        let mut talk = Self::initialized();
        let number = act_of(&talk.call(1, "session/new", json!({"cwd": "/w", "mcpServers": []})));
        talk.done(number, Ok(Done::Opened(Box::new(opened(0, 0)))));
        talk.event(Kind::Started(started()));
        talk
    }

    /// With a prompt under the client's id 2; the prompt's own id.
    fn prompting() -> (Self, String) {
        let mut talk = Self::begun();
        let did = talk.call(2, "session/prompt", json!({"sessionId": ID, "prompt": [{"type": "text", "text": "do"}]}));
        let [Did::Acted(number, Act::Command { command: Command::Prompt(prompt), .. })] = &did[..] else {
            panic!("{did:?}")
        };
        let state = PromptState { id: prompt.id.clone(), phase: PromptPhase::HandedOver.into(), ..Default::default() };
        assert!(talk.done(*number, Ok(Done::Prompt(state))).is_empty(), "answered when the turn is over");
        (talk, prompt.id.clone())
    }

    fn hear(&mut self, message: Value) -> Vec<Did> {
        let effects = self.server.read(format!("{message}\n").as_bytes());
        did(effects)
    }

    fn call(&mut self, id: u64, method: &str, params: Value) -> Vec<Did> {
        self.hear(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    }

    fn done(&mut self, number: u64, outcome: Result<Done, Trouble>) -> Vec<Did> {
        did(self.server.done(number, outcome))
    }

    fn event(&mut self, kind: Kind) -> Vec<Did> {
        let number = self.next;
        self.next += 1;
        did(self.server.event(ID, number, &AgentEvent { kind: Some(kind), ..AgentEvent::default() }))
    }

    fn over(&mut self, prompt: &str, phase: PromptPhase, reason: StopReason) -> Vec<Did> {
        self.event(Kind::TurnEnded(TurnEnded { stop_reason: reason.into(), ..TurnEnded::default() }));
        self.event(Kind::Prompt(PromptState { id: prompt.into(), phase: phase.into(), ..PromptState::default() }))
    }
}

fn did(effects: Effects) -> Vec<Did> {
    let one = |effect| match effect {
        Effect::Say(line) => {
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line each");
            Did::Said(serde_json::from_slice(&line).unwrap())
        }
        Effect::Act { number, act } => Did::Acted(number, act),
    };
    effects.into_iter().map(one).collect()
}

fn act_of(did: &[Did]) -> u64 {
    match did {
        [Did::Acted(number, _)] => *number,
        other => panic!("{other:?}"),
    }
}

fn error_of(did: &[Did]) -> i64 {
    match did {
        [Did::Said(said)] => said["error"]["code"].as_i64().unwrap_or_else(|| panic!("{said}")),
        other => panic!("{other:?}"),
    }
}

fn result_of(did: &[Did]) -> &Value {
    match did {
        [Did::Said(said), ..] if said.get("result").is_some() => &said["result"],
        other => panic!("{other:?}"),
    }
}

fn opened(first: u64, until: u64) -> Opened {
    Opened { session: ID.into(), name: "claude".into(), directory: "/w".into(), first, until, ..Opened::default() }
}

fn started() -> AgentStarted {
    let mode = AgentMode { id: "default".into(), name: "Ask".into(), ..AgentMode::default() };
    let model = AgentModel { id: "opus".into(), name: "Opus".into(), ..AgentModel::default() };
    AgentStarted { modes: vec![mode], models: vec![model], commands: vec!["verify".into()], ..AgentStarted::default() }
}

fn permission(id: &str) -> PermissionAsked {
    let option = |id: &str, kind: OptionKind| PermissionOption { id: id.into(), name: id.into(), kind: kind.into() };
    PermissionAsked {
        id: id.into(),
        tool_call_id: "t1".into(),
        input: "{\"command\":\"ls\"}".into(),
        digest: "d1".into(),
        summary: "Bash: ls".into(),
        options: vec![option("yes", OptionKind::AllowOnce), option("no", OptionKind::RejectOnce)],
        ..PermissionAsked::default()
    }
}

fn said(text: &str) -> Kind {
    Kind::Message(MessageChunk { text: text.into(), whole: true, ..MessageChunk::default() })
}

fn is_update(did: &Did, wanted: &str) -> bool {
    matches!(did, Did::Said(said) if said["params"]["update"]["sessionUpdate"] == wanted)
}

#[test]
fn a_session_is_answered_when_its_agent_has_said_what_it_is() {
    let mut talk = Talk::initialized();
    let did = talk.call(1, "session/new", json!({"cwd": "/w", "mcpServers": [{"name": "x"}]}));
    assert!(matches!(&did[..], [Did::Acted(_, Act::Begin { directory })] if directory == "/w"));
    let number = act_of(&did);
    let agent = AgentSummary {
        state: Some(StateChanged { state: AgentState::Starting.into(), ..StateChanged::default() }),
        ..AgentSummary::default()
    };
    let session = Opened { agent, ..opened(0, 0) };
    assert!(talk.done(number, Ok(Done::Opened(Box::new(session)))).is_empty());
    assert!(talk.event(said("before its id is known")).is_empty());
    let told = talk.event(Kind::Started(started()));
    let result = result_of(&told);
    assert_eq!(result["sessionId"], ID);
    assert_eq!(result["modes"]["currentModeId"], "default");
    assert_eq!(result["configOptions"][0]["currentValue"], "opus");
    let rest = &told[1..];
    assert!(is_update(&rest[0], "agent_thought_chunk"), "servers are not used, and that is said: {rest:?}");
    assert!(is_update(&rest[1], "agent_message_chunk") && is_update(&rest[2], "available_commands_update"), "{rest:?}");
    let again = talk.call(2, "session/new", json!({"cwd": "/w"}));
    let trouble = Trouble { code: "not-allowed".into(), message: "no".into(), retryable: false };
    let refused = talk.done(act_of(&again), Err(trouble));
    let [Did::Said(refused)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((&refused["id"], &refused["error"]["data"]["code"]), (&json!(2), &json!("not-allowed")));
}

#[test]
fn a_prompt_is_answered_at_its_end_and_only_its_own_end() {
    let (mut talk, prompt) = Talk::prompting();
    let own = Kind::UserMessage(UserMessage { prompt_id: prompt.clone(), text: "do".into(), who: String::new() });
    assert!(talk.event(own).is_empty(), "the client shows its own words itself");
    let other = Kind::UserMessage(UserMessage { prompt_id: "x".into(), text: "else".into(), who: String::new() });
    assert!(is_update(&talk.event(other)[0], "user_message_chunk"), "somebody else's are news");
    assert!(talk.over("x", PromptPhase::Finished, StopReason::EndTurn).is_empty());
    assert!(is_update(&talk.event(said("done"))[0], "agent_message_chunk"));
    let told = talk.over(&prompt, PromptPhase::Finished, StopReason::MaxTokens);
    assert_eq!(result_of(&told), &json!({"stopReason": "max_tokens"}));
    assert!(talk.over(&prompt, PromptPhase::Finished, StopReason::EndTurn).is_empty(), "once");
}

#[test]
fn a_turn_that_failed_is_an_error_and_a_prompt_that_was_refused_too() {
    let (mut talk, prompt) = Talk::prompting();
    assert_eq!(error_of(&talk.over(&prompt, PromptPhase::Failed, StopReason::Error)), -32603);
    let did = talk.call(3, "session/prompt", json!({"sessionId": ID, "prompt": [{"type": "text", "text": "x"}]}));
    let trouble = Trouble { code: "view-only".into(), message: "no".into(), retryable: false };
    assert_eq!(error_of(&talk.done(act_of(&did), Err(trouble))), -32603);
    assert!(talk.over("tag-3", PromptPhase::Finished, StopReason::EndTurn).is_empty(), "answered once");
    let did = talk.call(4, "session/prompt", json!({"sessionId": ID, "prompt": [{"type": "text", "text": "y"}]}));
    act_of(&did);
    let ended = talk.server.ended(ID, "the agent has ended");
    assert!(ended.iter().any(|effect| matches!(effect, Effect::Say(line) if line.starts_with(b"{\"error\""))
        || matches!(effect, Effect::Say(line) if String::from_utf8_lossy(line).contains("session-ended"))));
    assert_eq!(error_of(&talk.call(5, "session/prompt", json!({"sessionId": ID, "prompt": []}))), -32002);
}

#[test]
fn a_cancel_interrupts_what_runs_and_takes_back_what_waits() {
    let (mut talk, prompt) = Talk::prompting();
    let queued = talk.call(3, "session/prompt", json!({"sessionId": ID, "prompt": [{"type": "text", "text": "x"}]}));
    act_of(&queued);
    let cancel = json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": ID}});
    let running = Kind::TurnStarted(crate::wire::v1::TurnStarted { turn: 1, prompt_id: prompt.clone() });
    talk.event(running);
    let did = talk.hear(cancel.clone());
    let [
        Did::Acted(first, Act::Command { command: Command::CancelPrompt(_), .. }),
        Did::Acted(_, Act::Command { command: Command::Interrupt(_), .. }),
    ] = &did[..]
    else {
        panic!("{did:?}")
    };
    // It was handed over meanwhile: then only an interrupt helps.
    let trouble = Trouble { code: "not-queued".into(), message: "no".into(), retryable: false };
    let after = talk.done(*first, Err(trouble));
    assert!(matches!(&after[..], [Did::Acted(_, Act::Command { command: Command::Interrupt(_), .. })]), "{after:?}");
    let told = talk.over(&prompt, PromptPhase::Failed, StopReason::Cancelled);
    assert_eq!(result_of(&told), &json!({"stopReason": "cancelled"}));
    let elsewhere = json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "nothing"}});
    assert!(talk.hear(elsewhere).is_empty());
}

#[test]
fn a_choice_becomes_an_answer_with_the_digest_of_what_was_shown() {
    let mut talk = Talk::begun();
    let asked = talk.event(Kind::PermissionAsked(permission("r1")));
    let [Did::Said(asked)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(asked["method"], "session/request_permission");
    assert_eq!(asked["params"]["toolCall"]["rawInput"], json!({"command": "ls"}));
    assert_eq!(asked["params"]["options"][1], json!({"optionId": "no", "name": "no", "kind": "reject_once"}));
    let choice = |option: &str| json!({"outcome": {"outcome": "selected", "optionId": option}});
    let did = talk.hear(json!({"jsonrpc": "2.0", "id": asked["id"], "result": choice("no")}));
    let [Did::Acted(number, Act::Command { command: Command::AnswerPermission(answer), .. })] = &did[..] else {
        panic!("{did:?}")
    };
    assert_eq!((&answer.id[..], &answer.digest[..], &answer.option[..]), ("r1", "d1", "no"));
    assert!(talk.hear(json!({"jsonrpc": "2.0", "id": asked["id"], "result": choice("yes")})).is_empty(), "once");
    let trouble = Trouble { code: "no-approve".into(), message: "may not".into(), retryable: false };
    assert!(is_update(&talk.done(*number, Err(trouble))[0], "agent_thought_chunk"), "a right that lacks is told");
}

#[test]
fn who_is_late_or_cannot_choose_hangs_nothing() {
    let mut talk = Talk::begun();
    let asked = talk.event(Kind::PermissionAsked(permission("r1")));
    let Did::Said(asked) = &asked[0] else { panic!("{asked:?}") };
    let closed = PermissionClosed {
        id: "r1".into(),
        by: "phone".into(),
        outcome: Closing::Allowed.into(),
        ..Default::default()
    };
    let told = talk.event(Kind::PermissionClosed(closed));
    let Did::Said(taken_back) = &told[0] else { panic!("{told:?}") };
    assert_eq!(taken_back["params"]["requestId"], asked["id"]);
    let late = json!({"outcome": {"outcome": "selected", "optionId": "yes"}});
    assert!(talk.hear(json!({"jsonrpc": "2.0", "id": asked["id"], "result": late})).is_empty(), "late");
    for (id, answer) in [
        ("r2", json!({"error": {"code": -32601, "message": "no such method"}})),
        ("r3", json!({"result": {"outcome": {"outcome": "cancelled"}}})),
        ("r4", json!({"result": {"outcome": {"outcome": "selected", "optionId": "made up"}}})),
        ("r5", json!({"result": 7})),
    ] {
        let asked = talk.event(Kind::PermissionAsked(permission(id)));
        let Did::Said(asked) = &asked[0] else { panic!("{asked:?}") };
        let mut message = json!({"jsonrpc": "2.0", "id": asked["id"]});
        message.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        let told = talk.hear(message);
        assert!(told.len() == 1 && is_update(&told[0], "agent_thought_chunk"), "{id}: never an answer: {told:?}");
    }
    let cut = AgentEvent {
        cut: Some(crate::wire::v1::Cut::default()),
        kind: Some(Kind::PermissionAsked(permission("r6"))),
        ..AgentEvent::default()
    };
    let told = did(talk.server.event(ID, 90, &cut));
    assert!(is_update(&told[0], "agent_thought_chunk"), "what is not shown whole is not asked: {told:?}");
}

#[test]
fn a_question_of_one_choice_is_asked_and_others_are_told() {
    let mut talk = Talk::begun();
    let option = |label: &str| QuestionOption { label: label.into(), ..QuestionOption::default() };
    let question =
        Question { text: "which".into(), options: vec![option("red"), option("blue")], ..Question::default() };
    let asked =
        QuestionAsked { id: "q1".into(), questions: vec![question.clone()], digest: "d".into(), ..Default::default() };
    let told = talk.event(Kind::QuestionAsked(asked.clone()));
    let Did::Said(request) = &told[0] else { panic!("{told:?}") };
    let choice = json!({"outcome": {"outcome": "selected", "optionId": "label-1"}});
    let did = talk.hear(json!({"jsonrpc": "2.0", "id": request["id"], "result": choice}));
    let [Did::Acted(_, Act::Command { command: Command::AnswerQuestion(answer), .. })] = &did[..] else {
        panic!("{did:?}")
    };
    assert_eq!((&answer.answers[0].labels[0][..], &answer.digest[..]), ("blue", "d"));
    let several = QuestionAsked { id: "q2".into(), questions: vec![question.clone(), question], ..asked };
    assert!(is_update(&talk.event(Kind::QuestionAsked(several))[0], "agent_thought_chunk"));
}

#[test]
fn a_load_tells_the_past_then_answers_then_asks_what_is_open() {
    let mut talk = Talk::initialized();
    let did = talk.call(1, "session/load", json!({"sessionId": ID, "cwd": "/w", "mcpServers": []}));
    let state = Some(StateChanged { state: AgentState::NeedsApproval.into(), ..StateChanged::default() });
    let agent = AgentSummary { permissions: vec![permission("r1")], state, ..AgentSummary::default() };
    let number = act_of(&did);
    assert!(talk.done(number, Ok(Done::Opened(Box::new(Opened { agent, lost: 2, ..opened(0, 4) })))).len() == 1);
    let user =
        |id: &str| Kind::UserMessage(UserMessage { prompt_id: id.into(), text: "do".into(), who: String::new() });
    assert!(is_update(&talk.event(user("tag-9"))[0], "user_message_chunk"), "also its own words of before");
    assert!(talk.event(Kind::PermissionAsked(permission("r0"))).is_empty());
    let closed = PermissionClosed { id: "r0".into(), by: "x".into(), ..Default::default() };
    assert!(talk.event(Kind::PermissionClosed(closed)).is_empty(), "decided long ago");
    let told = talk.event(Kind::PermissionAsked(permission("r1")));
    assert!(result_of(&told).get("sessionId").is_none());
    let asked: Vec<&Did> =
        told.iter().filter(|did| matches!(did, Did::Said(said) if said.get("method").is_some())).collect();
    assert!(matches!(asked[..], [Did::Said(one)] if one["method"] == "session/request_permission"), "{told:?}");
    assert_eq!(error_of(&talk.call(2, "session/load", json!({"sessionId": "../etc"}))), -32002);
}

#[test]
fn a_load_of_an_agent_that_starts_again_waits_for_what_it_tells_first() {
    let mut talk = Talk::initialized();
    let number = act_of(&talk.call(1, "session/load", json!({"sessionId": ID, "cwd": "/w"})));
    assert!(talk.done(number, Ok(Done::Opened(Box::new(opened(0, 0))))).is_empty());
    assert!(is_update(&talk.event(said("its own history"))[0], "agent_message_chunk"));
    let told = talk.event(Kind::Started(started()));
    assert!(is_update(&told[0], "available_commands_update"));
    assert_eq!(result_of(&told[1..])["modes"]["currentModeId"], "default");
}

#[test]
fn modes_and_models_are_answered_when_the_agent_has_them() {
    let mut talk = Talk::begun();
    let did = talk.call(2, "session/set_mode", json!({"sessionId": ID, "modeId": "default"}));
    assert_eq!(result_of(&talk.done(act_of(&did), Ok(Done::Told))), &json!({}));
    let did =
        talk.call(3, "session/set_config_option", json!({"sessionId": ID, "configId": "model", "value": "fable"}));
    let told = talk.done(act_of(&did), Ok(Done::Told));
    assert_eq!(result_of(&told)["configOptions"][0]["currentValue"], "fable");
    assert_eq!(
        error_of(&talk.call(4, "session/set_config_option", json!({"sessionId": ID, "configId": "x", "value": 1}))),
        -32602
    );
}

#[test]
fn what_makes_no_sense_is_an_error_and_never_an_act() {
    let mut talk = Talk::new();
    assert_eq!(error_of(&talk.call(1, "session/new", json!({"cwd": "/w"}))), -32600, "initialize comes first");
    let mut talk = Talk::begun();
    for (method, params, wanted) in [
        ("fs/read_text_file", json!({}), -32601),
        ("session/dance", json!({}), -32601),
        ("session/new", json!([]), -32602),
        ("session/new", json!({"cwd": 7}), -32602),
        ("session/prompt", json!({"sessionId": ID}), -32602),
        ("session/prompt", json!({"sessionId": ID, "prompt": [{"type": "image", "data": ""}]}), -32602),
        ("session/prompt", json!({"sessionId": "x", "prompt": []}), -32002),
        ("session/set_mode", Value::Null, -32602),
    ] {
        assert_eq!(error_of(&talk.call(9, method, params.clone())), wanted, "{method} {params}");
    }
    assert!(
        talk.hear(json!({"jsonrpc": "2.0", "id": 12345, "result": {"outcome": {"outcome": "cancelled"}}})).is_empty()
    );
    assert!(talk.hear(json!({"jsonrpc": "2.0", "method": "session/cancel", "params": 3})).is_empty());
    for id in 0..200 {
        talk.call(id, "session/prompt", json!({"sessionId": ID, "prompt": [{"type": "text", "text": "x"}]}));
    }
    assert!(talk.server.acts.len() <= 64, "bounded: {}", talk.server.acts.len());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_fall(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), cut in 1usize..50) {
        let mut talk = Talk::begun();
        for piece in bytes.chunks(cut) {
            did(talk.server.read(piece));
        }
    }
}
