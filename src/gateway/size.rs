//! Whose window the session's size follows (policy `latest`); pure: time and viewers are arguments, nothing is drawn here.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::base::{SIZE_HYSTERESIS, WinSize};

/// A viewer of one session; numbers are never used again.
pub(crate) type ViewerNumber = u32;

/// The drivers with a visible window, and which of them the grid follows.
#[derive(Debug)]
pub(crate) struct SizePolicy {
    effective: WinSize,
    owner: Option<ViewerNumber>,
    drivers: BTreeMap<ViewerNumber, WinSize>,
    last_input: Option<(ViewerNumber, Instant)>,
}

impl SizePolicy {
    /// With the grid that the host reports.
    pub(crate) fn new(effective: WinSize) -> Self {
        Self { effective, owner: None, drivers: BTreeMap::new(), last_input: None }
    }

    /// The grid now.
    pub(crate) fn effective(&self) -> WinSize {
        self.effective
    }

    /// Whom the grid follows.
    pub(crate) fn owner(&self) -> Option<ViewerNumber> {
        self.owner
    }

    /// The host's word on the grid.
    pub(crate) fn is(&mut self, size: WinSize) {
        self.effective = size;
    }

    /// A driver's window appears or changes; none: hidden, or without a size. The new grid, if it changes or its owner does.
    pub(crate) fn window(&mut self, viewer: ViewerNumber, window: Option<WinSize>) -> Option<WinSize> {
        let Some(window) = window else { return self.leaves(viewer) };
        self.drivers.insert(viewer, window);
        let alone = self.drivers.len() == 1;
        if self.owner == Some(viewer) || alone { self.take(viewer, window) } else { None }
    }

    /// Typed or pasted bytes of a driver take the size, unless another driver typed within the last 500 ms.
    pub(crate) fn typed(&mut self, viewer: ViewerNumber, now: Instant) -> Option<WinSize> {
        let window = *self.drivers.get(&viewer)?;
        let contested = self
            .last_input
            .is_some_and(|(other, at)| other != viewer && now.saturating_duration_since(at) < SIZE_HYSTERESIS);
        if contested {
            return None;
        }
        self.last_input = Some((viewer, now));
        if self.owner == Some(viewer) { None } else { self.take(viewer, window) }
    }

    /// A viewer is gone or hidden. When one driver remains, the grid follows it, as if it had come alone.
    pub(crate) fn leaves(&mut self, viewer: ViewerNumber) -> Option<WinSize> {
        self.drivers.remove(&viewer)?;
        if self.owner == Some(viewer) {
            self.owner = None;
        }
        let mut rest = self.drivers.iter();
        match (rest.next(), rest.next()) {
            (Some((&last, &window)), None) if self.owner.is_none() => self.take(last, window),
            _ => None,
        }
    }

    fn take(&mut self, viewer: ViewerNumber, window: WinSize) -> Option<WinSize> {
        let changed = self.owner != Some(viewer) || self.effective != window;
        self.owner = Some(viewer);
        self.effective = window;
        changed.then_some(window)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn size(cols: u32, rows: u32) -> WinSize {
        WinSize::clamped(cols, rows)
    }

    #[test]
    fn the_phone_takes_the_size_only_when_it_types() {
        let start = Instant::now();
        let mut policy = SizePolicy::new(WinSize::DEFAULT);
        assert_eq!(policy.window(1, Some(size(100, 30))), Some(size(100, 30)));
        assert_eq!(policy.window(2, Some(size(60, 20))), None);
        assert_eq!(policy.effective(), size(100, 30));
        assert_eq!(policy.typed(2, start), Some(size(60, 20)));
        assert_eq!(policy.typed(1, start + Duration::from_millis(499)), None);
        assert_eq!(policy.typed(1, start + Duration::from_millis(500)), Some(size(100, 30)));
        assert_eq!(policy.typed(1, start + Duration::from_millis(501)), None);
    }

    #[test]
    fn who_leaves_or_hides_releases_it() {
        let mut policy = SizePolicy::new(WinSize::DEFAULT);
        policy.window(1, Some(size(100, 30)));
        policy.window(2, Some(size(60, 20)));
        assert_eq!(policy.window(1, None), Some(size(60, 20)));
        assert_eq!(policy.owner(), Some(2));
        assert_eq!(policy.leaves(2), None);
        assert_eq!((policy.effective(), policy.owner()), (size(60, 20), None));
    }

    #[test]
    fn a_viewer_that_does_not_drive_never_counts() {
        let mut policy = SizePolicy::new(WinSize::DEFAULT);
        assert_eq!(policy.typed(9, Instant::now()), None);
        assert_eq!(policy.leaves(9), None);
        assert_eq!(policy.effective(), WinSize::DEFAULT);
    }
}
