//! Follows one session until it ends or its user leaves, across broken connections. Knows no TLS and no keys.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message as Frame;

use futures_util::SinkExt;

use super::colors::{ASK, Colors};
use super::connect::{ConnectError, Connection, Dialler, Incoming, next, send};
use super::console::{Console, Happened, Stopped};
use super::follow::{Act, Again, Follow, Next};
use super::status::{FAILED, LOST};
use crate::base::{KEEPALIVE, Offset, SILENT};
use crate::gateway::numbered::NumberedInput;
use crate::gateway::ssh::{DetachKeys, Prefix, Scan};
use crate::gateway::verbs::{AttachVerb, From};
use crate::sys::terminal;
use crate::wire::BinaryFrame;
use crate::wire::v1::{self, ViewerMode, client_message::Body as Ask, server_message::Body};

/// First and last pause between attempts to come back.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A shorter break is not worth drawing over the screen.
const SAY_AFTER: Duration = Duration::from_secs(1);
/// A pipe's reader waits so long for a gateway, then it is told. A person decides alone.
const GIVE_UP: Duration = Duration::from_secs(300);
/// A socket that takes nothing for so long is broken.
const SEND: Duration = Duration::from_secs(30);
/// The host's queue is full: the program does not read. Typing waits.
const QUEUE_PAUSE: Duration = Duration::from_millis(200);
/// The gateway takes no more of this key for a moment. Typing waits.
const RATE_PAUSE: Duration = Duration::from_millis(1_000);
/// The only attachment of the connection.
const CHANNEL: u32 = 1;
/// Read the keyboard only while a whole read can be kept.
const ROOM: usize = 4096;

/// Why following stopped.
enum Stop {
    Status(u8),
    Error(ConnectError),
}

impl std::convert::From<Stopped> for Stop {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Signal(number) => Self::Status(128 + number),
            Stopped::OutputClosed => Self::Status(FAILED),
        }
    }
}

/// How a connection's part of following ended.
enum Part {
    Stop(Stop),
    // Connect again.
    Broken(String),
}

// What is typed, on its way to the session.
struct Typing {
    input: NumberedInput,
    // None: no key leaves; also without a terminal.
    keys: Option<DetachKeys>,
    // Only looking: nothing is sent.
    view: bool,
    // No more comes; once all of it was taken, others may write to a bare program.
    over: bool,
}

impl Typing {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut through = Vec::with_capacity(bytes.len());
        let scan = match &mut self.keys {
            Some(keys) => keys.push(bytes, &mut through),
            None => {
                through.extend_from_slice(bytes);
                Scan::Stay
            }
        };
        if !self.view {
            self.input.push(&through);
        }
        if scan == Scan::Stay { Ok(()) } else { Err(Stop::Status(0)) }
    }

    fn has_room(&self) -> bool {
        self.input.room() >= ROOM
    }
}

struct Attaching {
    verb: AttachVerb,
    dialler: Dialler,
    console: Console,
    follow: Follow,
    typing: Typing,
    writer: [u8; 16],
    // A bare program: events are its bytes.
    raw: bool,
    colors: Colors,
    // The terminal was asked for them.
    asked: bool,
    // Input is held back until then.
    hold_until: Option<Instant>,
}

/// Attaches and stays. The result is the exit status: the agent's, 74 when output was lost, 128 and the number of a
/// signal, 0 when the user left.
pub(crate) async fn attach(
    verb: AttachVerb,
    raw: bool,
    connection: Connection,
    dialler: Dialler,
) -> Result<u8, ConnectError> {
    let console = Console::open().map_err(|error| ConnectError::Refused(format!("the terminal: {error}")))?;
    let follow = Follow::new(!console.is_terminal(), verb.from == From::Start);
    let prefix = Prefix::of(dialler.target.detach).filter(|_| console.is_terminal());
    let keys = prefix.map(DetachKeys::new);
    let typing = Typing { input: NumberedInput::default(), keys, view: verb.view, over: false };
    let (writer, colors) = (crate::gateway::random(), Colors::default());
    let mut attaching =
        Attaching { verb, dialler, console, follow, typing, writer, raw, colors, asked: false, hold_until: None };
    let stop = attaching.run(connection).await;
    let status = match stop {
        Stop::Status(status) => Ok(status),
        Stop::Error(error) => Err(error),
    };
    let drained = attaching.console.drain().await;
    let terminal = attaching.console.is_terminal();
    drop(attaching.console);
    if terminal && let Ok(status) = &status {
        let name = &attaching.verb.session;
        match attaching.follow.ended() {
            Some(_) => eprintln!("[portcullis: session {name} has ended with status {status}]"),
            None => eprintln!("[portcullis: left session {name}; it goes on]"),
        }
    }
    match drained {
        Err(Stopped::Signal(number)) => Ok(128 + number),
        _ => status,
    }
}

impl Attaching {
    async fn run(&mut self, first: Connection) -> Stop {
        let mut connection = Some(first);
        loop {
            let part = match connection.take() {
                Some(mut connection) => self.follow_on(&mut connection).await,
                None => Part::Broken(String::new()),
            };
            let why = match part {
                Part::Stop(stop) => return stop,
                Part::Broken(why) => why,
            };
            match self.come_back(&why).await {
                Ok(again) => connection = Some(again),
                Err(stop) => return stop,
            }
        }
    }

    // Attaches on this connection and follows until it breaks or all is over.
    async fn follow_on(&mut self, connection: &mut Connection) -> Part {
        loop {
            let id = connection.take_id();
            if let Err(why) = send(&mut connection.socket, id, Ask::Attach(self.request())).await {
                return Part::Broken(why);
            }
            match self.follow_attached(connection, id).await {
                // What ended this attachment may last a moment.
                Ok(Next::Attach | Next::Stay) => sleep(PAUSE.0).await,
                Ok(Next::Over(status)) => return Part::Stop(Stop::Status(status)),
                Err(part) => return part,
            }
        }
    }

    fn request(&self) -> v1::Attach {
        let terminal = self.console.is_terminal();
        let cursor = self.follow.cursor();
        let fresh = self.follow.session().is_none();
        let from = if fresh { self.verb.from } else { From::Live };
        v1::Attach {
            session: self.follow.session().unwrap_or(self.verb.session.as_str()).to_owned(),
            channel: CHANNEL,
            mode: match (self.raw, terminal) {
                (true, _) => ViewerMode::Events,
                (false, true) => ViewerMode::Fitted,
                (false, false) => ViewerMode::Exact,
            }
            .into(),
            size: terminal.then(window),
            view: self.verb.view,
            cursor: match from {
                From::Offset(offset) => Some(v1::Cursor { log_id: String::new(), offset }),
                From::Start | From::Live => cursor,
            },
            writer: bytes::Bytes::copy_from_slice(&self.writer),
            from_start: from == From::Start,
            appearance: terminal.then(|| self.appearance()),
            ..v1::Attach::default()
        }
    }

    fn appearance(&self) -> v1::Appearance {
        let (width, height) = terminal::window_pixels();
        v1::Appearance {
            foreground: self.colors.foreground.clone(),
            background: self.colors.background.clone(),
            width: width.into(),
            height: height.into(),
            ..v1::Appearance::default()
        }
    }

    // Once: the answers come as if they were typed.
    async fn ask_colors(&mut self) -> Result<(), Part> {
        if std::mem::replace(&mut self.asked, true) || !self.console.is_terminal() {
            return Ok(());
        }
        self.console.write(bytes::Bytes::from_static(ASK)).await.map_err(|stopped| Part::Stop(stopped.into()))
    }

    async fn follow_attached(&mut self, connection: &mut Connection, id: u64) -> Result<Next, Part> {
        let mut heard = Instant::now();
        let mut ping = heard + KEEPALIVE;
        let mut attached = false;
        loop {
            if attached {
                self.send_input(connection).await?;
            }
            let room = self.typing.input.room() >= ROOM;
            let pause = self.hold_until.unwrap_or(ping).min(ping);
            tokio::select! {
                incoming = next(&mut connection.socket) => {
                    heard = Instant::now();
                    let incoming = incoming.map_err(|gone| self.gone(&gone))?;
                    let act = match incoming {
                        Incoming::Alive => continue,
                        Incoming::Bytes(frame) => self.follow.bytes(frame.offset.0, frame.data),
                        Incoming::Message(message) if message.id == id && !attached => {
                            attached = true;
                            let act = self.answered(message.body)?;
                            self.ask_colors().await?;
                            act
                        }
                        Incoming::Message(message) => message.body.map(|body| self.follow.message(body)).unwrap_or_default(),
                    };
                    match self.act(act).await.map_err(|stopped| Part::Stop(stopped.into()))? {
                        Next::Stay => {}
                        other => return Ok(other),
                    }
                }
                happened = self.console.happened(room) => self.happened(connection, happened).await?,
                () = sleep_until(pause) => {
                    let now = Instant::now();
                    if self.hold_until.is_some_and(|until| until <= now) {
                        self.hold_until = None;
                    }
                    if now.duration_since(heard) >= SILENT {
                        return Err(Part::Broken("the gateway is silent".into()));
                    }
                    if now >= ping {
                        ping = now + KEEPALIVE;
                        feed(connection, Frame::Ping(bytes::Bytes::new())).await?;
                    }
                }
            }
        }
    }

    // The answer to the attach.
    fn answered(&mut self, body: Option<Body>) -> Result<Act, Part> {
        match body {
            Some(Body::Attached(attached)) => {
                self.typing.input.again_from(attached.input_offset);
                Ok(self.follow.attached(&attached))
            }
            Some(Body::Error(error)) if error.retryable || error.code == "host-gone" => {
                Err(Part::Broken(error.message))
            }
            Some(Body::Error(error)) => Err(Part::Stop(Stop::Error(ConnectError::Answer(Box::new(error))))),
            _ => Err(Part::Broken("another answer to the attach".into())),
        }
    }

    async fn act(&mut self, act: Act) -> Result<Next, Stopped> {
        if let Some(bytes) = act.write {
            self.console.write(bytes).await?;
        }
        if let Some(taken) = act.taken {
            self.typing.input.taken(taken);
        }
        match act.again {
            None => {}
            Some(Again::From(offset)) => self.typing.input.again_from(offset),
            Some(Again::Full(offset)) => {
                self.typing.input.again_from(offset);
                self.hold_until = Some(Instant::now() + QUEUE_PAUSE);
            }
            Some(Again::Later(offset)) => {
                self.typing.input.unsent(offset);
                self.hold_until = Some(Instant::now() + RATE_PAUSE);
            }
        }
        if let Some(line) = act.error {
            eprintln!("{line}");
        }
        if let Some(note) = act.note {
            self.console.notice(&crate::base::printable(&note, 300)).await?;
        }
        Ok(act.then)
    }

    async fn happened(&mut self, connection: &mut Connection, happened: Happened) -> Result<(), Part> {
        match happened {
            Happened::Typed(bytes) => {
                if self.colors.hear(&bytes) {
                    self.resize(connection).await?;
                }
                self.typing.take(&bytes).map_err(Part::Stop)
            }
            Happened::Over => {
                self.typing.over = true;
                Ok(())
            }
            Happened::Signal(number) => Err(Part::Stop(Stop::Status(128 + number))),
            Happened::Resized(_) if !self.console.is_terminal() => Ok(()),
            Happened::Resized(_) => self.resize(connection).await,
        }
    }

    async fn resize(&mut self, connection: &mut Connection) -> Result<(), Part> {
        let id = connection.take_id();
        let appearance = Some(self.appearance());
        let resize = v1::Resize { channel: CHANNEL, size: Some(window()), hidden: false, appearance };
        send(&mut connection.socket, id, Ask::Resize(resize)).await.map_err(Part::Broken)
    }

    async fn send_input(&mut self, connection: &mut Connection) -> Result<(), Part> {
        if self.hold_until.is_some() {
            return Ok(());
        }
        while let Some((offset, bytes)) = self.typing.input.next() {
            feed(connection, Frame::Binary(BinaryFrame::encode(CHANNEL, Offset(offset), &bytes))).await?;
        }
        if self.raw && self.typing.over && self.typing.input.is_empty() {
            // Once; a later connection holds nothing before it writes.
            self.typing.over = false;
            let release = Ask::ReleaseInput(v1::ReleaseInput { channel: CHANNEL });
            let id = connection.take_id();
            send(&mut connection.socket, id, release).await.map_err(Part::Broken)?;
        }
        Ok(())
    }

    fn gone(&self, gone: &super::connect::Gone) -> Part {
        let error = self.dialler.gone(gone);
        if error.may_pass() { Part::Broken(gone.why.clone()) } else { Part::Stop(Stop::Error(error)) }
    }

    // Tries until it works. What is typed meanwhile is kept; leaving works.
    async fn come_back(&mut self, why: &str) -> Result<Connection, Stop> {
        let began = Instant::now();
        let mut pause = PAUSE.0;
        let mut said = false;
        let mut reason = why.to_owned();
        loop {
            if !said && (began.elapsed() >= SAY_AFTER || !self.console.is_terminal()) {
                said = true;
                self.console.notice(&format!("connection lost ({reason}); coming back …")).await?;
            }
            if !self.console.is_terminal() && began.elapsed() >= GIVE_UP {
                self.console.notice(&format!("the gateway did not come back within {} s", GIVE_UP.as_secs())).await?;
                return Err(Stop::Status(LOST));
            }
            match self.one_attempt(pause).await? {
                Ok(connection) => {
                    if said {
                        // The notice stands on the screen: a repaint takes it away.
                        self.follow.forget_cursor();
                    }
                    return Ok(connection);
                }
                Err(error) if error.may_pass() => reason = error.to_string(),
                Err(error) => return Err(Stop::Error(error)),
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn one_attempt(&mut self, pause: Duration) -> Result<Result<Connection, ConnectError>, Stop> {
        let Self { dialler, console, typing, .. } = self;
        let mut attempt = std::pin::pin!(async {
            sleep(pause).await;
            dialler.connect().await
        });
        loop {
            tokio::select! {
                result = &mut attempt => return Ok(result),
                happened = console.happened(typing.has_room()) => match happened {
                    Happened::Signal(number) => return Err(Stop::Status(128 + number)),
                    Happened::Typed(bytes) => typing.take(&bytes)?,
                    Happened::Over => typing.over = true,
                    // The next attach says the size.
                    Happened::Resized(_) => {}
                },
            }
        }
    }
}

async fn feed(connection: &mut Connection, frame: Frame) -> Result<(), Part> {
    match tokio::time::timeout(SEND, connection.socket.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Part::Broken(error.to_string())),
        Err(_) => Err(Part::Broken("the gateway takes nothing".into())),
    }
}

fn window() -> v1::Size {
    let size = terminal::window_size();
    v1::Size { cols: size.cols().into(), rows: size.rows().into() }
}
