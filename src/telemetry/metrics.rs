//! The first metrics, typed; does not know who reads them. Labels come from closed sets: nothing of a stranger's becomes a label.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the words on the page")]
pub(crate) enum DoorLabel {
    ssh,
    wss,
}

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the words on the page")]
pub(crate) enum Outcome {
    admitted,
    refused,
}

/// One cell of the login counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LoginLabel {
    pub(crate) door: DoorLabel,
    pub(crate) outcome: Outcome,
}

/// Everything that the gateway counts; cheap to clone, every clone counts together. Gauges are set when somebody reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// Logins by door and outcome.
    pub(crate) logins: Family<LoginLabel, Counter>,
    /// Connections that have not logged in yet.
    pub(crate) unauthenticated: Gauge,
    /// Connections refused by a limit since the start.
    pub(crate) turned_away: Gauge,
    /// Connections evicted by newer ones since the start.
    pub(crate) evicted: Gauge,
    /// Connections ended by the login deadline since the start.
    pub(crate) expired: Gauge,
    /// Sessions with a link, ended ones included.
    pub(crate) sessions: Gauge,
    /// Sessions whose agent has not ended.
    pub(crate) live_sessions: Gauge,
    /// Viewers attached.
    pub(crate) viewers: Gauge,
    /// Bytes of all sessions' logs, as their hosts last said.
    pub(crate) log_bytes: Gauge,
    /// Times that hosts did not read their PTY because a viewer held the ring.
    pub(crate) held: Gauge,
    /// Bytes of output that the screens did not have to interpret.
    pub(crate) skipped: Gauge,
    /// Panics of screen engines that were caught.
    pub(crate) panics: Gauge,
    /// 1 while the audit log cannot be written.
    pub(crate) audit_failing: Gauge,
    /// When this gateway started, Unix seconds.
    pub(crate) started: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// The OpenMetrics text for `/metrics`.
    pub(crate) fn text(&self) -> String {
        let mut registry = Registry::with_prefix("portcullis");
        registry.register("logins", "Logins by door and outcome", self.logins.clone());
        for (name, help, gauge) in [
            ("unauthenticated", "Connections not logged in yet", &self.unauthenticated),
            ("turned_away", "Connections refused by a limit since the start", &self.turned_away),
            ("evicted", "Connections evicted by newer ones since the start", &self.evicted),
            ("expired", "Connections ended by the login deadline since the start", &self.expired),
            ("sessions", "Sessions, ended ones included", &self.sessions),
            ("live_sessions", "Sessions whose agent has not ended", &self.live_sessions),
            ("viewers", "Viewers attached", &self.viewers),
            ("log_bytes", "Logs of all sessions, as hosts last said", &self.log_bytes),
            ("held", "Times hosts did not read a PTY because a viewer held the ring", &self.held),
            ("screen_skipped_bytes", "Output that screens did not have to interpret", &self.skipped),
            ("screen_panics", "Panics of screen engines that were caught", &self.panics),
            ("audit_failing", "1 while the audit log cannot be written", &self.audit_failing),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit("start_time", "Start, Unix time", Unit::Seconds, self.started.clone());
        let mut text = String::new();
        // Writing into a String fails only when an encoder of ours is wrong; half a page says so loudly enough.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.clone().logins.get_or_create(&LoginLabel { door: DoorLabel::wss, outcome: Outcome::refused }).inc();
        metrics.viewers.set(3);
        let text = metrics.text();
        assert!(text.contains("portcullis_logins_total{door=\"wss\",outcome=\"refused\"} 1"), "{text}");
        assert!(text.contains("portcullis_viewers 3"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
