//! The gateway is killed at random moments, again and again: the spawner starts it anew, clients come back by
//! themselves, and neither the agent nor its host notices.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis::wire::v1::{self, Verdict, client_message::Body as Ask, server_message::Body as Say};
use tokio::time::sleep;

use crate::support::client::{Heard, Wss};
use crate::support::follower::{Dial, Follower, Shared};
use crate::support::generator::{Dice, Generator, knob};
use crate::support::local::{Account, Local, returns};
use crate::support::place::{Mode, Place, children, describe, run, start_time};
use crate::support::soon;

/// MiB a second: output all the time, and a slow machine's restart fits the ring below.
const RATE: u64 = 1;
/// A restart may take seconds where eight things run on two cores; whatever it takes, the ring must hold it.
const RING: &str = "67108864";

/// What is going on when the gateway dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Login,
    Start,
    Input,
    Output,
}

const MOMENTS: [Moment; 4] = [Moment::Login, Moment::Start, Moment::Input, Moment::Output];

/// A process that must stay the same one.
#[derive(Debug, PartialEq, Eq)]
struct Same(u32, u64);

impl Same {
    fn of(pid: u32) -> Self {
        Self(pid, start_time(pid))
    }
}

/// The hosts of a place and what they run: of each the pid and the start time.
fn host_and_agent(place: &Place) -> [Same; 2] {
    let host = place.host_pids()[0];
    let agent = children(host)[0];
    [Same::of(host), Same::of(agent)]
}

async fn login(dial: Dial) -> Option<Wss> {
    Wss::try_login(&dial.address, &dial.address, &dial.key, &dial.user).await.ok()
}

/// Asks for a session; none when the connection broke before the answer.
async fn new(dial: Dial, name: String) -> Option<Say> {
    let mut wss = login(dial).await?;
    let new = v1::NewSession { agent: "shell".into(), request_id: name.clone(), name, ..Default::default() };
    wss.try_say(9, Ask::New(new)).await.ok()?;
    loop {
        match wss.next().await {
            Heard::Said(9, said) => return Some(said),
            Heard::Closed(_) => return None,
            _ => {}
        }
    }
}

/// The session is there once, whatever became of the first question, and takes input.
async fn is_there_once(place: &Place, dial: &Dial, name: &str) {
    loop {
        match new(dial.clone(), name.to_owned()).await {
            Some(Say::Session(_)) => break,
            Some(Say::Error(error)) if error.code == "name-taken" => break,
            Some(Say::Error(error)) if error.retryable => {}
            None => {}
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    let listed = place.verb(&["ls"]);
    assert_eq!(listed.matches(name).count(), 1, "{listed}");
    place.verb(&["send", name, "exit 0"]);
    soon("its end", || {
        place.verb(&["ls"]).lines().any(|line| line.contains(name) && line.contains("exit")).then_some(())
    })
    .await;
    place.verb(&["forget", name]);
}

struct Seen {
    attached: u64,
    returns: usize,
}

impl Seen {
    fn now(shared: &Shared, local: &Local) -> Self {
        Self { attached: shared.attached.load(Ordering::SeqCst), returns: returns(&local.said()) }
    }
}

/// Both clients are back, get output, and the terminal takes what they type.
async fn both_are_back(place: &Place, before: &Seen, shared: &Shared, local: &Local) {
    soon("the wss client is back", || (shared.attached.load(Ordering::SeqCst) > before.attached).then_some(())).await;
    soon("the local client is back", || (returns(&local.said()) > before.returns).then_some(())).await;
    let (offset, taken) = (shared.offset.load(Ordering::SeqCst), shared.acknowledged.load(Ordering::SeqCst));
    soon("output goes on", || (shared.offset.load(Ordering::SeqCst) > offset).then_some(())).await;
    soon("input goes on", || (shared.acknowledged.load(Ordering::SeqCst) > taken).then_some(())).await;
    let ssh = place.ssh(&[], &["ls"]).stdin(Stdio::null()).output().unwrap();
    assert!(ssh.status.success() && describe(&ssh).contains("main"), "{}\n{}", describe(&ssh), place.console());
}

fn chain_is_whole(place: &Place, chain: &Path) {
    let verified = place.command().args(["audit", "verify"]).arg(chain).output().unwrap();
    assert!(verified.status.success(), "{}", describe(&verified));
}

#[tokio::test]
async fn a_gateway_killed_at_any_moment_is_back_and_nobody_missed_a_byte() {
    let mut dice = Dice::new();
    let mut place = Place::new(Mode::Root);
    for (name, value) in
        [("SESSIONS__RING_BYTES", RING), ("LIMITS__LOGINS", "6000/m"), ("LIMITS__SESSION_STARTS", "6000/m")]
    {
        place.environment.push((format!("PORTCULLIS_{name}"), value.into()));
    }
    let endpoints = place.serve();
    place.verb(&["new", "shell", "--name", "main"]);
    let generator = Generator::new(&place, 1);
    let dial = Dial {
        address: endpoints.https.clone(),
        key: endpoints.client_key,
        user: endpoints.account,
        session: "main".into(),
        mode: v1::ViewerMode::Raw,
    };
    let (follower, shared) = Follower::new(dial.clone());
    let following = tokio::spawn(follower.run());
    let mut local = Local::start(&place, &endpoints.https, "start");
    place.verb(&["send", "main", &format!("exec {}", generator.line(RATE, 0))]);
    let base = soon("the generator is ready", || local.ready()).await as u64;
    shared.typing.store(true, Ordering::SeqCst);
    let same = host_and_agent(&place);

    for number in 0..knob("PORTCULLIS_KILLS", 4) {
        soon("input", || (shared.acknowledged.load(Ordering::SeqCst) > 0).then_some(())).await;
        let before = Seen::now(&shared, &local);
        let moment = MOMENTS[number as usize % MOMENTS.len()];
        let name = format!("start-{number}");
        let within = match moment {
            Moment::Login => {
                tokio::spawn(login(dial.clone()));
                40
            }
            Moment::Start => {
                tokio::spawn(new(dial.clone(), name.clone()));
                150
            }
            // The wss client types all the time; between two of its keys lie 5 ms.
            Moment::Input => 10,
            Moment::Output => 300,
        };
        sleep(Duration::from_millis(dice.below(within))).await;
        let gateway = place.gateway_pid();
        run(Command::new("kill").args(["-9", &gateway.to_string()]));
        eprintln!("kill {number} during {moment:?}");
        both_are_back(&place, &before, &shared, &local).await;
        assert_ne!(place.gateway_pid(), gateway);
        if matches!(moment, Moment::Start) {
            is_there_once(&place, &dial, &name).await;
        }
        assert_eq!(host_and_agent(&place), same, "host and agent are others");
    }

    shared.stop.store(true, Ordering::SeqCst);
    let story = following.await.unwrap();
    let totals = generator.totals();
    assert_eq!((story.lost, story.received), (0, totals.printed));
    assert!(story.verdicts.iter().all(|verdict| *verdict == Verdict::Continuous), "{:?}", story.verdicts);
    assert_eq!(generator.input(), story.typed);
    drop(local.child.stdin.take());
    let (status, output, said) = local.end();
    assert_eq!(status, Some(0), "{said}");
    let mut account = Account { base, ..Account::default() };
    account.add(&output, &said);
    assert_eq!((account.lost, account.received), (0, totals.printed), "{said}");
    assert_eq!(generator.hangups(), 0, "the agent saw a hang-up");
    chain_is_whole(&place, &place.dir.join("state/audit"));
    chain_is_whole(&place, &place.dir.join("log"));
}
