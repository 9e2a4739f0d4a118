//! Finds the keys that leave a session (Ctrl-] then d) in what is typed; does not know what leaving is.

const PREFIX: u8 = 0x1d;
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// What came of typed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Goes on.
    Stay,
    /// The keys were pressed.
    Leave,
}

/// Ctrl-] waits for its second key: d leaves, Ctrl-] sends one, anything else sends both. Never inside a paste.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeaveKeys {
    armed: bool,
    paste: bool,
    // How much of a paste mark has been seen.
    seen: usize,
}

impl LeaveKeys {
    /// Appends what is for the session to `out`.
    pub(crate) fn push(&mut self, typed: &[u8], out: &mut Vec<u8>) -> Scan {
        for byte in typed {
            self.watch_paste(*byte);
            match (std::mem::take(&mut self.armed), *byte) {
                (true, b'd' | b'D') => return Scan::Leave,
                (true, PREFIX) => out.push(PREFIX),
                (true, other) => out.extend([PREFIX, other]),
                (false, PREFIX) if !self.paste => self.armed = true,
                (false, other) => out.push(other),
            }
        }
        Scan::Stay
    }

    fn watch_paste(&mut self, byte: u8) {
        let mark = if self.paste { PASTE_ENDS } else { PASTE_BEGINS };
        self.seen = match mark.get(self.seen) {
            Some(wanted) if *wanted == byte => self.seen + 1,
            _ => usize::from(mark.first() == Some(&byte)),
        };
        if self.seen == mark.len() {
            self.paste = !self.paste;
            self.seen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(pieces: &[&[u8]]) -> (Scan, Vec<u8>) {
        let (mut keys, mut out, mut scan) = (LeaveKeys::default(), Vec::new(), Scan::Stay);
        for piece in pieces {
            scan = keys.push(piece, &mut out);
        }
        (scan, out)
    }

    #[test]
    fn the_keys_leave_wherever_they_are_cut_and_never_in_a_paste() {
        assert_eq!(typed(&[b"ab\x1d", b"dx"]), (Scan::Leave, b"ab".to_vec()));
        assert_eq!(typed(&[b"\x1d\x1d"]), (Scan::Stay, b"\x1d".to_vec()));
        assert_eq!(typed(&[b"\x1dx"]), (Scan::Stay, b"\x1dx".to_vec()));
        let paste = b"\x1b[200~\x1dd\x1b[201~";
        assert_eq!(typed(&[paste]), (Scan::Stay, paste.to_vec()));
        assert_eq!(typed(&[paste, b"\x1dd"]).0, Scan::Leave);
    }
}
