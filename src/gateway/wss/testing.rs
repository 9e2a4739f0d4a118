//! A gateway of one account and one scripted session behind the real door, for tests of both ends.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Caller;
use super::connection::{Pulse, bad_request, error_message};
use super::desk::{Asked, Desk, Names, View};
use super::requests::Outcome;
use crate::authn::{AuthError, KeyLine, Proven, SigningKey, parse_authorized_keys};
use crate::base::{AccountName, LOGIN_DEADLINE, LogId, WinSize};
use crate::gateway::authority::AccountKeys;
use crate::gateway::error::SessionError;
use crate::gateway::session::ViewerItem;
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};

/// The one account and the one session.
pub(crate) const ACCOUNT: &str = "dev";
pub(crate) const SESSION: &str = "main";

/// Input of exactly this length is above the rate.
pub(crate) const TOO_MANY: usize = 999;

/// What the session says and has heard.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) items: VecDeque<ViewerItem>,
    waker: Option<Waker>,
    pub(crate) input: Vec<u8>,
    pub(crate) asked: usize,
    pub(crate) drawn: usize,
    pub(crate) sizes: Vec<WinSize>,
    pub(crate) attaches: Vec<v1::Attach>,
}

pub(crate) struct Parts {
    pub(crate) identity: SigningKey,
    pub(crate) client: SigningKey,
    pub(crate) origins: Mutex<Vec<String>>,
    pub(crate) require_binding: bool,
    lines: Arc<Vec<KeyLine>>,
    script: Mutex<Script>,
    audit: Mutex<Vec<String>>,
    attached: watch::Sender<usize>,
}

#[derive(Clone)]
pub(crate) struct FakeGateway(pub(crate) Arc<Parts>);

impl FakeGateway {
    pub(crate) fn new(origin: &str, require_binding: bool) -> Self {
        let client = SigningKey::from_seed(&[2; 32], "client").unwrap();
        let file = parse_authorized_keys(client.public().line().as_bytes(), &|_| false);
        Self(Arc::new(Parts {
            identity: SigningKey::from_seed(&[1; 32], "gateway").unwrap(),
            client,
            origins: Mutex::new(vec![origin.to_owned()]),
            require_binding,
            lines: Arc::new(file.keys),
            script: Mutex::default(),
            audit: Mutex::default(),
            attached: watch::channel(0).0,
        }))
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.script.lock().unwrap()
    }

    /// What the session says next.
    pub(crate) fn say(&self, item: ViewerItem) {
        let mut script = self.script();
        script.items.push_back(item);
        if let Some(waker) = script.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn audit(&self) -> Vec<String> {
        self.0.audit.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.0.audit.lock().unwrap().push(line);
    }

    /// Viewers now.
    pub(super) fn viewers(&self) -> usize {
        *self.0.attached.borrow()
    }

    /// Resolves when so many viewers are attached.
    pub(crate) async fn attached(&self, count: usize) {
        self.0.attached.subscribe().wait_for(|now| *now == count).await.unwrap();
    }

    /// Serves one stream as the listener would.
    pub(crate) async fn serve<S>(self, stream: S, exporter: Option<[u8; 32]>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_timed(stream, exporter, LOGIN_DEADLINE, Pulse::NORMAL).await;
    }

    pub(super) async fn serve_timed<S>(self, stream: S, exporter: Option<[u8; 32]>, limit: Duration, pulse: Pulse)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        super::serve(self, stream, Caller { peer, exporter, deadline: Instant::now() + limit, pulse }, || ()).await;
    }
}

/// A hold on the scripted session.
pub(crate) struct FakeView(FakeGateway);

impl Drop for FakeView {
    fn drop(&mut self) {
        self.0.0.attached.send_modify(|count| *count -= 1);
    }
}

impl View for FakeView {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<ViewerItem> {
        let mut script = self.0.script();
        script.asked += 1;
        if let Some(item) = script.items.pop_front() {
            return Poll::Ready(item);
        }
        script.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn input(&mut self, offset: u64, bytes: &[u8], _: bool) -> Result<(), SessionError> {
        let taken = {
            let mut script = self.0.script();
            let accepted = script.input.len() as u64;
            if offset > accepted {
                drop(script);
                self.0.say(ViewerItem::InputRefused { accepted, why: v1::InputRefusal::Gap });
                return Ok(());
            }
            let known = (accepted - offset) as usize;
            script.input.extend(bytes.iter().skip(known));
            script.input.len() as u64
        };
        self.0.say(ViewerItem::InputTaken { offset: taken });
        Ok(())
    }

    fn resize(&mut self, size: WinSize, _: bool, _: Option<v1::Appearance>) -> Result<(), SessionError> {
        self.0.script().sizes.push(size);
        Ok(())
    }

    fn frame_drawn(&mut self) {
        self.0.script().drawn += 1;
    }

    fn release_input(&mut self) {}
}

impl Desk for FakeGateway {
    type Grant = ();
    type View = FakeView;

    fn names(&self) -> Names<'_> {
        // One value for the whole test: leaked, so that a test may still set it after the port is known.
        let origins: &'static [String] = Box::leak(self.0.origins.lock().unwrap().clone().into_boxed_slice());
        Names { origins, web_origins: &[], require_channel_binding: self.0.require_binding }
    }

    fn identity(&self) -> &SigningKey {
        &self.0.identity
    }

    fn keys(&self, user: &str) -> impl Future<Output = Result<AccountKeys, SessionError>> + Send {
        let account: Option<AccountName> = (user == ACCOUNT).then(|| ACCOUNT.parse().unwrap());
        let lines = if account.is_some() { Arc::clone(&self.0.lines) } else { Arc::default() };
        std::future::ready(Ok(AccountKeys { account, lines }))
    }

    fn unix_now(&self) -> u64 {
        1_800_000_000
    }

    fn admit(&self, proven: Proven, _: SocketAddr, client: &str) -> Result<((), v1::Ready), SessionError> {
        self.note(format!("login {} by {client}", proven.key()));
        Ok(((), v1::Ready { account: proven.account().to_string(), role: "own".into(), ..Default::default() }))
    }

    fn may_try(&self, _: SocketAddr) -> Result<(), SessionError> {
        Ok(())
    }

    fn may_ask(&self, (): &()) -> Result<(), SessionError> {
        Ok(())
    }

    fn may_type(&self, (): &(), bytes: usize) -> Result<(), SessionError> {
        // One message is too many for this limit.
        if bytes == TOO_MANY { Err(SessionError::RateLimited { what: "input bytes", after_ms: 7 }) } else { Ok(()) }
    }

    fn refused(&self, _: SocketAddr, user: &str, error: &AuthError) {
        self.note(format!("refused {user}: {}", error.audit_reason()));
    }

    fn turned_away(&self, _: SocketAddr, code: &'static str, _: &str, _: &str) {
        self.note(format!("turned away: {code}"));
    }

    fn misspoke(&self, (): &(), code: &'static str, _: &str) {
        self.note(format!("misspoke: {code}"));
    }

    fn revoked((): &()) -> impl Future<Output = String> + Send {
        std::future::pending()
    }

    fn ask(&self, (): &(), id: u64, ask: Ask, _: Option<&FakeView>) -> Asked<FakeView> {
        match ask {
            Ask::Attach(attach) if attach.session != SESSION && attach.session != "07".repeat(16) => {
                Asked::Reply(Body::Error(error_message(&SessionError::Unknown(attach.session), attach.channel)))
            }
            Ask::Attach(attach) => {
                let channel = attach.channel;
                let attached = {
                    let mut script = self.script();
                    script.attaches.push(attach.clone());
                    v1::Attached {
                        verdict: v1::Verdict::Continuous.into(),
                        log_id: LogId::from_bytes([9; 16]).to_string(),
                        offset: attach.cursor.map_or(0, |cursor| cursor.offset),
                        input_offset: script.input.len() as u64,
                        session: Some(v1::Session { session_id: "07".repeat(16), ..Default::default() }),
                        ..Default::default()
                    }
                };
                self.0.attached.send_modify(|count| *count += 1);
                let result = Box::new(Ok((attached, FakeView(self.clone()))));
                Asked::Pending(Box::pin(std::future::ready(Outcome::Attached { id, channel, result })))
            }
            Ask::List(_) => {
                let session = v1::Session { name: SESSION.into(), agent: "shell".into(), ..Default::default() };
                Asked::Reply(Body::Sessions(v1::Sessions { sessions: vec![session] }))
            }
            // Never answered: for the limit on what is in flight.
            Ask::Show(_) => Asked::Pending(Box::pin(std::future::pending())),
            _ => Asked::Reply(Body::Error(bad_request("not in this test".into()))),
        }
    }
}
