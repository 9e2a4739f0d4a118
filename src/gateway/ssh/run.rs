//! One channel's command from its words to its status. Does not know how words and keys come in.

use tokio::sync::watch;

use super::detach::Prefix;
use super::out::{Gone, Out, Status};
use super::terminal::Terminal;
use super::viewer::{End, Stop, view};
use crate::base::{Name, WinSize};
use crate::gateway::router::SessionHandle;
use crate::gateway::verbs::{
    AttachVerb, From, NewVerb, OpenVerb, Target, UsageError, Verb, help_text, list_json, parse, render_list, split,
    state_text,
    told::{forgotten, killed, renamed, restarted},
};
use crate::gateway::{Gateway, LiveGrant, SessionError, StartRequest};
use crate::policy::Verb as Right;
use crate::screen::leave_sequence;
use crate::wire::v1::exit::How;

/// Why a connection ends from our side; none while it does not.
pub(super) type Stopped = watch::Receiver<Option<String>>;

/// What a channel's command needs.
pub(super) struct Work {
    pub(super) gateway: Gateway,
    pub(super) grant: LiveGrant,
    pub(super) out: Out,
    pub(super) terminal: Terminal,
    pub(super) prefix: Option<Prefix>,
    pub(super) stopped: Stopped,
}

/// Why a command did not end well.
#[derive(Debug)]
pub(super) enum Failure {
    Usage(UsageError),
    Refused(SessionError),
    Gone,
}

impl std::convert::From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl std::convert::From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::Refused(error)
    }
}

impl std::convert::From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl std::convert::From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => Self::Refused(error),
            Stop::Gone => Self::Gone,
        }
    }
}

impl Work {
    /// Runs a command line, or without one the picker, and closes the channel with its status.
    pub(super) async fn run(mut self, line: Option<String>) {
        let mut stopped = self.stopped.clone();
        let outcome = tokio::select! {
            biased;
            reason = stop(&mut stopped) => Err(reason),
            outcome = self.perform(line) => Ok(outcome),
        };
        self.terminal.read_no_more();
        let status = match outcome {
            Ok(Ok(status)) => status,
            Ok(Err(Failure::Gone)) => return,
            Ok(Err(Failure::Usage(error))) => self.complain(&error.to_string(), Status::USAGE).await,
            Ok(Err(Failure::Refused(error))) => self.complain(&error.to_string(), Status::FAILED).await,
            Err(reason) => {
                if self.window().is_some() && self.out.data(leave_sequence()).await.is_err() {
                    return;
                }
                self.complain(&format!("this login is over: {reason}"), Status::REVOKED).await
            }
        };
        self.out.finish(status).await;
    }

    async fn perform(&mut self, line: Option<String>) -> Result<Status, Failure> {
        self.grant.count_message()?;
        // `command=` wins over whatever the client asks for.
        let line = self.grant.forced().map(str::to_owned).or(line);
        match line {
            Some(line) if !line.trim().is_empty() => {
                let verb = parse(&split(&line)?)?;
                self.verb(verb).await
            }
            _ if self.window().is_some() => super::picking::pick(self).await,
            _ => {
                self.out.error(&help_text(None).unwrap_or_default()).await?;
                Ok(Status::USAGE)
            }
        }
    }

    async fn verb(&self, verb: Verb) -> Result<Status, Failure> {
        let (router, grant) = (self.gateway.router().clone(), self.grant.clone());
        if !matches!(verb, Verb::Attach(_) | Verb::Named(_)) {
            self.terminal.take_little();
        }
        match verb {
            Verb::List { json } => {
                let sessions = router.list(&grant);
                let width = self.window().map(WinSize::cols);
                self.out.text(&if json { list_json(&sessions) } else { render_list(&sessions, width) }).await?;
            }
            Verb::Help { text } => self.out.text(&text).await?,
            Verb::Show { session } => {
                let text = router.find(&grant, session.as_str(), Right::Show)?.show().await?;
                self.out.text(&with_newline(text)).await?;
            }
            Verb::Agent(verb) => return self.agent(verb).await,
            Verb::Attach(verb) => return self.attach(&verb).await,
            Verb::New(verb) => return self.begin(verb).await,
            Verb::Named(named) => {
                return match named.resolve(|word| grant.agents().any(|agent| agent.as_str() == word))? {
                    Target::Attach(verb) => self.attach(&verb).await,
                    Target::Open(verb) => self.open(verb).await,
                };
            }
            act => self.act(act).await?,
        }
        Ok(Status::DONE)
    }

    /// Verbs that change something: begun, they are finished, also when the client is gone.
    async fn act(&self, verb: Verb) -> Result<(), Failure> {
        let (router, grant) = (self.gateway.router().clone(), self.grant.clone());
        let told = finished(async move {
            Ok(match verb {
                Verb::Kill { session } => killed(session.as_str(), &router.kill(&grant, session.as_str()).await?),
                Verb::Stop { session } => killed(session.as_str(), &router.stop(&grant, session.as_str()).await?),
                Verb::Restart { session } => {
                    let (_, with_history) = router.restart(&grant, session.as_str()).await?;
                    restarted(session.as_str(), with_history)
                }
                Verb::Rename { session, name } => {
                    router.rename(&grant, session.as_str(), name.as_str())?;
                    renamed(session.as_str(), name.as_str())
                }
                Verb::Forget { session } => {
                    router.forget(&grant, session.as_str()).await?;
                    forgotten(session.as_str())
                }
                Verb::Send(send) => {
                    let handle = router.find(&grant, send.session.as_str(), Right::Send)?;
                    handle.send(&send.text, send.enter).await?;
                    String::new()
                }
                _ => String::new(),
            })
        })
        .await?;
        if !told.is_empty() {
            self.out.text(&told).await?;
        }
        Ok(())
    }

    async fn attach(&self, verb: &AttachVerb) -> Result<Status, Failure> {
        if self.window().is_some() && verb.from != From::Live {
            let why = "--from needs a stream, not a terminal: ssh -T HOST attach NAME --from …";
            return Ok(self.complain(why, Status::USAGE).await);
        }
        let session = self.gateway.router().find(&self.grant, verb.session.as_str(), Right::View)?;
        self.watch(&session, verb).await
    }

    async fn begin(&self, verb: NewVerb) -> Result<Status, Failure> {
        let request = StartRequest {
            agent: verb.agent.to_string(),
            directory: verb.directory.unwrap_or_default(),
            name: verb.name,
            mode: verb.mode.unwrap_or_default(),
            options: verb.options,
            args: verb.args,
            ..StartRequest::default()
        };
        let session = self.start(request).await?;
        let name = session.summary().name;
        self.out.text(&format!("{name}\n")).await?;
        if self.window().is_none() {
            return Ok(Status::DONE);
        }
        self.watch(&session, &live(&name)?).await
    }

    async fn open(&self, verb: OpenVerb) -> Result<Status, Failure> {
        if self.window().is_none() {
            let why = format!("{0} needs a terminal: use ssh -t HOST {0}", verb.agent);
            return Ok(self.complain(&why, Status::USAGE).await);
        }
        let request = StartRequest {
            agent: verb.agent.to_string(),
            directory: verb.directory.unwrap_or_default(),
            args: verb.args,
            reuse: true,
            ..StartRequest::default()
        };
        let session = self.start(request).await?;
        let name = session.summary().name;
        self.watch(&session, &live(&name)?).await
    }

    /// Starts a session for this window; it is started also when the client does not wait for it.
    pub(super) async fn start(&self, request: StartRequest) -> Result<SessionHandle, Failure> {
        let (router, grant) = (self.gateway.router().clone(), self.grant.clone());
        grant.may_terminal().map_err(SessionError::from)?;
        let request = StartRequest { size: self.window(), ..request };
        let (session, _) = finished(async move { router.start(&grant, request).await }).await?;
        Ok(session)
    }

    /// Shows a session and tells how it ended.
    async fn watch(&self, session: &SessionHandle, verb: &AttachVerb) -> Result<Status, Failure> {
        let joins = session.is_raw() && self.window().is_none();
        if !joins {
            self.terminal.take_little();
        }
        if session.is_structured() && self.window().is_none() && !joins {
            let why = format!("{0} is structured: events {0}, or with a terminal ssh -t HOST attach {0}", verb.session);
            return Ok(self.complain(&why, Status::USAGE).await);
        }
        let end = view(&self.out, &self.terminal, session, verb, self.prefix).await?;
        let name = session.summary().name;
        let tty = self.window().is_some();
        match end {
            End::Left => {
                let text = format!("[detached from {name}; it lives on: ssh -t … attach {name}]\n");
                self.out.text(&text).await?;
                Ok(Status::DONE)
            }
            End::Ended(exit) => {
                if let Some(How::NotStarted(why)) = &exit.how {
                    self.say(&format!("{name} could not be started: {}", crate::base::printable(why, 400))).await?;
                } else if tty {
                    self.out.text(&format!("[{name} ended: {}]\n", state_text(&session.summary()))).await?;
                }
                Ok(Status::of(&exit))
            }
            other => Ok(self.unfinished(other).await),
        }
    }

    /// Says why a look broke off.
    async fn unfinished(&self, end: End) -> Status {
        match end {
            End::Lost(text) => self.complain(&text, Status::LOST).await,
            End::NotTaken(text) => self.complain(&text, Status::LOST).await,
            End::Detached { reason, resumable: true } => {
                self.complain(&format!("detached: {reason}; the session lives on, attach again"), Status::AGAIN).await
            }
            End::Detached { reason, .. } => self.complain(&format!("detached: {reason}"), Status::FAILED).await,
            End::Left | End::Ended(_) => Status::DONE,
        }
    }

    /// One sentence on stderr.
    pub(super) async fn complain(&self, text: &str, status: Status) -> Status {
        // Whoever is gone hears nothing and sees no status.
        let _ = self.say(text).await;
        status
    }

    pub(super) async fn say(&self, text: &str) -> Result<(), Gone> {
        self.out.error(&format!("portcullis: {text}\n")).await
    }

    pub(super) fn window(&self) -> Option<WinSize> {
        self.terminal.window().map(|window| window.size)
    }
}

/// How a look from the picker ended, in one line for it.
pub(super) fn note_of(name: &Name, end: &End) -> String {
    match end {
        End::Left => format!("detached from {name}; it lives on"),
        End::Ended(exit) => match &exit.how {
            Some(How::Code(code)) => format!("{name} ended: exit {code}"),
            Some(How::Signal(signal)) => format!("{name} ended: signal {signal}"),
            Some(How::NotStarted(why)) => format!("{name} could not be started: {why}"),
            None => format!("{name} ended"),
        },
        End::Lost(text) | End::NotTaken(text) => text.clone(),
        End::Detached { reason, .. } => format!("detached from {name}: {reason}"),
    }
}

/// An ordinary look at a session from now on.
pub(super) fn live(name: &str) -> Result<AttachVerb, SessionError> {
    Ok(AttachVerb { session: name.parse::<Name>()?, view: false, from: From::Live })
}

async fn stop(stopped: &mut Stopped) -> String {
    loop {
        let reason = stopped.borrow_and_update().clone();
        match reason {
            Some(reason) => return reason,
            // The connection's own task is gone: the channel will be too.
            None if stopped.changed().await.is_err() => std::future::pending::<()>().await,
            None => {}
        }
    }
}

/// Runs to the end even when whoever waits for it goes away.
pub(super) async fn finished<T: Send + 'static>(
    act: impl Future<Output = Result<T, SessionError>> + Send + 'static,
) -> Result<T, SessionError> {
    match tokio::spawn(act).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a verb's task panicked");
            Err(SessionError::Late("the gateway"))
        }
    }
}

pub(super) fn with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
