//! `portcullis reload`: a new certificate under a living attachment, other settings by a new gateway, nonsense refused.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use portcullis::wire::v1::{self, ViewerMode, client_message::Body as Ask, server_message::Body as Say};

use crate::support::client::{Heard, Wss, open};
use crate::support::place::{Mode, Place, describe, run};
use crate::support::windows::Windows;
use crate::support::{eventually, finished};

/// `reload`, run to its end beside nothing else.
fn reload(place: &Place) -> Output {
    let mut command = place.client(&["reload"]);
    finished(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The certificate that a new handshake gets.
async fn shown(place: &Place) -> Vec<u8> {
    let (socket, _) = open(&place.endpoints().https).await;
    socket.get_ref().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Another self-signed pair where the installation keeps its own.
fn replace_certificate(dir: &Path) {
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    make.args(["-subj", "/CN=renewed", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
    run(make.arg("-keyout").arg(dir.join("tls.key")).arg("-out").arg(dir.join("tls.crt")));
}

/// Types and sees the answer, on an attachment that is there.
async fn answers(wss: &mut Wss, typed: &mut u64, word: &str) {
    let line = format!("echo {word}-$((1+1))\n");
    wss.input(1, *typed, line.as_bytes()).await;
    *typed += line.len() as u64;
    wss.until(1, &format!("{word}-2")).await;
}

/// Another agent in the configuration; whether the gateway knows it.
fn knows_other(place: &Place) -> bool {
    let mut command = place.client(&["new", "other", "--name", "cat"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = finished(child);
    assert!(output.status.success() || describe(&output).contains("other"), "{}", describe(&output));
    output.status.success()
}

#[tokio::test]
async fn a_certificate_is_replaced_in_place_and_settings_by_the_next_gateway() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let attach = v1::Attach { session: "main".into(), channel: 1, mode: ViewerMode::Raw.into(), ..Default::default() };
    let (mut wss, mut typed) = (Wss::login(&place).await, 0);
    let attached = wss.attach(attach.clone()).await;
    let tmux = Windows::new(&place);
    let window = tmux.open("main", (80, 24), &place.client(&["attach", "main"]));
    window.until("$");
    let (gateway, hosts, first) = (place.gateway_pid(), place.host_pids(), shown(&place).await);

    // Nothing changed: nothing happens.
    assert_eq!(said(&reload(&place)), "reloaded; the gateway goes on\n");
    assert_eq!(shown(&place).await, first);

    replace_certificate(&place.dir);
    assert_eq!(shown(&place).await, first, "read without being asked");
    assert_eq!(said(&reload(&place)), "reloaded; the gateway goes on\n");
    let renewed = shown(&place).await;
    assert_ne!(renewed, first);
    answers(&mut wss, &mut typed, "renewed").await;
    window.line("echo window-$((2+2))");
    window.until("window-4");
    assert_eq!(place.gateway_pid(), gateway);
    // Who comes now trusts the new file.
    assert!(place.verb(&["ls"]).contains("main"));

    // A file that makes no sense changes nothing, and its mistake is said.
    let file = place.dir.join("portcullis.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\n[agents.other]\ncomand = [\"/bin/cat\"]\n")).unwrap();
    let refused = reload(&place);
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    assert!(describe(&refused).contains("comand"), "{}", describe(&refused));
    answers(&mut wss, &mut typed, "still").await;
    assert!(!knows_other(&place));

    std::fs::write(&file, format!("{good}\n[agents.other]\ncommand = [\"/bin/cat\"]\n")).unwrap();
    assert!(!knows_other(&place), "read without being asked");
    assert_eq!(said(&reload(&place)), "reloaded; the gateway restarts\n");
    loop {
        match wss.next().await {
            // Any way of ending that says come back.
            Heard::Closed(why) => break assert!(why.as_ref().is_none_or(|(code, _)| *code < 4000), "{why:?}"),
            Heard::Said(_, Say::Error(error)) => assert!(error.retryable, "{error:?}"),
            _ => {}
        }
    }
    eventually("a gateway that knows the new agent", || {
        let mut command = place.client(&["ls"]);
        command.stdin(Stdio::null()).output().unwrap().status.success().then_some(())
    });
    assert!(knows_other(&place));
    assert_ne!(place.gateway_pid(), gateway);
    assert_eq!(place.host_pids().iter().filter(|host| hosts.contains(host)).count(), 1, "the session's host goes on");
    assert_eq!(shown(&place).await, renewed);
    // The window came back by itself; the other client comes back with its cursor and its writer.
    window.line("echo back-$((3+3))");
    window.until("back-6");
    let mut wss = Wss::login(&place).await;
    let cursor = Some(v1::Cursor { log_id: attached.log_id.clone(), offset: attached.offset });
    let again = wss.attach(v1::Attach { cursor, writer: attached.writer.clone(), ..attach }).await;
    assert_eq!((again.verdict(), again.input_offset), (v1::Verdict::Continuous, typed));
    answers(&mut wss, &mut typed, "again").await;
    assert!(matches!(wss.ask(Ask::Kill(v1::Kill { session: "main".into() })).await, Say::Session(_)));

    let acts: Vec<_> = place.audit().iter().filter(|entry| entry["act"] == "reload").cloned().collect();
    assert_eq!(acts.len(), 4, "each reload is written down: {acts:?}");
}

#[test]
fn whoever_orders_a_reload_hears_of_it_before_the_gateway_goes() {
    let place = Place::served(Mode::Root);
    let file = place.dir.join("portcullis.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    // Nobody else is connected: nothing holds the gateway up.
    for kept in 21..31 {
        let gateway = place.gateway_pid();
        std::fs::write(&file, format!("{good}\n[sessions]\nkept_ended = {kept}\n")).unwrap();
        assert_eq!(said(&reload(&place)), "reloaded; the gateway restarts\n");
        eventually("another gateway that answers", || {
            let answers = place.client(&["ls"]).stdin(Stdio::null()).output().unwrap().status.success();
            (answers && place.gateway_pid() != gateway).then_some(())
        });
    }
}
