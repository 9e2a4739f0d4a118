//! The audit chains of a running installation: whole after crashes, edits found, torn ends told apart, a full disk survived.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};

use crate::support::by_hand::{ByHand, Key, is_ready};
use crate::support::client::{Heard, Wss};
use crate::support::eventually;
use crate::support::place::{Mode, Place, describe, run};

fn chain(place: &Place) -> PathBuf {
    place.dir.join("state/audit/gateway.jsonl")
}

fn verify(place: &Place, path: &Path) -> Output {
    place.command().args(["audit", "verify"]).arg(path).output().unwrap()
}

fn status(place: &Place, path: &Path) -> i32 {
    verify(place, path).status.code().unwrap()
}

fn start(name: &str) -> Ask {
    Ask::New(v1::NewSession { agent: "shell".into(), name: name.into(), ..Default::default() })
}

fn kill_gateway(place: &Place) {
    let old = place.gateway_pid();
    run(Command::new("kill").args(["-9", &old.to_string()]));
    eventually("another gateway serves", || {
        let serves = place.audit().iter().filter(|entry| entry["act"] == "serves").count();
        (place.gateway_pid() != old && serves >= 2).then_some(())
    });
}

/// Logins, refusals, sessions, verbs, and a kill -9 of the gateway in the middle.
async fn busy(place: &Place) {
    let key = Key::new(place, "stranger", &["ed25519"]);
    for round in 0..2 {
        let mut wss = Wss::login(place).await;
        assert!(!is_ready(&ByHand::log_in(place, &key).await));
        let (name, other) = (format!("a{round}"), format!("b{round}"));
        assert!(matches!(wss.ask(start(&name)).await, Say::Session(_)));
        let attach =
            v1::Attach { session: name.clone(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
        wss.attach(attach).await;
        wss.input(1, 0, b"echo x$((1+1))\r").await;
        wss.until(1, "x2").await;
        assert!(matches!(
            wss.ask(Ask::Rename(v1::Rename { session: name, name: other.clone() })).await,
            Say::Session(_)
        ));
        if round == 0 {
            kill_gateway(place);
        } else {
            assert!(matches!(wss.ask(Ask::Kill(v1::Kill { session: other.clone() })).await, Say::Session(_)));
            assert!(matches!(wss.ask(Ask::Forget(v1::Forget { session: other })).await, Say::Done(_)));
        }
    }
}

#[tokio::test]
async fn both_chains_are_whole_after_kill_9_and_every_edit_is_found() {
    let mut place = Place::served(Mode::Root);
    busy(&place).await;
    let log = place.dir.join("log/spawner.jsonl");
    for path in [&chain(&place), &log] {
        let told = verify(&place, path);
        assert_eq!(told.status.code(), Some(0), "{}", describe(&told));
    }
    let events: Vec<_> = place.audit().iter().filter_map(|entry| Some(entry["event"].as_str()?.to_owned())).collect();
    for event in ["login", "refused", "session-start", "attach", "input-owner", "act", "session-end", "gateway"] {
        assert!(events.iter().any(|have| have == event), "no {event} in {events:?}");
    }
    place.stop_serving();
    for path in [&chain(&place), &log] {
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let judged = |what: &str, lines: &[&str]| {
            let copy = place.root.join("edited.jsonl");
            std::fs::write(&copy, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
            (status(&place, &copy), what.to_owned())
        };
        assert_eq!(judged("as it was", &lines).0, 0);
        let middle = lines.len() / 2;
        let edited = lines[middle].replacen("\"event\":\"", "\"event\":\"x", 1);
        let mut edit = lines.clone();
        edit[middle] = &edited;
        let mut swap = lines.clone();
        swap.swap(middle, middle - 1);
        let mut delete = lines.clone();
        delete.remove(middle);
        let mut double = lines.clone();
        double.insert(middle, lines[middle]);
        for (what, lines) in [("edited", edit), ("swapped", swap), ("deleted", delete), ("doubled", double)] {
            assert_eq!(judged(what, &lines), (1, what.to_owned()), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_torn_end_is_told_apart_kept_and_followed_by_recovered() {
    let mut place = Place::served(Mode::Root);
    drop(Wss::login(&place).await);
    place.stop_serving();
    let path = chain(&place);
    let whole = std::fs::read(&path).unwrap();
    let torn = &whole[..whole.len() - 20];
    std::fs::write(&path, torn).unwrap();
    assert_eq!(status(&place, &path), 2);
    place.serve();
    drop(Wss::login(&place).await);
    let now = std::fs::read(&path).unwrap();
    assert!(now.starts_with(torn), "what was torn is kept");
    assert_eq!(place.audit().iter().filter(|entry| entry["event"] == "recovered").count(), 1);
    let told = verify(&place, &path);
    assert_eq!(told.status.code(), Some(0), "{}", describe(&told));
    assert!(String::from_utf8_lossy(&told.stdout).contains("1 torn lines recovered"), "{}", describe(&told));
}

/// A tmpfs on a directory, gone with the test.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, kilobytes: u32) -> Self {
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k,mode=0700"), "small"])
            .arg(at));
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_what_is_new_and_nothing_that_lives() {
    let mut place = Place::served(Mode::Root);
    place.stop_serving();
    let folder = place.dir.join("state/audit");
    let owner = std::fs::metadata(&folder).unwrap();
    let small = Small::mount(&folder, 256);
    std::os::unix::fs::chown(
        &folder,
        Some(std::os::unix::fs::MetadataExt::uid(&owner)),
        Some(std::os::unix::fs::MetadataExt::gid(&owner)),
    )
    .unwrap();
    place.serve();
    let mut wss = Wss::login(&place).await;
    assert!(matches!(wss.ask(start("main")).await, Say::Session(_)));
    let attach = |channel| v1::Attach {
        session: "main".into(),
        channel,
        mode: v1::ViewerMode::Raw.into(),
        ..Default::default()
    };
    wss.attach(attach(1)).await;
    // Everything that is left, to the last byte.
    let filler = folder.join("filler");
    let _ = Command::new("dd")
        .args(["if=/dev/zero", "bs=1", &format!("of={}", filler.display())])
        .stderr(Stdio::null())
        .status();
    // What is left of the chain's own last page is filled by refused strangers.
    let stranger = Key::new(&place, "stranger", &["ed25519"]);
    let mut refused = 0;
    while !place.console().contains("the audit log cannot be written") {
        assert!(!is_ready(&ByHand::log_in(&place, &stranger).await));
        refused += 1;
        assert!(refused < 40, "the disk does not fill");
    }
    let said = "echo alive-$((40+2))\r";
    wss.input(1, 0, said.as_bytes()).await;
    wss.until(1, "alive-42").await;
    let entries = place.audit().len();
    for ask in [start("second"), Ask::Attach(attach(2)), Ask::Kill(v1::Kill { session: "main".into() })] {
        match wss.ask(ask).await {
            Say::Error(error) => assert!(error.code == "audit-unavailable" && error.retryable, "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    let endpoints = place.endpoints();
    match Wss::try_login(&endpoints.https, &endpoints.https, &endpoints.client_key, &endpoints.account).await {
        Err(Heard::Said(_, Say::Error(error))) => assert_eq!(error.code, "audit-unavailable"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a login that nobody wrote down"),
    }
    let told = place.ssh(&["-o", "BatchMode=yes"], &["ls"]).stdin(Stdio::null()).output().unwrap();
    assert!(!told.status.success(), "{}", describe(&told));
    assert_eq!(place.audit().len(), entries);
    // Room again, without a restart.
    let gateway = place.gateway_pid();
    std::fs::remove_file(&filler).unwrap();
    drop(Wss::login(&place).await);
    assert!(matches!(wss.ask(start("second")).await, Say::Session(_)));
    wss.input(1, said.len() as u64, b"echo still-$((40+2))\r").await;
    wss.until(1, "still-42").await;
    assert_eq!(place.gateway_pid(), gateway);
    let told = verify(&place, &folder.join("gateway.jsonl"));
    assert_eq!(told.status.code(), Some(0), "{}", describe(&told));
    place.verb(&["stop", "--all"]);
    place.stop_serving();
    drop(small);
}

#[tokio::test]
async fn the_entry_is_there_before_the_client_knows() {
    let place = Place::served(Mode::Root);
    let stranger = Key::new(&place, "stranger", &["ed25519"]);
    let count = |event: &str| place.audit().iter().filter(|entry| entry["event"] == event).count();
    for round in 1..=20 {
        let mut wss = Wss::login(&place).await;
        assert!(count("login") >= round);
        assert!(!is_ready(&ByHand::log_in(&place, &stranger).await));
        assert_eq!(count("refused"), round);
        if round <= 5 {
            assert!(matches!(wss.ask(start(&format!("s{round}"))).await, Say::Session(_)));
            assert_eq!(count("session-start"), round);
        }
    }
}
