//! A program that is not interpreted: its lines are messages, prompts are its input; does not know what either means.

use super::driver::{Command, Condition, Driver, Effect, Effects, Millis, Refused};
use super::event::{Made, clip};
use super::limits::{LINE, TEXT_KEPT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentStarted, AgentStream, MessageChunk, StopReason, TurnEnded, TurnStarted};

const AGENT: &str = "a raw pipe";

/// One process whose protocol nobody knows. Whether it works cannot be known either: it always takes a prompt, and a
/// turn is over when its text is written.
pub struct Pipe {
    started: AgentStarted,
    turns: u64,
    is_over: bool,
}

impl Pipe {
    /// Not started yet. `directory`: where it works, absolute.
    pub fn new(directory: &str) -> Self {
        let started = AgentStarted { directory: directory.to_owned(), ..AgentStarted::default() };
        Self { started, turns: 0, is_over: false }
    }

    fn said(made: &mut Made<'_>, text: &[u8]) {
        let text = clip(String::from_utf8_lossy(text).into_owned(), TEXT_KEPT);
        made.event(Kind::Message(MessageChunk { text, ..MessageChunk::default() }));
    }

    fn prompt(&mut self, made: &mut Made<'_>, id: String, text: String) {
        self.turns += 1;
        made.event(Kind::TurnStarted(TurnStarted { turn: self.turns, prompt_id: id }));
        let mut bytes = text.into_bytes();
        bytes.push(b'\n');
        made.write(bytes);
        made.event(Kind::TurnEnded(TurnEnded {
            turn: self.turns,
            stop_reason: StopReason::EndTurn.into(),
            ..TurnEnded::default()
        }));
    }
}

impl Driver for Pipe {
    fn start(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        made.event(Kind::Started(self.started.clone()));
        made.condition(Condition::Idle);
        made.done()
    }

    fn line(&mut self, now: Millis, line: &[u8]) -> Effects {
        let mut made = Made::new(now, Some(line));
        let mut text = line.to_vec();
        text.push(b'\n');
        Self::said(&mut made, &text);
        made.done()
    }

    fn overlong(&mut self, now: Millis, beginning: &[u8], length: u64) -> Effects {
        let mut made = Made::new(now, None);
        Self::said(&mut made, beginning);
        let why = format!("the line above has {length} bytes; {LINE} are kept at most");
        made.log(AgentStream::Host, why.as_bytes(), why.len() as u64);
        made.done()
    }

    fn command(&mut self, now: Millis, command: Command) -> Result<Effects, Refused> {
        if self.is_over {
            return Err(Refused::Ended);
        }
        let mut made = Made::new(now, None);
        let what = match command {
            Command::Prompt { id, text } => {
                self.prompt(&mut made, id, text);
                return Ok(made.done());
            }
            Command::Permission { .. } | Command::Question { .. } | Command::Decline { .. } => "requests",
            Command::Interrupt => "interrupt: stop or kill it",
            Command::SetMode(_) => "modes",
            Command::SetModel(_) => "models",
        };
        Err(Refused::Unsupported { agent: AGENT, what })
    }

    fn tick(&mut self, _now: Millis) -> Effects {
        Effects::new()
    }

    fn wake(&self) -> Option<Millis> {
        None
    }

    fn closed(&mut self, _now: Millis) -> Effects {
        self.is_over = true;
        vec![Effect::Condition(Condition::Ended(String::new()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(effects: &Effects) -> String {
        let said = effects.iter().filter_map(|effect| match effect {
            Effect::Event(event) => match &event.kind {
                Some(Kind::Message(chunk)) => Some(chunk.text.clone()),
                _ => None,
            },
            _ => None,
        });
        said.collect()
    }

    #[test]
    fn every_line_is_a_message_and_every_prompt_a_line() {
        let mut pipe = Pipe::new("/place");
        assert!(pipe.start(1).contains(&Effect::Condition(Condition::Idle)));
        assert_eq!(text(&pipe.line(2, b"one")), "one\n");
        assert_eq!(text(&pipe.line(3, b"\xff{")), "\u{fffd}{\n");
        for (id, said) in [("p1", "first"), ("p2", "second\nthird")] {
            let effects = pipe.command(4, Command::Prompt { id: id.into(), text: said.into() }).unwrap();
            let bytes: Vec<u8> = format!("{said}\n").into();
            assert!(effects.contains(&Effect::Write(bytes)));
        }
        let refused = pipe.command(5, Command::Interrupt).unwrap_err();
        assert_eq!(refused.code(), "unsupported");
        assert_eq!(pipe.wake(), None);
        pipe.closed(6);
        assert_eq!(pipe.command(7, Command::Prompt { id: "p3".into(), text: "x".into() }), Err(Refused::Ended));
    }

    #[test]
    fn a_line_that_is_too_long_says_so() {
        let effects = Pipe::new("/place").overlong(1, b"beginning", 99_000_000);
        assert_eq!((text(&effects).as_str(), effects.len()), ("beginning", 2));
    }
}
