//! Hooks' reports against the session around them: what is written to which connection, and what everybody sees.

use super::*;
use crate::agents::conversation::{Act, Conversation, Patience};
use crate::agents::event::digest;
use crate::wire::v1::agent_command::Command as Wanted;
use crate::wire::v1::{AgentCommand, AgentState, AnswerPermission, AnswerQuestion, QuestionAnswer};

const BASH: &str = r#""tool_name":"Bash","tool_input":{"command":"touch a"}"#;

/// A session in which nothing has been said.
fn session() -> Conversation {
    let mut conversation = Conversation::new(Box::new(Hooks::new([7; 16], "/w")), Patience::default());
    conversation.start(0);
    conversation
}

fn says(conversation: &mut Conversation, connection: u64, event: &str, more: &str) -> Vec<Act> {
    let comma = if more.is_empty() { "" } else { "," };
    let text = format!(r#"{{"session_id":"s-1","cwd":"/w","hook_event_name":"{event}"{comma}{more}}}"#);
    let line = Report::read(text.as_bytes()).unwrap().line().unwrap();
    conversation.line(1, &addressed(connection, line.trim_ascii_end()))
}

fn written(acts: &[Act]) -> Vec<String> {
    let text = |act: &Act| match act {
        Act::Write(line) => Some(String::from_utf8(line.clone()).unwrap()),
        _ => None,
    };
    acts.iter().filter_map(text).collect()
}

fn state(conversation: &Conversation) -> AgentState {
    conversation.state().state()
}

fn answer(conversation: &mut Conversation, id: &str, digest: &str, option: &str) -> Result<Vec<Act>, Refused> {
    let answer =
        AnswerPermission { id: id.into(), digest: digest.into(), option: option.into(), reason: String::new() };
    let command = AgentCommand { who: "phone".into(), command: Some(Wanted::AnswerPermission(answer)) };
    conversation.command(2, command).map(|(_, acts)| acts)
}

/// A session in which leave is asked on connection 3, and the request's id and digest.
fn asking() -> (Conversation, String, String) {
    let mut conversation = session();
    says(&mut conversation, 1, "SessionStart", r#""source":"startup","model":"m""#);
    says(&mut conversation, 2, "UserPromptSubmit", "");
    let acts = says(&mut conversation, 3, "PermissionRequest", BASH);
    assert_eq!(written(&acts), ["3 kept"]);
    let asked = conversation.summary().permissions.remove(0);
    assert_eq!(
        (asked.summary.as_str(), asked.directory.as_str(), asked.command.as_str()),
        ("Bash: touch a", "/w", "touch a")
    );
    (conversation, asked.id, asked.digest)
}

#[test]
fn states_follow_the_reports() {
    let mut conversation = session();
    assert_eq!(state(&conversation), AgentState::Starting);
    says(&mut conversation, 1, "SessionStart", r#""source":"resume","model":"m","permission_mode":"plan""#);
    assert_eq!(state(&conversation), AgentState::Idle);
    let started = conversation.summary().started.unwrap();
    assert_eq!((started.agent_session.as_str(), started.mode.as_str(), started.resumed), ("s-1", "plan", true));
    for (event, more, wanted) in [
        ("UserPromptSubmit", "", AgentState::Working),
        ("Stop", "", AgentState::Idle),
        ("UserPromptSubmit", "", AgentState::Working),
        ("StopFailure", r#""error":"authentication_failed""#, AgentState::NeedsLogin),
        ("UserPromptSubmit", "", AgentState::Working),
        ("SubagentStop", "", AgentState::Working),
        ("Notification", r#""notification_type":"idle_prompt""#, AgentState::Idle),
    ] {
        says(&mut conversation, 2, event, more);
        assert_eq!(state(&conversation), wanted, "{event}");
    }
    assert_eq!(conversation.summary().turn, 3);
    conversation.closed(9);
    assert_eq!(state(&conversation), AgentState::Ended);
}

#[test]
fn the_first_answer_goes_to_the_hook_and_the_second_is_told() {
    let (mut conversation, id, digest) = asking();
    assert_eq!(state(&conversation), AgentState::NeedsApproval);
    assert!(matches!(answer(&mut conversation, &id, "0", ALLOW), Err(Refused::DigestMismatch { .. })));
    let acts = answer(&mut conversation, &id, &digest, ALLOW).unwrap();
    let wanted =
        "3 {\"hookSpecificOutput\":{\"hookEventName\":\"PermissionRequest\",\"decision\":{\"behavior\":\"allow\"}}}\n";
    assert_eq!(written(&acts), [wanted]);
    assert!(
        matches!(answer(&mut conversation, &id, &digest, REJECT), Err(Refused::AlreadyResolved { by, .. }) if by == "phone")
    );
    assert_eq!(state(&conversation), AgentState::Working);
    // Its connection ends after it: that is no interrupt.
    conversation.line(3, b"3");
    assert_eq!(state(&conversation), AgentState::Working);
}

#[test]
fn an_answer_on_the_screen_is_heard_of_in_each_way_that_there_is() {
    type Way = dyn Fn(&mut Conversation);
    let ways: [(&str, &Way, AgentState); 5] = [
        ("over", &|conversation| _ = conversation.line(2, b"3 over"), AgentState::Working),
        ("its tool has run", &|conversation| _ = says(conversation, 4, "PostToolUse", BASH), AgentState::Working),
        ("escape", &|conversation| _ = conversation.line(2, b"3"), AgentState::Idle),
        ("the turn is over", &|conversation| _ = says(conversation, 4, "Stop", ""), AgentState::Idle),
        ("the agent has ended", &|conversation| _ = conversation.closed(2), AgentState::Ended),
    ];
    for (what, way, then) in ways {
        let (mut conversation, id, digest) = asking();
        way(&mut conversation);
        assert_eq!(conversation.summary().permissions, [], "{what}");
        assert_eq!(state(&conversation), then, "{what}");
        assert!(matches!(answer(&mut conversation, &id, &digest, ALLOW), Err(Refused::Expired { .. })), "{what}");
    }
    let (mut conversation, ..) = asking();
    says(&mut conversation, 4, "PostToolUse", r#""tool_name":"Bash","tool_input":{"command":"other"}"#);
    assert_eq!(conversation.summary().permissions.len(), 1, "another tool's end says nothing of it");
}

#[test]
fn a_rejection_that_lost_to_the_dialog_is_told() {
    let (mut conversation, id, digest) = asking();
    answer(&mut conversation, &id, &digest, REJECT).unwrap();
    let acts = says(&mut conversation, 4, "PostToolUse", BASH);
    assert_eq!(written(&acts), Vec::<String>::new(), "its hook has gone");
    let told = |act: &Act| matches!(act, Act::Event(event) if matches!(&event.kind, Some(Kind::Log(log)) if log.line.contains("too late")));
    assert!(acts.iter().any(told), "{acts:?}");
    assert!(!says(&mut conversation, 5, "PostToolUse", BASH).iter().any(told), "once");
}

#[test]
fn a_rule_answers_the_next_request_at_once() {
    let (mut conversation, id, digest) = asking();
    answer(&mut conversation, &id, &digest, "allow-always").unwrap();
    let acts = says(&mut conversation, 6, "PermissionRequest", BASH);
    assert!(
        matches!(&written(&acts)[..], [kept, allowed] if kept == "6 kept" && allowed.contains("allow")),
        "{acts:?}"
    );
    assert_eq!(conversation.summary().permissions, []);
}

#[test]
fn a_question_is_answered_with_its_own_input() {
    let mut conversation = session();
    let input = r#"{"questions":[{"question":"which?","options":[{"label":"red"},{"label":"blue"}]}]}"#;
    says(&mut conversation, 3, "PermissionRequest", &format!(r#""tool_name":"AskUserQuestion","tool_input":{input}"#));
    assert_eq!(state(&conversation), AgentState::NeedsAnswer);
    let asked = conversation.summary().questions.remove(0);
    assert_eq!(Some(&asked.digest), digest(input).as_ref());
    let answers = vec![QuestionAnswer { question: "which?".into(), labels: vec!["blue".into()], text: String::new() }];
    let answer = AnswerQuestion { id: asked.id, digest: asked.digest, answers, ..AnswerQuestion::default() };
    let command = AgentCommand { who: "phone".into(), command: Some(Wanted::AnswerQuestion(answer)) };
    let (_, acts) = conversation.command(2, command).unwrap();
    assert!(written(&acts)[0].contains(r#""answers":{"which?":"blue"}"#), "{acts:?}");
}

#[test]
fn too_many_requests_and_nonsense_leave_the_dialog_alone() {
    let mut conversation = session();
    for connection in 1..=OPEN as u64 {
        assert_eq!(written(&says(&mut conversation, connection, "PermissionRequest", BASH)).len(), 1);
    }
    assert_eq!(written(&says(&mut conversation, 99, "PermissionRequest", BASH)), Vec::<String>::new());
    for bad in [&b""[..], b"x", b"1 {", b"-1 over", b"5 {}", b"99999999999999999999 over"] {
        conversation.line(1, bad);
    }
    assert_eq!(conversation.summary().permissions.len(), OPEN);
}

#[test]
fn the_window_title_ends_a_turn_that_was_interrupted() {
    let mut conversation = session();
    says(&mut conversation, 1, "SessionStart", "");
    says(&mut conversation, 2, "UserPromptSubmit", "");
    conversation.line(2, "0 ⠂ a title".as_bytes());
    assert_eq!(state(&conversation), AgentState::Working);
    conversation.line(2, "0 ✳ a title".as_bytes());
    assert_eq!(state(&conversation), AgentState::Idle);
    conversation.line(2, "0 ⠐ a title".as_bytes());
    assert_eq!(state(&conversation), AgentState::Working);
    let (mut conversation, ..) = asking();
    conversation.line(2, "0 ✳ a title".as_bytes());
    assert_eq!(state(&conversation), AgentState::NeedsApproval, "the title says nothing of dialogs");
}
