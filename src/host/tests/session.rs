//! What a gateway sees of a session that really runs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use prost::Message;

use super::{Gateway, Host, Prepared, connect, hello};
use crate::base::{HOST_RING, INPUT_QUEUE};
use crate::sys::credentials::current_uid;
use crate::wire::Frame;
use crate::wire::v1::event::Kind;
use crate::wire::v1::exit::How;
use crate::wire::v1::to_gateway::Body as G;
use crate::wire::v1::to_host::Body as H;
use crate::wire::v1::{
    AskWriter, Event, HostEnded, Input, InputRefusal, Live, Read, SetSize, SnapshotKind, State, TakeSnapshot, ToGateway,
};

const READY: &[u8] = b"ready\n";

/// Waits for input, so that output begins only when the test looks; then prints numbered lines and keeps a copy.
fn printer(records: u32) -> String {
    format!("stty raw -echo; echo ready; read x; seq -f '%08.0f portcullis' 1 {records} | tee printed; exec sleep 0")
}

pub(super) fn input(offset: u64, data: &[u8]) -> Input {
    let (writer, data) = (vec![7; 16].into(), data.to_vec().into());
    Input { writer, offset, data, paste: false, enter: false, viewer: 3 }
}

pub(super) fn ended(body: G) -> Option<HostEnded> {
    if let G::Ended(ended) = body { Some(ended) } else { None }
}

/// Everything to the end: how many bytes were lost, what came after the last hole, and the end.
fn to_the_end(gateway: &mut Gateway) -> (u64, usize, HostEnded) {
    let (mut lost, mut hole) = (0, 0);
    loop {
        match gateway.frame().expect("the host closed the link") {
            Frame::Output(offset, bytes) => gateway.take(offset.0 - lost, &bytes),
            Frame::Lost(from, to) => {
                hole = gateway.seen.len();
                assert_eq!(from.0 - lost, hole as u64);
                lost += to.since(from);
            }
            Frame::Control(message) => {
                let message = <crate::wire::v1::ToGateway as prost::Message>::decode(message).unwrap();
                if let Some(found) = message.body.and_then(ended) {
                    assert_eq!(found.offset - lost, gateway.seen.len() as u64);
                    return (lost, hole, found);
                }
            }
            Frame::Event(..) => {}
        }
    }
}

#[test]
fn every_byte_reaches_the_gateway_and_then_the_exit_code() {
    let host = Host::start(&format!("{}; exit 7", printer(60_000).replace("exec sleep 0", "true")), HOST_RING);
    let mut gateway = host.follow(Vec::new());
    gateway.until(READY);
    gateway.say(H::Input(input(0, b"\n")));
    let (lost, _, end) = to_the_end(&mut gateway);
    assert_eq!((lost, end.exit.unwrap().how), (0, Some(How::Code(7))));
    assert!(gateway.seen[READY.len()..] == host.file("printed")[..], "{} bytes seen", gateway.seen.len());
    host.forget(&mut gateway);
}

#[test]
fn a_cut_link_loses_nothing_that_the_ring_holds() {
    let host = Host::start(&printer(200_000), HOST_RING);
    let mut gateway = host.follow(Vec::new());
    gateway.until(READY);
    gateway.say(H::Input(input(0, b"\n")));
    // Cut in the middle of the flood, again and again; each time only what came is known.
    for cuts in 0..10_usize {
        let enough = gateway.seen.len() + 50_000 + 7_919 * cuts;
        while gateway.seen.len() < enough
            && let Some(frame) = gateway.frame()
        {
            if let Frame::Output(offset, bytes) = frame {
                gateway.take(offset.0, &bytes);
            }
        }
        gateway = host.follow(std::mem::take(&mut gateway.seen));
    }
    let (lost, _, end) = to_the_end(&mut gateway);
    assert_eq!((lost, end.exit.unwrap().how), (0, Some(How::Code(0))));
    assert!(gateway.seen[READY.len()..] == host.file("printed")[..], "{} bytes seen", gateway.seen.len());
    host.forget(&mut gateway);
}

#[test]
fn with_a_small_ring_and_a_slow_reader_received_and_lost_make_what_was_printed() {
    let host = Host::start(&printer(100_000), 64 * 1024);
    let mut gateway = host.follow(Vec::new());
    gateway.until(READY);
    gateway.say(H::Input(input(0, b"\n")));
    // Nothing is read until the program is over: its copy is complete then, and the host never waited for us.
    while host.dir.join("printed").metadata().map_or(0, |m| m.len()) < 100_000 * 20 {
        std::thread::yield_now();
    }
    let (lost, hole, _) = to_the_end(&mut gateway);
    let printed = host.file("printed");
    assert_eq!(gateway.seen.len() as u64 + lost, (READY.len() + printed.len()) as u64);
    assert!(lost > printed.len() as u64 / 2, "{lost}");
    assert!(gateway.seen.len() - hole > 30_000, "half of the ring at least");
    assert!(printed.ends_with(&gateway.seen[hole..]));
    host.forget(&mut gateway);
}

#[test]
fn input_is_written_once_and_in_order_whatever_link_it_came_by() {
    let host = Host::start("stty raw -echo; echo ready; head -c 3000 > got; echo done", HOST_RING);
    let mut gateway = host.follow(Vec::new());
    gateway.until(b"ready");
    let bytes: Vec<u8> = (0..3_000u32).map(|n| b'a' + (n % 251 * n % 23) as u8).collect();
    for start in (0..2_500).step_by(100) {
        if start % 500 == 0 {
            (gateway, _) = host.link();
        }
        // Each message repeats what may not have arrived.
        let from = start - start.min(150);
        gateway.say(H::Input(input(from as u64, &bytes[from..start + 100])));
    }
    (gateway, _) = host.link();
    gateway.say(H::Input(input(0, &bytes)));
    let taken =
        gateway.wait(|body| if let G::Taken(taken) = body { (taken.offset == 3_000).then_some(taken) } else { None });
    assert_eq!((taken.viewer, &taken.writer[..]), (3, &[7; 16][..]));
    gateway.wait(ended);
    assert_eq!(host.file("got"), bytes);
    host.forget(&mut gateway);
}

#[test]
fn what_reached_the_host_is_delivered_although_its_gateway_is_displaced() {
    let script = "stty raw -echo; echo > raw; head -c 100000 > got; echo done";
    let prepared = Prepared::new(script, current_uid(), None);
    let bytes: Vec<u8> = (0..100_000u32).map(|n| b'a' + (n % 251 * n % 23) as u8).collect();
    // All of it waits in the sockets when the host begins: the newer hello is there long before the older link is read out.
    let mut older = Gateway::new(connect(&prepared.dir));
    let messages = bytes.chunks(2_000).enumerate().map(|(n, block)| H::Input(input(n as u64 * 2_000, block)));
    older.say_all(std::iter::once(hello()).chain(messages));
    let mut newer = Gateway::new(connect(&prepared.dir));
    newer.say(hello());
    // A terminal that gathers lines would drop most of it.
    while !prepared.dir.join("raw").exists() {
        std::thread::yield_now();
    }
    let host = prepared.run(HOST_RING);
    newer.say(H::Writer(AskWriter { request: 1, writer: vec![7; 16].into() }));
    let writer = newer.wait(|body| if let G::Writer(writer) = body { Some(writer) } else { None });
    assert_eq!(writer.offset, 100_000);
    let (mut newer, session) = host.link();
    if session.state() != State::Ended {
        newer.wait(ended);
    }
    assert!(host.file("got") == bytes);
    host.forget(&mut newer);
}

#[test]
fn a_program_that_does_not_read_fills_the_queue_and_output_goes_on() {
    let host = Host::start(
        "stty raw -echo; echo ready; while ! test -e go; do :; done; echo still here; head -c 262144 > got",
        HOST_RING,
    );
    let mut gateway = host.follow(Vec::new());
    gateway.until(b"ready");
    let block = vec![b'x'; 32 * 1024];
    for n in 0..12 {
        gateway.say(H::Input(input(n * block.len() as u64, &block)));
    }
    let refused = gateway.wait(|body| if let G::Refused(refused) = body { Some(refused) } else { None });
    assert_eq!(refused.why(), InputRefusal::Full);
    assert!(refused.accepted >= INPUT_QUEUE as u64 && refused.accepted < 12 * 32 * 1024, "{}", refused.accepted);
    File::create(host.dir.join("go")).unwrap();
    gateway.until(b"still here");
    gateway.wait(ended);
    assert_eq!(host.file("got").len(), 262_144);
    host.forget(&mut gateway);
}

#[test]
fn a_query_is_answered_with_nobody_connected() {
    let script = "stty raw -echo min 1 time 100; printf 'ab\\033[6n'; head -c 6 > got; echo done";
    let host = Host::start(script, HOST_RING);
    // Not linked until the program has its answer.
    while host.dir.join("got").metadata().map_or(0, |m| m.len()) < 6 {
        std::thread::yield_now();
    }
    assert_eq!(host.file("got"), b"\x1b[1;3R");
    let (mut gateway, session) = host.link();
    if session.state() != State::Ended {
        gateway.wait(ended);
    }
    host.forget(&mut gateway);
}

#[test]
fn a_resize_reaches_the_program_and_the_snapshot_has_it() {
    let script =
        "trap 'stty size; printf \"\\033[3;4Hhere\"; echo end' WINCH; echo ready; while :; do sleep 0.05; done";
    let host = Host::start(script, HOST_RING);
    let mut gateway = host.follow(Vec::new());
    gateway.until(b"ready");
    gateway.say(H::Size(SetSize { cols: 101, rows: 33, owner: "phone".into() }));
    let size = gateway.wait(|body| if let G::Size(size) = body { Some(size) } else { None });
    assert_eq!((size.cols, size.rows, size.owner.as_str()), (101, 33, "phone"));
    gateway.until(b"end\r\n");
    let seen = &gateway.seen;
    assert!(seen.windows(6).any(|window| window == b"33 101"), "{:?}", String::from_utf8_lossy(seen));
    let ask = |request, kind: SnapshotKind| H::Snapshot(TakeSnapshot { request, kind: kind.into(), history: 0 });
    let answer = |body| if let G::Snapshot(data) = body { Some(data) } else { None };
    gateway.say(ask(1, SnapshotKind::Text));
    let text = gateway.wait(answer);
    gateway.say(ask(2, SnapshotKind::Screen));
    let screen = gateway.wait(answer);
    assert_eq!((screen.cols, screen.rows), (101, 33));
    let mut copy = crate::screen::Screen::new(crate::base::WinSize::clamped(101, 33));
    copy.feed_all(&screen.data);
    assert_eq!(copy.text().as_bytes(), &text.data[..]);
    assert!(copy.text().contains("   here"), "{}", copy.text());
    // It never ends by itself.
    drop(gateway);
    let (mut gateway, _) = host.link();
    gateway.say(H::Input(input(0, b"\x1c\x03")));
    let end = gateway.wait(ended);
    assert!(matches!(end.exit.unwrap().how, Some(How::Signal(_) | How::Code(_))));
    host.forget(&mut gateway);
}

#[test]
fn a_signal_is_told_by_name_and_a_gateway_that_comes_later_learns_it() {
    let host = Host::start("echo so; kill -9 $$", HOST_RING);
    let (mut gateway, session) = host.link();
    if session.state() != State::Ended {
        gateway.wait(ended);
    }
    let (mut gateway, session) = host.link();
    assert_eq!(session.exit.unwrap().how, Some(How::Signal("KILL".into())));
    gateway.say(H::Read(Read { request: 1, from: 0, to: session.head }));
    let data = gateway.wait(|body| if let G::Data(data) = body { Some(data) } else { None });
    assert_eq!(&data.data[..], b"so\r\n");
    host.forget(&mut gateway);
}

#[test]
fn a_program_that_could_not_start_says_why() {
    let (here, there) = UnixStream::pair().unwrap();
    let mut there = File::from(OwnedFd::from(there));
    there.write_all(&2_i32.to_ne_bytes()).unwrap();
    drop(there);
    let host = Host::start_as("exit 127", HOST_RING, current_uid(), Some(File::from(OwnedFd::from(here))));
    let (mut gateway, session) = host.link();
    let exit = if session.state() == State::Ended { session.exit } else { gateway.wait(ended).exit };
    let Some(How::NotStarted(why)) = exit.clone().unwrap().how else { panic!("{exit:?}") };
    assert!(why.contains("No such file"), "{why}");
    host.forget(&mut gateway);
}

#[test]
fn a_grandchild_that_keeps_the_terminal_does_not_keep_the_session() {
    let host = Host::start("trap '' HUP; (trap '' HUP; sleep 1000) & echo $!; exit 5", HOST_RING);
    let (mut gateway, session) = host.link();
    let exit = if session.state() == State::Ended { session.exit } else { gateway.wait(ended).exit };
    assert_eq!(exit.unwrap().how, Some(How::Code(5)));
    gateway.say(H::Read(Read { request: 1, from: 0, to: u64::MAX }));
    let data = gateway.wait(|body| if let G::Data(data) = body { Some(data) } else { None });
    let pid: i32 = String::from_utf8_lossy(&data.data).trim().parse().unwrap();
    let left_over = crate::sys::process::Process::open(pid).unwrap();
    left_over.signal(crate::sys::process::Kill::Kill).unwrap();
    host.forget(&mut gateway);
}

#[test]
fn a_newer_gateway_displaces_the_older_and_strangers_get_nothing() {
    let host = Host::start("read x; echo bye", HOST_RING);
    let (mut older, _) = host.link();
    let mut silent = host.connect();
    let mut rude = host.connect();
    rude.write_all(&[4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0]).unwrap();
    assert_eq!(rude.read(&mut [0]).unwrap_or(0), 0, "live before hello");
    let (mut newer, _) = host.link();
    while older.frame().is_some() {}
    let mut hook = UnixStream::connect(host.dir.join("hook")).unwrap();
    hook.write_all(b"{}\n").unwrap();
    assert_eq!(hook.read(&mut [0]).unwrap(), 0, "what it says means nothing here");
    newer.say(H::Input(input(0, b"\n")));
    newer.wait(ended);
    silent.write_all(b"x").unwrap();
    host.forget(&mut newer);

    let host = Host::start_as("echo gone", HOST_RING, current_uid() + 1, None);
    let mut stranger = host.connect();
    // A hello in bytes; it may come too late to be sent at all.
    let _ = stranger.write_all(&[4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 4, 8, 1, 16, 1]);
    assert_eq!(stranger.read(&mut [0]).unwrap_or(0), 0, "another uid is not the gateway");
    drop(stranger);
    // Nobody may forget it: the thread ends with the test.
    std::fs::remove_dir_all(&host.dir).unwrap();
}

/// Lines of the host's log until it answers.
fn logged(gateway: &mut Gateway) -> Vec<String> {
    gateway.say(H::Live(Live { on: true }));
    let mut lines = Vec::new();
    loop {
        match gateway.frame().expect("the host closed the link") {
            Frame::Event(_, Event { kind: Some(Kind::HostLog(line)), .. }) => lines.push(line),
            Frame::Control(message)
                if matches!(ToGateway::decode(message.clone()).unwrap().body, Some(G::Status(_))) =>
            {
                break;
            }
            _ => {}
        }
    }
    lines
}

#[test]
fn a_hook_of_another_account_is_told_and_gets_nothing() {
    let refused = format!("a hook connection by uid {} was refused: only the account's may connect", current_uid());
    for (account, told) in [(current_uid(), vec![]), (current_uid() + 1, vec![refused])] {
        let mut prepared = Prepared::new("read x", current_uid(), None);
        prepared.outside.account_uid = account;
        let host = prepared.run(HOST_RING);
        let (mut gateway, _) = host.link();
        let mut hook = UnixStream::connect(host.dir.join("hook")).unwrap();
        // A stranger's may be closed before that.
        let _ = hook.write_all(b"{}\n");
        assert_eq!(hook.read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(logged(&mut gateway), told);
        gateway.say(H::Input(input(0, b"\n")));
        gateway.wait(ended);
        host.forget(&mut gateway);
    }
}

#[test]
fn live_begins_at_the_head_and_can_be_turned_off() {
    let host = Host::start("stty -echo; echo one; read x; echo two; read x; echo three", HOST_RING);
    let mut gateway = host.follow(Vec::new());
    gateway.until(b"one\r\n");
    gateway.say(H::Live(Live { on: false }));
    gateway.say(H::Input(input(0, b"\n")));
    gateway.wait(|body| matches!(body, G::Taken(_)).then_some(()));
    gateway.say(H::Input(input(1, b"\n")));
    loop {
        match gateway.frame().unwrap() {
            Frame::Output(at, bytes) => panic!("output came although nobody looks: {at} {bytes:?}"),
            Frame::Control(message) => {
                let message = <crate::wire::v1::ToGateway as prost::Message>::decode(message).unwrap();
                if message.body.and_then(ended).is_some() {
                    break;
                }
            }
            _ => {}
        }
    }
    gateway.say(H::Read(Read { request: 2, from: 0, to: u64::MAX }));
    let data = gateway.wait(|body| if let G::Data(data) = body { Some(data) } else { None });
    assert_eq!(&data.data[..], b"one\r\ntwo\r\nthree\r\n");
    host.forget(&mut gateway);
}
