//! Exit statuses of the client; knows nothing else.

use crate::wire::v1::{Exit, exit::How};

/// Something did not work; one sentence is on standard error.
pub(crate) const FAILED: u8 = 1;
/// The words make no sense.
pub(crate) const USAGE: u8 = 2;
/// Output was lost (sysexits EX_IOERR), or the gateway stayed away.
pub(crate) const LOST: u8 = 74;
/// Detached for a reason that passes (sysexits EX_TEMPFAIL).
pub(crate) const AGAIN: u8 = 75;
/// What a shell says of a program that it cannot start.
const NOT_STARTED: u8 = 127;

/// The agent's end as a shell would say it: its code, or 128 and the signal's number.
pub(crate) fn of_exit(exit: &Exit) -> u8 {
    match &exit.how {
        Some(How::Code(code)) => u8::try_from(*code).unwrap_or(u8::MAX),
        Some(How::Signal(name)) => 128 + signal_number(name),
        Some(How::NotStarted(_)) => NOT_STARTED,
        None => FAILED,
    }
}

// Linux's numbers of the names in RFC 4254 6.10, and of the others that end a program.
fn signal_number(name: &str) -> u8 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "TRAP" => 5,
        "ABRT" => 6,
        "BUS" => 7,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        "XCPU" => 24,
        "XFSZ" => 25,
        "SYS" => 31,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_shell_says_it() {
        let of = |how| of_exit(&Exit { how: Some(how) });
        assert_eq!(of(How::Code(7)), 7);
        assert_eq!(of(How::Signal("KILL".into())), 137);
        assert_eq!(of(How::NotStarted("no such file".into())), 127);
        assert_eq!(of_exit(&Exit { how: None }), FAILED);
    }
}
