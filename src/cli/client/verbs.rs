//! One verb, one question, one answer; `attach` and what leads to it goes on in its own module. Knows no TLS.

use std::io::Write;

use super::ClientError;
use super::attach::attach;
use super::connect::{ConnectError, Connection, Dialler};
use super::status::USAGE;
use super::talk::talk;
use crate::agents::DriverKind;
use crate::base::Name;
use crate::gateway::verbs::{AttachVerb, From, NewVerb, OpenVerb, Target, Verb, list_json, render_list, told};
use crate::sys::terminal;
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};

/// Connects, asks, prints. The result is the exit status.
pub(super) async fn run(verb: Verb, mut dialler: Dialler) -> Result<u8, ClientError> {
    let mut connection = dialler.connect().await?;
    let ask = match verb {
        Verb::Attach(verb) => return look(verb, connection, dialler).await,
        Verb::Agent(verb) => return super::structured::run(verb, connection, dialler).await,
        Verb::New(new) => return start(Ask::New(new_session(new)), connection, dialler).await,
        Verb::Named(named) => {
            let is_agent = |word: &str| connection.ready.agents.iter().any(|agent| agent.name == word);
            match named.resolve(is_agent)? {
                Target::Attach(verb) => return look(verb, connection, dialler).await,
                Target::Open(open) => return start(Ask::Open(open_session(open)), connection, dialler).await,
            }
        }
        Verb::List { json } => {
            let answer = connection.ask(&dialler, Ask::List(v1::ListSessions {})).await?;
            let Body::Sessions(sessions) = answer else { return Err(strange(&dialler).into()) };
            let width = terminal::is_terminal().then(|| terminal::window_size().cols());
            let text = if json { list_json(&sessions.sessions) } else { render_list(&sessions.sessions, width) };
            return print(&text).map(|()| 0);
        }
        Verb::Kill { session } => {
            let name = session.to_string();
            let killed = change(Ask::Kill(v1::Kill { session: name.clone() }), connection, dialler).await?;
            return print(&told::killed(&name, &killed)).map(|()| 0);
        }
        Verb::Stop { session } => {
            let name = session.to_string();
            let ended = change(Ask::Stop(v1::StopSession { session: name.clone() }), connection, dialler).await?;
            return print(&told::killed(&name, &ended)).map(|()| 0);
        }
        Verb::Restart { session } => {
            let name = session.to_string();
            let begun = change(Ask::Restart(v1::Restart { session: name.clone() }), connection, dialler).await?;
            return print(&told::restarted(&name, begun.restarted_with_history)).map(|()| 0);
        }
        Verb::Rename { session, name } => {
            let (session, name) = (session.to_string(), name.to_string());
            let ask = Ask::Rename(v1::Rename { session: session.clone(), name: name.clone() });
            change(ask, connection, dialler).await?;
            return print(&told::renamed(&session, &name)).map(|()| 0);
        }
        Verb::Forget { session } => {
            let session = session.to_string();
            let answer = connection.ask(&dialler, Ask::Forget(v1::Forget { session: session.clone() })).await?;
            let Body::Done(_) = answer else { return Err(strange(&dialler).into()) };
            return print(&told::forgotten(&session)).map(|()| 0);
        }
        Verb::Send(send) => {
            Ask::Send(v1::Send { session: send.session.to_string(), text: send.text, no_enter: !send.enter })
        }
        Verb::Show { session } => Ask::Show(v1::Show { session: session.to_string() }),
        Verb::Help { text } => return print(&text).map(|()| 0),
    };
    match connection.ask(&dialler, ask).await? {
        Body::Text(text) => print(&text.text).map(|()| 0),
        Body::Done(_) => Ok(0),
        _ => Err(strange(&dialler).into()),
    }
}

// Made, and the session as it is then.
async fn change(ask: Ask, mut connection: Connection, dialler: Dialler) -> Result<v1::Session, ClientError> {
    match connection.ask(&dialler, ask).await? {
        Body::Session(session) => Ok(session),
        _ => Err(strange(&dialler).into()),
    }
}

// Started, then looked at where somebody can look; else its name is the answer.
async fn start(ask: Ask, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let answer = connection.ask(&dialler, ask).await?;
    let Body::Session(session) = answer else { return Err(strange(&dialler).into()) };
    if !terminal::is_terminal() {
        return print(&session.name).map(|()| 0);
    }
    if is_structured(&session) {
        return Ok(talk(session, false, connection, dialler).await?);
    }
    let name: Name = session.name.parse().map_err(|_| strange(&dialler))?;
    Ok(attach(AttachVerb { session: name, view: false, from: From::Live }, false, connection, dialler).await?)
}

// A terminal's screen, or a conversation.
async fn look(verb: AttachVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let answer = connection.ask(&dialler, Ask::List(v1::ListSessions {})).await?;
    let Body::Sessions(list) = answer else { return Err(strange(&dialler).into()) };
    let name = verb.session.as_str();
    let named = |session: &v1::Session| session.name == name || session.session_id == name;
    let Some(session) = list.sessions.into_iter().find(|session| named(session) && is_structured(session)) else {
        return Ok(attach(verb, false, connection, dialler).await?);
    };
    if session.driver == DriverKind::Pipe.as_str() && !terminal::is_terminal() {
        return Ok(attach(verb, true, connection, dialler).await?);
    }
    if !terminal::is_terminal() || verb.from != From::Live {
        eprintln!("portcullis: {name} is structured: use events {name}, or attach {name} on a terminal");
        return Ok(USAGE);
    }
    Ok(talk(session, verb.view, connection, dialler).await?)
}

fn is_structured(session: &v1::Session) -> bool {
    session.mode == "structured"
}

fn new_session(new: NewVerb) -> v1::NewSession {
    v1::NewSession {
        agent: new.agent.to_string(),
        directory: new.directory.unwrap_or_default(),
        name: new.name.map(|name| name.to_string()).unwrap_or_default(),
        mode: new.mode.unwrap_or_default(),
        size: size(),
        options: new.options.into_iter().collect(),
        request_id: request_id(),
        args: new.args,
    }
}

fn open_session(open: OpenVerb) -> v1::Open {
    v1::Open {
        agent: open.agent.to_string(),
        directory: open.directory.unwrap_or_default(),
        size: size(),
        request_id: request_id(),
        args: open.args,
    }
}

fn size() -> Option<v1::Size> {
    let size = terminal::is_terminal().then(terminal::window_size)?;
    Some(v1::Size { cols: size.cols().into(), rows: size.rows().into() })
}

fn request_id() -> String {
    crate::base::SessionId::from_bytes(crate::gateway::random()).to_string()
}

pub(super) fn strange(dialler: &Dialler) -> ConnectError {
    ConnectError::Protocol { origin: dialler.target.origin.clone(), why: "an answer to another question".into() }
}

/// Prints with a line end; a reader that went away is an error.
pub(super) fn print(text: &str) -> Result<(), ClientError> {
    print_as_it_is(text)?;
    print_as_it_is(if text.ends_with('\n') || text.is_empty() { "" } else { "\n" })
}

/// A piece of a text whose line ends are its own.
pub(super) fn print_as_it_is(text: &str) -> Result<(), ClientError> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(ClientError::Output)
}
