//! Why a command ended and with which status; does not print.

use std::fmt::Display;

/// sysexits(3) EX_CONFIG: something must be put right before another try makes sense.
pub(super) const EX_CONFIG: u8 = 78;

/// One or more sentences for a person, and the exit status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) status: u8,
    pub(super) message: String,
}

impl Failure {
    /// The configuration or the machine must be changed: status 78.
    pub(super) fn setup(message: impl Display) -> Self {
        Self { status: EX_CONFIG, message: message.to_string() }
    }

    /// Anything else: status 1.
    pub(super) fn other(message: impl Display) -> Self {
        Self { status: 1, message: message.to_string() }
    }
}

/// Says of an operating system error what it was about.
pub(super) trait About<T> {
    /// Status 78 with `what: error; cure`.
    fn about(self, what: impl Display, cure: &str) -> Result<T, Failure>;
}

impl<T, E: Display> About<T> for Result<T, E> {
    fn about(self, what: impl Display, cure: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::setup(format_args!("{what}: {error}; {cure}")))
    }
}
