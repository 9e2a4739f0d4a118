//! The gateway's identity key, which is its ssh host key too; knows no protocol.

use ssh_key::PrivateKey;

use crate::authn::PublicKey;
use crate::base::KeyId;

/// One ed25519 key: one fingerprint for both doors.
pub(crate) struct Identity {
    private: PrivateKey,
    public: PublicKey,
}

/// Why an identity file is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityFileError {
    /// Not readable as a private key.
    #[error("the identity file is no OpenSSH private key ({0}); remove it and a new one is made, with a new fingerprint")]
    Parse(#[from] ssh_key::Error),
    /// Encrypted: nobody is there to type the passphrase.
    #[error("the identity file has a passphrase; remove it with ssh-keygen -p -N '' -f FILE")]
    Encrypted,
    /// Another algorithm.
    #[error("the identity must be an ed25519 key; this is {0}")]
    Algorithm(String),
}

impl Identity {
    /// From the text of an OpenSSH private key file.
    pub(crate) fn parse(pem: &str) -> Result<Self, IdentityFileError> {
        let private = PrivateKey::from_openssh(pem)?;
        if private.is_encrypted() {
            return Err(IdentityFileError::Encrypted);
        }
        if private.algorithm() != ssh_key::Algorithm::Ed25519 {
            return Err(IdentityFileError::Algorithm(private.algorithm().to_string()));
        }
        let public = PublicKey::from_ssh(private.public_key())
            .map_err(|error| IdentityFileError::Algorithm(error.to_string()))?;
        Ok(Self { private, public })
    }

    /// For signing, and for the ssh server.
    pub(crate) fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// The fingerprint.
    pub(crate) fn id(&self) -> &KeyId {
        self.public.id()
    }

    /// Type and base64.
    pub(crate) fn line(&self) -> String {
        self.public.line()
    }
}
