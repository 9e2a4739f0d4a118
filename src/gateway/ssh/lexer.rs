//! Cuts what a terminal sends into keys and sequences, one byte at a time; knows their shape and, for keys, their
//! meaning, but not what anybody does with them.

/// Longest sequence that is looked at; longer ones are passed on without being understood.
const LONGEST: usize = 32;

/// What one complete unit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A byte of its own: ASCII, a control byte, or a part of a UTF-8 character.
    Byte(u8),
    /// ESC and one byte: Alt with a key.
    Alt(u8),
    /// A key told by code point, as kitty's `CSI code;modifiers u` or xterm's `CSI 27;modifiers;code ~`.
    Key { codes: [u32; 3], modifiers: u32, released: bool },
    /// A cursor or editing key: the final byte of its CSI or SS3 sequence, and its number for `~`.
    Function { number: u32, last: u8 },
    /// `CSI 200 ~`
    PasteStart,
    /// `CSI 201 ~`
    PasteEnd,
    /// Mouse, focus, a terminal's answer: nobody pressed a key.
    Report,
}

/// Where the lexer stands between two bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lexer {
    state: State,
    body: Vec<u8>,
    long: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    Ss3,
}

impl Lexer {
    /// The unit that this byte completes, if it does.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Unit> {
        match (self.state, byte) {
            (State::Ground, 0x1b) => self.state = State::Escape,
            (State::Ground, _) => return Some(Unit::Byte(byte)),
            (State::Escape, b'[') => self.begin(State::Csi),
            (State::Escape, b'O') => self.begin(State::Ss3),
            // ESC ESC is Alt-Escape for some terminals and Escape twice for the rest: the second may begin a sequence.
            (State::Escape, 0x1b) => return Some(Unit::Alt(0x1b)),
            (State::Escape, _) => return self.end(Unit::Alt(byte)),
            (State::Ss3, _) => return self.end(Unit::Function { number: 0, last: byte }),
            (State::Csi, 0x20..=0x3f) if self.body.len() < LONGEST => self.body.push(byte),
            (State::Csi, 0x20..=0x3f) => self.long = true,
            (State::Csi, 0x40..=0x7e) => {
                return self.end(if self.long { Unit::Report } else { meaning(&self.body, byte) });
            }
            // No sequence: a control byte inside cancels it.
            (State::Csi, _) => return self.end(Unit::Byte(byte)),
        }
        None
    }

    /// Whether nothing is begun.
    pub(crate) fn is_ground(&self) -> bool {
        self.state == State::Ground
    }

    /// What stands between CSI and here, when a CSI sequence of tolerable length has begun.
    pub(super) fn csi_body(&self) -> Option<&[u8]> {
        (self.state == State::Csi && !self.long).then_some(&self.body)
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.body.clear();
        self.long = false;
    }

    fn end(&mut self, unit: Unit) -> Option<Unit> {
        // After ESC ESC the second one stays begun; every other unit leaves nothing behind.
        self.state = State::Ground;
        Some(unit)
    }
}

fn meaning(body: &[u8], last: u8) -> Unit {
    let numbers = Numbers(body);
    match last {
        b'~' if body == b"200" => Unit::PasteStart,
        b'~' if body == b"201" => Unit::PasteEnd,
        b'u' if numbers.plain() => key(numbers.codes(0), numbers.at(1, 0).max(1), numbers.at(1, 1)),
        b'~' if numbers.plain() && numbers.at(0, 0) == 27 => key([numbers.at(2, 0), 0, 0], numbers.at(1, 0).max(1), 0),
        b'~' | b'A'..=b'H' | b'P'..=b'S' | b'Z' if numbers.plain() && numbers.at(1, 1) != RELEASED => {
            // CPR and F3 share CSI … R; a report has a row above 1 and its own second number.
            if last == b'R' && numbers.at(0, 0) != 1 {
                Unit::Report
            } else {
                Unit::Function { number: numbers.at(0, 0), last }
            }
        }
        _ => Unit::Report,
    }
}

/// Event type of a released key in the kitty keyboard protocol.
const RELEASED: u32 = 3;

fn key(codes: [u32; 3], modifiers: u32, event: u32) -> Unit {
    // Private use code points are keys without a character: Shift, Caps Lock, media keys.
    let silent = matches!(codes, [57_344..=63_743, ..]);
    // Caps Lock and Num Lock (bits 64 and 128) say nothing about the key.
    let modifiers = (modifiers - 1) & !(64 | 128);
    Unit::Key { codes, modifiers, released: silent || event == RELEASED }
}

/// Parameters `a;b:c;d`, read where they are wanted; what is no number or too large is 0.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn plain(&self) -> bool {
        self.0.iter().all(|b| matches!(b, b'0'..=b'9' | b';' | b':'))
    }

    fn at(&self, parameter: usize, sub: usize) -> u32 {
        let part = self.0.split(|b| *b == b';').nth(parameter).unwrap_or_default();
        let part = part.split(|b| *b == b':').nth(sub).unwrap_or_default();
        std::str::from_utf8(part).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    fn codes(&self, parameter: usize) -> [u32; 3] {
        [self.at(parameter, 0), self.at(parameter, 1), self.at(parameter, 2)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(bytes: &[u8]) -> Vec<Unit> {
        let mut lexer = Lexer::default();
        bytes.iter().filter_map(|byte| lexer.push(*byte)).collect()
    }

    #[test]
    fn keys_in_every_form_are_understood() {
        let ctrl_bracket = Unit::Key { codes: [93, 0, 0], modifiers: 4, released: false };
        assert_eq!(units(b"\x1b[93;5u"), [ctrl_bracket]);
        assert_eq!(units(b"\x1b[93;197u"), [ctrl_bracket], "both locks on");
        assert_eq!(units(b"\x1b[27;5;93~"), [ctrl_bracket]);
        assert_eq!(units(b"\x1b[57::93;5:1u"), [Unit::Key { codes: [57, 0, 93], modifiers: 4, released: false }]);
        assert_eq!(units(b"\x1b[93;5:3u"), [Unit::Key { codes: [93, 0, 0], modifiers: 4, released: true }]);
        assert_eq!(units(b"\x1b[100u"), [Unit::Key { codes: [100, 0, 0], modifiers: 0, released: false }]);
        assert!(matches!(units(b"\x1b[57442;5u")[..], [Unit::Key { released: true, .. }]));
        assert_eq!(
            units(b"\x1b[A\x1bOB"),
            [Unit::Function { number: 0, last: b'A' }, Unit::Function { number: 0, last: b'B' }]
        );
        assert_eq!(
            units(b"\x1b[1;5C\x1b[3~"),
            [Unit::Function { number: 1, last: b'C' }, Unit::Function { number: 3, last: b'~' }]
        );
        assert_eq!(units(b"\x1b[200~x\x1b[201~"), [Unit::PasteStart, Unit::Byte(b'x'), Unit::PasteEnd]);
    }

    #[test]
    fn reports_are_no_keys() {
        let reports: [&[u8]; 7] = [
            b"\x1b[<35;10;20M",
            b"\x1b[<0;1;1m",
            b"\x1b[I",
            b"\x1b[24;80R",
            b"\x1b[?62;22c",
            b"\x1b[?2004;1$y",
            b"\x1b[1;5:3A",
        ];
        for report in reports {
            assert_eq!(units(report), [Unit::Report], "{}", report.escape_ascii());
        }
        let endless = [b"\x1b[".as_slice(), &[b'1'; 500], b"u"].concat();
        assert_eq!(units(&endless), [Unit::Report]);
    }

    #[test]
    fn escape_is_never_swallowed() {
        assert_eq!(units(b"\x1bd"), [Unit::Alt(b'd')]);
        assert_eq!(units(b"\x1b\x1b[A"), [Unit::Alt(0x1b), Unit::Function { number: 0, last: b'A' }]);
        assert_eq!(units(b"\x1b[1\x03"), [Unit::Byte(3)]);
    }
}
