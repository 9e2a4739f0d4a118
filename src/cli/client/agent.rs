//! A client of ssh-agent (draft-ietf-sshm-ssh-agent): lists keys and asks for signatures. Blocking, with deadlines; knows
//! no gateway.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authn::PublicKey;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// rsa-sha2-512 instead of SHA-1.
const RSA_SHA2_512: u32 = 4;
/// OpenSSH's agent sends at most 256 KiB.
const MOST: u32 = 256 * 1024;
/// The gateway waits 10 s for an answer; an agent that asks its user has that long.
const DEADLINE: Duration = Duration::from_secs(10);

/// An agent's socket.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    socket: PathBuf,
}

/// A key that an agent holds.
#[derive(Debug, Clone)]
pub(crate) struct AgentKey {
    /// The key.
    pub(crate) public: PublicKey,
    blob: Vec<u8>,
}

impl Agent {
    /// At this socket ($SSH_AUTH_SOCK).
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The keys that a gateway could accept; certificates and others are left out.
    pub(crate) fn list(&self) -> io::Result<Vec<AgentKey>> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        let mut parts = Parts(&answer);
        if parts.byte()? != IDENTITIES_ANSWER {
            return Err(io::Error::other("the agent does not list its keys"));
        }
        let count = parts.number()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = parts.string()?.to_vec();
            let _comment = parts.string()?;
            keys.extend(key_of(blob));
        }
        Ok(keys)
    }

    /// The SSH signature blob over `data`.
    pub(crate) fn sign(&self, key: &AgentKey, data: &[u8]) -> io::Result<Vec<u8>> {
        let flags = if Parts(&key.blob).string()? == b"ssh-rsa" { RSA_SHA2_512 } else { 0 };
        let mut request = vec![SIGN_REQUEST];
        put_string(&mut request, &key.blob);
        put_string(&mut request, data);
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request)?;
        let mut parts = Parts(&answer);
        if parts.byte()? != SIGN_RESPONSE {
            return Err(io::Error::other("the agent refused to sign (declined, locked, or the key is gone)"));
        }
        Ok(parts.string()?.to_vec())
    }

    fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        let mut framed = Vec::with_capacity(request.len() + 4);
        put_string(&mut framed, request);
        socket.write_all(&framed)?;
        let mut length = [0; 4];
        socket.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MOST {
            return Err(io::Error::other("the agent's answer is longer than 256 KiB"));
        }
        let mut answer = vec![0; length as usize];
        socket.read_exact(&mut answer)?;
        Ok(answer)
    }
}

fn key_of(blob: Vec<u8>) -> Option<AgentKey> {
    let kind = std::str::from_utf8(Parts(&blob).string().ok()?).ok()?.to_owned();
    let public = PublicKey::parse(&format!("{kind} {}", STANDARD.encode(&blob))).ok()?;
    Some(AgentKey { public, blob })
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

// What is left of an answer.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(io::Error::other("the agent's answer is cut short"));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn string(&mut self) -> io::Result<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_answer_is_an_error_and_not_a_panic() {
        let whole = [0, 0, 0, 2, b'a', b'b'];
        assert_eq!(Parts(&whole).string().unwrap(), b"ab");
        for length in 0..whole.len() {
            assert!(Parts(&whole[..length]).string().is_err(), "{length}");
        }
        assert!(key_of(vec![0, 0, 0, 9, 1]).is_none());
    }
}
