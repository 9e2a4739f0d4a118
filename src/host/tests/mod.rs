//! The whole host with a real terminal, a real program and a real socket; only the process is shared with the test.

mod hooks;
mod session;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use prost::Message;

use super::core::Core;
use super::event_loop::{EventLoop, Outside};
use super::terminal::Terminal;
use crate::base::{LogId, WinSize};
use crate::sys::credentials::current_uid;
use crate::sys::process::Process;
use crate::sys::pty;
use crate::sys::pty_master::PtyMaster;
use crate::sys::stream::StreamListener;
use crate::wire::v1::{ForgetHost, Launch, LinkHello, Live, Read, Session, ToGateway, ToHost, to_gateway, to_host};
use crate::wire::{Frame, LinkDecoder, encode_control_to_host};

fn launch() -> Launch {
    Launch { session: Some(Session { name: "s".into(), ..Session::default() }), ..Launch::default() }
}

/// A wait that lasts so long is a failure, however slow the machine.
const HANG: Duration = Duration::from_secs(120);

fn hello() -> to_host::Body {
    to_host::Body::Hello(LinkHello { version_min: 1, version_max: 1, software: "test".into() })
}

/// A host on its own thread, with what a launch would have prepared.
struct Host {
    dir: PathBuf,
    thread: JoinHandle<std::io::Result<()>>,
}

/// A host before its thread runs; connections wait.
struct Prepared {
    dir: PathBuf,
    outside: Outside,
    pty: PtyMaster,
}

/// A gateway's end of the link.
struct Gateway {
    stream: UnixStream,
    decoder: LinkDecoder,
    /// The log from its first byte on, as far as it came.
    seen: Vec<u8>,
}

impl Host {
    /// A host whose agent is a shell script.
    fn start(script: &str, ring: usize) -> Self {
        Self::start_as(script, ring, current_uid(), None)
    }

    fn start_as(script: &str, ring: usize, gateway_uid: u32, exec_error: Option<File>) -> Self {
        Prepared::new(script, gateway_uid, exec_error).run(ring)
    }

    fn connect(&self) -> UnixStream {
        connect(&self.dir)
    }

    /// A gateway that has said hello, and the session as the host described it.
    fn link(&self) -> (Gateway, Session) {
        Gateway::greet(self.connect())
    }

    /// The same, with all output so far and what comes.
    fn follow(&self, seen: Vec<u8>) -> Gateway {
        let (mut gateway, _) = self.link();
        gateway.seen = seen;
        gateway.catch_up();
        gateway
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(name)).unwrap()
    }

    /// Forgets the ended session; the host must end.
    fn forget(self, gateway: &mut Gateway) {
        gateway.say(to_host::Body::Forget(ForgetHost {}));
        self.thread.join().unwrap().unwrap();
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Prepared {
    #[expect(clippy::zombie_processes, reason = "the host reaps it")]
    fn new(script: &str, gateway_uid: u32, exec_error: Option<File>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("portcullis-host-{}-{count}", std::process::id()));
        // What an earlier process of the same number left when it failed.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let listen = |name: &str| StreamListener::new(UnixListener::bind(dir.join(name)).unwrap().into()).unwrap();
        let pair = pty::open(WinSize::DEFAULT).unwrap();
        let terminal = || Stdio::from(pair.terminal.try_clone().unwrap());
        // A session of its own with the terminal as controlling terminal, as the launch makes it.
        let agent = Command::new("setsid")
            .args(["--ctty", "/bin/sh", "-c", script])
            .current_dir(&dir)
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal())
            .spawn()
            .unwrap();
        drop(pair.terminal);
        let outside = Outside {
            listener: listen("link"),
            hooks: Some(listen("hook")),
            agent: Some(Process::open(agent.id() as i32).unwrap()),
            exec_error,
            signals: None,
            gateway_uid,
            account_uid: current_uid(),
        };
        Self { dir, outside, pty: PtyMaster::new(pair.master).unwrap() }
    }

    fn run(self, ring: usize) -> Host {
        self.run_launch(launch(), ring)
    }

    fn run_launch(self, launch: Launch, ring: usize) -> Host {
        let Self { dir, outside, pty } = self;
        let thread = std::thread::spawn(move || {
            let core = Core::new(launch, LogId::from_bytes([1; 16]), ring);
            EventLoop::new(Terminal::new(core, pty), outside).run()
        });
        Host { dir, thread }
    }
}

fn connect(dir: &Path) -> UnixStream {
    let stream = UnixStream::connect(dir.join("link")).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream
}

impl Gateway {
    fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: LinkDecoder::default(), seen: Vec::new() }
    }

    /// Says hello on a new connection.
    fn greet(stream: UnixStream) -> (Self, Session) {
        let mut gateway = Self::new(stream);
        gateway.say(hello());
        let hello = gateway.wait(|body| if let to_gateway::Body::Hello(hello) = body { Some(hello) } else { None });
        (gateway, hello.session.unwrap())
    }

    fn say(&mut self, body: to_host::Body) {
        self.say_all([body]);
    }

    /// Several messages in one write.
    fn say_all(&mut self, bodies: impl IntoIterator<Item = to_host::Body>) {
        let mut out = BytesMut::new();
        for body in bodies {
            encode_control_to_host(&mut out, &ToHost { body: Some(body) });
        }
        self.stream.write_all(&out).unwrap();
    }

    /// Live output from the head on, and what is missing before it by a read: they must meet.
    fn catch_up(&mut self) {
        // In one write: between two the log may grow, and then they overlap.
        let read = Read { request: 1, from: self.seen.len() as u64, to: u64::MAX };
        self.say_all([to_host::Body::Live(Live { on: true }), to_host::Body::Read(read)]);
        let mut ahead = Vec::new();
        loop {
            match self.frame().expect("the host closed the link") {
                Frame::Output(offset, bytes) => ahead.push((offset.0, bytes)),
                Frame::Control(message) => {
                    let body = ToGateway::decode(message).unwrap().body;
                    let Some(to_gateway::Body::Data(data)) = body else { continue };
                    assert_eq!((data.lost_from, data.lost_to), (0, 0));
                    self.take(data.offset, &data.data);
                    if !data.more {
                        break;
                    }
                }
                _ => {}
            }
        }
        for (offset, bytes) in ahead {
            self.take(offset, &bytes);
        }
    }

    fn take(&mut self, offset: u64, bytes: &[u8]) {
        assert_eq!(offset, self.seen.len() as u64, "a hole that nobody told");
        self.seen.extend_from_slice(bytes);
    }

    /// The next frame; none when the host closed the link.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let mut space = [0; 65536];
            match self.stream.read(&mut space) {
                Ok(0) => return None,
                Ok(length) => self.decoder.buffer().extend_from_slice(&space[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the host was silent: {error}"),
            }
        }
    }

    /// Skips to the first control message that is wanted.
    fn wait<T>(&mut self, wanted: impl Fn(to_gateway::Body) -> Option<T>) -> T {
        loop {
            if let Frame::Control(message) = self.frame().expect("the host closed the link")
                && let Some(found) = ToGateway::decode(message).unwrap().body.and_then(&wanted)
            {
                return found;
            }
        }
    }

    /// Output until it contains `mark`.
    fn until(&mut self, mark: &[u8]) {
        while !self.seen.windows(mark.len()).any(|window| window == mark) {
            if let Frame::Output(offset, bytes) = self.frame().expect("the host closed the link") {
                self.take(offset.0, &bytes);
            }
        }
    }
}
