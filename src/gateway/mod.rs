//! The network face: TLS, ssh, login, routing, audit. Unprivileged; never binds, forks, opens a PTY or reads an account's home.

mod admin;
mod authority;
mod error;
mod identity;
mod journal;
mod keybook;
mod listen;
mod readiness;
mod router;
mod serve;
mod session;
mod size;
mod spawner_client;
pub(crate) mod ssh;
pub(crate) mod verbs;
pub(crate) mod wss;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use authority::Authority;
use listen::Admission;
use router::Router;
use session::Session;

use crate::config::GatewaySettings;
use crate::telemetry::Metrics;

pub(crate) use authority::LiveGrant;
pub(crate) use error::SessionError;
pub(crate) use router::StartRequest;
pub(crate) use serve::{GatewayError, run};
pub(crate) use session::{AttachRequest, Attachment, ViewerItem};

/// Name and version, for hellos and banners.
pub(crate) const SOFTWARE: &str = concat!("portcullis ", env!("CARGO_PKG_VERSION"));

/// What every door needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Parts>);

struct Parts {
    authority: Authority,
    router: Router,
    admission: Admission,
    metrics: Metrics,
    settings: GatewaySettings,
}

impl Gateway {
    /// Who may come in.
    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// The sessions.
    pub(crate) fn router(&self) -> &Router {
        &self.0.router
    }

    /// How much of what may come.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The checked settings.
    pub(crate) fn settings(&self) -> &GatewaySettings {
        &self.0.settings
    }

    /// Brings the gauges that count live things up to date.
    pub(crate) fn count_sessions(&self) {
        let sessions = self.0.router.all();
        let (mut log, mut held) = (0_u64, 0_u64);
        for status in sessions.iter().filter_map(Session::host_status) {
            log = log.saturating_add(status.head);
            held = held.saturating_add(status.held);
        }
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.0.metrics.sessions.set(gauge(sessions.len() as u64));
        self.0.metrics.log_bytes.set(gauge(log));
        self.0.metrics.held.set(gauge(held));
    }
}

/// Seconds since 1970, for what people read.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Random bytes from the operating system, for ids and nonces.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without randomness no nonce is safe: nothing may go on.
        tracing::error!(%error, "the operating system gives no random bytes; the gateway ends");
        std::process::abort();
    }
    bytes
}
