//! The core without descriptors: what it decides, with time as a number.

mod appearance;
mod clipboard;
mod frames;

use super::*;
use crate::wire::v1::exit::How;
use crate::wire::v1::{
    AskWriter, Data, Fit, ForgetHost, HostEnded, Input, InputRefusal, LinkHello, Live, NextFrame, Read, SetSize,
    SnapshotData, SnapshotKind, TakeSnapshot, ToGateway, to_host,
};
use crate::wire::{Frame, LinkDecoder};
use prost::Message;

struct Rig {
    core: Core,
    now: Now,
    decoder: LinkDecoder,
}

impl Rig {
    fn new(ring: usize) -> Self {
        let session = Session { name: "s".into(), ..Session::default() };
        let core = Core::new(Launch { session: Some(session), ..Launch::default() }, LogId::from_bytes([9; 16]), ring);
        Self { core, now: Now { at: Instant::now(), unix: 1000, millis: 1_000_000 }, decoder: LinkDecoder::default() }
    }

    fn linked(ring: usize) -> Self {
        let mut rig = Self::new(ring);
        rig.apply(Event::LinkUp(LinkHello { version_min: 1, version_max: 1, software: String::new() }));
        assert!(matches!(rig.controls().as_slice(), [Body::Hello(_), Body::Chosen(_)]));
        rig
    }

    fn apply(&mut self, event: Event) -> Vec<Effect> {
        self.core.apply(event, self.now)
    }

    fn say(&mut self, body: to_host::Body) -> Vec<Effect> {
        self.apply(Event::Message(ToHost { body: Some(body) }))
    }

    fn live(&mut self) {
        self.say(to_host::Body::Live(Live { on: true }));
    }

    fn print(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            while self.core.settler.is_overdue(&self.core.ring) {
                self.core.work(self.now);
            }
            assert!(self.core.wants_output(self.now));
            let space = self.core.space(self.now);
            let length = space.len().min(bytes.len());
            space[..length].copy_from_slice(&bytes[..length]);
            self.core.output(length, self.now);
            self.core.after_output(self.now);
            bytes = &bytes[length..];
        }
    }

    /// Takes what is offered, at most `piece` bytes at a time.
    fn frames_by(&mut self, piece: usize) -> Vec<Frame> {
        while let Some(parts) = self.core.link_output(self.now) {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            let length = all.len().min(piece);
            self.decoder.buffer().extend_from_slice(&all[..length]);
            self.core.link_took(length);
        }
        std::iter::from_fn(|| self.decoder.next_frame().unwrap()).collect()
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.frames_by(usize::MAX)
    }

    fn controls(&mut self) -> Vec<Body> {
        self.frames().into_iter().filter_map(control).collect()
    }

    fn work(&mut self) {
        for _ in 0..10_000 {
            if !self.core.is_busy(self.now) {
                return;
            }
            self.core.work(self.now);
        }
        panic!("the background work never ends");
    }

    fn pass(&mut self, time: Duration) {
        let millis = self.now.millis + time.as_millis() as u64;
        self.now = Now { at: self.now.at + time, unix: self.now.unix + time.as_secs(), millis };
    }

    fn typed(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(input) = self.core.pty_input(self.now) {
            out.extend_from_slice(input);
            let length = input.len();
            self.core.pty_took(length, self.now);
        }
        out
    }

    fn input(&mut self, writer: u8, offset: u64, data: &[u8], paste: bool, enter: bool) {
        let (writer, data) = (vec![writer; 16].into(), data.to_vec().into());
        let effects = self.say(to_host::Body::Input(Input { writer, offset, data, paste, enter, viewer: 1 }));
        assert_eq!(effects, []);
    }
}

fn control(frame: Frame) -> Option<Body> {
    match frame {
        Frame::Control(bytes) => ToGateway::decode(bytes).unwrap().body,
        _ => None,
    }
}

fn lines(from: usize, to: usize) -> Vec<u8> {
    (from..to).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect()
}

/// Checks that output and holes follow each other without a break, and that the bytes are those printed.
fn follow(frames: &[Frame], printed: &[u8], mut at: u64) -> (u64, u64) {
    let mut lost = 0;
    for frame in frames {
        match frame {
            Frame::Output(offset, bytes) => {
                assert_eq!(offset.0, at);
                assert_eq!(bytes[..], printed[at as usize..at as usize + bytes.len()]);
                at += bytes.len() as u64;
            }
            Frame::Lost(from, to) => {
                assert_eq!(from.0, at);
                lost += to.since(*from);
                at = to.0;
            }
            _ => {}
        }
    }
    (at, lost)
}

#[test]
fn what_the_ring_gave_up_is_counted_and_live_goes_on() {
    let mut rig = Rig::linked(SMALLEST_RING);
    rig.live();
    let printed = lines(0, 20_000);
    let mut frames = Vec::new();
    for (turn, piece) in printed.chunks(3_000).enumerate() {
        rig.print(piece);
        if turn % 9 == 8 {
            frames.extend(rig.frames());
        }
    }
    frames.extend(rig.frames());
    let (at, lost) = follow(&frames, &printed, 0);
    assert_eq!(at, printed.len() as u64);
    assert!(lost > 0 && lost < at, "{lost}");
}

#[test]
fn a_link_that_takes_a_few_bytes_at_a_time_gets_whole_frames() {
    let mut rig = Rig::linked(SMALLEST_RING);
    rig.live();
    let printed = lines(0, 2_000);
    let mut frames = Vec::new();
    for piece in printed.chunks(2_000) {
        rig.print(piece);
        // Not all of it: the ring moves on under a frame that went out in part.
        let parts = rig.core.link_output(rig.now).unwrap();
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let length = all.len().min(700);
        rig.decoder.buffer().extend_from_slice(&all[..length]);
        rig.core.link_took(length);
        frames.extend(std::iter::from_fn(|| rig.decoder.next_frame().unwrap()));
    }
    frames.extend(rig.frames_by(61));
    assert_eq!(follow(&frames, &printed, 0).0, printed.len() as u64);
}

#[test]
fn events_stand_between_the_bytes_where_they_happened() {
    let mut rig = Rig::linked(HOST_RING);
    rig.live();
    rig.frames();
    rig.print(b"abc\x1b]0;new title\x07def");
    let frames = rig.frames();
    let [Frame::Output(a, first), Frame::Event(at, event), Frame::Output(b, rest)] = &frames[..] else {
        panic!("{frames:?}");
    };
    assert_eq!(event.kind, Some(Kind::Title("new title".into())));
    assert_eq!((a.0, at.0, b.0), (0, first.len() as u64, first.len() as u64));
    assert_eq!([&first[..], &rest[..]].concat(), b"abc\x1b]0;new title\x07def");
    rig.print(b"\x1b]0;new title\x07");
    assert!(rig.frames().iter().all(|frame| !matches!(frame, Frame::Event(..))), "the same title is no news");
}

const HOST_RING: usize = 1 << 20;

#[test]
fn a_gateway_that_leaves_events_unread_loses_its_link_and_nothing_grows() {
    let mut rig = Rig::linked(HOST_RING);
    let note = format!("\x1b]9;{}\x07", "n".repeat(3_000));
    for _ in 0..1_000 {
        rig.print(note.as_bytes());
        if rig.core.link_fault().is_some() {
            let kept = rig.core.outbox.size();
            rig.print(note.as_bytes());
            assert_eq!(rig.core.outbox.size(), kept, "nothing is gathered for a lost link");
            rig.apply(Event::LinkDown);
            assert_eq!((rig.core.link_fault(), rig.core.outbox.size()), (None, 0));
            return;
        }
    }
    panic!("3 MB of unread events were kept");
}

#[test]
fn reads_tell_what_is_gone_and_a_fifth_is_refused() {
    let mut rig = Rig::linked(SMALLEST_RING);
    let printed = lines(0, 4_000);
    rig.print(&printed);
    let ask = |request| to_host::Body::Read(Read { request, from: 10, to: u64::MAX });
    rig.say(ask(1));
    let mut at = 10;
    for body in rig.controls() {
        let Body::Data(Data { request: 1, offset, data, more, lost_from, lost_to }) = body else { continue };
        if lost_to > lost_from {
            assert_eq!((lost_from, lost_to), (at, offset));
        }
        assert_eq!(data[..], printed[offset as usize..offset as usize + data.len()]);
        at = offset + data.len() as u64;
        assert_eq!(more, at < printed.len() as u64);
    }
    assert_eq!(at, printed.len() as u64);
    for request in 0..4 {
        assert_eq!(rig.say(ask(request)), []);
    }
    assert!(matches!(rig.say(ask(4)).as_slice(), [Effect::CloseLink(_)]));
}

#[test]
fn a_hold_stops_the_terminal_until_it_expires() {
    let mut rig = Rig::linked(SMALLEST_RING);
    let hold = |millis| to_host::Body::Hold(crate::wire::v1::Hold { offset: 0, millis });
    rig.say(hold(60_000));
    let printed = lines(0, 4_000);
    let mut at = 0;
    while rig.core.wants_output(rig.now) && at < printed.len() {
        let length = rig.core.space(rig.now).len();
        rig.print(&printed[at..at + length]);
        at += length;
        rig.work();
    }
    assert!(at < SMALLEST_RING && at > SMALLEST_RING / 2, "{at}");
    assert_eq!(rig.core.ring.tail(), Offset::ZERO);
    assert!(!rig.core.wants_output(rig.now));
    assert_eq!(rig.core.held, 1);
    rig.pass(crate::base::HOLD - Duration::from_millis(1));
    assert!(!rig.core.wants_output(rig.now));
    rig.pass(Duration::from_millis(1));
    assert!(rig.core.wants_output(rig.now), "no hold is longer than 30 s");
    rig.say(hold(30_000));
    assert!(!rig.core.wants_output(rig.now));
    rig.say(hold(0));
    assert!(rig.core.wants_output(rig.now));
}

#[test]
fn a_query_is_answered_from_the_screen_at_its_byte_with_nobody_there() {
    let mut rig = Rig::new(HOST_RING);
    rig.print(b"ab\x1b[6ncdef\x1b[6n");
    assert_eq!(rig.typed(), b"\x1b[1;3R\x1b[1;7R");
    assert_eq!(rig.core.ring.slices(Offset::ZERO, Offset(99)).concat(), b"abcdef");
    let flood = b"\x1b[6n".repeat(10_000);
    rig.print(&flood);
    assert!(rig.typed().len() <= 4096, "answers that nobody reads are bounded");
}

#[test]
fn a_paste_is_bracketed_exactly_when_the_program_asked() {
    let mut rig = Rig::linked(HOST_RING);
    rig.input(1, 0, b"a\nb", true, false);
    assert_eq!(rig.typed(), b"a\rb");
    rig.print(b"\x1b[?2004h");
    rig.input(1, 3, b"a\nb", true, false);
    assert_eq!(rig.typed(), b"\x1b[200~a\nb\x1b[201~");
    rig.input(2, 0, b"x\ny", false, true);
    assert_eq!(rig.typed(), b"\x1b[200~x\ny\x1b[201~");
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.typed(), b"\r");
    rig.print(b"\x1b[?2004l");
    rig.input(1, 6, b"c", true, false);
    assert_eq!(rig.typed(), b"c");
}

#[test]
fn input_is_acknowledged_when_the_terminal_took_it_and_known_to_the_next_link() {
    let mut rig = Rig::linked(HOST_RING);
    rig.input(5, 0, b"hello", false, false);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.controls().iter().filter(|body| matches!(body, Body::Taken(_))).count(), 0);
    assert_eq!(rig.typed(), b"hello");
    rig.pass(Duration::from_secs(1));
    let controls = rig.controls();
    let taken: Vec<_> =
        controls.iter().filter_map(|b| if let Body::Taken(t) = b { Some(t.offset) } else { None }).collect();
    assert_eq!(taken, [5]);
    rig.apply(Event::LinkUp(LinkHello { version_min: 1, version_max: 3, software: String::new() }));
    rig.input(5, 3, b"lo, you", false, false);
    rig.say(to_host::Body::Writer(AskWriter { request: 8, writer: vec![5; 16].into() }));
    rig.input(5, 99, b"?", false, false);
    assert_eq!(rig.typed(), b", you");
    let controls = rig.controls();
    assert!(controls.iter().any(|b| matches!(b, Body::Writer(w) if w.request == 8 && w.offset == 10)), "{controls:?}");
    let gap = |b: &Body| matches!(b, Body::Refused(r) if r.why() == InputRefusal::Gap && r.accepted == 10);
    assert!(controls.iter().any(gap), "{controls:?}");
}

#[test]
fn a_resize_is_settled_applied_and_announced_in_that_order() {
    let mut rig = Rig::linked(HOST_RING);
    rig.live();
    rig.print(b"before");
    let size = |cols, rows| to_host::Body::Size(SetSize { cols, rows, owner: "me".into() });
    assert_eq!(rig.say(size(100, 30)), [Effect::SetSize(WinSize::clamped(100, 30))]);
    rig.print(b"after");
    assert_eq!(rig.say(size(100, 30)), [], "the same size only names its owner");
    let frames = rig.frames();
    let place = frames.iter().position(|f| matches!(control(f.clone()), Some(Body::Size(s)) if s.offset == 6)).unwrap();
    assert!(matches!(&frames[place - 1], Frame::Output(at, data) if at.0 == 0 && &data[..] == b"before"), "{frames:?}");
    assert!(matches!(&frames[place + 1], Frame::Output(at, data) if at.0 == 6 && &data[..] == b"after"), "{frames:?}");
}

#[test]
fn text_snapshot_and_history_come_from_the_settled_screen() {
    let mut rig = Rig::linked(HOST_RING);
    rig.print(&lines(0, 500));
    let ask = |request, kind: SnapshotKind, history| {
        to_host::Body::Snapshot(TakeSnapshot { request, kind: kind.into(), history })
    };
    rig.say(ask(1, SnapshotKind::Text, 0));
    rig.say(ask(2, SnapshotKind::Screen, 0));
    rig.say(ask(3, SnapshotKind::History, 50));
    rig.work();
    let mut answers: Vec<SnapshotData> =
        rig.controls().into_iter().filter_map(|b| if let Body::Snapshot(s) = b { Some(s) } else { None }).collect();
    answers.sort_by_key(|answer| answer.request);
    let [text, screen, history] = &answers[..] else { panic!("{answers:?}") };
    assert!(answers.iter().all(|a| a.offset == rig.core.ring.head().0 && (a.cols, a.rows) == (80, 24) && !a.more));
    assert!(text.data.ends_with(b"line 498\nline 499"), "{:?}", String::from_utf8_lossy(&text.data));
    let mut copy = crate::screen::Screen::new(WinSize::DEFAULT);
    copy.feed_all(&screen.data);
    assert_eq!(copy.text().as_bytes(), &text.data[..]);
    let history = String::from_utf8_lossy(&history.data);
    assert!(history.contains("line 476") && history.contains("line 430") && !history.contains("line 478"), "{history}");
}

#[test]
fn history_of_redraws_is_taken_from_an_older_checkpoint() {
    let mut rig = Rig::linked(256 * 1024);
    rig.print(&lines(0, 2_000));
    rig.work();
    // A spinner below the text: line feeds, but no lines.
    while rig.core.ring.head().0 < 200 * 1024 {
        rig.print(&b"working\r\nplease wait\r\n\x1b[2A".repeat(100));
        rig.work();
    }
    let kind = SnapshotKind::History.into();
    rig.say(to_host::Body::Snapshot(TakeSnapshot { request: 1, kind, history: 500 }));
    rig.work();
    let controls = rig.controls();
    let [Body::Snapshot(answer)] = &controls[..] else { panic!("{controls:?}") };
    let text = String::from_utf8_lossy(&answer.data);
    assert!(text.contains("line 1600") && text.contains("line 1970"), "{} bytes", text.len());
}

#[test]
fn a_flood_of_questions_is_answered_in_order_and_the_rest_refused() {
    let mut rig = Rig::linked(HOST_RING);
    rig.print(b"x");
    let ask =
        |request| to_host::Body::Snapshot(TakeSnapshot { request, kind: SnapshotKind::Screen.into(), history: 0 });
    for request in 0..128 {
        assert_eq!(rig.say(ask(request)), []);
    }
    assert!(matches!(rig.say(ask(128)).as_slice(), [Effect::CloseLink(_)]));
    rig.work();
    let order: Vec<u32> = rig
        .controls()
        .into_iter()
        .filter_map(|b| if let Body::Snapshot(s) = b { Some(s.request) } else { None })
        .collect();
    assert_eq!(order, (0..128).collect::<Vec<_>>());
}

#[test]
fn whatever_is_logged_the_hello_fits_into_a_frame() {
    let mut rig = Rig::new(HOST_RING);
    for _ in 0..100 {
        rig.apply(Event::Log("\u{202e}".repeat(10_000)));
    }
    rig.apply(Event::LinkUp(LinkHello { version_min: 1, version_max: 1, software: String::new() }));
    let controls = rig.controls();
    assert!(
        matches!(&controls[..], [Body::Hello(hello), Body::Chosen(_)] if hello.log.len() == 64),
        "{} messages",
        controls.len()
    );
}

#[test]
fn nothing_that_waits_for_a_descriptor_keeps_the_clock_running() {
    let mut rig = Rig::linked(HOST_RING);
    rig.input(1, 0, b"text", false, true);
    assert_eq!(rig.typed(), b"text");
    rig.pass(Duration::from_secs(3));
    rig.apply(Event::Tick);
    // Enter and an acknowledgement are due; the terminal and the link are full.
    assert!(rig.core.pty_input(rig.now).is_some());
    assert!(rig.core.deadline(rig.now).is_none_or(|at| at > rig.now.at));
}

#[test]
fn the_end_comes_after_the_last_byte_and_stays_until_forgotten() {
    let mut rig = Rig::linked(HOST_RING);
    rig.live();
    rig.input(1, 0, b"never read", false, false);
    let code = |n| Exit { how: Some(How::Code(n)) };
    assert_eq!(rig.apply(Event::Exited(code(3))), []);
    rig.print(b"last words");
    let mut frames = rig.frames();
    rig.core.outbox.taken(crate::base::WriterId::from_bytes([3; 16]), 4, 0, rig.now.at);
    assert_eq!(rig.apply(Event::OutputClosed), [Effect::ClosePty]);
    assert_eq!(rig.apply(Event::Exited(code(4))), [], "the first news counts");
    frames.extend(rig.frames());
    let Some(Frame::Control(last)) = frames.last() else { panic!("{frames:?}") };
    let ended = HostEnded { exit: Some(code(3)), offset: 10, at: 1000 };
    assert_eq!(ToGateway::decode(last.clone()).unwrap().body, Some(Body::Ended(ended)));
    let taken = |b: Body| matches!(b, Body::Taken(t) if t.offset == 4);
    assert!(frames.iter().cloned().filter_map(control).any(taken), "before the end: {frames:?}");
    let refused = |b: &Body| matches!(b, Body::Refused(r) if r.why() == InputRefusal::Ended && r.accepted == 0);
    assert!(frames.iter().cloned().filter_map(control).any(|body| refused(&body)), "{frames:?}");
    rig.input(2, 0, b"too late", false, false);
    assert!(rig.controls().iter().any(refused));

    rig.apply(Event::LinkUp(LinkHello { version_min: 1, version_max: 1, software: String::new() }));
    let controls = rig.controls();
    let [Body::Hello(hello), Body::Chosen(_)] = &controls[..] else { panic!("{controls:?}") };
    let session = hello.session.as_ref().unwrap();
    assert_eq!((session.state(), session.exit.clone(), session.head), (State::Ended, Some(code(3)), 10));
    assert_eq!(rig.say(to_host::Body::Forget(ForgetHost {})), [Effect::Leave]);
    rig.pass(Duration::from_secs(24 * 60 * 60 - 1));
    assert_eq!(rig.apply(Event::Tick), []);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.apply(Event::Tick), [Effect::Leave]);
}

#[test]
fn a_terminal_kept_open_is_hung_up_and_a_live_session_is_not_forgotten() {
    let mut rig = Rig::linked(HOST_RING);
    assert_eq!(rig.say(to_host::Body::Forget(ForgetHost {})), []);
    assert_eq!(rig.apply(Event::Exited(Exit { how: Some(How::Signal("TERM".into())) })), []);
    assert_eq!(rig.apply(Event::Tick), []);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.apply(Event::Tick), [Effect::ClosePty]);
    assert!(!rig.core.wants_output(rig.now));
}

#[test]
fn a_gateway_of_another_version_is_told_why() {
    let mut rig = Rig::new(HOST_RING);
    let hello = LinkHello { version_min: 2, version_max: 3, software: String::new() };
    let effects = rig.apply(Event::LinkUp(hello));
    assert!(matches!(effects.as_slice(), [Effect::CloseLink(why)] if why.contains("2..=3")), "{effects:?}");
    assert!(rig.core.link_output(rig.now).is_none());
}
