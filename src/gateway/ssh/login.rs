//! Who may log in over ssh: the identity is the key whose signature the library has verified, never one that was only
//! offered. Does not know channels.

use std::net::SocketAddr;
use std::time::Instant;

use russh::keys::Algorithm;
use russh::server::{PublicKeyOffer, VerifiedPublicKey};

use super::line::ClientName;
use crate::authn::{AuthError, Proven, PublicKey};
use crate::base::{KeyId, printable};
use crate::gateway::authority::Door;
use crate::gateway::listen::{LiveConnection, Permit};
use crate::gateway::{Gateway, LiveGrant, unix_now};

/// Keys that one connection may offer, as sshd's MaxAuthTries: an agent full of keys needs IdentitiesOnly.
pub(super) const MOST_KEYS: usize = 6;
/// Of what the client calls itself, for the audit log.
const CLIENT_NAME: usize = 80;

/// A connection on its way to a grant.
pub(super) struct Login {
    gateway: Gateway,
    peer: SocketAddr,
    client: ClientName,
    /// The place among those not logged in.
    permit: Permit,
    offered: usize,
    /// The last key that would have been let in, had it signed.
    unsigned: Option<(String, KeyId)>,
}

/// What a login gives.
pub(super) struct LoggedIn {
    pub(super) grant: LiveGrant,
    /// Counts the connection among those of its key.
    pub(super) _counted: LiveConnection,
}

impl Login {
    pub(super) fn new(gateway: Gateway, peer: SocketAddr, client: ClientName, permit: Permit) -> Self {
        Self { gateway, peer, client, permit, offered: 0, unsigned: None }
    }

    /// Whether the client should sign with this key. Nothing follows from it.
    pub(super) async fn consider(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> bool {
        self.offered += 1;
        let key = match PublicKey::from_ssh(offer.public_key) {
            Ok(key) => key,
            Err(error) => return self.refused(user, None, &AuthError::UnusableKey(error)),
        };
        if self.offered > MOST_KEYS {
            let message = format!("more than {MOST_KEYS} keys were offered");
            return self.refuse(
                user,
                key.id(),
                "too-many-keys",
                &message,
                "name one key: ssh -i FILE -o IdentitiesOnly=yes",
            );
        }
        if is_sha1(offer.algorithm) {
            return self.refuse_sha1(user, key.id());
        }
        if let Err(too_often) = self.gateway.admission().login(self.peer.ip()) {
            let message = format!("logins of this source: {too_often}");
            return self.refuse(user, key.id(), "rate-limited", &message, "wait, then try again");
        }
        let keys = match self.gateway.authority().keys(user).await {
            Ok(keys) => keys,
            Err(error) => return self.refuse(user, key.id(), error.code(), &error.to_string(), "try again"),
        };
        if keys.lines.iter().any(|line| line.key == key) {
            self.unsigned = Some((user.to_owned(), key.id().clone()));
            return true;
        }
        let unknown = if keys.account.is_some() { AuthError::UnknownKey } else { AuthError::UnknownAccount };
        self.refused(user, Some(key.id()), &unknown(key.id().clone()))
    }

    /// The library has verified this key's signature: the one place where that becomes an identity.
    pub(super) async fn admit(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Option<LoggedIn> {
        let id = PublicKey::from_ssh(key.public_key).map(|key| key.id().clone());
        let Ok(id) = id else {
            self.refused(user, None, &AuthError::Malformed("a key that cannot be read"));
            return None;
        };
        self.unsigned = None;
        if is_sha1(key.algorithm) {
            self.refuse_sha1(user, &id);
            return None;
        }
        let authority = self.gateway.authority().clone();
        let keys = match authority.keys(user).await {
            Ok(keys) => keys,
            Err(error) => {
                self.refuse(user, &id, error.code(), &error.to_string(), "try again");
                return None;
            }
        };
        let proven = Proven::danger_verified_by_ssh(
            key.public_key,
            keys.account.as_ref(),
            &keys.lines,
            self.peer.ip(),
            unix_now(),
        );
        let proven = match proven {
            Ok(proven) => proven,
            Err(error) => {
                self.refused(user, Some(&id), &error);
                return None;
            }
        };
        let counted = match self.gateway.admission().connection_of(&id) {
            Ok(counted) => counted,
            Err(error) => {
                self.refuse(user, &id, "too-many-connections", &error.to_string(), "close one of them");
                return None;
            }
        };
        let client = self.client.get().map_or_else(String::new, |name| printable(name, CLIENT_NAME));
        match authority.admit(proven, Door::Ssh, self.peer, &client) {
            Ok(grant) => Some(LoggedIn { grant, _counted: counted }),
            Err(error) => {
                self.refuse(user, &id, error.code(), &error.to_string(), "see the audit log");
                None
            }
        }
    }

    /// The client has heard that it is in.
    pub(super) fn done(self) {
        self.permit.logged_in();
    }

    /// The connection ended before a login: what the audit log has to know of it.
    pub(super) fn abandoned(self) {
        let late = Instant::now() >= self.permit.deadline();
        let authority = self.gateway.authority();
        match &self.unsigned {
            Some((user, key)) => {
                let message = format!("key {key} was acceptable, but no good signature by it came");
                let code = if late { "deadline" } else { "bad-signature" };
                authority.refuse(
                    Door::Ssh,
                    self.peer,
                    user,
                    Some(key),
                    code,
                    &message,
                    "log in with the private key itself",
                );
            }
            None if late => {
                let message = "no login within 10 seconds";
                authority.refuse(Door::Ssh, self.peer, "", None, "deadline", message, "log in sooner");
            }
            None => tracing::debug!(peer = %self.peer, "a connection ended before it logged in"),
        }
    }

    fn refused(&self, user: &str, key: Option<&KeyId>, error: &AuthError) -> bool {
        self.gateway.authority().refused(Door::Ssh, self.peer, user, key, error);
        false
    }

    fn refuse(&self, user: &str, key: &KeyId, code: &str, message: &str, cure: &str) -> bool {
        self.gateway.authority().refuse(Door::Ssh, self.peer, user, Some(key), code, message, cure);
        false
    }

    fn refuse_sha1(&self, user: &str, key: &KeyId) -> bool {
        self.refuse(
            user,
            key,
            "sha1",
            "a signature with SHA-1 (ssh-rsa)",
            "use a client that knows rsa-sha2-256, or an ed25519 key",
        )
    }
}

/// `ssh-rsa` as a signature algorithm: the announced list leaves it out, a client may ignore that.
fn is_sha1(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { hash: None })
}
