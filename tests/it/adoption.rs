//! The gateway is killed, alone and with its spawner; sessions, their logs and their clients go on.

use portcullis::wire::v1::{self, server_message::Body as Say};

use crate::support::client::{Heard, Wss};
use crate::support::place::{Mode, Place, is_alive, run, start_time};

fn kill(pid: u32) {
    run(std::process::Command::new("kill").args(["-9", &pid.to_string()]));
}

async fn again(place: &Place) -> Wss {
    // The listeners stay open: a login during the restart waits, and at worst its connection is cut.
    loop {
        let at = place.endpoints();
        let login =
            tokio::spawn(async move { Wss::try_login(&at.https, &at.https, &at.client_key, &at.account).await });
        if let Ok(Ok(wss)) = login.await {
            return wss;
        }
    }
}

#[tokio::test]
async fn a_killed_gateway_comes_back_with_every_cursor_valid() {
    let place = Place::served(Mode::Root);
    let mut wss = Wss::login(&place).await;
    wss.start("shell", "main").await;
    let attach =
        v1::Attach { session: "main".into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
    let attached = wss.attach(attach.clone()).await;
    let writer = attached.writer.clone();
    wss.input(1, 0, b"trap 'echo HUP-SEEN' HUP; for i in $(seq 1 2000); do echo record-$i; done; echo all-$((1+1))\n")
        .await;
    let mut offset = attached.offset;
    let mut seen = Vec::new();
    while !seen.windows(11).any(|w| w == b"record-1000") {
        if let Heard::Bytes(frame) = wss.next().await {
            assert_eq!(frame.offset.0, offset);
            offset += frame.data.len() as u64;
            seen.extend_from_slice(&frame.data);
        }
    }
    let (gateway, host) = (place.gateway_pid(), place.host_pids());
    let host_start = start_time(host[0]);
    kill(gateway);
    let mut wss = again(&place).await;
    let cursor = Some(v1::Cursor { log_id: attached.log_id.clone(), offset });
    let attached = wss.attach(v1::Attach { cursor, writer: writer.clone(), ..attach.clone() }).await;
    assert_eq!((attached.verdict(), attached.offset), (v1::Verdict::Continuous, offset));
    let mut at = offset;
    while !seen.windows(5).any(|w| w == b"all-2") {
        if let Heard::Bytes(frame) = wss.next().await {
            assert_eq!(frame.offset.0, at, "a hole or a double");
            at += frame.data.len() as u64;
            seen.extend_from_slice(&frame.data);
        }
    }
    let text = String::from_utf8_lossy(&seen).replace('\r', "");
    for number in 1..=2000 {
        assert!(text.contains(&format!("record-{number}\n")), "record-{number}");
    }
    assert!(!text.contains("\nHUP-SEEN"), "the agent saw a hang-up");
    assert_eq!(place.host_pids(), host);
    assert_eq!(start_time(host[0]), host_start);
    assert!(!is_alive(gateway) && place.gateway_pid() != gateway);

    // An exit is not lost either.
    wss.input(1, attached.input_offset, b"exit 9\n").await;
    loop {
        if let Heard::Said(_, Say::Ended(ended)) = wss.next().await {
            assert_eq!(ended.exit.unwrap().how, Some(v1::exit::How::Code(9)));
            break;
        }
    }
    kill(place.gateway_pid());
    let mut wss = again(&place).await;
    wss.attach(attach).await;
    loop {
        if let Heard::Said(_, Say::Ended(ended)) = wss.next().await {
            assert_eq!(ended.exit.unwrap().how, Some(v1::exit::How::Code(9)));
            break;
        }
    }
}

#[tokio::test]
async fn spawner_and_gateway_killed_together_come_back_with_the_sessions() {
    let mut place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let host = place.host_pids();
    let host_start = start_time(host[0]);
    let gateway = place.gateway_pid();
    kill(gateway);
    place.kill_spawner();
    assert!(is_alive(host[0]));
    place.serve();
    assert_eq!(place.host_pids(), host);
    assert_eq!(start_time(host[0]), host_start);
    place.verb(&["send", "main", "echo alive-$((2+3))"]);
    let mut wss = Wss::login(&place).await;
    let attach =
        v1::Attach { session: "main".into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
    wss.attach(attach).await;
    wss.until(1, "alive-5").await;
    place.verb(&["kill", "main"]);
    assert!(place.verb(&["ls"]).contains("signal HUP"), "{}", place.verb(&["ls"]));
}
