//! Agents that do not behave: garbage, floods, silence, an end at once; and clients that ask for what cannot be.

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, AgentState, PromptPhase, client_message::Body as Ask, server_message::Body as Say};

use crate::support::eventually;
use crate::support::place::describe;
use crate::support::talk::{Talk, Watch, is_over, prompt};

const INITIALIZED: &str = r#"read -r line; id=$(sed 's/.*"request_id":"\([^"]*\)".*/\1/' <<< "$line")
printf '{"type":"control_response","response":{"subtype":"success","request_id":"%s","response":{}}}\n' "$id""#;

fn agent(talk: &Talk, name: &str) {
    talk.ssh(&["new", name, "--name", "talk"]);
}

#[tokio::test]
async fn garbage_is_kept_as_a_log_and_nothing_else_is_hurt() {
    let script = format!(
        "{INITIALIZED}\nhead -c 3000 /dev/urandom; echo; echo '{{\"type\":17'; echo 'not json at all' >&2; exec sleep 1000"
    );
    let talk = Talk::with(&[("mad", "claude", &script)]);
    agent(&talk, "mad");
    let mut watch = Watch::start(&talk.place, None, true).await;
    // Two pipes: which is read first is chance.
    let (mut idle, mut told, mut lines) = (false, false, 0);
    while !(idle && told && lines > 1) {
        match watch.next().await.1 {
            Kind::State(state) => idle |= state.state() == AgentState::Idle,
            Kind::Log(log) if log.line.contains("not json at all") => told = true,
            Kind::Log(log) if log.stream() == v1::AgentStream::Stdout => lines += 1,
            _ => {}
        }
    }
    assert!(talk.ssh(&["ls"]).contains("idle"));
}

#[tokio::test]
async fn a_flood_costs_only_its_ring_and_a_phone_that_was_away_is_told_what_is_gone() {
    // 40 MiB of lines that are no events, 16 MiB of which are held.
    let script = format!(
        "{INITIALIZED}\nhead -c 31457280 /dev/zero | tr '\\0' x | fold -w 4000; echo last >&2; exec sleep 1000"
    );
    let talk = Talk::with(&[("flood", "claude", &script)]);
    agent(&talk, "flood");
    let watch = Watch::start(&talk.place, None, true).await;
    let log_id = watch.attached.log_id.clone();
    drop(watch);
    eventually("the flood is over", || {
        let status = talk.place.ssh(&[], &["ls", "--json"]).output().unwrap();
        let host = talk.place.host_pids()[0];
        let fed = std::fs::read_to_string(format!("/proc/{host}/io")).unwrap();
        let read: u64 = fed.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
        (status.status.success() && read > 31_457_280).then_some(())
    });
    let mut back = Watch::start(&talk.place, Some(v1::Cursor { log_id, offset: 1 }), false).await;
    assert_eq!(back.attached.verdict(), v1::Verdict::Gap);
    assert_eq!((back.attached.lost_from, back.attached.lost_to), (1, back.attached.offset));
    assert_eq!(back.attached.agent.clone().unwrap().state.unwrap().state(), AgentState::Idle, "with a summary");
    let mut next = back.attached.offset;
    loop {
        let (number, kind) = back.next().await;
        assert_eq!(number, next);
        next += 1;
        if matches!(kind, Kind::Log(log) if log.line == "last") {
            break;
        }
    }
}

#[tokio::test]
async fn an_agent_that_never_reads_or_never_answers_can_be_seen_and_ended() {
    let talk = Talk::with(&[("deaf", "claude", "exec sleep 1000")]);
    agent(&talk, "deaf");
    let mut watch = Watch::start(&talk.place, None, false).await;
    assert_eq!(watch.attached.agent.clone().unwrap().state.unwrap().state(), AgentState::Starting);
    // Taken and queued, and it can be taken back: nothing hangs.
    assert!(
        matches!(watch.ask(prompt("p1", "hello")).await, Say::Prompt(state) if state.phase() == PromptPhase::Queued)
    );
    assert!(matches!(watch.ask(Request::CancelPrompt(v1::CancelPrompt { id: "p1".into() })).await, Say::Prompt(_)));
    let waits = talk.place.ssh(&[], &["prompt", "talk", "--no-wait", "hello"]).output().unwrap();
    assert!(waits.status.success(), "{}", describe(&waits));
    talk.ssh(&["kill", "talk"]);
    assert!(talk.ssh(&["ls"]).contains("signal"));
}

#[tokio::test]
async fn one_that_ends_at_once_says_so_with_its_last_words() {
    let talk = Talk::with(&[("brief", "claude", "echo 'cannot find my configuration' >&2; exit 3")]);
    agent(&talk, "brief");
    let told = talk.place.ssh(&[], &["prompt", "talk", "hello"]).output().unwrap();
    assert!(!told.status.success(), "{}", describe(&told));
    let mut watch = Watch::start(&talk.place, None, true).await;
    watch.until(|kind| matches!(kind, Kind::Log(log) if log.line.contains("cannot find my configuration"))).await;
    assert!(talk.ssh(&["ls"]).contains("exit 3"));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_a_word_for_it() {
    let script = format!("{INITIALIZED}\nexec sleep 1000");
    let talk = Talk::with(&[("calm", "claude", &script)]);
    agent(&talk, "calm");
    talk.ssh(&["new", "shell", "--name", "tty"]);
    let mut watch = Watch::start(&talk.place, None, false).await;
    let code = |said: Say| match said {
        Say::Error(error) => error.code,
        other => format!("{other:?}"),
    };
    let raw = v1::Attach { session: "talk".into(), channel: 9, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
    assert_eq!(code(watch.wss.ask(Ask::Attach(raw.clone())).await), "wrong-mode");
    let events = v1::Attach { session: "tty".into(), mode: v1::ViewerMode::Events.into(), ..raw };
    assert_eq!(code(watch.wss.ask(Ask::Attach(events)).await), "wrong-mode");
    let to_tty = v1::AgentRequest { session: "tty".into(), request: Some(prompt("p", "x")) };
    assert_eq!(code(watch.wss.ask(Ask::Agent(to_tty)).await), "wrong-mode");
    assert_eq!(code(watch.ask(prompt("", "no id")).await), "bad-prompt");
    assert_eq!(code(watch.ask(prompt("long", &"x".repeat(70_000))).await), "bad-prompt");
    assert_eq!(code(watch.ask(Request::CancelPrompt(v1::CancelPrompt { id: "none".into() })).await), "no-such-prompt");
    assert_eq!(code(watch.ask(Request::RevokeRule(v1::RevokeRule { id: "none".into() })).await), "no-such-rule");
    let answer = v1::AnswerPermission { id: "none".into(), ..Default::default() };
    assert_eq!(code(watch.ask(Request::AnswerPermission(answer)).await), "no-such-permission");
    assert_eq!(
        code(watch.ask(Request::SetMode(v1::SetAgentMode { mode: "bypassPermissions".into() })).await),
        "not-offered"
    );
    let nothing = v1::AgentRequest { session: "talk".into(), request: None };
    assert_eq!(code(watch.wss.ask(Ask::Agent(nothing)).await), "bad-request");
    let typed = talk.place.ssh(&[], &["send", "talk", "keys"]).output().unwrap();
    assert_eq!(typed.status.code(), Some(1), "{}", describe(&typed));
    // What the prompt is told when its agent never answers: it waits, visibly, and dies with the agent.
    watch.ask(prompt("p1", "hello")).await;
    talk.ssh(&["kill", "talk"]);
    watch.until(is_over("p1")).await;
}

#[tokio::test]
async fn a_key_without_approve_prompts_but_decides_nothing() {
    use crate::support::by_hand::Key;
    let script = format!("{INITIALIZED}\nexec sleep 1000");
    let talk = Talk::with(&[("calm", "claude", &script)]);
    agent(&talk, "calm");
    let key = Key::listed(&talk.place, "clerk", "no-approve");
    let endpoints = talk.place.endpoints();
    let key = key.path.display().to_string();
    let mut clerk =
        crate::support::client::Wss::login_to(&endpoints.https, &endpoints.https, &key, &endpoints.account).await;
    let mut ask = async |request| {
        clerk.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request: Some(request) })).await
    };
    assert!(matches!(ask(prompt("p1", "hello")).await, Say::Prompt(_)));
    let answer = v1::AnswerPermission { id: "any".into(), ..Default::default() };
    for request in [
        Request::AnswerPermission(answer),
        Request::SetMode(v1::SetAgentMode { mode: "acceptEdits".into() }),
        Request::RevokeRule(v1::RevokeRule { id: "any".into() }),
    ] {
        let said = ask(request.clone()).await;
        assert!(matches!(&said, Say::Error(error) if error.code == "not-allowed"), "{request:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_program_of_json_lines_and_a_bare_one_are_agents_too() {
    let lines = r#"echo '{"type":"ready","session":"x1"}'
while read -r line; do
  case $line in
    *'"type":"stop"'*) echo stopped >&2; exit 0;;
    *'"type":"answer"'*) touch answered; echo '{"type":"complete"}';;
    *'"type":"prompt"'*)
      echo '{"type":"message","text":"may I?"}'
      echo '{"type":"ask","id":"q1","title":"touch a file","tool":"touch","input":{"file":"answered"}}';;
  esac
done"#;
    let talk =
        Talk::with(&[("robot", "lines", lines), ("bare", "pipe", "while read -r line; do echo \"heard $line\"; done")]);
    agent(&talk, "robot");
    let answer = talk.place.ssh(&[], &["prompt", "talk", "go"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let file = talk.home().join("answered");
    let _ = std::fs::remove_file(&file);
    let id = talk.waiting()["id"].as_str().unwrap().to_owned();
    assert!(!file.exists());
    talk.ssh(&["approve", &id]);
    let told = answer.wait_with_output().unwrap();
    assert!(told.status.success() && String::from_utf8_lossy(&told.stdout).contains("may I?"), "{}", describe(&told));
    eventually("the program did it", || file.exists().then_some(()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(talk.ssh(&["restart", "talk"]), "talk: restarted, new\n", "it has no history of its own");
    let mut watch = Watch::start(&talk.place, None, true).await;
    talk.ssh(&["kill", "talk"]);
    watch.until(|kind| matches!(kind, Kind::Log(log) if log.line == "stopped")).await;
    assert!(talk.ssh(&["ls"]).contains("exit 0"), "it was asked to stop and did");

    talk.ssh(&["new", "bare", "--name", "pipe"]);
    let mut events = talk.place.ssh(&[], &["events", "pipe", "--from", "start"]);
    let events = events.stdout(std::process::Stdio::piped()).spawn().unwrap();
    talk.ssh(&["prompt", "--no-wait", "pipe", "are you there"]);
    eventually("it heard", || {
        let list: serde_json::Value = serde_json::from_str(&talk.ssh(&["ls", "--json"])).unwrap();
        list.as_array().unwrap().iter().any(|session| session["name"] == "pipe").then_some(())
    });
    talk.ssh(&["kill", "pipe"]);
    let told = events.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&told.stdout).contains("heard are you there"), "{}", describe(&told));
}

#[tokio::test]
async fn a_turn_and_a_request_end_at_their_configured_limits() {
    let lines = r#"echo '{"type":"ready","session":"x1"}'
while read -r line; do
  case $line in
    *'"type":"interrupt"'*) echo '{"type":"complete","text":""}';;
    *'"type":"answer"'*) echo "$line" > answer; echo '{"type":"complete"}';;
    *'"text":"ask"'*) echo '{"type":"ask","id":"q1","title":"touch a file","tool":"touch","input":{}}';;
  esac
done"#;
    let mut talk = Talk::with(&[("slow", "lines", lines)]);
    talk.place.configure("[agents.limited]\ncommand = [\"/bin/true\"]\n");
    let file = talk.place.dir.join("portcullis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let limits = "driver = \"lines\"\nturn_timeout = 1\nrequest_timeout = 1";
    std::fs::write(&file, text.replace("driver = \"lines\"", limits)).unwrap();
    talk.place.configure("");
    agent(&talk, "slow");
    let mut watch = Watch::start(&talk.place, None, false).await;
    watch.ask(prompt("p1", "think for ever")).await;
    let events = watch.until(is_over("p1")).await;
    assert!(
        events.iter().any(|kind| matches!(kind, Kind::Log(log) if log.line.contains("which is its limit"))),
        "{events:?}"
    );
    watch.ask(prompt("p2", "ask")).await;
    let events = watch.until(is_over("p2")).await;
    let closed =
        events.iter().find_map(|kind| if let Kind::PermissionClosed(closed) = kind { Some(closed) } else { None });
    assert_eq!(closed.unwrap().outcome(), v1::Closing::Expired, "{events:?}");
    let asked = events.iter().find_map(|kind| if let Kind::PermissionAsked(asked) = kind { Some(asked) } else { None });
    assert!(asked.is_some_and(|asked| asked.deadline > 0), "the request says so");
    let entry = eventually("the deadline's decision is in the audit", || {
        talk.place.audit().into_iter().find(|entry| entry["event"] == "decided")
    });
    assert_eq!(
        (&entry["request"], &entry["option"]),
        (&closed.unwrap().id.as_str().into(), &"reject-once".into()),
        "{entry}"
    );
    assert_eq!(entry["reason"], "nobody answered in time");
}
