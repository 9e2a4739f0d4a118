//! What an attached client knows of its session and does with each message: cursor, verdicts, losses, the end. Pure;
//! knows no socket and no terminal.

use bytes::Bytes;

use super::status::{self, FAILED, LOST};
use crate::wire::pipe_bytes;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{self, AgentStream, Verdict, server_message::Body};

/// What to do after a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Act {
    /// To the terminal or pipe.
    pub(crate) write: Option<Bytes>,
    /// For the person.
    pub(crate) note: Option<String>,
    /// Input was taken up to here.
    pub(crate) taken: Option<u64>,
    /// Input is to be sent again.
    pub(crate) again: Option<Again>,
    /// What the program said on its standard error.
    pub(crate) error: Option<String>,
    /// What becomes of the attachment.
    pub(crate) then: Next,
}

/// From where, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// All before it was accepted.
    From(u64),
    /// The same, after a pause: the program does not read.
    Full(u64),
    /// What begins here came too fast; what was sent before it is still under way.
    Later(u64),
}

/// What becomes of the attachment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    /// Goes on.
    #[default]
    Stay,
    /// Attach again, on this connection, without the cursor when it says so.
    Attach,
    /// It is over, with this exit status.
    Over(u8),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Follow {
    exact: bool,
    log_id: String,
    offset: u64,
    ended: Option<u8>,
    session: String,
    // Only the first attachment of `--from start` may begin with a loss.
    from_start: bool,
    first: bool,
}

impl Follow {
    /// Before the first attachment.
    pub(crate) fn new(exact: bool, from_start: bool) -> Self {
        Self { exact, from_start, log_id: String::new(), offset: 0, ended: None, session: String::new(), first: true }
    }

    /// Where to go on; none before the first attachment or when a repaint is better.
    pub(crate) fn cursor(&self) -> Option<v1::Cursor> {
        (!self.log_id.is_empty()).then(|| v1::Cursor { log_id: self.log_id.clone(), offset: self.offset })
    }

    /// The session's id once it is known: it survives a rename.
    pub(crate) fn session(&self) -> Option<&str> {
        (!self.session.is_empty()).then_some(self.session.as_str())
    }

    /// The screen was drawn over: the next attachment begins with a repaint.
    pub(crate) fn forget_cursor(&mut self) {
        if !self.exact {
            self.log_id.clear();
        }
    }

    /// The answer to an attach.
    pub(crate) fn attached(&mut self, attached: &v1::Attached) -> Act {
        let first = std::mem::replace(&mut self.first, false);
        let changed = !self.log_id.is_empty() && self.log_id != attached.log_id;
        if let Some(session) = &attached.session {
            self.session.clone_from(&session.session_id);
        }
        self.log_id.clone_from(&attached.log_id);
        let before = std::mem::replace(&mut self.offset, attached.offset);
        let mut act = Act::default();
        match attached.verdict() {
            Verdict::Gap => {
                let lost = attached.lost_to.saturating_sub(attached.lost_from);
                let (from, to) = (attached.lost_from, attached.lost_to);
                act.note = Some(format!("{lost} bytes of output are gone ({from} to {to})"));
                if self.exact && !(first && self.from_start) {
                    act.then = Next::Over(LOST);
                } else if !self.exact {
                    // Bytes after a hole draw nonsense on a terminal.
                    self.forget_cursor();
                    act.then = Next::Attach;
                }
            }
            Verdict::Reset if changed && self.exact => {
                act.note = Some(format!("the session was restarted; output after {before} of its old log is gone"));
                act.then = Next::Over(LOST);
            }
            Verdict::Reset if first && self.exact => {
                act.note = Some("that offset is beyond what this session has said; attach without --from".into());
                act.then = Next::Over(LOST);
            }
            Verdict::Snapshot if self.exact && !first => {
                act.note = Some(format!("the gateway cannot go on from {before}; output is lost"));
                act.then = Next::Over(LOST);
            }
            Verdict::Continuous if self.exact && !first => {
                act.note = Some(format!("back, nothing is lost (at {})", attached.offset));
            }
            _ => {}
        }
        act
    }

    /// A binary frame.
    pub(crate) fn bytes(&mut self, offset: u64, mut data: Bytes) -> Act {
        let end = offset.saturating_add(data.len() as u64);
        if end <= self.offset {
            return Act::default();
        }
        if offset > self.offset {
            return self.lost(self.offset, offset, Some((end, data)));
        }
        let known = (self.offset - offset) as usize;
        let new = data.split_off(known);
        self.offset = end;
        Act { write: Some(new), ..Act::default() }
    }

    /// A text message about this attachment.
    pub(crate) fn message(&mut self, body: Body) -> Act {
        match body {
            Body::Snapshot(piece) => {
                if !piece.more && piece.reason != "history" {
                    self.offset = piece.offset;
                }
                Act { write: Some(piece.data), ..Act::default() }
            }
            Body::Frame(frame) => Act { write: Some(frame.data), ..Act::default() },
            Body::Lost(lost) => self.lost(lost.from, lost.to, None),
            Body::AgentEvent(v1::LogEvent { number, event: Some(event), .. }) => self.event(number, &event),
            Body::InputAck(ack) => Act { taken: Some(ack.offset), ..Act::default() },
            Body::Error(error) => match error.code.as_str() {
                "input-full" if error.channel != 0 => {
                    Act { again: Some(Again::Full(error.accepted)), ..Act::default() }
                }
                "rate-limited" if error.channel != 0 => {
                    Act { again: Some(Again::Later(error.accepted)), ..Act::default() }
                }
                "input-gap" => Act { again: Some(Again::From(error.accepted)), ..Act::default() },
                "input-held" => Act { note: Some(error.message), then: Next::Over(FAILED), ..Act::default() },
                _ => Act { note: Some(error.message), ..Act::default() },
            },
            Body::Ended(ended) => {
                let exit = ended.exit.unwrap_or_default();
                let status = status::of_exit(&exit);
                self.ended = Some(status);
                let note = match exit.how {
                    Some(v1::exit::How::NotStarted(why)) => Some(format!("the agent could not be started: {why}")),
                    _ => None,
                };
                Act { note, then: Next::Over(status), ..Act::default() }
            }
            Body::Detached(detached) => match self.ended {
                Some(status) => Act { then: Next::Over(status), ..Act::default() },
                None if self.exact && detached.reason == "overtaken" => Act {
                    note: Some(format!("this reader was too slow: output after {} is gone", self.offset)),
                    then: Next::Over(LOST),
                    ..Act::default()
                },
                None => Act { then: Next::Attach, ..Act::default() },
            },
            _ => Act::default(),
        }
    }

    /// An event of a bare program; others say nothing here.
    fn event(&mut self, number: u64, event: &v1::AgentEvent) -> Act {
        if number < self.offset {
            return Act::default();
        }
        if number > self.offset {
            let note = Some(format!("the events {} to {number} are gone", self.offset));
            return Act { note, then: Next::Over(LOST), ..Act::default() };
        }
        self.offset = number + 1;
        match &event.kind {
            Some(Kind::PipeOutput(output)) => {
                Act { write: Some(Bytes::copy_from_slice(pipe_bytes(output))), ..Act::default() }
            }
            Some(Kind::Log(log)) if log.stream() == AgentStream::Stderr => {
                Act { error: Some(log.line.clone()), ..Act::default() }
            }
            Some(Kind::Log(log)) => Act { note: Some(log.line.clone()), ..Act::default() },
            _ => Act::default(),
        }
    }

    /// The status of an agent that has ended.
    pub(crate) fn ended(&self) -> Option<u8> {
        self.ended
    }

    fn lost(&mut self, from: u64, to: u64, after: Option<(u64, Bytes)>) -> Act {
        self.offset = self.offset.max(to);
        let note = Some(format!("{} bytes of output are gone ({from} to {to})", to.saturating_sub(from)));
        if self.exact {
            return Act { note, then: Next::Over(LOST), ..Act::default() };
        }
        let write = after.map(|(end, data)| {
            self.offset = end;
            data
        });
        Act { write, note, ..Act::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(verdict: Verdict, offset: u64) -> v1::Attached {
        v1::Attached { verdict: verdict.into(), log_id: "0".repeat(32), offset, lost_to: offset, ..Default::default() }
    }

    #[test]
    fn bytes_come_once_and_in_order_across_reconnects() {
        let mut follow = Follow::new(true, true);
        follow.attached(&attached(Verdict::Continuous, 10));
        assert_eq!(follow.bytes(10, Bytes::from_static(b"abc")).write.as_deref(), Some(&b"abc"[..]));
        assert_eq!(follow.cursor().map(|cursor| cursor.offset), Some(13));
        // The gateway answers from an older place than was read: what is known is skipped.
        assert_eq!(follow.bytes(11, Bytes::from_static(b"bcde")).write.as_deref(), Some(&b"de"[..]));
        assert_eq!(follow.bytes(10, Bytes::from_static(b"abc")), Act::default());
    }

    #[test]
    fn an_exact_reader_ends_with_74_at_a_loss_and_a_terminal_repaints() {
        let mut exact = Follow::new(true, true);
        exact.attached(&attached(Verdict::Continuous, 0));
        assert_eq!(exact.attached(&attached(Verdict::Gap, 9)).then, Next::Over(LOST));
        let mut hole = Follow::new(true, true);
        hole.attached(&attached(Verdict::Continuous, 0));
        assert_eq!(hole.bytes(5, Bytes::from_static(b"x")).then, Next::Over(LOST));
        let mut terminal = Follow::new(false, false);
        terminal.attached(&attached(Verdict::Continuous, 0));
        assert_eq!(terminal.attached(&attached(Verdict::Gap, 9)).then, Next::Attach);
        assert_eq!(terminal.cursor(), None);
        // What `--from start` finds gone is only said.
        let mut start = Follow::new(true, true);
        assert_eq!(start.attached(&attached(Verdict::Gap, 9)).then, Next::Stay);
    }

    #[test]
    fn the_end_gives_the_status_and_any_other_detaching_attaches_again() {
        let mut follow = Follow::new(false, false);
        let detached = || Body::Detached(v1::Detached::default());
        assert_eq!(follow.message(detached()).then, Next::Attach);
        let exit = v1::Exit { how: Some(v1::exit::How::Code(3)) };
        let ended = Body::Ended(v1::Ended { exit: Some(exit), ..Default::default() });
        assert_eq!(follow.message(ended).then, Next::Over(3));
        assert_eq!(follow.ended(), Some(3));
    }
}
