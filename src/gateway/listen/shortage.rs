//! How often to try and what to say while accepting fails for want of descriptors or memory. Knows no socket and no clock.

use std::time::{Duration, Instant};

/// First and longest pause: a connection given up frees its descriptor within the first; while none is freed, who knocks
/// waits the longest at most once they are.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(640));
/// At most one line in this time, and without a failure for so long it is over.
const SAY: Duration = Duration::from_secs(1);

/// The process's shortage, from its first failure at any door until accepting works.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Failures since it began, and the last one; none while all is well.
    now: Option<(u64, Instant)>,
    /// In a row.
    failures: u32,
    said: Option<Instant>,
}

impl Shortage {
    /// Accepting failed: how long to wait, and whether that is news.
    pub(super) fn failed(&mut self, now: Instant) -> (Duration, bool) {
        let news = self.now.is_none() && self.may_say(now);
        if news {
            self.said = Some(now);
        }
        // What could not be said when it began is said by a later failure.
        if news || self.now.is_some() {
            let before = self.now.map_or(0, |(count, _)| count);
            self.now = Some((before.saturating_add(1), now));
        }
        let pause = PAUSE.0.saturating_mul(2u32.saturating_pow(self.failures.min(16))).min(PAUSE.1);
        self.failures = self.failures.saturating_add(1);
        (pause, news)
    }

    /// Accepting worked: after how many failures, when that is news. One that works between failures is none.
    pub(super) fn worked(&mut self, now: Instant) -> Option<u64> {
        self.failures = 0;
        let (count, last) = self.now?;
        if now.saturating_duration_since(last) < SAY || !self.may_say(now) {
            return None;
        }
        (self.now, self.said) = (None, Some(now));
        Some(count)
    }

    fn may_say(&self, now: Instant) -> bool {
        self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_when_it_begins_one_when_it_is_over_and_the_pauses_grow() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut shortage = Shortage::default();
        assert_eq!(shortage.worked(at(0)), None);
        let told: Vec<_> = (0..8).map(|n| shortage.failed(at(n))).collect();
        let millis: Vec<_> = told.iter().map(|(pause, _)| pause.as_millis()).collect();
        assert_eq!(millis, [20, 40, 80, 160, 320, 640, 640, 640]);
        assert_eq!(told.iter().filter(|(_, news)| *news).count(), 1);
        // One gets in between two failures: the pause is short again, and nothing is said.
        assert_eq!(shortage.worked(at(900)), None);
        assert_eq!(shortage.failed(at(901)), (PAUSE.0, false));
        assert_eq!(shortage.worked(at(1900)), None);
        assert_eq!(shortage.worked(at(1901)), Some(9));
        assert_eq!(shortage.worked(at(4000)), None);
        // The next one begins at once: said, but not within the second.
        assert_eq!(shortage.failed(at(4001)), (PAUSE.0, true));
        assert_eq!(shortage.worked(at(5001)), Some(1));
        assert!(!shortage.failed(at(5900)).1);
        assert!(shortage.failed(at(6001)).1);
    }
}
