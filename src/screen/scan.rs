//! Where escape sequences end and what they can do to a screen, exactly as the engine's parser (vte) sees them. Does not interpret any.

use std::ops::Range;

use memchr::{memchr2, memrchr};

pub(super) const ESC: u8 = 0x1b;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
/// A CSI sequence with more separators could exceed the 32 parameters that the parser keeps.
const MOST_SEPARATORS: usize = 24;

/// What a sequence can do; the words are those of the proof in `skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Acts on the cursor's row or moves the cursor down without scrolling, or does nothing at all.
    Row,
    /// Repeats the last printed character.
    Repeat,
    /// Changes the pen; `reset` when nothing of the old pen's attributes remains.
    Pen { reset: bool },
    /// Lasting state without effect on cells or cursor.
    Keep,
    /// Cells and cursor only, but upward, scrolling or across rows.
    Grid,
    /// Anything else: saves or restores a position, changes the frame, is malformed or unknown.
    Barrier,
}

/// One sequence: where it ends and what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) end: usize,
    pub(super) kind: Kind,
}

/// The sequence that begins with the ESC at `at`; None when the bytes end before it does. A sequence cut short by an ESC is one barrier together
/// with the sequence that cut it.
pub(super) fn sequence(bytes: &[u8], at: usize) -> Option<Sequence> {
    let mut aborted = false;
    let mut start = at;
    loop {
        match one(bytes, start)? {
            End::Whole(found) if aborted => return Some(Sequence { end: found.end, kind: Kind::Barrier }),
            End::Whole(found) => return Some(found),
            End::Aborted(escape) => {
                aborted = true;
                start = escape;
            }
        }
    }
}

/// The last position at which the parser is outside any sequence and character, given that it is at the beginning. 0 when there is none other.
pub(super) fn last_ground(bytes: &[u8]) -> usize {
    let mut head = bytes;
    // Every ESC begins a sequence, whatever came before it: from the last one forward the parser's state is known.
    while let Some(escape) = memrchr(ESC, head) {
        match one(head, escape) {
            Some(End::Whole(found)) => return whole_characters(head, found.end),
            _ => head = &head[..escape],
        }
    }
    whole_characters(head, 0)
}

/// The end of `bytes`, or the start of the character that is cut there; `start` is where their last text begins.
fn whole_characters(bytes: &[u8], start: usize) -> usize {
    let text = &bytes[start..];
    for back in 1..=text.len().min(3) {
        let tail = &text[text.len() - back..];
        match tail[0] {
            0x80..=0xbf => {}
            // The parser would keep these bytes for the next call.
            0xc2..=0xf4 if is_prefix(tail) => return bytes.len() - back,
            _ => break,
        }
    }
    bytes.len()
}

/// Whether these bytes may become one character when more come.
fn is_prefix(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

enum End {
    Whole(Sequence),
    /// An ESC at this position cut the sequence short.
    Aborted(usize),
}

fn whole(end: usize, kind: Kind) -> Option<End> {
    Some(End::Whole(Sequence { end, kind }))
}

fn one(bytes: &[u8], at: usize) -> Option<End> {
    let second = at + 1;
    match *bytes.get(second)? {
        ESC => Some(End::Aborted(second)),
        b'[' => control(bytes, second + 1),
        b']' => command(bytes, second + 1),
        b'P' => device_string(bytes, second + 1),
        b'X' | b'^' | b'_' => string(bytes, second + 1, second + 1),
        byte => escape(bytes, second, byte),
    }
}

/// ESC with intermediates and a final byte.
fn escape(bytes: &[u8], from: usize, first: u8) -> Option<End> {
    if matches!(first, 0x30..=0x7e) {
        let kind = match first {
            b'D' | b'E' | b'\\' => Kind::Row,
            b'M' => Kind::Grid,
            b'=' | b'>' => Kind::Keep,
            _ => Kind::Barrier,
        };
        return whole(from + 1, kind);
    }
    // Controls act inside the sequence; what they mix with is not worth knowing.
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            ESC => return Some(End::Aborted(at)),
            CAN | SUB => return whole(at + 1, Kind::Barrier),
            0x30..=0x7e => {
                // In the state right after ESC the introducers still count.
                let intermediates = &bytes[from..at];
                if intermediates.iter().all(|byte| !(0x20..=0x2f).contains(byte)) {
                    return introduced_late(bytes, at);
                }
                let kind = match (intermediates, byte) {
                    ([b'(' | b')' | b'*' | b'+'], b'0' | b'B') => Kind::Keep,
                    ([b'#'], b'8') => Kind::Grid,
                    _ => Kind::Barrier,
                };
                return whole(at + 1, kind);
            }
            _ => {}
        }
    }
    None
}

/// An introducer after `ESC` and controls: the same sequence, but a barrier.
fn introduced_late(bytes: &[u8], at: usize) -> Option<End> {
    let end = match bytes[at] {
        b'[' => control(bytes, at + 1)?,
        b']' => command(bytes, at + 1)?,
        b'P' => device_string(bytes, at + 1)?,
        b'X' | b'^' | b'_' => string(bytes, at + 1, at + 1)?,
        _ => return whole(at + 1, Kind::Barrier),
    };
    match end {
        End::Whole(found) => whole(found.end, Kind::Barrier),
        aborted => Some(aborted),
    }
}

/// CSI, from its first parameter byte.
fn control(bytes: &[u8], from: usize) -> Option<End> {
    let mut clean = true;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            0x20..=0x3f => {}
            0x40..=0x7e => {
                let kind = if clean { control_kind(&bytes[from..at], byte) } else { Kind::Barrier };
                return whole(at + 1, kind);
            }
            ESC => return Some(End::Aborted(at)),
            CAN | SUB => return whole(at + 1, Kind::Barrier),
            _ => clean = false,
        }
    }
    None
}

fn control_kind(parameters: &[u8], last: u8) -> Kind {
    let plain = parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
    if parameters.iter().filter(|byte| matches!(byte, b';' | b':')).count() > MOST_SEPARATORS {
        return Kind::Barrier;
    }
    match (parameters, last) {
        (_, b'm') if plain => Kind::Pen { reset: matches!(parameters, [] | [b'0'] | [b'0', b';', ..] | [b';', ..]) },
        (_, b'K' | b'X' | b'@' | b'P' | b'C' | b'a' | b'D' | b'G' | b'`' | b'I' | b'Z' | b'B' | b'e' | b'E')
            if plain =>
        {
            Kind::Row
        }
        (_, b'b') if plain => Kind::Repeat,
        (_, b'H' | b'f' | b'A' | b'F' | b'd' | b'J' | b'L' | b'M' | b'S' | b'T') if plain => Kind::Grid,
        (_, b'h' | b'l') if plain => Kind::Keep,
        ([b'?', modes @ ..], b'h' | b'l') => private_modes(modes),
        ([b'>', rest @ ..], b'm' | b'u') | ([b'<' | b'=', rest @ ..], b'u') if is_numeric(rest) => Kind::Keep,
        ([rest @ .., b' '], b'q') if is_numeric(rest) => Kind::Keep,
        ([b'2', b'2' | b'3', rest @ ..], b't') if is_numeric(rest) => Kind::Keep,
        _ => Kind::Barrier,
    }
}

fn is_numeric(parameters: &[u8]) -> bool {
    parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';'))
}

/// Modes that move the cursor, save it or change the frame are barriers; the others last.
fn private_modes(modes: &[u8]) -> Kind {
    let lasting = |mode: &[u8]| {
        let number = std::str::from_utf8(mode).ok().and_then(|text| text.parse::<u16>().ok());
        number.is_some_and(|number| !matches!(number, 3 | 6 | 40 | 47 | 69 | 1047..=1049))
    };
    if modes.split(|byte| *byte == b';').all(lasting) { Kind::Keep } else { Kind::Barrier }
}

/// OSC, from its first byte: it is executed however it ends.
fn command(bytes: &[u8], from: usize) -> Option<End> {
    let mut clean = true;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            0x07 => return whole(at + 1, if clean { Kind::Keep } else { Kind::Barrier }),
            CAN | SUB => return whole(at + 1, Kind::Barrier),
            ESC => return string_end(bytes, at, if clean { Kind::Keep } else { Kind::Barrier }),
            0x00..=0x1f => clean = false,
            _ => {}
        }
    }
    None
}

/// SOS, PM, APC and what has become of a DCS: ignored up to its end.
fn string(bytes: &[u8], from: usize, body: usize) -> Option<End> {
    let rest = bytes.get(body..)?;
    let cancel = memchr2(CAN, SUB, rest).unwrap_or(rest.len());
    let length = memchr::memchr(ESC, &rest[..cancel]).unwrap_or(cancel);
    let at = body + length;
    // A line feed in here must not count as one, a carriage return must not begin anything.
    let kind = if bytes[from..at].iter().any(|byte| *byte < 0x20) { Kind::Barrier } else { Kind::Row };
    match bytes.get(at)? {
        &ESC => string_end(bytes, at, kind),
        _ => whole(at + 1, Kind::Barrier),
    }
}

/// DCS: its body may also end with the byte 0x9C, which the header ignores.
fn device_string(bytes: &[u8], from: usize) -> Option<End> {
    let mut intermediate = false;
    let mut ignored = false;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            ESC | CAN | SUB => return string(bytes, from, at),
            _ if ignored => {}
            0x20..=0x2f => intermediate = true,
            0x30..=0x3b if intermediate => ignored = true,
            0x3c..=0x3f if intermediate || at > from => ignored = true,
            0x40..=0x7e => {
                let body = &bytes[at + 1..];
                let end = memchr::memchr3(ESC, CAN, SUB, body).unwrap_or(body.len());
                return match memchr::memchr(0x9c, &body[..end]) {
                    Some(length) => whole(at + 2 + length, Kind::Barrier),
                    None => string(bytes, from, at + 1),
                };
            }
            _ => {}
        }
    }
    None
}

/// The ESC that ends a string: with `\` its terminator, otherwise the beginning of something else.
fn string_end(bytes: &[u8], escape: usize, kind: Kind) -> Option<End> {
    match bytes.get(escape + 1)? {
        b'\\' => whole(escape + 2, kind),
        _ => Some(End::Aborted(escape)),
    }
}

/// A REP whose final byte is at `last`: where it begins and its parameter bytes. Controls inside are skipped as the parser executes them.
pub(super) fn repetition(bytes: &[u8], last: usize) -> Option<Range<usize>> {
    let mut first = last;
    loop {
        match *bytes.get(first.checked_sub(1)?)? {
            b'0'..=b'9' | b';' | b':' | 0x00..=0x17 | 0x19 | 0x1c..=0x1f | 0x7f.. => first -= 1,
            b'[' if first >= 2 && bytes.get(first - 2) == Some(&ESC) => return Some(first - 2..last),
            _ => return None,
        }
    }
}
