//! The verbs of structured sessions at ssh and the local client: long and hostile answers, late ones, prompts that wait, an end in good order.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use serde_json::Value;

use crate::support::by_hand::Key;
use crate::support::client::Wss;
use crate::support::eventually;
use crate::support::place::{describe, status_line};
use crate::support::talk::Talk;

/// A program of JSON lines whose prompts say what it does.
const PROGRAM: &str = r#"exec python3 -c '
import json, sys
def say(**line): print(json.dumps(line), flush=True)
def lines():
    for line in sys.stdin: yield json.loads(line)
say(type="ready")
for line in lines():
    if line["type"] == "stop": sys.exit(7)
    if line["type"] == "interrupt":
        say(type="complete")
    if line["type"] == "answer" and line["id"] != "request-left":
        say(type="message", text=line.get("option", "none"))
        say(type="complete")
    if line["type"] != "prompt": continue
    what, _, rest = line["text"].partition(" ")
    if what == "whole":
        say(type="complete", text="w" * int(rest))
    elif what == "pieces":
        for _ in range(int(rest)): say(type="message", text="p" * 1000)
        say(type="complete", text="p" * 1000 * int(rest) + "!")
    elif what == "piece":
        say(type="message", text="q" * int(rest))
        say(type="complete")
    elif what == "flood":
        for _ in range(int(rest)): say(type="message", text="f" * 65535 + "\n")
        say(type="complete")
    elif what == "act":
        say(type="message", text="a\u001b]0;x\u0007\u202eb\tc\nd")
        say(type="complete")
    elif what == "ask":
        say(type="ask", id="request-" + rest, title="do " + rest, input={})
    elif what == "hang":
        pass
    else:
        say(type="complete", text=line["text"])
'"#;

fn with_program() -> Talk {
    let talk = Talk::with(&[("lines", "lines", PROGRAM)]);
    talk.ssh(&["new", "lines", "--name", "talk"]);
    talk
}

/// The same words over ssh and by the local client.
fn both(talk: &Talk, words: &[&str]) -> [Output; 2] {
    [talk.place.ssh(&[], words).output().unwrap(), talk.place.client(words).output().unwrap()]
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_answer_of_any_length_is_printed_whole() {
    let talk = with_program();
    for (prompt, wanted) in [
        ("whole 300000", "w".repeat(300_000) + "\n"),
        ("piece 300000", "q".repeat(300_000) + "\n"),
        ("pieces 400", "p".repeat(400_000) + "!\n"),
    ] {
        for told in both(&talk, &["prompt", "talk", prompt]) {
            assert_eq!(told.status.code(), Some(0), "{prompt}: {}", errors(&told));
            let text = String::from_utf8(told.stdout).unwrap();
            assert!(text == wanted, "{prompt}: {} bytes, not {}", text.len(), wanted.len());
        }
    }
}

#[test]
fn nothing_that_an_agent_says_acts_on_the_terminal() {
    let talk = with_program();
    for told in both(&talk, &["prompt", "talk", "act"]) {
        assert_eq!(
            String::from_utf8_lossy(&told.stdout),
            "a\\u{1b}]0;x\\u{7}\\u{202e}b\tc\nd\n",
            "{}",
            describe(&told)
        );
    }
    for exact in both(&talk, &["prompt", "talk", "--json", "act"]) {
        assert!(String::from_utf8_lossy(&exact.stdout).contains("a\\u001b]0;x"), "{}", describe(&exact));
    }
}

#[test]
fn an_answer_costs_the_gateway_no_more_memory_the_longer_it_is() {
    let talk = with_program();
    let peak = || -> u64 {
        let line = status_line(talk.place.gateway_pid(), "VmHWM");
        line.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
    };
    talk.ssh(&["prompt", "talk", "whole 10"]);
    let before = peak();
    // 96 MiB.
    let told = talk.place.ssh(&[], &["prompt", "talk", "flood 1536"]).output().unwrap();
    assert!(told.stdout.len() > 1 << 20, "{}", errors(&told));
    let lost = errors(&told).contains("events are gone");
    assert_eq!(told.status.code(), Some(if lost { 74 } else { 0 }), "{}", errors(&told));
    assert!(lost || told.stdout.len() == 1536 * 65536, "{}", told.stdout.len());
    assert!(peak() < before + 48 * 1024, "{before} kB before, {} kB after", peak());
}

#[test]
fn whoever_answers_late_is_told_what_became_of_it() {
    let talk = with_program();
    let ask = |name: &str| {
        talk.ssh(&["prompt", "talk", "--no-wait", &format!("ask {name}")]);
        talk.waiting()["id"].as_str().unwrap().to_owned()
    };
    let one = ask("one");
    talk.ssh(&["deny", &one]);
    let two = ask("two");
    talk.ssh(&["approve", &two]);
    for late in both(&talk, &["approve", &one]).iter().chain(&both(&talk, &["deny", &one[..12]])) {
        let why = errors(late);
        assert_eq!(late.status.code(), Some(1), "{}", describe(late));
        assert!(why.contains(&format!("request {one} is already resolved: reject-once by ")), "{why}");
    }
    let left = ask("left");
    talk.ssh(&["interrupt", "talk"]);
    eventually("it waits no more", || (talk.ssh(&["approvals", "--json"]) == "[]\n").then_some(()));
    for late in both(&talk, &["approve", &left[..12]]).iter().chain(&both(&talk, &["answer", &left, "x"])) {
        assert!(errors(late).contains(&format!("request {left} has expired: ")), "{}", describe(late));
    }
    for wrong in both(&talk, &["approve", "nothing-9"]) {
        assert!(errors(&wrong).contains("no agent waits for nothing-9"), "{}", describe(&wrong));
    }
}

#[test]
fn a_prompt_that_waits_has_an_id_and_is_taken_back_by_it() {
    let talk = with_program();
    assert_eq!(talk.ssh(&["prompt", "talk", "--no-wait", "--id", "p-1", "hang"]), "p-1\n");
    let made = talk.ssh(&["prompt", "talk", "--no-wait", "said never"]);
    let other = talk.place.verb(&["prompt", "talk", "--no-wait", "said never"]);
    talk.ssh(&["cancel", "talk", made.trim()]);
    talk.place.verb(&["cancel", "talk", other.trim()]);
    for told in both(&talk, &["cancel", "talk", "p-1"]) {
        assert!(errors(&told).contains("p-1") && told.status.code() == Some(1), "{}", describe(&told));
    }
    for told in both(&talk, &["prompt", "talk", "--id", made.trim(), "said never"]) {
        assert!(errors(&told).contains("the prompt was cancelled"), "known, and over: {}", describe(&told));
    }
    for told in both(&talk, &["prompt", "talk", "--id", "p-1", "another text"]) {
        assert!(errors(&told).contains("p-1") && told.status.code() == Some(1), "{}", describe(&told));
    }
    talk.ssh(&["interrupt", "talk"]);
    assert_eq!(talk.ssh(&["prompt", "talk", "--id", "p-2", "word"]), "word\n");
}

#[test]
fn an_event_that_came_cut_is_printed_whole_by_its_number() {
    let talk = with_program();
    let told = talk.ssh(&["prompt", "talk", "--json", "whole 300000"]);
    let events = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let cut = events.into_iter().find(|line| line["event"]["cut"]["fetchable"] == true).expect("nothing was cut");
    let number = cut["number"].as_str().unwrap();
    for told in both(&talk, &["events", "talk", "--whole", number]) {
        let line: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|e| panic!("{e}: {}", errors(&told)));
        assert_eq!(line["number"].as_str(), Some(number));
        assert_eq!(line["event"]["message"]["text"].as_str().map(str::len), Some(300_000));
        assert!(line["event"]["raw"].is_null() && told.stdout.ends_with(b"\n"));
    }
    for told in both(&talk, &["events", "talk", "--whole", "0"]) {
        assert!(errors(&told).contains("not cut") && told.status.code() == Some(1), "{}", describe(&told));
    }
}

#[test]
fn a_prompt_says_what_it_waits_for() {
    let talk = with_program();
    talk.ssh(&["prompt", "talk", "--no-wait", "ask first"]);
    let first = talk.waiting()["id"].as_str().unwrap().to_owned();
    let waits = [talk.place.ssh(&[], &["prompt", "talk", "b"]), talk.place.client(&["prompt", "talk", "c"])];
    let children = waits.map(|mut command| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("the agent is needs-approval"), "{line:?}");
        child
    });
    talk.ssh(&["approve", &first]);
    for (child, wanted) in children.into_iter().zip(["b\n", "c\n"]) {
        assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), wanted);
    }
}

#[tokio::test]
async fn stop_lets_the_agent_end_by_itself_and_names_kill_where_it_does_not() {
    let talk = Talk::with(&[("lines", "lines", PROGRAM), ("deaf", "lines", "exec sleep 1000")]);
    talk.ssh(&["new", "lines", "--name", "talk"]);
    talk.ssh(&["prompt", "talk", "--no-wait", "hang"]);
    let drive = Key::listed(&talk.place, "drive", "role=drive");
    let endpoints = talk.place.endpoints();
    let mut driver = Wss::login_to(&endpoints.https, &endpoints.https, drive.path(), &endpoints.account).await;
    let stop = |name: &str| Ask::Stop(v1::StopSession { session: name.into() });
    let code = |said: Say| if let Say::Error(error) = said { error.code } else { format!("{said:?}") };
    assert_eq!(code(driver.ask(stop("talk")).await), "not-allowed");
    assert_eq!(talk.ssh(&["stop", "talk"]), "talk: exit 7\n", "in the middle of a turn");
    let again = talk.place.client(&["stop", "talk"]).output().unwrap();
    assert!(errors(&again).contains("has ended already"), "{}", describe(&again));
    talk.ssh(&["restart", "talk"]);
    assert_eq!(talk.place.verb(&["stop", "talk"]), "talk: exit 7\n");
    talk.ssh(&["restart", "talk"]);
    let mut owner = Wss::login(&talk.place).await;
    let Say::Session(ended) = owner.ask(stop("talk")).await else { panic!("no session") };
    assert_eq!(ended.exit.and_then(|exit| exit.how), Some(v1::exit::How::Code(7)));

    talk.ssh(&["new", "shell", "--name", "tty"]);
    assert_eq!(code(owner.ask(stop("tty")).await), "wrong-mode");
    talk.ssh(&["new", "deaf", "--name", "deaf"]);
    assert_eq!(code(owner.ask(stop("deaf")).await), "late");
    let late = talk.place.ssh(&[], &["stop", "deaf"]).output().unwrap();
    assert!(errors(&late).contains("`kill deaf` ends it"), "{}", describe(&late));
    assert!(talk.ssh(&["ls"]).contains("deaf"));
    talk.ssh(&["kill", "deaf"]);
    let acts: Vec<Value> = talk.place.audit().into_iter().filter(|entry| entry["act"] == "stop").collect();
    assert_eq!(acts.len(), 5, "{acts:?}");
}
