//! How often one connection may ask for something; pure, the time is an argument.

use std::time::{Duration, Instant};

/// Requests at once: a window that is dragged sends one for each row and column it passes.
const BURST: u32 = 300;
/// One request is forgotten in this time: 60 a second, as often as a screen is drawn.
const EACH: Duration = Duration::from_millis(16);

/// A bucket that leaks.
#[derive(Debug)]
pub(super) struct Meter {
    level: u32,
    since: Instant,
}

impl Meter {
    /// Empty.
    pub(super) fn new(now: Instant) -> Self {
        Self { level: 0, since: now }
    }

    /// Counts one; false when it is one too many.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let leaked = u32::try_from(passed.as_nanos() / EACH.as_nanos()).unwrap_or(u32::MAX);
        if leaked > 0 {
            self.level = self.level.saturating_sub(leaked);
            self.since += EACH.saturating_mul(leaked);
        }
        self.level += 1;
        self.level <= BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_a_flood_does_not_and_time_heals() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert!((0..BURST).all(|_| meter.count(start)));
        assert!(!meter.count(start));
        assert!(meter.count(start + 2 * EACH));
        let mut steady = Meter::new(start);
        assert!((0..10_000).all(|n| steady.count(start + EACH * n)));
    }
}
