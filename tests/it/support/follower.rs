//! A wss client of the tests' own that comes back with its cursor and its writer id, and checks every byte of a
//! generator's output by its offset.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis::wire::v1::{self, Verdict, client_message::Body as Ask, server_message::Body as Say};
use tokio::time::{Instant, sleep, timeout};

use super::HANG;
use super::client::{Heard, Wss};
use super::generator::{find_ready, printed};

/// Between two numbers that a writer types.
const TYPING: Duration = Duration::from_millis(5);
/// Between attempts to come back.
const PAUSE: Duration = Duration::from_millis(50);
const CHANNEL: u32 = 1;

/// Where to dial and as whom.
#[derive(Debug, Clone)]
pub struct Dial {
    pub address: String,
    pub key: String,
    pub user: String,
    pub session: String,
    pub mode: v1::ViewerMode,
}

/// What others see of a follower while it runs.
#[derive(Debug, Default)]
pub struct Shared {
    /// Log offset after the last byte seen.
    pub offset: AtomicU64,
    /// Attachments so far.
    pub attached: AtomicU64,
    /// Input that the terminal took, in bytes.
    pub acknowledged: AtomicU64,
    /// Type numbers from when this is set, the first starts the generator.
    pub typing: AtomicBool,
    /// Type no more, and STOP as the last byte.
    pub stop: AtomicBool,
}

/// What a follower has at the end.
#[derive(Debug, Default)]
pub struct Story {
    /// All that it typed, without STOP.
    pub typed: Vec<u8>,
    /// Log offset of the generator's first byte.
    pub base: u64,
    /// Log offset after the last byte, by the gateway's word.
    pub end: u64,
    /// Bytes of the generator that came, each of them right.
    pub received: u64,
    /// Bytes that the gateway said were lost or painted over.
    pub lost: u64,
    /// Verdicts after the first attachment.
    pub verdicts: Vec<Verdict>,
    pub exit: Option<v1::Exit>,
}

/// See the module.
pub struct Follower {
    dial: Dial,
    shared: Arc<Shared>,
    story: Story,
    log_id: String,
    offset: u64,
    // Bytes before READY was seen.
    head: Option<Vec<u8>>,
    writer: [u8; 16],
    sent: u64,
    acknowledged: u64,
    stopped: bool,
    number: u64,
}

// An attachment is over: come back, or all is said.
enum Part {
    Broken,
    Ended,
}

impl Follower {
    pub fn new(dial: Dial) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        let mut writer = [0; 16];
        getrandom::fill(&mut writer).unwrap();
        let this = Self {
            dial,
            shared: Arc::clone(&shared),
            story: Story::default(),
            log_id: String::new(),
            offset: 0,
            head: Some(Vec::new()),
            writer,
            sent: 0,
            acknowledged: 0,
            stopped: false,
            number: 0,
        };
        (this, shared)
    }

    /// Follows until the session ends.
    pub async fn run(mut self) -> Story {
        let mut broken = Instant::now();
        loop {
            let dial = &self.dial;
            // A cut may leave either side waiting for the other; the gateway's own deadline is 10 s.
            let login =
                timeout(HANG, Wss::try_login(&dial.address, &dial.address, &dial.key, &dial.user)).await.unwrap();
            if let Ok(mut wss) = login {
                match self.follow(&mut wss).await {
                    Ok(Part::Ended) => return self.story,
                    Ok(Part::Broken) => broken = Instant::now(),
                    Err(_) => {}
                }
            }
            assert!(broken.elapsed() < HANG, "not back within {HANG:?}: {:?}", self.story);
            sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self, wss: &mut Wss) -> Result<Part, tokio_tungstenite::tungstenite::Error> {
        let cursor = v1::Cursor { log_id: self.log_id.clone(), offset: self.offset };
        let attach = v1::Attach {
            session: self.dial.session.clone(),
            channel: CHANNEL,
            mode: self.dial.mode.into(),
            cursor: Some(cursor),
            writer: self.writer.to_vec().into(),
            ..Default::default()
        };
        wss.try_say(2, Ask::Attach(attach)).await?;
        let mut live = false;
        let mut tick = tokio::time::interval(TYPING);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let heard = tokio::select! {
                heard = wss.next() => heard,
                _ = tick.tick(), if live => {
                    self.type_more(wss).await?;
                    continue;
                }
            };
            match heard {
                Heard::Closed(_) => return Ok(Part::Broken),
                Heard::Bytes(frame) => self.bytes(frame.offset.0, &frame.data),
                Heard::Said(2, Say::Attached(attached)) => {
                    self.attached(&attached);
                    live = true;
                }
                // The link to the host is not there yet.
                Heard::Said(2, Say::Error(error)) if error.retryable || error.code == "unknown-session" => {
                    return Ok(Part::Broken);
                }
                Heard::Said(_, said) => {
                    if let Some(part) = self.said(said) {
                        return Ok(part);
                    }
                }
            }
        }
    }

    fn attached(&mut self, attached: &v1::Attached) {
        self.shared.attached.fetch_add(1, Ordering::SeqCst);
        if self.log_id.is_empty() {
            assert_eq!((attached.verdict(), attached.offset), (Verdict::Continuous, 0), "{attached:?}");
            self.log_id.clone_from(&attached.log_id);
        } else {
            assert_eq!(attached.log_id, self.log_id);
            self.story.verdicts.push(attached.verdict());
            match attached.verdict() {
                Verdict::Continuous => assert_eq!(attached.offset, self.offset, "continuous means from the cursor on"),
                Verdict::Gap => {
                    assert_eq!(attached.lost_from, self.offset, "a gap begins at the cursor");
                    assert_eq!(attached.offset, attached.lost_to);
                    self.lose(attached.lost_to);
                }
                other => panic!("{other:?} for a cursor of this log: {attached:?}"),
            }
        }
        assert!(attached.input_offset >= self.acknowledged, "taken input was forgotten: {attached:?}");
        self.sent = attached.input_offset;
        self.acknowledge(attached.input_offset);
    }

    fn said(&mut self, said: Say) -> Option<Part> {
        match said {
            Say::InputAck(ack) => self.acknowledge(ack.offset),
            Say::Lost(lost) => {
                assert_eq!(lost.from, self.offset, "a loss begins where the bytes ended");
                self.lose(lost.to);
            }
            Say::Snapshot(snapshot) if !snapshot.more => self.lose(snapshot.offset.max(self.offset)),
            Say::Error(error) if matches!(error.code.as_str(), "input-full" | "input-gap" | "rate-limited") => {
                self.sent = error.accepted;
            }
            Say::Error(error) => panic!("{error:?}"),
            Say::Ended(ended) => {
                assert_eq!(ended.offset, self.offset, "the end comes after all bytes");
                self.story.end = ended.offset;
                self.story.exit = ended.exit;
                return Some(Part::Ended);
            }
            Say::Detached(_) => return Some(Part::Broken),
            _ => {}
        }
        None
    }

    fn acknowledge(&mut self, offset: u64) {
        assert!(offset <= self.story.typed.len() as u64 + 1, "more was taken than typed");
        self.acknowledged = self.acknowledged.max(offset);
        self.shared.acknowledged.store(self.acknowledged, Ordering::SeqCst);
    }

    fn lose(&mut self, to: u64) {
        assert!(self.head.is_none(), "a loss before the program was ready");
        self.story.lost += to - self.offset;
        self.offset = to;
        self.shared.offset.store(to, Ordering::SeqCst);
    }

    fn bytes(&mut self, offset: u64, data: &[u8]) {
        assert_eq!(offset, self.offset, "a hole or a double");
        self.offset += data.len() as u64;
        self.shared.offset.store(self.offset, Ordering::SeqCst);
        let mut at = offset;
        let mut fresh = data;
        if let Some(head) = &mut self.head {
            head.extend_from_slice(data);
            let Some(ready) = find_ready(head) else { return };
            self.story.base = ready as u64;
            at = self.story.base;
            fresh = &data[(at - offset) as usize..];
            self.head = None;
        }
        let known = printed(at - self.story.base, fresh.len());
        if fresh != known {
            let wrong = fresh.iter().zip(&known).position(|(left, right)| left != right).unwrap_or_default();
            let near =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[wrong..(wrong + 80).min(bytes.len())]).into_owned();
            panic!("at {}: came {:?}, was printed {:?}", at + wrong as u64, near(fresh), near(&known));
        }
        self.story.received += fresh.len() as u64;
    }

    // The next number, and whatever is not sent on this connection.
    async fn type_more(&mut self, wss: &mut Wss) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        if self.head.is_some() || !self.shared.typing.load(Ordering::SeqCst) {
            return Ok(());
        }
        if !self.stopped {
            self.stopped = self.shared.stop.load(Ordering::SeqCst);
            if !self.stopped {
                self.story.typed.extend_from_slice(format!("{:07}\n", self.number).as_bytes());
                self.number += 1;
            }
        }
        let mut rest = self.story.typed[(self.sent as usize).min(self.story.typed.len())..].to_vec();
        if self.stopped && self.sent <= self.story.typed.len() as u64 {
            rest.push(super::generator::STOP);
        }
        for piece in rest.chunks(16 * 1024) {
            let at = self.sent;
            self.sent += piece.len() as u64;
            wss.try_input(CHANNEL, at, piece).await?;
        }
        Ok(())
    }
}
