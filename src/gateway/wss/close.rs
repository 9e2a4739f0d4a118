//! The close codes of /v1/ws, each telling the client what to do next; does not know what led to one.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Why the gateway ends a connection. docs/protocol.md holds the same table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// What was sent cannot mean anything.
    BadRequest,
    /// No valid proof; one text whether account, key or signature was wrong.
    LoginFailed,
    /// The proof is good, the key may not come in (source, expiry, account).
    NotAllowed,
    /// Not logged in before the deadline.
    Deadline,
    /// The client does not take what it asked for.
    TooSlow,
    /// The key was removed, expired or changed.
    Revoked,
    /// A message, or all that came before login, was above its limit.
    TooLarge,
    /// Too many logins or messages.
    RateLimited,
    /// The gateway is being replaced, or cannot serve for the moment.
    Restarting,
}

/// What a client should do after a close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Connect again and attach with the cursor.
    ComeBack,
    /// Connect again only with another proof: log in again.
    LogIn,
    /// The same attempt will fail again.
    StayAway,
}

impl Close {
    /// All of them, for the table in the document and its test.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 9] = [
        Self::BadRequest,
        Self::LoginFailed,
        Self::NotAllowed,
        Self::Deadline,
        Self::TooSlow,
        Self::Revoked,
        Self::TooLarge,
        Self::RateLimited,
        Self::Restarting,
    ];

    /// The number on the wire.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Restarting => 1012,
            Self::BadRequest => 4400,
            Self::LoginFailed => 4401,
            Self::NotAllowed => 4403,
            Self::Deadline => 4408,
            Self::TooSlow => 4409,
            Self::Revoked => 4410,
            Self::TooLarge => 4413,
            Self::RateLimited => 4429,
        }
    }

    /// The reason text, always the same for one code (at most 123 bytes on the wire).
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "bad request: do not come back with the same",
            Self::LoginFailed => "login failed: log in again with a key that this account lists",
            Self::NotAllowed => "not allowed: do not come back with this key",
            Self::Deadline => "not logged in within 10 seconds: log in again",
            Self::TooSlow => "output was not taken: come back with the cursor",
            Self::Revoked => "the key was removed, expired or changed: log in again",
            Self::TooLarge => "too large: 64 KiB before login, 1 MiB a message after; do not come back with the same",
            Self::RateLimited => "rate limited: come back later, with the cursor",
            Self::Restarting => "gateway restarting: come back with the cursor",
        }
    }

    /// What our own client does.
    pub(crate) fn then(code: u16) -> Then {
        match code {
            4401 | 4410 => Then::LogIn,
            4400 | 4403 | 4413 => Then::StayAway,
            _ => Then::ComeBack,
        }
    }

    /// The frame.
    pub(crate) fn frame(self) -> CloseFrame {
        CloseFrame { code: CloseCode::from(self.code()), reason: self.text().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_document_with_its_text_and_fits_a_close_frame() {
        let document = include_str!("../../../docs/protocol.md");
        for close in Close::ALL {
            assert!(close.text().len() <= 123);
            let row = format!("| {} | {} |", close.code(), close.text());
            assert!(document.contains(&row), "docs/protocol.md lacks: {row}");
        }
    }
}
