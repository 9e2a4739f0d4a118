//! An editor at the ssh door: the protocol's own client drives the real Claude Code through a stock `ssh -T`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::agents::unique_word;
use crate::support::by_hand::Key;
use crate::support::editor::{Editor, chunks, said, served, stop_reason};
use crate::support::place::describe;
use crate::support::{eventually, finished};

#[test]
fn a_foreign_client_prompts_allows_denies_and_cancels_through_ssh() {
    let (place, model) = served();
    let mut editor = Editor::ssh(&place, &["acp", "claude"]);
    // A directory of the editor's own machine: the session is in the first root.
    let (session, new) = editor.begin("/of/another/machine");
    let home = PathBuf::from(new["_meta"]["portcullis"]["directory"].as_str().unwrap());
    assert!(new["modes"]["availableModes"].as_array().unwrap().len() > 1, "{new}");
    assert_eq!(session.len(), 32);

    let word = unique_word();
    model.answers_next("slow: 5 20");
    let heard = editor.turn(&session, "stream");
    assert_eq!(stop_reason(&heard), "end_turn");
    assert_eq!(said(&heard), "chunk-1 chunk-2 chunk-3 chunk-4 chunk-5 ", "each piece once");
    assert!(chunks(&heard) >= 4, "streamed: {heard:#?}");
    model.answers_next(&format!("say: {word}"));
    assert_eq!(said(&editor.turn(&session, "again")), word);

    for (kind, allowed) in [("allow_once", true), ("reject_once", false)] {
        let file = home.join(format!("acp-{}", unique_word()));
        model.answers_next(&format!("run: touch {}", file.display()));
        editor.tell(json!({"do": "prompt", "session": session, "text": "make it"}));
        let asked = editor.asked();
        let input = &asked["request"]["toolCall"]["rawInput"]["command"];
        assert_eq!(input, &json!(format!("touch {}", file.display())), "shown whole");
        assert!(!file.exists(), "nothing is approved by default");
        editor.choose(&asked, kind);
        let heard = editor.until(|one| one["of"] == "prompt");
        assert_eq!((file.exists(), stop_reason(&heard)), (allowed, "end_turn"), "{kind}");
        let _ = std::fs::remove_file(&file);
    }

    model.answers_next("slow: 600 100");
    editor.tell(json!({"do": "prompt", "session": session, "text": "long"}));
    editor.until(|one| one["update"]["sessionUpdate"] == "agent_message_chunk");
    editor.tell(json!({"do": "cancel", "session": session}));
    assert_eq!(stop_reason(&editor.until(|one| one["of"] == "prompt")), "cancelled");
    let audit = place.audit();
    let answers: Vec<&Value> = audit.iter().filter(|entry| entry["event"] == "answer").collect();
    assert!(answers.len() == 2 && answers.iter().all(|entry| entry["key"].is_string()), "{answers:?}");
}

#[test]
fn a_killed_ssh_leaves_the_session_and_load_finds_it_also_after_the_gateway_died() {
    let (place, model) = served();
    let mut first = Editor::ssh(&place, &["acp", "claude"]);
    let (session, new) = first.begin("");
    let home = PathBuf::from(new["_meta"]["portcullis"]["directory"].as_str().unwrap());
    let word = unique_word();
    model.answers_next(&format!("say: {word}"));
    first.turn(&session, "the first prompt");
    let file = home.join(format!("acp-{}", unique_word()));
    model.answers_next(&format!("run: touch {}", file.display()));
    first.tell(json!({"do": "prompt", "session": session, "text": "make it"}));
    first.asked();
    first.tell(json!({"do": "kill"}));
    while first.hear()["heard"] != "exit" {}

    let gateway = place.gateway_pid();
    assert!(Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
    eventually("another gateway serves", || (place.gateway_pid() != gateway).then_some(()));

    let mut second = Editor::ssh(&place, &["acp", "claude"]);
    second.tell(json!({"do": "load", "session": session, "cwd": "/"}));
    let heard = second.until(|one| one["of"] == "load");
    assert_eq!(heard.last().unwrap()["heard"], "result", "{heard:#?}");
    let prompts: Vec<&str> = heard
        .iter()
        .filter(|one| one["update"]["sessionUpdate"] == "user_message_chunk")
        .map(|one| one["update"]["content"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(prompts, ["the first prompt", "make it"], "{heard:#?}");
    assert!(said(&heard).contains(&word));
    let asked = second.asked();
    assert!(!file.exists());
    second.choose(&asked, "allow_once");
    second.until(|one| one["update"]["status"] == "completed");
    assert!(file.exists(), "the same agent goes on");
    std::fs::remove_file(&file).unwrap();
    let word = unique_word();
    model.answers_next(&format!("say: {word}"));
    let heard = second.turn(&session, "go on");
    assert!(said(&heard).contains(&word) && stop_reason(&heard) == "end_turn", "{heard:#?}");
    second.tell(json!({"do": "load", "session": "00".repeat(16), "cwd": "/"}));
    let unknown = second.until(|one| one["of"] == "load").pop().unwrap();
    assert_eq!((&unknown["code"], &unknown["data"]["code"]), (&json!(-32002), &json!("unknown-session")), "{unknown}");
}

#[test]
fn who_approves_elsewhere_is_first_and_the_editors_late_answer_counts_for_nothing() {
    let (place, model) = served();
    // The local client is the same agent to an editor.
    let mut editor = Editor::start(&place.client(&["acp", "claude"]));
    let (session, new) = editor.begin("");
    let home = PathBuf::from(new["_meta"]["portcullis"]["directory"].as_str().unwrap());
    let file = home.join(format!("acp-{}", unique_word()));
    model.answers_next(&format!("run: touch {}", file.display()));
    editor.tell(json!({"do": "prompt", "session": session, "text": "make it"}));
    let asked = editor.asked();
    let list = place.ssh(&[], &["approvals", "--json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let id = list[0]["id"].as_str().unwrap();
    let approved = place.ssh(&[], &["approve", id]).output().unwrap();
    assert!(approved.status.success(), "{}", describe(&approved));
    let heard = editor.until(|one| one["of"] == "prompt");
    assert_eq!(stop_reason(&heard), "end_turn");
    assert!(file.exists(), "allowed elsewhere");
    std::fs::remove_file(&file).unwrap();
    editor.choose(&asked, "reject_once");
    let word = unique_word();
    model.answers_next(&format!("say: {word}"));
    assert_eq!(said(&editor.turn(&session, "go on")), word);
    let answers = place.audit().iter().filter(|entry| entry["event"] == "answer").count();
    assert_eq!(answers, 1, "the late one never went to the agent");

    let gateway = place.gateway_pid();
    assert!(Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
    eventually("another gateway serves", || (place.gateway_pid() != gateway).then_some(()));
    let word = unique_word();
    model.answers_next(&format!("say: {word}"));
    assert_eq!(said(&editor.turn(&session, "still there")), word, "over wss the editor does not notice");
}

#[test]
fn the_subsystem_is_the_same_agent_and_a_terminal_is_told_to_go_without() {
    let (place, model) = served();
    let mut editor = Editor::start(&place.ssh(&["-T", "-s"], &["acp"]));
    let (session, _) = editor.begin("");
    let word = unique_word();
    model.answers_next(&format!("say: {word}"));
    assert_eq!(said(&editor.turn(&session, "hello")), word);
    editor.tell(json!({"do": "end"}));
    let exit = editor.until_exit();
    assert_eq!(exit["status"], 0, "an editor that ends its input is done: {exit}");
    let other = place.ssh(&["-T", "-s"], &["sftp"]).stdin(Stdio::null()).output().unwrap();
    assert!(!other.status.success(), "{}", describe(&other));
    let mut terminal = place.ssh(&["-tt"], &["acp", "claude"]);
    let told = finished(terminal.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(told.status.code(), Some(2), "{}", describe(&told));
    assert!(describe(&told).contains("ssh -T"), "{}", describe(&told));
    let ls = place.ssh(&[], &["ls", "--json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&ls.stdout).contains(&session), "it lives on");
}

#[test]
fn an_editor_may_do_what_its_key_may() {
    let (place, model) = served();
    let keyed = |key: &Key| {
        let mut command = place.ssh(&["-T", "-F", "none"], &["acp", "claude"]);
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let main = place.endpoints().client_key;
        command = Command::new("ssh");
        command
            .args(words.iter().map(|word| if *word == main { key.path() } else { word }))
            .env_remove("SSH_AUTH_SOCK");
        Editor::start(&command)
    };
    let (prompts, looks) = (Key::listed(&place, "prompts", "no-approve"), Key::listed(&place, "looks", "role=view"));
    let mut editor = keyed(&prompts);
    let (session, new) = editor.begin("");
    let file = PathBuf::from(new["_meta"]["portcullis"]["directory"].as_str().unwrap()).join(unique_word());
    model.answers_next(&format!("run: touch {}", file.display()));
    editor.tell(json!({"do": "prompt", "session": session, "text": "make it"}));
    let asked = editor.asked();
    editor.choose(&asked, "allow_once");
    let is_note =
        |one: &Value| one["update"]["content"]["text"].as_str().is_some_and(|text| text.contains("not taken"));
    editor.until(is_note);
    assert!(!file.exists(), "whoever may not approve has not");

    let mut viewer = keyed(&looks);
    viewer.call(json!({"do": "load", "session": session, "cwd": "/"}));
    viewer.tell(json!({"do": "prompt", "session": session, "text": "mine"}));
    let refused = viewer.until(|one| one["of"] == "prompt").pop().unwrap();
    assert_eq!((&refused["code"], &refused["data"]["code"]), (&json!(-32603), &json!("view-only")), "{refused}");
    viewer.tell(json!({"do": "new", "cwd": ""}));
    let refused = viewer.until(|one| one["of"] == "new").pop().unwrap();
    assert_eq!(refused["heard"], "error", "{refused}");

    let id = asked["request"]["_meta"]["portcullis"]["id"].as_str().unwrap();
    let approved = place.ssh(&[], &["approve", id]).output().unwrap();
    assert!(approved.status.success(), "{}", describe(&approved));
    assert_eq!(stop_reason(&editor.until(|one| one["of"] == "prompt")), "end_turn");
    assert!(file.exists());
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_line_that_is_too_long_is_told_and_the_next_is_read() {
    let (place, _model) = served();
    let mut ssh = place.ssh(&["-T"], &["acp", "claude"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        input.write_all(&vec![b'x'; 3 << 20]).unwrap();
        let next = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}});
        writeln!(input, "\n{next}").unwrap();
    });
    let output = finished(child);
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<&Value> = lines.iter().map(|line| &line["error"]["code"]).collect();
    assert_eq!(codes, [&json!(-32600), &Value::Null], "{text}");
    assert_eq!(lines[1]["result"]["protocolVersion"], 1);
}
