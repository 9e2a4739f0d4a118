//! One viewer of fifty stops reading its socket: the others, the agent and the memory of gateway and host do not notice.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::base::WinSize;
use portcullis::screen::Screen;
use portcullis::wire::v1::{self, ViewerMode, client_message::Body as Ask, server_message::Body as Say};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use crate::support::client::{Heard, Wss};
use crate::support::generator::{Generator, READY, STOP, Totals, knob};
use crate::support::place::{Endpoints, Mode, Place, status_line};
use crate::support::{HANG, soon};

const VIEWERS: usize = 49;
/// MiB a second of the paced run.
const RATE: u64 = 2;
/// What one stalled viewer may cost gateway and host together, in KiB.
const COST: u64 = 4 * 1024;
/// The newest output that a viewer keeps for its screen. The stream is plain lines: what lies further back has left the
/// screen.
const TAIL: usize = 256 * 1024;
const SIZE: WinSize = WinSize::DEFAULT;

/// What a viewer has seen of the present run.
#[derive(Debug, Default)]
struct Seen {
    offset: u64,
    // Bytes before READY.
    hunting: Option<Vec<u8>>,
    base: Option<u64>,
    hash: Sha256,
    repaints: u64,
    // What paints its screen.
    tail: Vec<u8>,
    // Why it sees no more.
    closed: Option<String>,
}

impl Seen {
    fn hunt(&mut self) {
        *self = Self { offset: self.offset, hunting: Some(Vec::new()), closed: self.closed.take(), ..Self::default() };
    }

    fn bytes(&mut self, offset: u64, data: &[u8]) {
        assert_eq!(offset, self.offset, "a hole or a double");
        self.offset += data.len() as u64;
        self.tail.extend_from_slice(data);
        if self.tail.len() > 2 * TAIL {
            let line = self.tail[self.tail.len() - TAIL..].iter().position(|byte| *byte == b'\n').unwrap();
            self.tail.drain(..self.tail.len() - TAIL + line + 1);
        }
        if self.base.is_some() {
            self.hash.update(data);
        }
        let Some(hunting) = &mut self.hunting else { return };
        hunting.extend_from_slice(data);
        if hunting.windows(READY.len()).any(|window| window == READY) {
            // The program waits: nothing follows before it is told to go.
            assert!(hunting.ends_with(READY));
            (self.hunting, self.base) = (None, Some(self.offset));
        }
    }

    fn snapshot(&mut self, snapshot: &v1::Snapshot) {
        if snapshot.offset > self.offset {
            self.repaints += 1;
            self.offset = snapshot.offset;
            self.tail.clear();
        }
        self.tail.extend_from_slice(&snapshot.data);
    }

    fn screen(&self) -> String {
        let mut screen = Screen::new(SIZE);
        screen.feed_all(&self.tail);
        screen.text()
    }

    fn digest(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A place with a shell called main and its viewers.
struct Ground {
    place: Place,
    endpoints: Endpoints,
    // Types without looking.
    driver: Wss,
    seen: Vec<Arc<Mutex<Seen>>>,
    runs: u32,
}

/// What a run came to.
struct Ran {
    totals: Totals,
    /// Most memory of gateway and host together, in KiB.
    peak: u64,
    /// Of what each viewer got.
    digests: Vec<String>,
    /// Repaints instead of bytes, of all viewers.
    repaints: u64,
}

impl Ran {
    /// Every viewer got every byte that the program printed, by its own hash.
    fn is_whole(&self) {
        assert_eq!(self.repaints, 0, "a viewer that reads was left behind");
        let wrong = self.digests.iter().filter(|digest| **digest != self.totals.sha256).count();
        assert_eq!((wrong, self.digests.len()), (0, VIEWERS), "{:?}", self.totals);
    }
}

impl Ground {
    async fn new() -> Self {
        let mut place = Place::new(Mode::Root);
        for (name, value) in [("LOGINS", "6000/m"), ("CONNECTIONS", "1000/s")] {
            place.environment.push((format!("PORTCULLIS_LIMITS__{name}"), value.into()));
        }
        let endpoints = place.serve();
        let mut driver = Wss::login(&place).await;
        driver.start("shell", "main").await;
        let mut seen = Vec::new();
        for _ in 0..VIEWERS {
            let mut wss = Wss::login(&place).await;
            let attached = wss.attach(attach(ViewerMode::Raw)).await;
            assert_eq!(attached.size, Some(v1::Size { cols: SIZE.cols().into(), rows: SIZE.rows().into() }));
            let shared = Arc::new(Mutex::new(Seen { offset: attached.offset, ..Seen::default() }));
            tokio::spawn(watch(wss, Arc::clone(&shared)));
            seen.push(shared);
        }
        Self { place, endpoints, driver, seen, runs: 0 }
    }

    async fn send(&mut self, text: &str, no_enter: bool) {
        let send = v1::Send { session: "main".into(), text: text.into(), no_enter };
        let said = self.driver.ask(Ask::Send(send)).await;
        assert!(matches!(said, Say::Done(_)), "{said:?}");
    }

    /// The program prints `mib` MiB; everybody sees all of it, or its end.
    async fn run(&mut self, rate: u64, mib: u64, stalled: Option<&Stalled>) -> Ran {
        self.runs += 1;
        let generator = Generator::new(&self.place, self.runs);
        for seen in &self.seen {
            seen.lock().unwrap().hunt();
        }
        let line = generator.line(rate, mib);
        self.send(&line, false).await;
        self.all("ready", |seen| seen.base.is_some()).await;
        let pids = [self.place.gateway_pid(), self.place.host_pids()[0]];
        pids.iter().for_each(|pid| std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap());
        self.send("g", true).await;
        let base = self.seen[0].lock().unwrap().base.unwrap();
        if let Some(stalled) = stalled {
            soon("the stalled viewer's window is shut", || stalled.is_shut().then_some(())).await;
        }
        let end = base + (mib << 20);
        self.all("at the end", |seen| seen.offset >= end).await;
        let peak = pids.iter().map(|pid| kib(*pid, "VmHWM")).sum();
        self.nothing_was_held(end).await;
        for seen in &self.seen {
            let seen = seen.lock().unwrap();
            assert_eq!((seen.base, seen.offset), (Some(base), end));
        }
        let digests: Vec<String> = self.seen.iter().map(|seen| seen.lock().unwrap().digest()).collect();
        let screens: Vec<String> = self.seen.iter().map(|seen| seen.lock().unwrap().screen()).collect();
        let last = (mib << 20) / 64 - 1;
        assert!(screens[0].contains(&format!("r{last:015} ")), "{}", screens[0]);
        for screen in &screens {
            assert_eq!(screen, &screens[0]);
        }
        let shown = self.place.verb(&["show", "main"]);
        assert_eq!(shown.trim_end(), screens[0].trim_end());
        let repaints: u64 = self.seen.iter().map(|seen| seen.lock().unwrap().repaints).sum();
        self.send(std::str::from_utf8(&[STOP]).unwrap(), true).await;
        let ran = Ran { totals: generator.totals(), peak, digests, repaints };
        let stalled = stalled.map(|stalled| stalled.mode);
        eprintln!(
            "{mib} MiB, stalled {stalled:?}: {:.2} s, peak {} KiB, {} repaints",
            ran.totals.seconds, ran.peak, ran.repaints
        );
        ran
    }

    /// Waits for every viewer, as long as any of them moves.
    async fn all(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        let (mut moved, mut before) = (Instant::now(), 0);
        loop {
            let seen: Vec<_> = self.seen.iter().map(|seen| seen.lock().unwrap()).collect();
            let closed = seen.iter().find_map(|seen| seen.closed.as_ref());
            assert_eq!(closed, None, "a viewer was sent away before all were {what}");
            let missing = seen.iter().filter(|seen| !is(seen)).count();
            let sum = seen.iter().map(|seen| seen.offset).fold(0, u64::wrapping_add);
            drop(seen);
            if missing == 0 {
                return;
            }
            if sum != before {
                (moved, before) = (Instant::now(), sum);
            }
            assert!(moved.elapsed() < HANG, "{missing} viewers are not {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The host's own count, once it has reported this much of its log.
    async fn nothing_was_held(&self, head: u64) {
        let deadline = Instant::now() + HANG;
        loop {
            let metrics = metrics(&self.endpoints.admin).await;
            if gauge(&metrics, "portcullis_log_bytes") >= head {
                assert_eq!(gauge(&metrics, "portcullis_held"), 0, "the agent was held back");
                return;
            }
            assert!(Instant::now() < deadline, "the host reported nothing: {metrics}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn attach(mode: ViewerMode) -> v1::Attach {
    v1::Attach { session: "main".into(), channel: 1, mode: mode.into(), ..Default::default() }
}

async fn watch(mut wss: Wss, seen: Arc<Mutex<Seen>>) {
    loop {
        match wss.next().await {
            Heard::Bytes(frame) => seen.lock().unwrap().bytes(frame.offset.0, &frame.data),
            Heard::Said(_, Say::Snapshot(snapshot)) => seen.lock().unwrap().snapshot(&snapshot),
            over @ (Heard::Said(_, Say::Detached(_)) | Heard::Closed(_)) => {
                seen.lock().unwrap().closed = Some(format!("{over:?}"));
                return;
            }
            Heard::Said(..) => {}
        }
    }
}

/// A viewer that has attached and then reads nothing.
struct Stalled {
    _wss: Wss,
    mode: ViewerMode,
    own: SocketAddr,
    gateway: SocketAddr,
}

impl Stalled {
    async fn new(ground: &Ground, mode: ViewerMode) -> Self {
        let at = &ground.endpoints;
        let gateway: SocketAddr = at.https.parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        // The kernel's least: the window shuts after a few frames.
        socket.set_recv_buffer_size(1024).unwrap();
        let tcp = socket.connect(gateway).await.unwrap();
        let own = tcp.local_addr().unwrap();
        let mut wss = Wss::try_login_on(tcp, &at.https, &at.client_key, &at.account).await.unwrap();
        wss.attach(attach(mode)).await;
        Self { _wss: wss, mode, own, gateway }
    }

    /// Whether bytes for it wait in the gateway's socket, and none can leave.
    fn is_shut(&self) -> bool {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let name = |address: SocketAddr| {
            let SocketAddr::V4(v4) = address else { panic!("{address}") };
            format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port())
        };
        let (local, remote) = (name(self.gateway), name(self.own));
        table.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let queued = |words: &[&str]| u64::from_str_radix(words[4].split(':').next().unwrap(), 16).unwrap();
            // Timer 4 is the probe of a shut window.
            words.len() > 5
                && words[1] == local
                && words[2] == remote
                && queued(&words) > 0
                && words[5].starts_with("04:")
        })
    }
}

async fn metrics(admin: &str) -> String {
    let mut tcp = TcpStream::connect(admin).await.unwrap();
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    tcp.write_all(ask.as_bytes()).await.unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).await.unwrap();
    text
}

fn gauge(metrics: &str, name: &str) -> u64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

fn kib(pid: u32, name: &str) -> u64 {
    status_line(pid, name).trim_end_matches(" kB").parse().unwrap()
}

fn costs_little(what: &str, with: &Ran, without: &Ran) {
    assert!(
        with.peak <= without.peak + COST,
        "{what}: {} KiB with a stalled viewer, {} KiB without",
        with.peak,
        without.peak
    );
}

#[tokio::test]
async fn a_stalled_viewer_costs_the_others_nothing_of_a_paced_stream() {
    let mib = knob("PORTCULLIS_STALL_MIB", 16);
    let mut ground = Ground::new().await;
    let alone = ground.run(RATE, mib, None).await;
    alone.is_whole();
    for mode in [ViewerMode::Raw, ViewerMode::Exact] {
        let stalled = Stalled::new(&ground, mode).await;
        let ran = ground.run(RATE, mib, Some(&stalled)).await;
        ran.is_whole();
        costs_little("paced", &ran, &alone);
    }
}

#[tokio::test]
async fn a_stalled_viewer_costs_nothing_when_output_floods() {
    let mib = knob("PORTCULLIS_FLOOD_MIB", 64);
    let mut ground = Ground::new().await;
    let alone = ground.run(0, mib, None).await;
    for mode in [ViewerMode::Raw, ViewerMode::Exact] {
        let stalled = Stalled::new(&ground, mode).await;
        let ran = ground.run(0, mib, Some(&stalled)).await;
        costs_little("flood", &ran, &alone);
    }
}
