//! What each request of a logged-in client means, as a question to the router; does not know the socket.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use super::connection::{bad_request, error_message};
use super::desk::Asked;
use crate::base::{LogId, Name, Offset, SessionId, WinSize, WriterId};
use crate::gateway::Gateway;
use crate::gateway::authority::{Door, LiveGrant};
use crate::gateway::error::SessionError;
use crate::gateway::router::StartRequest;
use crate::gateway::session::{AttachRequest, Attachment};
use crate::policy::Verb;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_request::Request;
use crate::wire::v1::{self, agent_reply, client_message::Body as Ask, server_message::Body};

/// No request takes longer: the slowest is a start (5 s for the host, then the agent's own launch) or a kill with its
/// grace; past this the client is told, and what was begun goes on.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// A request that is being answered; dropped with the connection.
pub(super) type Pending<V> = Pin<Box<dyn Future<Output = Outcome<V>> + Send>>;

/// The answer to a pending request.
pub(super) enum Outcome<V> {
    Reply(u64, Body),
    History {
        id: u64,
        channel: u32,
        data: Bytes,
    },
    /// An event as JSON.
    Event {
        id: u64,
        number: u64,
        data: Bytes,
    },
    Attached {
        id: u64,
        channel: u32,
        result: Box<Result<(v1::Attached, V), SessionError>>,
    },
}

/// Decides on one request; `history_of` is the session attached on the channel that a history request names.
pub(super) fn ask(
    gateway: &Gateway,
    grant: &LiveGrant,
    id: u64,
    ask: Ask,
    history_of: Option<SessionId>,
) -> Asked<Attachment> {
    let router = gateway.router();
    match ask {
        Ask::List(_) => Asked::Reply(Body::Sessions(v1::Sessions { sessions: router.list(grant) })),
        Ask::Attach(attach) => ask_attach(gateway, grant, id, &attach),
        Ask::History(history) => ask_history(gateway, grant, id, history, history_of),
        Ask::Show(show) => match router.find(grant, &show.session, Verb::Show) {
            Err(why) => refused(&why),
            Ok(session) => later(id, async move { session.show().await.map(|text| Body::Text(v1::Text { text })) }),
        },
        Ask::New(new) => match start_new(new) {
            Ok(request) => ask_start(gateway, grant, id, request),
            Err(why) => refused(&why),
        },
        Ask::Open(open) => ask_start(gateway, grant, id, start_open(open)),
        Ask::Approvals(_) => Asked::Reply(Body::Approvals(v1::Approvals {
            approvals: router.approvals(grant),
            closed: router.closed_requests(grant),
        })),
        Ask::Agent(request) => ask_agent(gateway, grant, id, request),
        change @ (Ask::Send(_) | Ask::Kill(_) | Ask::Stop(_) | Ask::Restart(_) | Ask::Rename(_) | Ask::Forget(_)) => {
            ask_change(gateway, grant, id, change)
        }
        // The connection's own: they do not come here.
        Ask::Login(_) | Ask::Ping(_) | Ask::Detach(_) | Ask::Resize(_) | Ask::Paste(_) | Ask::ReleaseInput(_) => {
            Asked::Reply(Body::Error(bad_request("not a question to the gateway".into())))
        }
    }
}

fn ask_attach(gateway: &Gateway, grant: &LiveGrant, id: u64, attach: &v1::Attach) -> Asked<Attachment> {
    let channel = attach.channel;
    let request = match attach_request(attach) {
        Ok(request) => request,
        Err(why) => return Asked::Reply(Body::Error(bad_request(why.into()))),
    };
    // Whether it also drives is the role's matter; the answer says so.
    let session = match gateway.router().find(grant, &attach.session, Verb::View) {
        Ok(session) => session,
        Err(why) => return Asked::Reply(Body::Error(error_message(&why, channel))),
    };
    let pending = async move {
        let answer = tokio::time::timeout(REQUEST_DEADLINE, session.attach(request)).await;
        let result = Box::new(answer.unwrap_or(Err(SessionError::Late("the session's host"))));
        Outcome::Attached { id, channel, result }
    };
    Asked::Pending(Box::pin(pending))
}

fn attach_request(attach: &v1::Attach) -> Result<AttachRequest, &'static str> {
    let mode = attach.mode();
    if mode == v1::ViewerMode::Unspecified {
        return Err("attach says its mode: VIEWER_MODE_RAW, VIEWER_MODE_FITTED or VIEWER_MODE_EXACT");
    }
    if mode == v1::ViewerMode::Fitted && attach.size.is_none() {
        return Err("a fitted viewer says its size");
    }
    let (cursor, from_offset) = match &attach.cursor {
        None => (None, None),
        Some(cursor) if cursor.log_id.is_empty() => (None, Some(Offset(cursor.offset))),
        Some(cursor) => {
            let log: LogId = cursor.log_id.parse().map_err(|_| "cursor.log_id is 32 hex digits, or empty")?;
            (Some((log, Offset(cursor.offset))), None)
        }
    };
    let writer = match &attach.writer[..] {
        [] => None,
        bytes => Some(WriterId::from_slice(bytes).map_err(|_| "writer is 16 bytes, or empty")?),
    };
    Ok(AttachRequest {
        mode,
        size: attach.size.map(size),
        hidden: attach.hidden,
        view: attach.view,
        cursor,
        from_start: attach.from_start,
        from_offset,
        history: attach.history,
        writer,
        door: Door::Wss.as_str(),
        appearance: attach.appearance.clone().unwrap_or_default(),
        raw_lines: attach.raw_lines,
    })
}

fn ask_agent(gateway: &Gateway, grant: &LiveGrant, id: u64, request: v1::AgentRequest) -> Asked<Attachment> {
    let session = match gateway.router().find(grant, &request.session, Verb::View) {
        Ok(session) => session,
        Err(why) => return refused(&why),
    };
    let command = match request.request {
        None => return Asked::Reply(Body::Error(bad_request("an agent request says what it asks for".into()))),
        Some(Request::FetchEvent(number)) => {
            return Asked::Pending(Box::pin(async move {
                match deadline(session.fetch_event(number)).await {
                    Ok(event) => {
                        let data = serde_json::to_vec(&event).unwrap_or_default().into();
                        Outcome::Event { id, number, data }
                    }
                    Err(why) => Outcome::Reply(id, Body::Error(error_message(&why, 0))),
                }
            }));
        }
        Some(Request::Prompt(prompt)) => Command::Prompt(prompt),
        Some(Request::CancelPrompt(cancel)) => Command::CancelPrompt(cancel),
        Some(Request::AnswerPermission(answer)) => Command::AnswerPermission(answer),
        Some(Request::AnswerQuestion(answer)) => Command::AnswerQuestion(answer),
        Some(Request::Interrupt(interrupt)) => Command::Interrupt(interrupt),
        Some(Request::SetMode(set)) => Command::SetMode(set),
        Some(Request::SetModel(set)) => Command::SetModel(set),
        Some(Request::RevokeRule(rule)) => Command::RevokeRule(rule),
        Some(Request::CloseInput(close)) => Command::CloseInput(close),
    };
    to_the_end(id, async move {
        Ok(match session.command(command).await?.result {
            Some(agent_reply::Result::Prompt(prompt)) => Body::Prompt(prompt),
            _ => Body::Done(v1::Done { message: "done".into() }),
        })
    })
}

fn ask_history(
    gateway: &Gateway,
    grant: &LiveGrant,
    id: u64,
    history: v1::History,
    of: Option<SessionId>,
) -> Asked<Attachment> {
    let name = of.map(|id| id.to_string()).unwrap_or_default();
    let session = match gateway.router().find(grant, &name, Verb::View) {
        Ok(session) => session,
        Err(why) => return refused(&why),
    };
    let channel = history.channel;
    let pending = async move {
        match deadline(session.history(history.lines)).await {
            Ok(data) => Outcome::History { id, channel, data },
            Err(why) => Outcome::Reply(id, Body::Error(error_message(&why, channel))),
        }
    };
    Asked::Pending(Box::pin(pending))
}

fn start_new(new: v1::NewSession) -> Result<StartRequest, SessionError> {
    Ok(StartRequest {
        agent: new.agent,
        directory: new.directory,
        name: text_or_none(new.name).map(|name| name.parse::<Name>()).transpose()?,
        mode: new.mode,
        size: new.size.map(size),
        options: new.options.into_iter().collect(),
        args: new.args,
        request_id: text_or_none(new.request_id),
        reuse: false,
    })
}

fn start_open(open: v1::Open) -> StartRequest {
    StartRequest {
        agent: open.agent,
        directory: open.directory,
        size: open.size.map(size),
        args: open.args,
        request_id: text_or_none(open.request_id),
        reuse: true,
        ..StartRequest::default()
    }
}

fn text_or_none(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn ask_start(gateway: &Gateway, grant: &LiveGrant, id: u64, request: StartRequest) -> Asked<Attachment> {
    let (gateway, grant) = (gateway.clone(), grant.clone());
    to_the_end(id, async move {
        let (session, created_now) = gateway.router().start(&grant, request).await?;
        Ok(Body::Session(v1::Session { created_now, ..session.summary() }))
    })
}

fn ask_change(gateway: &Gateway, grant: &LiveGrant, id: u64, change: Ask) -> Asked<Attachment> {
    let (gateway, grant) = (gateway.clone(), grant.clone());
    to_the_end(id, async move {
        let router = gateway.router();
        let done = |message: &str| Ok(Body::Done(v1::Done { message: message.to_owned() }));
        match change {
            Ask::Send(send) => {
                let session = router.find(&grant, &send.session, Verb::Send)?;
                session.send(&send.text, !send.no_enter).await?;
                done("sent")
            }
            Ask::Kill(kill) => Ok(Body::Session(router.kill(&grant, &kill.session).await?)),
            Ask::Stop(stop) => Ok(Body::Session(router.stop(&grant, &stop.session).await?)),
            Ask::Restart(restart) => {
                let (session, restarted_with_history) = router.restart(&grant, &restart.session).await?;
                Ok(Body::Session(v1::Session { restarted_with_history, ..session.summary() }))
            }
            Ask::Rename(rename) => Ok(Body::Session(router.rename(&grant, &rename.session, &rename.name)?)),
            Ask::Forget(forget) => {
                router.forget(&grant, &forget.session).await?;
                done("forgotten")
            }
            _ => Err(SessionError::BadRequest("not a change".into())),
        }
    })
}

// Whatever changes something runs to its end even when the client is gone: half a start is nobody's.
fn to_the_end<F>(id: u64, work: F) -> Asked<Attachment>
where
    F: Future<Output = Result<Body, SessionError>> + Send + 'static,
{
    let task = tokio::spawn(work);
    Asked::Pending(Box::pin(async move {
        let body = match tokio::time::timeout(REQUEST_DEADLINE, task).await {
            Ok(Ok(Ok(body))) => body,
            Ok(Ok(Err(why))) => Body::Error(error_message(&why, 0)),
            Ok(Err(_)) => Body::Error(v1::Error {
                code: "internal".into(),
                message: "the request ended without an answer; the gateway's log has the reason".into(),
                ..v1::Error::default()
            }),
            Err(_) => Body::Error(error_message(&SessionError::Late("the spawner"), 0)),
        };
        Outcome::Reply(id, body)
    }))
}

fn later<F>(id: u64, work: F) -> Asked<Attachment>
where
    F: Future<Output = Result<Body, SessionError>> + Send + 'static,
{
    Asked::Pending(Box::pin(async move {
        let body = deadline(work).await.unwrap_or_else(|why| Body::Error(error_message(&why, 0)));
        Outcome::Reply(id, body)
    }))
}

async fn deadline<T>(work: impl Future<Output = Result<T, SessionError>>) -> Result<T, SessionError> {
    tokio::time::timeout(REQUEST_DEADLINE, work).await.unwrap_or(Err(SessionError::Late("the session's host")))
}

fn size(wanted: v1::Size) -> WinSize {
    WinSize::clamped(wanted.cols, wanted.rows)
}

fn refused(why: &SessionError) -> Asked<Attachment> {
    Asked::Reply(Body::Error(error_message(why, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attach_means() {
        let attach = |change: fn(&mut v1::Attach)| {
            let mut attach = v1::Attach { session: "a".into(), mode: v1::ViewerMode::Raw.into(), ..Default::default() };
            change(&mut attach);
            attach_request(&attach)
        };
        assert!(attach(|_| ()).is_ok_and(|request| request.cursor.is_none() && request.from_offset.is_none()));
        assert!(attach(|attach| attach.mode = 0).is_err());
        assert!(attach(|attach| attach.mode = v1::ViewerMode::Fitted.into()).is_err());
        assert!(attach(|attach| attach.writer = Bytes::from_static(b"short")).is_err());
        assert!(attach(|attach| attach.cursor = Some(v1::Cursor { log_id: "zz".into(), offset: 1 })).is_err());
        let there = attach(|attach| attach.cursor = Some(v1::Cursor { log_id: "0f".repeat(16), offset: 9 })).unwrap();
        assert_eq!(there.cursor.map(|(_, offset)| offset), Some(Offset(9)));
        let from = attach(|attach| attach.cursor = Some(v1::Cursor { log_id: String::new(), offset: 9 })).unwrap();
        assert_eq!((from.cursor, from.from_offset), (None, Some(Offset(9))));
    }
}
