//! The gateway's identity key, which is its ssh host key too; knows no protocol.

use crate::authn::{IdentityError, SigningKey};
use crate::base::{KeyId, Secret};

/// One ed25519 key: one fingerprint for both doors.
pub(crate) struct Identity {
    signing: SigningKey,
    /// The ssh door's library parses the file itself.
    text: Secret<String>,
}

impl Identity {
    /// From the text of an OpenSSH private key file without passphrase.
    pub(crate) fn parse(text: String) -> Result<Self, IdentityError> {
        Ok(Self { signing: SigningKey::from_openssh(&text, None)?, text: Secret::new(text) })
    }

    /// For the proof on wss.
    pub(crate) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The OpenSSH private key text, for the ssh door.
    pub(crate) fn text(&self) -> &Secret<String> {
        &self.text
    }

    /// The fingerprint.
    pub(crate) fn id(&self) -> &KeyId {
        self.signing.id()
    }

    /// Type and base64.
    pub(crate) fn line(&self) -> String {
        self.signing.public().line()
    }
}
