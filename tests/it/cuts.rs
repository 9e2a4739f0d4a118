//! Connections are cut at random byte positions while a program prints and somebody types: nothing is lost unsaid, and
//! nothing typed is lost or doubled.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis::wire::v1::{self, Verdict};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::follower::{Dial, Follower, Story};
use crate::support::generator::{Generator, STOP, Totals, knob};
use crate::support::local::{Account, Local};
use crate::support::place::{Mode, Place};
use crate::support::proxy::Proxy;

/// MiB a second.
const RATE: u64 = 5;
/// A pause between two looks at what only can be looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Many times what the long form takes.
const GUARD: Duration = Duration::from_secs(400);

fn cuts() -> u64 {
    knob("PORTCULLIS_CUTS", 20)
}

fn seconds() -> u64 {
    knob("PORTCULLIS_SECONDS", 8)
}

/// A place behind a proxy, with a shell called main in which the generator is about to start.
async fn behind_a_proxy(environment: &[(&str, &str)]) -> (Place, Proxy, Generator) {
    // Evenly over the time: as many bytes as pass between two cuts.
    let (proxy, listener) = Proxy::bind(cuts(), RATE * (1 << 20) * seconds() / cuts()).await;
    let mut place = Place::new(Mode::Root);
    place.environment.push(proxy.environment());
    // Each cut is a login.
    place.environment.push(("PORTCULLIS_LIMITS__LOGINS".into(), "6000/m".into()));
    place.environment.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let endpoints = place.serve();
    proxy.run(listener, endpoints.https);
    place.verb(&["new", "shell", "--name", "main"]);
    let generator = Generator::new(&place, 1);
    (place, proxy, generator)
}

/// Runs until the cuts are made and the time is over, or the client has ended, which it should not.
async fn while_cutting(proxy: &Proxy, client: &JoinHandle<Story>) {
    proxy.arm();
    let began = Instant::now();
    while !client.is_finished() && (!proxy.is_done() || began.elapsed().as_secs() < seconds()) {
        assert!(began.elapsed() < GUARD, "{:?} cuts", proxy.made());
        sleep(LOOK).await;
    }
    let (cuts, resets) = proxy.made();
    if client.is_finished() {
        // Its own panic says why.
        return;
    }
    assert!(resets > 0 && resets < cuts.max(2), "{resets} of {cuts} by RST");
}

fn most_are_continuous(continuous: usize, all: usize) {
    // Five in a hundred; of a short run one.
    assert!((all - continuous) * 20 <= all.max(20), "{continuous} of {all} verdicts are continuous");
}

async fn followed(environment: &[(&str, &str)]) -> (Vec<Verdict>, u64, Totals) {
    let (place, proxy, generator) = behind_a_proxy(environment).await;
    let endpoints = place.endpoints();
    let (follower, shared) = Follower::new(Dial {
        address: proxy.address.clone(),
        key: endpoints.client_key,
        user: endpoints.account,
        session: "main".into(),
        mode: v1::ViewerMode::Raw,
    });
    let following = tokio::spawn(follower.run());
    while shared.attached.load(Ordering::SeqCst) == 0 {
        sleep(LOOK).await;
    }
    place.verb(&["send", "main", &format!("exec {}", generator.line(RATE, 0))]);
    shared.typing.store(true, Ordering::SeqCst);
    while_cutting(&proxy, &following).await;
    shared.stop.store(true, Ordering::SeqCst);
    let story = following.await.unwrap();
    let totals = generator.totals();
    eprintln!(
        "{totals:?}; cuts {:?}; received {}, lost {}, typed {}; {} verdicts",
        proxy.made(),
        story.received,
        story.lost,
        story.typed.len(),
        story.verdicts.len()
    );
    assert_eq!(story.received + story.lost, totals.printed);
    assert_eq!(story.end - story.base, totals.printed);
    assert_eq!(generator.input(), story.typed, "typed and read");
    assert_eq!(story.exit.unwrap().how, Some(v1::exit::How::Code(0)));
    assert_eq!(generator.hangups(), 0);
    (story.verdicts, story.lost, totals)
}

#[tokio::test]
async fn a_wss_client_misses_nothing_and_types_everything_once() {
    let (verdicts, _, _) = followed(&[]).await;
    let continuous = verdicts.iter().filter(|verdict| **verdict == Verdict::Continuous).count();
    assert!(!verdicts.is_empty());
    most_are_continuous(continuous, verdicts.len());
}

#[tokio::test]
async fn with_a_ring_of_64_kib_every_byte_is_seen_or_counted_as_lost() {
    let (verdicts, lost, _) = followed(&[("PORTCULLIS_SESSIONS__RING_BYTES", "65536")]).await;
    // 64 KiB are 13 ms of this output: if this is nought, the ring was another.
    assert!(lost > 0 && verdicts.contains(&Verdict::Gap), "{verdicts:?}");
}

/// The local client behind the proxy until the session ends; one that stopped because of a loss (74) is started anew.
/// What came of all of them, and how many there were.
async fn followed_locally(environment: &[(&str, &str)]) -> (Account, u32) {
    let (place, proxy, generator) = behind_a_proxy(environment).await;
    let mut local = Local::start(&place, &proxy.address, "start");
    place.verb(&["send", "main", &format!("exec {}", generator.line(RATE, 0))]);
    let base = loop {
        if let Some(base) = local.ready() {
            break base as u64;
        }
        assert!(local.child.try_wait().unwrap().is_none(), "{}", local.said());
        sleep(LOOK).await;
    };
    let mut account = Account { base, ..Account::default() };
    let mut typed: Vec<u8> = Vec::new();
    let mut stdin = local.child.stdin.take();
    let (mut stopped, mut clients) = (false, 1);
    proxy.arm();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < GUARD, "{:?} cuts", proxy.made());
        let text = format!("{:07}\n", typed.len() / 8);
        if stdin.as_mut().is_some_and(|pipe| pipe.write_all(text.as_bytes()).is_ok()) {
            typed.extend_from_slice(text.as_bytes());
        }
        if !stopped && proxy.is_done() && began.elapsed().as_secs() >= seconds() {
            stopped = true;
            match stdin.take() {
                Some(mut pipe) => pipe.write_all(&[STOP]).unwrap(),
                None => drop(place.verb(&["send", "--no-enter", "main", "\u{4}"])),
            }
        }
        if local.child.try_wait().unwrap().is_some() {
            let (status, output, said) = local.end();
            account.add(&output, &said);
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            eprintln!("ended with {status:?}: {last:?}");
            match status {
                Some(0) => break,
                Some(74) => {}
                // Nobody is asked to come back before having been in: the very first connection was cut.
                Some(1) if clients > 1 && output.is_empty() => {}
                other => panic!("{other:?}: {said}\n{}", place.console()),
            }
            // It died with what it had read of its input and the terminal had not taken: typing is over.
            (stdin, clients) = (None, clients + 1);
            // The loss ends at the oldest byte held, which is gone when the next client asks for it: `start` is not.
            local = Local::start(&place, &proxy.address, "start");
        }
        sleep(Duration::from_millis(5)).await;
    }
    let totals = generator.totals();
    eprintln!("{totals:?}; cuts {:?}; {account:?}; {clients} clients; typed {}", proxy.made(), typed.len());
    assert_eq!(account.received + account.lost, totals.printed);
    assert_eq!(account.at - account.base, totals.printed);
    let read = generator.input();
    assert!(read == typed || clients > 1 && typed.starts_with(&read), "typed {}, read {}", typed.len(), read.len());
    assert_eq!(generator.hangups(), 0);
    (account, clients)
}

#[tokio::test]
async fn the_local_client_without_a_terminal_misses_nothing_and_types_everything_once() {
    let (account, _) = followed_locally(&[]).await;
    assert!(account.verdicts > 0);
    most_are_continuous(account.continuous, account.verdicts);
}

#[tokio::test]
async fn the_local_client_says_every_loss_and_can_be_started_anew() {
    // 100 ms of this output, which is the client's first pause: each break loses something.
    let (account, clients) = followed_locally(&[("PORTCULLIS_SESSIONS__RING_BYTES", "524288")]).await;
    assert!(account.lost > 0 && clients > 1, "{account:?}");
}
