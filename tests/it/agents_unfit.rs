//! Agents that cannot be used: none there, no directory, too old, another protocol. Each says what is wrong and what to do.

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::{self, AgentState, PromptPhase, client_message::Body as Ask, server_message::Body as Say};

use crate::support::place::{ANN, describe, ids, run};
use crate::support::talk::{Talk, Watch, is_over, prompt};
use crate::support::turns::{code, fate, turn};
use crate::support::{agents::unique_word, eventually};

/// What went wrong over ssh, and its message.
fn fails(talk: &Talk, words: &[&str]) -> String {
    let told = talk.place.ssh(&[], words).output().unwrap();
    assert!(!told.status.success(), "{words:?}: {}", describe(&told));
    String::from_utf8_lossy(&told.stderr).into_owned()
}

/// The session's line of `ls`.
fn line(talk: &Talk) -> String {
    talk.ssh(&["ls"]).lines().find(|line| line.starts_with("talk ")).unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_that_is_not_installed_is_refused_with_why_and_kept_where_it_was() {
    let mut talk = Talk::with(&[]);
    talk.place.configure(
        "[agents.absent]\ncommand = [\"/nowhere/agent\"]\nmodes = [\"structured\", \"terminal\"]\ndriver = \"claude\"\n\
         [agents.closed]\ncommand = [\"/etc/passwd\"]\nmodes = [\"structured\"]\ndriver = \"acp\"",
    );
    for (agent, mode, why) in [
        ("absent", "structured", "No such file or directory"),
        ("absent", "terminal", "No such file or directory"),
        ("closed", "structured", "Permission denied"),
    ] {
        let told = fails(&talk, &["new", agent, "--mode", mode, "--name", "talk"]);
        assert!(told.contains(why) && told.contains("install it or correct its command"), "{told}");
        assert_eq!(talk.ssh(&["ls", "--json"]).trim(), "[]", "nothing ran, so there is nothing to look at");
    }
    // One that is gone later: the session is kept, with why.
    let program = talk.place.root.join("program");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    run(std::process::Command::new("chmod").arg("755").arg(&program));
    talk.place
        .configure(&format!("[agents.leaves]\ncommand = [{program:?}]\nmodes = [\"structured\"]\ndriver = \"claude\""));
    talk.ssh(&["new", "leaves", "--name", "talk"]);
    std::fs::remove_file(&program).unwrap();
    let told = fails(&talk, &["restart", "talk"]);
    assert!(told.contains("No such file") && told.contains("install it"), "{told}");
    assert!(line(&talk).contains("not started"));
    let listed: serde_json::Value = serde_json::from_str(&talk.ssh(&["ls", "--json"])).unwrap();
    assert!(listed[0]["exit"]["not_started"].as_str().unwrap().contains("No such file"), "{listed}");
    let told = fails(&talk, &["prompt", "talk", "hello"]);
    assert!(told.contains("No such file") && told.contains("install the agent"), "{told}");
}

#[tokio::test]
async fn a_directory_that_is_gone_is_an_error_of_start_and_restart_and_the_living_are_left_alone() {
    let script = r#"echo '{"type":"ready"}'; while read -r line; do echo '{"type":"complete"}'; done"#;
    let talk = Talk::with(&[("robot", "lines", script)]);
    let home =
        std::path::PathBuf::from(run(std::process::Command::new("sh").args(["-c", &format!("echo ~{ANN}")])).trim());
    let name = unique_word();
    let work = home.join(&name);
    std::fs::create_dir(&work).unwrap();
    std::os::unix::fs::chown(&work, Some(ids(ANN).0), Some(ids(ANN).1)).unwrap();
    talk.ssh(&["new", "robot", &name, "--mode", "structured", "--name", "talk"]);
    std::fs::remove_dir(&work).unwrap();
    for words in [&["restart", "talk"][..], &["new", "robot", &name, "--mode", "structured", "--name", "other"]] {
        let told = fails(&talk, words);
        assert!(told.contains(&name) && told.contains("No such file or directory"), "{told}");
    }
    let mut watch = Watch::start(&talk.place, None, true).await;
    let restart = Ask::Restart(v1::Restart { session: "talk".into() });
    assert_eq!(code(watch.wss.ask(restart).await), "no-such-directory");
    // Not ended for a start that cannot be.
    assert!(line(&talk).contains("idle"), "{}", line(&talk));
    assert_eq!(fate(&turn(&mut watch, "p1", "still there?").await).1, PromptPhase::Finished);
}

/// Answers the handshake, then says in its first turn which version it is.
const OLD: &str = r#"read -r line; id=$(sed 's/.*"request_id":"\([^"]*\)".*/\1/' <<< "$line")
printf '{"type":"control_response","response":{"subtype":"success","request_id":"%s","response":{}}}\n' "$id"
while read -r line; do
  echo '{"type":"system","subtype":"init","session_id":"s","cwd":"/","tools":[],"model":"m","permissionMode":"default","claude_code_version":"1.0.98"}'
  echo '{"type":"result","subtype":"success","is_error":false,"result":"hm","session_id":"s"}'
done"#;

#[tokio::test]
async fn one_that_is_too_old_is_told_so_from_the_second_prompt_on() {
    let talk = Talk::with(&[("old", "claude", OLD)]);
    talk.ssh(&["new", "old", "--name", "talk"]);
    let mut watch = Watch::start(&talk.place, None, true).await;
    watch.ask(prompt("p1", "hello")).await;
    // The agent tells its version with its first turn.
    watch.until(is_over("p1")).await;
    let cure = "Claude Code 1.0.98 is too old for this; it needs at least 2.0: update it";
    let Say::Prompt(state) = watch.ask(prompt("p2", "hello")).await else { panic!("no prompt") };
    assert_eq!((state.phase(), state.error.unwrap().message.as_str()), (PromptPhase::Failed, cure));
    let told = fails(&talk, &["prompt", "talk", "hello"]);
    assert!(told.contains(cure), "{told}");
}

/// An ACP agent of the future, which says its version and waits.
const OTHER: &str = r#"read -r line; id=$(sed 's/.*"id":\([0-9]*\).*/\1/' <<< "$line")
printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":2,"agentCapabilities":{}}}\n' "$id"
exec cat"#;

#[tokio::test]
async fn another_protocol_version_is_named_with_the_cure_and_nothing_hangs() {
    let talk = Talk::with(&[("other", "acp", OTHER)]);
    talk.ssh(&["new", "other", "--name", "talk"]);
    let mut watch = Watch::start(&talk.place, None, true).await;
    let ended = |kind: &Kind| matches!(kind, Kind::State(state) if state.state() == AgentState::Ended);
    let Some(Kind::State(state)) = watch.until(ended).await.pop() else { unreachable!() };
    let cure = "install a version of the agent that speaks 1";
    assert!(state.reason.contains("speaks version \"2\"") && state.reason.contains(cure), "{}", state.reason);
    eventually("its process has ended", || line(&talk).contains("exit 0").then_some(()));
    let Say::Error(error) = watch.ask(prompt("p1", "hello")).await else { panic!("taken") };
    assert!(error.code == "session-ended" && error.message.contains(cure), "{error:?}");
    let told = fails(&talk, &["prompt", "talk", "hello"]);
    assert!(told.contains(cure), "{told}");
}
