//! One line of the chain: sealing and checking; knows no file.

use std::time::SystemTime;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::Entry;

/// SHA-256.
pub(super) type Hash = [u8; 32];
/// What the first line of a chain names as the line before.
pub(super) const GENESIS: Hash = [0; 32];
/// `,"hash":"` + 64 hex digits + `"}`.
const SEAL: usize = 75;
const SEAL_HEAD: &[u8] = b",\"hash\":\"";

/// Where a chain stands: the last sequence number and the last hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(super) seq: u64,
    pub(super) hash: Hash,
}

impl Head {
    /// Before the first line.
    pub(super) const NONE: Self = Self { seq: 0, hash: GENESIS };
}

/// The parts of a line that the chain itself needs.
#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    pub(super) seq: u64,
    pub(super) prev: String,
    pub(super) event: String,
    pub(super) torn_bytes: Option<u64>,
    pub(super) torn_hash: Option<String>,
}

/// The next line after `head`, without its newline, and the head that it makes.
pub(super) fn seal(head: Head, entry: &Entry, now: SystemTime) -> (String, Head) {
    let seq = head.seq.saturating_add(1);
    let mut line =
        format!("{{\"seq\":{seq},\"time\":\"{}\",\"prev\":\"{}\",{}", stamp(now), hex(&head.hash), entry.encode());
    let hash = digest(line.as_bytes());
    line.push_str(&format!(",\"hash\":\"{}\"}}", hex(&hash)));
    (line, Head { seq, hash })
}

/// A line whose own hash is right; whether it follows another is for the caller.
pub(super) fn open(line: &[u8]) -> Option<(Fields, Hash)> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
    let digits = seal.strip_prefix(SEAL_HEAD)?.strip_suffix(b"\"}")?;
    let hash = digest(body);
    if digits != hex(&hash).as_bytes() {
        return None;
    }
    Some((serde_json::from_slice(line).ok()?, hash))
}

/// SHA-256 of bytes.
pub(super) fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Lower-case hex.
pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stamp(now: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    // A clock outside the calendar's years is no reason to lose an entry.
    OffsetDateTime::from(now).format(format).unwrap_or_else(|_| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Event;
    use super::*;

    #[test]
    fn the_form_of_a_line_is_fixed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001);
        let (line, head) = seal(Head::NONE, &Entry::new(Event::Begun), now);
        let start = format!("{{\"seq\":1,\"time\":\"2023-11-14T22:13:20.000001Z\",\"prev\":\"{}\"", "0".repeat(64));
        assert!(line.starts_with(&start), "{line}");
        let (fields, hash) = open(line.as_bytes()).unwrap();
        assert_eq!((fields.seq, fields.event.as_str(), hash), (1, "begun", head.hash));
    }
}
