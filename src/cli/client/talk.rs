//! `attach` of a structured session: a line terminal on the caller's own, across broken connections. Knows no TLS.

use std::time::Instant;

use tokio::time::sleep_until;

use super::connect::{ConnectError, Connection, Dialler, send};
use super::console::{Console, Happened, Stopped};
use super::feed::{Fed, Feed, Heard};
use super::status::{self, AGAIN, FAILED};
use crate::base::SessionId;
use crate::gateway::lines::{CONTEXT, LineTerminal, Setup, Wish};
use crate::gateway::ssh::{DetachKeys, Prefix, Scan};
use crate::gateway::verbs::From;
use crate::sys::terminal;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_request::Request;
use crate::wire::v1::{self, client_message::Body as Ask};

/// Commands without an answer yet: more than a person presses keys meanwhile.
const UNDERWAY: usize = 16;

/// A whole event as JSON: the longest input (1 MiB), its command and the agent's line, with all that may be escaped in them.
const WHOLE: usize = 16 << 20;

/// Why it stopped.
enum Stop {
    Left,
    Ended(v1::Exit),
    Over(String),
    Signal(u8),
    OutputClosed,
    Error(ConnectError),
}

impl std::convert::From<Stopped> for Stop {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Signal(number) => Self::Signal(number),
            Stopped::OutputClosed => Self::OutputClosed,
        }
    }
}

impl std::convert::From<ConnectError> for Stop {
    fn from(error: ConnectError) -> Self {
        Self::Error(error)
    }
}

/// Attaches and stays; the exit status is the agent's, or says why it is not.
pub(super) async fn talk(
    session: v1::Session,
    view: bool,
    mut connection: Connection,
    dialler: Dialler,
) -> Result<u8, ConnectError> {
    let prefix = Prefix::of(dialler.target.detach);
    let mut feed = Feed::new(session.session_id.clone(), false, dialler);
    (feed.view, feed.history) = (view, CONTEXT);
    let attached = feed.attach(&mut connection, From::Live).await?;
    let console = Console::open_lines().map_err(|error| ConnectError::Refused(format!("the terminal: {error}")))?;
    let mut lines = LineTerminal::new(Setup {
        name: session.name.clone(),
        size: terminal::window_size(),
        drives: attached.role != "view",
        may_approve: connection.ready.approve,
        leave: prefix.map(|prefix| format!("{prefix} d")).unwrap_or_default(),
        prompts: SessionId::from_bytes(crate::gateway::random()).to_string(),
    });
    lines.attached(&attached);
    let keys = prefix.map(DetachKeys::new);
    let mut talk = Talk { session: session.session_id, feed, console, lines, keys, underway: Vec::new(), fetch: None };
    let stop = match talk.run(&mut connection).await {
        Ok(stop) | Err(stop) => stop,
    };
    // A terminal that takes nothing any more is left as it is.
    let _ = talk.console.write(talk.lines.leave().into()).await;
    let _ = talk.console.drain().await;
    drop(talk.console);
    let name = session.name;
    Ok(match stop {
        Stop::Left => {
            eprintln!("[portcullis: left session {name}; it goes on]");
            0
        }
        Stop::Ended(exit) => {
            let status = status::of_exit(&exit);
            if let Some(v1::exit::How::NotStarted(why)) = &exit.how {
                eprintln!("portcullis: the agent could not be started: {}", crate::base::printable(why, 400));
            }
            eprintln!("[portcullis: session {name} has ended with status {status}]");
            status
        }
        Stop::Over(why) => {
            eprintln!("portcullis: detached: {why}");
            AGAIN
        }
        Stop::Signal(number) => 128 + number,
        Stop::OutputClosed => FAILED,
        Stop::Error(error) => return Err(error),
    })
}

struct Talk {
    session: String,
    feed: Feed,
    console: Console,
    lines: LineTerminal,
    /// None: no keys leave.
    keys: Option<DetachKeys>,
    /// Questions without an answer yet, by their numbers.
    underway: Vec<(u64, Command)>,
    fetch: Option<Fetch>,
}

/// An event that is being fetched whole.
struct Fetch {
    /// The question.
    id: u64,
    number: u64,
    json: Vec<u8>,
}

impl Talk {
    async fn run(&mut self, connection: &mut Connection) -> Result<Stop, Stop> {
        loop {
            self.paint().await?;
            self.fetch(connection).await;
            let due = self.lines.due();
            tokio::select! {
                biased;
                happened = self.console.happened(true) => {
                    for command in typed(happened, &mut self.lines, &mut self.keys)? {
                        self.ask(connection, command).await;
                    }
                }
                () = until(due) => self.lines.tick(Instant::now()),
                heard = self.feed.hear(connection) => match heard? {
                    Heard::Fed(fed) => if let Some(stop) = self.fed(fed) {
                        return Ok(stop);
                    },
                    Heard::Answer(id, error) => self.answered(id, error),
                    Heard::Piece(id, piece) => self.piece(id, &piece),
                    Heard::Broken(error) => self.come_back(connection, error).await?,
                },
            }
        }
    }

    async fn paint(&mut self) -> Result<(), Stop> {
        let picture = self.lines.paint();
        if !picture.is_empty() {
            self.console.write(picture.into()).await?;
        }
        self.lines.painted(Instant::now());
        Ok(())
    }

    fn fed(&mut self, fed: Fed) -> Option<Stop> {
        match fed {
            Fed::Event(number, event) => self.lines.event(number, &event),
            Fed::Lost(count) => self.lines.remark(&format!("{count} events are gone")),
            Fed::Ended(exit) => return Some(Stop::Ended(exit)),
            Fed::Over(why) => return Some(Stop::Over(why)),
        }
        None
    }

    fn answered(&mut self, id: u64, error: Option<Box<v1::Error>>) {
        if self.fetch.as_ref().is_some_and(|fetch| fetch.id == id) {
            return self.fetched(Err(error.map_or_else(|| "no event came".to_owned(), |error| error.message)));
        }
        let Some(place) = self.underway.iter().position(|(asked, _)| *asked == id) else { return };
        let (_, command) = self.underway.remove(place);
        if let Some(error) = error {
            self.lines.refused(&command, &error.message);
        }
    }

    fn piece(&mut self, id: u64, piece: &v1::EventPiece) {
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.id == id) else { return };
        if fetch.json.len() + piece.data.len() > WHOLE {
            return self.fetched(Err(format!("it is longer than {WHOLE} bytes")));
        }
        fetch.json.extend_from_slice(&piece.data);
        if !piece.more {
            let event = serde_json::from_slice(&fetch.json);
            self.fetched(event.map_err(|error| format!("what came is no event: {error}")));
        }
    }

    fn fetched(&mut self, event: Result<v1::AgentEvent, String>) {
        if let Some(fetch) = self.fetch.take() {
            self.lines.fetched(fetch.number, event);
        }
    }

    /// The rest of what somebody has to see whole.
    async fn fetch(&mut self, connection: &mut Connection) {
        if self.fetch.is_none()
            && let Some(number) = self.lines.wanted()
        {
            let id = self.send(connection, Request::FetchEvent(number)).await;
            self.fetch = Some(Fetch { id, number, json: Vec::new() });
        }
    }

    async fn ask(&mut self, connection: &mut Connection, command: Command) {
        if self.underway.len() >= UNDERWAY {
            return self.lines.refused(&command, "the gateway is slow; try again in a moment");
        }
        let id = self.send(connection, request(command.clone())).await;
        self.underway.push((id, command));
    }

    /// Its number.
    async fn send(&self, connection: &mut Connection, request: Request) -> u64 {
        let id = connection.take_id();
        let ask = Ask::Agent(v1::AgentRequest { session: self.session.clone(), request: Some(request) });
        // A connection that takes nothing is found by its reader, and the question asked again.
        let _ = send(&mut connection.socket, id, ask).await;
        id
    }

    async fn come_back(&mut self, connection: &mut Connection, mut error: ConnectError) -> Result<(), Stop> {
        self.lines.note("connection lost; coming back …");
        let attached = loop {
            match self.one_return(connection, error).await? {
                Ok(attached) => break attached,
                // A person decides alone how long to wait.
                Err(again) if again.may_pass() => error = again,
                Err(for_good) => return Err(for_good.into()),
            }
        };
        self.lines.note("");
        // Here it is lost; the attach tells all that waits, whole.
        self.fetched(Err("the connection broke".to_owned()));
        self.lines.attached(&attached);
        for (_, command) in std::mem::take(&mut self.underway) {
            match command {
                // The same id again is the same prompt.
                Command::Prompt(_) => self.ask(connection, command).await,
                other => self.lines.refused(&other, "the connection broke; whether this was heard is not known"),
            }
        }
        Ok(())
    }

    async fn one_return(
        &mut self,
        connection: &mut Connection,
        error: ConnectError,
    ) -> Result<Result<v1::Attached, ConnectError>, Stop> {
        let Self { feed, console, lines, keys, .. } = self;
        let mut back = std::pin::pin!(feed.come_back(connection, error));
        loop {
            let picture = lines.paint();
            if !picture.is_empty() {
                console.write(picture.into()).await?;
            }
            lines.painted(Instant::now());
            let due = lines.due();
            tokio::select! {
                back = &mut back => return Ok(back),
                () = until(due) => lines.tick(Instant::now()),
                happened = console.happened(true) => for command in typed(happened, lines, keys)? {
                    lines.refused(&command, "there is no connection; it was not sent");
                },
            }
        }
    }
}

/// What the person asks for; an error when they leave.
fn typed(happened: Happened, lines: &mut LineTerminal, keys: &mut Option<DetachKeys>) -> Result<Vec<Command>, Stop> {
    let bytes = match happened {
        Happened::Typed(bytes) => bytes,
        Happened::Over => return Ok(Vec::new()),
        Happened::Signal(number) => return Err(Stop::Signal(number)),
        Happened::Resized(size) => {
            lines.resize(size, Instant::now());
            return Ok(Vec::new());
        }
    };
    let mut through = Vec::new();
    let scan = match keys {
        Some(keys) => keys.push(&bytes, &mut through),
        None => {
            through = bytes;
            Scan::Stay
        }
    };
    let mut commands = Vec::new();
    for wish in lines.typed(&through, Instant::now()) {
        match wish {
            Wish::Leave => return Err(Stop::Left),
            Wish::Ask(command) => commands.push(command),
        }
    }
    if scan == Scan::Stay { Ok(commands) } else { Err(Stop::Left) }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn request(command: Command) -> Request {
    match command {
        Command::Prompt(prompt) => Request::Prompt(prompt),
        Command::CancelPrompt(cancel) => Request::CancelPrompt(cancel),
        Command::AnswerPermission(answer) => Request::AnswerPermission(answer),
        Command::AnswerQuestion(answer) => Request::AnswerQuestion(answer),
        Command::Interrupt(interrupt) => Request::Interrupt(interrupt),
        Command::SetMode(mode) => Request::SetMode(mode),
        Command::SetModel(model) => Request::SetModel(model),
        Command::RevokeRule(rule) => Request::RevokeRule(rule),
        Command::CloseInput(close) => Request::CloseInput(close),
    }
}
