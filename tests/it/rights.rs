//! Who is in may do what the key's line and the account allow, and nothing else: role by verb by door, agents, sessions,
//! directories, accounts.

use std::process::{Command, Output, Stdio};

use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};

use crate::support::by_hand::{Key, reasons_since};
use crate::support::client::{Heard, Wss};
use crate::support::eventually;
use crate::support::place::{ANN, BOB, Mode, Place, describe, ids, run};

/// An account with another name than its Unix account, which is `BOB`.
const TEAM: &str = "team";

const ROLES: [&str; 3] = ["view", "drive", "own"];

fn ssh(place: &Place, key: &Key, user: &str, words: &[&str]) -> Output {
    let endpoints = place.endpoints();
    let (host, port) = endpoints.ssh.rsplit_once(':').unwrap();
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]);
    command.args(["-o", "LogLevel=ERROR", "-o", "UserKnownHostsFile=/dev/null", "-p", port, "-l", user]);
    command.args(["-i", key.path(), host]).args(words).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    command.output().unwrap()
}

async fn login(place: &Place, key: &Key, user: &str) -> Wss {
    let endpoints = place.endpoints();
    Wss::login_to(&endpoints.https, &endpoints.https, key.path(), user).await
}

fn new(agent: &str, name: &str, directory: &str) -> Ask {
    let (agent, name, directory) = (agent.into(), name.into(), directory.into());
    Ask::New(v1::NewSession { agent, name, directory, ..Default::default() })
}

fn attach(session: &str) -> Ask {
    let mode = v1::ViewerMode::Raw.into();
    Ask::Attach(v1::Attach { session: session.into(), channel: 1, mode, ..Default::default() })
}

/// The least role that each verb needs, as its number in `ROLES`, and the code of the refusal.
fn verbs() -> Vec<(&'static str, usize, Ask, Vec<&'static str>)> {
    let session = String::from("main");
    vec![
        ("ls", 0, Ask::List(v1::ListSessions {}), vec!["ls"]),
        ("show", 0, Ask::Show(v1::Show { session: session.clone() }), vec!["show", "main"]),
        (
            "send",
            1,
            Ask::Send(v1::Send { session: session.clone(), text: ":".into(), no_enter: false }),
            vec!["send", "main", ":"],
        ),
        (
            "rename",
            2,
            Ask::Rename(v1::Rename { session: session.clone(), name: "main".into() }),
            vec!["rename", "main", "main"],
        ),
        ("restart", 2, Ask::Restart(v1::Restart { session: session.clone() }), vec!["restart", "main"]),
        ("kill", 2, Ask::Kill(v1::Kill { session: session.clone() }), vec!["kill", "main"]),
        ("forget", 2, Ask::Forget(v1::Forget { session }), vec!["forget", "main"]),
        ("new", 2, new("shell", "main", ""), vec!["new", "shell", "--name", "main"]),
    ]
}

#[tokio::test]
async fn each_role_has_its_verbs_at_both_doors() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let keys = ROLES.map(|role| Key::listed(&place, role, &format!("role={role}")));
    for (has, key) in keys.iter().enumerate() {
        let mut wss = login(&place, key, ANN).await;
        assert_eq!(wss.ready.role, ROLES[has]);
        for (verb, needs, ask, words) in verbs() {
            let what = format!("{verb} as {}", ROLES[has]);
            let said = wss.ask(ask).await;
            let refusal = if needs == 1 { "view-only" } else { "not-allowed" };
            match &said {
                Say::Error(error) => assert!(has < needs && error.code == refusal, "{what}: {error:?}"),
                _ => assert!(has >= needs, "{what} over wss was done"),
            }
            if verb == "kill" && has >= needs {
                // What has ended is not killed again: the other door has something to end, too.
                let restart = Ask::Restart(v1::Restart { session: "main".into() });
                assert!(matches!(wss.ask(restart).await, Say::Session(_)));
            }
            if matches!(verb, "forget" | "new") && has >= needs {
                // It was done a moment ago: undo it for the other door.
                if verb == "forget" {
                    assert!(matches!(wss.ask(new("shell", "main", "")).await, Say::Session(_)));
                }
                let kill = Ask::Kill(v1::Kill { session: "main".into() });
                assert!(matches!(wss.ask(kill).await, Say::Session(_)));
                if verb == "new" {
                    let forget = Ask::Forget(v1::Forget { session: "main".into() });
                    assert!(matches!(wss.ask(forget).await, Say::Done(_)));
                }
            }
            let told = ssh(&place, key, ANN, &words);
            assert_eq!(told.status.success(), has >= needs, "{what} over ssh: {}", describe(&told));
            if has < needs {
                let why = String::from_utf8_lossy(&told.stderr).into_owned();
                assert!(why.contains(&format!("role {}", ROLES[has])) || why.contains(ROLES[needs]), "{what}: {why}");
            }
        }
    }
    assert_eq!(place.audit().iter().filter(|entry| entry["event"] == "refused").count(), 0, "the logins were all good");
}

#[tokio::test]
async fn who_may_only_view_types_into_nothing() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let [view, drive, _] = ROLES.map(|role| Key::listed(&place, role, &format!("role={role}")));
    let mut watching = login(&place, &view, ANN).await;
    let mut typing = login(&place, &drive, ANN).await;
    for (wss, role) in [(&mut watching, "view"), (&mut typing, "drive")] {
        match wss.ask(attach("main")).await {
            Say::Attached(attached) => assert_eq!(attached.role, role),
            other => panic!("{other:?}"),
        }
    }
    watching.input(1, 0, b"echo forbidden-$((40+2))\r").await;
    let error = loop {
        match watching.next().await {
            Heard::Said(_, Say::Error(error)) => break error,
            Heard::Closed(why) => panic!("{why:?}"),
            _ => {}
        }
    };
    assert_eq!((error.code.as_str(), error.channel), ("view-only", 1));
    let first = b"echo allowed-$((40+2))\r";
    typing.input(1, 0, first).await;
    let seen = watching.until(1, "allowed-42").await;
    assert!(!String::from_utf8_lossy(&seen).contains("forbidden"), "{}", String::from_utf8_lossy(&seen));
    // Over ssh, through a pipe: what is typed goes nowhere, and the stream is there.
    let mut child = Command::new("ssh");
    let endpoints = place.endpoints();
    let (host, port) = endpoints.ssh.rsplit_once(':').unwrap();
    child.args([
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "LogLevel=ERROR",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    child.args(["-o", "IdentitiesOnly=yes", "-p", port, "-l", ANN, "-i", view.path(), host, "attach", "main"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"echo forbidden-$((40+3))\r").unwrap();
    let attached =
        || place.audit().iter().any(|entry| entry["event"] == "attach" && entry["door"] == "ssh").then_some(());
    crate::support::eventually("attached over ssh", attached);
    typing.input(1, first.len() as u64, b"echo allowed-$((40+4)); exit\r").await;
    let told = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let told =
        tokio::time::timeout(crate::support::HANG, told).await.expect("ssh did not end with the session").unwrap();
    let stream = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(stream.contains("allowed-44") && !stream.contains("forbidden"), "{}", describe(&told));
    drop(stdin);
}

#[tokio::test]
async fn no_pty_is_no_terminal_session_at_either_door() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let (without, with) = (Key::listed(&place, "without", "no-pty"), Key::listed(&place, "with", ""));
    let session = || String::from("main");
    for (key, good) in [(&without, false), (&with, true)] {
        let mut wss = login(&place, key, ANN).await;
        // Each looks at a terminal, types into one or starts one.
        let asks = [
            ("attach", attach("main"), vec!["attach", "main", "--from", "9999999"]),
            ("show", Ask::Show(v1::Show { session: session() }), vec!["show", "main"]),
            (
                "send",
                Ask::Send(v1::Send { session: session(), text: ":".into(), no_enter: false }),
                vec!["send", "main", ":"],
            ),
            ("restart", Ask::Restart(v1::Restart { session: session() }), vec!["restart", "main"]),
            ("new", new("shell", key.name(), ""), vec!["new", "shell", "--name", "other"]),
        ];
        for (verb, ask, words) in asks {
            match wss.ask(ask).await {
                Say::Error(error) => assert!(!good && error.code == "no-terminal", "{verb}: {error:?}"),
                _ => assert!(good, "{verb} over wss was done"),
            }
            let told = ssh(&place, key, ANN, &words);
            // An offset beyond the head: who may look learns that at once.
            let done = told.status.success() || verb == "attach" && told.status.code() == Some(74);
            assert_eq!(done, good, "{verb}: {}", describe(&told));
            assert_eq!(describe(&told).contains("no-pty"), !good, "{verb}: {}", describe(&told));
        }
        // What is no terminal is no matter of that option.
        assert!(
            matches!(wss.ask(Ask::List(v1::ListSessions {})).await, Say::Sessions(list) if !list.sessions.is_empty())
        );
        assert!(ssh(&place, key, ANN, &["ls"]).status.success());
    }
    let names: Vec<_> =
        place.audit().iter().filter(|entry| entry["event"] == "session-start").map(|e| e["name"].clone()).collect();
    assert!(!names.contains(&"without".into()) && names.contains(&"with".into()), "{names:?}");
}

#[tokio::test]
async fn agents_and_sessions_of_a_line() {
    let mut place = Place::served(Mode::Root);
    place.configure("[agents.other]\ncommand = [\"/bin/cat\"]");
    let (shell, works) =
        (Key::listed(&place, "shell", r#"agents="shell""#), Key::listed(&place, "works", r#"sessions="work-*""#));
    let all = Key::listed(&place, "all", "");
    let mut all = login(&place, &all, ANN).await;
    for (agent, name) in [("other", "work-cat"), ("shell", "home")] {
        let said = all.ask(new(agent, name, "")).await;
        assert!(matches!(said, Say::Session(_)), "{said:?}");
    }
    for (key, sees, sees_not, starts, starts_not) in [
        (&shell, "home", "work-cat", ("shell", "s1"), (("other", "s2"), "agent-not-allowed")),
        (&works, "work-cat", "home", ("shell", "work-s1"), (("shell", "s2"), "session-not-allowed")),
    ] {
        let mut wss = login(&place, key, ANN).await;
        let Say::Sessions(list) = wss.ask(Ask::List(v1::ListSessions {})).await else { panic!("no list") };
        let names: Vec<_> = list.sessions.iter().map(|session| session.name.as_str()).collect();
        assert!(names.contains(&sees) && !names.contains(&sees_not), "{names:?}");
        assert!(matches!(wss.ask(attach(sees)).await, Say::Attached(_)));
        let unseen = Ask::Attach(v1::Attach {
            session: sees_not.into(),
            channel: 2,
            mode: v1::ViewerMode::Raw.into(),
            ..Default::default()
        });
        for ask in
            [unseen, Ask::Show(v1::Show { session: sees_not.into() }), Ask::Kill(v1::Kill { session: sees_not.into() })]
        {
            match wss.ask(ask).await {
                Say::Error(error) => assert_eq!(error.code, "unknown-session", "as if it were not there"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(wss.ask(new(starts.0, starts.1, "")).await, Say::Session(_)));
        let ((agent, name), code) = starts_not;
        match wss.ask(new(agent, name, "")).await {
            Say::Error(error) => assert_eq!(error.code, code),
            other => panic!("{other:?}"),
        }
        assert!(!ssh(&place, key, ANN, &["show", sees_not]).status.success());
        assert!(ssh(&place, key, ANN, &["show", sees]).status.success());
        assert!(!ssh(&place, key, ANN, &["new", agent, "--name", name]).status.success());
    }
}

#[tokio::test]
async fn no_way_out_of_the_roots() {
    let mut place = Place::new(Mode::Root);
    place.serve();
    place.stop_serving();
    let root = place.root.join("projects");
    let (uid, gid) = ids(ANN);
    for dir in ["projects/inside", "projects-evil/x", "elsewhere"] {
        std::fs::create_dir_all(place.root.join(dir)).unwrap();
    }
    std::os::unix::fs::symlink(place.root.join("elsewhere"), root.join("out")).unwrap();
    std::os::unix::fs::symlink("inside", root.join("in")).unwrap();
    std::os::unix::fs::symlink("/proc/self/root", root.join("magic")).unwrap();
    run(Command::new("chown").arg("-Rh").arg(format!("{uid}:{gid}")).args([
        &root,
        &place.root.join("projects-evil"),
        &place.root.join("elsewhere"),
    ]));
    let config = place.dir.join("portcullis.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let lines = text
        .lines()
        .map(|line| if line.starts_with("roots = ") { format!("roots = [{root:?}]") } else { line.to_owned() });
    std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    place.serve();
    let key = Key::listed(&place, "good", "");
    let mut wss = login(&place, &key, ANN).await;
    let inside = |path: &str| root.join(path).display().to_string();
    for (number, good) in
        ["", "inside", "in", &inside("inside"), &inside(""), "inside/../inside"].into_iter().enumerate()
    {
        let said = wss.ask(new("shell", &format!("s{number}"), good)).await;
        assert!(matches!(said, Say::Session(_)) || good.contains(".."), "{good}: {said:?}");
    }
    let before = place.audit().iter().filter(|entry| entry["event"] == "session-start").count();
    let beside = place.root.join("projects-evil").display().to_string();
    let below = place.root.join("projects-evil/x").display().to_string();
    let up = inside("../elsewhere");
    let outside = [
        "..",
        "../elsewhere",
        "inside/../../elsewhere",
        "out",
        "out/",
        "/",
        "/etc",
        "magic",
        "magic/etc",
        &beside,
        &below,
        &up,
    ];
    for bad in outside {
        match wss.ask(new("shell", "escaped", bad)).await {
            Say::Error(error) => assert!(
                matches!(error.code.as_str(), "directory-outside-roots" | "no-such-directory"),
                "{bad}: {error:?}"
            ),
            other => panic!("{bad}: {other:?}"),
        }
        let told = ssh(&place, &key, ANN, &["new", "shell", bad, "--name", "escaped"]);
        assert!(!told.status.success(), "{bad}: {}", describe(&told));
    }
    let Say::Sessions(list) = wss.ask(Ask::List(v1::ListSessions {})).await else { panic!("no list") };
    assert!(list.sessions.iter().all(|session| session.name != "escaped"));
    let started = place.audit().iter().filter(|entry| entry["event"] == "session-start").count();
    let failed = place.audit().iter().filter(|entry| entry["event"] == "session-failed").count();
    assert_eq!(started - before, failed, "what was tried is in the log as failed");
}

#[tokio::test]
async fn an_account_sees_nothing_of_another() {
    let mut place = Place::served(Mode::Root);
    place.stop_serving();
    // The operators' form, with a file elsewhere.
    let config = place.dir.join("portcullis.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let keys = place.dir.join("keys");
    let two = place.root.join("two.toml");
    std::fs::write(
        &two,
        format!(
            "{text}\n[accounts.{TEAM}]\nuser = \"{BOB}\"\nroots = [\"%h\"]\nkey_files = [\"{}/%u\"]\n",
            keys.display()
        ),
    )
    .unwrap();
    let mut command = place.command();
    command.arg("serve").arg("--config").arg(&two).arg("--dir").arg(&place.dir);
    command.args(["--https", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    place.serve_by(command, "serving: ");
    let (ann, bob) = (Key::new(&place, "ann", &["ed25519"]), Key::new(&place, "bob", &["ed25519"]));
    for (key, account) in [(&ann, ANN), (&bob, TEAM)] {
        let mut add = place.command();
        run(add.args(["keys", "add", "--dir"]).arg(&place.dir).args([
            "--account",
            account,
            &format!("{} x", key.public),
        ]));
    }
    let (mut of_ann, mut of_bob) = (login(&place, &ann, ANN).await, login(&place, &bob, TEAM).await);
    let Say::Session(annas) = of_ann.ask(new("shell", "main", "")).await else { panic!("no session") };
    let Say::Sessions(list) = of_bob.ask(Ask::List(v1::ListSessions {})).await else { panic!("no list") };
    assert_eq!(list.sessions, []);
    for name in ["main", annas.session_id.as_str()] {
        for ask in
            [attach(name), Ask::Show(v1::Show { session: name.into() }), Ask::Kill(v1::Kill { session: name.into() })]
        {
            match of_bob.ask(ask).await {
                Say::Error(error) => assert_eq!(error.code, "unknown-session"),
                other => panic!("{other:?}"),
            }
        }
        assert!(!ssh(&place, &bob, TEAM, &["show", name]).status.success());
        assert!(ssh(&place, &ann, ANN, &["show", name]).status.success());
    }
    // A name is taken for its own account only, and the process is the account's.
    let Say::Session(bobs) = of_bob.ask(new("shell", "main", "")).await else { panic!("the name is free for bob") };
    assert_ne!(bobs.session_id, annas.session_id);
    assert_eq!((annas.account.as_str(), bobs.account.as_str()), (ANN, TEAM));
    assert!(ssh(&place, &bob, TEAM, &["send", "main", "'id -un; echo $USER $HOME'"]).status.success());
    let wanted = format!("{BOB}\n{BOB} /home/{BOB}\n");
    eventually("whose session it is", || {
        let Output { stdout, .. } = ssh(&place, &bob, TEAM, &["show", "main"]);
        String::from_utf8_lossy(&stdout).contains(&wanted).then_some(())
    });
    // A key is its own account's.
    for (key, user, good) in [(&bob, ANN, false), (&ann, TEAM, false), (&ann, ANN, true)] {
        let before = place.audit().len();
        let endpoints = place.endpoints();
        let tried = Wss::try_login(&endpoints.https, &endpoints.https, key.path(), user).await;
        assert_eq!(tried.is_ok(), good);
        assert_eq!(reasons_since(&place, before), if good { vec![] } else { vec!["unknown-key".to_owned()] });
        assert_eq!(ssh(&place, key, user, &["ls"]).status.success(), good);
    }
}
