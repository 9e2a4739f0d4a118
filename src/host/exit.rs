//! How an agent's end is written on the link; does not wait for it.

use std::io;

use crate::sys::process::Ended;
use crate::wire::v1::{Exit, exit::How};

/// A process's end.
pub(super) fn ended(ended: Ended) -> Exit {
    let how = match ended {
        Ended::Status(code) => How::Code(code),
        Ended::Signal(signal) => How::Signal(signal_name(signal)),
    };
    Exit { how: Some(how) }
}

/// A program that could not be started.
pub(super) fn not_started(error: &io::Error) -> Exit {
    Exit { how: Some(How::NotStarted(error.to_string())) }
}

/// Whether this signal, sent to the host itself, ends it: SIGTERM alone, as nothing with a terminal sends that.
pub(super) fn is_terminate(signal: i32) -> bool {
    signal == 15
}

/// Without SIG, as in RFC 4254 6.10; numbers as on Linux, those without a name there by number.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        5 => "TRAP",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        10 => "USR1",
        11 => "SEGV",
        12 => "USR2",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        25 => "XFSZ",
        31 => "SYS",
        other => return other.to_string(),
    };
    name.to_owned()
}
