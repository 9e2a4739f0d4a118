//! What the tests of this room share: keys, a login that succeeds, and a security key in software.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};
use ssh_key::public::{KeyData, SkEcdsaSha2NistP256, SkEd25519};

use super::*;
use crate::base::{AccountName, KeyId};

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32], "").unwrap()
}

pub(super) fn file(text: &str) -> Vec<KeyLine> {
    let file = parse_authorized_keys(text.as_bytes(), &|_| true);
    assert_eq!(file.problems, [], "{text}");
    file.keys
}

/// A login in which everything is right. A test changes one thing.
pub(super) struct Scene {
    pub(super) challenge: Challenge,
    pub(super) made: Instant,
    pub(super) account: Option<AccountName>,
    pub(super) origins: Vec<String>,
    pub(super) server: KeyId,
    pub(super) exporter: Option<[u8; 32]>,
    pub(super) require_binding: bool,
    pub(super) peer: IpAddr,
    pub(super) after: Duration,
    pub(super) unix_now: u64,
    pub(super) keys: Vec<KeyLine>,
    pub(super) claim: OwnedClaim,
}

pub(super) struct OwnedClaim {
    pub(super) user: String,
    pub(super) origin: String,
    pub(super) public_key: String,
    pub(super) client_nonce: Vec<u8>,
    pub(super) binding: String,
    pub(super) signature: String,
}

pub(super) const NONCE: [u8; 32] = [7; 32];
pub(super) const EXPORTER: [u8; 32] = [8; 32];

impl Scene {
    /// With the ed25519 key of seed 1, listed behind `options`.
    pub(super) fn new(options: &str) -> Self {
        let mut scene = Self::of(&key(1).public().line(), options);
        scene.claim.signature = key(1).sign(NAMESPACE, scene.message().as_bytes()).unwrap();
        scene
    }

    /// Everything but the signature.
    pub(super) fn of(public: &str, options: &str) -> Self {
        let made = Instant::now();
        Self {
            challenge: Challenge::new(NONCE, made),
            made,
            account: Some("ann".parse().unwrap()),
            origins: vec!["wss://gate.example".to_owned(), "wss://127.0.0.1:8443".to_owned()],
            server: key(99).id().clone(),
            exporter: Some(EXPORTER),
            require_binding: false,
            peer: "192.0.2.7".parse().unwrap(),
            after: Duration::from_secs(1),
            unix_now: 1_800_000_000,
            keys: file(&format!("{options} {public} ann@phone\n")),
            claim: OwnedClaim {
                user: "ann".to_owned(),
                origin: "wss://gate.example".to_owned(),
                public_key: public.to_owned(),
                client_nonce: vec![9; 32],
                binding: "exporter".to_owned(),
                signature: String::new(),
            },
        }
    }

    /// M as an honest client of this scene builds it.
    pub(super) fn message(&self) -> String {
        let key = PublicKey::parse(&self.claim.public_key).unwrap();
        let client_nonce: [u8; 32] = self.claim.client_nonce.as_slice().try_into().unwrap();
        Message {
            origin: &self.claim.origin,
            server: &self.server,
            server_nonce: &NONCE,
            client_nonce: &client_nonce,
            user: &self.claim.user,
            key: key.id(),
            exporter: (self.claim.binding == "exporter").then_some(&EXPORTER),
        }
        .text()
        .unwrap()
    }

    pub(super) fn verify(self) -> Result<Proven, AuthError> {
        let claim = LoginClaim {
            user: &self.claim.user,
            origin: &self.claim.origin,
            public_key: &self.claim.public_key,
            client_nonce: &self.claim.client_nonce,
            binding: &self.claim.binding,
            signature: &self.claim.signature,
        };
        let context = VerifyContext {
            account: self.account.as_ref(),
            origins: &self.origins,
            server: &self.server,
            exporter: self.exporter,
            require_binding: self.require_binding,
            peer: self.peer,
            now: self.made + self.after,
            unix_now: self.unix_now,
        };
        self.challenge.verify(&claim, &context, &self.keys)
    }
}

/// A security key in software, with flags as the test wants them.
pub(super) enum SoftKey {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl SoftKey {
    pub(super) fn public(&self) -> ssh_key::PublicKey {
        match self {
            Self::Ed25519(key) => {
                KeyData::SkEd25519(SkEd25519::from(ssh_key::public::Ed25519PublicKey::from(key.verifying_key())))
            }
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let bytes = ssh_key::public::EcdsaPublicKey::from_sec1_bytes(point.as_bytes()).unwrap();
                let ssh_key::public::EcdsaPublicKey::NistP256(point) = bytes else { panic!("not p256") };
                KeyData::SkEcdsaSha2NistP256(SkEcdsaSha2NistP256::from(point))
            }
        }
        .into()
    }

    /// An armoured SSHSIG; `application` is what the device was asked for.
    pub(super) fn sign(&self, message: &str, flags: u8, application: &str) -> String {
        let wanted = ssh_key::SshSig::signed_data(NAMESPACE, ssh_key::HashAlg::Sha512, message.as_bytes()).unwrap();
        let trailer = [flags, 0, 0, 0, 5];
        let asserted = [&Sha256::digest(application)[..], &trailer, &Sha256::digest(&wanted)].concat();
        let (algorithm, mut bytes) = match self {
            Self::Ed25519(key) => (ssh_key::Algorithm::SkEd25519, key.sign(&asserted).to_bytes().to_vec()),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&asserted);
                let plain = ssh_key::Signature::try_from(signature).unwrap();
                (ssh_key::Algorithm::SkEcdsaSha2NistP256, plain.as_bytes().to_vec())
            }
        };
        bytes.extend(trailer);
        let signature = ssh_key::Signature::new(algorithm, bytes).unwrap();
        ssh_key::SshSig::new(self.public().key_data().clone(), NAMESPACE, ssh_key::HashAlg::Sha512, signature)
            .unwrap()
            .to_pem(ssh_key::LineEnding::LF)
            .unwrap()
    }
}

/// A directory that goes with the test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-authn-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Makes a key pair with the real ssh-keygen and returns the private file's path and the public line.
    pub(super) fn keygen(&self, name: &str, kind: &str, bits: &str) -> (PathBuf, String) {
        let private = self.path(name);
        run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f"]).arg(&private));
        let public = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        (private, public.trim().to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `ssh-keygen -Y sign` of a text.
pub(super) fn keygen_sign(scratch: &Scratch, private: &Path, namespace: &str, text: &str) -> String {
    let file = scratch.write("message", text);
    let _ = std::fs::remove_file(scratch.path("message.sig"));
    run(Command::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(private).arg(file));
    std::fs::read_to_string(scratch.path("message.sig")).unwrap()
}
