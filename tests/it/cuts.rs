//! Connections are cut at random byte positions while a program prints and somebody types: nothing is lost unsaid, and
//! nothing typed is lost or doubled.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::wire::v1::{self, Verdict};
use tokio::time::{Instant, sleep};

use crate::support::follower::{Dial, Follower};
use crate::support::generator::{Generator, Totals, find_ready, knob, printed};
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

/// Runs until the cuts are made and the time is over.
async fn while_cutting(proxy: &Proxy) {
    proxy.arm();
    let began = Instant::now();
    while !proxy.is_done() || began.elapsed().as_secs() < seconds() {
        assert!(began.elapsed() < GUARD, "{:?} cuts", proxy.made());
        sleep(LOOK).await;
    }
    let (cuts, resets) = proxy.made();
    assert!(resets > 0 && resets < cuts.max(2), "{resets} of {cuts} by RST");
}

fn most_are_continuous(continuous: usize, all: usize) {
    assert!(continuous * 100 >= all * 95, "{continuous} of {all} verdicts are continuous");
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
    while_cutting(&proxy).await;
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

/// `portcullis attach` without a terminal, and what came out of it.
struct Local {
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
    errors: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Local {
    fn start(place: &Place, proxy: &Proxy, from: &str) -> Self {
        let gateway = format!("wss://{}", proxy.address);
        let mut command = place.client(&["attach", "main", "--from", from, "--gateway", &gateway]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, errors) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&output)),
            collect(child.stderr.take().unwrap(), Arc::clone(&errors)),
        ];
        Self { child, output, errors, readers }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.errors.lock().unwrap()).into_owned()
    }

    fn ready(&self) -> Option<usize> {
        find_ready(&self.output.lock().unwrap())
    }

    /// Its status, output and standard error.
    fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        let status = self.child.wait().unwrap().code();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let output = std::mem::take(&mut *self.output.lock().unwrap());
        (status, output, self.said())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            into.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    })
}

/// From and to of every loss that was said.
fn losses(said: &str) -> Vec<(u64, u64)> {
    let of = |line: &str| {
        let (_, rest) = line.split_once(" bytes of output are gone (")?;
        let (from, to) = rest.strip_suffix(')')?.split_once(" to ")?;
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    said.lines().filter_map(of).collect()
}

/// What came through one client after another.
#[derive(Debug, Default)]
struct Account {
    base: u64,
    // Log offset after what is accounted for.
    at: u64,
    received: u64,
    lost: u64,
    continuous: usize,
    verdicts: usize,
}

impl Account {
    /// Output and losses of one client that began at `at`.
    fn add(&mut self, output: &[u8], said: &str) {
        let mut rest = output;
        for (from, to) in losses(said) {
            let (before, after) = rest.split_at((from - self.at) as usize);
            self.bytes(before);
            rest = after;
            self.lost += to - from;
            self.at = to;
        }
        self.bytes(rest);
        let continuous = said.matches("back, nothing is lost (at ").count();
        self.continuous += continuous;
        self.verdicts += continuous + losses(said).len();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let before = self.base.saturating_sub(self.at).min(bytes.len() as u64) as usize;
        let records = &bytes[before..];
        let known = printed((self.at + before as u64).saturating_sub(self.base), records.len());
        let wrong = records.iter().zip(&known).position(|(left, right)| left != right);
        assert!(wrong.is_none(), "another byte than was printed at {wrong:?} after {}", self.at);
        self.at += bytes.len() as u64;
        self.received += records.len() as u64;
    }
}

#[tokio::test]
async fn the_local_client_without_a_terminal_misses_nothing_and_types_everything_once() {
    let (place, proxy, generator) = behind_a_proxy(&[]).await;
    let mut local = Local::start(&place, &proxy, "start");
    place.verb(&["send", "main", &format!("exec {}", generator.line(RATE, 0))]);
    let mut account = Account::default();
    account.base = loop {
        if let Some(base) = local.ready() {
            break base as u64;
        }
        assert!(local.child.try_wait().unwrap().is_none(), "{}", local.said());
        sleep(LOOK).await;
    };
    let mut typed: Vec<u8> = Vec::new();
    let mut stdin = local.child.stdin.take();
    let (mut stopped, mut restarted) = (false, false);
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
                Some(mut pipe) => pipe.write_all(&[crate::support::generator::STOP]).unwrap(),
                None => drop(place.verb(&["send", "--no-enter", "main", "\u{4}"])),
            }
        }
        if local.child.try_wait().unwrap().is_some() {
            let (status, output, said) = local.end();
            account.add(&output, &said);
            match status {
                Some(0) => break,
                Some(74) => {}
                other => panic!("{other:?}: {said}\n{}", place.console()),
            }
            // It died with what it had read of its input and the terminal had not taken: typing is over.
            (stdin, restarted) = (None, true);
            local = Local::start(&place, &proxy, &account.at.to_string());
        }
        sleep(Duration::from_millis(5)).await;
    }
    let totals = generator.totals();
    eprintln!("{totals:?}; cuts {:?}; {account:?}; typed {}", proxy.made(), typed.len());
    assert_eq!(account.received + account.lost, totals.printed);
    assert_eq!(account.at - account.base, totals.printed);
    let read = generator.input();
    assert!(read == typed || restarted && typed.starts_with(&read), "typed {}, read {}", typed.len(), read.len());
    assert!(account.verdicts > 0);
    most_are_continuous(account.continuous, account.verdicts);
}
