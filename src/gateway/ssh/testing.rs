//! What the tests of this room share.

/// An ed25519 key of nobody.
pub(super) const IDENTITY: &str = "";
