//! What the ssh library is told: algorithms, buffers, timers. Knows no client.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::ssh_key::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex};

use crate::base::{KEEPALIVE, SILENT};

/// A channel's window towards us: input comes at the speed of a keyboard or a paste.
const WINDOW: u32 = 256 * 1024;
/// The largest packet taken; its data is one input message at most.
const PACKET: u32 = 32 * 1024;
/// The library's queue for reading a channel, which is not used: data comes by callback.
const CHANNEL_QUEUE: usize = 8;
/// Packets between a viewer and the socket: enough with pieces of 32 KiB (performance.md, point 9).
const OUTPUT_QUEUE: usize = 10;
/// A refused key waits so long whatever the reason, so that the time tells nothing; six of them stay unnoticed.
const REJECTION: Duration = Duration::from_millis(50);
/// The "none" probe, the keys that are judged, and one that hears of it: then the library disconnects with a message.
const ATTEMPTS: usize = super::login::MOST_KEYS + 2;

/// No finite-field group: the large ones cost a stranger nothing and us tens of milliseconds. Every client of the last
/// ten years has one of these.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// The client's order wins; GCM first for those that have none (performance.md, point 3).
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// Keys that may log in, which the library announces as server-sig-algs: no SHA-1, and security keys, which it leaves
/// out by itself (libraries.md 2).
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// The settings of every connection.
pub(super) fn config(identity: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-portcullis_", env!("CARGO_PKG_VERSION")))),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION,
        // Every stock client begins with "none"; it must not wait for that.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![identity],
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: CHANNEL_QUEUE,
        event_buffer_size: OUTPUT_QUEUE,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            cipher: Cow::Borrowed(CIPHERS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        max_auth_attempts: ATTEMPTS,
        // Bounds a blocked write; a living client answers keepalives and never comes near it.
        inactivity_timeout: Some(SILENT),
        keepalive_interval: Some(KEEPALIVE),
        // One unanswered is forgiven, the second ends: a silent client is gone after two intervals.
        keepalive_max: 1,
        nodelay: true,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::SigningKey;

    #[test]
    fn a_silent_client_is_gone_in_time_and_sha1_is_nowhere() {
        let config = config(SigningKey::from_seed(&[7; 32], "test").unwrap().private().clone());
        let silent = KEEPALIVE * (config.keepalive_max as u32 + 1);
        assert!(silent <= SILENT);
        let names = config.preferred.key.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(names.contains(&"sk-ssh-ed25519@openssh.com".to_owned()));
        assert!(!names.contains(&"ssh-rsa".to_owned()), "{names:?}");
    }
}
