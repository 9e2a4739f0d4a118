//! A key that may prompt and not approve, at every door of a structured session: it is told why, and the request waits.

use std::process::{Command, Output};

use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};

use crate::support::agents::unique_word;
use crate::support::by_hand::Key;
use crate::support::client::Wss;
use crate::support::place::describe;
use crate::support::talk::{Talk, prompt};
use crate::support::tmux::Tmux;

/// Where somebody with the key stands, and a request that waits.
struct Clerk {
    talk: Talk,
    key: Key,
}

impl Clerk {
    fn start() -> Self {
        let talk = Talk::start();
        let key = Key::listed(&talk.place, "clerk", "no-approve");
        Self { talk, key }
    }

    /// A stock ssh with that key alone.
    fn ssh(&self, options: &[&str], words: &[&str]) -> Command {
        let with_main = self.talk.place.ssh(options, words);
        let main = self.talk.place.endpoints().client_key;
        let mut command = Command::new("ssh");
        let words = with_main.get_args().map(|word| word.to_string_lossy().into_owned());
        command.args(words.map(|word| if word == main { self.key.path().to_owned() } else { word }));
        command.env_remove("SSH_AUTH_SOCK");
        command
    }

    fn told(&self, words: &[&str]) -> Output {
        self.ssh(&[], words).output().unwrap()
    }

    async fn wss(&self) -> Wss {
        let endpoints = self.talk.place.endpoints();
        Wss::login_to(&endpoints.https, &endpoints.https, self.key.path(), &endpoints.account).await
    }

    /// The request that waits, still.
    fn waiting(&self) -> serde_json::Value {
        self.talk.waiting()
    }
}

fn refused(told: &Output) -> String {
    assert_eq!(told.status.code(), Some(1), "{}", describe(told));
    let why = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(why.contains("approve"), "the right that lacks: {why}");
    why
}

#[test]
fn in_the_line_terminal_it_prompts_and_its_approval_key_is_refused_with_why() {
    let clerk = Clerk::start();
    let window = Tmux::start(80, 24, &clerk.ssh(&["-tt"], &["attach", "talk"]));
    window.until("leaves");
    let file = clerk.talk.home().join(unique_word());
    clerk.talk.model.answers_next(&format!("run: touch {}", file.display()));
    window.types("make it");
    window.presses("Enter");
    window.until("this key may not approve; one that may: approve");
    let id = clerk.waiting()["id"].as_str().unwrap().to_owned();
    for key in ["y", "1", "a"] {
        window.presses(key);
        // It stands in the line, as any text.
        window.until(&format!("> {key}"));
        window.presses("C-u");
    }
    window.until("this key may not approve");
    assert!(!file.exists());
    assert_eq!(clerk.waiting()["id"].as_str(), Some(&id[..]), "it waits");
    // Another key decides, and the clerk sees by whom.
    clerk.talk.ssh(&["deny", &id]);
    window.until("rejected: Bash");
    window.until("| idle |");
    assert!(!file.exists());
    let word = unique_word();
    clerk.talk.model.answers_next(&format!("say: {word}"));
    window.types("go on");
    window.presses("Enter");
    window.until(&word);
}

#[tokio::test]
async fn over_ssh_in_the_list_and_over_wss_it_prompts_and_decides_nothing() {
    let clerk = Clerk::start();
    let file = clerk.talk.home().join(unique_word());
    clerk.talk.model.answers_next(&format!("run: touch {}", file.display()));
    let prompted = clerk.told(&["prompt", "--no-wait", "talk", "make it"]);
    assert!(prompted.status.success(), "{}", describe(&prompted));
    let waiting = clerk.waiting();
    let id = waiting["id"].as_str().unwrap();

    for words in [&["approve", id][..], &["approve", id, "--always"], &["deny", id], &["mode", "talk", "acceptEdits"]] {
        refused(&clerk.told(words));
        assert_eq!(clerk.waiting()["id"], id, "{words:?}");
    }
    assert!(clerk.told(&["approvals"]).status.success(), "it may look");

    let list = Tmux::start(80, 24, &clerk.ssh(&["-tt"], &[]));
    list.until("talk");
    list.until("needs-approval");
    list.until("d deny: ");
    list.types("d");
    list.until("this key may not approve; add approve to its line");
    assert_eq!(clerk.waiting()["id"], id, "it waits");

    let mut wss = clerk.wss().await;
    assert!(!wss.ready.approve);
    let digest = waiting["digest"].as_str().unwrap().to_owned();
    let answer = v1::AnswerPermission { id: id.into(), digest, option: "allow-once".into(), ..Default::default() };
    let mut ask =
        async |request| wss.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request: Some(request) })).await;
    let told = ask(v1::agent_request::Request::AnswerPermission(answer)).await;
    assert!(
        matches!(&told, Say::Error(error) if error.code == "not-allowed" && error.message.contains("approve")),
        "{told:?}"
    );
    assert!(matches!(ask(prompt("p2", "say: queued")).await, Say::Prompt(_)), "it may prompt");
    assert_eq!(clerk.waiting()["id"], id);
    assert!(!file.exists());
    let answers = clerk.talk.place.audit().iter().filter(|entry| entry["event"] == "answer").count();
    assert_eq!(answers, 0, "what the right lacks for is no answer");
    clerk.talk.ssh(&["approve", id]);
    crate::support::eventually("who may approve did", || file.exists().then_some(()));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn what_asks_less_is_not_started_anew_by_it() {
    let clerk = Clerk::start();
    let lax = ["new", "claude", "--mode", "structured", "--permission-mode", "acceptEdits", "--name", "lax"];
    refused(&clerk.told(&lax));
    clerk.talk.ssh(&lax);
    let before = clerk.talk.ssh(&["ls", "--json"]);
    refused(&clerk.told(&["restart", "lax"]));
    assert_eq!(clerk.talk.ssh(&["ls", "--json"]), before, "it lives on");
    let told = clerk.told(&["restart", "talk"]);
    assert!(told.status.success(), "{}", describe(&told));
}
