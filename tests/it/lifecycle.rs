//! A session from start to oblivion, through the local client and a client of the tests' own.

use std::process::{Command, Stdio};

use portcullis::wire::v1::event::Kind;
use portcullis::wire::v1::{self, client_message::Body as Ask, exit::How, server_message::Body as Say};

use crate::support::client::{Heard, Wss};
use crate::support::eventually;
use crate::support::place::{ANN, Mode, Place, run};

fn raw(session: &str) -> v1::Attach {
    v1::Attach { session: session.into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() }
}

async fn until_ended(wss: &mut Wss) -> v1::Ended {
    loop {
        match wss.next().await {
            Heard::Said(_, Say::Ended(ended)) => return ended,
            Heard::Closed(why) => panic!("closed: {why:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn both_modes_start_type_show_rename_end_and_forget() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let place = Place::served(mode);
        assert_eq!(place.verb(&["new", "shell", "--name", "main"]).trim(), "main");
        place.verb(&["send", "main", "echo word-$((40+2))"]);
        let mut wss = Wss::login(&place).await;
        wss.attach(raw("main")).await;
        wss.until(1, "word-42").await;
        assert!(place.verb(&["show", "main"]).contains("word-42"));
        place.verb(&["rename", "main", "other"]);
        assert!(place.verb(&["ls"]).contains("other"));
        wss.input(1, 0, b"exit 7\n").await;
        let ended = until_ended(&mut wss).await;
        assert_eq!(ended.exit.unwrap().how, Some(How::Code(7)), "{mode:?}");

        // Whoever comes later learns it too, and the local client ends with it.
        let mut late = Wss::login(&place).await;
        late.attach(raw("other")).await;
        assert_eq!(until_ended(&mut late).await.exit.unwrap().how, Some(How::Code(7)));
        let attach = place.client(&["attach", "other"]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(attach.status.code(), Some(7), "{}", crate::support::place::describe(&attach));

        place.verb(&["forget", "other"]);
        assert!(!place.verb(&["ls"]).contains("other"));
    }
}

#[tokio::test]
async fn a_killed_session_says_by_which_signal_and_a_restarted_one_resets_old_cursors() {
    let place = Place::served(Mode::Root);
    let mut wss = Wss::login(&place).await;
    let session = wss.start("shell", "main").await;
    let attached = wss.attach(raw("main")).await;
    match wss.ask(Ask::Kill(v1::Kill { session: "main".into() })).await {
        Say::Session(session) => assert_eq!(session.state(), v1::State::Ended),
        other => panic!("{other:?}"),
    }
    let how = until_ended(&mut wss).await.exit.unwrap().how;
    assert!(matches!(&how, Some(How::Signal(name)) if name == "HUP"), "{how:?}");
    match wss.ask(Ask::Restart(v1::Restart { session: "main".into() })).await {
        Say::Session(again) => assert_eq!(again.session_id, session.session_id),
        other => panic!("{other:?}"),
    }
    let cursor = Some(v1::Cursor { log_id: attached.log_id.clone(), offset: attached.offset });
    let again = wss.attach(v1::Attach { channel: 2, cursor, ..raw("main") }).await;
    assert_eq!(again.verdict(), v1::Verdict::Reset);
    assert_ne!(again.log_id, attached.log_id);
}

#[tokio::test]
async fn the_same_request_id_is_the_same_session_and_a_name_is_taken_once() {
    let place = Place::served(Mode::Root);
    let mut wss = Wss::login(&place).await;
    let new = |name: &str, request: &str| {
        Ask::New(v1::NewSession {
            agent: "shell".into(),
            name: name.into(),
            request_id: request.into(),
            ..Default::default()
        })
    };
    let Say::Session(first) = wss.ask(new("a", "r1")).await else { panic!() };
    let Say::Session(second) = wss.ask(new("a", "r1")).await else { panic!() };
    assert_eq!((&first.session_id, first.created_now, second.created_now), (&second.session_id, true, false));
    let Say::Error(error) = wss.ask(new("a", "r2")).await else { panic!() };
    assert_eq!(error.code, "name-taken");
    for (directory, code) in
        [("/etc", "directory-outside-roots"), ("..", "directory-outside-roots"), ("none", "no-such-directory")]
    {
        let ask = v1::NewSession { agent: "shell".into(), directory: directory.into(), ..Default::default() };
        let Say::Error(error) = wss.ask(Ask::New(ask)).await else { panic!("{directory}") };
        assert_eq!(error.code, code, "{directory}: {}", error.message);
    }
    let ask = v1::NewSession { agent: "none".into(), ..Default::default() };
    assert!(matches!(wss.ask(Ask::New(ask)).await, Say::Error(_)));
}

#[tokio::test]
async fn a_restart_keeps_what_was_chosen_at_the_start_also_by_another_gateway() {
    let mut place = Place::new(Mode::SingleUser);
    place.serve();
    let script = r#"'echo "started with $* end"; exec cat', "probe""#;
    place.configure(&format!(
        "[agents.probe]\ncommand = [\"/bin/sh\", \"-c\", {script}]\nfree_args = true\n\
         [agents.probe.options.model]\npattern = \"word\"\nflag = \"--model\""
    ));
    let expected = "started with --model opus -x a b end";
    let ask = v1::NewSession {
        agent: "probe".into(),
        name: "main".into(),
        options: [("model".into(), "opus".into())].into(),
        args: vec!["-x".into(), "a b".into()],
        ..Default::default()
    };
    let answer = Wss::login(&place).await.ask(Ask::New(ask)).await;
    assert!(matches!(answer, Say::Session(_)), "{answer:?}");
    let shown = |what: &str| {
        eventually(what, || Some(place.verb(&["show", "main"])).filter(|shown| shown.contains("end")));
        place.verb(&["show", "main"])
    };
    assert_eq!(shown("the first start").trim(), expected);
    run(Command::new("kill").args(["-9", &place.gateway_pid().to_string()]));
    place.verb(&["restart", "main"]);
    assert_eq!(shown("the start after the gateway's end").trim(), expected);
    place.verb(&["kill", "main"]);
    place.verb(&["restart", "main"]);
    assert_eq!(shown("the start after its own end").trim(), expected);
}

/// Each door's answer to a verb that is refused: what it says, and its status.
fn refusals(place: &Place, words: &[&str]) -> Vec<(Option<i32>, String)> {
    let commands = [place.client(words), place.ssh(&["-T"], words)];
    let said = commands.into_iter().map(|mut command| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
    });
    said.collect()
}

#[tokio::test]
async fn what_has_ended_is_not_killed_again_and_every_door_says_the_same() {
    let place = Place::served(Mode::Root);
    let mut wss = Wss::login(&place).await;
    wss.start("shell", "main").await;
    wss.attach(raw("main")).await;
    wss.input(1, 0, b"exit 7\n").await;
    until_ended(&mut wss).await;
    let Say::Error(error) = wss.ask(Ask::Kill(v1::Kill { session: "main".into() })).await else { panic!() };
    assert_eq!((error.code.as_str(), error.retryable), ("session-ended", false));
    assert!(error.message.contains("(exit 7)"), "{}", error.message);
    for cure in ["`restart main`", "`forget main`"] {
        assert!(error.message.contains(cure), "{}", error.message);
    }
    // The client of `kill NAME --dir` is the operator's socket here.
    for (status, told) in refusals(&place, &["kill", "main"]) {
        assert_eq!((status, told), (Some(1), format!("portcullis: {}", error.message)));
    }
    let acts = place.audit().iter().filter(|entry| entry["act"] == "kill").count();
    assert_eq!(acts, 0, "nothing was killed");
}

#[tokio::test]
async fn a_name_that_means_something_else_is_refused_at_both_doors() {
    let place = Place::new(Mode::Root);
    std::fs::create_dir(place.agents()).unwrap();
    let claude = place.agents().join("claude");
    std::fs::write(&claude, "#!/bin/sh\nexec cat\n").unwrap();
    run(Command::new("chmod").arg("755").arg(&claude));
    let mut place = place;
    place.serve();
    let mut wss = Wss::login(&place).await;
    assert!(wss.ready.agents.iter().any(|agent| agent.name == "claude"), "{:?}", wss.ready.agents);
    wss.start("shell", "main").await;
    for (name, what) in [("kill", "a verb"), ("help", "a verb"), ("open", "a verb"), ("claude", "an agent")] {
        let new = v1::NewSession { agent: "shell".into(), name: name.into(), ..Default::default() };
        let rename = v1::Rename { session: "main".into(), name: name.into() };
        for ask in [Ask::New(new), Ask::Rename(rename)] {
            let Say::Error(error) = wss.ask(ask).await else { panic!("{name}") };
            assert_eq!(error.code, "name-reserved", "{name}");
            assert!(error.message.starts_with(&format!("{name} is {what}")), "{}", error.message);
        }
        for words in [&["new", "shell", "--name", name][..], &["rename", "main", name]] {
            for (status, told) in refusals(&place, words) {
                let expected = format!("portcullis: {name} is {what}");
                assert!(status == Some(1) && told.starts_with(&expected), "{words:?}: {status:?} {told}");
            }
        }
    }
    // Its own agent's name is what a session is called first.
    assert_eq!(place.verb(&["new", "claude"]).trim(), "claude");
    assert_eq!(place.verb(&["ls", "--json"]).matches("\"name\"").count(), 2);
}

#[tokio::test]
async fn a_restart_that_would_be_refused_ends_nothing() {
    let mut place = Place::new(Mode::SingleUser);
    place.serve();
    let good = std::fs::read_to_string(place.dir.join("portcullis.toml")).unwrap();
    let agent = "[agents.probe]\ncommand = [\"/bin/sh\", \"-c\", 'exec cat', \"probe\"]\n";
    place.configure(&format!("{agent}[agents.probe.options.model]\npattern = \"word\"\nflag = \"--model\""));
    let options = [("model".into(), "opus".into())].into();
    let ask = v1::NewSession { agent: "probe".into(), name: "main".into(), options, ..Default::default() };
    let answer = Wss::login(&place).await.ask(Ask::New(ask)).await;
    assert!(matches!(answer, Say::Session(_)), "{answer:?}");
    let work = place.root.join("work");
    run(Command::new("install").args(["-d", "-o", ANN]).arg(&work).arg(work.join("gone")));
    let good = good.replace("roots = [", &format!("roots = [\"{}\", ", work.display()));
    std::fs::write(place.dir.join("portcullis.toml"), good).unwrap();
    place.configure(agent);
    let mut wss = Wss::login(&place).await;
    wss.attach(raw("main")).await;
    let Say::Error(error) = wss.ask(Ask::Restart(v1::Restart { session: "main".into() })).await else { panic!() };
    assert!(error.code == "bad-option" && error.message.contains("model"), "{error:?}");
    for (status, told) in refusals(&place, &["restart", "main"]) {
        assert_eq!((status, told), (Some(1), format!("portcullis: {}", error.message)));
    }
    // Nor one whose directory has gone.
    let (kept, gone) = (work.join("kept"), work.join("gone"));
    place.verb(&["new", "shell", "gone", "--name", "second"]);
    let hosts = place.host_pids();
    std::fs::rename(&gone, &kept).unwrap();
    let Say::Error(error) = wss.ask(Ask::Restart(v1::Restart { session: "second".into() })).await else { panic!() };
    assert_eq!(error.code, "no-such-directory", "{error:?}");
    // The same processes, and the viewer is still there.
    wss.input(1, 0, b"still-here\n").await;
    wss.until(1, "still-here").await;
    assert_eq!(place.host_pids(), hosts);
    std::fs::rename(&kept, &gone).unwrap();
    assert!(matches!(wss.ask(Ask::Restart(v1::Restart { session: "second".into() })).await, Say::Session(_)));
}

#[tokio::test]
async fn a_long_clipboard_reaches_a_client_whole() {
    let place = Place::served(Mode::Root);
    let mut wss = Wss::login(&place).await;
    wss.start("shell", "main").await;
    wss.attach(raw("main")).await;
    let line = "seq 100000 | head -c 500000 | base64 -w0 | (printf '\\e]52;c;'; cat; printf '\\a')\n";
    wss.input(1, 0, line.as_bytes()).await;
    let mut copied = Vec::new();
    loop {
        let event = match wss.next().await {
            Heard::Said(_, Say::Event(event)) => event.event.unwrap(),
            Heard::Closed(why) => panic!("closed: {why:?}"),
            _ => continue,
        };
        if let Some(Kind::Clipboard(piece)) = event.kind {
            copied.extend_from_slice(&piece);
            if !event.more {
                break;
            }
        }
    }
    let printed: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(copied == printed.as_bytes()[..500_000], "{} bytes", copied.len());
}
