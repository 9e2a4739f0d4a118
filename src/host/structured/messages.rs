//! What the gateway says over the link to a structured session, and what the host does about it.

use super::{Effect, Structured};
use crate::agents::conversation;
use crate::base::{Name, Offset};
use crate::host::core::Now;
use crate::host::greeting::{greet, objection};
use crate::host::outbox::{Answer as Out, Outbox};
use crate::host::questions::{Asked, QuestionError};
use crate::wire::v1::agent_answer::Answer;
use crate::wire::v1::agent_question::Question;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{self, HostStatus, LinkHello, Locate, Located, ToHost, WriterIs, locate, to_host};
use crate::wire::{decode_agent_event, encode_agent_answer};

/// A message that no gateway of ours sends; the link ends with this reason.
#[derive(Debug, thiserror::Error)]
enum Misuse {
    #[error("the gateway said hello twice")]
    SecondHello,
    #[error("the gateway has more than 4 reads outstanding")]
    Reads,
    #[error(transparent)]
    Question(#[from] QuestionError),
}

impl Structured {
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
            B::Writer(ask) => {
                // Nothing is typed here.
                self.outbox.control(Body::Writer(WriterIs { request: ask.request, writer: ask.writer, offset: 0 }));
            }
            B::Forget(_) if self.phase.is_ended() => effects.push(Effect::Leave),
            B::Forget(_) => self.note("asked to forget a session that lives: refused, kill it first", now),
            // Of terminals.
            B::Snapshot(_) | B::Fit(_) | B::NextFrame(_) | B::Input(_) | B::Size(_) | B::Appearance(_) | B::Hold(_) => {
            }
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
    Answer::Refusal(v1::AgentRefusal { code: code.into(), message: message.into(), ..v1::AgentRefusal::default() })
}
