//! ACP over a channel: an editor's lines, and the sessions that it looks at. Does not know what the lines say.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::agent::request;
use super::out::Status;
use super::run::{Failure, Work, finished};
use crate::agents::acp_server::{Act, Done, Effect, Effects, Opened, Server, Trouble};
use crate::base::{Name, Offset, SessionId};
use crate::gateway::router::{Router, SessionHandle};
use crate::gateway::session::{AttachRequest, Attachment, ViewerItem};
use crate::gateway::verbs::{AcpVerb, From};
use crate::gateway::{LiveGrant, SOFTWARE, SessionError, StartRequest};
use crate::policy::Verb as Right;
use crate::wire::v1::agent_reply::Result as Reply;

/// Acts that wait for their turn; above it the client is not read.
const QUEUE: usize = 16;

/// What an editor has asked for.
struct Desk<'a> {
    work: &'a Work,
    server: Server,
    agent: Name,
    /// For sessions whose own directory is not here.
    directory: String,
    looks: Vec<Look>,
    queue: VecDeque<Job>,
    /// One at a time, so that a prompt and its cancel keep their order.
    running: Option<Running>,
    input_is_over: bool,
}

/// A session that is looked at.
struct Look {
    id: String,
    session: SessionHandle,
    attachment: Attachment,
    log_id: String,
}

enum Job {
    Act {
        number: u64,
        act: Act,
    },
    /// A viewer that was sent away, at the place where it was.
    Again {
        id: String,
        session: SessionHandle,
        log_id: String,
        at: Offset,
    },
}

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What became of a job.
enum Outcome {
    Opened { number: u64, look: Look, opened: Box<Opened> },
    Told { number: u64, outcome: Result<Done, Trouble> },
    Back { look: Look, lost: u64 },
    Lost { id: String, why: String },
}

enum Heard {
    Outcome(Outcome),
    Input(Option<Vec<u8>>),
    Item(String, ViewerItem),
}

impl Work {
    /// Serves an editor until it goes away. Its sessions live on.
    pub(super) async fn acp(&self, verb: AcpVerb) -> Result<Status, Failure> {
        if self.window().is_some() {
            return Ok(self.complain("acp is for a program: use ssh -T HOST acp AGENT", Status::USAGE).await);
        }
        let agent = match verb.agent {
            Some(agent) => agent,
            None => self.first_structured()?,
        };
        self.terminal.take_lines();
        let tag = SessionId::from_bytes(crate::gateway::random()).to_string();
        let desk = Desk {
            work: self,
            server: Server::new(tag, SOFTWARE),
            agent,
            directory: verb.directory.unwrap_or_default(),
            looks: Vec::new(),
            queue: VecDeque::new(),
            running: None,
            input_is_over: false,
        };
        desk.serve().await
    }

    fn first_structured(&self) -> Result<Name, SessionError> {
        let known = &self.gateway.settings().agents;
        let speaks = |name: &&Name| {
            known.iter().any(|agent| agent.name == **name && agent.modes.iter().any(|mode| mode == "structured"))
        };
        self.grant.agents().find(speaks).cloned().ok_or_else(|| SessionError::Refused {
            code: "no-such-agent",
            message: "no agent of this key has mode structured; add it to the agent's `modes`".to_owned(),
        })
    }
}

impl Desk<'_> {
    async fn serve(mut self) -> Result<Status, Failure> {
        loop {
            self.start_next();
            if self.input_is_over && self.running.is_none() {
                return Ok(Status::DONE);
            }
            let effects = match poll_fn(|context| self.poll_hear(context)).await {
                Heard::Outcome(outcome) => self.done(outcome),
                Heard::Input(Some(bytes)) => self.server.read(&bytes),
                Heard::Input(None) => {
                    self.input_is_over = true;
                    Effects::new()
                }
                Heard::Item(id, item) => self.item(id, item),
            };
            for effect in effects {
                match effect {
                    Effect::Say(line) => self.work.out.data(line).await?,
                    Effect::Act { number, act } => self.queue.push_back(Job::Act { number, act }),
                }
            }
        }
    }

    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if let Some(running) = &mut self.running
            && let Poll::Ready(outcome) = running.as_mut().poll(context)
        {
            self.running = None;
            return Poll::Ready(Heard::Outcome(outcome));
        }
        if !self.input_is_over
            && self.queue.len() < QUEUE
            && let Poll::Ready(input) = self.work.terminal.poll_bytes(context)
        {
            return Poll::Ready(Heard::Input(input));
        }
        for at in 0..self.looks.len() {
            let Some(look) = self.looks.get_mut(at) else { break };
            if let Poll::Ready(item) = look.attachment.poll_item(context) {
                let id = look.id.clone();
                // The others come first the next time.
                self.looks.rotate_left(at + 1);
                return Poll::Ready(Heard::Item(id, item));
            }
        }
        Poll::Pending
    }

    fn start_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(job) = self.queue.pop_front() else { return };
        let (router, grant) = (self.work.gateway.router().clone(), self.work.grant.clone());
        self.running = Some(match job {
            Job::Again { id, session, log_id, at } => Box::pin(again(id, session, log_id, at)),
            Job::Act { number, act: Act::Begin { directory } } => {
                let elsewhere = self.directory.clone();
                let request = StartRequest {
                    agent: self.agent.to_string(),
                    mode: "structured".to_owned(),
                    // Only an absolute one can mean the same at both ends.
                    directory: if directory.starts_with('/') { directory } else { elsewhere.clone() },
                    ..StartRequest::default()
                };
                Box::pin(opening(number, async move { begin(&router, &grant, request, elsewhere).await }))
            }
            Job::Act { number, act: Act::Load { session } } => {
                Box::pin(opening(number, async move { load(&router, &grant, &session).await }))
            }
            Job::Act { number, act: Act::Command { session, command } } => Box::pin(async move {
                let found = grant.count_message().and_then(|()| router.find(&grant, &session, Right::View));
                let result = match found {
                    Ok(session) => finished(async move { session.command(command).await }).await,
                    Err(error) => Err(error),
                };
                let outcome = match result {
                    Ok(reply) => Ok(match reply.result {
                        Some(Reply::Prompt(state)) => Done::Prompt(state),
                        _ => Done::Told,
                    }),
                    Err(error) => Err(trouble(&error)),
                };
                Outcome::Told { number, outcome }
            }),
        });
    }

    fn done(&mut self, outcome: Outcome) -> Effects {
        match outcome {
            Outcome::Opened { number, look, opened } => {
                self.looks.retain(|known| known.id != look.id);
                self.looks.push(look);
                self.server.done(number, Ok(Done::Opened(opened)))
            }
            Outcome::Told { number, outcome } => self.server.done(number, outcome),
            Outcome::Back { look, lost } => {
                let id = look.id.clone();
                self.looks.push(look);
                if lost > 0 { self.server.lost(&id, lost) } else { Effects::new() }
            }
            Outcome::Lost { id, why } => self.server.ended(&id, &why),
        }
    }

    fn item(&mut self, id: String, item: ViewerItem) -> Effects {
        match item {
            ViewerItem::AgentEvent { number, event } => self.server.event(&id, number, &event),
            ViewerItem::Ended { .. } => {
                self.take(&id);
                self.server.ended(&id, "the agent has ended; `restart` starts it again, then load the session again")
            }
            ViewerItem::Detached { reason, resumable, offset } => match self.take(&id) {
                Some(Look { session, log_id, .. }) if resumable => {
                    self.queue.push_back(Job::Again { id, session, log_id, at: offset });
                    Effects::new()
                }
                _ => self.server.ended(&id, &format!("detached: {reason}")),
            },
            _ => Effects::new(),
        }
    }

    fn take(&mut self, id: &str) -> Option<Look> {
        let at = self.looks.iter().position(|look| look.id == id)?;
        Some(self.looks.remove(at))
    }
}

/// Begun, it is finished, also when the client is gone: then the session is there to be loaded.
async fn opening(
    number: u64,
    open: impl Future<Output = Result<(Look, Opened), SessionError>> + Send + 'static,
) -> Outcome {
    match finished(open).await {
        Ok((look, opened)) => Outcome::Opened { number, look, opened: Box::new(opened) },
        Err(error) => Outcome::Told { number, outcome: Err(trouble(&error)) },
    }
}

/// In the editor's directory if that is below a root here, else in the one of the command line.
async fn begin(
    router: &Router,
    grant: &LiveGrant,
    request: StartRequest,
    elsewhere: String,
) -> Result<(Look, Opened), SessionError> {
    let again = StartRequest { directory: elsewhere, ..request.clone() };
    let started = match router.start(grant, request).await {
        Err(error) if error.code() == "directory-outside-roots" => router.start(grant, again).await,
        other => other,
    };
    look_at(started?.0, 0).await
}

async fn load(router: &Router, grant: &LiveGrant, id: &str) -> Result<(Look, Opened), SessionError> {
    let session = router.find(grant, id, Right::View)?;
    if session.summary().mode != "structured" {
        let message = format!("session {} has a terminal: ssh -t HOST attach it", session.summary().name);
        return Err(SessionError::Refused { code: "wrong-mode", message });
    }
    // Where the old events end.
    let (head, _) = session.attach(request(From::Live, false)).await?;
    look_at(session, head.offset).await
}

async fn look_at(session: SessionHandle, until: u64) -> Result<(Look, Opened), SessionError> {
    let (attached, attachment) = session.attach(request(From::Start, false)).await?;
    let summary = session.summary();
    let opened = Opened {
        session: summary.session_id.clone(),
        name: summary.name,
        directory: summary.directory,
        first: attached.offset,
        until,
        lost: attached.lost_to.saturating_sub(attached.lost_from),
        agent: attached.agent.unwrap_or_default(),
    };
    Ok((Look { id: summary.session_id, session, attachment, log_id: attached.log_id }, opened))
}

async fn again(id: String, session: SessionHandle, log_id: String, at: Offset) -> Outcome {
    let log = log_id.parse().ok();
    let request = AttachRequest { cursor: log.map(|log| (log, at)), ..request(From::Live, false) };
    match session.attach(request).await {
        Ok((attached, attachment)) => {
            let lost = attached.lost_to.saturating_sub(attached.lost_from);
            Outcome::Back { look: Look { id, session, attachment, log_id: attached.log_id }, lost }
        }
        Err(error) => Outcome::Lost { id, why: error.to_string() },
    }
}

fn trouble(error: &SessionError) -> Trouble {
    Trouble { code: error.code().to_owned(), message: error.to_string(), retryable: error.retryable() }
}
