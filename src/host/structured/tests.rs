//! A bare program's side of the core without descriptors: what is kept, who may write, who waits.

use prost::Message;

use super::*;
use crate::agents::limits::{EVENT_OUT, UNREAD};
use crate::host::core::Event;
use crate::wire::v1::to_gateway::Body;
use crate::wire::v1::{
    AgentQuestion, AskWriter, CloseInput, Hold, Input, Launch, LinkHello, Live, Piece, Prompt, Read, ToGateway, ToHost,
    agent_answer::Answer, agent_command::Command, agent_question::Question, agent_reply, to_host,
};
use crate::wire::{Frame, LinkDecoder, decode_agent_answer, decode_record, encode_question, pipe_bytes};

const RING: usize = 8 * 1024 * 1024;
const READ: usize = 16 * 1024;

struct Rig {
    core: Structured,
    now: Now,
    decoder: LinkDecoder,
}

impl Rig {
    fn new(driver: &str) -> Self {
        let structured = Some(v1::Structured { driver: driver.into(), ..v1::Structured::default() });
        let launch = Launch { session: Some(Session::default()), structured, ..Launch::default() };
        let now = Now { at: Instant::now(), unix: 1000, millis: 1_000_000 };
        let log_id = LogId::from_bytes([9; 16]);
        let talk = conversation(&launch, log_id).unwrap();
        let core = Structured::new(launch, talk, log_id, RING, now);
        let mut rig = Self { core, now, decoder: LinkDecoder::default() };
        rig.link();
        rig
    }

    fn link(&mut self) {
        self.decoder = LinkDecoder::default();
        let hello = LinkHello { version_min: 1, version_max: 1, software: String::new() };
        self.core.apply(Event::LinkUp(hello), self.now);
        self.controls();
    }

    fn say(&mut self, body: to_host::Body) -> Vec<Body> {
        assert_eq!(self.core.apply(Event::Message(ToHost { body: Some(body) }), self.now), []);
        self.controls()
    }

    fn write(&mut self, writer: u8, offset: u64, data: &[u8]) -> Vec<Body> {
        let (writer, data) = (vec![writer; 16].into(), data.to_vec().into());
        self.say(to_host::Body::Input(Input { writer, offset, data, viewer: 7, paste: true, enter: true }))
    }

    fn expected(&mut self, writer: u8) -> u64 {
        let said = self.say(to_host::Body::Writer(AskWriter { request: 1, writer: vec![writer; 16].into() }));
        let [Body::Writer(is)] = &said[..] else { panic!("{said:?}") };
        is.offset
    }

    /// The code of a refusal; empty: it was done.
    fn command(&mut self, command: Command) -> String {
        let question = Question::Command(v1::AgentCommand { who: "ann".into(), command: Some(command) });
        let data = encode_question(&AgentQuestion { question: Some(question) });
        let said = self.say(to_host::Body::Question(Piece { request: 3, data, more: false }));
        let answer = said.iter().find_map(|body| if let Body::Answer(piece) = body { Some(piece) } else { None });
        match decode_agent_answer(answer.unwrap().data.clone()).unwrap().answer {
            Some(Answer::Reply(v1::AgentReply { result: Some(agent_reply::Result::Refusal(why)) })) => why.code,
            _ => String::new(),
        }
    }

    fn prompt(&mut self, id: &str, text: &str) -> String {
        self.command(Command::Prompt(Prompt { id: id.into(), text: text.into() }))
    }

    fn controls(&mut self) -> Vec<Body> {
        while let Some(parts) = self.core.link_output(self.now) {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.decoder.buffer().extend_from_slice(&all);
            self.core.link_took(all.len());
        }
        let frames = std::iter::from_fn(|| self.decoder.next_frame().unwrap());
        let control = |frame| match frame {
            Frame::Control(bytes) => ToGateway::decode(bytes).unwrap().body,
            _ => None,
        };
        // What the agent does is said beside.
        frames.filter_map(control).filter(|body| !matches!(body, Body::Agent(_))).collect()
    }

    /// What the agent takes, at most so much at a time.
    fn agent_reads(&mut self, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(bytes) = self.core.agent_input(self.now) {
            let piece = bytes[..bytes.len().min(most)].to_vec();
            self.core.agent_took(piece.len(), self.now);
            out.extend(piece);
        }
        out
    }

    /// All that the program has said, by the log.
    fn output(&self) -> Vec<u8> {
        let ring = self.core.records.ring();
        let log = ring.piece(ring.tail(), RING).to_vec();
        let records = crate::replay::RecordReader::default().push(&log).unwrap();
        let mut out = Vec::new();
        for record in records {
            let Some((_, AgentEvent { kind: Some(Kind::PipeOutput(output)), .. })) = decode_record(&record).unwrap()
            else {
                continue;
            };
            out.extend_from_slice(pipe_bytes(&output));
        }
        out
    }
}

fn taken(upto: u64) -> Vec<Body> {
    vec![Body::Taken(v1::InputTaken { writer: vec![1; 16].into(), offset: upto, viewer: 7 })]
}

fn refused(accepted: u64, why: InputRefusal) -> Vec<Body> {
    let writer = vec![1; 16].into();
    vec![Body::Refused(v1::InputRefused { writer, accepted, why: why.into(), viewer: 7 })]
}

#[test]
fn every_read_is_kept_as_it_is_and_the_end_adds_nothing() {
    let mut rig = Rig::new("pipe");
    for read in [&b"partial"[..], b" \xff\n\n\0", b"last"] {
        rig.core.output_bytes(read, rig.now);
    }
    rig.core.apply(Event::OutputClosed, rig.now);
    assert_eq!(rig.output(), b"partial \xff\n\n\0last");
    assert_eq!(rig.core.session.driver, "pipe");
}

#[test]
fn bytes_reach_the_agent_once_as_they_are_and_across_links() {
    let mut rig = Rig::new("pipe");
    assert_eq!(rig.write(1, 0, b"\x1b[I\x1b[201~\r"), [], "no word before the agent has it");
    assert_eq!(rig.prompt("p", "a line"), "");
    assert_eq!(rig.write(1, 10, b"more"), []);
    assert_eq!(rig.agent_reads(3), b"\x1b[I\x1b[201~\ra line\nmore");
    assert_eq!(rig.controls(), [taken(10), taken(14)].concat());
    assert_eq!(rig.write(1, 15, b"x"), refused(14, InputRefusal::Gap));
    rig.write(1, 14, b"accepted");
    rig.core.apply(Event::LinkDown, rig.now);
    assert_eq!(rig.agent_reads(100), b"accepted", "also while nobody listens");
    rig.link();
    assert_eq!(rig.expected(1), 22);
    assert_eq!(rig.write(1, 14, b"accepted"), taken(22), "again is not twice");
    assert_eq!(rig.write(1, 20, b"ed on"), []);
    assert_eq!(rig.agent_reads(100), b" on");
}

#[test]
fn what_is_not_read_is_bounded_for_all_together() {
    let mut rig = Rig::new("pipe");
    let block = vec![b'x'; 64 * 1024];
    let mut offset = 0;
    while rig.write(1, offset, &block).is_empty() {
        offset += block.len() as u64;
    }
    assert_eq!(offset, 256 * 1024);
    assert_eq!(rig.write(1, offset, b"y"), refused(offset, InputRefusal::Full));
    assert_eq!(rig.prompt("p", "more"), "input-full");
    rig.agent_reads(1 << 20);
    assert_eq!(rig.prompt("p", "more"), "", "refused, it was not taken");
}

#[test]
fn after_the_end_of_input_what_was_before_is_written_and_nothing_else() {
    let mut rig = Rig::new("pipe");
    rig.write(1, 0, b"last");
    assert_eq!(rig.command(Command::CloseInput(CloseInput {})), "");
    assert!(!rig.core.closes_input());
    assert_eq!(rig.write(1, 4, b"late"), refused(4, InputRefusal::Closed));
    assert_eq!(rig.prompt("p", "late"), "input-closed");
    assert_eq!(rig.agent_reads(100), b"last");
    assert!(rig.core.closes_input());
    rig.controls();
    assert_eq!(rig.write(1, 0, b"last"), taken(4));
    rig.core.output_bytes(b"I end by myself", rig.now);
    assert_eq!(rig.output(), b"I end by myself");
    assert_eq!(Rig::new("lines").command(Command::CloseInput(CloseInput {})), "unsupported");
    assert_eq!(Rig::new("lines").write(1, 0, b"x"), []);
}

#[test]
fn what_the_agent_never_took_is_told() {
    let mut rig = Rig::new("pipe");
    rig.write(1, 0, b"taken");
    rig.agent_reads(100);
    rig.controls();
    rig.write(1, 5, b"not taken");
    rig.core.input_broke("Broken pipe", rig.now);
    assert_eq!(rig.controls(), refused(5, InputRefusal::Closed));
    assert_eq!(rig.prompt("p", "costs nothing"), "input-closed");
    assert_eq!(rig.core.agent_input(rig.now), None);

    let mut rig = Rig::new("pipe");
    rig.write(1, 0, b"too late");
    rig.core.apply(Event::OutputClosed, rig.now);
    rig.core.apply(Event::Exited(v1::Exit::default()), rig.now);
    let said = rig.controls();
    assert_eq!(said.first(), refused(0, InputRefusal::Ended).first(), "{said:?}");
    assert_eq!(rig.write(1, 8, b"x"), refused(8, InputRefusal::Ended));
}

#[test]
fn a_hold_stops_the_output_until_its_viewer_moves_or_time_is_up() {
    let mut rig = Rig::new("pipe");
    let hold = |offset, millis| to_host::Body::Hold(Hold { offset, millis });
    rig.say(hold(0, 60_000));
    rig.say(to_host::Body::Live(Live { on: true }));
    let mut wrote = 0;
    while rig.core.wants_output(rig.now) && wrote < 2 * RING {
        rig.core.output_bytes(&[b'x'; READ], rig.now);
        wrote += READ;
        rig.controls();
    }
    assert!(wrote > RING / 2 && wrote < RING, "{wrote}");
    // All the rest that a turn may bring still fits.
    rig.core.output_bytes(&[b'x'; EVENT_OUT], rig.now);
    assert_eq!(rig.core.records.ring().tail(), crate::base::Offset::ZERO);
    rig.say(hold(1 << 20, 60_000));
    assert!(rig.core.wants_output(rig.now), "it moved");
    rig.say(hold(0, 60_000));
    let until = rig.core.blocking_hold(rig.now.at).unwrap().until;
    assert!(rig.core.timer().is_some_and(|at| at <= until) && until <= rig.now.at + crate::base::HOLD);
    rig.now.at = until;
    assert!(rig.core.wants_output(rig.now), "no hold is longer than 30 s");

    let mut rig = Rig::new("pipe");
    rig.say(hold(0, 30_000));
    rig.core.apply(Event::LinkDown, rig.now);
    (0..=RING / READ).for_each(|_| rig.core.output_bytes(&[b'x'; READ], rig.now));
    assert!(rig.core.wants_output(rig.now), "a gateway that is gone holds nothing");
    let read = to_host::Body::Read(Read { request: 1, from: 0, to: 1 });
    rig.link();
    assert!(matches!(&rig.say(read)[..], [Body::Data(data)] if data.lost_to > 0));
}

#[test]
fn an_agent_that_does_not_read_is_not_read_until_it_does() {
    let mut rig = Rig::new("lines");
    rig.core.output_bytes(b"{\"type\":\"ready\"}\n", rig.now);
    assert_eq!(rig.command(Command::Prompt(Prompt { id: "p1".into(), text: "go".into() })), "");
    // Without an id each is refused, which is an answer.
    let flood = b"{\"type\":\"ask\"}\n".repeat(READ / 15);
    let mut read = 0;
    while rig.core.wants_output(rig.now) {
        rig.core.output_bytes(&flood, rig.now);
        read += flood.len();
        assert!(read < 2 * UNREAD, "it ends");
    }
    assert!(rig.core.input.length() < UNREAD + 16 * READ, "{}", rig.core.input.length());
    assert!(rig.core.wants_error(rig.now), "nothing is answered to that");
    assert_eq!(rig.core.log.iter().filter(|line| line.contains("does not read")).count(), 1);
    assert_eq!(rig.command(Command::Interrupt(v1::Interrupt {})), "");
    assert_eq!(rig.command(Command::SetMode(v1::SetAgentMode { mode: "m".into() })), "input-full");
    while let Some(length) = rig.core.agent_input(rig.now).map(<[u8]>::len) {
        rig.core.agent_took(length, rig.now);
    }
    assert!(rig.core.wants_output(rig.now));
    while rig.core.wants_output(rig.now) {
        rig.core.output_bytes(&flood, rig.now);
    }
    let before = rig.core.input.length();
    rig.core.apply(Event::Exited(v1::Exit::default()), rig.now);
    assert!(rig.core.wants_output(rig.now), "what it said last is read");
    rig.core.output_bytes(&flood, rig.now);
    assert_eq!(rig.core.input.length(), before, "and not answered");
}
