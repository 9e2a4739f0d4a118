//! Output as programs print it, made without a clock or a random source; does not know who reads it.

use std::fmt::Write;

/// Lines of 80 bytes, as a pager or a test log prints them.
pub(crate) fn plain(bytes: usize) -> Vec<u8> {
    let mut out = String::with_capacity(bytes + 80);
    for line in 0.. {
        if out.len() >= bytes {
            break;
        }
        let _ = writeln!(out, "{line:010} abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 01234567890 ok!.");
    }
    out.into_bytes()
}

/// The same as it leaves a PTY.
pub(crate) fn sieved_plain(bytes: usize) -> Vec<u8> {
    plain(bytes).iter().flat_map(|byte| [b'\r', *byte].into_iter().skip(usize::from(*byte != b'\n'))).collect()
}

/// A coloured build log: an escape sequence each 18 bytes or so.
pub(crate) fn coloured(bytes: usize) -> Vec<u8> {
    let mut out = String::with_capacity(bytes + 200);
    for line in 0.. {
        if out.len() >= bytes {
            break;
        }
        let color = 31 + line % 7;
        let _ = write!(
            out,
            "\x1b[1;{color}m   Compiling\x1b[0m crate-{line:05} \x1b[2m(v0.{}.{})\x1b[0m ",
            line % 40,
            line % 9
        );
        let _ = write!(out, "\x1b[38;5;{}mwarning\x1b[0m: unused \x1b[36mvariable\x1b[0m\r\n", line % 256);
    }
    out.into_bytes()
}

/// An agent's interface, drawn again and again: cursor up, erase line, coloured text, in synchronized frames.
pub(crate) fn redraws(bytes: usize) -> Vec<u8> {
    const ROWS: usize = 16;
    let mut out = String::with_capacity(bytes + 4096);
    for frame in 0.. {
        if out.len() >= bytes {
            break;
        }
        out.push_str("\x1b[?2026h\r");
        for _ in 0..ROWS {
            out.push_str("\x1b[2K\x1b[1A");
        }
        out.push_str("\x1b[2K\x1b[G");
        for row in 0..ROWS {
            let _ = write!(
                out,
                "\x1b[38;2;215;119;{row}m\u{256d}\x1b[39m \x1b[1mThinking\x1b[22m {frame:06} \x1b[2mstep {row} of the work at hand\x1b[22m\r\n"
            );
        }
        out.push_str("\x1b[?2026l");
    }
    out.into_bytes()
}

/// A screen of 200x50 with colours, whose last cells say that it is complete; before it as many lines of log.
pub(crate) fn screenful(log: usize) -> Vec<u8> {
    let mut out = String::new();
    for line in 0..log {
        let _ = write!(
            out,
            "\x1b[3{}mlog line {line:06}\x1b[0m of the work before, as long as a line in a log is\r\n",
            line % 8
        );
    }
    out.push_str("\x1b[H\x1b[2J");
    for row in 0..49 {
        for column in 0..12 {
            let _ = write!(out, "\x1b[38;5;{}mcell {row:02},{column:02} abc\x1b[0m ", (row * 12 + column) % 256);
        }
        out.push_str("\r\n");
    }
    out.push_str("\x1b[50;180H");
    out.push_str(MARK);
    out.into_bytes()
}

/// The last cells of `screenful`.
pub(crate) const MARK: &str = "SCREEN-END";
