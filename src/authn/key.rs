//! A public key that may log in; does not know whose it is.

use std::fmt;

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg};

use crate::base::KeyId;

/// Shortest RSA modulus: what OpenSSH's own advice has been since 2015, and NIST SP 800-57's least.
const RSA_BITS_LEAST: u32 = 2048;
/// Longest RSA modulus: what the signature library takes.
const RSA_BITS_MOST: u32 = 8192;
/// A public key line before any parsing: RSA-8192 is 1.4 KiB of base64.
const LINE_MOST: usize = 8 * 1024;

/// Why a key is not accepted, whoever lists it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `type base64`.
    #[error("no public key: a type and its base64 are needed")]
    Missing,
    /// The base64 or what it holds is broken, or is followed by something.
    #[error("the key's base64 is damaged; copy the whole line of the .pub file")]
    Damaged,
    /// The type written is not the type inside.
    #[error("the line says {written} but the key inside is {inside}")]
    TypeMismatch {
        /// The word on the line.
        written: String,
        /// The type in the blob.
        inside: String,
    },
    /// A certificate.
    #[error("certificates are not accepted yet; list the key itself")]
    Certificate,
    /// An algorithm that is not accepted.
    #[error("key type {0} is not accepted; use ed25519, ecdsa, rsa of at least 2048 bits, or a security key")]
    Algorithm(String),
    /// RSA outside the bounds.
    #[error("RSA key of {0} bits; {RSA_BITS_LEAST} to {RSA_BITS_MOST} are accepted, or make an ed25519 key")]
    RsaSize(u32),
    /// RSA with an exponent or modulus that no honest tool makes.
    #[error("RSA key with an unusable exponent or modulus; make a new key")]
    RsaShape,
    /// Not a point of the curve, or in a form that OpenSSH does not write.
    #[error("the key is no point of its curve in OpenSSH's form; make a new key")]
    Point,
    /// A small-order ed25519 key, for which anybody can make signatures.
    #[error("weak ed25519 key (small order): anybody can sign for it; make a new key")]
    Weak,
}

/// A checked public key and its fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    data: KeyData,
    id: KeyId,
}

impl PublicKey {
    /// From an OpenSSH public key line: type, base64 and perhaps a comment, which is dropped.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let (Some(kind), Some(base64)) = (words.next(), words.next()) else { return Err(KeyError::Missing) };
        Self::from_words(kind, base64)
    }

    /// From the type and the base64 of a line.
    pub(super) fn from_words(kind: &str, base64: &str) -> Result<Self, KeyError> {
        if kind.len() + base64.len() > LINE_MOST {
            return Err(KeyError::Damaged);
        }
        let blob = decode_base64(base64).ok_or(KeyError::Damaged)?;
        let inside = type_inside(&blob).ok_or(KeyError::Damaged)?;
        if inside.ends_with("-cert-v01@openssh.com") {
            return Err(KeyError::Certificate);
        }
        if inside != kind {
            return Err(KeyError::TypeMismatch { written: kind.to_owned(), inside: inside.to_owned() });
        }
        if !is_accepted(inside) {
            return Err(KeyError::Algorithm(inside.to_owned()));
        }
        let key = ssh_key::PublicKey::from_bytes(&blob).map_err(|_| KeyError::Damaged)?;
        Self::check(key.key_data().clone(), &blob)
    }

    /// From a key that another library has parsed.
    pub fn from_ssh(key: &ssh_key::PublicKey) -> Result<Self, KeyError> {
        let blob = key.to_bytes().map_err(|_| KeyError::Damaged)?;
        Self::check(key.key_data().clone(), &blob)
    }

    /// Its fingerprint.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The type, as the first word of its line.
    pub fn kind(&self) -> String {
        self.data.algorithm().as_str().to_owned()
    }

    /// The OpenSSH line without a comment.
    pub fn line(&self) -> String {
        ssh_key::PublicKey::from(self.data.clone()).to_openssh().unwrap_or_default()
    }

    /// Whether it lives in a security key (sk-), which says with each signature whether somebody touched it.
    pub fn is_security_key(&self) -> bool {
        matches!(self.data, KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_))
    }

    pub(super) fn data(&self) -> &KeyData {
        &self.data
    }

    fn check(data: KeyData, blob: &[u8]) -> Result<Self, KeyError> {
        match &data {
            KeyData::Ed25519(key) => strong_ed25519(&key.0)?,
            KeyData::SkEd25519(key) => strong_ed25519(&key.public_key().0)?,
            KeyData::Ecdsa(key) => on_curve(key)?,
            KeyData::SkEcdsaSha2NistP256(key) => on_curve(&ssh_key::public::EcdsaPublicKey::NistP256(*key.ec_point()))?,
            KeyData::Rsa(key) => sound_rsa(key)?,
            KeyData::Certificate(_) => return Err(KeyError::Certificate),
            other => return Err(KeyError::Algorithm(other.algorithm().as_str().to_owned())),
        }
        // One key, one blob, one fingerprint: what does not encode to itself would go by two names.
        let key = ssh_key::PublicKey::from(data.clone());
        if key.to_bytes().map_err(|_| KeyError::Damaged)? != blob {
            return Err(KeyError::Damaged);
        }
        let id = KeyId::new(data.fingerprint(HashAlg::Sha256).to_string());
        Ok(Self { data, id })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind(), self.id)
    }
}

/// Whether a word is the type of a key or certificate, also of those that are refused: then it is no option.
pub(super) fn is_key_type(word: &str) -> bool {
    matches!(word, "ssh-rsa" | "ssh-dss" | "ssh-ed25519" | "rsa-sha2-256" | "rsa-sha2-512")
        || word.starts_with("ecdsa-sha2-")
        || word.ends_with("@openssh.com")
}

fn is_accepted(kind: &str) -> bool {
    matches!(
        kind,
        "ssh-ed25519"
            | "ecdsa-sha2-nistp256"
            | "ecdsa-sha2-nistp384"
            | "ecdsa-sha2-nistp521"
            | "ssh-rsa"
            | "sk-ssh-ed25519@openssh.com"
            | "sk-ecdsa-sha2-nistp256@openssh.com"
    )
}

/// OpenSSH takes padded base64 only; so do we.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// The first string of a key blob (RFC 4253, 6.6).
fn type_inside(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok().filter(|kind| kind.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn strong_ed25519(bytes: &[u8; 32]) -> Result<(), KeyError> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?;
    if key.is_weak() { Err(KeyError::Weak) } else { Ok(()) }
}

fn on_curve(key: &ssh_key::public::EcdsaPublicKey) -> Result<(), KeyError> {
    let bytes = key.as_sec1_bytes();
    // OpenSSH writes and reads uncompressed points only (RFC 5656, 3.1 leaves the other form optional).
    if bytes.first() != Some(&4) {
        return Err(KeyError::Point);
    }
    let valid = match key.curve() {
        EcdsaCurve::NistP256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
        EcdsaCurve::NistP384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
        EcdsaCurve::NistP521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
    };
    if valid { Ok(()) } else { Err(KeyError::Point) }
}

fn sound_rsa(key: &ssh_key::public::RsaPublicKey) -> Result<(), KeyError> {
    let modulus = key.n().as_positive_bytes().ok_or(KeyError::RsaShape)?;
    // key_size() counts whole bytes; the first byte may have leading zero bits.
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = u32::try_from(modulus.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(leading);
    if !(RSA_BITS_LEAST..=RSA_BITS_MOST).contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    rsa::RsaPublicKey::try_from(key).map(|_| ()).map_err(|_| KeyError::RsaShape)
}

/// The hash in an RSA signature's name; SHA-1 has none here.
pub(super) fn is_signature_of(key: &Algorithm, signature: &Algorithm) -> bool {
    match (key, signature) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { hash }) => hash.is_some(),
        (Algorithm::Rsa { .. }, _) => false,
        (key, signature) => key == signature,
    }
}
