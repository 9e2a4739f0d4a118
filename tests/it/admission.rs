//! Who comes too often, too much or not to the point: limits before and after login, over real sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use portcullis::base::LOGIN_DEADLINE;
use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::support::by_hand::{ByHand, Key, connect_from, is_ready, reasons_since};
use crate::support::client::{Heard, Wss, hear};
use crate::support::place::{ANN, Mode, Place, describe};
use crate::support::{HANG, eventually};

/// Reads until the far side ends it; how long that took since the connection was made.
async fn ended(mut stream: TcpStream, since: Instant, drip: Option<&'static [u8]>) -> Duration {
    let (mut reading, mut writing) = stream.split();
    let mut buffer = [0; 4096];
    let read = async { while matches!(reading.read(&mut buffer).await, Ok(read) if read > 0) {} };
    let write = async {
        match drip {
            Some(bytes) => {
                for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
                    // The pause is the drip itself.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    if writing.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            }
            None => std::future::pending().await,
        }
    };
    let end = async {
        tokio::select! { () = read => {}, () = write => {} }
    };
    timeout(HANG, end).await.expect("the connection was not ended");
    since.elapsed()
}

#[tokio::test]
async fn silence_and_drips_end_at_the_deadline_at_both_doors() {
    let place = Place::served(Mode::Root);
    let endpoints = place.endpoints();
    let before = place.audit().len();
    let mut logged_in = Wss::login(&place).await;
    let mut all = tokio::task::JoinSet::new();
    let since = Instant::now();
    for address in [&endpoints.https, &endpoints.ssh] {
        // The beginning of a TLS record of 16 KiB, a greeting without an end.
        let drip: &[u8] =
            if address == &endpoints.https { b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" } else { b"SSH-2.0-slow" };
        for drip in [None, Some(drip)] {
            let stream = connect_from(address, [127, 0, 0, 1].into()).await;
            all.spawn(ended(stream, since, drip));
        }
    }
    // One more that goes as far as the challenge and sends a piece of a frame now and then.
    let mut late = ByHand::open(&endpoints.https).await;
    all.spawn(async move {
        loop {
            tokio::select! {
                heard = hear(&mut late.socket) => match heard {
                    Heard::Closed(Some((4408, _))) => return since.elapsed(),
                    other => panic!("{other:?}"),
                },
                () = tokio::time::sleep(Duration::from_millis(300)) => late.socket.send(Message::Ping("x".into())).await.unwrap(),
            }
        }
    });
    while let Some(took) = all.join_next().await {
        let took = took.unwrap();
        let early = LOGIN_DEADLINE - Duration::from_secs(1);
        assert!(took >= early && took < HANG, "ended after {took:?}");
    }
    assert!(matches!(logged_in.ask(Ask::List(v1::ListSessions {})).await, Say::Sessions(_)), "it has logged in");
    eventually("the log says so", || {
        (reasons_since(&place, before).iter().filter(|reason| *reason == "deadline").count() >= 3).then_some(())
    });
}

#[tokio::test]
async fn no_more_than_64_kib_before_login() {
    let place = Place::served(Mode::Root);
    let endpoints = place.endpoints();
    // One frame, and many small ones.
    for pieces in [1, 100] {
        let before = place.audit().len();
        let mut hand = ByHand::open(&endpoints.https).await;
        let size = 70_000 / pieces;
        for _ in 0..pieces {
            if hand.socket.send(Message::Ping(vec![b'x'; size.min(125)].into())).await.is_err() {
                break;
            }
            if pieces == 1 && hand.socket.send(Message::text("x".repeat(size))).await.is_err() {
                break;
            }
        }
        if pieces > 1 {
            // Pings are answered, not counted as a login: they only cost the sender.
            for _ in 0..700 {
                if hand.socket.send(Message::Ping(vec![b'x'; 125].into())).await.is_err() {
                    break;
                }
            }
        }
        match hear(&mut hand.socket).await {
            Heard::Closed(Some((4413, _)) | None) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(reasons_since(&place, before), ["malformed"], "{pieces}");
    }
    let before = place.audit().len();
    let mut ssh = connect_from(&endpoints.ssh, [127, 0, 0, 1].into()).await;
    ssh.write_all(b"SSH-2.0-flood\r\n").await.unwrap();
    // Whole clear-text packets that say "ignore": what no parser stumbles over.
    let mut ignore = vec![2];
    ignore.extend(8187_u32.to_be_bytes());
    ignore.resize(5 + 8187, b'x');
    let mut packet = (ignore.len() as u32 + 1 + 11).to_be_bytes().to_vec();
    packet.push(11);
    packet.append(&mut ignore);
    packet.resize(packet.len() + 11, 0);
    assert_eq!(packet.len() % 8, 0);
    for _ in 0..10 {
        let _ = ssh.write_all(&packet).await;
    }
    ended(ssh, Instant::now(), None).await;
    eventually("the log says so", || (!reasons_since(&place, before).is_empty()).then_some(()));
    // The twin: just under it a login succeeds.
    let key = Key::listed(&place, "good", "");
    let mut hand = ByHand::open(&endpoints.https).await;
    for _ in 0..200 {
        hand.socket.send(Message::Ping(vec![b'x'; 125].into())).await.unwrap();
    }
    let login = hand.login(&ByHand::claim(&place, &key), &key.signing());
    assert!(is_ready(&hand.answer(login).await));
}

fn source(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 77, 0, number).into()
}

#[tokio::test]
async fn twenty_logins_succeed_in_a_flood_of_2000_from_50_addresses() {
    let place = Place::served(Mode::Root);
    let endpoints = place.endpoints();
    let key = Key::listed(&place, "good", "");
    let origin_claim = ByHand::claim(&place, &key);
    let mut held = Vec::new();
    for round in 0..40 {
        for number in 1..=50 {
            let door = if (round + number) % 2 == 0 { &endpoints.https } else { &endpoints.ssh };
            let mut stream = connect_from(door, source(number)).await;
            if round % 3 == 0 {
                // A part of a hello of either protocol.
                let _ = stream.write_all(b"\x16\x03\x01\x02").await;
            }
            held.push(stream);
        }
        if round % 2 == 0 {
            let address = source(100 + round / 2);
            let login = async {
                let mut hand = ByHand::open_from(&endpoints.https, address).await;
                let login = hand.login(&origin_claim, &key.signing());
                hand.answer(login).await
            };
            let heard = timeout(HANG, login).await.expect("no answer in the flood");
            assert!(is_ready(&heard), "login {round}: {heard:?}");
        }
    }
    assert_eq!(held.len(), 2000);
    let told = place.ssh(&[], &["ls"]).stdin(Stdio::null()).output().unwrap();
    assert!(told.status.success(), "{}", describe(&told));
}

#[tokio::test]
async fn too_many_of_anything_is_a_typed_error_and_one_entry() {
    let mut place = Place::new(Mode::Root);
    place.serve();
    place.configure(
        "[limits]\nsession_starts = \"2/h\"\nconnections_per_key = 2\nmessages = \"40/h\"\ninput_bytes_per_second = 65536\nlogins = \"12/h\"",
    );
    let (key, other) = (Key::listed(&place, "good", ""), Key::listed(&place, "other", ""));
    let endpoints = place.endpoints();
    let login =
        async |key: &Key| Wss::try_login(&endpoints.https, &endpoints.https, key.path(), &endpoints.account).await;
    let mut wss = login(&key).await.unwrap_or_else(|heard| panic!("{heard:?}"));
    let limited = |said: Say, what: &str| match said {
        Say::Error(error) => {
            assert_eq!(error.code, "rate-limited", "{error:?}");
            assert!(error.retryable && error.after_ms > 0 && error.message.contains(what), "{error:?}");
        }
        other => panic!("{other:?}"),
    };
    let start =
        |name: &str| Ask::New(v1::NewSession { agent: "shell".into(), name: name.into(), ..Default::default() });
    // Session starts: two, a living one found again costs nothing, restarts count.
    for name in ["a", "b"] {
        assert!(matches!(wss.ask(start(name)).await, Say::Session(_)));
    }
    let open = Ask::Open(v1::Open { agent: "shell".into(), ..Default::default() });
    assert!(matches!(wss.ask(open).await, Say::Session(session) if !session.created_now));
    let before = place.audit().len();
    limited(wss.ask(start("c")).await, "session starts");
    limited(wss.ask(Ask::Restart(v1::Restart { session: "a".into() })).await, "session starts");
    assert_eq!(reasons_since(&place, before), ["rate-limited"], "one entry a second");
    let mut twin = login(&other).await.unwrap_or_else(|heard| panic!("{heard:?}"));
    assert!(matches!(twin.ask(start("c")).await, Say::Session(_)), "each key has its own");
    // Input: a whole message fits, the next has to wait; nothing of it was taken.
    let attach = v1::Attach { session: "a".into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
    wss.attach(attach).await;
    for number in 0..8 {
        wss.input(1, number * 60_000, &[b' '; 60_000]).await;
    }
    let error = loop {
        match wss.next().await {
            Heard::Said(_, Say::Error(error)) => break error,
            Heard::Closed(why) => panic!("{why:?}"),
            _ => {}
        }
    };
    assert_eq!((error.code.as_str(), error.channel), ("rate-limited", 1), "{error:?}");
    assert!(error.accepted > 0 && error.accepted % 60_000 == 0, "it may be sent again from there: {error:?}");
    let send = |text: String| Ask::Send(v1::Send { session: "a".into(), text, no_enter: true });
    limited(wss.ask(send("x".repeat(60_000))).await, "input bytes");
    // Connections of a key: two.
    let second = login(&key).await.unwrap_or_else(|heard| panic!("{heard:?}"));
    let before = place.audit().len();
    match login(&key).await {
        Err(Heard::Said(_, Say::Error(error))) => assert_eq!(error.code, "rate-limited"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a third connection of one key"),
    }
    assert_eq!(reasons_since(&place, before), ["too-many-connections"]);
    drop(second);
    // Messages.
    let mut asked = 0;
    let said = loop {
        match wss.ask(Ask::List(v1::ListSessions {})).await {
            Say::Sessions(_) if asked < 100 => asked += 1,
            said => break said,
        }
    };
    limited(said, "messages");
    // Logins of one source; another source may.
    let before = place.audit().len();
    let mut attempts = 0;
    let error = loop {
        attempts += 1;
        assert!(attempts < 30, "no limit");
        match login(&Key::new(&place, &format!("s{attempts}"), &["ed25519"])).await {
            Err(Heard::Said(_, Say::Error(error))) if error.code == "login-failed" => {}
            Err(Heard::Said(_, Say::Error(error))) => break error,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("a stranger"),
        }
    };
    assert_eq!(error.code, "rate-limited");
    assert_eq!(reasons_since(&place, before).last().map(String::as_str), Some("rate-limited"));
    let mut hand = ByHand::open_from(&endpoints.https, source(9)).await;
    let good = hand.login(&ByHand::claim(&place, &other), &other.signing());
    assert!(is_ready(&hand.answer(good).await), "{}", place.console());
}

#[tokio::test]
async fn a_source_that_connects_too_often_is_written_down_once_a_second() {
    let mut place = Place::new(Mode::Root);
    place.serve();
    place.configure("[limits]\nconnections = \"5/h\"");
    let endpoints = place.endpoints();
    let before = place.audit().len();
    for _ in 0..40 {
        let stream = connect_from(&endpoints.https, source(1)).await;
        drop(stream);
    }
    eventually("an entry", || reasons_since(&place, before).contains(&"rate-limited".to_owned()).then_some(()));
    let began = Instant::now();
    let mut wss = Wss::login(&place).await;
    assert!(matches!(wss.ask(Ask::Ping(v1::Ping {})).await, Say::Pong(_)), "another source");
    let entries = reasons_since(&place, before).iter().filter(|reason| *reason == "rate-limited").count();
    assert!(entries as u64 <= 2 + began.elapsed().as_secs() * 2, "{entries} entries");
}

#[tokio::test]
async fn nonsense_after_login_is_written_down_under_its_principal() {
    let place = Place::served(Mode::Root);
    for (nonsense, reason) in
        [(Message::text("{{{"), "malformed"), (Message::binary(vec![1; 3]), "malformed"), (too_large(), "too-large")]
    {
        let mut wss = Wss::login(&place).await;
        let before = place.audit().len();
        let _ = wss.socket.send(nonsense).await;
        while !matches!(wss.next().await, Heard::Closed(_)) {}
        let told = place.audit().into_iter().skip(before).find(|entry| entry["event"] == "refused").unwrap();
        assert_eq!((&told["reason"], &told["account"]), (&reason.into(), &ANN.into()), "{told}");
        assert!(told["key"].as_str().is_some_and(|key| key.starts_with("SHA256:")), "{told}");
    }
}

/// A byte more than a message may have.
fn too_large() -> Message {
    Message::text("x".repeat((1 << 20) + 1))
}

#[tokio::test]
async fn a_gateway_without_descriptors_says_so_once_serves_on_and_says_when_it_is_over() {
    let mut place = Place::new(Mode::Root);
    place.serve();
    place.stop_serving();
    let file = place.dir.join("portcullis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[log]\nfilter = \"info,portcullis::gateway::listen=debug\"\n")).unwrap();
    let quickstart = place.quickstart();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 64; exec \"$0\" \"$@\""]).arg(quickstart.get_program()).args(quickstart.get_args());
    limited.envs(quickstart.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let endpoints = place.serve_by(limited, "Ctrl-C ends the gateway");
    let said = |what: &str| place.console().matches(what).count();
    // In the shortage a stranger may be given up for another stranger, and so may somebody who has not logged in yet.
    let ls = || place.ssh(&[], &["ls"]).output().unwrap().status.success().then_some(());
    assert_eq!(ls(), Some(()), "{}", place.console());

    // More strangers than there is room for: each one's place is another's, and one line tells of all.
    let mut strangers = Vec::new();
    for _ in 0..100 {
        strangers.push(connect_from(&endpoints.https, [127, 0, 0, 1].into()).await);
    }
    eventually("many failures", || (said("accept failed") >= 20).then_some(()));
    assert_eq!((said("no connection can be taken in"), said("taken in again")), (1, 0), "{}", place.console());
    eventually("somebody with a key gets in all the same", ls);

    drop(strangers);
    eventually("the end of the shortage", || {
        ls()?;
        (said("taken in again") == 1).then_some(())
    });
    assert_eq!(said("no connection can be taken in"), 1, "{}", place.console());
}
