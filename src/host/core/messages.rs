//! What the gateway says over the link, and what the host does about it.

use super::{Core, Effect, Hold, Now};
use crate::base::{HOLD, Name, Offset, WinSize, WriterId, printable};
use crate::host::greeting::{greet, objection};
use crate::host::input::Numbered;
use crate::host::outbox::Outbox;
use crate::host::questions::QuestionError;
use crate::wire::v1::event::Kind;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{
    self, InputRefusal, InputRefused, InputTaken, LinkHello, SetSize, SizeIs, ToHost, WriterIs, to_host,
};
use std::time::Duration;

/// Characters of a size owner's label: more is no label, and must not swell a frame.
const OWNER: usize = 256;

/// A message that no gateway of ours sends; the link ends with this reason.
#[derive(Debug, thiserror::Error)]
enum Misuse {
    #[error("the gateway said hello twice")]
    SecondHello,
    #[error("the gateway sent a writer id of {0} bytes; it has 16")]
    Writer(usize),
    #[error("the gateway has more than 4 reads outstanding")]
    Reads,
    #[error("the gateway has more than 128 questions about the screen outstanding")]
    Questions,
    #[error("the gateway fits more than 128 viewers")]
    Viewers,
    #[error(transparent)]
    Question(#[from] QuestionError),
}

impl Core {
    pub(super) fn link_up(&mut self, hello: &LinkHello, effects: &mut Vec<Effect>) {
        self.link_down();
        if let Some(reason) = objection(hello) {
            effects.push(Effect::CloseLink(reason));
            return;
        }
        self.linked = true;
        let (session, capacity) = (self.summary(), self.ring.capacity());
        greet(&mut self.outbox, session, &self.chosen, capacity, &self.log);
        self.agent_is_due();
    }

    pub(super) fn link_down(&mut self) {
        self.linked = false;
        self.outbox = Outbox::default();
        self.jobs.clear();
        self.hold = None;
        self.status_due = None;
        self.forget_question();
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
                let to = Offset(read.to).min(self.ring.head());
                if !self.outbox.read(read.request, Offset(read.from), to) {
                    return Err(Misuse::Reads);
                }
            }
            B::Snapshot(ask) => {
                if !self.jobs.ask(ask.request, ask.kind(), ask.history) {
                    return Err(Misuse::Questions);
                }
            }
            B::Fit(fit) if fit.cols == 0 || fit.rows == 0 => self.jobs.unfit(fit.viewer),
            B::Fit(fit) => {
                if !self.jobs.fit(fit.viewer, WinSize::clamped(fit.cols, fit.rows), fit.status, now.at) {
                    return Err(Misuse::Viewers);
                }
            }
            B::NextFrame(next) => self.jobs.want_frame(next.viewer, next.full),
            B::Input(input) => self.take_input(&input, now)?,
            B::Size(size) => self.set_size(&size, now, effects),
            B::Appearance(appearance) => self.set_appearance(&appearance, now),
            B::Hold(hold) => self.set_hold(Offset(hold.offset), Duration::from_millis(hold.millis.into()), now),
            B::Name(name) => self.set_name(name.name),
            B::Writer(ask) => {
                let offset = self.input.expected(writer_id(&ask.writer)?);
                self.outbox.control(Body::Writer(WriterIs { request: ask.request, writer: ask.writer, offset }));
            }
            B::Question(piece) => self.asked(&piece, now, effects)?,
            B::Forget(_) if self.phase.is_ended() => effects.push(Effect::Leave),
            B::Forget(_) => self.note("asked to forget a session that lives: refused, kill it first"),
        }
        Ok(())
    }

    fn live(&mut self, on: bool) {
        if on {
            self.outbox.go_live(self.ring.head());
            // Tells where live output begins, also when none comes.
            self.send_status();
        } else {
            self.outbox.stop_live();
        }
    }

    fn take_input(&mut self, input: &v1::Input, now: Now) -> Result<(), Misuse> {
        let id = writer_id(&input.writer)?;
        let refused = |accepted, why: InputRefusal| {
            let (writer, viewer) = (input.writer.clone(), input.viewer);
            Body::Refused(InputRefused { writer, accepted, why: why.into(), viewer })
        };
        if !self.phase.is_running() {
            let accepted = self.input.expected(id);
            self.outbox.control(refused(accepted, InputRefusal::Ended));
            return Ok(());
        }
        match self.input.number(id, input.offset, &input.data) {
            Numbered::Gap(accepted) => self.outbox.control(refused(accepted, InputRefusal::Gap)),
            Numbered::Full(accepted) => self.outbox.control(refused(accepted, InputRefusal::Full)),
            Numbered::Known(offset) => {
                let (writer, viewer) = (input.writer.clone(), input.viewer);
                self.outbox.control(Body::Taken(InputTaken { writer, offset, viewer }));
            }
            Numbered::New(new) => {
                // Several lines followed by Enter are one entry, not one for each line.
                if input.paste || (input.enter && new.contains(&b'\n')) {
                    self.settler.settle(&self.ring);
                    let bracketed = self.settler.state().bracketed_paste;
                    self.input.paste(id, new, input.viewer, bracketed);
                    self.session.last_input = now.unix;
                } else {
                    let kind = self.input.typed(id, new, input.viewer);
                    self.report_focus(kind.focus);
                    if kind.typed {
                        self.session.last_input = now.unix;
                    }
                }
                if input.enter {
                    self.input.enter();
                    self.session.last_input = now.unix;
                }
                self.changed(now);
            }
        }
        Ok(())
    }

    fn set_size(&mut self, wanted: &SetSize, now: Now, effects: &mut Vec<Effect>) {
        let size = WinSize::clamped(wanted.cols, wanted.rows);
        if size != self.settler.size() {
            // Bytes before and after belong to different grids: settle, engine, log, and only then the program.
            self.settler.resize(&self.ring, size);
            if !self.phase.is_ended() {
                effects.push(Effect::SetSize(size));
                self.report_size();
            }
            self.changed(now);
        }
        let owner = printable(&wanted.owner, OWNER);
        let (cols, rows, offset) = (size.cols().into(), size.rows().into(), self.ring.head());
        self.outbox.mark_control(offset, Body::Size(SizeIs { cols, rows, owner, offset: offset.0 }));
    }

    fn set_hold(&mut self, offset: Offset, time: Duration, now: Now) {
        let until = now.at + time.min(HOLD);
        let blocks = self.hold.as_ref().is_some_and(|hold| hold.blocks);
        self.hold = (!time.is_zero()).then_some(Hold { offset, until, blocks });
    }

    fn set_name(&mut self, name: String) {
        match name.parse::<Name>() {
            Ok(_) => {
                self.session.name.clone_from(&name);
                self.event(self.ring.head(), Kind::Renamed(name));
            }
            Err(error) => self.note(&format!("a new name was refused: {error}")),
        }
    }
}

fn writer_id(bytes: &[u8]) -> Result<WriterId, Misuse> {
    WriterId::from_slice(bytes).map_err(|_| Misuse::Writer(bytes.len()))
}
