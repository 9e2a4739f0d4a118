//! Finds the keys that leave a session in what a terminal sends, whatever the cuts between two packets; does not know
//! what leaving is.

use crate::config::DetachKey;

use super::lexer::{Lexer, Unit};

/// Most bytes held back while the prefix waits for its second key; more and they are sent on.
const MOST_HELD: usize = 1024;

/// The control key before `d`, a byte from 1 to 31 that is not Enter, tab or Escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix(u8);

impl Prefix {
    /// From the settings; none where only closing the connection leaves.
    pub(crate) fn of(key: DetachKey) -> Option<Self> {
        key.byte.map(Self)
    }

    /// The character that a terminal names with the key when it reports code points.
    fn code(self) -> u32 {
        u32::from(if self.0 < 0x1b { self.0 | 0x60 } else { self.0 | 0x40 })
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ctrl-{}", char::from_u32(self.code()).unwrap_or('?').to_ascii_uppercase())
    }
}

/// What came of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scan {
    /// All of it was taken.
    Stay,
    /// The keys were pressed; this many bytes of the packet were taken, the rest is somebody else's.
    Leave { taken: usize },
}

/// The machine. Bytes it does not send at once: the prefix until its second key, and a sequence that may become one of
/// them and came from its first byte on in one packet. An ESC or `ESC [` alone is never held: it may be a key.
#[derive(Debug, Clone)]
pub(crate) struct DetachKeys {
    prefix: Prefix,
    lexer: Lexer,
    /// The unit that is begun, as far as it was not sent on.
    unit: Vec<u8>,
    /// Some bytes of that unit were sent on.
    torn: bool,
    /// After the prefix: what is held since.
    armed: Option<Vec<u8>>,
    paste: bool,
}

impl DetachKeys {
    /// At the beginning of what a terminal sends.
    pub(crate) fn new(prefix: Prefix) -> Self {
        Self { prefix, lexer: Lexer::default(), unit: Vec::new(), torn: false, armed: None, paste: false }
    }

    /// Takes a packet; what is for the session is appended to `out`.
    pub(crate) fn push(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Scan {
        for (at, byte) in packet.iter().enumerate() {
            self.unit.push(*byte);
            let Some(unit) = self.lexer.push(*byte) else { continue };
            if matches!(unit, Unit::Byte(_)) && (self.torn || self.unit.len() > 1) {
                self.give_up(out);
                self.unit.push(*byte);
            }
            if self.judge(unit, out) {
                return Scan::Leave { taken: at + 1 };
            }
        }
        self.let_go(out);
        Scan::Stay
    }

    /// One unit is complete: true when it is the second key of leaving.
    fn judge(&mut self, unit: Unit, out: &mut Vec<u8>) -> bool {
        let torn = std::mem::take(&mut self.torn);
        match unit {
            Unit::PasteStart => self.paste = true,
            Unit::PasteEnd => self.paste = false,
            _ => {}
        }
        let silent = matches!(unit, Unit::Report | Unit::Key { released: true, .. });
        let is_prefix = self.is_prefix(unit);
        match &mut self.armed {
            None if !self.paste && is_prefix => {
                // A torn one was partly sent: it is completed, and still counts.
                let mut held = std::mem::take(&mut self.unit);
                if torn {
                    out.append(&mut held);
                }
                self.armed = Some(held);
            }
            None => out.append(&mut self.unit),
            Some(_) if silent && torn => out.append(&mut self.unit),
            Some(held) if silent => held.append(&mut self.unit),
            Some(held) => {
                let leave = is_letter_d(unit);
                let mut held = std::mem::take(held);
                self.armed = None;
                // The session gets whole sequences only, also of keys that were not meant for it.
                let keep = torn || !(leave || is_prefix);
                if !leave {
                    out.append(&mut held);
                }
                if keep {
                    out.append(&mut self.unit);
                }
                self.unit.clear();
                return leave;
            }
        }
        false
    }

    /// At the end of a packet: sends on what must not wait.
    fn let_go(&mut self, out: &mut Vec<u8>) {
        if self.armed.as_ref().is_some_and(|held| held.len() > MOST_HELD) {
            out.extend(self.armed.take().into_iter().flatten());
        }
        if self.lexer.is_ground() || (!self.torn && self.may_be_ours()) {
            return;
        }
        if let Some(held) = &mut self.armed {
            out.append(held);
        }
        out.append(&mut self.unit);
        self.torn = true;
    }

    /// A control byte ended a sequence before its end: what there was of it is nobody's key.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        self.unit.pop();
        out.extend(self.armed.take().into_iter().flatten());
        out.append(&mut self.unit);
        self.torn = false;
    }

    /// Whether the CSI sequence that is begun can still become the prefix or `d`.
    fn may_be_ours(&self) -> bool {
        let Some(body) = self.lexer.csi_body().filter(|body| !body.is_empty()) else { return false };
        let code = self.prefix.code().to_string();
        let starts = [code.as_bytes(), b"27;", if self.armed.is_some() { b"100" } else { b"27;" }];
        !self.paste && starts.iter().any(|start| body.starts_with(start) || start.starts_with(body))
    }

    fn is_prefix(&self, unit: Unit) -> bool {
        match unit {
            Unit::Byte(byte) => byte == self.prefix.0,
            Unit::Key { codes, modifiers: 4, released: false } => codes.contains(&self.prefix.code()),
            _ => false,
        }
    }
}

fn is_letter_d(unit: Unit) -> bool {
    match unit {
        Unit::Byte(byte) => byte == b'd',
        Unit::Key { codes, modifiers: 0, released: false } => codes.contains(&u32::from(b'd')),
        _ => false,
    }
}

#[cfg(test)]
#[path = "detach_tests.rs"]
mod tests;
