//! One look at a session through a channel: attach, pump, leave. Does not know how the session was chosen.

use bytes::Bytes;

use super::detach::Prefix;
use super::out::{Gone, Out};
use super::terminal::{Heard, Left, Terminal, Window};
use crate::base::Offset;
use crate::gateway::router::SessionHandle;
use crate::gateway::verbs::{AttachVerb, From};
use crate::gateway::{AttachRequest, SessionError, ViewerItem};
use crate::screen::{enter_sequence, leave_sequence};
use crate::wire::v1::{Attached, Exit, InputRefusal, Verdict, ViewerMode};

/// How a look ended.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// The person left; the session lives on.
    Left,
    /// The agent ended.
    Ended(Exit),
    /// Bytes of an exact stream are missing; the text says how many, and where.
    Lost(String),
    /// Typed bytes were not taken.
    NotTaken(String),
    /// The gateway ended it: why, and whether coming back helps.
    Detached { reason: &'static str, resumable: bool },
}

/// What can stop a look before it has begun or in the middle.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(SessionError),
    Gone,
}

impl std::convert::From<SessionError> for Stop {
    fn from(error: SessionError) -> Self {
        Self::Refused(error)
    }
}

impl std::convert::From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Attaches and shows the session until somebody leaves. With a window it is a fitted viewer, without one an exact one; a
/// structured session is a line terminal, and a bare program without a window is joined to the client.
pub(super) async fn view(
    out: &Out,
    terminal: &Terminal,
    session: &SessionHandle,
    verb: &AttachVerb,
    prefix: Option<Prefix>,
) -> Result<End, Stop> {
    let window = terminal.window();
    if let Some(window) = window.filter(|_| session.is_structured()) {
        return super::talk::talk(out, terminal, window, session, verb.view, prefix).await;
    }
    if session.is_raw() {
        return super::join::join(out, terminal, session, verb).await;
    }
    let (attached, attachment) = session.attach(request(verb, window)).await?;
    let drives = attached.role != "view";
    terminal.begin_viewing(attachment, drives, attached.input_offset, window.and(prefix));
    let leave = Leave { terminal };
    if window.is_some() {
        out.data(Bytes::from_static(enter_sequence())).await?;
    }
    let end = match window {
        Some(_) => pump_fitted(out, terminal).await?,
        None => match Exact::begin(out, verb.from, &attached).await? {
            Ok(exact) => exact.pump(out, terminal).await?,
            Err(lost) => End::Lost(lost),
        },
    };
    drop(leave);
    if window.is_some() {
        out.data(Bytes::from_static(leave_sequence())).await?;
    }
    Ok(end)
}

/// Leaves the session on every way out, also when the channel's task is dropped.
struct Leave<'a> {
    terminal: &'a Terminal,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.terminal.end_viewing();
    }
}

fn request(verb: &AttachVerb, window: Option<Window>) -> AttachRequest {
    AttachRequest {
        mode: if window.is_some() { ViewerMode::Fitted } else { ViewerMode::Exact },
        size: window.map(|window| window.size),
        hidden: false,
        view: verb.view,
        cursor: None,
        from_start: verb.from == From::Start,
        from_offset: match verb.from {
            From::Offset(offset) => Some(Offset(offset)),
            From::Live | From::Start => None,
        },
        history: 0,
        writer: None,
        door: "ssh",
        appearance: window.map(Window::appearance).unwrap_or_default(),
        raw_lines: false,
    }
}

async fn pump_fitted(out: &Out, terminal: &Terminal) -> Result<End, Stop> {
    loop {
        let item = match terminal.hear().await {
            Heard::Left(left) => return Ok(left_by(left)),
            Heard::Item(item) => item,
        };
        match item {
            ViewerItem::Bytes { data, .. } | ViewerItem::Snapshot { data, .. } => out.data(data).await?,
            ViewerItem::Frame { data } => {
                out.data(data).await?;
                terminal.frame_drawn();
            }
            other => {
                if let Some(end) = ended(other, terminal.sent()) {
                    return Ok(end);
                }
            }
        }
    }
}

/// Every byte in order, or a stated failure.
struct Exact {
    /// The offset of the byte that has to come next.
    next: Offset,
}

impl Exact {
    /// The verdict: from the oldest byte on, what is gone is only told; from an offset on it is a failure.
    async fn begin(out: &Out, from: From, attached: &Attached) -> Result<Result<Self, String>, Stop> {
        let exact = Self { next: Offset(attached.offset) };
        let lost = attached.lost_to.saturating_sub(attached.lost_from);
        Ok(match (attached.verdict(), from) {
            (Verdict::Gap, From::Start) => {
                let text = format!("portcullis: {lost} bytes before offset {} are no longer held\n", attached.offset);
                out.error(&text).await?;
                Ok(exact)
            }
            (Verdict::Gap, _) => Err(gap(attached.lost_from, lost)),
            (Verdict::Reset, From::Offset(offset)) => {
                Err(format!("offset {offset} is beyond what this session has said; attach without --from"))
            }
            _ => Ok(exact),
        })
    }

    async fn pump(mut self, out: &Out, terminal: &Terminal) -> Result<End, Stop> {
        loop {
            let item = match terminal.hear().await {
                Heard::Left(left) => return Ok(left_by(left)),
                Heard::Item(item) => item,
            };
            match item {
                ViewerItem::Bytes { offset, data } if offset == self.next => {
                    self.next = offset.plus(data.len() as u64);
                    out.data(data).await?;
                }
                ViewerItem::Bytes { offset, .. } | ViewerItem::Snapshot { offset, .. } => {
                    return Ok(End::Lost(gap(self.next.0, offset.since(self.next))));
                }
                ViewerItem::Lost { from, to } => {
                    return Ok(End::Lost(gap(self.next.0.min(from.0), to.since(self.next))));
                }
                ViewerItem::Detached { reason, .. } => {
                    return Ok(End::Lost(format!("cut at offset {}: {reason}; --from {0} goes on there", self.next)));
                }
                other => {
                    if let Some(end) = ended(other, terminal.sent()) {
                        return Ok(end);
                    }
                }
            }
        }
    }
}

fn gap(at: u64, bytes: u64) -> String {
    format!(
        "{bytes} bytes are lost at offset {at}: the ring no longer holds them; --from start begins with what it holds"
    )
}

/// An item that ends the look, whatever the kind of viewer; `sent` is the input offset up to which was typed.
fn ended(item: ViewerItem, sent: u64) -> Option<End> {
    match item {
        ViewerItem::Ended { exit, .. } => Some(End::Ended(exit)),
        ViewerItem::Detached { reason, resumable, .. } => Some(End::Detached { reason, resumable }),
        // The end itself follows.
        ViewerItem::InputRefused { why: InputRefusal::Ended, .. } => None,
        ViewerItem::InputRefused { accepted, .. } => Some(End::NotTaken(not_taken(
            sent.saturating_sub(accepted),
            "the session's input queue (256 KiB) is full, its program does not read",
        ))),
        _ => None,
    }
}

fn left_by(left: Left) -> End {
    match left {
        Left::Keys => End::Left,
        Left::NotTaken { bytes, error } => End::NotTaken(not_taken(bytes, &error.to_string())),
    }
}

fn not_taken(bytes: u64, why: &str) -> String {
    format!("{bytes} typed bytes were not delivered: {why}")
}
