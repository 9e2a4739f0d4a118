//! Where a control sequence ends (ECMA-48, as every terminal's parser agrees); does not know what it means.

/// CAN cancels a sequence.
pub(super) const CAN: u8 = 0x18;
/// SUB cancels a sequence too.
pub(super) const SUB: u8 = 0x1a;
pub(super) const ESC: u8 = 0x1b;
pub(super) const BEL: u8 = 0x07;
pub(super) const ENQ: u8 = 0x05;
pub(super) const DEL: u8 = 0x7f;
/// Shifts between character sets.
pub(super) const SO: u8 = 0x0e;
pub(super) const SI: u8 = 0x0f;
/// First byte of a C1 control in UTF-8.
pub(super) const C1_LEAD: u8 = 0xc2;
/// ST as second byte of a C1 control in UTF-8.
pub(super) const C1_ST: u8 = 0x9c;

/// The longest `ESC` or `CSI` sequence that passes: an SGR with all its parts is under 100 bytes.
pub(super) const SEQUENCE_MOST: usize = 256;

/// The five kinds of control string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StringKind {
    Osc,
    Dcs,
    Apc,
    /// PM and SOS, which no terminal acts on.
    Other,
}

/// What stands at the start of some bytes; lengths count from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// More bytes are needed.
    Incomplete,
    /// Over before its final byte, because of the byte at this index.
    Aborted(usize),
    /// No end within [`SEQUENCE_MOST`].
    TooLong,
    /// `ESC`, intermediates, final byte.
    Escape(usize),
    /// `CSI` with its final byte.
    Csi(usize),
    /// The introducer of a string.
    Open(usize, StringKind),
}

/// A form, and how it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    pub(super) form: Form,
    /// It has control characters or DEL inside, or a C1 introducer: it must be rewritten with [`clean`].
    pub(super) dirty: bool,
    /// Its bytes stand in an order that no grammar allows; terminals ignore it.
    pub(super) malformed: bool,
}

/// Whether `C2 byte` is a C1 control that stands for `ESC` and another byte and that terminals act on.
pub(super) fn is_c1(byte: u8) -> bool {
    matches!(byte, 0x84 | 0x85 | 0x88 | 0x8d | 0x90 | 0x96..=0x98 | 0x9a | 0x9b | 0x9d..=0x9f)
}

/// Looks at a sequence whose first byte is `ESC`, or whose first two are a C1 control.
pub(super) fn scan(bytes: &[u8]) -> Scanned {
    let mut scanned = Scanned { form: Form::Incomplete, dirty: false, malformed: false };
    let window = bytes.get(..SEQUENCE_MOST).unwrap_or(bytes);
    let mut intermediates = false;
    for (index, &byte) in window.iter().enumerate().skip(1) {
        let byte = if index == 1 && window.first() == Some(&C1_LEAD) {
            scanned.dirty = true;
            byte - 0x40
        } else {
            byte
        };
        match byte {
            CAN | SUB | ESC | 0x80.. => {
                scanned.form = Form::Aborted(index);
                return scanned;
            }
            0x00..=0x1f | DEL => scanned.dirty = true,
            0x20..=0x2f => intermediates = true,
            _ if intermediates => {
                scanned.form = Form::Escape(index + 1);
                return scanned;
            }
            b'[' => {
                scan_csi(window, index + 1, &mut scanned);
                return limited(scanned, window);
            }
            _ => {
                scanned.form = match byte {
                    b']' => Form::Open(index + 1, StringKind::Osc),
                    b'P' => Form::Open(index + 1, StringKind::Dcs),
                    b'_' => Form::Open(index + 1, StringKind::Apc),
                    b'^' | b'X' => Form::Open(index + 1, StringKind::Other),
                    _ => Form::Escape(index + 1),
                };
                return scanned;
            }
        }
    }
    limited(scanned, window)
}

fn limited(mut scanned: Scanned, window: &[u8]) -> Scanned {
    if scanned.form == Form::Incomplete && window.len() == SEQUENCE_MOST {
        scanned.form = Form::TooLong;
    }
    scanned
}

fn scan_csi(window: &[u8], start: usize, scanned: &mut Scanned) {
    let mut intermediates = false;
    let mut first = true;
    for (index, &byte) in window.iter().enumerate().skip(start) {
        match byte {
            CAN | SUB | ESC | 0x80.. => {
                scanned.form = Form::Aborted(index);
                return;
            }
            0x00..=0x1f | DEL => {
                scanned.dirty = true;
                continue;
            }
            0x20..=0x2f => intermediates = true,
            0x30..=0x3b => scanned.malformed |= intermediates,
            0x3c..=0x3f => scanned.malformed |= !first,
            0x40..=0x7e => {
                scanned.form = Form::Csi(index + 1);
                return;
            }
        }
        first = false;
    }
}

/// The same sequence without what it should not contain, and in 7-bit form.
pub(super) fn clean(sequence: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sequence.len());
    let mut rest = sequence;
    if let [C1_LEAD, second, tail @ ..] = sequence {
        out.extend([ESC, second.wrapping_sub(0x40)]);
        rest = tail;
    }
    for (index, &byte) in rest.iter().enumerate() {
        if (byte >= 0x20 && byte != DEL) || (index == 0 && byte == ESC) {
            out.push(byte);
        }
    }
    out
}

/// A well-formed, clean CSI sequence, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Csi<'a> {
    /// One of `<=>?`, or 0.
    pub(super) prefix: u8,
    pub(super) params: &'a [u8],
    pub(super) intermediates: &'a [u8],
    pub(super) last: u8,
}

impl<'a> Csi<'a> {
    /// From `ESC [` to the final byte.
    pub(super) fn parse(sequence: &'a [u8]) -> Option<Self> {
        let (&last, body) = sequence.get(2..)?.split_last()?;
        let (prefix, body) = match body.split_first() {
            Some((&prefix @ 0x3c..=0x3f, rest)) => (prefix, rest),
            _ => (0, body),
        };
        let params = body.iter().take_while(|byte| (0x30..=0x3b).contains(*byte)).count();
        let (params, intermediates) = body.split_at(params);
        Some(Self { prefix, params, intermediates, last })
    }

    /// The first parameter; absent is 0.
    pub(super) fn first(&self) -> u16 {
        self.params.split(|&byte| byte == b';').next().map_or(0, number)
    }
}

/// A parameter's number up to its first sub-parameter, saturating as parsers do.
pub(super) fn number(field: &[u8]) -> u16 {
    field
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0u16, |sum, byte| sum.saturating_mul(10).saturating_add(u16::from(byte - b'0')))
}
