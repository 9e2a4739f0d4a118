//! What the gateway says over the link to a structured session, and what the host does about it.

use std::time::Duration;

use bytes::Bytes;

use super::{Effect, Structured, WayIn};
use crate::agents::conversation;
use crate::agents::limits::UNREAD;
use crate::base::{Name, Offset, WriterId};
use crate::host::core::Now;
use crate::host::greeting::{greet, objection};
use crate::host::input::{Numbered, Receipt};
use crate::host::outbox::{Answer as Out, Outbox};
use crate::host::questions::{Asked, QuestionError};
use crate::wire::v1::agent_answer::Answer;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_question::Question;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{
    self, HostStatus, InputRefusal, InputRefused, InputTaken, LinkHello, Locate, Located, ToHost, WriterIs,
    agent_reply, locate, to_host,
};
use crate::wire::{decode_agent_event, encode_agent_answer};

/// A message that no gateway of ours sends; the link ends with this reason.
#[derive(Debug, thiserror::Error)]
enum Misuse {
    #[error("the gateway said hello twice")]
    SecondHello,
    #[error("the gateway has more than 4 reads outstanding")]
    Reads,
    #[error("the gateway sent a writer id of {0} bytes; it has 16")]
    Writer(usize),
    #[error(transparent)]
    Question(#[from] QuestionError),
}

impl Structured {
    /// Bytes that a client writes to a raw agent itself.
    fn take_input(&mut self, input: &v1::Input, now: Now) -> Result<(), Misuse> {
        let id = writer_id(&input.writer)?;
        if !self.conversation.is_raw() {
            // Prompts are all that the others take; the gateway says so.
            return Ok(());
        }
        let place = |upto| Receipt { writer: id, upto, viewer: input.viewer };
        if !self.phase.is_running() {
            let accepted = self.input.expected(id);
            self.refuse(place(accepted), InputRefusal::Ended);
            return Ok(());
        }
        match self.input.number(id, input.offset, &input.data) {
            Numbered::Gap(accepted) => self.refuse(place(accepted), InputRefusal::Gap),
            Numbered::Known(offset) => self.taken(place(offset)),
            Numbered::Full(_) | Numbered::New(_) if self.way_in != WayIn::Open => {
                let accepted = self.input.expected(id);
                self.refuse(place(accepted), InputRefusal::Closed);
            }
            Numbered::Full(accepted) => self.refuse(place(accepted), InputRefusal::Full),
            Numbered::New([]) => {}
            Numbered::New(new) => {
                self.input.raw(id, new, input.viewer);
                self.session.last_input = now.unix;
                self.changed(now);
            }
        }
        Ok(())
    }

    /// The agent has these bytes, and all before them.
    pub(super) fn taken(&mut self, receipt: Receipt) {
        if self.linked {
            let writer = Bytes::copy_from_slice(receipt.writer.as_bytes());
            self.outbox.control(Body::Taken(InputTaken { writer, offset: receipt.upto, viewer: receipt.viewer }));
        }
    }

    /// Whatever was accepted and not written never will be.
    pub(super) fn refuse_unwritten(&mut self, why: InputRefusal) {
        for receipt in self.input.end() {
            self.refuse(receipt, why);
        }
    }

    fn refuse(&mut self, at: Receipt, why: InputRefusal) {
        if self.linked {
            let writer = Bytes::copy_from_slice(at.writer.as_bytes());
            let (accepted, viewer) = (at.upto, at.viewer);
            self.outbox.control(Body::Refused(InputRefused { writer, accepted, why: why.into(), viewer }));
        }
    }

    pub(super) fn link_up(&mut self, hello: &LinkHello, effects: &mut Vec<Effect>) {
        self.link_down();
        if let Some(reason) = objection(hello) {
            effects.push(Effect::CloseLink(reason));
            return;
        }
        self.linked = true;
        let (session, capacity) = (self.summary(), self.records.ring().capacity());
        greet(&mut self.outbox, session, &self.chosen, capacity, &self.log);
        self.send_agent();
    }

    pub(super) fn link_down(&mut self) {
        self.linked = false;
        self.outbox = Outbox::default();
        self.asked = Asked::default();
        self.status_due = None;
        self.hold = None;
    }

    pub(super) fn message(&mut self, message: ToHost, now: Now, effects: &mut Vec<Effect>) {
        // A message of a later version says something that this host does not know.
        let Some(body) = message.body else { return };
        if self.linked
            && let Err(misuse) = self.obey(body, now, effects)
        {
            effects.push(Effect::CloseLink(misuse.to_string()));
        }
    }

    fn obey(&mut self, body: to_host::Body, now: Now, effects: &mut Vec<Effect>) -> Result<(), Misuse> {
        use to_host::Body as B;
        match body {
            B::Hello(_) => return Err(Misuse::SecondHello),
            B::Live(live) => self.live(live.on),
            B::Read(read) => {
                let to = Offset(read.to).min(self.records.ring().head());
                if !self.outbox.read(read.request, Offset(read.from), to) {
                    return Err(Misuse::Reads);
                }
            }
            B::Question(piece) => self.ask(&piece, now)?,
            B::Name(name) => match name.name.parse::<Name>() {
                Ok(_) => self.session.name = name.name,
                Err(error) => self.note(&format!("a new name was refused: {error}"), now),
            },
            B::Input(input) => self.take_input(&input, now)?,
            B::Writer(ask) => {
                let offset = self.input.expected(writer_id(&ask.writer)?);
                self.outbox.control(Body::Writer(WriterIs { request: ask.request, writer: ask.writer, offset }));
            }
            B::Forget(_) if self.phase.is_ended() => effects.push(Effect::Leave),
            B::Forget(_) => self.note("asked to forget a session that lives: refused, kill it first", now),
            B::Hold(hold) => self.set_hold(Offset(hold.offset), Duration::from_millis(hold.millis.into()), now),
            // Of terminals.
            B::Snapshot(_) | B::Fit(_) | B::NextFrame(_) | B::Size(_) | B::Appearance(_) => {}
        }
        Ok(())
    }

    fn live(&mut self, on: bool) {
        if on {
            self.outbox.go_live(self.records.ring().head());
            // Tells where live output begins, also when none comes.
            self.send_status();
        } else {
            self.outbox.stop_live();
        }
    }

    fn ask(&mut self, piece: &v1::Piece, now: Now) -> Result<(), Misuse> {
        let Some(question) = self.asked.take(piece)? else { return Ok(()) };
        let answer = match question.question {
            Some(Question::Command(command)) => self.command(command, now),
            Some(Question::Locate(locate)) => Answer::Located(self.locate(locate)),
            Some(Question::Fetch(number)) => self.fetch(number),
            Some(Question::Stop(_)) => self.stop(now),
            None => refusal("unsupported", "this host does not know that question: it is older than the gateway"),
        };
        let data = encode_agent_answer(&v1::AgentAnswer { answer: Some(answer) });
        self.outbox.answer(Out::Agent { request: piece.request }, data);
        Ok(())
    }

    fn command(&mut self, command: v1::AgentCommand, now: Now) -> Answer {
        self.session.last_input = now.unix;
        let why = match &command.command {
            Some(Command::Prompt(prompt)) if self.conversation.is_raw() => self.prompt_refusal(prompt),
            // The agent may do with an interrupt what it does not do with anything else: begin to read.
            Some(Command::Interrupt(_)) => self.backlog_refusal(2 * UNREAD),
            Some(Command::SetMode(_) | Command::SetModel(_)) => self.backlog_refusal(UNREAD),
            // Of these an agent that is not read gets no more than its open requests and its one prompt need.
            _ => None,
        };
        if let Some(why) = why {
            return Answer::Reply(v1::AgentReply { result: Some(agent_reply::Result::Refusal(why)) });
        }
        match self.conversation.command(now.millis, command) {
            Ok((reply, acts)) => {
                self.follow(acts, now);
                self.agent_due = true;
                self.changed(now);
                Answer::Reply(reply.into())
            }
            Err(why) => Answer::Reply(conversation::refusal(&why)),
        }
    }

    /// Of a raw agent, whose prompts are written at once: what it has not read is bounded for all writers together.
    fn prompt_refusal(&self, prompt: &v1::Prompt) -> Option<v1::AgentRefusal> {
        let (code, message) = match self.way_in {
            WayIn::Broken => ("input-closed", "the agent has closed its input, it takes nothing more"),
            _ if self.input.has_room(prompt.text.len() + 1) => return None,
            _ => (
                "input-full",
                "the session's input queue (256 KiB) is full: the program does not read; try again later",
            ),
        };
        Some(refused(code, message))
    }

    /// Of any other, that does not read what it is told.
    fn backlog_refusal(&self, most: usize) -> Option<v1::AgentRefusal> {
        let message = "the agent has not read what it was told (8 MiB wait): kill or restart it, or try again later";
        (self.input.length() >= most).then(|| refused("input-full", message))
    }

    fn locate(&self, locate: Locate) -> Located {
        let next = self.records.next_number();
        let first = self.records.first_number();
        let (wanted, beyond) = match locate.at {
            Some(locate::At::Start(_)) => (0, false),
            Some(locate::At::Number(number)) => (number.min(next), number > next),
            Some(locate::At::Live(_)) | None => (next, false),
        };
        let number = wanted.max(first);
        Located {
            offset: self.records.find(number).unwrap_or(self.records.ring().head()).0,
            number,
            lost_from: wanted.min(number),
            beyond,
            summary: Some(self.conversation.summary()),
        }
    }

    fn fetch(&self, number: u64) -> Answer {
        let whole = self.whole.iter().find(|(known, _)| *known == number);
        match whole.map(|(_, event)| decode_agent_event(event)) {
            Some(Ok(event)) => Answer::Event(event),
            _ => refusal("event-gone", "that event was not cut, or is no longer kept: 16 MiB of cut events are"),
        }
    }

    fn stop(&mut self, now: Now) -> Answer {
        let effects = self.conversation.stop(now.millis);
        self.follow(effects, now);
        Answer::Reply(v1::AgentReply::default())
    }

    /// What the agent does and waits for, as it is now.
    pub(super) fn send_agent(&mut self) {
        self.agent_due = false;
        if !self.linked {
            return;
        }
        self.outbox.agent(&self.conversation.summary());
    }

    pub(super) fn send_status(&mut self) {
        self.status_due = None;
        let ring = self.records.ring();
        self.outbox.control(Body::Status(HostStatus {
            head: ring.head().0,
            tail: ring.tail().0,
            last_input: self.session.last_input,
            last_output: self.session.last_output,
            ..HostStatus::default()
        }));
    }
}

fn refusal(code: &str, message: &str) -> Answer {
    Answer::Refusal(refused(code, message))
}

fn refused(code: &str, message: &str) -> v1::AgentRefusal {
    let retryable = code == "input-full";
    v1::AgentRefusal { code: code.into(), message: message.into(), retryable, ..v1::AgentRefusal::default() }
}

fn writer_id(bytes: &[u8]) -> Result<WriterId, Misuse> {
    WriterId::from_slice(bytes).map_err(|_| Misuse::Writer(bytes.len()))
}
