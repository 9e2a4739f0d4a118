//! The byte scanner in the output path: takes out what makes a terminal answer; knows neither the screen nor the answers.
//!
//! Every decision depends on the stream's bytes alone, never on how it was cut: a sequence is judged from a window that
//! starts at its first byte, and what is not complete in a push is held (at most [`HOLD_MOST`] bytes) and judged again.
//! Beyond the questions of `Query` and the notes of `What` these go, because the engine does not have them and engine
//! and viewers would drift apart, or because terminals would talk later:
//! * private modes 2, 3, 69, 1004, 2031, 2048, 5522 (47 and 1047 become 1049), saving and restoring of private modes;
//! * margins, rectangles, protected and double-size characters, media copy, other coding systems, 8-bit replies;
//! * OSC 3, 60, 61, 66, 1337, 5522, ConEmu's numbered OSC 9 (a progress bar would outlive its viewer), XTSETTCAP, DECUDK,
//!   DECDLD, DECRSPS, sequences that no grammar allows, and those that their own end never came to.
//!
//! What stays reads the same to every parser: C1 controls in UTF-8 become `ESC` forms, a control character inside a
//! sequence is put before it, DEL inside goes, a string holds no C1 control and always ends with BEL or `ESC \`.

mod control;
mod query;
mod sequence;
mod sieved;
mod strings;

pub use query::{ColorSlot, Query, Terminator};
pub use sieved::{Mark, Note, Piece, Sieved, What};

use control::Verdict;
use memchr::memchr3;
use sequence::{BEL, C1_LEAD, C1_ST, CAN, Csi, DEL, ENQ, ESC, Form, SI, SO, SUB, StringKind};
use strings::{Fate, Opening, Part};

/// Most bytes of an unfinished sequence; an OSC that must be read whole has to end within them.
const HOLD_MOST: usize = 4096;
/// A note's title; the engine keeps no more of it.
const TITLE_MOST: usize = 1024;

/// The state between two pushes.
#[derive(Debug, Default)]
pub struct Sieve {
    state: State,
    /// The start of a sequence, or the first byte of a pair, at the last push's end.
    hold: Vec<u8>,
    /// The payload of the open string, if it is wanted.
    collected: Vec<u8>,
    /// Modes 1004, 2031 and 2048 as last set, for RIS.
    reports: [bool; 3],
    /// Bytes kept by earlier pushes.
    passed: u64,
    /// The stream's offset behind the last bell: a run of bells is one note.
    rang: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Ground,
    /// In a sequence that was too long, up to its final byte.
    Skip,
    String(Open),
}

/// An open string.
#[derive(Debug, Clone, Copy)]
struct Open {
    kind: StringKind,
    fate: Fate,
    /// Payload bytes so far.
    seen: usize,
}

/// Bytes being scanned: the input itself, or the hold with some input behind it.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    held: bool,
}

impl Source<'_> {
    fn keep(&self, from: usize, to: usize, out: &mut Sieved) {
        if self.held {
            out.keep_own(self.bytes.get(from..to).unwrap_or_default());
        } else {
            out.keep_input(from..to);
        }
    }
}

impl Sieve {
    /// At a stream's start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans the next bytes of the stream; the result does not depend on how the stream is cut.
    pub fn push(&mut self, input: &[u8], out: &mut Sieved) {
        out.clear();
        let start = self.push_held(input, out);
        if start < input.len() {
            let at = self.run(Source { bytes: input, held: false }, start, input.len(), out);
            self.hold.extend_from_slice(input.get(at..).unwrap_or_default());
        }
        self.passed += out.kept() as u64;
    }

    /// The stream is over: what is held goes, an open string is ended.
    pub fn finish(&mut self, out: &mut Sieved) {
        out.clear();
        if let State::String(open) = self.state {
            self.abort_string(open, out);
        } else if self.hold == [C1_LEAD] {
            out.keep_own(&[C1_LEAD]);
        }
        self.hold.clear();
        self.state = State::Ground;
    }

    /// Bytes held back, at most [`HOLD_MOST`]; a collected clipboard is counted by [`Sieve::collected`].
    pub fn held(&self) -> usize {
        self.hold.len()
    }

    /// Bytes collected of a payload that does not pass: at most 1 MiB of a clipboard, 4 KiB of anything else.
    pub fn collected(&self) -> usize {
        self.collected.len()
    }

    /// Goes on with what is held; returns where in `input` the hold is used up.
    fn push_held(&mut self, input: &[u8], out: &mut Sieved) -> usize {
        let mut taken = 0;
        while !self.hold.is_empty() && taken < input.len() {
            let mut hold = std::mem::take(&mut self.hold);
            let before = hold.len();
            let more = input.get(taken..).unwrap_or_default();
            let more = more.get(..HOLD_MOST.saturating_sub(before)).unwrap_or(more);
            hold.extend_from_slice(more);
            taken += more.len();
            let used = self.run(Source { bytes: &hold, held: true }, 0, before, out);
            if used >= before {
                taken -= hold.len() - used;
                hold.clear();
            } else {
                hold.drain(..used);
            }
            self.hold = hold;
        }
        taken
    }

    /// Scans from `at` until `enough` or until more bytes are needed; returns the first byte not used.
    fn run(&mut self, source: Source<'_>, mut at: usize, enough: usize, out: &mut Sieved) -> usize {
        // Rare in text, so looked for once and not after each sequence.
        let mut shift = 0;
        while at < enough {
            let next = match self.state {
                State::Ground => self.ground(source, at, (enough, &mut shift), out),
                State::Skip => Some(self.skip(source, at, out)),
                State::String(open) => self.string(source, at, open, out),
            };
            match next {
                Some(next) => at = next,
                None => return at,
            }
        }
        at
    }

    /// Text and plain sequences, then the one thing that needs a look.
    fn ground(
        &mut self,
        source: Source<'_>,
        at: usize,
        (enough, shift): (usize, &mut usize),
        out: &mut Sieved,
    ) -> Option<usize> {
        let bytes = source.bytes;
        if *shift <= at {
            let rest = bytes.get(at..).unwrap_or_default();
            *shift = memchr3(ENQ, SO, SI, rest).map_or(bytes.len(), |found| at + found);
        }
        let (end, mark) = plain(bytes, at, *shift, enough);
        if end > at {
            source.keep(at, end, out);
            out.mark(mark);
            return Some(end);
        }
        match bytes.get(at..).unwrap_or_default() {
            [] | [C1_LEAD] => None,
            [ENQ, ..] => {
                out.note(What::Query(Query::Refused("ENQ")));
                Some(at + 1)
            }
            [BEL, ..] => {
                self.bell(source, at, out);
                Some(at + 1)
            }
            // It must not meet a continuation byte behind what is removed; parsers show it like this.
            [C1_LEAD, ESC | ENQ | C1_LEAD, ..] => {
                out.keep_own("\u{fffd}".as_bytes());
                Some(at + 1)
            }
            [SO | SI, ..] => {
                source.keep(at, at + 1, out);
                out.mark(Mark::Mixed);
                Some(at + 1)
            }
            rest => self.sequence(source, at, rest, out),
        }
    }

    /// A sequence begins at `at`; `rest` is everything from there.
    fn sequence(&mut self, source: Source<'_>, at: usize, rest: &[u8], out: &mut Sieved) -> Option<usize> {
        let scanned = sequence::scan(rest);
        let len = match scanned.form {
            Form::Incomplete => return None,
            Form::TooLong => {
                let end = at + sequence::SEQUENCE_MOST;
                self.controls(source, at + 1, end, out);
                out.note(What::Cut("control sequence"));
                self.state = State::Skip;
                return Some(end);
            }
            Form::Open(len, kind) => return self.open(source, at, (len, kind, scanned.dirty), out),
            Form::Aborted(len) | Form::Escape(len) | Form::Csi(len) => len,
        };
        let end = at + len;
        if scanned.dirty {
            self.controls(source, at + 1, end, out);
        }
        if matches!(scanned.form, Form::Aborted(_)) || scanned.malformed {
            return Some(end);
        }
        let is_csi = matches!(scanned.form, Form::Csi(_));
        if scanned.dirty {
            let clean = sequence::clean(rest.get(..len).unwrap_or_default());
            let source = Source { bytes: &clean, held: true };
            self.judge(source, 0, clean.len(), is_csi, out);
        } else {
            self.judge(source, at, end, is_csi, out);
        }
        Some(end)
    }

    /// The control characters in a stretch of a sequence act at once: they pass, the other bytes do not.
    fn controls(&mut self, source: Source<'_>, from: usize, to: usize, out: &mut Sieved) {
        for index in from..to {
            match source.bytes.get(index) {
                Some(&ENQ) => out.note(What::Query(Query::Refused("ENQ"))),
                Some(&BEL) => self.bell(source, index, out),
                Some(0x00..=0x1f) => {
                    source.keep(index, index + 1, out);
                    out.mark(Mark::Mixed);
                }
                _ => {}
            }
        }
    }

    fn bell(&mut self, source: Source<'_>, at: usize, out: &mut Sieved) {
        let again = self.rang == Some(self.passed + out.kept() as u64);
        source.keep(at, at + 1, out);
        self.rang = Some(self.passed + out.kept() as u64);
        if !again {
            out.note(What::Bell);
        }
    }

    /// A whole, clean sequence.
    fn judge(&mut self, source: Source<'_>, from: usize, to: usize, is_csi: bool, out: &mut Sieved) {
        let bytes = source.bytes.get(from..to).unwrap_or_default();
        let csi = if is_csi { Csi::parse(bytes) } else { None };
        let verdict = match (&csi, bytes) {
            (Some(csi), _) => control::csi(csi),
            (None, [_, intermediates @ .., last]) => control::escape(intermediates, *last),
            (None, _) => Verdict::Drop,
        };
        match verdict {
            Verdict::Keep(mark) => {
                source.keep(from, to, out);
                out.mark(mark);
            }
            Verdict::Drop => {}
            Verdict::Ask(query) => out.note(What::Query(query)),
            Verdict::Modes => {
                if let Some(csi) = csi {
                    self.modes(source, from, to, &csi, out);
                }
            }
            Verdict::Reset => {
                source.keep(from, to, out);
                out.mark(Mark::Barrier);
                let reports = std::mem::take(&mut self.reports);
                let notes = [What::FocusReports(false), What::ColorReports(false), What::SizeReports(false)];
                reports.into_iter().zip(notes).filter(|(on, _)| *on).for_each(|(_, what)| out.note(what));
            }
        }
    }

    fn modes(&mut self, source: Source<'_>, from: usize, to: usize, csi: &Csi<'_>, out: &mut Sieved) {
        let modes = control::modes(csi.params, csi.last == b'h');
        match modes.instead {
            None => source.keep(from, to, out),
            Some(params) if params.is_empty() => {}
            Some(params) => {
                out.keep_own(b"\x1b[?");
                out.keep_own(&params);
                out.keep_own(&[csi.last]);
            }
        }
        out.mark(if modes.barrier { Mark::Barrier } else { Mark::Mixed });
        for what in modes.notes {
            match what {
                What::FocusReports(on) => self.reports[0] = on,
                What::ColorReports(on) => self.reports[1] = on,
                What::SizeReports(on) => self.reports[2] = on,
                _ => {}
            }
            out.note(what);
        }
    }

    /// The rest of a sequence that was too long; control characters in it act all the same.
    fn skip(&mut self, source: Source<'_>, at: usize, out: &mut Sieved) -> usize {
        match source.bytes.get(at) {
            None | Some(0x20..=0x3f | &DEL) => at + 1,
            Some(&(CAN | SUB | ESC | 0x80..)) => {
                self.state = State::Ground;
                at
            }
            Some(0x00..=0x1f) => {
                self.controls(source, at, at + 1, out);
                at + 1
            }
            Some(_) => {
                self.state = State::Ground;
                at + 1
            }
        }
    }

    /// A string begins at `at`; its introducer is `len` bytes.
    fn open(
        &mut self,
        source: Source<'_>,
        at: usize,
        (len, kind, dirty): (usize, StringKind, bool),
        out: &mut Sieved,
    ) -> Option<usize> {
        let window = source.bytes.get(at..).unwrap_or_default();
        let window = window.get(..HOLD_MOST).unwrap_or(window);
        let (introducer, body) = window.split_at_checked(len).unwrap_or_default();
        let opening = strings::opening(kind, body, window.len() == HOLD_MOST);
        if opening != Opening::Incomplete && dirty {
            self.controls(source, at + 1, at + len, out);
        }
        match opening {
            Opening::Incomplete => None,
            Opening::Gone(end) => Some(at + len + end),
            Opening::Cut => {
                out.note(What::Cut("string"));
                self.state = State::String(Open { kind, fate: Fate::Drop(None), seen: 0 });
                Some(at + len)
            }
            Opening::Stream(header, fate) => {
                let open = Open { kind, fate, seen: 0 };
                if open.passes() {
                    let header = body.get(..header).unwrap_or_default();
                    let clean = strings::without_controls(header);
                    if dirty || clean.len() < header.len() {
                        out.keep_own(&sequence::clean(introducer));
                        out.keep_own(&clean);
                    } else {
                        source.keep(at, at + len + header.len(), out);
                    }
                    out.mark(Mark::Mixed);
                }
                self.collected.clear();
                self.state = State::String(open);
                Some(at + len + header)
            }
            Opening::Whole(whole) => {
                let contents = body.get(..whole.contents).unwrap_or_default();
                let clean = strings::without_controls(contents);
                let exact = !dirty && clean.len() == contents.len() && !whole.c1_end;
                let as_is = exact.then_some((at, at + len + whole.len));
                whole_osc(source, as_is, &clean, whole.terminator, out);
                Some(at + len + whole.len)
            }
        }
    }

    /// The next bytes of an open string.
    fn string(&mut self, source: Source<'_>, at: usize, open: Open, out: &mut Sieved) -> Option<usize> {
        let rest = source.bytes.get(at..).unwrap_or_default();
        let stops = if open.kind == StringKind::Dcs { &STOPS_DCS } else { &STOPS };
        let run = rest.iter().position(|&byte| stops[usize::from(byte)]).unwrap_or(rest.len());
        if run > 0 {
            self.payload(source, at, at + run, open, out);
            return Some(at + run);
        }
        match rest {
            [BEL, ..] if open.kind == StringKind::Osc => {
                if open.passes() {
                    source.keep(at, at + 1, out);
                }
                self.close(open, out);
                Some(at + 1)
            }
            [ESC] | [C1_LEAD] => None,
            [ESC, b'\\', ..] => {
                if open.passes() {
                    source.keep(at, at + 2, out);
                }
                self.close(open, out);
                Some(at + 2)
            }
            // Some terminals end a string here and some do not: now all do.
            [C1_LEAD, C1_ST, ..] => {
                if open.passes() {
                    out.keep_own(ST);
                }
                self.close(open, out);
                Some(at + 2)
            }
            [CAN | SUB | ESC, ..] => {
                self.abort_string(open, out);
                Some(at)
            }
            [C1_LEAD, 0xa0..=0xbf, ..] if open.kind != StringKind::Dcs => {
                self.payload(source, at, at + 2, open, out);
                Some(at + 2)
            }
            // Any other C1 control ends the string for some parsers and is text for others.
            [C1_LEAD, 0x80..=0xbf, ..] => Some(at + 2),
            // BEL and ENQ; a C1 lead alone; in a DCS bytes beyond ASCII, one of which ends it for some parsers.
            _ => Some(at + 1),
        }
    }

    fn payload(&mut self, source: Source<'_>, from: usize, to: usize, open: Open, out: &mut Sieved) {
        let bytes = source.bytes.get(from..to).unwrap_or_default();
        match open.fate {
            Fate::Drop(_) => {}
            Fate::Collect(purpose) if self.collected.len() + bytes.len() > purpose.most() => {
                out.note(What::Cut(purpose.name()));
                self.collected = Vec::new();
                self.state = State::String(Open { fate: Fate::Drop(None), ..open });
            }
            Fate::Collect(_) => self.collected.extend_from_slice(bytes),
            Fate::Pass(_) | Fate::Title => {
                let room = open.fate.most() - open.seen;
                let passing = bytes.get(..room).unwrap_or(bytes);
                source.keep(from, from + passing.len(), out);
                out.mark(Mark::Mixed);
                if open.fate == Fate::Title {
                    let wanted = TITLE_MOST.saturating_sub(self.collected.len());
                    self.collected.extend_from_slice(passing.get(..wanted).unwrap_or(passing));
                }
                let seen = open.seen + passing.len();
                self.state = State::String(Open { seen, ..open });
                if passing.len() < bytes.len() {
                    self.abort_string(open, out);
                    out.note(What::Cut("string"));
                    self.state = State::String(Open { fate: Fate::Drop(None), ..open });
                }
            }
        }
    }

    /// Ended by its terminator.
    fn close(&mut self, open: Open, out: &mut Sieved) {
        let collected = std::mem::take(&mut self.collected);
        let note = match open.fate {
            Fate::Title => Some(What::Title(strings::text(&collected))),
            Fate::Drop(Some(name)) => Some(What::Query(Query::Refused(name))),
            Fate::Collect(purpose) => purpose.note(&collected),
            Fate::Drop(None) | Fate::Pass(_) => None,
        };
        if let Some(what) = note {
            out.note(what);
        }
        self.state = State::Ground;
    }

    /// Ended by something else: what has passed gets an end that all terminals take, the rest never was.
    fn abort_string(&mut self, open: Open, out: &mut Sieved) {
        if open.passes() {
            out.keep_own(ST);
            out.mark(Mark::Mixed);
            self.close(open, out);
        }
        self.collected = Vec::new();
        self.state = State::Ground;
    }
}

impl Open {
    fn passes(&self) -> bool {
        matches!(self.fate, Fate::Pass(_) | Fate::Title)
    }
}

/// How far text and sequences reach, from `at`, that pass at a glance; `limit` is the first ENQ, SO or SI, `enough` is far
/// enough.
fn plain(bytes: &[u8], mut at: usize, limit: usize, enough: usize) -> (usize, Mark) {
    let mut mark = Mark::Plain;
    while at < enough {
        let rest = bytes.get(at..).unwrap_or_default();
        at = (at + special(rest)).min(limit);
        match bytes.get(at..).unwrap_or_default() {
            [ESC, b'[', body @ ..] => {
                let body = body.get(..sequence::SEQUENCE_MOST - 2).unwrap_or(body);
                let params = body.iter().position(|byte| !(0x30..=0x3b).contains(byte)).unwrap_or(body.len());
                match body.get(params).and_then(|&last| control::simple(last)) {
                    Some(found) => mark = mark.max(found),
                    None => break,
                }
                at += 2 + params + 1;
            }
            [C1_LEAD, second, ..] if !sequence::is_c1(*second) && !matches!(*second, ESC | ENQ | C1_LEAD) => {
                if (0x80..=0x9f).contains(second) {
                    mark = mark.max(Mark::Mixed);
                }
                at += 1;
            }
            _ => break,
        }
    }
    (at, mark)
}

/// Bytes before the next ESC, BEL or C1 lead.
fn special(rest: &[u8]) -> usize {
    // Where sequences are dense the next one is near, and calling the fast search costs more than it saves.
    const NEAR: usize = 16;
    let near = rest.get(..NEAR).unwrap_or(rest);
    if let Some(found) = near.iter().position(|byte| matches!(byte, &ESC | &BEL | &C1_LEAD)) {
        return found;
    }
    let far = rest.get(NEAR..).unwrap_or_default();
    near.len() + memchr3(ESC, BEL, C1_LEAD, far).unwrap_or(far.len())
}

/// An OSC that was read whole; `as_is` is where it stands if it may pass unchanged.
fn whole_osc(
    source: Source<'_>,
    as_is: Option<(usize, usize)>,
    contents: &[u8],
    terminator: Terminator,
    out: &mut Sieved,
) {
    let end = terminator.bytes();
    match (strings::whole_osc(contents, terminator), as_is) {
        (None, Some((from, to))) => {
            source.keep(from, to, out);
            out.mark(Mark::Mixed);
        }
        (None, None) => keep_osc(contents, end, out),
        (Some(parts), _) => {
            for part in parts {
                match part {
                    Part::Stays(contents) => keep_osc(&contents, end, out),
                    Part::Asks(query) => out.note(What::Query(query)),
                }
            }
        }
    }
}

fn keep_osc(contents: &[u8], end: &[u8], out: &mut Sieved) {
    out.keep_own(b"\x1b]");
    out.keep_own(contents);
    out.keep_own(end);
    out.mark(Mark::Mixed);
}

const ST: &[u8] = b"\x1b\\";

/// Bytes in a string that need a look.
const STOPS: [bool; 256] = stops(false);
const STOPS_DCS: [bool; 256] = stops(true);

const fn stops(beyond_ascii: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (beyond_ascii && byte >= 0x80) || matches!(byte as u8, BEL | ENQ | CAN | SUB | ESC | C1_LEAD);
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests;
