//! Somebody who has proven to hold a listed key; does not know what they may do.

use std::net::IpAddr;

use super::authorized_keys::KeyLine;
use super::error::AuthError;
use super::key::PublicKey;
use super::options::KeyOptions;
use super::signature::Presence;
use crate::base::{AccountName, KeyId};

/// How the proof was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// By answering a [`Challenge`](super::Challenge).
    Challenge,
    /// By SSH's own public key authentication (RFC 4252, 7).
    Ssh,
}

/// A key that its line admits for this account, from this peer, now. Made only by a verified signature.
#[derive(Debug)]
pub struct Proven {
    account: AccountName,
    key: KeyId,
    options: KeyOptions,
    label: String,
    proof: Proof,
}

#[derive(Debug, Clone)]
struct Proof {
    door: Door,
    peer: IpAddr,
    presence: Option<Presence>,
    message: Option<String>,
}

impl Proven {
    /// For the ssh door alone, whose library has verified the signature itself: the caller vouches that `key` is the key
    /// whose signature verified, not one that was merely offered. `account` is none when the name is unknown.
    ///
    /// # Errors
    /// As [`Challenge::verify`](super::Challenge::verify); a security key without `no-touch-required` is refused, because
    /// this door does not see the touch.
    pub fn danger_verified_by_ssh(
        key: &ssh_key::PublicKey,
        account: Option<&AccountName>,
        keys: &[KeyLine],
        peer: IpAddr,
        unix_now: u64,
    ) -> Result<Self, AuthError> {
        let key = PublicKey::from_ssh(key)?;
        let proof = Proof { door: Door::Ssh, peer, presence: None, message: None };
        Self::judge(&key, account, keys, unix_now, proof)
    }

    pub(super) fn by_challenge(
        key: &PublicKey,
        account: Option<&AccountName>,
        keys: &[KeyLine],
        (peer, unix_now): (IpAddr, u64),
        presence: Presence,
        message: String,
    ) -> Result<Self, AuthError> {
        let proof = Proof { door: Door::Challenge, peer, presence: Some(presence), message: Some(message) };
        Self::judge(key, account, keys, unix_now, proof)
    }

    /// The account.
    pub fn account(&self) -> &AccountName {
        &self.account
    }
    /// The key's fingerprint.
    pub fn key(&self) -> &KeyId {
        &self.key
    }
    /// What the key's line says.
    pub fn options(&self) -> &KeyOptions {
        &self.options
    }
    /// How the key is called.
    pub fn label(&self) -> &str {
        &self.label
    }
    /// How the proof was made.
    pub fn door(&self) -> Door {
        self.proof.door
    }
    /// Where the connection came from.
    pub fn peer(&self) -> IpAddr {
        self.proof.peer
    }
    /// The text M that was signed, for the gateway's own proof; none over ssh.
    pub fn message(&self) -> Option<&str> {
        self.proof.message.as_deref()
    }

    /// Judges the same proof again by what the key file says now.
    ///
    /// # Errors
    /// The key is gone, has expired, or its line no longer admits this peer or this kind of proof.
    pub fn renewed(&self, keys: &[KeyLine], unix_now: u64) -> Result<Self, AuthError> {
        let of_key = keys.iter().filter(|line| *line.key.id() == self.key);
        let line =
            first_admitting(of_key, &self.proof, unix_now).ok_or_else(|| AuthError::UnknownKey(self.key.clone()))??;
        Ok(Self::from_line(self.account.clone(), line, self.proof.clone()))
    }

    fn judge(
        key: &PublicKey,
        account: Option<&AccountName>,
        keys: &[KeyLine],
        unix_now: u64,
        proof: Proof,
    ) -> Result<Self, AuthError> {
        let of_key = keys.iter().filter(|line| line.key == *key);
        let found = first_admitting(of_key, &proof, unix_now);
        let account = account.ok_or_else(|| AuthError::UnknownAccount(key.id().clone()))?;
        let line = found.ok_or_else(|| AuthError::UnknownKey(key.id().clone()))??;
        Ok(Self::from_line(account.clone(), line, proof))
    }

    fn from_line(account: AccountName, line: &KeyLine, proof: Proof) -> Self {
        let (key, label) = (line.key.id().clone(), line.label().to_owned());
        Self { account, key, options: line.options.clone(), label, proof }
    }
}

/// The first line that admits, as sshd goes on to the next when one does not; else the first refusal; none without lines.
fn first_admitting<'a>(
    lines: impl Iterator<Item = &'a KeyLine>,
    proof: &Proof,
    unix_now: u64,
) -> Option<Result<&'a KeyLine, AuthError>> {
    let mut refusal = None;
    for line in lines {
        match admits(line, proof, unix_now) {
            Ok(()) => return Some(Ok(line)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    refusal.map(Err)
}

fn admits(line: &KeyLine, proof: &Proof, unix_now: u64) -> Result<(), AuthError> {
    let key = || line.key.id().clone();
    let options = &line.options;
    if options.from.as_ref().is_some_and(|rule| !rule.allows(proof.peer)) {
        return Err(AuthError::NotFromHere { key: key(), peer: proof.peer });
    }
    if options.expiry.is_some_and(|last| last < unix_now) {
        return Err(AuthError::Expired(key()));
    }
    if !line.key.is_security_key() {
        return Ok(());
    }
    match proof.presence {
        None if options.verify_required || !options.no_touch_required => Err(AuthError::PresenceUnseen(key())),
        Some(presence) if !presence.touched && !options.no_touch_required => Err(AuthError::NoPresence(key())),
        Some(presence) if !presence.verified && options.verify_required => Err(AuthError::NoVerification(key())),
        _ => Ok(()),
    }
}
