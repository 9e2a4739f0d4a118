//! One look at a structured session through a channel with a window: a line terminal between its events and what is typed.
//! Does not know what the rows say.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::task::JoinSet;

use super::detach::{DetachKeys, Prefix, Scan};
use super::out::Out;
use super::run::finished;
use super::terminal::{Terminal, Typed, Window};
use super::viewer::{End, Stop};
use crate::base::{LogId, Offset, SessionId};
use crate::gateway::lines::{CONTEXT, LineTerminal, Setup, Wish};
use crate::gateway::router::SessionHandle;
use crate::gateway::{AttachRequest, Attachment, SessionError, ViewerItem};
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{AgentEvent, Appearance, ViewerMode};

/// Events that are drawn in one step: an event has at most 256 KiB.
const BATCH: usize = 16;
/// Commands on their way to the agent: more than a person presses keys while a host may take to answer.
const UNDERWAY: usize = 16;

/// Attaches and shows the conversation until somebody leaves.
pub(super) async fn talk(
    out: &Out,
    terminal: &Terminal,
    window: Window,
    session: &SessionHandle,
    view: bool,
    prefix: Option<Prefix>,
) -> Result<End, Stop> {
    let (attached, attachment) = session.attach(request(view, None)).await?;
    let mut lines = LineTerminal::new(Setup {
        name: session.summary().name,
        size: window.size,
        drives: attached.role != "view",
        may_approve: session.may_approve(),
        leave: prefix.map(|prefix| format!("{prefix} d")).unwrap_or_default(),
        prompts: SessionId::from_bytes(crate::gateway::random()).to_string(),
    });
    lines.attached(&attached);
    let keys = prefix.map(DetachKeys::new);
    let (answers, next) = (JoinSet::new(), attached.offset);
    let mut talk = Talk { lines, attachment, terminal, session, keys, answers, next };
    let end = loop {
        match (talk.pump(out).await?, attached.log_id.parse::<LogId>()) {
            // Its window was closed, or its network away, for longer than events are kept here: the host has them.
            (End::Detached { reason: "too-slow", .. }, Ok(log)) => talk.catch_up(log, view).await?,
            (end, _) => break end,
        }
    };
    out.data(talk.lines.leave()).await?;
    Ok(end)
}

fn request(view: bool, cursor: Option<(LogId, Offset)>) -> AttachRequest {
    AttachRequest {
        mode: ViewerMode::Events,
        size: None,
        hidden: false,
        view,
        cursor,
        from_start: false,
        from_offset: None,
        history: CONTEXT,
        writer: None,
        door: "ssh",
        appearance: Appearance::default(),
        raw_lines: false,
    }
}

/// What came of a question to the session.
enum Answer {
    Told(Command, Result<(), SessionError>),
    /// The whole event of this number.
    Fetched(u64, Result<AgentEvent, SessionError>),
}

struct Talk<'a> {
    lines: LineTerminal,
    attachment: Attachment,
    terminal: &'a Terminal,
    session: &'a SessionHandle,
    /// None: no keys leave.
    keys: Option<DetachKeys>,
    answers: JoinSet<Answer>,
    /// The event that comes next.
    next: u64,
}

impl Talk<'_> {
    async fn pump(&mut self, out: &Out) -> Result<End, Stop> {
        loop {
            let picture = self.lines.paint();
            if !picture.is_empty() {
                out.data(picture).await?;
            }
            self.lines.painted(Instant::now());
            self.fetch();
            let due = self.lines.due();
            tokio::select! {
                biased;
                typed = self.terminal.read() => {
                    if let Some(end) = self.typed(&typed) {
                        return Ok(end);
                    }
                }
                Some(answer) = self.answers.join_next() => {
                    // A task that panicked has said so in the log.
                    if let Ok(answer) = answer {
                        self.answered(answer);
                    }
                }
                () = until(due) => self.lines.tick(Instant::now()),
                items = poll_fn(|context| batch(&mut self.attachment, context)) => {
                    for item in items {
                        if let Some(end) = self.happened(item) {
                            return Ok(end);
                        }
                    }
                }
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Told(_, Ok(())) => {}
            Answer::Told(command, Err(error)) => self.lines.refused(&command, &error.to_string()),
            Answer::Fetched(number, event) => self.lines.fetched(number, event.map_err(|error| error.to_string())),
        }
    }

    /// The rest of what somebody has to see whole.
    fn fetch(&mut self) {
        if self.answers.len() < UNDERWAY
            && let Some(number) = self.lines.wanted()
        {
            let session = self.session.clone();
            self.answers.spawn(async move { Answer::Fetched(number, session.fetch_event(number).await) });
        }
    }

    async fn catch_up(&mut self, log: LogId, view: bool) -> Result<(), Stop> {
        let (attached, attachment) = self.session.attach(request(view, Some((log, Offset(self.next))))).await?;
        self.attachment = attachment;
        self.lines.attached(&attached);
        Ok(())
    }

    fn typed(&mut self, typed: &Typed) -> Option<End> {
        if typed.resized
            && let Some(window) = self.terminal.window()
        {
            self.lines.resize(window.size, Instant::now());
        }
        let mut through = Vec::new();
        let scan = match &mut self.keys {
            Some(keys) => keys.push(&typed.bytes, &mut through),
            None => {
                through.extend_from_slice(&typed.bytes);
                Scan::Stay
            }
        };
        let left = self.lines.typed(&through, Instant::now()).into_iter().any(|wish| self.grant(wish));
        if let Scan::Leave { taken } = scan {
            self.terminal.give_back(typed.bytes.get(taken..).unwrap_or_default());
        }
        (left || scan != Scan::Stay).then_some(End::Left)
    }

    /// True when the person wants to leave.
    fn grant(&mut self, wish: Wish) -> bool {
        let command = match wish {
            Wish::Leave => return true,
            Wish::Ask(command) => command,
        };
        if self.answers.len() >= UNDERWAY {
            self.lines.refused(&command, "the session's host is slow; try again in a moment");
            return false;
        }
        if let Err(error) = self.attachment.grant().count_message() {
            self.lines.refused(&command, &error.to_string());
            return false;
        }
        let session = self.session.clone();
        self.answers.spawn(async move {
            let asked = command.clone();
            let result = finished(async move { session.command(asked).await }).await;
            Answer::Told(command, result.map(drop))
        });
        false
    }

    fn happened(&mut self, item: ViewerItem) -> Option<End> {
        match item {
            ViewerItem::AgentEvent { number, event } => {
                self.next = number + 1;
                self.lines.event(number, &event);
            }
            ViewerItem::Ended { exit, .. } => return Some(End::Ended(exit)),
            ViewerItem::Detached { reason, resumable, .. } => return Some(End::Detached { reason, resumable }),
            _ => {}
        }
        None
    }
}

/// Everything that is there, at least one.
fn batch(attachment: &mut Attachment, context: &mut Context<'_>) -> Poll<Vec<ViewerItem>> {
    let mut items = Vec::new();
    while items.len() < BATCH {
        match attachment.poll_item(context) {
            Poll::Ready(item) => {
                let last = matches!(item, ViewerItem::Ended { .. } | ViewerItem::Detached { .. });
                items.push(item);
                if last {
                    break;
                }
            }
            Poll::Pending if items.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(items)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
