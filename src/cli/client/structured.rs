//! The verbs of structured sessions over wss: what ssh does with them, done from outside, across broken connections. Knows no TLS.

use std::time::{Duration, Instant};

use super::ClientError;
use super::connect::{ConnectError, Connection, Dialler, Incoming, next, send};
use super::status::{AGAIN, FAILED, LOST};
use super::verbs::{print, strange};
use crate::base::{SILENT, SessionId};
use crate::gateway::verbs::{
    AgentVerb, DecideVerb, EventsVerb, From, Outcome, PromptVerb, Step, TurnWatch, approvals_json, approvals_text,
    choose, event_line, question_answers, rules_text,
};
use crate::wire::v1::agent_request::Request;
use crate::wire::v1::{self, Approval, ViewerMode, client_message::Body as Ask, server_message::Body};

/// The only attachment of the connection.
const CHANNEL: u32 = 1;
/// First and last pause between attempts to come back.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Whoever reads events waits so long for a gateway, then is told.
const GIVE_UP: Duration = Duration::from_secs(300);

pub(super) async fn run(verb: AgentVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let (session, request) = match verb {
        AgentVerb::Prompt(verb) => return prompt(verb, connection, dialler).await,
        AgentVerb::Events(verb) => return events(&verb, connection, dialler).await,
        AgentVerb::Acp(verb) => return super::acp::run(verb, connection, dialler).await,
        AgentVerb::Approvals { json } => {
            let approvals = approvals(&mut connection, &dialler).await?;
            return print(&if json { approvals_json(&approvals) } else { approvals_text(&approvals) }).map(|()| 0);
        }
        AgentVerb::Rules { session } => {
            let mut feed = Feed::new(session.to_string(), false, dialler);
            let attached = feed.attach(&mut connection, From::Live).await?;
            return print(&rules_text(&attached.agent.unwrap_or_default().rules)).map(|()| 0);
        }
        AgentVerb::Decide(verb) => decide(verb, &mut connection, &dialler).await?,
        AgentVerb::Answer { request, answers } => {
            let approval = find(&request, &mut connection, &dialler).await?;
            let asked =
                approval.question.ok_or_else(|| refused(format!("{request} is no question: approve or deny it")))?;
            let answers = question_answers(&asked, &answers).map_err(refused)?;
            let (id, digest) = (asked.id, asked.digest);
            let answer = v1::AnswerQuestion { id, digest, answers, ..v1::AnswerQuestion::default() };
            (approval.session, Request::AnswerQuestion(answer))
        }
        AgentVerb::Interrupt { session } => (session.to_string(), Request::Interrupt(v1::Interrupt {})),
        AgentVerb::Mode { session, mode } => (session.to_string(), Request::SetMode(v1::SetAgentMode { mode })),
        AgentVerb::Model { session, model } => (session.to_string(), Request::SetModel(v1::SetModel { model })),
        AgentVerb::Revoke { session, rule } => (session.to_string(), Request::RevokeRule(v1::RevokeRule { id: rule })),
    };
    tell(&mut connection, &dialler, session, request).await.map(|()| 0)
}

async fn tell(
    connection: &mut Connection,
    dialler: &Dialler,
    session: String,
    request: Request,
) -> Result<(), ClientError> {
    let ask = Ask::Agent(v1::AgentRequest { session, request: Some(request) });
    match connection.ask(dialler, ask).await? {
        Body::Prompt(_) | Body::Done(_) => Ok(()),
        _ => Err(strange(dialler).into()),
    }
}

async fn approvals(connection: &mut Connection, dialler: &Dialler) -> Result<Vec<Approval>, ClientError> {
    match connection.ask(dialler, Ask::Approvals(v1::ListApprovals {})).await? {
        Body::Approvals(list) => Ok(list.approvals),
        _ => Err(strange(dialler).into()),
    }
}

async fn find(request: &str, connection: &mut Connection, dialler: &Dialler) -> Result<Approval, ClientError> {
    let all = approvals(connection, dialler).await?;
    crate::gateway::verbs::find_request(&all, request).map_err(refused)
}

async fn decide(
    verb: DecideVerb,
    connection: &mut Connection,
    dialler: &Dialler,
) -> Result<(String, Request), ClientError> {
    let approval = find(&verb.request, connection, dialler).await?;
    let question = || refused(format!("{} is a question: answer {0} …", verb.request));
    let asked = approval.permission.ok_or_else(question)?;
    let option = choose(&asked, verb.allow, verb.always).map_err(refused)?;
    let (id, digest, reason) = (asked.id, asked.digest, verb.reason);
    Ok((approval.session, Request::AnswerPermission(v1::AnswerPermission { id, digest, option, reason })))
}

fn refused(why: String) -> ClientError {
    ConnectError::Refused(why).into()
}

async fn prompt(verb: PromptVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let id = SessionId::from_bytes(crate::gateway::random()).to_string();
    let request = Request::Prompt(v1::Prompt { id: id.clone(), text: verb.text });
    let session = verb.session.to_string();
    if !verb.wait {
        return tell(&mut connection, &dialler, session, request).await.map(|()| 0);
    }
    let mut feed = Feed::new(session.clone(), false, dialler);
    // Looked at first: nothing of the answer is missed.
    feed.attach(&mut connection, From::Live).await?;
    let ask = Ask::Agent(v1::AgentRequest { session, request: Some(request) });
    let asked = connection.take_id();
    send(&mut connection.socket, asked, ask).await.map_err(|why| feed.broken(&why))?;
    let mut watch = TurnWatch::new(&id);
    loop {
        match feed.next(&mut connection, Some(asked)).await? {
            Fed::Event(number, event) => {
                let steps = watch.take(&event);
                if verb.json && (watch.concerns(&event) || !steps.is_empty()) {
                    print(&event_line(number, *event))?;
                }
                for step in steps {
                    match step {
                        Step::Text(text) if !verb.json => print(&text)?,
                        Step::Note(note) if !verb.json => eprintln!("portcullis: {note}"),
                        Step::Text(_) | Step::Note(_) => {}
                        Step::Over(Outcome::Finished) => return Ok(0),
                        Step::Over(Outcome::Failed(why)) => {
                            eprintln!("portcullis: {why}");
                            return Ok(FAILED);
                        }
                    }
                }
            }
            Fed::Lost(count) => eprintln!("portcullis: {count} events are gone"),
            Fed::Ended => {
                eprintln!("portcullis: the agent has ended; restart begins anew");
                return Ok(FAILED);
            }
            Fed::Over(why) => return Ok(over(&why)),
        }
    }
}

async fn events(verb: &EventsVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let mut feed = Feed::new(verb.session.to_string(), verb.raw, dialler);
    let attached = feed.attach(&mut connection, verb.from).await?;
    if let (v1::Verdict::Reset, From::Offset(number)) = (attached.verdict(), verb.from) {
        return Err(refused(format!("event {number} is beyond what this session has said; leave out --from")));
    }
    let mut status = 0;
    let mut lost = attached.lost_to.saturating_sub(attached.lost_from);
    loop {
        if lost > 0 {
            eprintln!("portcullis: {lost} events are gone");
            status = if verb.from == From::Start && status == 0 { 0 } else { LOST };
        }
        lost = 0;
        match feed.next(&mut connection, None).await? {
            Fed::Event(number, event) => print(&event_line(number, *event))?,
            Fed::Lost(count) => lost = count,
            Fed::Ended => return Ok(status),
            Fed::Over(why) => return Ok(over(&why)),
        }
    }
}

fn over(why: &str) -> u8 {
    eprintln!("portcullis: detached: {why}");
    AGAIN
}

/// What comes of an attachment.
enum Fed {
    Event(u64, Box<v1::AgentEvent>),
    /// So many events are gone.
    Lost(u64),
    /// The agent.
    Ended,
    /// The attachment, for good.
    Over(String),
}

/// One session's events across broken connections.
struct Feed {
    session: String,
    raw_lines: bool,
    dialler: Dialler,
    log_id: String,
    next: u64,
}

impl Feed {
    fn new(session: String, raw_lines: bool, dialler: Dialler) -> Self {
        Self { session, raw_lines, dialler, log_id: String::new(), next: 0 }
    }

    async fn attach(&mut self, connection: &mut Connection, from: From) -> Result<v1::Attached, ConnectError> {
        let number = match from {
            From::Offset(number) => Some(number),
            From::Live | From::Start => None,
        };
        let cursor = number.map(|offset| v1::Cursor { log_id: self.log_id.clone(), offset });
        let attach = v1::Attach {
            session: self.session.clone(),
            channel: CHANNEL,
            mode: ViewerMode::Events.into(),
            cursor,
            from_start: from == From::Start,
            raw_lines: self.raw_lines,
            ..v1::Attach::default()
        };
        match connection.ask(&self.dialler, Ask::Attach(attach)).await? {
            Body::Attached(attached) => {
                self.log_id.clone_from(&attached.log_id);
                self.next = attached.offset;
                Ok(attached)
            }
            _ => Err(strange(&self.dialler)),
        }
    }

    /// What comes next; an answer to `asked` that is an error ends it.
    async fn next(&mut self, connection: &mut Connection, asked: Option<u64>) -> Result<Fed, ConnectError> {
        loop {
            let incoming = tokio::time::timeout(SILENT, next(&mut connection.socket)).await;
            let message = match incoming {
                Ok(Ok(Incoming::Message(message))) => message,
                Ok(Ok(_)) => continue,
                Ok(Err(gone)) => match self.dialler.gone(&gone) {
                    error if error.may_pass() => match self.come_back(connection, error).await? {
                        0 => continue,
                        lost => return Ok(Fed::Lost(lost)),
                    },
                    error => return Err(error),
                },
                Err(_) => match self.come_back(connection, self.broken("silent for 60 s")).await? {
                    0 => continue,
                    lost => return Ok(Fed::Lost(lost)),
                },
            };
            match message.body {
                Some(Body::AgentEvent(v1::LogEvent { number, event: Some(event), .. })) => {
                    self.next = number + 1;
                    return Ok(Fed::Event(number, Box::new(event)));
                }
                Some(Body::Ended(_)) => return Ok(Fed::Ended),
                Some(Body::Error(error)) if asked.is_some_and(|asked| asked == message.id) => {
                    return Err(ConnectError::Answer(Box::new(error)));
                }
                Some(Body::Detached(detached))
                    if matches!(&detached.reason[..], "too-slow" | "host-gone" | "restarted") =>
                {
                    let error = self.broken(&detached.reason);
                    match self.come_back(connection, error).await? {
                        0 => {}
                        lost => return Ok(Fed::Lost(lost)),
                    }
                }
                Some(Body::Detached(detached)) => return Ok(Fed::Over(detached.reason)),
                _ => {}
            }
        }
    }

    /// A new connection at the place of the old one; how many events are gone meanwhile.
    async fn come_back(&mut self, connection: &mut Connection, mut error: ConnectError) -> Result<u64, ConnectError> {
        let (mut pause, last) = PAUSE;
        let since = Instant::now();
        while since.elapsed() < GIVE_UP && error.may_pass() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(last);
            error = match self.dialler.connect().await {
                Ok(fresh) => {
                    *connection = fresh;
                    match self.attach(connection, From::Offset(self.next)).await {
                        Ok(attached) => return Ok(attached.lost_to.saturating_sub(attached.lost_from)),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
        }
        Err(error)
    }

    fn broken(&self, why: &str) -> ConnectError {
        ConnectError::Unreachable { origin: self.dialler.target.origin.clone(), why: why.to_owned() }
    }
}
