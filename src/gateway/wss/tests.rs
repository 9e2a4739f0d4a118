//! The door over real sockets, with a scripted session behind it.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::connection::Pulse;
use super::testing::{ACCOUNT, FakeGateway, SESSION, TOO_MANY};
use crate::authn::{Message, PublicKey, REFUSED, SigningKey, verify_server_proof};
use crate::base::{Offset, WinSize};
use crate::gateway::session::ViewerItem;
use crate::wire::v1::{self, ClientMessage, client_message::Body as Ask, server_message::Body};
use crate::wire::{BinaryFrame, decode_server, encode_client};

const ORIGIN: &str = "wss://gate.example";
const EXPORTER: [u8; 32] = [5; 32];

type Socket = WebSocketStream<TcpStream>;

/// What a login says; each test changes one thing.
struct Answer {
    user: &'static str,
    origin: &'static str,
    binding: &'static str,
    exporter: Option<[u8; 32]>,
    key: SigningKey,
}

impl Answer {
    fn good(gateway: &FakeGateway) -> Self {
        let key = gateway.0.client.clone();
        Self { user: ACCOUNT, origin: ORIGIN, binding: "exporter", exporter: Some(EXPORTER), key }
    }
}

async fn stream(gateway: &FakeGateway) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    tokio::spawn(gateway.clone().serve(server, Some(EXPORTER)));
    client
}

async fn connect(gateway: &FakeGateway) -> Socket {
    let stream = stream(gateway).await;
    tokio_tungstenite::client_async("ws://gate.example/v1/ws", stream).await.unwrap().0
}

async fn body(socket: &mut Socket) -> (u64, Body) {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Frame::Text(text) => {
                let message = decode_server(&text).unwrap();
                return (message.id, message.body.unwrap());
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn closed(socket: &mut Socket) -> (u16, Option<v1::Error>) {
    let mut error = None;
    loop {
        match socket.next().await.unwrap().unwrap() {
            Frame::Text(text) => match decode_server(&text).unwrap().body {
                Some(Body::Error(said)) => error = Some(said),
                other => panic!("{other:?}"),
            },
            Frame::Close(frame) => return (frame.unwrap().code.into(), error),
            other => panic!("{other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, id: u64, ask: Ask) {
    let text = encode_client(&ClientMessage { id, body: Some(ask) }).unwrap();
    socket.send(Frame::text(text)).await.unwrap();
}

fn answer_to(challenge: &v1::Challenge, answer: &Answer) -> (v1::Login, String) {
    let server = PublicKey::parse(&challenge.server_key).unwrap();
    let nonce: [u8; 32] = challenge.nonce[..].try_into().unwrap();
    let message = Message {
        origin: answer.origin,
        server: server.id(),
        server_nonce: &nonce,
        client_nonce: &[3; 32],
        user: answer.user,
        key: answer.key.id(),
        exporter: answer.exporter.as_ref(),
    };
    let signed = answer.key.sign_login(&message).unwrap();
    let login = v1::Login {
        user: answer.user.into(),
        origin: answer.origin.into(),
        public_key: answer.key.public().line(),
        client_nonce: Bytes::from_static(&[3; 32]),
        binding: answer.binding.into(),
        signature: signed.signature,
        client: "test\x1b[2J".into(),
    };
    (login, signed.message)
}

async fn try_log_in(socket: &mut Socket, answer: &Answer) {
    let (_, Body::Challenge(challenge)) = body(socket).await else { panic!("no challenge") };
    say(socket, 1, Ask::Login(answer_to(&challenge, answer).0)).await;
}

async fn logged_in(gateway: &FakeGateway) -> Socket {
    let mut socket = connect(gateway).await;
    try_log_in(&mut socket, &Answer::good(gateway)).await;
    let (1, Body::Ready(_)) = body(&mut socket).await else { panic!("not ready") };
    socket
}

/// The same on a pipe instead of a socket.
async fn logged_in_on(gateway: &FakeGateway, client: DuplexStream) -> WebSocketStream<DuplexStream> {
    let (mut socket, _) = tokio_tungstenite::client_async("ws://gate.example/v1/ws", client).await.unwrap();
    let Frame::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("no text") };
    let Some(Body::Challenge(challenge)) = decode_server(&text).unwrap().body else { panic!("no challenge") };
    let login = Ask::Login(answer_to(&challenge, &Answer::good(gateway)).0);
    socket.send(Frame::text(encode_client(&ClientMessage { id: 1, body: Some(login) }).unwrap())).await.unwrap();
    socket.next().await.unwrap().unwrap();
    socket
}

async fn attach(socket: &mut Socket, channel: u32) {
    let mode = v1::ViewerMode::Raw.into();
    say(socket, 5, Ask::Attach(v1::Attach { session: SESSION.into(), channel, mode, ..Default::default() })).await;
    let (5, Body::Attached(attached)) = body(socket).await else { panic!("not attached") };
    assert_eq!(attached.channel, channel);
}

fn gateway() -> FakeGateway {
    FakeGateway::new(ORIGIN, false)
}

#[tokio::test]
async fn a_good_login_is_answered_with_the_gateways_own_proof() {
    let gateway = gateway();
    let mut socket = connect(&gateway).await;
    let (0, Body::Challenge(challenge)) = body(&mut socket).await else { panic!("no challenge") };
    let (login, message) = answer_to(&challenge, &Answer::good(&gateway));
    say(&mut socket, 1, Ask::Login(login)).await;
    let (1, Body::Ready(ready)) = body(&mut socket).await else { panic!("not ready") };
    let server = PublicKey::parse(&challenge.server_key).unwrap();
    verify_server_proof(&server, &message, &ready.signature).unwrap();
    assert_eq!(ready.account, ACCOUNT);
    // What the client calls itself is not printed as it came.
    assert!(gateway.audit().iter().all(|line| !line.contains('\x1b')), "{:?}", gateway.audit());
}

#[tokio::test]
async fn each_wrong_login_gets_the_same_answer_and_its_own_audit_reason() {
    let other = SigningKey::from_seed(&[8; 32], "other").unwrap();
    type Change = fn(&mut Answer);
    let wrong: [(&str, Change); 5] = [
        ("wrong-origin", |answer| answer.origin = "wss://other.example"),
        ("unknown-account", |answer| answer.user = "nobody"),
        ("unknown-key", |_| ()),
        // The relay: signed for another TLS connection.
        ("bad-signature", |answer| answer.exporter = Some([6; 32])),
        // A changed flag.
        ("bad-signature", |answer| answer.binding = "none"),
    ];
    for (reason, change) in wrong {
        let gateway = gateway();
        let mut socket = connect(&gateway).await;
        let mut answer = Answer::good(&gateway);
        if reason == "unknown-key" {
            answer.key = other.clone();
        }
        change(&mut answer);
        try_log_in(&mut socket, &answer).await;
        let (code, error) = closed(&mut socket).await;
        let error = error.unwrap();
        assert_eq!((code, error.code.as_str(), error.message.as_str()), (4401, "login-failed", REFUSED), "{reason}");
        assert!(gateway.audit().iter().any(|line| line.ends_with(reason)), "{reason}: {:?}", gateway.audit());
    }
}

#[tokio::test]
async fn an_unbound_login_is_refused_only_where_binding_is_demanded() {
    for (demanded, expected) in [(true, None), (false, Some(()))] {
        let gateway = FakeGateway::new(ORIGIN, demanded);
        let mut socket = connect(&gateway).await;
        let answer = Answer { binding: "none", exporter: None, ..Answer::good(&gateway) };
        try_log_in(&mut socket, &answer).await;
        match expected {
            Some(()) => assert!(matches!(body(&mut socket).await.1, Body::Ready(_))),
            None => assert_eq!(closed(&mut socket).await.0, 4401),
        }
    }
}

#[tokio::test]
async fn what_is_no_login_ends_the_connection() {
    for frame in [Frame::text("{"), Frame::text(r#"{"id":1,"list":{}}"#), Frame::binary(vec![0; 20])] {
        let gateway = gateway();
        let mut socket = connect(&gateway).await;
        socket.send(frame.clone()).await.unwrap();
        body(&mut socket).await;
        let (code, error) = closed(&mut socket).await;
        assert_eq!((code, error.unwrap().code.as_str()), (4400, "bad-request"), "{frame:?}");
        assert_eq!(gateway.audit(), ["refused : malformed"], "{frame:?}");
    }
}

#[tokio::test]
async fn a_stranger_may_not_send_more_than_its_share() {
    let gateway = gateway();
    let mut socket = connect(&gateway).await;
    body(&mut socket).await;
    // The gateway may have closed before all of it was written.
    let _ = socket.send(Frame::text("x".repeat(100_000))).await;
    assert_eq!(closed(&mut socket).await.0, 4413);
    assert_eq!(gateway.audit(), ["refused : malformed"]);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_is_written_down() {
    let gateway = gateway();
    let (client, server) = tokio::io::duplex(64 * 1024);
    let limit = Duration::from_secs(1);
    let served = tokio::spawn(gateway.clone().serve_timed(server, None, limit, Pulse::NORMAL));
    let (mut socket, _) = tokio_tungstenite::client_async("ws://gate.example/v1/ws", client).await.unwrap();
    let mut code = 0;
    while let Some(Ok(frame)) = socket.next().await {
        if let Frame::Close(frame) = frame {
            code = frame.unwrap().code.into();
        }
    }
    assert_eq!(code, 4408);
    assert_eq!(gateway.audit(), ["turned away: deadline"]);
    drop(socket);
    served.await.unwrap();
}

#[tokio::test]
async fn http_that_is_no_upgrade_gets_an_http_answer() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: gate.example\r\n\r\n", "200"),
        ("GET /metrics HTTP/1.1\r\nHost: gate.example\r\n\r\n", "404"),
        ("GET /v1/ws HTTP/1.1\r\nHost: gate.example\r\n\r\n", "426"),
        ("GET /v1/ws HTTP/1.1\r\nHost: gate.example\r\nOrigin: https://evil.example\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
    ] {
        let gateway = gateway();
        let mut stream = stream(&gateway).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        let written = gateway.audit().len();
        assert_eq!(written, usize::from(matches!(status, "403" | "421")), "{request:?}");
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_a_viewer_is_gone_with_its_connection() {
    let gateway = gateway();
    let mut socket = logged_in(&gateway).await;
    attach(&mut socket, 7).await;
    gateway.say(ViewerItem::Bytes { offset: Offset(3), data: Bytes::from_static(b"hello") });
    let Frame::Binary(frame) = socket.next().await.unwrap().unwrap() else { panic!("not binary") };
    let frame = BinaryFrame::decode(frame).unwrap();
    assert_eq!((frame.channel, frame.offset, &frame.data[..]), (7, Offset(3), &b"hello"[..]));

    socket.send(Frame::Binary(BinaryFrame::encode(7, Offset(0), b"typed"))).await.unwrap();
    let (0, Body::InputAck(ack)) = body(&mut socket).await else { panic!("no ack") };
    assert_eq!((ack.channel, ack.offset), (7, 5));
    assert_eq!(gateway.script().input, b"typed");
    socket.send(Frame::Binary(BinaryFrame::encode(7, Offset(9), b"x"))).await.unwrap();
    let (_, Body::Error(error)) = body(&mut socket).await else { panic!("no error") };
    assert_eq!((error.code.as_str(), error.accepted, error.channel), ("input-gap", 5, 7));
    socket.send(Frame::Binary(BinaryFrame::encode(7, Offset(5), &[b'x'; TOO_MANY]))).await.unwrap();
    let (_, Body::Error(error)) = body(&mut socket).await else { panic!("no error") };
    assert_eq!((error.code.as_str(), error.accepted, error.after_ms), ("rate-limited", 5, 7));
    assert_eq!(gateway.script().input, b"typed");

    gateway.attached(1).await;
    drop(socket);
    gateway.attached(0).await;
}

#[tokio::test]
async fn acknowledgements_of_a_flood_are_joined_and_nothing_but_output_overtakes_them() {
    let gateway = gateway();
    let mut socket = logged_in(&gateway).await;
    attach(&mut socket, 7).await;
    for offset in 1..=500 {
        gateway.say(ViewerItem::InputTaken { offset });
    }
    gateway.say(ViewerItem::Bytes { offset: Offset(3), data: Bytes::from_static(b"hello") });
    let exit = v1::Exit::default();
    gateway.say(ViewerItem::Ended { exit, offset: Offset(8) });
    let mut said = Vec::new();
    while said.last() != Some(&"ended".to_owned()) {
        said.push(match socket.next().await.unwrap().unwrap() {
            Frame::Binary(_) => "bytes".to_owned(),
            Frame::Text(text) => match decode_server(&text).unwrap().body.unwrap() {
                Body::InputAck(ack) => format!("ack {}", ack.offset),
                Body::Ended(_) => "ended".to_owned(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(said, ["ack 1", "bytes", "ack 500", "ended"]);
    // What nobody writes behind goes by itself.
    gateway.say(ViewerItem::InputTaken { offset: 501 });
    let (0, Body::InputAck(ack)) = body(&mut socket).await else { panic!("no ack") };
    assert_eq!(ack.offset, 501);
}

#[tokio::test]
async fn a_repaint_is_confirmed_once_it_is_written() {
    let gateway = gateway();
    let mut socket = logged_in(&gateway).await;
    attach(&mut socket, 1).await;
    let (size, data) = (WinSize::DEFAULT, Bytes::from(vec![b'x'; 30_000]));
    gateway.say(ViewerItem::Snapshot { offset: Offset(1), size, data, reason: "attach" });
    let mut got = 0;
    loop {
        let (_, Body::Snapshot(piece)) = body(&mut socket).await else { panic!("no snapshot") };
        got += piece.data.len();
        if !piece.more {
            break;
        }
    }
    assert_eq!(got, 30_000);
    // Whatever is answered next was answered after the repaint had been flushed.
    say(&mut socket, 9, Ask::Ping(v1::Ping {})).await;
    assert!(matches!(body(&mut socket).await, (9, Body::Pong(_))));
    assert_eq!(gateway.script().drawn, 1);
}

#[tokio::test]
async fn wrong_requests_are_answered_and_disturb_nothing() {
    let gateway = gateway();
    let mut socket = logged_in(&gateway).await;
    attach(&mut socket, 1).await;
    let attach_to = |session: &str, channel| {
        let mode = v1::ViewerMode::Raw.into();
        Ask::Attach(v1::Attach { session: session.into(), channel, mode, ..Default::default() })
    };
    let wrong = [
        (attach_to(SESSION, 1), "bad-request"),
        (attach_to("nothing", 2), "unknown-session"),
        (Ask::Login(v1::Login::default()), "bad-request"),
        (Ask::Detach(v1::Detach { channel: 9 }), "no-such-channel"),
        (Ask::Paste(v1::Paste { channel: 9, ..Default::default() }), "no-such-channel"),
        (Ask::History(v1::History { channel: 9, lines: 1 }), "no-such-channel"),
    ];
    for (id, (ask, code)) in (100..).zip(wrong) {
        say(&mut socket, id, ask).await;
        let (of, Body::Error(error)) = body(&mut socket).await else { panic!("no error") };
        assert_eq!((of, error.code.as_str()), (id, code));
    }
    socket.send(Frame::text(r#"{"id":"7","dance":{}}"#)).await.unwrap();
    let (7, Body::Error(error)) = body(&mut socket).await else { panic!("no error") };
    assert_eq!(error.code, "unknown-message");
    gateway.say(ViewerItem::Bytes { offset: Offset(0), data: Bytes::from_static(b"still here") });
    assert!(matches!(socket.next().await.unwrap().unwrap(), Frame::Binary(_)));
}

#[tokio::test]
async fn attachments_of_one_connection_are_limited() {
    let gateway = gateway();
    let mut socket = logged_in(&gateway).await;
    for channel in 0..64 {
        attach(&mut socket, channel).await;
    }
    let mode = v1::ViewerMode::Raw.into();
    let one_more = v1::Attach { session: SESSION.into(), channel: 64, mode, ..Default::default() };
    say(&mut socket, 5, Ask::Attach(one_more)).await;
    let (5, Body::Error(error)) = body(&mut socket).await else { panic!("no error") };
    assert_eq!(error.code, "too-many-attachments");
    say(&mut socket, 6, Ask::Detach(v1::Detach { channel: 3 })).await;
    assert!(matches!(body(&mut socket).await, (6, Body::Detached(_))));
    attach(&mut socket, 64).await;
}

#[tokio::test]
async fn nonsense_after_login_closes_with_its_code_and_an_audit_line() {
    for (frame, code, audit) in [
        (Frame::text("{"), 4400, "misspoke: malformed"),
        (Frame::binary(vec![1; 3]), 4400, "misspoke: malformed"),
        (Frame::text("x".repeat(2 << 20)), 4413, "misspoke: too-large"),
    ] {
        let gateway = gateway();
        let mut socket = logged_in(&gateway).await;
        let _ = socket.send(frame).await;
        assert_eq!(closed(&mut socket).await.0, code);
        assert_eq!(gateway.audit().last().map(String::as_str), Some(audit));
    }
}

#[tokio::test]
async fn nobody_is_asked_for_output_while_the_socket_takes_none() {
    let gateway = gateway();
    // A pipe of 4 KiB that nobody reads.
    let (client, server) = tokio::io::duplex(4096);
    tokio::spawn(gateway.clone().serve(server, Some(EXPORTER)));
    let mut socket = logged_in_on(&gateway, client).await;
    let mode = v1::ViewerMode::Raw.into();
    let attach = Ask::Attach(v1::Attach { session: SESSION.into(), channel: 1, mode, ..Default::default() });
    for n in 0..1000_u64 {
        gateway
            .script()
            .items
            .push_back(ViewerItem::Bytes { offset: Offset(n * 1000), data: Bytes::from(vec![7; 1000]) });
    }
    socket.send(Frame::text(encode_client(&ClientMessage { id: 2, body: Some(attach) }).unwrap())).await.unwrap();
    gateway.attached(1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // The write buffer and the pipe: one batch, not the megabyte.
    let left = gateway.script().items.len();
    assert!(left > 900, "{left} of 1000 left");
    let mut got = 0;
    while got < 1_000_000 {
        if let Frame::Binary(frame) = socket.next().await.unwrap().unwrap() {
            got += frame.len() - crate::wire::BINARY_HEADER;
        }
    }
}

#[tokio::test]
async fn a_silent_client_is_asked_and_then_gone() {
    let gateway = gateway();
    let (client, server) = tokio::io::duplex(64 * 1024);
    let millis = Duration::from_millis;
    let pulse = Pulse { tick: millis(5), keepalive: millis(50), silent: millis(500) };
    tokio::spawn(gateway.clone().serve_timed(server, Some(EXPORTER), Duration::from_secs(10), pulse));
    let mut socket = logged_in_on(&gateway, client).await;
    let attach = Ask::Attach(v1::Attach {
        session: SESSION.into(),
        channel: 1,
        mode: v1::ViewerMode::Raw.into(),
        ..Default::default()
    });
    socket.send(Frame::text(encode_client(&ClientMessage { id: 2, body: Some(attach) }).unwrap())).await.unwrap();
    socket.next().await.unwrap().unwrap();
    gateway.attached(1).await;
    // Read below the WebSocket layer, so that nothing answers the ping.
    let mut raw = socket.into_inner();
    let mut everything = Vec::new();
    raw.read_to_end(&mut everything).await.unwrap();
    assert!(everything.starts_with(&[0x89, 0]), "no ping in {everything:?}");
    // Its size and its place are given back at once.
    gateway.attached(0).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_told_to_come_back() {
    let gateway = gateway();
    let (client, server) = tokio::io::duplex(4096);
    let millis = Duration::from_millis;
    let pulse = Pulse { tick: millis(5), keepalive: millis(50), silent: millis(300) };
    let served = tokio::spawn(gateway.clone().serve_timed(server, Some(EXPORTER), Duration::from_secs(10), pulse));
    let mut socket = logged_in_on(&gateway, client).await;
    let attach = Ask::Attach(v1::Attach {
        session: SESSION.into(),
        channel: 1,
        mode: v1::ViewerMode::Raw.into(),
        ..Default::default()
    });
    for n in 0..100_u64 {
        let data = Bytes::from(vec![7; 1000]);
        gateway.script().items.push_back(ViewerItem::Bytes { offset: Offset(n * 1000), data });
    }
    socket.send(Frame::text(encode_client(&ClientMessage { id: 2, body: Some(attach) }).unwrap())).await.unwrap();
    gateway.attached(1).await;
    // It goes on to speak, so that it is not silent: only deaf.
    while gateway.viewers() == 1 {
        let _ = socket.send(Frame::Pong(Bytes::new())).await;
        tokio::task::yield_now().await;
    }
    served.await.unwrap();
}
