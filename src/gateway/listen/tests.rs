//! The accept loop with real sockets: silence, drip, flood, budget, a panicking door, TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::base::INBOUND_BEFORE_LOGIN;

/// Only a test that would hang meets it.
pub(super) const HANG: Duration = Duration::from_secs(60);

fn often() -> Frequency {
    Frequency { count: NonZeroU32::new(100_000).unwrap(), period: Duration::from_secs(1) }
}

pub(super) fn limits() -> Limits {
    Limits {
        connections: often(),
        logins: often(),
        unauthenticated: 64,
        unauthenticated_per_source: 8,
        connections_per_key: 2,
        session_starts: often(),
        messages: often(),
        input_bytes: NonZeroU32::new(1 << 20).unwrap(),
        deadline: HANG * 10,
        inbound: INBOUND_BEFORE_LOGIN,
    }
}

/// A door with a login of one byte: after `L` it echoes, at `P` it panics, everything else it reads and ignores.
async fn echo(accepted: Accepted) {
    let Accepted { mut stream, permit, .. } = accepted;
    let mut permit = Some(permit);
    let mut buffer = vec![0; 4096];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => &buffer[..read],
        };
        assert_ne!(read[0], b'P', "asked to");
        match &permit {
            None => {}
            Some(_) if read[0] == b'L' => permit.take().unwrap().logged_in(),
            Some(_) => continue,
        }
        if stream.write_all(read).await.is_err() {
            return;
        }
    }
}

struct Door {
    admission: Admission,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Door {
    fn open(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let admission = Admission::new(limits);
        let task = spawn_listener(listener, admission.clone(), |_, _| (), echo).unwrap();
        Self { admission, address, task }
    }

    async fn connect(&self) -> TcpStream {
        self.connect_from([127, 0, 0, 1]).await
    }

    async fn connect_from(&self, source: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(source), 0).into()).unwrap();
        timeout(HANG, socket.connect(self.address)).await.unwrap().unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    let mut back = vec![0; bytes.len()];
    timeout(HANG, stream.read_exact(&mut back)).await.unwrap()?;
    assert_eq!(back, bytes);
    Ok(())
}

/// Waits for the far side to end the connection; what it says before counts as said.
pub(super) async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    let end = async { while matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {} };
    timeout(HANG, end).await.expect("the connection was not ended");
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_a_login_does_not() {
    let door = Door::open(Limits { deadline: Duration::from_millis(300), ..limits() });
    let mut logged_in = door.connect().await;
    exchange(&mut logged_in, b"L").await.unwrap();
    let mut silent = door.connect().await;
    closed(&mut silent).await;
    assert_eq!(door.admission.counts().expired, 1);
    // Accepted earlier than the silent one, so its own deadline is past.
    exchange(&mut logged_in, b"still here").await.unwrap();
    assert_eq!(door.admission.counts().held, 0);
}

#[tokio::test]
async fn a_drip_does_not_move_the_deadline() {
    let door = Door::open(Limits { deadline: Duration::from_millis(300), ..limits() });
    let mut stream = door.connect().await;
    let drip = async {
        // Ends when the far side has: a reset fails the write. The pause is the drip itself, not a wait for something.
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANG, drip).await.expect("the drip went on");
    assert_eq!(door.admission.counts().expired, 1);
}

#[tokio::test]
async fn a_login_succeeds_while_others_hold_all_places() {
    let door = Door::open(limits());
    let mut held = Vec::new();
    for round in 0..8 {
        for source in 1..=50 {
            held.push(door.connect_from([127, 1, 0, source]).await);
        }
        for attempt in 0..3 {
            let mut legitimate = door.connect_from([127, 9, round, attempt + 1]).await;
            exchange(&mut legitimate, b"L").await.unwrap();
        }
    }
    let counts = door.admission.counts();
    assert_eq!(counts.logged_in, 24);
    assert!(counts.held <= 64, "{counts:?}");
    assert!(counts.evicted >= 400 - 64, "{counts:?}");
}

#[tokio::test]
async fn behind_one_address_with_a_flood_a_login_still_succeeds() {
    let door = Door::open(limits());
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(door.connect().await);
    }
    let mut legitimate = door.connect().await;
    exchange(&mut legitimate, b"L").await.unwrap();
    // The newest places are still there, the oldest gone.
    exchange(held.last_mut().unwrap(), b"L").await.unwrap();
    closed(&mut held[0]).await;
}

#[tokio::test]
async fn a_source_that_comes_too_often_is_refused_and_another_is_not() {
    let two = Frequency { count: NonZeroU32::new(2).unwrap(), period: Duration::from_secs(3600) };
    let door = Door::open(Limits { connections: two, ..limits() });
    for _ in 0..2 {
        exchange(&mut door.connect().await, b"L").await.unwrap();
    }
    closed(&mut door.connect().await).await;
    assert_eq!(door.admission.counts().refused, 1);
    exchange(&mut door.connect_from([127, 0, 0, 2]).await, b"L").await.unwrap();
}

#[tokio::test]
async fn the_byte_budget_holds_until_login() {
    let door = Door::open(limits());
    let mut chatty = door.connect().await;
    let flood = async {
        let bytes = vec![b'.'; INBOUND_BEFORE_LOGIN + 1];
        let _ = chatty.write_all(&bytes).await;
        closed(&mut chatty).await;
    };
    timeout(HANG, flood).await.unwrap();

    let mut just_fits = door.connect().await;
    just_fits.write_all(&vec![b'.'; INBOUND_BEFORE_LOGIN - 1]).await.unwrap();
    // The door reads up to 4 KiB at once, so the login must come in a read of its own: wait until all else was read.
    let mut logged_in = door.connect().await;
    exchange(&mut logged_in, b"L").await.unwrap();
    let (mut read, mut write) = logged_in.split();
    let sent: Vec<u8> = (0..1 << 20).map(|at: u32| at as u8).collect();
    let mut back = vec![0; sent.len()];
    // Both directions at once and more than the socket buffers hold: writes have to wait for writability.
    let (wrote, got) =
        timeout(HANG, async { tokio::join!(write.write_all(&sent), read.read_exact(&mut back)) }).await.unwrap();
    wrote.unwrap();
    got.unwrap();
    assert_eq!(back, sent);
}

#[tokio::test]
async fn a_reader_that_comes_late_gets_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sent: Vec<u8> = (0..16 << 20).map(|at: u32| (at >> 3) as u8).collect();
    let (stopped, mut stalled) = tokio::sync::mpsc::channel::<()>(1);
    let task = {
        let sent = sent.clone();
        spawn_listener(
            listener,
            Admission::new(limits()),
            |_, _| (),
            move |accepted: Accepted| {
                let (sent, stopped) = (sent.clone(), stopped.clone());
                async move {
                    let Accepted { mut stream, permit, .. } = accepted;
                    permit.logged_in();
                    let mut done = 0;
                    while done < sent.len() {
                        // The first write that does not take all it was given has filled the socket.
                        let wrote = stream.write(&sent[done..]).await.unwrap();
                        if done + wrote < sent.len() {
                            let _ = stopped.try_send(());
                        }
                        done += wrote;
                    }
                    stream.shutdown().await.unwrap();
                }
            },
        )
        .unwrap()
    };
    let mut late = TcpStream::connect(address).await.unwrap();
    timeout(HANG, stalled.recv()).await.unwrap();
    let mut got = Vec::new();
    timeout(HANG, late.read_to_end(&mut got)).await.unwrap().unwrap();
    assert!(got == sent);
    task.abort();
}

#[tokio::test]
async fn a_panic_ends_one_connection_only() {
    let door = Door::open(limits());
    let mut other = door.connect().await;
    exchange(&mut other, b"L").await.unwrap();
    let mut unlucky = door.connect().await;
    unlucky.write_all(b"P").await.unwrap();
    closed(&mut unlucky).await;
    exchange(&mut other, b"alive").await.unwrap();
    exchange(&mut door.connect().await, b"L").await.unwrap();
    assert_eq!(door.admission.counts().held, 0, "the place came back");
}

#[tokio::test]
async fn live_connections_of_a_key_are_counted() {
    let admission = Admission::new(limits());
    let key = crate::base::KeyId::new("SHA256:x".to_owned());
    let first = admission.connection_of(&key).unwrap();
    let _second = admission.connection_of(&key).unwrap();
    assert_eq!(admission.connection_of(&key).err(), Some(super::gate::TooMany(2)));
    assert!(admission.connection_of(&crate::base::KeyId::new("SHA256:y".to_owned())).is_ok());
    drop(first);
    assert!(admission.connection_of(&key).is_ok());
}

#[tokio::test]
async fn a_whole_paste_passes_at_any_rate_and_a_second_waits() {
    let admission = Admission::new(Limits { input_bytes: NonZeroU32::new(10).unwrap(), ..limits() });
    let key = crate::base::KeyId::new("SHA256:x".to_owned());
    assert_eq!(admission.input(&key, crate::base::INPUT_MESSAGE), Ok(()));
    let wait = admission.input(&key, 10).unwrap_err().after;
    assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(500), "{wait:?}");
}
