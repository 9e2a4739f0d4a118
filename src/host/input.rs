//! What clients type or write, on its way to the agent's PTY or pipe: numbered by byte for each writer, written whole and in order of arrival; does no I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::{INPUT_MESSAGE, INPUT_QUEUE, WRITERS, WriterId};
use crate::screen::{InputFilter, InputKind};

/// Messages in the queue, whatever their size: a byte each from alternating writers must not cost more than the bytes.
const MESSAGES: usize = 4096;
/// Answers to a program's queries that may wait (screen.md 4).
const ANSWERS: usize = 4096;
/// Enter comes so long after the text of a `send`: agents take both in one read for a paste (agents.md, terminal behaviour).
const ENTER_PAUSE: Duration = Duration::from_millis(200);

/// A place in a writer's own numbering, and the viewer that wants to know when the PTY took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) writer: WriterId,
    pub(super) upto: u64,
    pub(super) viewer: u32,
}

/// How numbered bytes relate to what their writer sent before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Numbered<'a> {
    /// These are new; the queue has room for them.
    New(&'a [u8]),
    /// All of them were accepted before; the PTY took the writer's bytes up to here.
    Known(u64),
    /// They begin beyond what was accepted.
    Gap(u64),
    /// No room.
    Full(u64),
}

/// Bytes on their way to the PTY.
#[derive(Default)]
pub(super) struct Input {
    queue: VecDeque<Message>,
    bytes: usize,
    answers: usize,
    /// Most recent last.
    writers: Vec<Writer>,
    /// When the PTY took the last byte.
    last_write: Option<Instant>,
}

struct Message {
    data: Vec<u8>,
    written: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Typed(Receipt),
    Paste(Receipt),
    Enter,
    Answer,
    /// The driver's own.
    Line,
}

struct Writer {
    id: WriterId,
    accepted: u64,
    taken: u64,
    filter: InputFilter,
}

impl Input {
    /// Compares `data` at `offset` with what this writer sent before; changes nothing.
    pub(super) fn number<'a>(&mut self, id: WriterId, offset: u64, data: &'a [u8]) -> Numbered<'a> {
        let (accepted, taken) = self.writer(id).map_or((0, 0), |writer| (writer.accepted, writer.taken));
        if offset > accepted {
            return Numbered::Gap(accepted);
        }
        let known = usize::try_from(accepted - offset).unwrap_or(usize::MAX);
        match data.get(known..) {
            Some(new) if self.bytes + new.len() > INPUT_QUEUE || self.queue.len() >= MESSAGES => {
                Numbered::Full(accepted)
            }
            Some(new) if !new.is_empty() || data.is_empty() => Numbered::New(new),
            _ => Numbered::Known(taken),
        }
    }

    /// Queues typed bytes that [`Input::number`] called new.
    pub(super) fn typed(&mut self, id: WriterId, new: &[u8], viewer: u32) -> InputKind {
        let writer = self.writer_or_new(id);
        writer.accepted += new.len() as u64;
        let receipt = Receipt { writer: id, upto: writer.accepted, viewer };
        let mut data = Vec::new();
        let kind = writer.filter.push(new, &mut data);
        self.put(data, receipt);
        kind
    }

    /// Queues bytes for a raw agent that [`Input::number`] called new, as they are.
    pub(super) fn raw(&mut self, id: WriterId, new: &[u8], viewer: u32) {
        let writer = self.writer_or_new(id);
        writer.accepted += new.len() as u64;
        let receipt = Receipt { writer: id, upto: writer.accepted, viewer };
        self.put(new.to_vec(), receipt);
    }

    /// Queues what the driver says to a structured agent, whose output waits while too much is unread.
    pub(super) fn line(&mut self, data: Vec<u8>) {
        self.bytes += data.len();
        match self.queue.back_mut() {
            // Small ones together: the agent sees no difference, and thousands that wait cost little more than their bytes.
            Some(Message { data: before, written: 0, kind: Kind::Line })
                if before.len() + data.len() <= INPUT_MESSAGE =>
            {
                before.extend_from_slice(&data);
            }
            _ if data.is_empty() => {}
            _ => self.queue.push_back(Message { data, written: 0, kind: Kind::Line }),
        }
    }

    /// Whether so many bytes more are within the limit.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.bytes + length <= INPUT_QUEUE
    }

    /// Bytes that wait.
    pub(super) fn length(&self) -> usize {
        self.bytes
    }

    /// Whether everything was written.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn put(&mut self, data: Vec<u8>, receipt: Receipt) {
        self.bytes += data.len();
        match self.queue.back_mut() {
            // One message or two makes no difference to the program, but one costs less memory; one that is being written or is
            // long is left as it is, so that its receipt comes while a writer goes on.
            Some(Message { data: before, written: 0, kind: Kind::Typed(last) })
                if last.writer == receipt.writer
                    && last.viewer == receipt.viewer
                    && before.len() + data.len() <= INPUT_MESSAGE =>
            {
                before.extend_from_slice(&data);
                *last = receipt;
            }
            _ => self.queue.push_back(Message { data, written: 0, kind: Kind::Typed(receipt) }),
        }
    }

    /// Queues a paste, in brackets if the program asked for them (mode 2004).
    pub(super) fn paste(&mut self, id: WriterId, new: &[u8], viewer: u32, bracketed: bool) {
        let writer = self.writer_or_new(id);
        writer.accepted += new.len() as u64;
        let receipt = Receipt { writer: id, upto: writer.accepted, viewer };
        let data = if bracketed { in_brackets(new) } else { with_returns(new) };
        self.bytes += data.len();
        self.queue.push_back(Message { data, written: 0, kind: Kind::Paste(receipt) });
    }

    /// Queues Enter; it is written a moment after what is before it.
    pub(super) fn enter(&mut self) {
        self.bytes += 1;
        self.queue.push_back(Message { data: b"\r".to_vec(), written: 0, kind: Kind::Enter });
    }

    /// Whether another answer to a query would be queued.
    pub(super) fn answers_fit(&self) -> bool {
        self.answers < ANSWERS
    }

    /// Queues the answer to a query, or drops it when the program does not read its answers.
    pub(super) fn answer(&mut self, data: Vec<u8>) {
        if self.answers + data.len() <= ANSWERS {
            self.answers += data.len();
            self.bytes += data.len();
            self.queue.push_back(Message { data, written: 0, kind: Kind::Answer });
        }
    }

    /// What the PTY gets next.
    pub(super) fn next(&self, now: Instant) -> Option<&[u8]> {
        if self.due().is_some_and(|due| due > now) {
            return None;
        }
        self.queue.front().and_then(|message| message.data.get(message.written..))
    }

    /// When Enter at the queue's head may be written.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.queue.front(), self.last_write) {
            (Some(Message { kind: Kind::Enter, .. }), Some(last)) => Some(last + ENTER_PAUSE),
            _ => None,
        }
    }

    /// The PTY took `length` bytes of [`Input::next`]; the receipts of what is written whole by now.
    pub(super) fn took(&mut self, length: usize, now: Instant) -> Option<Receipt> {
        let message = self.queue.front_mut()?;
        message.written += length;
        self.last_write = Some(now);
        if message.written < message.data.len() {
            return None;
        }
        let message = self.queue.pop_front()?;
        self.bytes -= message.data.len();
        match message.kind {
            Kind::Typed(receipt) | Kind::Paste(receipt) => {
                if let Some(writer) = self.writer(receipt.writer) {
                    writer.taken = receipt.upto;
                }
                Some(receipt)
            }
            Kind::Answer => {
                self.answers -= message.data.len();
                None
            }
            Kind::Enter | Kind::Line => None,
        }
    }

    /// The next byte that is expected of this writer; 0 for an unknown one.
    pub(super) fn expected(&mut self, id: WriterId) -> u64 {
        self.writer(id).map_or(0, |writer| writer.accepted)
    }

    /// The session is over: whose bytes were accepted and never written, and up to where they were.
    pub(super) fn end(&mut self) -> Vec<Receipt> {
        let mut unwritten: Vec<Receipt> = Vec::new();
        for message in std::mem::take(&mut self.queue) {
            if let Kind::Typed(receipt) | Kind::Paste(receipt) = message.kind
                && !unwritten.iter().any(|known| known.writer == receipt.writer)
            {
                let upto = self.writer(receipt.writer).map_or(0, |writer| writer.taken);
                unwritten.push(Receipt { upto, ..receipt });
            }
        }
        (self.bytes, self.answers) = (0, 0);
        unwritten
    }

    fn writer(&mut self, id: WriterId) -> Option<&mut Writer> {
        self.writers.iter_mut().rev().find(|writer| writer.id == id)
    }

    fn writer_or_new(&mut self, id: WriterId) -> &mut Writer {
        match self.writers.iter().rposition(|writer| writer.id == id) {
            Some(at) => self.writers.get_mut(at..).unwrap_or_default().rotate_left(1),
            None => {
                if self.writers.len() == WRITERS {
                    self.writers.remove(0);
                }
                self.writers.push(Writer { id, accepted: 0, taken: 0, filter: InputFilter::new() });
            }
        }
        let last = self.writers.len() - 1;
        &mut self.writers[last]
    }
}

const PASTE_BEGIN: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";
/// The same with the one-character CSI.
const PASTE_END_C1: &[u8] = b"\xc2\x9b201~";

/// A paste must not end itself: what would act as typed after an end mark within it is somebody else's text.
fn in_brackets(text: &[u8]) -> Vec<u8> {
    let mut out = PASTE_BEGIN.to_vec();
    let start = out.len();
    for byte in text {
        out.push(*byte);
        // Checked at each byte, so that removing one mark cannot make another.
        for mark in [PASTE_END, PASTE_END_C1] {
            if out.get(start..).is_some_and(|inside| inside.ends_with(mark)) {
                out.truncate(out.len() - mark.len());
            }
        }
    }
    out.extend_from_slice(PASTE_END);
    out
}

/// Without brackets a terminal sends a line's end as the Enter key.
fn with_returns(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut before = 0;
    for byte in text {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\n' => out.push(b'\r'),
            other => out.push(*other),
        }
        before = *byte;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> WriterId {
        WriterId::from_bytes([n; 16])
    }

    fn drain(input: &mut Input, now: Instant) -> (Vec<u8>, Vec<Receipt>) {
        let (mut bytes, mut receipts) = (Vec::new(), Vec::new());
        while let Some(next) = input.next(now) {
            bytes.extend_from_slice(next);
            let length = next.len();
            receipts.extend(input.took(length, now));
        }
        (bytes, receipts)
    }

    #[test]
    fn each_byte_once_and_no_gap() {
        let mut input = Input::default();
        assert_eq!(input.number(id(1), 1, b"x"), Numbered::Gap(0));
        assert_eq!(input.number(id(1), 0, b"abc"), Numbered::New(b"abc"));
        input.typed(id(1), b"abc", 7);
        assert_eq!(input.number(id(1), 1, b"bcd"), Numbered::New(b"d"));
        assert_eq!(input.number(id(1), 0, b"abc"), Numbered::Known(0));
        assert_eq!(input.number(id(1), 4, b"x"), Numbered::Gap(3));
        let (bytes, receipts) = drain(&mut input, Instant::now());
        assert_eq!(bytes, b"abc");
        assert_eq!(receipts, [Receipt { writer: id(1), upto: 3, viewer: 7 }]);
        assert_eq!(input.number(id(1), 2, b"c"), Numbered::Known(3));
        assert_eq!(input.expected(id(2)), 0);
    }

    #[test]
    fn messages_stay_whole_in_order_of_arrival_and_are_acknowledged_when_taken() {
        let now = Instant::now();
        let mut input = Input::default();
        input.typed(id(1), b"one", 1);
        input.paste(id(2), b"two", 2, true);
        input.typed(id(1), b"three", 1);
        assert_eq!(input.took(2, now), None, "two of three bytes are no message");
        assert_eq!(input.next(now), Some(&b"e"[..]));
        input.answer(b"\x1b[0n".to_vec());
        let (bytes, receipts) = drain(&mut input, now);
        assert_eq!(bytes, b"e\x1b[200~two\x1b[201~three\x1b[0n");
        assert_eq!(receipts.iter().map(|r| r.upto).collect::<Vec<_>>(), [3, 3, 8]);
    }

    #[test]
    fn a_full_queue_refuses_whole_messages_with_what_was_accepted() {
        let mut input = Input::default();
        let block = vec![b'x'; 64 * 1024];
        let mut offset = 0;
        while let Numbered::New(new) = input.number(id(1), offset, &block) {
            input.typed(id(1), new, 0);
            offset += block.len() as u64;
        }
        assert_eq!(offset, INPUT_QUEUE as u64);
        assert_eq!(input.number(id(1), offset, b"y"), Numbered::Full(offset));
        let (bytes, _) = drain(&mut input, Instant::now());
        assert_eq!(bytes.len(), INPUT_QUEUE);
        assert_eq!(input.number(id(1), offset, b"y"), Numbered::New(b"y"));
        for turn in 0..MESSAGES as u64 {
            input.typed(id((turn % 2) as u8 + 2), b"z", 0);
        }
        assert_eq!(input.number(id(1), offset, b"y"), Numbered::Full(offset), "small messages have a limit too");
    }

    #[test]
    fn what_is_raw_is_as_it_came_and_is_acknowledged_while_more_comes() {
        let now = Instant::now();
        let mut input = Input::default();
        let focus = b"\x1b[I\x1b[200~\r\n\0\xff";
        input.raw(id(1), focus, 1);
        input.line(b"a line\n".to_vec());
        input.line(Vec::new());
        input.raw(id(1), b"x", 1);
        let (bytes, receipts) = drain(&mut input, now);
        assert_eq!(bytes, [&focus[..], b"a line\n", b"x"].concat());
        assert_eq!(receipts.iter().map(|receipt| receipt.upto).collect::<Vec<_>>(), [13, 14]);
        assert!(input.is_empty() && input.has_room(INPUT_QUEUE) && !input.has_room(INPUT_QUEUE + 1));
        input.raw(id(1), b"begun", 1);
        assert_eq!(input.took(1, now), None);
        input.raw(id(1), b"more", 1);
        let receipt = input.took(4, now).unwrap();
        assert_eq!(receipt.upto, 19, "what is being written does not wait for what comes later");
        let block = vec![b'x'; INPUT_MESSAGE];
        input.raw(id(1), &block, 1);
        assert_eq!(input.queue.len(), 2, "nor does a long message grow");
    }

    #[test]
    fn only_the_most_recent_writers_are_known() {
        let mut input = Input::default();
        let id = |n: usize| WriterId::from_bytes((n as u128).to_be_bytes());
        for n in 0..WRITERS {
            input.typed(id(n), b"a", 0);
        }
        input.typed(id(0), b"b", 0);
        input.typed(id(WRITERS), b"a", 0);
        assert_eq!((input.expected(id(0)), input.expected(id(1)), input.expected(id(2))), (2, 0, 1));
    }

    #[test]
    fn a_paste_cannot_leave_its_brackets() {
        assert_eq!(in_brackets(b"a\x1b[20\x1b[201~1~b\xc2\x9b201~"), b"\x1b[200~ab\x1b[201~");
        assert_eq!(with_returns(b"a\nb\r\nc\r"), b"a\rb\rc\r");
    }

    #[test]
    fn enter_comes_after_a_pause_and_holds_back_what_follows() {
        let now = Instant::now();
        let mut input = Input::default();
        input.typed(id(1), b"text", 0);
        input.enter();
        input.typed(id(2), b"later", 0);
        assert_eq!(drain(&mut input, now).0, b"text");
        let due = input.due().unwrap();
        assert!(due > now);
        assert_eq!(drain(&mut input, due).0, b"\rlater");
    }

    #[test]
    fn unread_answers_are_bounded_and_the_end_names_what_was_not_written() {
        let mut input = Input::default();
        for _ in 0..1000 {
            input.answer(vec![b'a'; 100]);
        }
        assert!(drain(&mut input, Instant::now()).0.len() <= ANSWERS);
        input.typed(id(1), b"ab", 3);
        assert_eq!(drain(&mut input, Instant::now()).0, b"ab");
        input.typed(id(1), b"cd", 3);
        assert_eq!(input.end(), [Receipt { writer: id(1), upto: 2, viewer: 3 }]);
        assert_eq!(input.next(Instant::now()), None);
    }
}
