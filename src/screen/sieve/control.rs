//! What becomes of each `ESC` and `CSI` sequence; does not know strings.

use super::sequence::{Csi, number};
use super::{Mark, Query, What};

/// What becomes of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes.
    Keep(Mark),
    /// The engine does not model it, or it makes terminals talk: gone.
    Drop,
    /// A question: gone, with a note.
    Ask(Query),
    /// Private modes are set or reset: [`modes`] decides one by one.
    Modes,
    /// RIS: passes, and ends what modes had been asked for.
    Reset,
}

/// A CSI without prefix and intermediates passes without another look if its final byte says so.
pub(super) fn simple(last: u8) -> Option<Mark> {
    match last {
        b'K' | b'X' | b'@' | b'P' | b'C' | b'D' | b'G' | b'`' | b'a' | b'I' | b'Z' | b'b' | b'B' | b'E' | b'e'
        | b'm' => Some(Mark::Plain),
        b'H' | b'f' | b'A' | b'F' | b'd' | b'j' | b'k' | b'J' | b'L' | b'M' | b'S' | b'T' | b'h' | b'l' => {
            Some(Mark::Mixed)
        }
        b'c' | b'n' | b't' | b'x' | b's' | b'i' => None,
        0x40..=0x7e => Some(Mark::Barrier),
        _ => None,
    }
}

/// `ESC`, intermediates, final byte.
pub(super) fn escape(intermediates: &[u8], last: u8) -> Verdict {
    match (intermediates, last) {
        ([], b'Z') => Verdict::Ask(Query::PrimaryAttributes),
        ([], b'c') => Verdict::Reset,
        // SPA and EPA: protected areas, which the engine does not have.
        ([], b'V' | b'W') => Verdict::Drop,
        ([], b'D' | b'E') => Verdict::Keep(Mark::Plain),
        ([], b'M' | b'=' | b'>' | b'N' | b'O' | b'n' | b'o' | b'|' | b'}' | b'~' | b'\\') => Verdict::Keep(Mark::Mixed),
        // Double height and width; DECALN (8) passes.
        ([b'#'], b'3'..=b'6') => Verdict::Drop,
        ([b'#'], b'8') => Verdict::Keep(Mark::Mixed),
        // Another coding system would turn single bytes into controls; 8-bit replies would slip past the input filter.
        ([b'%', ..], _) | ([b' '], b'F' | b'G') => Verdict::Drop,
        ([b'(' | b')' | b'*' | b'+' | b'-' | b'.' | b'/', ..], _) => Verdict::Keep(Mark::Mixed),
        _ => Verdict::Keep(Mark::Barrier),
    }
}

/// A well-formed CSI.
pub(super) fn csi(csi: &Csi) -> Verdict {
    match (csi.prefix, csi.intermediates) {
        (0, []) => plain(csi),
        (b'?', []) => private(csi),
        (b'>', []) => match csi.last {
            b'c' if csi.first() == 0 => Verdict::Ask(Query::SecondaryAttributes),
            b'q' if csi.first() == 0 => Verdict::Ask(Query::Version),
            b'c' | b'q' => Verdict::Drop,
            _ => Verdict::Keep(Mark::Mixed),
        },
        (b'=', []) => match csi.last {
            b'c' if csi.first() == 0 => Verdict::Ask(Query::TertiaryAttributes),
            b'c' => Verdict::Drop,
            _ => Verdict::Keep(Mark::Mixed),
        },
        (b'<', []) => Verdict::Keep(Mark::Mixed),
        // No control, but some engines look at the prefix alone.
        (_, [_, ..]) if csi.last == b'c' => Verdict::Drop,
        (0, [b'$']) => rectangle(csi),
        (b'?', [b'$']) if csi.last == b'p' => Verdict::Ask(Query::PrivateMode(csi.first())),
        (_, [b'$']) if csi.last == b'p' => Verdict::Drop,
        (0, [intermediate]) => rare(*intermediate, csi.last),
        _ => Verdict::Keep(Mark::Barrier),
    }
}

fn plain(csi: &Csi) -> Verdict {
    if let Some(mark) = simple(csi.last) {
        return Verdict::Keep(mark);
    }
    match (csi.last, csi.first()) {
        (b'c', 0) => Verdict::Ask(Query::PrimaryAttributes),
        (b'n', 5) => Verdict::Ask(Query::OperatingStatus),
        (b'n', 6) => Verdict::Ask(Query::CursorPosition),
        (b'n', _) => Verdict::Ask(Query::Refused("DSR")),
        (b'x', _) => Verdict::Ask(Query::Refused("DECREQTPARM")),
        (b't', 14) => Verdict::Ask(Query::TextAreaPixels),
        (b't', 16) => Verdict::Ask(Query::CellPixels),
        (b't', 18) => Verdict::Ask(Query::TextAreaCells),
        (b't', 19) => Verdict::Ask(Query::ScreenCells),
        // A reported title would be typed: an injection path.
        (b't', 11 | 13 | 15 | 20 | 21) => Verdict::Ask(Query::Refused("window report")),
        (b't', _) => Verdict::Keep(Mark::Mixed),
        // With parameters it is DECSLRM, without it saves the cursor.
        (b's', _) if csi.params.is_empty() => Verdict::Keep(Mark::Barrier),
        // Among them media copy, which would send a viewer's output to its printer.
        _ => Verdict::Drop,
    }
}

fn private(csi: &Csi) -> Verdict {
    match (csi.last, csi.first()) {
        (b'h' | b'l', _) => Verdict::Modes,
        (b'n', 6) => Verdict::Ask(Query::ExtendedCursorPosition),
        (b'n', 996) => Verdict::Ask(Query::ColorScheme),
        (b'n', _) => Verdict::Ask(Query::Refused("DSR")),
        (b'u', _) => Verdict::Ask(Query::KittyKeyboard),
        (b'm', 4) => Verdict::Ask(Query::ModifyOtherKeys),
        (b'm', _) => Verdict::Ask(Query::Refused("XTQMODKEYS")),
        (b'g', _) => Verdict::Ask(Query::Refused("XTQFMTKEYS")),
        (b'S', _) => Verdict::Ask(Query::Refused("XTSMGRAPHICS")),
        // XTSAVE and XTRESTORE bring back modes that a viewer's terminal had before; media copy.
        (b'r' | b's' | b'i', _) => Verdict::Drop,
        _ => Verdict::Keep(Mark::Barrier),
    }
}

fn rectangle(csi: &Csi) -> Verdict {
    match csi.last {
        b'p' => Verdict::Ask(Query::AnsiMode(csi.first())),
        b'w' => Verdict::Ask(Query::Refused("DECRQPSR")),
        b'u' => Verdict::Ask(Query::Refused("DECRQTSR")),
        b'r' | b't' | b'v' | b'x' | b'z' | b'{' => Verdict::Drop,
        _ => Verdict::Keep(Mark::Barrier),
    }
}

fn rare(intermediate: u8, last: u8) -> Verdict {
    match (intermediate, last) {
        (b'*', b'y') => Verdict::Ask(Query::Refused("DECRQCRA")),
        (b'&', b'u') => Verdict::Ask(Query::Refused("DECRQUPSS")),
        (b'"', b'v') => Verdict::Ask(Query::Refused("DECRQDE")),
        (b'+', b'x') => Verdict::Ask(Query::Refused("DECRQPKFM")),
        (b'*' | b'+', b'p') => Verdict::Ask(Query::Refused("DECSR")),
        (b'#', b'|') => Verdict::Ask(Query::Refused("XTREPORTSGR")),
        (b'#', b'R') => Verdict::Ask(Query::Refused("XTREPORTCOLORS")),
        (b'\'', b'|') => Verdict::Ask(Query::Refused("locator")),
        // Locator reports switched on; what rectangles cover; protected characters.
        (b'\'', b'w' | b'z' | b'{') | (b'*', b'x') | (b'"', b'q') => Verdict::Drop,
        (b' ', b'q') => Verdict::Keep(Mark::Mixed),
        _ => Verdict::Keep(Mark::Barrier),
    }
}

/// A list of private modes after the sieve.
#[derive(Debug, Default)]
pub(super) struct Modes {
    /// The parameters that stay, if they are others than before; empty: nothing stays.
    pub(super) instead: Option<Vec<u8>>,
    pub(super) notes: Vec<What>,
    pub(super) barrier: bool,
}

/// Takes `?a;b;c h` (`set`) or `l` apart.
pub(super) fn modes(params: &[u8], set: bool) -> Modes {
    let mut out = Modes::default();
    let mut stay: Vec<&[u8]> = Vec::new();
    let mut changed = false;
    for field in params.split(|&byte| byte == b';') {
        match number(field) {
            1004 => out.notes.push(What::FocusReports(set)),
            2031 => out.notes.push(What::ColorReports(set)),
            2048 => out.notes.push(What::SizeReports(set)),
            // DECANM, DECCOLM, DECLRMM: not modelled; 5522 lets terminals report pastes.
            2 | 3 | 69 | 5522 => {}
            47 | 1047 => {
                (changed, out.barrier) = (true, true);
                stay.push(b"1049");
                continue;
            }
            mode => {
                if mode == 2026 {
                    out.notes.push(if set { What::FrameStart } else { What::FrameEnd });
                }
                out.barrier |= matches!(mode, 6 | 1048 | 1049);
                stay.push(field);
                continue;
            }
        }
        changed = true;
    }
    if changed {
        out.instead = Some(stay.join(&b';'));
    }
    out
}
