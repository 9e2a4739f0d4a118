//! A conversation with Claude Code's driver inside, fed with lines as the real program writes them.

use proptest::prelude::*;

use super::*;
use crate::agents::claude::{Claude, Conversation as Which};
use crate::agents::driver::Refused;
use crate::agents::limits::{
    EVENT_OUT, FLUSH, INTERRUPT, PROMPT_QUEUE, PROMPT_TEXT, PROMPTS_KNOWN, REQUESTS_CLOSED, REQUESTS_OPEN, RULES,
};
use crate::agents::recording::{SEED, request};
use crate::wire::v1::agent_command::Command as Wanted;
use crate::wire::v1::{
    AgentCommand, AnswerPermission, AnswerQuestion, CancelPrompt, Closing, Interrupt, MessageChunk, OptionKind,
    PermissionAsked, PermissionOption, Prompt, PromptState, QuestionAnswer, RevokeRule,
};

const READY: &str =
    r#"{"type":"control_response","response":{"subtype":"success","request_id":"portcullis-1","response":{}}}"#;
const RESULT: &str = r#"{"type":"result","subtype":"success","is_error":false}"#;

struct Session {
    conversation: Conversation,
    now: Millis,
    events: Vec<Kind>,
    writes: Vec<String>,
    is_closed: bool,
}

impl Session {
    fn new(patience: Patience) -> Self {
        let which = Which::New("00000000-0000-4000-8000-000000000077".into());
        let conversation = Conversation::new(Box::new(Claude::new(which, "/w", SEED)), patience);
        let mut session = Self { conversation, now: 1_000, events: vec![], writes: vec![], is_closed: false };
        let acts = session.conversation.start(session.now);
        session.take(acts);
        session
    }

    fn ready() -> Self {
        let mut session = Self::new(Patience::default());
        session.line(READY);
        session
    }

    fn take(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Event(event) => self.events.push(event.kind.unwrap()),
                Act::Write(line) => self.writes.push(String::from_utf8(line).unwrap()),
                Act::CloseInput => self.is_closed = true,
            }
        }
    }

    fn line(&mut self, line: &str) {
        self.now += 1;
        let acts = self.conversation.line(self.now, line.as_bytes());
        self.take(acts);
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis;
        while self.conversation.wake().is_some_and(|wake| wake <= self.now) {
            let acts = self.conversation.tick(self.now);
            self.take(acts);
        }
    }

    fn command(&mut self, who: &str, command: Wanted) -> Result<Reply, Refused> {
        let command = AgentCommand { who: who.into(), command: Some(command) };
        let (reply, acts) = self.conversation.command(self.now, command)?;
        self.take(acts);
        Ok(reply)
    }

    fn prompt(&mut self, id: &str, text: &str) -> Result<PromptState, Refused> {
        match self.command("ann", Wanted::Prompt(Prompt { id: id.into(), text: text.into() }))? {
            Reply::Prompt(state) => Ok(state),
            Reply::Done => panic!(),
        }
    }

    fn asks(&mut self, id: &str, tool: &str, input: &str) -> PermissionAsked {
        self.line(&format!(
            r#"{{"type":"control_request","request_id":"{id}","request":{{"subtype":"can_use_tool","tool_name":"{tool}","input":{input}}}}}"#
        ));
        let asked = self.events.iter().rev().find_map(|kind| match kind {
            Kind::PermissionAsked(asked) => Some(asked.clone()),
            _ => None,
        });
        asked.unwrap()
    }

    fn answer(&mut self, who: &str, asked: &PermissionAsked, option: &str) -> Result<Reply, Refused> {
        let (id, digest) = (asked.id.clone(), asked.digest.clone());
        let option = option.to_owned();
        self.command(who, Wanted::AnswerPermission(AnswerPermission { id, digest, option, reason: String::new() }))
    }

    fn closings(&self) -> Vec<(String, Closing, String)> {
        let closed = |kind: &Kind| match kind {
            Kind::PermissionClosed(closed) => Some((closed.id.clone(), closed.outcome(), closed.by.clone())),
            Kind::QuestionClosed(closed) => Some((closed.id.clone(), closed.outcome(), closed.by.clone())),
            _ => None,
        };
        self.events.iter().filter_map(closed).collect()
    }

    fn states(&self) -> Vec<AgentState> {
        let state = |kind: &Kind| if let Kind::State(state) = kind { Some(state.state()) } else { None };
        self.events.iter().filter_map(state).collect()
    }

    fn phases(&self, id: &str) -> Vec<PromptPhase> {
        let phase = |kind: &Kind| match kind {
            Kind::Prompt(state) if state.id == id => Some(state.phase()),
            _ => None,
        };
        self.events.iter().filter_map(phase).collect()
    }

    fn decisions(&self) -> usize {
        self.writes.iter().filter(|line| line.contains("behavior")).count()
    }
}

#[test]
fn one_prompt_is_in_flight_and_the_rest_waits_in_order() {
    use PromptPhase::{Accepted, Cancelled, Finished, HandedOver, Queued};
    let mut session = Session::new(Patience::default());
    assert_eq!(session.prompt("a", "one").unwrap().phase(), Queued, "it still starts");
    session.line(READY);
    assert_eq!(session.prompt("b", "two").unwrap().position, 0);
    assert_eq!(session.prompt("c", "three").unwrap().position, 1);
    let prompts = |session: &Session| session.writes.iter().filter(|line| line.contains("\"user\"")).count();
    assert_eq!(prompts(&session), 1);
    session.command("ann", Wanted::CancelPrompt(CancelPrompt { id: "b".into() })).unwrap();
    let late = session.command("ann", Wanted::CancelPrompt(CancelPrompt { id: "a".into() }));
    assert_eq!(late, Err(Refused::NotQueued("a".into())));
    session.line(RESULT);
    assert_eq!(prompts(&session), 2);
    assert!(session.writes.last().unwrap().contains("three"));
    session.line(RESULT);
    assert_eq!(session.phases("a"), [Accepted, Queued, HandedOver, Finished]);
    assert_eq!(session.phases("b"), [Accepted, Queued, Cancelled]);
    assert_eq!(session.phases("c"), [Accepted, Queued, HandedOver, Finished]);
    use AgentState::{Idle, Starting, Working};
    assert_eq!(session.states(), [Starting, Working, Idle]);
}

#[test]
fn an_id_is_one_prompt_for_ever() {
    let mut session = Session::ready();
    session.prompt("a", "one").unwrap();
    let (events, writes) = (session.events.len(), session.writes.len());
    assert_eq!(session.prompt("a", "one").unwrap().phase(), PromptPhase::HandedOver);
    assert_eq!(session.prompt("a", "other"), Err(Refused::IdReused("a".into())));
    assert_eq!((session.events.len(), session.writes.len()), (events, writes));
    session.line(RESULT);
    assert_eq!(session.prompt("a", "one").unwrap().phase(), PromptPhase::Finished);
    for (id, text) in
        [("", "x"), ("a b", "x"), ("n", " \n"), (&"i".repeat(65), "x"), ("n", &"x".repeat(PROMPT_TEXT + 1))]
    {
        assert!(matches!(session.prompt(id, text), Err(Refused::BadPrompt(_))), "{id:?}");
    }
}

#[test]
fn the_queue_and_the_memory_of_prompts_are_bounded() {
    let mut session = Session::ready();
    for number in 0..=PROMPT_QUEUE {
        session.prompt(&format!("q{number}"), "x").unwrap();
    }
    assert_eq!(session.prompt("more", "x"), Err(Refused::QueueFull(PROMPT_QUEUE)));
    for _ in 0..=PROMPT_QUEUE {
        session.line(RESULT);
    }
    for number in 0..PROMPTS_KNOWN {
        session.prompt(&format!("p{number}"), "x").unwrap();
        session.line(RESULT);
    }
    assert_eq!(session.conversation.prompts.state("q0"), None);
    assert!(session.conversation.prompts.state("p0").is_some());
}

#[test]
fn of_a_thousand_answers_one_wins() {
    let mut session = Session::ready();
    session.prompt("a", "go").unwrap();
    let asked = session.asks("r1", "Bash", r#"{"command":"id"}"#);
    assert_eq!(session.conversation.state().state(), AgentState::NeedsApproval);
    let mut wrong = asked.clone();
    wrong.digest.replace_range(0..1, if asked.digest.starts_with('0') { "1" } else { "0" });
    assert!(matches!(session.answer("eve", &wrong, "allow-once"), Err(Refused::DigestMismatch { .. })));
    wrong.digest.clear();
    assert!(matches!(session.answer("eve", &wrong, "allow-once"), Err(Refused::DigestMismatch { .. })));
    assert!(matches!(session.answer("eve", &asked, "allow-for-ever"), Err(Refused::NoSuchOption { .. })));
    assert_eq!(session.decisions(), 0);
    let mut winners = 0;
    for number in 0..1000 {
        let option = if number % 2 == 0 { "reject-once" } else { "allow-once" };
        match session.answer(&format!("key{number}"), &asked, option) {
            Ok(_) => winners += 1,
            Err(Refused::AlreadyResolved { by, option, .. }) => {
                assert_eq!((by.as_str(), option.as_str()), ("key0", "reject-once"));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((winners, session.decisions()), (1, 1));
    assert_eq!(session.closings(), [(request(1), Closing::Rejected, "key0".into())]);
    assert_eq!(session.conversation.state().state(), AgentState::Working);
}

#[test]
fn a_request_dies_with_its_turn() {
    let mut session = Session::ready();
    session.prompt("a", "go").unwrap();
    let asked = session.asks("r1", "Bash", r#"{"command":"id"}"#);
    assert_eq!(session.conversation.summary().permissions, std::slice::from_ref(&asked));
    session.line(RESULT);
    assert!(matches!(session.answer("ann", &asked, "allow-once"), Err(Refused::Expired { .. })));
    assert_eq!(session.closings(), [(request(1), Closing::Cancelled, String::new())]);
    assert_eq!((session.decisions(), session.conversation.summary().permissions.len()), (0, 0));
    for number in 0..REQUESTS_CLOSED {
        session.prompt(&format!("p{number}"), "x").unwrap();
        session.asks(&format!("n{number}"), "Bash", "{}");
        session.line(RESULT);
    }
    assert!(matches!(session.answer("ann", &asked, "allow-once"), Err(Refused::NoSuchRequest(_))));
}

#[test]
fn a_rule_answers_until_it_is_revoked() {
    let mut session = Session::ready();
    session.prompt("a", "go").unwrap();
    let asked = session.asks("r1", "Bash", r#"{"command":"cargo test"}"#);
    session.answer("ann", &asked, "allow-always").unwrap();
    let rules = session.conversation.summary().rules;
    assert_eq!(rules[0].description, "Bash: commands that begin with `cargo test` and have everyday arguments");
    session.asks("r2", "Bash", r#"{"command":"cargo test --lib"}"#);
    assert_eq!((session.decisions(), session.conversation.summary().permissions.len()), (2, 0));
    assert!(matches!(session.events.last(), Some(Kind::PermissionClosed(closed)) if closed.rule == rules[0].id));
    assert_eq!(session.conversation.summary().rules[0].used, 1);
    session.asks("r3", "Bash", r#"{"command":"cargo test; id"}"#);
    assert_eq!((session.decisions(), session.conversation.summary().permissions.len()), (2, 1));
    session.command("bob", Wanted::RevokeRule(RevokeRule { id: rules[0].id.clone() })).unwrap();
    session.asks("r4", "Bash", r#"{"command":"cargo test"}"#);
    assert_eq!((session.decisions(), session.conversation.summary().permissions.len()), (2, 2));
    let plan = session.asks("r5", "ExitPlanMode", r#"{"plan":"x"}"#);
    assert!(!plan.options.iter().any(|option| option.id == "allow-always"));
    for number in 0..RULES {
        let asked = session.asks(&format!("m{number}"), "Bash", &format!(r#"{{"command":"ls {number}"}}"#));
        session.answer("ann", &asked, "allow-always").unwrap();
    }
    let long = session.asks("long", "Bash", &format!(r#"{{"command":"ls {}"}}"#, "x".repeat(8192)));
    assert!(!long.options.iter().any(|option| option.id == "allow-always"), "nobody can judge it by its one line");
    let asked = session.asks("full", "Bash", r#"{"command":"ls full"}"#);
    assert_eq!(session.answer("ann", &asked, "allow-always"), Err(Refused::TooManyRules(RULES)));
    session.answer("ann", &asked, "allow-once").unwrap();
}

#[test]
fn a_question_takes_its_labels_and_nothing_else() {
    let mut session = Session::ready();
    session.prompt("a", "go").unwrap();
    let input = r#"{"questions":[{"question":"which","header":"h","multiSelect":false,
        "options":[{"label":"red","description":""},{"label":"blue","description":""}]}]}"#
        .replace('\n', "");
    session.line(&format!(
        r#"{{"type":"control_request","request_id":"q1","request":{{"subtype":"can_use_tool","tool_name":"AskUserQuestion","input":{input}}}}}"#
    ));
    assert_eq!(session.conversation.state().state(), AgentState::NeedsAnswer);
    let asked = session.conversation.summary().questions.remove(0);
    let answer = |labels: &[&str], text: &str| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let answer = QuestionAnswer { question: "which".into(), labels, text: text.into() };
        let (id, digest) = (asked.id.clone(), asked.digest.clone());
        Wanted::AnswerQuestion(AnswerQuestion { id, digest, answers: vec![answer], ..AnswerQuestion::default() })
    };
    for bad in [answer(&["green"], ""), answer(&[], ""), answer(&["red", "blue"], ""), answer(&["red"], "too")] {
        assert!(matches!(session.command("ann", bad), Err(Refused::BadAnswer { .. })));
    }
    session.command("ann", answer(&["blue"], "")).unwrap();
    assert!(session.writes.last().unwrap().contains(r#""answers":{"which":"blue"}"#));
    let late = session.command("bob", answer(&["red"], ""));
    assert!(matches!(late, Err(Refused::AlreadyResolved { by, .. }) if by == "ann"));
    assert_eq!(session.closings(), [(request(1), Closing::Answered, "ann".into())]);
}

#[test]
fn what_nobody_answers_in_time_is_rejected_never_allowed() {
    let mut session = Session::new(Patience { request: Some(60_000), turn: None });
    session.line(READY);
    session.prompt("a", "go").unwrap();
    let asked = session.asks("r1", "Bash", r#"{"command":"id"}"#);
    assert_eq!((asked.deadline, asked.at_deadline.as_str()), (session.now + 60_000, "reject-once"));
    session.wait(59_999);
    assert_eq!(session.decisions(), 0);
    session.wait(1);
    assert!(session.writes.last().unwrap().contains("deny"));
    assert_eq!(session.closings(), [(request(1), Closing::Expired, String::new())]);
    assert!(matches!(session.answer("ann", &asked, "allow-once"), Err(Refused::Expired { .. })));
}

#[test]
fn a_turn_has_its_time_and_people_have_theirs() {
    let mut session = Session::new(Patience { request: None, turn: Some(10_000) });
    session.line(READY);
    session.prompt("a", "go").unwrap();
    session.wait(9_000);
    let asked = session.asks("r1", "Bash", r#"{"command":"id"}"#);
    session.wait(100_000);
    assert!(!session.writes.last().unwrap().contains("interrupt"), "waiting for people does not count");
    session.answer("ann", &asked, "allow-once").unwrap();
    session.wait(1_000);
    assert!(session.writes.last().unwrap().contains("interrupt"));
    session.wait(INTERRUPT);
    assert!(session.conversation.state().reason.contains("kill or restart"));
    assert_eq!(session.conversation.wake(), None);
    session.line(r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted"}"#);
    let state = session.conversation.prompts.state("a").unwrap();
    assert_eq!(state.phase(), PromptPhase::Cancelled);
    assert_eq!(state.error.unwrap().message, "the turn worked for longer than 10 s: turn_timeout");
    // The limit is of one turn; an interrupt of a person's has no such reason.
    session.prompt("b", "go").unwrap();
    session.command("ann", Wanted::Interrupt(Interrupt {})).unwrap();
    session.line(r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted"}"#);
    assert_eq!(session.conversation.prompts.state("b").unwrap().error, None);
}

#[test]
fn an_agent_that_goes_leaves_nothing_open() {
    let mut session = Session::ready();
    session.prompt("a", "go").unwrap();
    session.prompt("b", "wait").unwrap();
    let asked = session.asks("r1", "Bash", r#"{"command":"id"}"#);
    let acts = session.conversation.closed(session.now);
    session.take(acts);
    assert_eq!(session.phases("a").last(), Some(&PromptPhase::Unknown));
    assert_eq!(session.phases("b").last(), Some(&PromptPhase::Failed));
    assert!(matches!(session.answer("ann", &asked, "allow-once"), Err(Refused::Expired { .. })));
    assert_eq!(session.prompt("c", "more"), Err(Refused::Ended));
    assert_eq!(session.prompt("a", "go").unwrap().phase(), PromptPhase::Unknown, "never sent again");
    assert_eq!(session.conversation.state().state(), AgentState::Ended);
    assert_eq!(session.conversation.wake(), None);
}

#[test]
fn a_stop_interrupts_waits_for_the_history_and_closes() {
    let mut session = Session::ready();
    assert_eq!(session.command("ann", Wanted::Interrupt(Interrupt {})), Err(Refused::NotWorking));
    session.prompt("a", "go").unwrap();
    session.prompt("b", "wait").unwrap();
    let acts = session.conversation.stop(session.now);
    session.take(acts);
    assert!(session.writes.last().unwrap().contains("interrupt"));
    assert_eq!(session.phases("b").last(), Some(&PromptPhase::Cancelled));
    session.line(
        r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_streaming"}"#,
    );
    assert_eq!(session.phases("a").last(), Some(&PromptPhase::Cancelled));
    session.wait(FLUSH - 1);
    assert!(!session.is_closed);
    session.wait(1);
    assert!(session.is_closed);
}

#[test]
fn a_missing_login_does_not_burn_the_queue() {
    let mut session = Session::ready();
    session.prompt("a", "one").unwrap();
    session.prompt("b", "two").unwrap();
    session.line(r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":401,"result":"no"}"#);
    assert_eq!(session.conversation.state().state(), AgentState::NeedsLogin);
    assert_eq!(session.phases("a").last(), Some(&PromptPhase::Failed));
    assert_eq!(session.phases("b").last(), Some(&PromptPhase::Queued));
    session.prompt("c", "three").unwrap();
    assert_eq!(session.phases("b").last(), Some(&PromptPhase::HandedOver), "a person tries again");
}

#[test]
fn refusals_have_stable_codes() {
    let mut session = Session::ready();
    let refused = session.command("ann", Wanted::RevokeRule(RevokeRule { id: "x".into() })).unwrap_err();
    let text = serde_json::to_string(&refusal(&refused)).unwrap();
    assert!(text.contains(r#""code":"no-such-rule""#), "{text}");
    assert!(serde_json::to_string(&crate::wire::v1::AgentReply::from(Reply::Done)).unwrap().contains("done"));
}

#[test]
fn a_long_event_goes_out_short_and_says_so() {
    let chunk = |length: usize| AgentEvent {
        raw: vec![b'r'; 60_000].into(),
        kind: Some(Kind::Message(MessageChunk { text: "ä".repeat(length), ..MessageChunk::default() })),
        ..AgentEvent::default()
    };
    assert_eq!(cut(&chunk(1000)), None);
    let long = chunk(1 << 20);
    let short = cut(&long).unwrap();
    assert!(crate::wire::agent_event_length(&short) <= EVENT_OUT);
    let mark = short.cut.unwrap();
    assert_eq!((mark.length, mark.fetchable), (crate::wire::agent_event_length(&long) as u64, true));
    assert!(matches!(short.kind, Some(Kind::Message(said)) if said.text.starts_with("ää")));
    let bytes = crate::wire::encode_agent_event(&long);
    assert_eq!(crate::wire::decode_agent_event(&bytes).unwrap(), long, "the whole one stays in the ring");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever clients and agent do in whatever order: no panic, one answer for each request, one prompt in flight.
    #[test]
    fn any_order_is_survived(steps in prop::collection::vec((0u8..12, 0usize..6), 1..80)) {
        let mut session = Session::new(Patience { request: Some(500), turn: Some(2_000) });
        let mut asked = Vec::new();
        for (step, number) in steps {
            match step {
                0 => session.line(READY),
                1 => session.line(RESULT),
                2 => _ = session.prompt(&format!("p{number}"), "x"),
                3 => asked.push(session.asks(&format!("r{number}"), "Bash", &format!(r#"{{"command":"ls {number}"}}"#))),
                4 => {
                    for one in &asked {
                        let _ = session.answer("ann", one, ["allow-once", "allow-always", "reject-once"][number % 3]);
                    }
                }
                5 => _ = session.command("ann", Wanted::Interrupt(Interrupt {})),
                6 => session.line(&format!(r#"{{"type":"control_cancel_request","request_id":"r{number}"}}"#)),
                7 => session.wait(number as u64 * 300),
                8 => _ = session.command("ann", Wanted::CancelPrompt(CancelPrompt { id: format!("p{number}") })),
                9 => _ = session.command("ann", Wanted::RevokeRule(RevokeRule { id: format!("rule-{number}") })),
                10 => session.line("garbage"),
                _ => session.line(r#"{"type":"system","subtype":"api_retry","attempt":1,"error_status":529}"#),
            }
            let summary = session.conversation.summary();
            let flying = summary.prompts.iter().filter(|state| state.phase() == PromptPhase::HandedOver).count();
            prop_assert!(flying <= 1);
            let known = session.events.iter().filter(|kind| matches!(kind, Kind::PermissionAsked(_))).count();
            prop_assert_eq!(known, session.closings().len() + summary.permissions.len());
        }
        let acts = session.conversation.closed(session.now);
        session.take(acts);
        let asked = session.events.iter().filter(|kind| matches!(kind, Kind::PermissionAsked(_))).count();
        prop_assert_eq!(asked, session.closings().len());
    }
}

/// Asks, and takes no answer.
struct Stubborn;

impl Driver for Stubborn {
    fn start(&mut self, _: Millis) -> Effects {
        vec![Effect::Condition(Condition::Working(String::new()))]
    }

    fn line(&mut self, now: Millis, line: &[u8]) -> Effects {
        let option =
            |id: &str, kind: OptionKind| PermissionOption { id: id.into(), kind: kind.into(), ..Default::default() };
        let mut made = Made::new(now, None);
        made.event(Kind::PermissionAsked(PermissionAsked {
            id: String::from_utf8_lossy(line).into(),
            kind: crate::wire::v1::ToolKind::Other.into(),
            digest: "d".into(),
            options: vec![option("allow-once", OptionKind::AllowOnce), option("reject-once", OptionKind::RejectOnce)],
            ..PermissionAsked::default()
        }));
        made.done()
    }

    fn command(&mut self, _: Millis, command: Command) -> Result<Effects, Refused> {
        match command {
            Command::Permission { id, .. } if id == "first" => Ok(Vec::new()),
            _ => Err(Refused::NotWorking),
        }
    }

    fn tick(&mut self, _: Millis) -> Effects {
        Vec::new()
    }

    fn wake(&self) -> Option<Millis> {
        None
    }

    fn closed(&mut self, _: Millis) -> Effects {
        Vec::new()
    }
}

#[test]
fn what_the_driver_does_not_take_stays_open_and_is_said() {
    let patience = Patience { request: Some(1000), turn: None };
    let mut conversation = Conversation::new(Box::new(Stubborn), patience);
    let said = |acts: Vec<Act>| {
        let logs = acts.into_iter().filter_map(|act| match act {
            Act::Event(AgentEvent { kind: Some(Kind::Log(log)), .. }) => Some(log.line),
            _ => None,
        });
        logs.collect::<Vec<_>>().join(" ")
    };
    let answer = |id: &str, option: &str| {
        let (id, digest, option) = (id.into(), "d".into(), option.into());
        let command = Some(Wanted::AnswerPermission(AnswerPermission { id, digest, option, ..Default::default() }));
        AgentCommand { who: "ann".into(), command }
    };
    conversation.start(1);
    conversation.line(1, b"late");
    let told = said(conversation.tick(1001));
    assert!(told.contains("could not be rejected") && told.contains("stays open"), "{told}");
    assert_eq!(conversation.summary().permissions.len(), 1);
    assert_eq!(conversation.wake(), None, "its deadline is over");
    // A rule's answer is refused: even where nothing more fits.
    conversation.line(1001, b"first");
    conversation.command(1001, answer("first", "allow-always")).unwrap();
    for number in 1..REQUESTS_OPEN {
        conversation
            .requests
            .add(Request::Permission(PermissionAsked { id: number.to_string(), ..Default::default() }));
    }
    let told = said(conversation.line(1002, b"covered"));
    assert!(told.contains("could not be answered"), "{told}");
    assert!(conversation.summary().permissions.iter().any(|open| open.id == "covered"));
    assert_eq!(conversation.summary().rules[0].used, 0);
}
