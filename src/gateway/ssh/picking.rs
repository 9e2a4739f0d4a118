//! The picker on a channel: draws, reads keys, shows what was chosen, comes back. Does not know what a key means.

use std::time::{Duration, Instant};

use tokio::time::{interval, sleep_until, timeout};

use super::out::{Out, Status};
use super::picker::{Action, Drawing, Drawn, Key, Keyboard, Picker};
use super::run::{Failure, Work, finished, live, note_of};
use super::viewer::{Stop, view};
use crate::base::{Name, WinSize};
use crate::gateway::SessionError;
use crate::gateway::StartRequest;
use crate::gateway::verbs::choose;
use crate::wire::v1::AnswerPermission;
use crate::wire::v1::agent_command::Command;

/// How often the list is looked at again while somebody looks at it.
const REFRESH: Duration = Duration::from_secs(2);
/// An ESC that nothing follows for so long is a key: what terminals send as one comes in one packet or close behind.
const ESCAPE: Duration = Duration::from_millis(60);
/// A request is decided by a key so long after it was drawn: who pressed one at what stood there before meant that.
const GRACE: Duration = Duration::from_millis(400);

/// Lets a person choose until they quit.
pub(super) async fn pick(work: &Work) -> Result<Status, Failure> {
    work.grant.may_terminal().map_err(SessionError::from)?;
    let account = work.grant.account();
    let roots = &work.grant.policy().roots;
    let root = roots.first().map_or_else(String::new, |root| root.to_string_lossy().into_owned());
    let agents = work.grant.agents().cloned().collect();
    let mut screen = Screen {
        picker: Picker::new(format!("portcullis: {account}"), agents, root),
        drawing: Drawing::default(),
        drawn: None,
    };
    let mut keyboard = Keyboard::default();
    screen.look(work);
    screen.draw(&work.out, work.window(), false).await?;
    let mut ticks = interval(REFRESH);
    loop {
        let typed = tokio::select! {
            typed = work.terminal.read() => typed,
            () = until(screen.due()) => {
                if screen.arm() {
                    screen.draw(&work.out, work.window(), false).await?;
                }
                continue;
            }
            _ = ticks.tick() => {
                if screen.look(work) {
                    screen.draw(&work.out, work.window(), false).await?;
                }
                continue;
            }
        };
        let mut keys = keyboard.push(&typed.bytes);
        // A lone ESC: wait for what may belong to it, no longer.
        while keyboard.is_open() {
            match timeout(ESCAPE, work.terminal.read()).await {
                Ok(more) => keys.extend(keyboard.push(&more.bytes)),
                Err(_) => keys.extend(keyboard.close()),
            }
        }
        let mut anew = typed.resized;
        for key in keys {
            match screen.press(work, key).await? {
                Next::Quit => return Ok(Status::DONE),
                Next::Stay => {}
                Next::Back => anew = false,
            }
        }
        screen.draw(&work.out, work.window(), anew).await?;
    }
}

enum Next {
    Stay,
    /// From a session: nothing is drawn.
    Back,
    Quit,
}

struct Screen {
    picker: Picker,
    drawing: Drawing,
    /// The request on the picture, and since when.
    drawn: Option<(Drawn, Instant)>,
}

impl Screen {
    /// Takes in what there is now; whether the picture changes.
    fn look(&mut self, work: &Work) -> bool {
        let router = work.gateway.router();
        let sessions = self.picker.set_sessions(router.list(&work.grant));
        self.picker.set_asked(router.approvals(&work.grant)) || sessions
    }

    async fn press(&mut self, work: &Work, key: Key) -> Result<Next, Failure> {
        let action = self.picker.apply(key);
        if action == Action::Stay {
            return Ok(Next::Stay);
        }
        work.out.data(self.drawing.clear()).await?;
        // What is drawn after this has to be read anew.
        self.drawn = None;
        self.picker.arm(None);
        let outcome = match action {
            Action::Stay => return Ok(Next::Stay),
            Action::Quit => return Ok(Next::Quit),
            Action::Attach(name) => self.show(work, &name).await,
            Action::Start { agent, directory } => start(work, agent, directory).await,
            Action::Decide { asked, allow } => decide(work, *asked, allow).await,
        };
        match outcome {
            Ok(note) => self.picker.set_note(&note),
            Err(Failure::Refused(error)) => self.picker.set_note(&error.to_string()),
            Err(other) => return Err(other),
        }
        self.look(work);
        Ok(Next::Back)
    }

    async fn show(&self, work: &Work, name: &Name) -> Result<String, Failure> {
        let session = work.gateway.router().find(&work.grant, name.as_str(), crate::policy::Verb::View)?;
        look(work, &session, name).await
    }

    async fn draw(&mut self, out: &Out, window: Option<WinSize>, anew: bool) -> Result<(), Failure> {
        let size = window.unwrap_or(WinSize::DEFAULT);
        let drawn = self.picker.drawn(size);
        let is_other = self.drawn.as_ref().map(|(drawn, _)| drawn) != drawn.as_ref();
        if is_other {
            self.picker.arm(None);
        }
        out.data(self.drawing.draw(&self.picker, size, anew)).await?;
        if is_other {
            self.drawn = drawn.map(|drawn| (drawn, Instant::now()));
        }
        Ok(())
    }

    /// When keys decide what is drawn; none when they do, or nothing is.
    fn due(&self) -> Option<Instant> {
        let (drawn, since) = self.drawn.as_ref()?;
        (!self.picker.is_armed(drawn)).then(|| *since + GRACE)
    }

    /// What is drawn could be read; whether the picture changes.
    fn arm(&mut self) -> bool {
        self.picker.arm(self.drawn.as_ref().map(|(drawn, _)| drawn.clone()))
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Decides what was drawn: what took its place meanwhile has another digest, and is refused.
async fn decide(work: &Work, asked: Drawn, allow: bool) -> Result<String, Failure> {
    let Drawn { session, permission, .. } = asked;
    let session = work.gateway.router().find(&work.grant, &session, crate::policy::Verb::View)?;
    let option = choose(&permission, allow, false)
        .map_err(|message| SessionError::Refused { code: "no-such-option", message })?;
    let answer = AnswerPermission { id: permission.id, digest: permission.digest, option, reason: String::new() };
    finished(async move { session.command(Command::AnswerPermission(answer)).await }).await?;
    Ok(if allow { "allowed" } else { "denied" }.to_owned())
}

async fn start(work: &Work, agent: Name, directory: Option<String>) -> Result<String, Failure> {
    let directory = directory.unwrap_or_default();
    let request = StartRequest { agent: agent.to_string(), directory, ..StartRequest::default() };
    let session = work.start(request).await?;
    let name = session.summary().name.parse().map_err(SessionError::from)?;
    look(work, &session, &name).await
}

async fn look(work: &Work, session: &crate::gateway::router::SessionHandle, name: &Name) -> Result<String, Failure> {
    match view(&work.out, &work.terminal, session, &live(name.as_str())?, work.prefix).await {
        Ok(end) => Ok(note_of(name, &end)),
        Err(Stop::Refused(error)) => Err(Failure::Refused(error)),
        Err(Stop::Gone) => Err(Failure::Gone),
    }
}
