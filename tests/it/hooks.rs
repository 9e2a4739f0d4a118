//! Claude Code in its terminal: its state is known at every door, and its requests are answered there or on its screen, once.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, Closing, client_message::Body as Ask, event, server_message::Body as Say};
use serde_json::{Value, json};

use crate::support::agents::{FakeModel, prepare, unique_word};
use crate::support::by_hand::Key;
use crate::support::client::{Heard, Wss};
use crate::support::place::{ANN, Mode, Place, describe};
use crate::support::tmux::Tmux;
use crate::support::turns::code;
use crate::support::{HANG, eventually, finished};

/// Claude Code on a screen, in a session `talk`.
struct Screen {
    place: Place,
    model: FakeModel,
    ssh: Tmux,
}

impl Screen {
    fn start() -> Self {
        Self::with(&[], "? for shortcuts")
    }

    /// With more words behind `new claude`, and what it shows then.
    fn with(more: &[&str], shown: &str) -> Self {
        let model = FakeModel::start();
        let mut place = Place::new(Mode::Root);
        prepare(&mut place, &model);
        place.serve();
        let words = [&["new", "claude", "--name", "talk"], more].concat();
        let ssh = Tmux::start(100, 40, &place.ssh(&["-tt"], &words));
        ssh.until(shown);
        Self { place, model, ssh }
    }

    fn verb(&self, words: &[&str]) -> Value {
        let told = self.place.ssh(&[], words).output().unwrap();
        assert!(told.status.success(), "{words:?}: {}", describe(&told));
        serde_json::from_slice(&told.stdout).unwrap()
    }

    fn session(&self) -> Value {
        self.verb(&["ls", "--json"])[0].clone()
    }

    fn is(&self, state: &str) -> Value {
        eventually(&format!("the state is {state}"), || {
            let session = self.session();
            (session["agent_state"] == state).then_some(session)
        })
    }

    /// Lets the agent want to make this file.
    fn wants(&self, file: &Path) {
        self.says(&format!("run: touch {}", file.display()), "make it");
    }

    /// Types a prompt that the model answers by this script.
    fn says(&self, script: &str, prompt: &str) {
        self.model.answers_next(script);
        self.ssh.types(prompt);
        self.ssh.until(prompt);
        self.ssh.presses("Enter");
    }

    /// The same, until it is asked for on the screen and at the doors.
    fn asks(&self, file: &Path) -> Value {
        self.wants(file);
        self.ssh.until("Do you want to proceed?");
        eventually("a request waits", || self.verb(&["approvals", "--json"]).as_array().unwrap().first().cloned())
    }

    fn file(&self) -> PathBuf {
        PathBuf::from(self.session()["directory"].as_str().unwrap()).join(format!("made-{}", unique_word()))
    }
}

/// A phone that looks at the terminal.
struct Phone {
    wss: Wss,
    attached: v1::Attached,
}

impl Phone {
    async fn look(place: &Place) -> Self {
        let mut wss = Wss::login(place).await;
        let mode = v1::ViewerMode::Raw.into();
        let attached = wss.attach(v1::Attach { session: "talk".into(), channel: 1, mode, ..Default::default() }).await;
        Self { wss, attached }
    }

    /// The next event of the agent that `wanted` takes.
    async fn until<T>(&mut self, wanted: impl Fn(Kind) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + HANG;
        loop {
            let heard = tokio::time::timeout_at(deadline, self.wss.next()).await.expect("no such event");
            let Heard::Said(_, Say::Event(v1::SessionEvent { event: Some(event), .. })) = heard else { continue };
            if let Some(event::Kind::Agent(event)) = event.kind
                && let Some(found) = event.kind.and_then(&wanted)
            {
                return found;
            }
        }
    }

    async fn asked(&mut self) -> v1::PermissionAsked {
        self.until(|kind| if let Kind::PermissionAsked(asked) = kind { Some(asked) } else { None }).await
    }

    async fn closed(&mut self) -> v1::PermissionClosed {
        self.until(|kind| if let Kind::PermissionClosed(closed) = kind { Some(closed) } else { None }).await
    }

    async fn answer(&mut self, asked: &v1::PermissionAsked, option: &str) -> Say {
        let (id, digest, option) = (asked.id.clone(), asked.digest.clone(), option.into());
        self.ask(Request::AnswerPermission(v1::AnswerPermission { id, digest, option, ..Default::default() })).await
    }

    async fn question_closed(&mut self) -> v1::QuestionClosed {
        self.until(|kind| if let Kind::QuestionClosed(closed) = kind { Some(closed) } else { None }).await
    }

    async fn questioned(&mut self) -> v1::QuestionAsked {
        self.until(|kind| if let Kind::QuestionAsked(asked) = kind { Some(asked) } else { None }).await
    }

    async fn ask(&mut self, request: Request) -> Say {
        self.wss.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request: Some(request) })).await
    }
}

#[tokio::test]
async fn a_phone_allows_what_the_terminal_asks_and_ls_tells_each_state() {
    let screen = Screen::start();
    let idle = screen.is("idle");
    assert_eq!((idle["mode"].as_str(), idle["pending"].as_u64()), (Some("terminal"), Some(0)));
    let mut phone = Phone::look(&screen.place).await;
    let summary = phone.attached.agent.clone().unwrap();
    assert_eq!(summary.state.unwrap().state(), v1::AgentState::Idle);
    assert_eq!(summary.started.unwrap().agent_session, idle["agent_session"].as_str().unwrap());

    let file = screen.file();
    screen.wants(&file);
    let asked = phone.asked().await;
    assert_eq!((asked.tool.as_str(), asked.command.as_str()), ("Bash", &*format!("touch {}", file.display())));
    assert_eq!(screen.is("needs-approval")["pending"].as_u64(), Some(1));
    screen.ssh.until("Do you want to proceed?");
    let again = Phone::look(&screen.place).await.attached.agent.unwrap();
    assert_eq!(again.permissions.first().map(|open| open.id.clone()), Some(asked.id.clone()), "in every attach reply");
    assert!(!file.exists(), "nothing is approved by default");
    let told = phone.answer(&asked, "allow-once").await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    let closed = phone.closed().await;
    assert_eq!((closed.outcome(), &closed.id), (Closing::Allowed, &asked.id), "by {}", closed.by);
    screen.ssh.until("● done:");
    assert!(file.exists() && !screen.ssh.text().contains("Do you want to proceed?"));
    screen.is("idle");
    let late = phone.answer(&asked, "reject-once").await;
    assert!(
        matches!(&late, Say::Error(error) if error.code == "already-resolved" && error.option == "allow-once"),
        "{late:?}"
    );
    let answers = screen.place.audit().iter().filter(|entry| entry["event"] == "answer").count();
    assert_eq!(answers, 2);

    // What is typed there is not prompted from here.
    let request = Some(Request::Prompt(v1::Prompt { id: "p".into(), text: "x".into() }));
    let told = phone.wss.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request })).await;
    assert!(matches!(&told, Say::Error(error) if error.code == "wrong-mode"), "{told:?}");

    let other = screen.file();
    let waiting = screen.asks(&other);
    let denied =
        screen.place.ssh(&[], &["deny", waiting["id"].as_str().unwrap(), "--reason", "not today"]).output().unwrap();
    assert!(denied.status.success(), "{}", describe(&denied));
    screen.ssh.until("not today");
    assert!(!other.exists());
}

#[tokio::test]
async fn the_dialog_on_the_screen_decides_as_if_nobody_else_could() {
    let screen = Screen::start();
    let mut phone = Phone::look(&screen.place).await;
    let file = screen.file();
    // The tool goes on for longer than it takes to see that nothing waits any more.
    screen.model.answers_next(&format!("run: touch {}; tail -f /dev/null", file.display()));
    screen.ssh.types("make it");
    screen.ssh.until("make it");
    screen.ssh.presses("Enter");
    let asked = phone.asked().await;
    screen.ssh.until("Do you want to proceed?");
    screen.ssh.presses("Enter");
    let closed = phone.closed().await;
    assert_eq!((closed.outcome(), closed.reason.as_str()), (Closing::Cancelled, "answered in the terminal"));
    eventually("allowed", || file.exists().then_some(()));
    assert_eq!(screen.is("working")["pending"].as_u64(), Some(0));
    let late = phone.answer(&asked, "reject-once").await;
    assert!(matches!(&late, Say::Error(error) if error.code == "expired"), "{late:?}");
    screen.ssh.presses("Escape");
    screen.is("idle");

    let other = screen.file();
    screen.asks(&other);
    screen.ssh.presses("Escape");
    assert_eq!(phone.closed().await.outcome(), Closing::Cancelled);
    screen.is("idle");
    assert!(!other.exists());
}

#[tokio::test]
async fn both_at_once_have_one_winner_and_everybody_is_told() {
    let screen = Screen::start();
    let mut phone = Phone::look(&screen.place).await;
    for round in 0..3 {
        let file = screen.file();
        screen.wants(&file);
        let asked = phone.asked().await;
        screen.ssh.until("Do you want to proceed?");
        let (_, told) = tokio::join!(async { screen.ssh.presses("Enter") }, phone.answer(&asked, "reject-once"));
        let closed = match &told {
            Say::Done(_) => Closing::Rejected,
            Say::Error(error) if error.code == "expired" => Closing::Cancelled,
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(phone.closed().await.outcome(), closed);
        screen.is("idle");
        if closed == Closing::Rejected && file.exists() {
            phone.until(|kind| matches!(kind, Kind::Log(log) if log.line.contains("too late")).then_some(())).await;
        }
        assert!(closed == Closing::Rejected || file.exists(), "round {round}: the dialog allowed it");
        assert_eq!(screen.verb(&["approvals", "--json"]), json!([]));
    }
}

#[test]
fn a_request_outlives_the_gateway_and_the_dialog_never_waits_for_it() {
    let screen = Screen::start();
    let file = screen.file();
    let waiting = screen.asks(&file);
    let gateway = screen.place.gateway_pid();
    assert!(Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
    eventually("another gateway serves", || (screen.place.gateway_pid() != gateway).then_some(()));
    let again =
        eventually("it still waits", || screen.verb(&["approvals", "--json"]).as_array().unwrap().first().cloned());
    assert_eq!(again, waiting);
    let ssh = Tmux::start(100, 40, &screen.place.ssh(&["-tt"], &["attach", "talk"]));
    ssh.until("Do you want to proceed?");
    ssh.presses("Enter");
    ssh.until("● done:");
    assert!(file.exists());
    assert_eq!(screen.verb(&["approvals", "--json"]), json!([]));
}

/// Runs the hook program as the agent does; its output and how long it took.
fn hook(program: &Path, socket: &Path) -> (String, Duration) {
    let since = Instant::now();
    let mut child = Command::new(program)
        .arg("hook")
        .env_clear()
        .env("PORTCULLIS_HOOK", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = br#"{"session_id":"s","hook_event_name":"PermissionRequest","tool_name":"Bash","tool_input":{}}"#;
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
    let output = finished(child);
    assert!(output.status.success(), "{}", describe(&output));
    (String::from_utf8(output.stdout).unwrap(), since.elapsed())
}

#[test]
fn a_hook_that_nobody_hears_gives_way_in_silence() {
    let place = Place::new(Mode::Root);
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let socket = place.root.join("hook.sock");
    assert_eq!(hook(program, &socket).0, "", "no host");
    let listener = UnixListener::bind(&socket).unwrap();
    // Connected to and written to, and nobody says a word.
    let (printed, took) = hook(program, &socket);
    assert_eq!(printed, "");
    assert!(took >= Duration::from_secs(1) && took < HANG, "{took:?}");
    drop(listener);
    assert_eq!(hook(program, &socket).0, "", "a host that is gone");
}

#[tokio::test]
async fn a_key_that_may_not_approve_may_look_at_a_terminal_and_no_more() {
    let screen = Screen::start();
    let key = Key::listed(&screen.place, "weak", "no-approve");
    let endpoints = screen.place.endpoints();
    let mut weak = Wss::login_to(&endpoints.https, &endpoints.https, key.path(), ANN).await;
    let mode = v1::ViewerMode::Raw.into();
    let attached = weak.attach(v1::Attach { session: "talk".into(), channel: 1, mode, ..Default::default() }).await;
    assert_eq!(attached.role, "view");
    let file = screen.file();
    let waiting = screen.asks(&file);
    weak.input(1, 0, b"\r").await;
    let refused = loop {
        if let Heard::Said(_, Say::Error(error)) = weak.next().await {
            break error;
        }
    };
    assert_eq!(refused.code, "view-only", "{}", refused.message);
    assert!(refused.message.contains("needs approve"), "{}", refused.message);
    let send = Ask::Send(v1::Send { session: "talk".into(), text: String::new(), no_enter: false });
    assert!(matches!(weak.ask(send).await, Say::Error(error) if error.code == "view-only"));
    let text = |name: &str| waiting[name].as_str().unwrap().to_owned();
    let answer = v1::AnswerPermission {
        id: text("id"),
        digest: text("digest"),
        option: "allow-once".into(),
        ..Default::default()
    };
    let request = Some(Request::AnswerPermission(answer));
    let told = weak.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request })).await;
    assert!(matches!(&told, Say::Error(error) if error.code == "not-allowed"), "{told:?}");
    assert!(!file.exists());
    assert_eq!(screen.verb(&["approvals", "--json"]).as_array().unwrap().len(), 1, "it still waits");

    // A question is a dialog as well.
    screen.ssh.presses("Escape");
    screen.is("idle");
    screen.says("ask: which colour", "ask me");
    screen.ssh.until("Enter to select");
    screen.is("needs-answer");
    let questions = Phone::look(&screen.place).await.attached.agent.unwrap().questions;
    let (id, digest) = (questions[0].id.clone(), questions[0].digest.clone());
    let answer = v1::AnswerQuestion { id, digest, declined: true, ..Default::default() };
    let request = Some(Request::AnswerQuestion(answer));
    let told = weak.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request })).await;
    assert!(matches!(&told, Say::Error(error) if error.code == "not-allowed"), "{told:?}");
    screen.is("needs-answer");
}

#[tokio::test]
async fn a_question_on_the_screen_is_answered_from_a_phone_declined_over_ssh_or_answered_there() {
    let screen = Screen::start();
    let mut phone = Phone::look(&screen.place).await;
    let ask = || screen.says("ask: which colour", "ask me");
    ask();
    let asked = phone.questioned().await;
    assert_eq!(asked.questions[0].text, "which colour");
    screen.ssh.until("Enter to select");
    assert_eq!(screen.is("needs-answer")["pending"].as_u64(), Some(1));
    let open = Phone::look(&screen.place).await.attached.agent.unwrap().questions;
    assert_eq!(open[0].id, asked.id, "in every attach reply");
    let answer = |digest: &str| {
        let labels = vec!["blue".to_owned()];
        let answers = vec![v1::QuestionAnswer { question: "which colour".into(), labels, text: String::new() }];
        let (id, digest) = (asked.id.clone(), digest.to_owned());
        Request::AnswerQuestion(v1::AnswerQuestion { id, digest, answers, ..Default::default() })
    };
    assert_eq!(code(phone.ask(answer(&"0".repeat(64))).await), "digest-mismatch");
    let told = phone.ask(answer(&asked.digest)).await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    assert_eq!(phone.question_closed().await.answers[0].labels, ["blue"]);
    screen.ssh.until(r#""which colour"="blue""#);
    screen.is("idle");
    assert_eq!(code(phone.ask(answer(&asked.digest)).await), "already-resolved");

    ask();
    let second = phone.questioned().await;
    screen.ssh.until("Enter to select");
    let told = screen.place.ssh(&[], &["answer", &second.id, "red"]).output().unwrap();
    assert!(told.status.success(), "{}", describe(&told));
    screen.ssh.until(r#""which colour"="red""#);
    screen.is("idle");

    ask();
    phone.questioned().await;
    screen.ssh.until("Enter to select");
    screen.ssh.presses("Escape");
    screen.is("idle");
    assert_eq!(screen.verb(&["approvals", "--json"]), json!([]));
}

#[tokio::test]
async fn a_plan_on_the_screen_is_approved_from_a_phone() {
    let screen = Screen::with(&["--permission-mode", "plan"], "plan mode on");
    let mut phone = Phone::look(&screen.place).await;
    let plans = || screen.says("tool: ExitPlanMode {\"plan\":\"1. look 2. leap\"}", "plan it");
    plans();
    let asked = phone.asked().await;
    assert!(asked.tool == "ExitPlanMode" && asked.input.contains("2. leap"), "{asked:?}");
    let told = phone.answer(&asked, "reject-once").await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    screen.ssh.until("● done:");
    screen.ssh.until("plan mode on");

    plans();
    let asked = phone.asked().await;
    let told = phone.answer(&asked, "allow-once").await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    screen.is("idle");
    eventually("it has left plan mode", || (!screen.ssh.text().contains("plan mode on")).then_some(()));
}

#[tokio::test]
async fn a_phone_denies_what_the_terminal_asks_and_the_file_is_not_there() {
    let screen = Screen::start();
    let mut phone = Phone::look(&screen.place).await;
    let file = screen.file();
    screen.wants(&file);
    let asked = phone.asked().await;
    screen.ssh.until("Do you want to proceed?");
    let (id, digest) = (asked.id.clone(), asked.digest.clone());
    let reason = "not on a Friday".to_owned();
    let denial = v1::AnswerPermission { id, digest, option: "reject-once".into(), reason };
    let told = phone.ask(Request::AnswerPermission(denial)).await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    assert_eq!(phone.closed().await.outcome(), Closing::Rejected);
    screen.ssh.until("not on a Friday");
    screen.is("idle");
    assert!(!file.exists() && !screen.ssh.text().contains("Do you want to proceed?"), "{}", screen.ssh.text());
    assert_eq!(code(phone.answer(&asked, "allow-once").await), "already-resolved");
    assert!(!file.exists());
}

#[test]
fn a_missing_login_and_an_error_of_the_model_are_seen_from_outside() {
    let screen = Screen::start();
    let types = |prompt: &str| {
        screen.ssh.types(prompt);
        screen.ssh.until(prompt);
        screen.ssh.presses("Enter");
    };
    types("fail: 401");
    screen.is("needs-login");
    types("fail: 400");
    screen.is("idle");
}

#[test]
fn a_restart_in_the_terminal_goes_on_with_what_was_said() {
    let screen = Screen::start();
    let word = unique_word();
    screen.says(&format!("say: {word}"), "hello");
    screen.ssh.until(&format!("● {word}"));
    let before = screen.is("idle")["agent_session"].clone();
    let told = screen.place.ssh(&[], &["restart", "talk"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "talk: restarted with its history\n", "{}", describe(&told));
    let back = Tmux::start(100, 40, &screen.place.ssh(&["-tt"], &["attach", "talk"]));
    back.until(&format!("● {word}"));
    assert_eq!(screen.is("idle")["agent_session"], before);
}
