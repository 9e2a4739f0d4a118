//! One signature against one key and one message; does not know why it was asked for.

use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest as _, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Signature, SshSig};

use super::key::{PublicKey, is_signature_of};

/// An armoured signature before any parsing: RSA-8192 with its key is 3 KiB of base64.
const ARMOUR_MOST: usize = 8 * 1024;
/// Flags byte and 32-bit counter behind a security key's signature (PROTOCOL.u2f).
const TRAILER: usize = 5;

/// What a security key says about its user; an ordinary key says both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) touched: bool,
    pub(super) verified: bool,
}

/// An SSHSIG whose form is right; whether it is genuine is not yet known.
pub(super) struct Parsed(SshSig);

/// Takes the armour off. The key inside must be `key`, the namespace `namespace`, the hash SHA-256 or SHA-512.
pub(super) fn parse(armour: &str, namespace: &str, key: &PublicKey) -> Result<Parsed, &'static str> {
    if armour.len() > ARMOUR_MOST {
        return Err("the signature is longer than 8 KiB");
    }
    let signature = SshSig::from_pem(armour.trim()).map_err(|_| "the signature is no armoured SSHSIG")?;
    if signature.version() != SshSig::VERSION || !signature.reserved().is_empty() {
        return Err("the signature is of another SSHSIG version");
    }
    if signature.namespace() != namespace {
        return Err("the signature was made for another namespace");
    }
    if signature.public_key() != key.data() {
        return Err("the signature is by another key than the one offered");
    }
    if !is_signature_of(&key.data().algorithm(), &signature.signature().algorithm()) {
        return Err("the signature's algorithm does not belong to the key, or is SHA-1");
    }
    Ok(Parsed(signature))
}

impl Parsed {
    /// Whether the key made this signature over `message`, and what a security key says about it.
    pub(super) fn verify(&self, key: &PublicKey, message: &[u8]) -> Option<Presence> {
        let hash = self.0.hash_alg();
        let signed = SshSig::signed_data(self.0.namespace(), hash, message).ok()?;
        verify_raw(key, &signed, self.0.signature())
    }
}

fn verify_raw(key: &PublicKey, signed: &[u8], signature: &Signature) -> Option<Presence> {
    match key.data() {
        KeyData::Ed25519(key) => strict_ed25519(&key.0, signed, signature.as_bytes())?,
        KeyData::SkEd25519(key) => {
            let (bytes, trailer) = split_trailer(signature.as_bytes())?;
            let mut asserted = Vec::with_capacity(32 + TRAILER + 32);
            asserted.extend_from_slice(&Sha256::digest(key.application()));
            asserted.extend_from_slice(trailer);
            asserted.extend_from_slice(&Sha256::digest(signed));
            strict_ed25519(&key.public_key().0, &asserted, bytes)?;
        }
        other => other.verify(signed, signature).ok()?,
    }
    if !key.is_security_key() {
        return Some(Presence { touched: true, verified: true });
    }
    let flags = split_trailer(signature.as_bytes())?.1.first()?;
    Some(Presence { touched: flags & 1 != 0, verified: flags & 4 != 0 })
}

/// RFC 8032 with the checks that leave one signature for one message: no small order, no non-canonical S.
fn strict_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    key.verify_strict(message, &signature).ok()
}

fn split_trailer(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    signature.split_at_checked(signature.len().checked_sub(TRAILER)?)
}
