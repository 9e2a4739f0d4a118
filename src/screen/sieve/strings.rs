//! What becomes of each control string (OSC, DCS, APC); does not know where it ends.

use super::sequence::{BEL, C1_LEAD, C1_ST, CAN, ESC, SUB, StringKind, number};
use super::{ColorSlot, Query, Terminator, What};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longest string that passes, and longest graphics string.
const PASS_MOST: usize = 64 * 1024;
const GRAPHICS_MOST: usize = 4 * 1024 * 1024;
/// An OSC 52 write, encoded: what fits in one selection of a person.
const CLIPBOARD_MOST: usize = 1024 * 1024;
/// Any other collected payload.
const COLLECT_MOST: usize = 4 * 1024;
/// The header of a DCS, and of a graphics APC, has to end within so many bytes.
const DCS_HEADER_MOST: usize = 64;
const APC_HEADER_MOST: usize = 256;

/// What is done with a string's bytes as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// They pass, at most so many.
    Pass(usize),
    /// They pass, and are a title.
    Title,
    /// They are gone; a note names a question.
    Drop(Option<&'static str>),
    /// They are gone, and become a note at the end.
    Collect(Purpose),
}

/// What a collected payload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Clipboard,
    Capability,
    Setting,
    Notification(u16),
}

impl Purpose {
    pub(super) fn most(self) -> usize {
        match self {
            Self::Clipboard => CLIPBOARD_MOST,
            _ => COLLECT_MOST,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clipboard => "clipboard",
            Self::Capability => "XTGETTCAP",
            Self::Setting => "DECRQSS",
            Self::Notification(_) => "notification",
        }
    }

    /// The note that the whole payload is worth.
    pub(super) fn note(self, payload: &[u8]) -> Option<What> {
        match self {
            Self::Clipboard => clipboard(payload),
            Self::Capability => Some(What::Query(Query::Capability(payload.to_vec()))),
            Self::Setting => Some(What::Query(Query::Setting(payload.to_vec()))),
            Self::Notification(9) => iterm_notification(payload),
            Self::Notification(99) => kitty_notification(payload),
            Self::Notification(_) => urxvt_notification(payload),
        }
    }
}

impl Fate {
    /// Most payload bytes that pass.
    pub(super) fn most(self) -> usize {
        match self {
            Self::Pass(most) => most,
            _ => PASS_MOST,
        }
    }
}

/// What becomes of a string whose introducer was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// More bytes are needed.
    Incomplete,
    /// It came to nothing: go on at this byte.
    Gone(usize),
    /// It cannot be judged within the window: dropped.
    Cut,
    /// The first so many bytes are its header, the rest of it meets this fate.
    Stream(usize, Fate),
    /// It is all here.
    Whole(Whole),
}

/// A string that is all here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    /// Bytes before its terminator, and with it.
    pub(super) contents: usize,
    pub(super) len: usize,
    pub(super) terminator: Terminator,
    /// It ended with ST as a C1 control.
    pub(super) c1_end: bool,
}

/// Looks at the bytes after the introducer; `full`: there will not be more in this window.
pub(super) fn opening(kind: StringKind, body: &[u8], full: bool) -> Opening {
    let opening = match decide(kind, body) {
        Decision::Incomplete => Opening::Incomplete,
        Decision::Stream(header, fate) => Opening::Stream(header, fate),
        Decision::Aborted(end) => Opening::Gone(end),
        Decision::TooLong => Opening::Cut,
        Decision::Whole => whole(body),
    };
    if full && opening == Opening::Incomplete { Opening::Cut } else { opening }
}

fn whole(body: &[u8]) -> Opening {
    let ended = |contents, len, terminator, c1_end| Opening::Whole(Whole { contents, len, terminator, c1_end });
    for (index, &byte) in body.iter().enumerate() {
        match (byte, body.get(index + 1)) {
            (BEL, _) => return ended(index, index + 1, Terminator::Bell, false),
            (ESC, Some(b'\\')) => return ended(index, index + 2, Terminator::StringTerminator, false),
            (C1_LEAD, Some(&C1_ST)) => return ended(index, index + 2, Terminator::StringTerminator, true),
            (CAN | SUB, _) | (ESC, Some(_)) => return Opening::Gone(index),
            _ => {}
        }
    }
    Opening::Incomplete
}

/// Parsers skip C0 controls in a string; C1 controls end it for some of them.
pub(super) fn without_controls(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (&C1_LEAD, [second @ 0xa0..=0xbf, tail @ ..]) => {
                out.extend([C1_LEAD, *second]);
                tail
            }
            (&C1_LEAD, [0x80..=0x9f, tail @ ..]) => tail,
            (0x00..=0x1f | &C1_LEAD, _) => tail,
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

/// What can be said of a string from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// More bytes are needed.
    Incomplete,
    /// The first so many bytes are its header, the rest of it meets this fate.
    Stream(usize, Fate),
    /// It has to be read whole first.
    Whole,
    /// Its header has no end where it should; it is dropped.
    TooLong,
    /// It is over before its header was, at this byte.
    Aborted(usize),
}

fn decide(kind: StringKind, bytes: &[u8]) -> Decision {
    match kind {
        StringKind::Osc => decide_osc(bytes),
        StringKind::Dcs => decide_dcs(bytes),
        StringKind::Apc => decide_apc(bytes),
        StringKind::Other => Decision::Stream(0, Fate::Pass(PASS_MOST)),
    }
}

fn decide_osc(bytes: &[u8]) -> Decision {
    // Control characters inside are skipped by parsers: they must not hide a number.
    let mut value: Option<u16> = None;
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let digit = u16::from(byte - b'0');
                value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            }
            BEL | ESC | CAN | SUB => return osc_fate(value, index),
            // A C1 control in the number would leave another number behind.
            C1_LEAD => match bytes.get(index + 1) {
                None => return Decision::Incomplete,
                Some(&C1_ST) => return osc_fate(value, index),
                Some(_) => return Decision::Stream(index, Fate::Drop(None)),
            },
            0x00..=0x1f => {}
            b';' => return osc_fate(value, index + 1),
            b'I' | b'L' | b'l' if value.is_none() => return Decision::Stream(index, Fate::Drop(Some("OSC I, L, l"))),
            _ => return Decision::Whole,
        }
    }
    Decision::Incomplete
}

fn osc_fate(value: Option<u16>, header: usize) -> Decision {
    let fate = match value {
        Some(0 | 2) => Fate::Title,
        Some(1 | 7 | 8 | 104..=119 | 133 | 633) => Fate::Pass(PASS_MOST),
        Some(52) => Fate::Collect(Purpose::Clipboard),
        Some(number @ (9 | 99 | 777)) => Fate::Collect(Purpose::Notification(number)),
        Some(66) => Fate::Drop(None),
        Some(3) => Fate::Drop(Some("OSC 3")),
        Some(60 | 61) => Fate::Drop(Some("OSC 60")),
        Some(1337) => Fate::Drop(Some("OSC 1337")),
        Some(5522) => Fate::Drop(Some("OSC 5522")),
        _ => return Decision::Whole,
    };
    Decision::Stream(header, fate)
}

fn decide_dcs(bytes: &[u8]) -> Decision {
    let mut intermediates = [0u8; 2];
    let mut count = 0;
    for (index, &byte) in bytes.iter().enumerate().take(DCS_HEADER_MOST) {
        match byte {
            CAN | SUB | ESC | 0x80.. => return Decision::Aborted(index),
            0x20..=0x2f => {
                if let Some(slot) = intermediates.get_mut(count) {
                    *slot = byte;
                }
                count += 1;
            }
            0x40..=0x7e => {
                let fate = match (intermediates.get(..count).unwrap_or(b"??"), byte) {
                    (b"+", b'q') => Fate::Collect(Purpose::Capability),
                    (b"$", b'q') => Fate::Collect(Purpose::Setting),
                    // XTSETTCAP; `tmux;`; DECRSPS; keys and character sets of the viewer's own terminal.
                    (b"+", b'p') => Fate::Drop(Some("XTSETTCAP")),
                    (b"", b't') => Fate::Drop(Some("tmux")),
                    (b"$", b't') | (b"", b'|' | b'{') => Fate::Drop(None),
                    (b"", b'q') => Fate::Pass(GRAPHICS_MOST),
                    _ => Fate::Pass(PASS_MOST),
                };
                return Decision::Stream(index + 1, fate);
            }
            _ => {}
        }
    }
    if bytes.len() >= DCS_HEADER_MOST { Decision::TooLong } else { Decision::Incomplete }
}

fn decide_apc(bytes: &[u8]) -> Decision {
    let mut graphics = false;
    let mut keys = Vec::new();
    for (index, &byte) in bytes.iter().enumerate().take(APC_HEADER_MOST) {
        match byte {
            CAN | SUB | ESC | b';' | 0x80.. if graphics => {
                let asks = keys.split(|&byte| byte == b',').any(|key| key == b"a=q");
                let fate = match byte {
                    _ if asks => Fate::Drop(Some("kitty graphics")),
                    // No key is written like this, and more of them might follow.
                    0x80.. => Fate::Drop(None),
                    _ => Fate::Pass(GRAPHICS_MOST),
                };
                return Decision::Stream(index, fate);
            }
            0x00..=0x17 | 0x19 | 0x1c..=0x1f => {}
            b'G' if !graphics => graphics = true,
            _ if graphics => keys.push(byte),
            // What is left of it might be a `G`.
            0x80.. => return Decision::Stream(index, Fate::Drop(None)),
            _ => return Decision::Stream(index, Fate::Pass(PASS_MOST)),
        }
    }
    if bytes.len() >= APC_HEADER_MOST { Decision::TooLong } else { Decision::Incomplete }
}

/// A part of what stays of an OSC that had to be read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The contents of an OSC.
    Stays(Vec<u8>),
    /// A question.
    Asks(Query),
}

/// Judges the contents of a whole OSC; `None`: it passes as it is.
pub(super) fn whole_osc(contents: &[u8], terminator: Terminator) -> Option<Vec<Part>> {
    let mut fields = contents.split(|&byte| byte == b';');
    let head = fields.next().unwrap_or_default();
    let known = !head.is_empty() && head.iter().all(u8::is_ascii_digit);
    let fields: Vec<&[u8]> = fields.collect();
    let code = if known { number(head) } else { u16::MAX };
    let asks = |field: &&[u8]| field.starts_with(b"?") || field.ends_with(b"=?");
    if !fields.iter().any(asks) {
        return None;
    }
    let stays = |code: u16, rest: &[&[u8]]| {
        let mut contents = code.to_string().into_bytes();
        rest.iter().for_each(|field| {
            contents.push(b';');
            contents.extend_from_slice(field);
        });
        Part::Stays(contents)
    };
    Some(match code {
        4 => fields
            .chunks_exact(2)
            .map(|pair| match pair {
                [index, spec] if asks(spec) => Part::Asks(indexed(index, terminator)),
                _ => stays(4, pair),
            })
            .collect(),
        10..=19 => (code..=19)
            .zip(&fields)
            .map(|(code, spec)| if asks(spec) { Part::Asks(dynamic(code, terminator)) } else { stays(code, &[spec]) })
            .collect(),
        _ => vec![Part::Asks(Query::Refused("OSC"))],
    })
}

fn indexed(index: &[u8], terminator: Terminator) -> Query {
    let parsed = std::str::from_utf8(index).ok().and_then(|text| text.parse().ok());
    parsed.map_or(Query::Refused("OSC 4"), |index| Query::Color(ColorSlot::Indexed(index), terminator))
}

fn dynamic(code: u16, terminator: Terminator) -> Query {
    match code {
        10 => Query::Color(ColorSlot::Foreground, terminator),
        11 => Query::Color(ColorSlot::Background, terminator),
        12 => Query::Color(ColorSlot::Cursor, terminator),
        _ => Query::Refused("OSC 13 to 19"),
    }
}

/// Text from a stranger without control characters.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|ch| !ch.is_control()).collect()
}

fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    // Programs wrap lines and forget the padding.
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let dense: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    GeneralPurpose::new(&STANDARD, LENIENT).decode(dense).ok()
}

fn clipboard(payload: &[u8]) -> Option<What> {
    let data = payload.iter().position(|&byte| byte == b';').map_or(payload, |at| payload.get(at + 1..).unwrap_or(b""));
    if data.starts_with(b"?") {
        return Some(What::Query(Query::Refused("OSC 52")));
    }
    decode(data).map(What::Clipboard)
}

fn notification(title: &[u8], body: &[u8]) -> Option<What> {
    let (title, body) = (text(title), text(body));
    (!title.is_empty() || !body.is_empty()).then_some(What::Notification { title, body })
}

/// iTerm2's; ConEmu's numbered commands share the number (progress is `4;state;percent`) and are not for people.
fn iterm_notification(payload: &[u8]) -> Option<What> {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let command = (1..=2).contains(&digits) && matches!(payload.get(digits), None | Some(b';'));
    if command { None } else { notification(b"", payload) }
}

/// urxvt's `notify;title;body`; other words are other commands.
fn urxvt_notification(payload: &[u8]) -> Option<What> {
    let mut fields = payload.splitn(3, |&byte| byte == b';');
    if fields.next() != Some(b"notify") {
        return None;
    }
    notification(fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
}

/// kitty's `key=value:key=value;payload`; what is sent in parts (`d=0`) becomes a note each.
fn kitty_notification(payload: &[u8]) -> Option<What> {
    let mut fields = payload.splitn(2, |&byte| byte == b';');
    let metadata = fields.next().unwrap_or_default();
    let payload = fields.next().unwrap_or_default();
    let value = |key: u8| {
        metadata.split(|&byte| byte == b':').find_map(|pair| match pair {
            [name, b'=', value @ ..] if *name == key => Some(value),
            _ => None,
        })
    };
    let decoded = if value(b'e') == Some(b"1") { decode(payload)? } else { payload.to_vec() };
    match value(b'p') {
        None | Some(b"title") => notification(&decoded, b""),
        Some(b"body") => notification(b"", &decoded),
        Some(b"?") => Some(What::Query(Query::Refused("OSC 99"))),
        Some(_) => None,
    }
}
