//! ACP on standard input and output, over wss and across broken connections. Does not know what an editor's lines say.

use std::collections::VecDeque;
use std::io::{IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::ClientError;
use super::connect::{ConnectError, Connection, Dialler, Gone, Incoming, next, send};
use super::status::USAGE;
use super::verbs::strange;
use crate::agents::acp_server::{Act, Done, Effect, Effects, Opened, Server, Trouble};
use crate::base::{SILENT, SessionId};
use crate::gateway::SOFTWARE;
use crate::gateway::verbs::AcpVerb;
use crate::gateway::wss::Then;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_request::Request;
use crate::wire::v1::{self, ViewerMode, client_message::Body as Ask, server_message::Body};

/// First and last pause between attempts to come back.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// An editor waits so long for a gateway, then is told.
const GIVE_UP: Duration = Duration::from_secs(300);
/// Pieces of input on their way, of so many bytes.
const READS: usize = 4;
const READ: usize = 64 * 1024;
/// Acts that wait for their turn; above it the editor is not read.
const QUEUE: usize = 16;

struct Desk {
    server: Server,
    agent: String,
    directory: String,
    dialler: Dialler,
    connection: Connection,
    looks: Vec<Look>,
    channel: u32,
    queue: VecDeque<Step>,
    /// The question that the gateway has, under its message's id. One at a time keeps a prompt and its cancel in order.
    asked: Option<(u64, Step)>,
    heard: Instant,
}

/// A session that is looked at.
struct Look {
    session: String,
    channel: u32,
    log_id: String,
    next: u64,
}

/// A question to the gateway; asked again on the next connection it means the same.
#[derive(Clone)]
enum Step {
    Start {
        number: u64,
        directory: String,
        request_id: String,
    },
    /// Where the old events end.
    Head {
        number: u64,
        session: String,
        channel: u32,
    },
    Look {
        number: u64,
        session: String,
        until: u64,
        channel: u32,
    },
    Tell {
        number: u64,
        session: String,
        command: Command,
    },
    /// A session that was looked at, at its place.
    Again {
        session: String,
        channel: u32,
    },
    Leave {
        channel: u32,
    },
}

enum Heard {
    Input(Option<Vec<u8>>),
    Frame(Result<Incoming, Gone>),
    Silence,
}

/// Serves the editor until it goes away.
pub(super) async fn run(verb: AcpVerb, connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    if std::io::stdin().is_terminal() {
        eprintln!("portcullis: acp is for a program, not for a terminal: give this command to an editor");
        return Ok(USAGE);
    }
    let speaks = |agent: &&v1::Agent| agent.modes.iter().any(|mode| mode == "structured");
    let first = || connection.ready.agents.iter().find(speaks).map(|agent| agent.name.clone());
    let Some(agent) = verb.agent.map(|agent| agent.to_string()).or_else(first) else {
        return Err(ConnectError::Refused("no agent of this key has mode structured".into()).into());
    };
    let desk = Desk {
        server: Server::new(random_id(), SOFTWARE),
        agent,
        directory: verb.directory.unwrap_or_default(),
        dialler,
        connection,
        looks: Vec::new(),
        channel: 0,
        queue: VecDeque::new(),
        asked: None,
        heard: Instant::now(),
    };
    desk.serve(start_reader()).await
}

impl Desk {
    async fn serve(mut self, mut input: mpsc::Receiver<Vec<u8>>) -> Result<u8, ClientError> {
        let mut is_over = false;
        loop {
            self.ask_next().await?;
            if is_over && self.asked.is_none() {
                return Ok(0);
            }
            let reads = !is_over && self.queue.len() < QUEUE;
            let heard = tokio::select! {
                bytes = input.recv(), if reads => Heard::Input(bytes),
                frame = next(&mut self.connection.socket) => Heard::Frame(frame),
                () = tokio::time::sleep_until((self.heard + SILENT).into()) => Heard::Silence,
            };
            let effects = match heard {
                Heard::Input(Some(bytes)) => self.server.read(&bytes),
                Heard::Input(None) => {
                    is_over = true;
                    Effects::new()
                }
                Heard::Frame(Ok(incoming)) => {
                    self.heard = Instant::now();
                    self.incoming(incoming)?
                }
                Heard::Frame(Err(gone)) => {
                    self.come_back(&gone).await?;
                    Effects::new()
                }
                Heard::Silence => {
                    let gone = Gone { then: Then::ComeBack, why: "silent for 60 s".into() };
                    self.come_back(&gone).await?;
                    Effects::new()
                }
            };
            self.perform(effects)?;
        }
    }

    fn perform(&mut self, effects: Effects) -> Result<(), ClientError> {
        for effect in effects {
            match effect {
                Effect::Say(line) => {
                    let mut output = std::io::stdout().lock();
                    output.write_all(&line).and_then(|()| output.flush()).map_err(ClientError::Output)?;
                }
                Effect::Act { number, act } => {
                    let step = match act {
                        Act::Begin { directory } => {
                            // Only an absolute one can mean the same at both ends.
                            let directory = if directory.starts_with('/') { directory } else { self.directory.clone() };
                            Step::Start { number, directory, request_id: random_id() }
                        }
                        Act::Load { session } => Step::Head { number, session, channel: self.take_channel() },
                        Act::Command { session, command } => Step::Tell { number, session, command },
                    };
                    self.queue.push_back(step);
                }
            }
        }
        Ok(())
    }

    async fn ask_next(&mut self) -> Result<(), ConnectError> {
        if self.asked.is_some() {
            return Ok(());
        }
        let Some(step) = self.queue.pop_front() else { return Ok(()) };
        let id = self.connection.take_id();
        let ask = self.question(&step);
        // Asked, it is asked again when the connection breaks.
        self.asked = Some((id, step));
        if let Err(why) = send(&mut self.connection.socket, id, ask).await {
            self.come_back(&Gone { then: Then::ComeBack, why }).await?;
        }
        Ok(())
    }

    fn question(&self, step: &Step) -> Ask {
        let attach = |session: &str, channel: u32| v1::Attach {
            session: session.to_owned(),
            channel,
            mode: ViewerMode::Events.into(),
            ..v1::Attach::default()
        };
        match step {
            Step::Start { directory, request_id, .. } => Ask::New(v1::NewSession {
                agent: self.agent.clone(),
                directory: directory.clone(),
                mode: "structured".to_owned(),
                request_id: request_id.clone(),
                ..v1::NewSession::default()
            }),
            Step::Head { session, channel, .. } => Ask::Attach(attach(session, *channel)),
            Step::Look { session, channel, .. } => {
                Ask::Attach(v1::Attach { from_start: true, ..attach(session, *channel) })
            }
            Step::Tell { session, command, .. } => {
                Ask::Agent(v1::AgentRequest { session: session.clone(), request: Some(request(command.clone())) })
            }
            Step::Leave { channel } => Ask::Detach(v1::Detach { channel: *channel }),
            Step::Again { session, channel } => {
                let at = self.looks.iter().find(|look| look.session == *session);
                let cursor = at.map(|look| v1::Cursor { log_id: look.log_id.clone(), offset: look.next });
                Ask::Attach(v1::Attach { cursor, ..attach(session, *channel) })
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<Effects, ConnectError> {
        let Incoming::Message(message) = incoming else { return Ok(Effects::new()) };
        let Some(body) = message.body else { return Ok(Effects::new()) };
        if self.asked.as_ref().is_some_and(|(id, _)| *id == message.id)
            && let Some((_, step)) = self.asked.take()
        {
            return self.answered(step, body);
        }
        Ok(match body {
            Body::AgentEvent(v1::LogEvent { channel, number, event: Some(event) }) => {
                let Some(look) = self.looks.iter_mut().find(|look| look.channel == channel) else {
                    return Ok(Effects::new());
                };
                look.next = number + 1;
                self.server.event(&look.session, number, &event)
            }
            Body::Ended(ended) => match self.take(ended.channel) {
                Some(session) => {
                    let why = "the agent has ended; `restart` starts it again, then load the session again";
                    self.server.ended(&session, why)
                }
                None => Effects::new(),
            },
            Body::Detached(detached) => self.detached(&detached),
            _ => Effects::new(),
        })
    }

    fn detached(&mut self, detached: &v1::Detached) -> Effects {
        let passes = matches!(&detached.reason[..], "too-slow" | "host-gone" | "restarted");
        let fresh = self.take_channel();
        if !passes {
            let session = self.take(detached.channel);
            let why = format!("detached: {}", detached.reason);
            return session.map(|session| self.server.ended(&session, &why)).unwrap_or_default();
        }
        if let Some(look) = self.looks.iter_mut().find(|look| look.channel == detached.channel) {
            look.channel = fresh;
            self.queue.push_back(Step::Again { session: look.session.clone(), channel: fresh });
        }
        Effects::new()
    }

    fn answered(&mut self, step: Step, body: Body) -> Result<Effects, ConnectError> {
        if let Body::Error(error) = body {
            return Ok(self.refused(step, error));
        }
        Ok(match (step, body) {
            (Step::Start { number, .. }, Body::Session(session)) => {
                let channel = self.take_channel();
                self.queue.push_front(Step::Look { number, session: session.session_id, until: 0, channel });
                Effects::new()
            }
            (Step::Head { number, session, channel: old }, Body::Attached(head)) => {
                let channel = self.take_channel();
                self.queue.push_front(Step::Look { number, session, until: head.offset, channel });
                self.queue.push_front(Step::Leave { channel: old });
                Effects::new()
            }
            (Step::Leave { .. }, _) => Effects::new(),
            (Step::Look { number, until, channel, .. }, Body::Attached(attached)) => {
                let summary = attached.session.unwrap_or_default();
                let session = summary.session_id;
                if let Some(at) = self.looks.iter().position(|look| look.session == session) {
                    let old = self.looks.remove(at).channel;
                    self.queue.push_front(Step::Leave { channel: old });
                }
                let (log_id, next) = (attached.log_id, attached.offset);
                self.looks.push(Look { session: session.clone(), channel, log_id, next });
                let opened = Opened {
                    session,
                    name: summary.name,
                    directory: summary.directory,
                    first: attached.offset,
                    until,
                    lost: attached.lost_to.saturating_sub(attached.lost_from),
                    agent: attached.agent.unwrap_or_default(),
                };
                self.server.done(number, Ok(Done::Opened(Box::new(opened))))
            }
            (Step::Again { session, .. }, Body::Attached(attached)) => {
                if let Some(look) = self.looks.iter_mut().find(|look| look.session == session) {
                    (look.log_id, look.next) = (attached.log_id, attached.offset);
                }
                match attached.lost_to.saturating_sub(attached.lost_from) {
                    0 => Effects::new(),
                    lost => self.server.lost(&session, lost),
                }
            }
            (Step::Tell { number, .. }, Body::Prompt(state)) => self.server.done(number, Ok(Done::Prompt(state))),
            (Step::Tell { number, .. }, Body::Done(_)) => self.server.done(number, Ok(Done::Told)),
            _ => return Err(strange(&self.dialler)),
        })
    }

    fn refused(&mut self, step: Step, error: v1::Error) -> Effects {
        let trouble = Trouble { code: error.code, message: error.message, retryable: error.retryable };
        match step {
            // The editor's directory is not below a root here.
            Step::Start { number, directory, .. }
                if trouble.code == "directory-outside-roots" && directory != self.directory =>
            {
                let (directory, request_id) = (self.directory.clone(), random_id());
                self.queue.push_front(Step::Start { number, directory, request_id });
                Effects::new()
            }
            Step::Start { number, .. }
            | Step::Head { number, .. }
            | Step::Look { number, .. }
            | Step::Tell { number, .. } => self.server.done(number, Err(trouble)),
            Step::Leave { .. } => Effects::new(),
            Step::Again { session, .. } => {
                self.looks.retain(|look| look.session != session);
                self.server.ended(&session, &trouble.message)
            }
        }
    }

    /// A new connection; what was looked at is looked at again, what was asked is asked again.
    async fn come_back(&mut self, gone: &Gone) -> Result<(), ConnectError> {
        let mut error = self.dialler.gone(gone);
        let (mut pause, last) = PAUSE;
        let since = Instant::now();
        while since.elapsed() < GIVE_UP && error.may_pass() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(last);
            match self.dialler.connect().await {
                Ok(fresh) => {
                    self.connection = fresh;
                    self.heard = Instant::now();
                    self.look_again();
                    return Ok(());
                }
                Err(why) => error = why,
            }
        }
        Err(error)
    }

    fn look_again(&mut self) {
        if let Some((_, step)) = self.asked.take() {
            self.queue.push_front(step);
        }
        self.queue.retain(|step| !matches!(step, Step::Again { .. } | Step::Leave { .. }));
        for at in 0..self.looks.len() {
            let channel = self.take_channel();
            if let Some(look) = self.looks.get_mut(at) {
                look.channel = channel;
                self.queue.push_front(Step::Again { session: look.session.clone(), channel });
            }
        }
    }

    fn take(&mut self, channel: u32) -> Option<String> {
        let at = self.looks.iter().position(|look| look.channel == channel)?;
        Some(self.looks.remove(at).session)
    }

    fn take_channel(&mut self) -> u32 {
        self.channel += 1;
        self.channel
    }
}

fn request(command: Command) -> Request {
    match command {
        Command::Prompt(prompt) => Request::Prompt(prompt),
        Command::CancelPrompt(cancel) => Request::CancelPrompt(cancel),
        Command::AnswerPermission(answer) => Request::AnswerPermission(answer),
        Command::AnswerQuestion(answer) => Request::AnswerQuestion(answer),
        Command::Interrupt(interrupt) => Request::Interrupt(interrupt),
        Command::SetMode(set) => Request::SetMode(set),
        Command::SetModel(set) => Request::SetModel(set),
        Command::RevokeRule(rule) => Request::RevokeRule(rule),
        Command::CloseInput(close) => Request::CloseInput(close),
    }
}

fn random_id() -> String {
    SessionId::from_bytes(crate::gateway::random()).to_string()
}

// Reading a pipe cannot be broken off, so it is a thread that ends with the process.
fn start_reader() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(READS);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut piece = vec![0; READ];
        while let Ok(read @ 1..) = input.read(&mut piece) {
            if sender.blocking_send(piece.get(..read).unwrap_or_default().to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
