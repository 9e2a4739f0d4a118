//! Why a login failed, and the one answer that the asker gets; does not know where either is written.

use std::net::IpAddr;

use crate::base::KeyId;

/// What every refused login is told, whatever the reason: who has no key learns nothing about accounts and keys.
pub const REFUSED: &str = "login refused; the gateway's console and audit log have the reason";

/// The true reason, for the audit log and the console.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The answer was not what the protocol asks for.
    #[error("malformed login: {0}")]
    Malformed(&'static str),
    /// The offered key is of a kind that nobody may use.
    #[error("unusable key: {0}")]
    UnusableKey(#[from] super::KeyError),
    /// Signed for another gateway.
    #[error("origin {0:?} is not one of this gateway's")]
    WrongOrigin(String),
    /// Without channel binding where it is demanded.
    #[error("login without channel binding")]
    Unbound,
    /// Channel binding claimed where this connection has none.
    #[error("channel binding claimed, but this connection has no exporter (TLS 1.3 that ends here)")]
    NotBindable,
    /// Answered too late.
    #[error("the challenge was answered after its 10 seconds")]
    Stale,
    /// No such account.
    #[error("unknown account, key {0}")]
    UnknownAccount(KeyId),
    /// The account lists no such key.
    #[error("unknown key {0}")]
    UnknownKey(KeyId),
    /// A key that is listed, a signature that is not its.
    #[error("bad signature by key {0}")]
    BadSignature(KeyId),
    /// `from=` does not hold the peer.
    #[error("key {key} is not allowed from {peer}")]
    NotFromHere {
        /// The key.
        key: KeyId,
        /// Where the connection came from.
        peer: IpAddr,
    },
    /// `expiry-time=` is past.
    #[error("key {0} has expired")]
    Expired(KeyId),
    /// A security key signed without being touched.
    #[error("security key {0} signed without a touch")]
    NoPresence(KeyId),
    /// A security key signed without PIN or fingerprint where the line demands it.
    #[error("security key {0} signed without verifying its user")]
    NoVerification(KeyId),
    /// A security key over ssh, where the touch cannot be seen.
    #[error("security key {0} over ssh: a touch cannot be checked there")]
    PresenceUnseen(KeyId),
}

impl AuthError {
    /// The reason as a stable word for the audit log.
    pub fn audit_reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnusableKey(_) => "unusable-key",
            Self::WrongOrigin(_) => "wrong-origin",
            Self::Unbound => "unbound",
            Self::NotBindable => "not-bindable",
            Self::Stale => "stale",
            Self::UnknownAccount(_) => "unknown-account",
            Self::UnknownKey(_) => "unknown-key",
            Self::BadSignature(_) => "bad-signature",
            Self::NotFromHere { .. } => "not-from-here",
            Self::Expired(_) => "expired",
            Self::NoPresence(_) => "no-presence",
            Self::NoVerification(_) => "no-verification",
            Self::PresenceUnseen(_) => "presence-unseen",
        }
    }

    /// What the operator or the user can do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "use a current client; docs/protocol.md has the login in a few lines of shell",
            Self::UnusableKey(_) => "make an ed25519 key: ssh-keygen -t ed25519",
            Self::WrongOrigin(_) => "if clients do dial this name, add it to `origins`",
            Self::Unbound => "dial the gateway directly, or set require_channel_binding = false behind a TLS proxy",
            Self::NotBindable => "use TLS 1.3, or binding \"none\" where TLS ends at a proxy",
            Self::Stale => "sign within 10 seconds; an agent that asks for confirmation must be answered sooner",
            Self::UnknownAccount(_) => "check the user name; `portcullis check` lists the accounts",
            Self::UnknownKey(_) => "add the key's line to the account's key file: `portcullis keys add`",
            Self::BadSignature(_) => "sign exactly the text of docs/protocol.md with the key that is named in it",
            Self::NotFromHere { .. } => "change from= on the key's line",
            Self::Expired(_) => "change expiry-time= on the key's line",
            Self::NoPresence(_) => "touch the key, or add no-touch-required to its line",
            Self::NoVerification(_) => "make the key with -O verify-required, or remove verify-required from its line",
            Self::PresenceUnseen(_) => "log in over wss, or add no-touch-required (and no verify-required) to its line",
        }
    }

    /// The key that was offered, when it could be read.
    pub fn key(&self) -> Option<&KeyId> {
        match self {
            Self::UnknownAccount(key)
            | Self::UnknownKey(key)
            | Self::BadSignature(key)
            | Self::NotFromHere { key, .. }
            | Self::Expired(key)
            | Self::NoPresence(key)
            | Self::NoVerification(key)
            | Self::PresenceUnseen(key) => Some(key),
            _ => None,
        }
    }
}
