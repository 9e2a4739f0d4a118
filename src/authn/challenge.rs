//! The gateway's side of a login over wss: one nonce, one answer. Does not know the socket it speaks through.

use std::net::IpAddr;
use std::time::Instant;

use super::authorized_keys::KeyLine;
use super::error::AuthError;
use super::key::PublicKey;
use super::message::{Message, NAMESPACE};
use super::proven::Proven;
use super::signature;
use crate::base::{AccountName, KeyId, LOGIN_DEADLINE};
use crate::wire::v1;

/// A nonce that was handed out once, and when.
#[derive(Debug)]
pub struct Challenge {
    nonce: [u8; 32],
    made: Instant,
}

/// The client's answer, as it stands in the `Login` message.
#[derive(Debug, Clone, Copy)]
pub struct LoginClaim<'a> {
    /// The account asked for.
    pub user: &'a str,
    /// The origin that the client says it dialled.
    pub origin: &'a str,
    /// OpenSSH public key line.
    pub public_key: &'a str,
    /// 32 bytes.
    pub client_nonce: &'a [u8],
    /// `exporter` or `none`.
    pub binding: &'a str,
    /// Armoured SSHSIG.
    pub signature: &'a str,
}

impl<'a> From<&'a v1::Login> for LoginClaim<'a> {
    fn from(login: &'a v1::Login) -> Self {
        Self {
            user: &login.user,
            origin: &login.origin,
            public_key: &login.public_key,
            client_nonce: &login.client_nonce,
            binding: &login.binding,
            signature: &login.signature,
        }
    }
}

/// What the gateway itself knows about this connection. Nothing here comes from the client's messages.
#[derive(Debug, Clone, Copy)]
pub struct VerifyContext<'a> {
    /// The account that the user name stands for; none when there is none such (then `keys` is empty too).
    pub account: Option<&'a AccountName>,
    /// The gateway's own origins, as [`origin`](super::origin) writes them.
    pub origins: &'a [String],
    /// Fingerprint of the gateway's identity key.
    pub server: &'a KeyId,
    /// This connection's own tls-exporter value.
    pub exporter: Option<[u8; 32]>,
    /// Whether `none` is refused.
    pub require_binding: bool,
    /// Where the connection comes from.
    pub peer: IpAddr,
    /// The monotonic time.
    pub now: Instant,
    /// The wall clock, for `expiry-time=`.
    pub unix_now: u64,
}

impl Challenge {
    /// From 32 bytes of the system's random source.
    pub fn new(nonce: [u8; 32], now: Instant) -> Self {
        Self { nonce, made: now }
    }

    /// What the client is to sign into M.
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// Judges the one answer to this challenge. The work is the same for an unknown account, an unknown key and a bad
    /// signature: one verification against the key offered, then one walk over the account's lines.
    ///
    /// # Errors
    /// The true reason; the client gets [`REFUSED`](super::REFUSED) in every case.
    pub fn verify(
        self,
        claim: &LoginClaim<'_>,
        context: &VerifyContext<'_>,
        keys: &[KeyLine],
    ) -> Result<Proven, AuthError> {
        let client_nonce =
            claim.client_nonce.try_into().map_err(|_| AuthError::Malformed("client_nonce is not 32 bytes"))?;
        let key = PublicKey::parse(claim.public_key)?;
        let signature = signature::parse(claim.signature, NAMESPACE, &key).map_err(AuthError::Malformed)?;
        let exporter = match claim.binding {
            "exporter" => Some(context.exporter.ok_or(AuthError::NotBindable)?),
            "none" if context.require_binding => return Err(AuthError::Unbound),
            "none" => None,
            _ => return Err(AuthError::Malformed("binding is neither \"exporter\" nor \"none\"")),
        };
        let message = Message {
            origin: claim.origin,
            server: context.server,
            server_nonce: &self.nonce,
            client_nonce,
            user: claim.user,
            key: key.id(),
            exporter: exporter.as_ref(),
        };
        let text =
            message.text().map_err(|_| AuthError::Malformed("user or origin is empty, too long or not printable"))?;
        let genuine = signature.verify(&key, text.as_bytes());
        if context.now.saturating_duration_since(self.made) > LOGIN_DEADLINE {
            return Err(AuthError::Stale);
        }
        if !context.origins.iter().any(|own| own == claim.origin) {
            return Err(AuthError::WrongOrigin(crate::base::printable(claim.origin, 80)));
        }
        let found = Proven::by_challenge(
            &key,
            context.account,
            keys,
            (context.peer, context.unix_now),
            // Without a genuine signature the outcome below is never used but for its reason.
            genuine.unwrap_or(signature::Presence { touched: true, verified: true }),
            text,
        );
        match (genuine, found) {
            (Some(_), outcome) => outcome,
            (None, Err(unknown @ (AuthError::UnknownAccount(_) | AuthError::UnknownKey(_)))) => Err(unknown),
            (None, _) => Err(AuthError::BadSignature(key.id().clone())),
        }
    }
}
