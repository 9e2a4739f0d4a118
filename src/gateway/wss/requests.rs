//! What each request of a logged-in client means, as a question to the router; does not know the socket.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use super::connection::{ATTACHMENTS, bad_request, error_message};
use crate::base::{LogId, Offset, WinSize, WriterId};
use crate::gateway::{AttachRequest, Attachment, Gateway, LiveGrant, SessionError, StartRequest};
use crate::policy::Verb;
use crate::wire::v1::{self, ClientMessage, client_message::Body as Ask, server_message::Body};

/// No request takes longer: the slowest is a start (5 s for the host, then the agent's own launch) or a kill with its
/// grace; past this the client is told, and what was begun goes on.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// A request that is being answered; dropped with the connection.
pub(super) type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The answer to a pending request.
pub(super) enum Outcome {
    Reply(u64, Body),
    History { id: u64, channel: u32, data: Bytes },
    Attached { id: u64, channel: u32, result: Box<Result<(v1::Attached, Attachment), SessionError>> },
}

/// What the connection does with a request.
pub(super) enum Asked {
    Reply(Body),
    Pending(Pending),
    /// Pending, and the channel is taken from now on.
    Attach(u32, Pending),
    Detach(u32),
    Resize { channel: u32, size: WinSize, hidden: bool },
    Paste(v1::Paste),
}

/// What `ask` needs to know of the connection.
pub(super) struct Channels {
    /// The channel of an attach is not in use.
    pub(super) free: bool,
    /// Attachments, also those still being made.
    pub(super) count: usize,
    /// The session attached on the channel that a history request names.
    pub(super) history_of: Option<String>,
}

/// Decides on one message.
pub(super) fn ask(gateway: &Gateway, grant: &LiveGrant, channels: Channels, message: ClientMessage) -> Asked {
    let id = message.id;
    match message.body {
        None => Asked::Reply(error("unknown-message", "this gateway does not know that message; it speaks version 1")),
        Some(Ask::Login(_)) => Asked::Reply(error("bad-request", "logged in already; one login for each connection")),
        Some(Ask::Ping(_)) => Asked::Reply(Body::Pong(v1::Pong {})),
        Some(Ask::List(_)) => {
            Asked::Reply(Body::Sessions(v1::Sessions { sessions: gateway.router.list(grant) }))
        }
        Some(Ask::Attach(attach)) => ask_attach(gateway, grant, channels, id, attach),
        Some(Ask::Detach(detach)) => Asked::Detach(detach.channel),
        Some(Ask::Resize(resize)) => {
            Asked::Resize { channel: resize.channel, size: size(resize.size), hidden: resize.hidden }
        }
        Some(Ask::Paste(paste)) => Asked::Paste(paste),
        Some(Ask::History(history)) => match channels.history_of {
            Some(session) => ask_history(gateway, grant, id, history, session),
            None => Asked::Reply(error("no-such-channel", "history is asked of an attached session; attach first")),
        },
        Some(Ask::Show(show)) => match gateway.router.find(grant, &show.session, Verb::Show) {
            Err(why) => refused(&why),
            Ok(session) => later(id, async move {
                session.show().await.map(|text| Body::Text(v1::Text { text }))
            }),
        },
        Some(Ask::New(new)) => ask_start(gateway, grant, id, start_new(new)),
        Some(Ask::Open(open)) => ask_start(gateway, grant, id, start_open(open)),
        Some(
            change @ (Ask::Send(_) | Ask::Kill(_) | Ask::Restart(_) | Ask::Rename(_) | Ask::Forget(_)),
        ) => ask_change(gateway, grant, id, change),
    }
}

fn ask_attach(gateway: &Gateway, grant: &LiveGrant, channels: Channels, id: u64, attach: v1::Attach) -> Asked {
    if !channels.free {
        return Asked::Reply(error("bad-request", &format!("channel {} is in use; choose another", attach.channel)));
    }
    if channels.count >= ATTACHMENTS {
        let message = format!("{ATTACHMENTS} attachments on one connection; detach one, or connect again");
        return Asked::Reply(error("too-many-attachments", &message));
    }
    let channel = attach.channel;
    let request = match attach_request(&attach) {
        Ok(request) => request,
        Err(why) => return Asked::Reply(Body::Error(bad_request(why.into()))),
    };
    let verb = if request.view { Verb::View } else { Verb::Drive };
    let session = match gateway.router.find(grant, &attach.session, verb) {
        Ok(session) => session,
        Err(why) => return Asked::Reply(Body::Error(error_message(&why, channel))),
    };
    let grant = grant.clone();
    let pending = async move {
        let answer = tokio::time::timeout(REQUEST_DEADLINE, session.attach(&grant, request)).await;
        let result = Box::new(answer.unwrap_or(Err(SessionError::Late("the session's host"))));
        Outcome::Attached { id, channel, result }
    };
    Asked::Attach(channel, Box::pin(pending))
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
        size: attach.size.as_ref().map(|wanted| size(Some(*wanted))),
        hidden: attach.hidden,
        view: attach.view,
        cursor,
        from_start: attach.from_start,
        from_offset,
        history: attach.history,
        writer,
        door: super::DOOR,
    })
}

fn ask_history(gateway: &Gateway, grant: &LiveGrant, id: u64, history: v1::History, session: String) -> Asked {
    let session = match gateway.router.find(grant, &session, Verb::View) {
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

fn start_new(new: v1::NewSession) -> StartRequest {
    StartRequest {
        agent: new.agent,
        directory: new.directory,
        name: new.name,
        mode: new.mode,
        size: new.size.map(|wanted| size(Some(wanted))),
        options: new.options.into_iter().collect(),
        args: new.args,
        request_id: new.request_id,
        reuse: false,
    }
}

fn start_open(open: v1::Open) -> StartRequest {
    StartRequest {
        agent: open.agent,
        directory: open.directory,
        size: open.size.map(|wanted| size(Some(wanted))),
        args: open.args,
        request_id: open.request_id,
        reuse: true,
        ..StartRequest::default()
    }
}

fn ask_start(gateway: &Gateway, grant: &LiveGrant, id: u64, request: StartRequest) -> Asked {
    let (gateway, grant) = (gateway.clone(), grant.clone());
    to_the_end(id, async move {
        let (session, created_now) = gateway.router.start(&grant, request).await?;
        Ok(Body::Session(v1::Session { created_now, ..session.summary() }))
    })
}

fn ask_change(gateway: &Gateway, grant: &LiveGrant, id: u64, change: Ask) -> Asked {
    let (gateway, grant) = (gateway.clone(), grant.clone());
    to_the_end(id, async move {
        let router = &gateway.router;
        let done = |message: &str| Ok(Body::Done(v1::Done { message: message.to_owned() }));
        match change {
            Ask::Send(send) => {
                let session = router.find(&grant, &send.session, Verb::Send)?;
                session.send(&send.text, !send.no_enter).await?;
                done("sent")
            }
            Ask::Kill(kill) => {
                router.kill(&grant, &kill.session).await?;
                done("killed")
            }
            Ask::Restart(restart) => {
                let session = router.restart(&grant, &restart.session).await?;
                Ok(Body::Session(session.summary()))
            }
            Ask::Rename(rename) => {
                router.rename(&grant, &rename.session, &rename.name).await?;
                done("renamed")
            }
            Ask::Forget(forget) => {
                router.forget(&grant, &forget.session).await?;
                done("forgotten")
            }
            _ => Err(SessionError::BadRequest("not a change".into())),
        }
    })
}

// Whatever changes something runs to its end even when the client is gone: half a start is nobody's.
fn to_the_end<F>(id: u64, work: F) -> Asked
where
    F: Future<Output = Result<Body, SessionError>> + Send + 'static,
{
    let task = tokio::spawn(work);
    Asked::Pending(Box::pin(async move {
        let body = match tokio::time::timeout(REQUEST_DEADLINE, task).await {
            Ok(Ok(Ok(body))) => body,
            Ok(Ok(Err(why))) => Body::Error(error_message(&why, 0)),
            Ok(Err(_)) => error("internal", "the request ended without an answer; the gateway's log has the reason"),
            Err(_) => Body::Error(error_message(&SessionError::Late("the spawner"), 0)),
        };
        Outcome::Reply(id, body)
    }))
}

fn later<F>(id: u64, work: F) -> Asked
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

fn size(wanted: Option<v1::Size>) -> WinSize {
    let wanted = wanted.unwrap_or_default();
    WinSize::clamped(wanted.cols, wanted.rows)
}

fn refused(why: &SessionError) -> Asked {
    Asked::Reply(Body::Error(error_message(why, 0)))
}

fn error(code: &str, message: &str) -> Body {
    Body::Error(v1::Error { code: code.to_owned(), message: message.to_owned(), ..v1::Error::default() })
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
