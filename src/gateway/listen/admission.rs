//! Who of those not logged in may stay: a pure table. Knows no socket and no runtime.
//!
//! A full table never refuses: the newest comes in and the oldest of the source that holds most goes. So a flood pays
//! for itself, and who logs in at once is not kept out by those who hold connections open (security.md 0.2).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// One source as admission counts it: an IPv4 address, or an IPv6 /64, which is what one subscriber gets (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix(u128);

impl Prefix {
    /// Of a peer; an IPv4-mapped address is the IPv4 address.
    pub(crate) fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            // Kept in the mapped range, which no /64 of a peer can be.
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// One place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// Connections that are not logged in, by source; `V` is what it takes to end one.
#[derive(Debug)]
pub(super) struct Table<V> {
    most: usize,
    most_per_source: usize,
    sources: HashMap<Prefix, VecDeque<(Ticket, V)>>,
    held: usize,
    next: u64,
}

impl<V> Table<V> {
    /// At most `most` in all and `most_per_source` of each source; both at least 1.
    pub(super) fn new(most: usize, most_per_source: usize) -> Self {
        let (most, most_per_source) = (most.max(1), most_per_source.max(1));
        Self { most, most_per_source, sources: HashMap::new(), held: 0, next: 0 }
    }

    /// Takes one in. What comes back with the ticket has lost its place and is to be ended.
    pub(super) fn enter(&mut self, source: Prefix, value: V) -> (Ticket, Option<V>) {
        let own = self.sources.get(&source).map_or(0, VecDeque::len);
        let evicted = if own >= self.most_per_source {
            self.pop_oldest(source)
        } else if self.held >= self.most {
            self.evict()
        } else {
            None
        };
        let ticket = Ticket(self.next);
        self.next += 1;
        self.held += 1;
        self.sources.entry(source).or_default().push_back((ticket, value));
        (ticket, evicted)
    }

    /// Gives a place back; without effect when it was lost before.
    pub(super) fn leave(&mut self, source: Prefix, ticket: Ticket) {
        let Some(queue) = self.sources.get_mut(&source) else { return };
        // Tickets grow along the queue.
        if let Ok(at) = queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
            queue.remove(at);
            self.held -= 1;
            if queue.is_empty() {
                self.sources.remove(&source);
            }
        }
    }

    /// Takes the place of the oldest of the source that holds most; of several, of the one that holds longest.
    pub(super) fn evict(&mut self) -> Option<V> {
        let weight =
            |queue: &VecDeque<(Ticket, V)>| (queue.len(), queue.front().map(|(ticket, _)| std::cmp::Reverse(*ticket)));
        let heaviest = self.sources.iter().max_by_key(|(_, queue)| weight(queue)).map(|(source, _)| *source)?;
        self.pop_oldest(heaviest)
    }

    /// Places taken.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn pop_oldest(&mut self, source: Prefix) -> Option<V> {
        let queue = self.sources.get_mut(&source)?;
        let (_, value) = queue.pop_front()?;
        self.held -= 1;
        if queue.is_empty() {
            self.sources.remove(&source);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(last: u8) -> Prefix {
        Prefix::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn prefixes() {
        let of = |text: &str| Prefix::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("::1"), of("127.0.0.1"));
    }

    #[test]
    fn a_source_beyond_its_share_loses_its_own_oldest() {
        let mut table = Table::new(100, 3);
        for value in 0..3 {
            assert_eq!(table.enter(source(1), value).1, None);
        }
        assert_eq!(table.enter(source(2), 10).1, None);
        assert_eq!(table.enter(source(1), 3).1, Some(0));
        assert_eq!(table.held(), 4);
    }

    #[test]
    fn a_full_table_takes_the_newcomer_and_ends_the_oldest_of_the_heaviest() {
        let mut table = Table::new(6, 4);
        assert_eq!(table.enter(source(9), 90).1, None, "the oldest of all, but alone");
        for value in 0..3 {
            table.enter(source(1), value);
        }
        for value in 10..12 {
            table.enter(source(2), value);
        }
        assert_eq!(table.enter(source(3), 30).1, Some(0));
        // 1 and 2 hold two each now, 1 the longer.
        assert_eq!(table.enter(source(4), 40).1, Some(1));
        assert_eq!(table.enter(source(5), 50).1, Some(10));
        // All hold one: the oldest of all goes.
        assert_eq!(table.enter(source(6), 60).1, Some(90));
    }

    proptest! {
        #[test]
        fn the_caps_hold_and_every_value_is_accounted_for(
            steps in proptest::collection::vec((0u8..8, any::<bool>(), any::<prop::sample::Index>()), 1..200),
            most in 1usize..12, share in 1usize..6,
        ) {
            let mut table = Table::new(most, share);
            let mut live: Vec<(Prefix, Ticket, usize)> = Vec::new();
            for (value, (last, leave, which)) in steps.into_iter().enumerate() {
                if leave && !live.is_empty() {
                    let (source, ticket, _) = live.swap_remove(which.index(live.len()));
                    table.leave(source, ticket);
                    table.leave(source, ticket);
                } else {
                    let (ticket, evicted) = table.enter(source(last), value);
                    if let Some(evicted) = evicted {
                        let before = live.len();
                        live.retain(|(_, _, held)| *held != evicted);
                        prop_assert_eq!(live.len(), before - 1, "what is evicted was held");
                    }
                    live.push((source(last), ticket, value));
                }
                prop_assert_eq!(table.held(), live.len());
                prop_assert!(live.len() <= most);
                for last in 0..8 {
                    prop_assert!(live.iter().filter(|(from, ..)| *from == source(last)).count() <= share);
                }
            }
        }
    }
}
