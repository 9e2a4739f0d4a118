//! A security key in software, with the flags that a test wants: signs for the challenge, and as an ssh-agent.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256, Sha512};

const KIND: &str = "sk-ssh-ed25519@openssh.com";
const APPLICATION: &str = "ssh:";

/// See the module.
pub struct SoftKey {
    key: ed25519_dalek::SigningKey,
    /// 1: touched; 4: its user was verified.
    pub flags: u8,
}

impl SoftKey {
    pub fn new(flags: u8) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        Self { key: ed25519_dalek::SigningKey::from_bytes(&seed), flags }
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        for part in [KIND.as_bytes(), self.key.verifying_key().as_bytes(), APPLICATION.as_bytes()] {
            put(&mut blob, part);
        }
        blob
    }

    /// Type and base64.
    pub fn public(&self) -> String {
        format!("{KIND} {}", base64::engine::general_purpose::STANDARD.encode(self.blob()))
    }

    /// PROTOCOL.u2f: what the device asserts is (application, flags, counter, message).
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let trailer = [self.flags, 0, 0, 0, 7];
        let asserted = [&Sha256::digest(APPLICATION)[..], &trailer, &Sha256::digest(message)].concat();
        let mut signature = Vec::new();
        put(&mut signature, KIND.as_bytes());
        put(&mut signature, &self.key.sign(&asserted).to_bytes());
        signature.extend(trailer);
        signature
    }

    /// An armoured SSHSIG (PROTOCOL.sshsig).
    pub fn sshsig(&self, namespace: &str, message: &str) -> String {
        let mut wanted = b"SSHSIG".to_vec();
        for part in [namespace.as_bytes(), b"", b"sha512", &Sha512::digest(message)] {
            put(&mut wanted, part);
        }
        let mut whole = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [&self.blob()[..], namespace.as_bytes(), b"", b"sha512", &self.sign(&wanted)] {
            put(&mut whole, part);
        }
        let text = base64::engine::general_purpose::STANDARD.encode(whole);
        let lines: Vec<_> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }

    /// Answers as an ssh-agent at this path for as long as the test runs; the answer counts what was signed.
    pub fn serve(self, path: &Path) -> Arc<AtomicU32> {
        let listener = UnixListener::bind(path).unwrap();
        let signed = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&signed);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                self.answer(stream, &count);
            }
        });
        signed
    }

    /// draft-miller-ssh-agent: identities (11, 12) and signatures (13, 14); everything else fails (5).
    fn answer(&self, mut stream: UnixStream, signed: &AtomicU32) {
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            let mut answer = Vec::new();
            match request[0] {
                11 => {
                    answer.extend([12, 0, 0, 0, 1]);
                    put(&mut answer, &self.blob());
                    put(&mut answer, b"soft");
                }
                13 => {
                    let rest = &request[1..];
                    let (_, rest) = take(rest);
                    let (message, _) = take(rest);
                    answer.push(14);
                    put(&mut answer, &self.sign(message));
                    signed.fetch_add(1, Ordering::Relaxed);
                }
                _ => answer.push(5),
            }
            let mut framed = Vec::new();
            put(&mut framed, &answer);
            if stream.write_all(&framed).is_err() {
                return;
            }
        }
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend((part.len() as u32).to_be_bytes());
    out.extend(part);
}

fn take(from: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = from.split_at(4);
    rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize)
}
