//! What viewers type, without what their terminals say by themselves; does not know who typed.
//!
//! No question ever reaches a viewer's terminal (the sieve), so what looks like an answer is one that nobody waits for:
//! it would be taken for keys. A lone `ESC` and the two bytes of Alt with a key are never held.

/// A reply is longer than a key and shorter than this: XTGETTCAP and OSC 52 aside, which are not asked for.
const HOLD_MOST: usize = 4096;
/// No key's sequence is longer.
const CSI_MOST: usize = 64;
const BEL: u8 = 0x07;
const ESC: u8 = 0x1b;

const PASTE_END: &[u8] = b"\x1b[201~";

/// What one push of input contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputKind {
    /// Whether a person did something: false when all of it was mouse, focus or replies.
    pub typed: bool,
    /// The last focus report in it, which is not passed on: the host speaks for the driver.
    pub focus: Option<bool>,
}

/// The state between two pushes of one viewer's input.
#[derive(Debug, Default)]
pub struct InputFilter {
    /// A sequence that was cut after three bytes or more.
    hold: Vec<u8>,
    /// Inside a bracketed paste, where nothing is judged: how much of its end has just passed.
    paste: Option<usize>,
    /// Bytes of an old-style mouse report that are still to come.
    mouse: usize,
}

/// What stands at a sequence's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Keys: so many bytes pass.
    Keys(usize),
    /// Mouse: passes, but is no typing.
    Mouse(usize),
    /// Followed by three more bytes of any kind.
    OldMouse(usize),
    /// Gone.
    Reply(usize),
    Focus(usize, bool),
    Paste(usize),
    /// More bytes are needed.
    Incomplete,
}

impl InputFilter {
    /// For a new viewer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `out` what the program may see.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> InputKind {
        let mut kind = InputKind::default();
        if self.hold.is_empty() {
            let used = self.scan(bytes, out, &mut kind);
            self.hold.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut held = std::mem::take(&mut self.hold);
            held.extend_from_slice(bytes);
            let used = self.scan(&held, out, &mut kind);
            held.drain(..used);
            self.hold = held;
        }
        kind
    }

    /// Passes what is held: what looked like a reply's start was keys after all (nothing followed it).
    pub fn flush(&mut self, out: &mut Vec<u8>) -> InputKind {
        let typed = !self.hold.is_empty();
        out.append(&mut self.hold);
        InputKind { typed, focus: None }
    }

    /// Bytes held back, at most 4 KiB.
    pub fn held(&self) -> usize {
        self.hold.len()
    }

    fn scan(&mut self, bytes: &[u8], out: &mut Vec<u8>, kind: &mut InputKind) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.mouse > 0 {
                let len = self.mouse.min(rest.len());
                self.mouse -= len;
                at += pass(rest, len, out);
                continue;
            }
            if let Some(matched) = self.paste {
                kind.typed = true;
                at += pass(rest, 1, out);
                self.paste = paste_end(matched, rest.first().copied());
                continue;
            }
            match find(rest) {
                Found::Keys(len) => {
                    kind.typed = true;
                    at += pass(rest, len, out);
                }
                Found::Mouse(len) => at += pass(rest, len, out),
                Found::OldMouse(len) => {
                    self.mouse = 3;
                    at += pass(rest, len, out);
                }
                Found::Reply(len) => at += len,
                Found::Focus(len, gained) => {
                    kind.focus = Some(gained);
                    at += len;
                }
                Found::Paste(len) => {
                    kind.typed = true;
                    self.paste = Some(0);
                    at += pass(rest, len, out);
                }
                Found::Incomplete => return at,
            }
        }
        at
    }
}

fn pass(rest: &[u8], len: usize, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(rest.get(..len).unwrap_or(rest));
    len
}

/// How much of a paste's end has passed after one more byte; `None`: all of it.
fn paste_end(matched: usize, byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    if PASTE_END.get(matched) == Some(&byte) {
        return (matched + 1 < PASTE_END.len()).then_some(matched + 1);
    }
    Some(usize::from(byte == ESC))
}

fn find(rest: &[u8]) -> Found {
    match rest {
        [ESC, b'[', body @ ..] => find_csi(body),
        // OSC, DCS and APC begin like Alt with a key, but the next byte tells.
        [ESC, b']', b'0'..=b'9', ..]
        | [ESC, b'P', b'0'..=b'9' | b'!' | b'$' | b'+' | b'>' | b'|', ..]
        | [ESC, b'_', b'G', ..] => find_string(rest),
        [ESC, ..] => Found::Keys(1),
        _ => Found::Keys(rest.iter().position(|&byte| byte == ESC).unwrap_or(rest.len())),
    }
}

/// Replies hold printing ASCII and have an end; what does not was typed.
fn find_string(rest: &[u8]) -> Found {
    for (index, &byte) in rest.iter().enumerate().skip(3).take(HOLD_MOST - 3) {
        match (byte, rest.get(index + 1)) {
            (BEL, _) => return Found::Reply(index + 1),
            (ESC, Some(b'\\')) => return Found::Reply(index + 2),
            (ESC, None) | (0x20..=0x7e, _) => {}
            _ => return Found::Keys(index),
        }
    }
    if rest.len() >= HOLD_MOST { Found::Keys(HOLD_MOST - 1) } else { Found::Incomplete }
}

fn find_csi(body: &[u8]) -> Found {
    let params = body.iter().take_while(|byte| (0x30..=0x3f).contains(*byte)).count();
    let (params, rest) = body.split_at(params);
    let middle = rest.iter().take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
    let (intermediates, rest) = rest.split_at(middle);
    let before = 2 + params.len() + middle;
    let Some(&last) = rest.first() else {
        return match before {
            // Alt with [ alone, or as good as.
            2 => Found::Keys(2),
            3..CSI_MOST => Found::Incomplete,
            _ => Found::Keys(before),
        };
    };
    if !(0x40..=0x7e).contains(&last) || before >= CSI_MOST {
        return Found::Keys(before);
    }
    judge(params, intermediates, last, before + 1)
}

fn judge(params: &[u8], intermediates: &[u8], last: u8, len: usize) -> Found {
    let prefix = params.first().copied().filter(|byte| *byte >= 0x3c);
    match (prefix, intermediates, last) {
        (None, [], b'M') if params.is_empty() => Found::OldMouse(len),
        (None, [], b'M') | (Some(b'<'), [], b'M' | b'm') => Found::Mouse(len),
        (None, [], b'I') if params.is_empty() => Found::Focus(len, true),
        (None, [], b'O') if params.is_empty() => Found::Focus(len, false),
        (None, [], b'~') if params == b"200" => Found::Paste(len),
        // F3 with modifiers looks like a cursor report from the first row.
        (None, [], b'R') if is_f3(params) => Found::Keys(len),
        (None, [], b'R' | b'n' | b'x') | (None, [], b't') if !params.is_empty() => Found::Reply(len),
        (Some(b'?' | b'>' | b'='), _, _) | (_, [b'$' | b'*' | b'#' | b'&'], _) => Found::Reply(len),
        _ => Found::Keys(len),
    }
}

fn is_f3(params: &[u8]) -> bool {
    let modifiers = params.strip_prefix(b"1;").and_then(|digits| std::str::from_utf8(digits).ok());
    params.is_empty()
        || modifiers.and_then(|digits| digits.parse().ok()).is_some_and(|value: u8| (2..=16).contains(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole at once and byte by byte, then a flush.
    fn filtered(input: &[u8]) -> (Vec<u8>, InputKind) {
        let mut whole = Vec::new();
        let mut filter = InputFilter::new();
        let kind = filter.push(input, &mut whole);
        let late = filter.flush(&mut whole);
        (whole, InputKind { typed: kind.typed || late.typed, ..kind })
    }

    #[test]
    fn replies_are_dropped_and_are_no_typing() {
        let replies: [&[u8]; 22] = [
            b"\x1b[?62;22c",
            b"\x1b[>1;100;0c",
            b"\x1b[?2026;2$y",
            b"\x1b[4;1$y",
            b"\x1b[?5u",
            b"\x1b[0n",
            b"\x1b[?997;1n",
            b"\x1b[4;600;800t",
            b"\x1b[6;20;10t",
            b"\x1b[8;24;80t",
            b"\x1b[48;24;80;600;800t",
            b"\x1b[12;40R",
            b"\x1b[1;1R",
            b"\x1b[1;17R",
            b"\x1b[?1;5R",
            b"\x1b[>4;2m",
            b"\x1b]11;rgb:0000/0000/0000\x07",
            b"\x1b]4;1;rgb:0000/0000/0000\x1b\\",
            b"\x1bP>|xterm(390)\x1b\\",
            b"\x1bP1+r544E=78\x1b\\",
            b"\x1bP0$r\x1b\\",
            b"\x1b_Gi=1;OK\x1b\\",
        ];
        for reply in replies {
            assert_eq!(filtered(reply), (Vec::new(), InputKind::default()), "{}", reply.escape_ascii());
            let between = [b"a", reply, b"b"].concat();
            assert_eq!(filtered(&between), (b"ab".to_vec(), InputKind { typed: true, focus: None }));
            // Cut anywhere behind the third byte it is the same.
            for cut in 3..reply.len() {
                let mut filter = InputFilter::new();
                let mut out = Vec::new();
                for part in [&reply[..cut], &reply[cut..]] {
                    assert!(!filter.push(part, &mut out).typed);
                }
                assert_eq!((out.len(), filter.held()), (0, 0), "{} at {cut}", reply.escape_ascii());
            }
        }
    }

    #[test]
    fn keys_pass_at_once() {
        let keys: [&[u8]; 21] = [
            b"x",
            b"\x1b",
            b"\x1b[",
            b"\x1b]",
            b"\x1bP",
            b"\x1b_",
            b"\x1bb",
            b"\x1b\x1b",
            b"\x1b[A",
            b"\x1b[1;5A",
            b"\x1bOP",
            b"\x1b[R",
            b"\x1b[1;2R",
            b"\x1b[1;16R",
            b"\x1b[13~",
            b"\x1b[97;5u",
            b"\x1b[97:65;2;65u",
            b"\x1b[27;5;9~",
            b"\x1b[Z",
            b"\x1b]x",
            "héllo ⌘\r\n\t\x03".as_bytes(),
        ];
        for key in keys {
            let mut filter = InputFilter::new();
            let mut out = Vec::new();
            let kind = filter.push(key, &mut out);
            assert_eq!((out.as_slice(), kind.typed, filter.held()), (key, true, 0), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn mouse_passes_and_is_no_typing() {
        for mouse in [&b"\x1b[<0;10;10M"[..], b"\x1b[<0;10;10m", b"\x1b[M !!", b"\x1b[32;10;10M", b"\x1b[M\x20\x1b\x1b"]
        {
            let (out, kind) = filtered(mouse);
            assert_eq!((out.as_slice(), kind), (mouse, InputKind::default()), "{}", mouse.escape_ascii());
        }
        assert!(filtered(b"\x1b[M !!x").1.typed);
    }

    #[test]
    fn focus_is_reported_and_not_passed() {
        assert_eq!(filtered(b"\x1b[O\x1b[I"), (Vec::new(), InputKind { typed: false, focus: Some(true) }));
        assert_eq!(filtered(b"\x1b[I\x1b[O"), (Vec::new(), InputKind { typed: false, focus: Some(false) }));
    }

    #[test]
    fn a_paste_is_not_judged() {
        let paste = b"\x1b[200~see \x1b[?62;22c and \x1b]11;x\x07 \x1b[20\x1b[201~\x1b[?62;22cx";
        let wanted = b"\x1b[200~see \x1b[?62;22c and \x1b]11;x\x07 \x1b[20\x1b[201~x";
        assert_eq!(filtered(paste).0, wanted);
        let mut filter = InputFilter::new();
        let mut out = Vec::new();
        let typed = paste.iter().skip(6).fold(filter.push(&paste[..6], &mut out).typed, |typed, byte| {
            filter.push(&[*byte], &mut out).typed || typed
        });
        // Byte by byte the reply behind the paste is not seen: its first two bytes were Alt with a key.
        assert!(typed && out.starts_with(&wanted[..wanted.len() - 1]));
    }

    #[test]
    fn what_only_begins_like_a_reply_is_passed() {
        // Alt-] and a digit, then Enter: a person.
        assert_eq!(filtered(b"\x1b]1hello\r").0, b"\x1b]1hello\r");
        assert_eq!(filtered(b"\x1b]1\x1b[A").0, b"\x1b]1\x1b[A");
        let long = [b"\x1b]1".as_slice(), &[b'x'; 3 * HOLD_MOST]].concat();
        assert_eq!(filtered(&long).0, long);
        let mut filter = InputFilter::new();
        let mut out = Vec::new();
        for chunk in long.chunks(100) {
            filter.push(chunk, &mut out);
            assert!(filter.held() < HOLD_MOST);
        }
        let csi = [b"\x1b[".as_slice(), &[b'1'; 100]].concat();
        assert_eq!(filtered(&csi).0, csi);
        // Nothing follows: the host lets it go.
        let mut out = Vec::new();
        filter.push(b"\x1b[1", &mut out);
        assert_eq!(filter.held(), 3);
        assert!(filter.flush(&mut out).typed);
        assert!(out.ends_with(b"\x1b[1"));
    }
}
