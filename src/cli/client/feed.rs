//! One structured session's events across broken connections. Knows no terminal and no TLS.

use std::time::{Duration, Instant};

use super::connect::{ConnectError, Connection, Dialler, Incoming, next};
use super::verbs::strange;
use crate::base::{SILENT, printable};
use crate::gateway::verbs::From;
use crate::wire::v1::{self, ViewerMode, client_message::Body as Ask, server_message::Body};

/// The only attachment of the connection.
const CHANNEL: u32 = 1;
/// First and last pause between attempts to come back.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Whoever reads events waits so long for a gateway, then is told.
const GIVE_UP: Duration = Duration::from_secs(300);

/// A whole event as JSON: 8 MiB of text, of which each byte may take six.
const WHOLE: usize = 64 << 20;

/// What comes of an attachment.
pub(super) enum Fed {
    Event(u64, Box<v1::AgentEvent>),
    /// So many events are gone.
    Lost(u64),
    /// The agent.
    Ended(v1::Exit),
    /// The attachment, for good.
    Over(String),
}

/// What comes over one connection.
pub(super) enum Heard {
    Fed(Fed),
    /// The answer to a question of this number; an error when it was refused.
    Answer(u64, Option<Box<v1::Error>>),
    /// A part of the answer to the question of this number, which wanted a whole event; the last says so.
    Piece(u64, v1::EventPiece),
    /// The connection or attachment is over; another may go on.
    Broken(ConnectError),
}

/// See the module.
pub(super) struct Feed {
    session: String,
    raw_lines: bool,
    pub(super) dialler: Dialler,
    /// Only looking.
    pub(super) view: bool,
    /// Events of before that the first attachment begins with.
    pub(super) history: u32,
    /// The last answer to a prompt.
    pub(super) prompted: Option<v1::PromptState>,
    log_id: String,
    next: u64,
}

impl Feed {
    pub(super) fn new(session: String, raw_lines: bool, dialler: Dialler) -> Self {
        Self { session, raw_lines, dialler, view: false, history: 0, prompted: None, log_id: String::new(), next: 0 }
    }

    pub(super) async fn attach(
        &mut self,
        connection: &mut Connection,
        from: From,
    ) -> Result<v1::Attached, ConnectError> {
        let number = match from {
            From::Offset(number) => Some(number),
            From::Live | From::Start => None,
        };
        let cursor = number.map(|offset| v1::Cursor { log_id: self.log_id.clone(), offset });
        let attach = v1::Attach {
            session: self.session.clone(),
            channel: CHANNEL,
            mode: ViewerMode::Events.into(),
            view: self.view,
            cursor,
            history: self.history,
            from_start: from == From::Start,
            raw_lines: self.raw_lines,
            ..v1::Attach::default()
        };
        match connection.ask(&self.dialler, Ask::Attach(attach)).await? {
            Body::Attached(attached) => {
                self.log_id.clone_from(&attached.log_id);
                self.next = attached.offset;
                if let Some(session) = &attached.session {
                    // Its id survives a rename.
                    self.session.clone_from(&session.session_id);
                }
                Ok(attached)
            }
            _ => Err(strange(&self.dialler)),
        }
    }

    /// What comes next; an answer to `asked` that is an error ends it.
    pub(super) async fn next(&mut self, connection: &mut Connection, asked: Option<u64>) -> Result<Fed, ConnectError> {
        loop {
            match self.hear(connection).await? {
                Heard::Fed(fed) => return Ok(fed),
                Heard::Answer(id, Some(error)) if asked == Some(id) => return Err(ConnectError::Answer(error)),
                Heard::Answer(..) | Heard::Piece(..) => {}
                Heard::Broken(error) => {
                    let attached = self.come_back(connection, error).await?;
                    match attached.lost_to.saturating_sub(attached.lost_from) {
                        0 => {}
                        lost => return Ok(Fed::Lost(lost)),
                    }
                }
            }
        }
    }

    /// What comes next over this connection; loses nothing when dropped.
    pub(super) async fn hear(&mut self, connection: &mut Connection) -> Result<Heard, ConnectError> {
        loop {
            let incoming = tokio::time::timeout(SILENT, next(&mut connection.socket)).await;
            let message = match incoming {
                Ok(Ok(Incoming::Message(message))) => message,
                Ok(Ok(_)) => continue,
                Ok(Err(gone)) => match self.dialler.gone(&gone) {
                    error if error.may_pass() => return Ok(Heard::Broken(error)),
                    error => return Err(error),
                },
                Err(_) => return Ok(Heard::Broken(self.broken("silent for 60 s"))),
            };
            return Ok(match message.body {
                Some(Body::AgentEvent(v1::LogEvent { number, event: Some(event), .. })) if message.id == 0 => {
                    self.next = number + 1;
                    Heard::Fed(Fed::Event(number, Box::new(event)))
                }
                Some(Body::Ended(ended)) => Heard::Fed(Fed::Ended(ended.exit.unwrap_or_default())),
                Some(Body::Error(error)) if message.id != 0 => Heard::Answer(message.id, Some(Box::new(error))),
                Some(Body::EventPiece(piece)) => Heard::Piece(message.id, piece),
                Some(Body::Detached(detached))
                    if matches!(&detached.reason[..], "too-slow" | "host-gone" | "restarted") =>
                {
                    Heard::Broken(self.broken(&detached.reason))
                }
                Some(Body::Detached(detached)) => Heard::Fed(Fed::Over(detached.reason)),
                Some(Body::Prompt(state)) if message.id != 0 => {
                    self.prompted = Some(state);
                    Heard::Answer(message.id, None)
                }
                Some(_) if message.id != 0 => Heard::Answer(message.id, None),
                _ => continue,
            });
        }
    }

    /// The same, whole where it is an event that came cut and `wants` it. What cannot be fetched stays as it came.
    pub(super) async fn completed(
        &mut self,
        heard: Heard,
        wants: impl FnOnce(&v1::AgentEvent) -> bool,
        connection: &mut Connection,
    ) -> Result<Heard, ConnectError> {
        let Heard::Fed(Fed::Event(number, event)) = heard else { return Ok(heard) };
        if !wants(&event) {
            return Ok(Heard::Fed(Fed::Event(number, event)));
        }
        match self.fetch_alone(connection, number).await {
            Ok(Some(whole)) => Ok(Heard::Fed(Fed::Event(number, Box::new(whole)))),
            Ok(None) => Ok(Heard::Fed(Fed::Event(number, event))),
            Err(error) if error.may_pass() => {
                // It comes again.
                self.next = number;
                Ok(Heard::Broken(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Detached meanwhile: nothing comes in between that would have to be kept.
    async fn fetch_alone(
        &mut self,
        connection: &mut Connection,
        number: u64,
    ) -> Result<Option<v1::AgentEvent>, ConnectError> {
        connection.ask(&self.dialler, Ask::Detach(v1::Detach { channel: CHANNEL })).await?;
        let fetched = fetch(connection, &self.dialler, &self.session, number).await;
        let log_id = self.log_id.clone();
        let attached = self.attach(connection, From::Offset(self.next)).await?;
        if attached.log_id != log_id {
            return Err(self.broken("the session was restarted"));
        }
        match attached.lost_to.saturating_sub(attached.lost_from) {
            0 => {}
            lost => eprintln!("portcullis: {lost} events are gone"),
        }
        match fetched {
            Ok(whole) => Ok(Some(whole)),
            Err(ConnectError::Answer(error)) => {
                eprintln!("portcullis: event {number}: {}", printable(&error.message, 300));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A new connection at the place of the old one; what it begins with.
    pub(super) async fn come_back(
        &mut self,
        connection: &mut Connection,
        mut error: ConnectError,
    ) -> Result<v1::Attached, ConnectError> {
        let (mut pause, last) = PAUSE;
        let since = Instant::now();
        while since.elapsed() < GIVE_UP && error.may_pass() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(last);
            error = match self.dialler.connect().await {
                Ok(fresh) => {
                    *connection = fresh;
                    match self.attach(connection, From::Offset(self.next)).await {
                        Ok(attached) => return Ok(attached),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
        }
        Err(error)
    }

    /// An error that may pass.
    pub(super) fn broken(&self, why: &str) -> ConnectError {
        ConnectError::Unreachable { origin: self.dialler.target.origin.clone(), why: why.to_owned() }
    }
}

/// The whole event of this number; nothing may be attached on this connection.
pub(super) async fn fetch(
    connection: &mut Connection,
    dialler: &Dialler,
    session: &str,
    number: u64,
) -> Result<v1::AgentEvent, ConnectError> {
    let request = Some(v1::agent_request::Request::FetchEvent(number));
    let ask = Ask::Agent(v1::AgentRequest { session: session.to_owned(), request });
    let mut body = Some(connection.ask(dialler, ask).await?);
    let mut json = Vec::new();
    loop {
        if let Some(Body::EventPiece(piece)) = body {
            json.extend_from_slice(&piece.data);
            if !piece.more || json.len() > WHOLE {
                return serde_json::from_slice(&json).map_err(|_| strange(dialler));
            }
        }
        let incoming = tokio::time::timeout(SILENT, next(&mut connection.socket)).await;
        body = match incoming.map_err(|_| strange(dialler))?.map_err(|gone| dialler.gone(&gone))? {
            Incoming::Message(message) => message.body,
            _ => None,
        };
    }
}
