//! The gateway's identity key, which is its ssh host key too; knows no protocol.

use crate::authn::{IdentityError, SigningKey};
use crate::base::Secret;

/// One ed25519 key: one fingerprint for both doors.
pub(crate) struct Identity {
    signing: SigningKey,
}

impl Identity {
    /// From the text of an OpenSSH private key file without passphrase.
    pub(crate) fn parse(text: &Secret<String>) -> Result<Self, IdentityError> {
        Ok(Self { signing: SigningKey::from_openssh(text.reveal(), None)? })
    }

    /// For the proof on wss.
    pub(crate) fn signing(&self) -> &SigningKey {
        &self.signing
    }
}
