//! How often: one limiter for each stage, by source before login and by key after it. Does not know what is counted.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// Keys that one limiter remembers, as many as OpenSSH's penalties track: 16 bytes of state and a key each.
const KEYS_MOST: usize = 65_536;
/// How long keys are kept that have all their quota back; a sweep walks all of them.
const SWEEP: Duration = Duration::from_secs(60);
/// Sweeps of a full table: an attacker with more prefixes than that must not make each connection walk it.
const SWEEP_FULL: Duration = Duration::from_secs(1);

/// `count` in `period`, all of which may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frequency {
    /// How many, and the most at once.
    pub(crate) count: NonZeroU32,
    /// In which so many come back.
    pub(crate) period: Duration,
}

/// Too often; when it may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too often; again in {} ms", .after.as_millis())]
pub(crate) struct TooOften {
    /// How long to wait.
    pub(crate) after: Duration,
}

type Keyed<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One stage.
pub(super) struct Limiter<K: Hash + Eq + Clone, C: Clock + Clone = MonotonicClock> {
    keyed: Keyed<K, C>,
    clock: C,
    most: usize,
    // Shared by the connections' tasks; a hold compares two times.
    swept: Mutex<C::Instant>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    pub(super) fn new(frequency: Frequency) -> Self {
        Self::with_clock(frequency, MonotonicClock, KEYS_MOST)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    fn with_clock(frequency: Frequency, clock: C, most: usize) -> Self {
        let each = frequency.period / frequency.count.get();
        let quota = Quota::with_period(each.max(Duration::from_nanos(1)))
            .unwrap_or(Quota::per_second(frequency.count))
            .allow_burst(frequency.count);
        let swept = Mutex::new(clock.now());
        Self { keyed: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()), clock, most, swept }
    }

    /// Counts one.
    pub(super) fn check(&self, key: &K) -> Result<(), TooOften> {
        self.check_many(key, NonZeroU32::MIN)
    }

    /// Counts `many`. More than the quota can ever hold is counted as a full one.
    pub(super) fn check_many(&self, key: &K, many: NonZeroU32) -> Result<(), TooOften> {
        if self.is_full_of_others() {
            // Permissive, as OpenSSH's table is: caps and deadline still hold, and strangers cannot lock others out.
            return Ok(());
        }
        match self.keyed.check_key_n(key, many) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(TooOften { after: not_until.wait_time_from(self.clock.now()) }),
            Err(capacity) => {
                let most = NonZeroU32::new(capacity.0).unwrap_or(NonZeroU32::MIN);
                match self.keyed.check_key_n(key, most) {
                    Ok(Err(not_until)) => Err(TooOften { after: not_until.wait_time_from(self.clock.now()) }),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Forgets who has been quiet, now and then; true when even so no more can be remembered.
    fn is_full_of_others(&self) -> bool {
        let full = self.keyed.len() >= self.most;
        let every = Nanos::from(if full { SWEEP_FULL } else { SWEEP });
        let now = self.clock.now();
        {
            let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if now.duration_since(*swept) < every {
                return full;
            }
            *swept = now;
        }
        self.keyed.retain_recent();
        self.keyed.shrink_to_fit();
        self.keyed.len() >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn limiter(count: u32, period: u64, most: usize) -> (Limiter<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let frequency = Frequency { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(period) };
        (Limiter::with_clock(frequency, clock.clone(), most), clock)
    }

    #[test]
    fn each_key_has_its_own_quota_and_gets_it_back() {
        let (limiter, clock) = limiter(3, 60, 100);
        for _ in 0..3 {
            assert_eq!(limiter.check(&1), Ok(()));
        }
        assert_eq!(limiter.check(&1), Err(TooOften { after: Duration::from_secs(20) }));
        assert_eq!(limiter.check(&2), Ok(()));
        clock.advance(Duration::from_secs(20));
        assert_eq!(limiter.check(&1), Ok(()));
        assert!(limiter.check(&1).is_err());
    }

    #[test]
    fn bytes_are_counted_together() {
        let (limiter, clock) = limiter(1000, 1, 100);
        let many = |n| limiter.check_many(&1, NonZeroU32::new(n).unwrap());
        assert_eq!(many(900), Ok(()));
        assert!(many(200).is_err());
        assert_eq!(many(100), Ok(()));
        clock.advance(Duration::from_secs(1));
        assert_eq!(many(5000), Ok(()), "more than the whole is the whole");
        assert!(many(1).is_err());
    }

    #[test]
    fn quiet_keys_are_forgotten_and_a_full_table_lets_new_ones_pass() {
        let (limiter, clock) = limiter(1, 10, 50);
        for key in 0..50 {
            assert_eq!(limiter.check(&key), Ok(()));
        }
        for _ in 0..3 {
            assert_eq!(limiter.check(&1000), Ok(()), "full: not counted");
        }
        assert_eq!(limiter.keyed.len(), 50);
        // governor keeps a key for one more of its periods than it must.
        clock.advance(Duration::from_secs(21));
        assert_eq!(limiter.check(&1000), Ok(()));
        assert!(limiter.check(&1000).is_err(), "counted again");
        assert_eq!(limiter.keyed.len(), 1);
    }
}
