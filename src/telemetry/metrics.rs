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
pub(crate) enum DoorLabel {
    Ssh,
    Wss,
    Admin,
}

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Admitted,
    Refused,
    /// Closed by the deadline or by the client before an answer.
    Abandoned,
    /// Turned away by a limit before a key was looked at.
    Limited,
}

/// One cell of the login counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LoginLabel {
    pub(crate) door: DoorLabel,
    pub(crate) outcome: Outcome,
}

/// Everything that the gateway counts; cheap to clone, every clone counts together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// Connections taken, logged in or not.
    pub(crate) connections: Family<Door, Counter>,
    /// Connections that have not logged in yet.
    pub(crate) strangers: Gauge,
    /// Logins by door and outcome.
    pub(crate) logins: Family<LoginLabel, Counter>,
    /// Live sessions with a link.
    pub(crate) sessions: Gauge,
    /// Bytes of all live sessions' logs, as their hosts last said.
    pub(crate) log_bytes: Gauge,
    /// Times that an agent's output was not read because a viewer held the ring, as the hosts last said.
    pub(crate) held: Gauge,
    /// Viewers attached.
    pub(crate) viewers: Family<Door, Gauge>,
    /// Bytes taken from hosts.
    pub(crate) output_bytes: Counter,
    /// Bytes typed.
    pub(crate) input_bytes: Counter,
    /// Viewers that got a snapshot because they were behind.
    pub(crate) snapshots_for_lag: Counter,
    /// Entries that could not be written.
    pub(crate) audit_failures: Counter,
    /// Links to hosts that broke and were made again.
    pub(crate) relinks: Counter,
    /// When this gateway started, Unix seconds.
    pub(crate) started: Gauge<f64, AtomicU64>,
}

/// Label set of one door.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Door {
    door: DoorLabel,
}

impl From<DoorLabel> for Door {
    fn from(door: DoorLabel) -> Self {
        Self { door }
    }
}

impl Metrics {
    /// The OpenMetrics text for `/metrics`.
    pub(crate) fn text(&self) -> String {
        let mut registry = Registry::with_prefix("portcullis");
        registry.register("connections", "Connections taken", self.connections.clone());
        registry.register("unauthenticated", "Connections not logged in yet", self.strangers.clone());
        registry.register("logins", "Logins by door and outcome", self.logins.clone());
        registry.register("sessions", "Live sessions", self.sessions.clone());
        registry.register("log_bytes", "Logs of live sessions, as hosts last said", self.log_bytes.clone());
        registry.register("held", "Times output was not read because a viewer held the ring", self.held.clone());
        registry.register("viewers", "Viewers attached", self.viewers.clone());
        registry.register_with_unit("output", "Taken from hosts", Unit::Bytes, self.output_bytes.clone());
        registry.register_with_unit("input", "Typed by viewers", Unit::Bytes, self.input_bytes.clone());
        registry.register(
            "lag_snapshots",
            "Snapshots sent because a viewer was behind",
            self.snapshots_for_lag.clone(),
        );
        registry.register("audit_failures", "Audit entries not written", self.audit_failures.clone());
        registry.register("relinks", "Links to hosts made again", self.relinks.clone());
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
        metrics.clone().logins.get_or_create(&LoginLabel { door: DoorLabel::Wss, outcome: Outcome::Refused }).inc();
        metrics.viewers.get_or_create(&DoorLabel::Ssh.into()).set(3);
        let text = metrics.text();
        assert!(text.contains("portcullis_logins_total{door=\"Wss\",outcome=\"Refused\"} 1"), "{text}");
        assert!(text.contains("portcullis_viewers{door=\"Ssh\"} 3"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
