//! A program that is not interpreted: bytes out as they are read, bytes in as they are written; does not know what either means.

use super::driver::{Command, Condition, Driver, Effect, Effects, Millis, Refused};
use super::event::Made;
use crate::wire::pipe_output;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentStarted, StopReason, TurnEnded, TurnStarted};

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

    fn is_raw(&self) -> bool {
        true
    }

    fn bytes(&mut self, now: Millis, bytes: &[u8]) -> Effects {
        let mut made = Made::new(now, None);
        made.event(Kind::PipeOutput(pipe_output(bytes)));
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
            Command::Interrupt => "interrupt: end its input or kill it",
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
    use crate::wire::pipe_bytes;

    fn prompt(id: &str, text: &str) -> Command {
        Command::Prompt { id: id.into(), text: text.into() }
    }

    #[test]
    fn every_read_is_an_event_exactly_and_every_prompt_a_line() {
        let mut pipe = Pipe::new("/place");
        assert!(pipe.is_raw() && pipe.start(1).contains(&Effect::Condition(Condition::Idle)));
        let every: Vec<u8> = (0..=255).collect();
        for read in [&b"no newline"[..], b"\r\n\0", b"\xc3", b"\xa4", &every, b""] {
            let effects = pipe.bytes(2, read);
            let [Effect::Event(event)] = &effects[..] else { panic!("{effects:?}") };
            let Some(Kind::PipeOutput(output)) = &event.kind else { panic!("{event:?}") };
            assert_eq!((pipe_bytes(output), event.raw.len(), event.raw_length), (read, 0, 0), "once, and as it is");
        }
        for (id, said) in [("p1", "first"), ("p2", "second\nthird")] {
            let effects = pipe.command(4, prompt(id, said)).unwrap();
            let bytes: Vec<u8> = format!("{said}\n").into();
            assert!(effects.contains(&Effect::Write(bytes)));
        }
        let refused = pipe.command(5, Command::Interrupt).unwrap_err();
        assert_eq!(refused.code(), "unsupported");
        assert_eq!(pipe.wake(), None);
        pipe.closed(6);
        assert_eq!(pipe.command(7, prompt("p3", "x")), Err(Refused::Ended));
    }
}
