//! Bytes of a terminal as the keys of a line editor; a paste is one of them. Does not know what a key does.

use crate::gateway::ssh::{Lexer, Unit};

/// Longest paste: the longest prompt, and one byte by which it is found to be too long.
const LONGEST_PASTE: usize = crate::base::INPUT_MESSAGE + 1;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    /// Its line ends are LF.
    Paste(String),
    Enter,
    /// A line end within the text.
    NewLine,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    Erase,
    Delete,
    KillToEnd,
    KillToStart,
    KillWord,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    EndOfInput,
    /// Ctrl-L.
    Redraw,
    Escape,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    lexer: Lexer,
    /// A character that is begun.
    character: Vec<u8>,
    paste: Option<Vec<u8>>,
}

impl Keyboard {
    /// The key that this byte completes.
    pub(super) fn push(&mut self, byte: u8) -> Option<Key> {
        let unit = self.lexer.push(byte)?;
        if let Some(paste) = &mut self.paste {
            match unit {
                Unit::PasteEnd => return self.paste.take().map(|bytes| Key::Paste(pasted(&bytes))),
                Unit::Byte(byte) | Unit::Alt(byte) if paste.len() < LONGEST_PASTE => paste.push(byte),
                _ => {}
            }
            return None;
        }
        if !matches!(unit, Unit::Byte(0x80..)) {
            self.character.clear();
        }
        match unit {
            Unit::PasteStart => {
                self.paste = Some(Vec::new());
                None
            }
            Unit::Byte(byte) => self.byte(byte),
            Unit::Alt(b'\r' | b'\n') => Some(Key::NewLine),
            Unit::Alt(0x7f | 0x08) => Some(Key::KillWord),
            Unit::Alt(0x1b) => Some(Key::Escape),
            Unit::Function { number, last } => function(number, last),
            Unit::Key { codes: [code, ..], modifiers, released: false } => coded(code, modifiers),
            _ => None,
        }
    }

    /// An ESC came and may be a key or begin one.
    pub(super) fn is_open(&self) -> bool {
        !self.lexer.is_ground()
    }

    /// Nothing followed: it was a key.
    pub(super) fn close(&mut self) -> Option<Key> {
        let open = self.is_open() && self.paste.is_none();
        self.lexer = Lexer::default();
        open.then_some(Key::Escape)
    }

    fn byte(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Erase,
            b'\n' => Key::NewLine,
            0x0b => Key::KillToEnd,
            0x0c => Key::Redraw,
            b'\r' => Key::Enter,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            b' '..=b'~' => Key::Char(char::from(byte)),
            0x80.. => return self.part(byte),
            _ => return None,
        })
    }

    fn part(&mut self, byte: u8) -> Option<Key> {
        if self.character.len() >= 4 {
            self.character.clear();
        }
        self.character.push(byte);
        let ch = std::str::from_utf8(&self.character).ok()?.chars().next()?;
        self.character.clear();
        (!ch.is_control()).then_some(Key::Char(ch))
    }
}

fn function(number: u32, last: u8) -> Option<Key> {
    Some(match (number, last) {
        (0 | 1, b'A') => Key::Up,
        (0 | 1, b'B') => Key::Down,
        (0 | 1, b'C') => Key::Right,
        (0 | 1, b'D') => Key::Left,
        (0 | 1, b'H') | (1 | 7, b'~') => Key::Home,
        (0 | 1, b'F') | (4 | 8, b'~') => Key::End,
        (3, b'~') => Key::Delete,
        (0, b'M') => Key::Enter,
        _ => return None,
    })
}

/// Keys that a terminal tells by code point.
fn coded(code: u32, modifiers: u32) -> Option<Key> {
    const SHIFT: u32 = 1;
    const CONTROL: u32 = 4;
    match (code, modifiers) {
        (13, 0) => Some(Key::Enter),
        (13, _) => Some(Key::NewLine),
        (27, _) => Some(Key::Escape),
        (127, 0 | SHIFT) => Some(Key::Erase),
        (97..=122, CONTROL) => Keyboard::default().byte(u8::try_from(code & 0x1f).ok()?),
        (_, 0 | SHIFT) => char::from_u32(code).filter(|ch| !ch.is_control()).map(Key::Char),
        _ => None,
    }
}

/// What a paste says: text and tabs; whatever else is a control character was not meant.
fn pasted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|ch| !ch.is_control() || matches!(ch, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keyboard = Keyboard::default();
        bytes.iter().filter_map(|byte| keyboard.push(*byte)).collect()
    }

    #[test]
    fn bytes_are_keys() {
        assert_eq!(keys("aä漢".as_bytes()), [Key::Char('a'), Key::Char('ä'), Key::Char('漢')]);
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[3~\x1b[H\x1b[4~"), [Key::Up, Key::Down, Key::Delete, Key::Home, Key::End]);
        assert_eq!(
            keys(b"\r\n\x1b\r\x1b[13;2u\x1b[13u"),
            [Key::Enter, Key::NewLine, Key::NewLine, Key::NewLine, Key::Enter]
        );
        assert_eq!(keys(b"\x1b[99;5u\x03"), [Key::Interrupt, Key::Interrupt]);
        assert!(keys(b"\x1b[<35;10;20M\x1b[I\x1b[24;80R").is_empty());
    }

    #[test]
    fn a_paste_is_one_key_and_none_of_its_bytes_another() {
        let paste = keys(b"\x1b[200~y\r\nn\x03\x04\tz\x1b[2J\x1b[201~q");
        assert_eq!(paste, [Key::Paste("y\nn\tz".into()), Key::Char('q')]);
        let endless = [b"\x1b[200~".as_slice(), &vec![b'x'; LONGEST_PASTE + 50], b"\x1b[201~"].concat();
        assert!(matches!(&keys(&endless)[..], [Key::Paste(text)] if text.len() == LONGEST_PASTE));
    }

    #[test]
    fn an_escape_alone_is_a_key_when_nothing_follows() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.push(0x1b), None);
        assert!(keyboard.is_open());
        assert_eq!(keyboard.close(), Some(Key::Escape));
        assert_eq!(keyboard.push(b'y'), Some(Key::Char('y')));
    }
}
