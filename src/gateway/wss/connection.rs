//! One logged-in connection: a single task owns the socket and all its attachments. Output is never queued here: while
//! the socket takes nothing, no attachment is asked for bytes. Does not know HTTP, TLS or how the login went.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::acks::Acks;
use super::close::Close;
use super::desk::{Asked, Desk, View};
use super::meter::Metered;
use super::outbound::{Outbound, Rest, outbound, text};
use super::requests::{Outcome, Pending};
use crate::base::{KEEPALIVE, Offset, SILENT, WinSize};
use crate::gateway::error::SessionError;
use crate::gateway::session::ViewerItem;
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};
use crate::wire::{BinaryFrame, decode_client};

/// Attachments of one connection: many more than any client shows, few enough to be asked in turn.
pub(super) const ATTACHMENTS: usize = 64;
/// Requests and their replies in flight; at the limit no further message is read until one has gone out.
const IN_FLIGHT: usize = 32;
/// Frames handed to the socket, and messages read from it, before the other side has its turn.
const BATCH: usize = 32;
/// The times of a connection's life; other than `NORMAL` only in tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    /// How often the other two, and a stuck socket, are looked at.
    pub(super) tick: Duration,
    /// After so long without a word a ping is sent.
    pub(super) keepalive: Duration,
    /// After so long without a word, or without taking a byte, the connection ends.
    pub(super) silent: Duration,
}

impl Pulse {
    /// A fifth of the keepalive is precise enough, and 200 idle viewers cost 40 looks a second.
    pub(super) const NORMAL: Self = Self { tick: Duration::from_secs(5), keepalive: KEEPALIVE, silent: SILENT };
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer closed, or the socket broke.
    Gone,
    /// We close, with a code; the error goes out first.
    Close(Close, Option<Box<v1::Error>>),
}

struct Viewer<V> {
    channel: u32,
    view: V,
    rest: Option<Rest>,
    // A repaint is in the write buffer; the session hears of it when the buffer is empty.
    painted: bool,
    // Input that was taken and not acknowledged yet, and what came behind it meanwhile.
    taken: Option<u64>,
    waiting: Option<ViewerItem>,
    over: bool,
}

pub(super) struct Connection<S, D: Desk> {
    pub(super) socket: WebSocketStream<Metered<S>>,
    desk: D,
    grant: D::Grant,
    pulse: Pulse,
    viewers: Vec<Viewer<D::View>>,
    turn: usize,
    // Channels of attaches that are not answered yet.
    claimed: Vec<u32>,
    pending: FuturesUnordered<Pending<D::View>>,
    replies: VecDeque<(u64, Body)>,
    history: VecDeque<(u32, Rest)>,
    acks: Acks,
    unflushed: bool,
    heard: Instant,
    pinged: Instant,
    stuck: Option<(Instant, u64)>,
    ping_due: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin, D: Desk> Connection<S, D> {
    pub(super) fn new(socket: WebSocketStream<Metered<S>>, desk: D, grant: D::Grant, pulse: Pulse) -> Self {
        let now = Instant::now();
        Self {
            socket,
            desk,
            grant,
            pulse,
            viewers: Vec::new(),
            turn: 0,
            claimed: Vec::new(),
            pending: FuturesUnordered::new(),
            replies: VecDeque::new(),
            history: VecDeque::new(),
            acks: Acks::default(),
            unflushed: false,
            heard: now,
            pinged: now,
            stuck: None,
            ping_due: false,
        }
    }

    /// Serves until the end; the caller says goodbye.
    pub(super) async fn run(&mut self) -> End {
        let grant = self.grant.clone();
        let mut revoked = pin!(D::revoked(&grant));
        let mut tick = tokio::time::interval(self.pulse.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut revoked => return End::Close(Close::Revoked, None),
                end = std::future::poll_fn(|cx| self.poll_work(cx)) => return end,
                now = tick.tick() => {
                    if let Some(end) = self.look(now) {
                        return end;
                    }
                }
            }
        }
    }

    /// Drops every attachment; the sessions hear of it at once.
    pub(super) fn detach_all(&mut self) {
        self.viewers.clear();
        self.pending.clear();
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..BATCH {
            let read = match self.poll_read(cx) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(end),
            };
            if self.acks.poll_due(cx).is_ready() {
                self.acknowledge();
            }
            let answered = self.poll_pending(cx);
            let wrote = match self.poll_write(cx) {
                Ok(wrote) => wrote,
                Err(end) => return Poll::Ready(end),
            };
            if !read && !answered && !wrote {
                return Poll::Pending;
            }
        }
        // Others on this thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    // Reads one message. Not while too much is in flight: a client that asks and does not take the answers waits.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.replies.len() + self.pending.len() + self.history.len() >= IN_FLIGHT {
            return Ok(false);
        }
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(None) => Err(End::Gone),
            Poll::Ready(Some(Ok(message))) => {
                self.heard = Instant::now();
                self.take(message).map(|()| true)
            }
            Poll::Ready(Some(Err(error))) => Err(self.broken(&error)),
        }
    }

    fn take(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(text) => match decode_client(&text) {
                Ok(message) => self.request(message),
                Err(error) => return Err(self.nonsense(&error.to_string())),
            },
            Message::Binary(frame) => match BinaryFrame::decode(frame) {
                Ok(frame) => self.input(0, frame.channel, frame.offset.0, &frame.data, false),
                Err(error) => return Err(self.nonsense(&error.to_string())),
            },
            Message::Close(_) => return Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    // What concerns channels is decided here; the rest is the gateway's.
    fn request(&mut self, message: v1::ClientMessage) {
        let id = message.id;
        if let Err(error) = self.desk.may_ask(&self.grant) {
            return self.replies.push_back((id, Body::Error(error_message(&error, 0))));
        }
        match message.body {
            None => self.reply_error(id, 0, "unknown-message", "this gateway does not know that message (version 1)"),
            Some(Ask::Login(_)) => self.reply_error(id, 0, "bad-request", "logged in already; one login a connection"),
            Some(Ask::Ping(_)) => self.replies.push_back((id, Body::Pong(v1::Pong {}))),
            Some(Ask::Detach(detach)) => self.detach(id, detach.channel),
            Some(Ask::Resize(resize)) => self.resize(id, &resize),
            Some(Ask::ReleaseInput(release)) => self.release_input(id, release.channel),
            Some(Ask::Paste(paste)) => self.input(id, paste.channel, paste.offset, &paste.text, true),
            Some(Ask::Attach(attach)) => self.attach(id, attach),
            Some(Ask::History(history)) => {
                let channel = history.channel;
                match self.viewers.iter().find(|viewer| viewer.channel == channel) {
                    Some(viewer) => {
                        let asked = self.desk.ask(&self.grant, id, Ask::History(history), Some(&viewer.view));
                        self.asked(id, asked);
                    }
                    None => self.no_channel(id, channel),
                }
            }
            Some(other) => {
                let asked = self.desk.ask(&self.grant, id, other, None);
                self.asked(id, asked);
            }
        }
    }

    fn attach(&mut self, id: u64, attach: v1::Attach) {
        let channel = attach.channel;
        if self.claimed.contains(&channel) || self.viewers.iter().any(|viewer| viewer.channel == channel) {
            let message = format!("channel {channel} is in use; choose another");
            return self.reply_error(id, channel, "bad-request", &message);
        }
        if self.claimed.len() + self.viewers.len() >= ATTACHMENTS {
            let message = format!("{ATTACHMENTS} attachments on one connection; detach one, or connect once more");
            return self.reply_error(id, channel, "too-many-attachments", &message);
        }
        let asked = self.desk.ask(&self.grant, id, Ask::Attach(attach), None);
        if matches!(asked, Asked::Pending(_)) {
            self.claimed.push(channel);
        }
        self.asked(id, asked);
    }

    fn asked(&mut self, id: u64, asked: Asked<D::View>) {
        match asked {
            Asked::Reply(body) => self.replies.push_back((id, body)),
            Asked::Pending(pending) => self.pending.push(pending),
        }
    }

    fn resize(&mut self, id: u64, resize: &v1::Resize) {
        let channel = resize.channel;
        let size = resize.size.unwrap_or_default();
        let size = WinSize::clamped(size.cols, size.rows);
        let Some(viewer) = self.viewer(channel) else { return self.no_channel(id, channel) };
        if let Err(error) = viewer.view.resize(size, resize.hidden, resize.appearance.clone()) {
            self.replies.push_back((id, Body::Error(error_message(&error, channel))));
        }
    }

    fn input(&mut self, id: u64, channel: u32, offset: u64, bytes: &[u8], paste: bool) {
        if let Err(error) = self.desk.may_type(&self.grant, bytes.len()) {
            // Not taken: it may be sent again from here.
            let error = v1::Error { accepted: offset, ..error_message(&error, channel) };
            return self.replies.push_back((id, Body::Error(error)));
        }
        let Some(viewer) = self.viewer(channel) else { return self.no_channel(id, channel) };
        if let Err(error) = viewer.view.input(offset, bytes, paste) {
            self.replies.push_back((id, Body::Error(error_message(&error, channel))));
        }
    }

    fn detach(&mut self, id: u64, channel: u32) {
        let Some(at) = self.viewers.iter().position(|viewer| viewer.channel == channel) else {
            return self.no_channel(id, channel);
        };
        self.viewers.remove(at);
        let body = Body::Detached(v1::Detached { channel, reason: "asked".into(), offset: 0 });
        self.replies.push_back((id, body));
    }

    fn release_input(&mut self, id: u64, channel: u32) {
        let Some(viewer) = self.viewer(channel) else { return self.no_channel(id, channel) };
        viewer.view.release_input();
        self.replies.push_back((id, Body::Done(v1::Done { message: "released".into() })));
    }

    fn viewer(&mut self, channel: u32) -> Option<&mut Viewer<D::View>> {
        self.viewers.iter_mut().find(|viewer| viewer.channel == channel && !viewer.over)
    }

    // Not a mistake of the client when the attachment ended while its bytes were on the way.
    fn no_channel(&mut self, id: u64, channel: u32) {
        let message = format!("nothing is attached on channel {channel}; attach first");
        self.reply_error(id, channel, "no-such-channel", &message);
    }

    fn reply_error(&mut self, id: u64, channel: u32, code: &str, message: &str) {
        let error = v1::Error { code: code.into(), message: message.into(), channel, ..v1::Error::default() };
        self.replies.push_back((id, Body::Error(error)));
    }

    fn acknowledge(&mut self) {
        for viewer in &mut self.viewers {
            let channel = viewer.channel;
            let taken = viewer.taken.take();
            self.replies.extend(taken.map(|offset| (0, Body::InputAck(v1::InputAck { channel, offset }))));
        }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(outcome)) = Pin::new(&mut self.pending).poll_next(cx) else { return false };
        match outcome {
            Outcome::Reply(id, body) => self.replies.push_back((id, body)),
            Outcome::History { id, channel, data } => {
                let offset = Offset::ZERO;
                self.history.push_back((channel, Rest::Snapshot { id, offset, size: None, data, reason: "history" }));
            }
            Outcome::Event { id, number, data } => self.history.push_back((0, Rest::Event { id, number, data })),
            Outcome::Attached { id, channel, result } => {
                self.claimed.retain(|claimed| *claimed != channel);
                match *result {
                    Ok((attached, view)) => {
                        self.replies.push_back((id, Body::Attached(v1::Attached { channel, ..attached })));
                        self.viewers.push(Viewer::new(channel, view));
                    }
                    Err(error) => self.replies.push_back((id, Body::Error(error_message(&error, channel)))),
                }
            }
        }
        true
    }

    // Feeds a batch, then flushes; asks nobody for more until the socket took it.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.unflushed && self.poll_flush(cx)?.is_pending() {
            return Ok(false);
        }
        let mut fed = 0;
        while fed < BATCH {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(self.broken(&error)),
                Poll::Pending => break,
            }
            let Some(message) = self.next_message(cx) else { break };
            if let Err(error) = Pin::new(&mut self.socket).start_send(message) {
                return Err(self.broken(&error));
            }
            self.unflushed = true;
            fed += 1;
        }
        if self.unflushed {
            let _ = self.poll_flush(cx)?;
        }
        Ok(fed > 0)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Err(error)) => return Err(self.broken(&error)),
            Poll::Ready(Ok(())) => {}
        }
        self.unflushed = false;
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.painted && viewer.rest.is_none()) {
            viewer.painted = false;
            viewer.view.frame_drawn();
        }
        self.viewers.retain(|viewer| !viewer.over);
        Ok(Poll::Ready(()))
    }

    // Replies first: they are few, and the verdict must precede its attachment's bytes.
    fn next_message(&mut self, cx: &mut Context<'_>) -> Option<Message> {
        if std::mem::take(&mut self.ping_due) {
            return Some(Message::Ping(Bytes::new()));
        }
        if let Some((id, body)) = self.replies.pop_front() {
            return Some(text(id, body));
        }
        for _ in 0..self.viewers.len() {
            self.turn = (self.turn + 1) % self.viewers.len();
            if let Some(message) =
                self.viewers.get_mut(self.turn).and_then(|viewer| viewer.next_message(cx, &mut self.acks))
            {
                return Some(message);
            }
        }
        let (channel, rest) = self.history.pop_front()?;
        let (message, rest) = rest.cut(channel);
        if let Some(rest) = rest {
            self.history.push_front((channel, rest));
        }
        Some(message)
    }

    fn look(&mut self, now: Instant) -> Option<End> {
        if now.duration_since(self.heard) >= self.pulse.silent {
            return Some(End::Gone);
        }
        if now.duration_since(self.heard.max(self.pinged)) >= self.pulse.keepalive {
            self.pinged = now;
            self.ping_due = true;
        }
        if !self.unflushed {
            self.stuck = None;
            return None;
        }
        let written = self.socket.get_ref().written();
        match self.stuck {
            Some((since, at)) if at == written => {
                (now.duration_since(since) >= self.pulse.silent).then_some(End::Close(Close::TooSlow, None))
            }
            _ => {
                self.stuck = Some((now, written));
                None
            }
        }
    }

    fn nonsense(&self, what: &str) -> End {
        let message = crate::base::printable(what, 200);
        self.desk.misspoke(&self.grant, "malformed", &message);
        End::Close(Close::BadRequest, Some(Box::new(bad_request(message))))
    }

    fn broken(&self, error: &WsError) -> End {
        match error {
            WsError::Capacity(_) => {
                self.desk.misspoke(&self.grant, "too-large", "a message above 1 MiB; send it in pieces");
                End::Close(Close::TooLarge, None)
            }
            WsError::Protocol(_) | WsError::Utf8(_) => self.nonsense(&error.to_string()),
            _ => End::Gone,
        }
    }
}

impl<V: View> Viewer<V> {
    fn new(channel: u32, view: V) -> Self {
        Self { channel, view, rest: None, painted: false, taken: None, waiting: None, over: false }
    }

    fn next_message(&mut self, cx: &mut Context<'_>, acks: &mut Acks) -> Option<Message> {
        if self.over {
            return None;
        }
        let rest = match self.rest.take() {
            Some(rest) => rest,
            None => match outbound(self.channel, self.next_item(cx, acks)?) {
                Outbound::Rest(rest) => {
                    self.painted |= rest.is_paint();
                    rest
                }
                Outbound::Body(body) => return Some(text(0, body)),
                Outbound::Last(body) => {
                    self.over = true;
                    return Some(text(0, body));
                }
            },
        };
        let (message, rest) = rest.cut(self.channel);
        self.rest = rest;
        Some(message)
    }

    // Acknowledgements are joined, output may overtake them, and nothing else may.
    fn next_item(&mut self, cx: &mut Context<'_>, acks: &mut Acks) -> Option<ViewerItem> {
        if self.waiting.is_some() {
            return self.waiting.take();
        }
        loop {
            match self.view.poll_item(cx) {
                Poll::Pending => return None,
                Poll::Ready(ViewerItem::InputTaken { offset }) => {
                    self.taken = Some(offset);
                    if acks.may_go(Instant::now()) {
                        break;
                    }
                }
                Poll::Ready(item @ ViewerItem::Bytes { .. }) => return Some(item),
                Poll::Ready(item) => match self.taken {
                    None => return Some(item),
                    Some(_) => {
                        self.waiting = Some(item);
                        break;
                    }
                },
            }
        }
        self.taken.take().map(|offset| ViewerItem::InputTaken { offset })
    }
}

/// The wire form of a session's error.
pub(super) fn error_message(error: &SessionError, channel: u32) -> v1::Error {
    v1::Error {
        code: error.code().to_owned(),
        message: error.to_string(),
        retryable: error.retryable(),
        after_ms: error.after_ms(),
        channel,
        accepted: error.accepted(),
        ..first_answer(error)
    }
}

/// For an answer that came too late: whose was first.
fn first_answer(error: &SessionError) -> v1::Error {
    match error {
        SessionError::AgentRefused(refusal) => {
            v1::Error { by: refusal.by.clone(), option: refusal.option.clone(), ..v1::Error::default() }
        }
        _ => v1::Error::default(),
    }
}

/// An error that the client's own message caused.
pub(super) fn bad_request(message: String) -> v1::Error {
    v1::Error { code: "bad-request".into(), message, ..v1::Error::default() }
}
