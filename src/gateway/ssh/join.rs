//! One look at a bare program through a channel without a window: its output and input joined to the client's, byte for byte.
//! Does not know what the bytes mean.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use super::out::Out;
use super::terminal::Terminal;
use super::viewer::{End, Stop};
use crate::base::{LogId, Offset, WriterId};
use crate::gateway::numbered::NumberedInput;
use crate::gateway::router::SessionHandle;
use crate::gateway::verbs::{AttachVerb, From};
use crate::gateway::{AttachRequest, Attachment, SessionError, ViewerItem};
use crate::wire::pipe_bytes;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentEvent, AgentStream, Attached, InputRefusal, Verdict};

/// The host's queue is full: the program does not read. Writing waits.
const QUEUE_PAUSE: Duration = Duration::from_millis(200);

/// Attaches and joins until the agent ends or the client leaves. The client's end of input ends nothing: others may write then.
pub(super) async fn join(
    out: &Out,
    terminal: &Terminal,
    session: &SessionHandle,
    verb: &AttachVerb,
) -> Result<End, Stop> {
    let writer = WriterId::from_bytes(crate::gateway::random());
    let request = AttachRequest { view: verb.view, writer: Some(writer), ..super::agent::request(verb.from, false) };
    let (attached, attachment) = session.attach(request.clone()).await?;
    if let Some(end) = verdict(out, verb.from, &attached).await? {
        return Ok(end);
    }
    let source = if attached.role == "view" { Source::Unread } else { Source::Open };
    let (input, next) = (NumberedInput::default(), attached.offset);
    let mut join = Join { out, terminal, attachment, input, source, next, waits: None };
    loop {
        match (join.pump().await?, attached.log_id.parse::<LogId>()) {
            // The host has what went by meanwhile.
            (End::Detached { reason: "too-slow", .. }, Ok(log)) => {
                let cursor = Some((log, Offset(join.next)));
                let request = AttachRequest { cursor, from_start: false, from_offset: None, ..request.clone() };
                let (attached, again) = session.attach(request).await?;
                // The old one goes only now: the input stays this writer's.
                join.attachment = again;
                join.input.again_from(attached.input_offset);
                if attached.verdict() != Verdict::Continuous {
                    let lost = attached.lost_to.saturating_sub(attached.lost_from);
                    return Ok(End::Lost(gap(attached.lost_from, lost)));
                }
            }
            (End::Detached { reason, .. }, _) => {
                let text = format!("cut before event {}: {reason}; --from {0} goes on there", join.next);
                return Ok(End::Lost(text));
            }
            (end, _) => return Ok(end),
        }
    }
}

/// The verdict: from the oldest event on, what is gone is only told; from a number on it is a failure.
async fn verdict(out: &Out, from: From, attached: &Attached) -> Result<Option<End>, Stop> {
    let lost = attached.lost_to.saturating_sub(attached.lost_from);
    Ok(match (attached.verdict(), from) {
        (Verdict::Reset, From::Offset(number)) => {
            Some(End::Lost(format!("event {number} is beyond what this session has said; attach without --from")))
        }
        (Verdict::Gap, From::Start) => {
            out.error(&format!("portcullis: {lost} events before {} are no longer held\n", attached.offset)).await?;
            None
        }
        (Verdict::Gap, _) => Some(End::Lost(gap(attached.lost_from, lost))),
        _ => None,
    })
}

fn gap(at: u64, events: u64) -> String {
    format!("{events} events are lost at {at}: the ring no longer holds them; --from start begins with what it holds")
}

/// What the client writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Open,
    /// It has ended; what came before is still on its way.
    Over,
    /// Whoever only looks, and whoever has written all, writes into nothing.
    Unread,
}

struct Join<'a> {
    out: &'a Out,
    terminal: &'a Terminal,
    attachment: Attachment,
    input: NumberedInput,
    source: Source,
    /// The event that comes next.
    next: u64,
    /// Nothing is written before.
    waits: Option<Instant>,
}

impl Join<'_> {
    async fn pump(&mut self) -> Result<End, Stop> {
        loop {
            self.write()?;
            let room = self.input.room();
            let reads = self.source != Source::Over && room > 0;
            let (attachment, terminal) = (&mut self.attachment, self.terminal);
            tokio::select! {
                item = poll_fn(|context| attachment.poll_item(context)) => {
                    if let Some(end) = self.happened(item).await? {
                        return Ok(end);
                    }
                }
                read = poll_fn(|context| terminal.poll_some(context, room)), if reads => match read {
                    Some(bytes) if self.source == Source::Open => self.input.push(&bytes),
                    Some(_) => {}
                    None => self.source = Source::Over,
                },
                () = until(self.waits), if self.waits.is_some() => self.waits = None,
            }
        }
    }

    /// Hands on what there is, as far as it is taken now.
    fn write(&mut self) -> Result<(), Stop> {
        while self.waits.is_none()
            && let Some((offset, piece)) = self.input.next()
        {
            let counted = self.attachment.grant().count_input(piece.len());
            match counted.and_then(|()| self.attachment.input(offset, &piece, false)) {
                Ok(()) => {}
                Err(SessionError::RateLimited { after_ms, .. }) => {
                    self.later(offset, Duration::from_millis(after_ms.into()));
                }
                Err(SessionError::Late(_)) => self.later(offset, QUEUE_PAUSE),
                // The end itself follows.
                Err(SessionError::Ended { .. } | SessionError::HostGone) => self.write_no_more(),
                Err(error) => return Err(error.into()),
            }
        }
        if self.source == Source::Over && self.input.is_empty() {
            self.attachment.release_input();
        }
        Ok(())
    }

    fn later(&mut self, offset: u64, pause: Duration) {
        self.input.unsent(offset);
        self.waits = Some(Instant::now() + pause);
    }

    fn write_no_more(&mut self) {
        self.source = Source::Unread;
        self.input = NumberedInput::default();
        self.attachment.release_input();
    }

    async fn happened(&mut self, item: ViewerItem) -> Result<Option<End>, Stop> {
        match item {
            ViewerItem::AgentEvent { number, event } => {
                self.next = number + 1;
                self.said(&event).await?;
            }
            ViewerItem::InputTaken { offset } => self.input.taken(offset),
            ViewerItem::InputRefused { accepted, why: InputRefusal::Full } => {
                self.input.again_from(accepted);
                self.waits = Some(Instant::now() + QUEUE_PAUSE);
            }
            // Sent behind one that was refused, and to be sent again with it.
            ViewerItem::InputRefused { why: InputRefusal::Gap, .. } if self.waits.is_some() => {}
            ViewerItem::InputRefused { accepted, why: InputRefusal::Gap } => self.input.again_from(accepted),
            ViewerItem::InputRefused { accepted, why: InputRefusal::Closed } => {
                self.input.taken(accepted);
                let lost = self.input.length();
                self.write_no_more();
                let why = "the agent's input is closed";
                self.out.error(&format!("portcullis: {lost} bytes or more were not delivered: {why}\n")).await?;
            }
            ViewerItem::Ended { exit, .. } => return Ok(Some(End::Ended(exit))),
            ViewerItem::Detached { reason, resumable, .. } => return Ok(Some(End::Detached { reason, resumable })),
            _ => {}
        }
        Ok(None)
    }

    async fn said(&self, event: &AgentEvent) -> Result<(), Stop> {
        match &event.kind {
            Some(Kind::PipeOutput(output)) => self.out.data(pipe_bytes(output).to_vec()).await?,
            Some(Kind::Log(log)) => match log.stream() {
                AgentStream::Stderr => self.out.error(&format!("{}\n", log.line)).await?,
                _ => self.out.error(&format!("portcullis: {}\n", crate::base::printable(&log.line, 400))).await?,
            },
            _ => {}
        }
        Ok(())
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
