//! The library's callbacks for one connection: they run inside its loop and wait for nothing but, before login, the key
//! files. Everything slow happens in a task for each channel.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use russh::server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Disconnect, Pty};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::detach::Prefix;
use super::login::{LoggedIn, Login};
use super::meter::Meter;
use super::out::Out;
use super::run::{Stopped, Work};
use super::terminal::{Terminal, Window};
use super::valve::Valve;
use crate::base::WinSize;
use crate::gateway::{Gateway, LiveGrant};

/// Channels at once, as OpenSSH's MaxSessions.
const MOST_CHANNELS: usize = 10;
/// Channels in a connection's life: the library keeps some kilobytes of each that we closed first.
const MOST_CHANNELS_EVER: usize = 1000;

/// The only subsystem: the verb of the same name.
const SUBSYSTEM: &str = "acp";

/// One connection.
pub(super) struct Door {
    gateway: Gateway,
    state: State,
    /// Told once, after login.
    logged_in: Option<oneshot::Sender<LiveGrant>>,
    stopped: Stopped,
    channels: HashMap<ChannelId, Line>,
    opened: usize,
    meter: Meter,
    valve: Valve,
}

enum State {
    Stranger(Login),
    /// Admitted, and about to hear of it.
    Admitted(Login, LoggedIn),
    In(LoggedIn),
    /// Only while one state becomes the next.
    Nothing,
}

/// A channel of the client's.
enum Line {
    /// Before its one shell or exec request.
    Open {
        half: ChannelWriteHalf<Msg>,
        window: Option<Window>,
    },
    Running {
        terminal: Terminal,
        _task: Task,
    },
}

/// Ends with the channel.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Door {
    pub(super) fn new(
        gateway: Gateway,
        login: Login,
        logged_in: oneshot::Sender<LiveGrant>,
        stopped: Stopped,
        valve: Valve,
    ) -> Self {
        Self {
            gateway,
            state: State::Stranger(login),
            logged_in: Some(logged_in),
            stopped,
            channels: HashMap::new(),
            opened: 0,
            meter: Meter::new(Instant::now()),
            valve,
        }
    }

    /// One more request of the client's.
    ///
    /// # Errors
    /// One too many: ends the connection.
    fn count(&mut self) -> Result<(), russh::Error> {
        if self.meter.count(Instant::now()) {
            return Ok(());
        }
        tracing::warn!("an ssh connection sent more than 300 requests at once and is ended");
        Err(russh::Error::Disconnect)
    }

    fn grant(&self) -> Option<&LiveGrant> {
        match &self.state {
            State::In(logged_in) | State::Admitted(_, logged_in) => Some(&logged_in.grant),
            State::Stranger(_) | State::Nothing => None,
        }
    }

    /// Starts the channel's command; without a line the picker.
    fn start(&mut self, id: ChannelId, line: Option<String>, session: &mut Session) -> Result<(), russh::Error> {
        self.count()?;
        let (Some(grant), Some(open)) = (self.grant().cloned(), self.channels.remove(&id)) else {
            return session.channel_failure(id);
        };
        let Line::Open { half, window } = open else {
            // A second command on a running channel.
            self.channels.insert(id, open);
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let terminal = Terminal::new(window, self.valve.clone());
        let handle = session.handle();
        let work = Work {
            gateway: self.gateway.clone(),
            grant,
            out: Out::new(half, handle.clone(), window.is_some()),
            terminal: terminal.clone(),
            prefix: Prefix::of(self.gateway.settings().detach),
            stopped: self.stopped.clone(),
        };
        let task = tokio::spawn(guarded(Box::pin(work.run(line)), handle)).abort_handle();
        self.channels.insert(id, Line::Running { terminal, _task: Task(task) });
        Ok(())
    }

    /// Channels whose command has ended are the client's to close, but no longer count.
    fn sweep(&mut self) {
        self.channels.retain(|_, line| !matches!(line, Line::Running { _task, .. } if _task.0.is_finished()));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let State::Stranger(login) = std::mem::replace(&mut self.state, State::Nothing) {
            login.abandoned();
        }
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        let State::Stranger(login) = &mut self.state else { return Ok(Auth::reject()) };
        Ok(if login.consider(user, offer).await { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let State::Stranger(login) = &mut self.state else { return Ok(Auth::reject()) };
        let Some(logged_in) = login.admit(user, key).await else { return Ok(Auth::reject()) };
        if let State::Stranger(login) = std::mem::replace(&mut self.state, State::Nothing) {
            self.state = State::Admitted(login, logged_in);
        }
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), russh::Error> {
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::Admitted(login, logged_in) => {
                login.done();
                if let Some(told) = self.logged_in.take() {
                    // Nobody hears it when the connection is over already.
                    let _ = told.send(logged_in.grant.clone());
                }
                self.state = State::In(logged_in);
                Ok(())
            }
            other => {
                self.state = other;
                session.disconnect(Disconnect::ByApplication, "no login", "en")
            }
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        self.sweep();
        if self.grant().is_none() || self.channels.len() >= MOST_CHANNELS || self.opened >= MOST_CHANNELS_EVER {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.opened += 1;
        let id = channel.id();
        // The reading half is dropped: data comes to `data`, and the loop never waits for a reader.
        let (_, half) = channel.split();
        self.channels.insert(id, Line::Open { half, window: None });
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        let allowed = self.grant().is_some_and(|grant| grant.may_terminal().is_ok());
        match self.channels.get_mut(&channel) {
            Some(Line::Open { window, .. }) if allowed => {
                *window = Some(Window { size: WinSize::clamped(columns, rows), pixels: (width, height) });
                session.channel_success(channel)
            }
            _ => session.channel_failure(channel),
        }
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        let changed = Window { size: WinSize::clamped(columns, rows), pixels: (width, height) };
        match self.channels.get_mut(&channel) {
            Some(Line::Open { window: Some(window), .. }) => *window = changed,
            Some(Line::Running { terminal, .. }) => terminal.resize(changed),
            _ => {}
        }
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        // The session's environment is its account's, not its viewers'; the client is told so only for what is unusual.
        if matches!(name, "LANG" | "TERM" | "COLORTERM") || name.starts_with("LC_") {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        self.start(channel, None, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        // What is no UTF-8 becomes a word that nothing is called.
        self.start(channel, Some(String::from_utf8_lossy(line).into_owned()), session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if name == SUBSYSTEM {
            return self.start(channel, Some(name.to_owned()), session);
        }
        self.count()?;
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        session.channel_failure(channel)
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        self.count()?;
        Ok(false)
    }

    async fn tcpip_forward(&mut self, _: &str, _: &mut u32, _: &mut Session) -> Result<bool, russh::Error> {
        self.count()?;
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, _: &str, _: &mut Session) -> Result<bool, russh::Error> {
        self.count()?;
        Ok(false)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        if let Some(Line::Running { terminal, .. }) = self.channels.get(&channel)
            && let Err(lost) = terminal.typed(data)
        {
            let text = format!("portcullis: {lost} typed bytes were not delivered: nothing reads them here\r\n");
            session.extended_data(channel, 1, text.into_bytes())?;
            session.exit_status_request(channel, 74)?;
            session.close(channel)?;
            self.channels.remove(&channel);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        if let Some(Line::Running { terminal, .. }) = self.channels.get(&channel) {
            terminal.end_of_input();
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.channels.remove(&channel);
        Ok(())
    }
}

/// A panic in a channel's task ends its connection, and no other.
async fn guarded(work: Pin<Box<dyn Future<Output = ()> + Send>>, handle: Handle) {
    if Caught(work).await.is_err() {
        tracing::error!("a channel's task panicked; its connection ends");
        let _ = handle.disconnect(Disconnect::ByApplication, "internal error".to_owned(), "en".to_owned()).await;
    }
}

struct Caught(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Caught {
    type Output = Result<(), ()>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic the future is never polled again.
        let work = self.0.as_mut();
        match catch_unwind(AssertUnwindSafe(|| work.poll(context))) {
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(())),
        }
    }
}
