//! The real programs: Claude Code and OpenCode as an unprivileged account, seen through every door at once.

use std::path::{Path, PathBuf};

use portcullis::base::WinSize;
use portcullis::screen::Screen;
use portcullis::wire::v1::{self, server_message::Body as Say};

use crate::support::agents::{FakeModel, prepare, unique_word};
use crate::support::client::{Heard, Wss};
use crate::support::place::{ANN, Mode, Place, children, ids, status_line};
use crate::support::tmux::Tmux;
use crate::support::{HANG, eventually};

/// Collects a channel's terminal data on a screen of the viewer's own size until it shows `wanted`.
async fn until_shown(wss: &mut Wss, size: WinSize, wanted: &str) -> String {
    let mut screen = Screen::new(size);
    let mut open = Vec::new();
    let deadline = tokio::time::Instant::now() + HANG;
    loop {
        let heard = tokio::time::timeout_at(deadline, wss.next()).await;
        match heard.unwrap_or_else(|_| panic!("{wanted:?} never came; the screen:\n{}", screen.text())) {
            Heard::Bytes(frame) => open.extend_from_slice(&frame.data),
            Heard::Said(_, Say::Snapshot(snapshot)) => open.extend_from_slice(&snapshot.data),
            Heard::Said(_, Say::Frame(frame)) => open.extend_from_slice(&frame.data),
            Heard::Closed(why) => panic!("closed {why:?} before {wanted:?} on\n{}", screen.text()),
            _ => continue,
        }
        let done = screen.feed_all(&open);
        open.drain(..done);
        if screen.text().contains(wanted) {
            return screen.text();
        }
    }
}

fn attach(session: &str, mode: v1::ViewerMode, size: Option<(u32, u32)>) -> v1::Attach {
    let size = size.map(|(cols, rows)| v1::Size { cols, rows });
    v1::Attach { session: session.into(), channel: 1, mode: mode.into(), size, ..Default::default() }
}

/// The program of this name below the session's host: its process and executable.
fn below_host(place: &Place, name: &str) -> (u32, PathBuf) {
    let mut open = place.host_pids();
    while let Some(pid) = open.pop() {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if program == place.agents().join(name) {
            return (pid, program);
        }
        open.extend(children(pid));
    }
    panic!("no {name} below {:?}", place.host_pids());
}

fn assert_native(program: &Path) {
    let mut start = [0; 4];
    std::io::Read::read_exact(&mut std::fs::File::open(program).unwrap(), &mut start).unwrap();
    assert_eq!(&start, b"\x7fELF");
}

#[tokio::test]
async fn claude_is_typed_to_over_ssh_and_seen_by_everyone_in_their_own_size() {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    place.serve();
    let ssh = Tmux::start(100, 30, &place.ssh(&["-tt"], &["new", "claude", "--name", "talk"]));
    ssh.until("? for shortcuts");
    let (pid, program) = below_host(&place, "claude");
    assert_native(&program);
    let uid = ids(ANN).0;
    assert_eq!(status_line(pid, "Uid"), format!("{uid} {uid} {uid} {uid}"));

    let mut fitted = Wss::login(&place).await;
    let attached = fitted.attach(attach("talk", v1::ViewerMode::Fitted, Some((60, 20)))).await;
    let grid = attached.size.unwrap();
    assert_eq!((grid.cols, grid.rows), (100, 30), "the driver's window, not the newcomer's");
    let mut raw = Wss::login(&place).await;
    raw.attach(attach("talk", v1::ViewerMode::Raw, None)).await;
    let second = Tmux::start(72, 18, &place.ssh(&["-tt"], &["attach", "talk"]));
    second.until("talk");

    let answer = unique_word();
    // Words of a prompt stand on the screen before they are answered; the answer alone has both halves joined.
    let (one, two) = answer.split_at(8);
    ssh.types(&format!("say: <{one}{two}>"));
    ssh.until(&format!("say: <{answer}>"));
    ssh.presses("Enter");
    let said = format!("● <{answer}>");
    ssh.until(&said);
    assert!(until_shown(&mut raw, WinSize::clamped(100, 30), &said).await.contains(&said));
    assert!(until_shown(&mut fitted, WinSize::clamped(60, 20), &said).await.contains(&said));
    second.until(&said);
}

#[tokio::test]
async fn opencode_draws_its_first_screen_for_ssh_and_wss() {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    place.serve();
    let ssh = Tmux::start(100, 30, &place.ssh(&["-tt"], &["new", "opencode", "--name", "code"]));
    ssh.until("Ask anything");
    let (pid, program) = below_host(&place, "opencode");
    assert_native(&program);
    let uid = ids(ANN).0;
    assert_eq!(status_line(pid, "Uid"), format!("{uid} {uid} {uid} {uid}"));
    let mut raw = Wss::login(&place).await;
    raw.attach(attach("code", v1::ViewerMode::Raw, None)).await;
    until_shown(&mut raw, WinSize::clamped(100, 30), "Ask anything").await;
    let word = unique_word();
    ssh.types(&word);
    ssh.until(&word);
    until_shown(&mut raw, WinSize::clamped(100, 30), &word).await;
}

#[tokio::test]
async fn opencode_in_its_terminal_answers_and_asks_on_its_screen_alone() {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    place.serve();
    let ssh = Tmux::start(100, 30, &place.ssh(&["-tt"], &["new", "opencode", "--name", "code"]));
    ssh.until("Ask anything");
    let session = || -> serde_json::Value {
        let list: serde_json::Value = serde_json::from_str(&place.verb(&["ls", "--json"])).unwrap();
        list[0].clone()
    };
    let home = PathBuf::from(session()["directory"].as_str().unwrap());
    for (key, made) in [("Enter", true), ("Escape", false)] {
        let file = home.join(unique_word());
        ssh.types(&format!("run: touch {}", file.display()));
        ssh.until(&file.display().to_string());
        ssh.presses("Enter");
        ssh.until("Permission required");
        assert!(session()["agent_state"].is_null() && place.verb(&["approvals", "--json"]).trim() == "[]");
        assert!(!file.exists());
        ssh.presses(key);
        eventually("its dialog is gone", || (!ssh.text().contains("Permission required")).then_some(()));
        if made {
            ssh.until("done:");
            std::fs::remove_file(&file).unwrap();
        }
        assert!(!file.exists(), "{key}");
    }
    let mut wss = Wss::login(&place).await;
    let prompt = v1::agent_request::Request::Prompt(v1::Prompt { id: "p".into(), text: "x".into() });
    let request = v1::AgentRequest { session: "code".into(), request: Some(prompt) };
    let told = wss.ask(v1::client_message::Body::Agent(request)).await;
    assert!(matches!(&told, Say::Error(error) if error.code == "wrong-mode"), "{told:?}");
}
