//! What may wait for people: ids that no other request has, and how much there may be; does not know how an agent asks.

use sha2::{Digest, Sha256};

use super::event::digest;
use super::limits::{REQUEST_INPUT, REQUESTS_INPUT, REQUESTS_OPEN};
use crate::wire::v1::agent_event::Kind;

/// Makes ids that no other session's requests have, and none twice: an agent's own could come again for something else, after
/// somebody has seen what it first stood for.
pub(crate) struct Ids {
    seed: [u8; 16],
    made: u64,
}

impl Ids {
    /// Of a session whose log has this id.
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self { seed, made: 0 }
    }

    /// Another one.
    pub(crate) fn make(&mut self) -> String {
        self.made += 1;
        let hash = Sha256::new().chain_update(self.seed).chain_update(self.made.to_be_bytes()).finalize();
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The digest of an input that somebody can judge, or why nobody can.
pub(crate) fn judged(input: &str) -> Result<String, String> {
    let length = input.len();
    if length > REQUEST_INPUT {
        return Err(format!("its input has {length} bytes; nobody can judge more than {REQUEST_INPUT}"));
    }
    digest(input).ok_or_else(|| "its input is nested too deeply".to_owned())
}

/// The length of this request as a viewer's first look carries it, or why it cannot wait beside those of these lengths.
pub(crate) fn room(waiting: impl Iterator<Item = usize>, asked: &Kind) -> Result<usize, String> {
    let (open, held) = waiting.fold((0, 0), |(open, held), length| (open + 1, held + length));
    let length = asked.encoded_len();
    if open >= REQUESTS_OPEN || held + length > REQUESTS_INPUT {
        return Err(format!(
            "{open} requests of {held} bytes are open already, and it has {length}; at most {REQUESTS_OPEN} of together \
             {REQUESTS_INPUT} bytes wait"
        ));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::PermissionAsked;

    #[test]
    fn an_id_is_of_one_request_of_one_session() {
        let (mut one, mut other) = (Ids::new([1; 16]), Ids::new([2; 16]));
        let all: std::collections::BTreeSet<String> = (0..100).flat_map(|_| [one.make(), other.make()]).collect();
        assert_eq!(all.len(), 200);
        assert!(all.iter().all(|id| id.len() == 16));
        assert_eq!(Ids::new([1; 16]).make(), Ids::new([1; 16]).make());
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_together() {
        let asked = |length: usize| {
            Kind::PermissionAsked(PermissionAsked { input: "x".repeat(length), ..PermissionAsked::default() })
        };
        let waiting = |number: usize, length: usize| std::iter::repeat_n(length, number);
        assert!(room(waiting(REQUESTS_OPEN - 1, 10), &asked(10)).is_ok_and(|length| length > 10));
        assert!(room(waiting(REQUESTS_OPEN, 10), &asked(10)).is_err());
        assert!(room(waiting(1, REQUESTS_INPUT - 20), &asked(10)).is_ok());
        assert!(room(waiting(1, REQUESTS_INPUT - 9), &asked(10)).is_err());
        assert!(judged(&"[".repeat(200)).is_err() && judged("[1]").is_ok());
        assert!(judged(&format!("{}1{}", "[".repeat(200), "]".repeat(200))).unwrap_err().contains("deeply"));
        assert!(judged(&format!("\"{}\"", "x".repeat(REQUEST_INPUT))).unwrap_err().contains("judge"));
    }
}
