//! Private keys: the gateway's identity and a client's own. Knows neither files nor agents.

use std::fmt;

use sha2::{Digest as _, Sha512};
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};
use zeroize::Zeroizing;

use super::key::{KeyError, PublicKey};
use super::message::{Message, MessageError, NAMESPACE, SERVER_NAMESPACE};
use super::signature;
use crate::base::KeyId;

/// Why a private key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not OpenSSH's format.
    #[error("no private key in OpenSSH's format")]
    Format,
    /// Encrypted, and no passphrase was given.
    #[error("the key is encrypted; give the passphrase or load it into ssh-agent")]
    Encrypted,
    /// Encrypted with another passphrase.
    #[error("wrong passphrase")]
    Passphrase,
    /// The key itself is not accepted.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why no signature was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// M cannot be built.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The signer failed; its own words.
    #[error("signing failed: {0}")]
    Signer(String),
    /// The gateway's proof is not by the key that it showed, or not over this login.
    #[error("the gateway did not prove its identity: somebody may be between you and it")]
    ServerProof,
}

/// A private key that signs by itself (not in an agent, not in hardware).
#[derive(Clone)]
pub struct SigningKey {
    private: PrivateKey,
    public: PublicKey,
}

impl SigningKey {
    /// A new ed25519 key from 32 bytes of the system's random source.
    pub fn from_seed(seed: &[u8; 32], comment: &str) -> Result<Self, IdentityError> {
        let pair = ssh_key::private::Ed25519Keypair::from_seed(seed);
        let private = PrivateKey::new(pair.into(), comment).map_err(|_| IdentityError::Format)?;
        Self::from_private(private)
    }

    /// From the text of an OpenSSH private key file.
    pub fn from_openssh(text: &str, passphrase: Option<&str>) -> Result<Self, IdentityError> {
        let private = PrivateKey::from_openssh(text).map_err(|_| IdentityError::Format)?;
        let private = match (private.is_encrypted(), passphrase) {
            (false, _) => private,
            (true, None) => return Err(IdentityError::Encrypted),
            (true, Some(words)) => private.decrypt(words).map_err(|_| IdentityError::Passphrase)?,
        };
        Self::from_private(private)
    }

    /// The text of an OpenSSH private key file, unencrypted; wiped when dropped.
    pub fn to_openssh(&self) -> Result<Zeroizing<String>, IdentityError> {
        self.private.to_openssh(LineEnding::LF).map_err(|_| IdentityError::Format)
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its fingerprint.
    pub fn id(&self) -> &KeyId {
        self.public.id()
    }

    /// For the ssh library, which signs with it as the host key.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// An armoured SSHSIG with SHA-512, as `ssh-keygen -Y sign -n NAMESPACE` makes it.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let failed = |error: ssh_key::Error| SignError::Signer(error.to_string());
        let signature = self.private.sign(namespace, HashAlg::Sha512, message).map_err(failed)?;
        signature.to_pem(LineEnding::LF).map_err(failed)
    }

    fn from_private(private: PrivateKey) -> Result<Self, IdentityError> {
        let public = PublicKey::from_ssh(private.public_key())?;
        Ok(Self { private, public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// The gateway's own proof over the login `message` (M): an SSHSIG over SHA-512 of M.
pub fn server_proof(identity: &SigningKey, message: &str) -> Result<String, SignError> {
    identity.sign(SERVER_NAMESPACE, &Sha512::digest(message))
}

/// The client's check of [`server_proof`]; `server` is the key that the client has pinned, `message` the M that it signed.
pub fn verify_server_proof(server: &PublicKey, message: &str, proof: &str) -> Result<(), SignError> {
    let parsed = signature::parse(proof, SERVER_NAMESPACE, server).map_err(|_| SignError::ServerProof)?;
    parsed.verify(server, &Sha512::digest(message)).map(|_| ()).ok_or(SignError::ServerProof)
}

/// What a client sends, and the M to check the gateway's proof with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLogin {
    /// M.
    pub message: String,
    /// Armoured SSHSIG over M.
    pub signature: String,
}

/// Signs a login. `sign` gets the bytes that SSHSIG wants signed by the plain key (what ssh-agent's SIGN_REQUEST takes)
/// and answers with the SSH signature blob: algorithm string, signature string, for a security key flags and counter.
pub fn sign_login(
    message: &Message<'_>,
    key: &PublicKey,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
) -> Result<SignedLogin, SignError> {
    let text = message.text()?;
    let failed = |error: ssh_key::Error| SignError::Signer(error.to_string());
    let wanted = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(failed)?;
    let blob = sign(&wanted).map_err(SignError::Signer)?;
    let signature = ssh_key::Signature::try_from(blob.as_slice()).map_err(failed)?;
    let armoured = SshSig::new(key.data().clone(), NAMESPACE, HashAlg::Sha512, signature)
        .and_then(|signature| signature.to_pem(LineEnding::LF))
        .map_err(failed)?;
    Ok(SignedLogin { message: text, signature: armoured })
}

impl SigningKey {
    /// [`sign_login`] with this key.
    pub fn sign_login(&self, message: &Message<'_>) -> Result<SignedLogin, SignError> {
        let text = message.text()?;
        let signature = self.sign(NAMESPACE, text.as_bytes())?;
        Ok(SignedLogin { message: text, signature })
    }
}
