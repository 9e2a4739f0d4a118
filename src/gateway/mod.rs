//! The network face: TLS, ssh, login, routing, audit. Unprivileged; never binds, forks, opens a PTY or reads an account's home.

mod admin;
mod authority;
mod error;
mod identity;
mod journal;
mod keybook;
pub(crate) mod lines;
mod listen;
pub(crate) mod numbered;
mod readiness;
mod reload;
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
use reload::Reloader;
use router::Router;

use crate::config::GatewaySettings;
use crate::telemetry::Metrics;
use crate::wire::v1;

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
    reloader: Reloader,
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

    /// Takes new certificates and settings.
    pub(crate) fn reloader(&self) -> &Reloader {
        &self.0.reloader
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

    /// Brings the gauges up to date, for somebody who reads them.
    pub(crate) fn measure(&self) {
        let Parts { metrics, admission, router, authority, .. } = &*self.0;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let counts = admission.counts();
        metrics.unauthenticated.set(number(counts.held as u64));
        metrics.turned_away.set(number(counts.refused));
        metrics.evicted.set(number(counts.evicted));
        metrics.expired.set(number(counts.expired));
        metrics.audit_failing.set(i64::from(!authority.can_record()));
        let sessions = router.all();
        let total = |of: fn(&v1::HostStatus) -> u64| {
            number(sessions.iter().filter_map(session::Session::host_status).map(|status| of(&status)).sum())
        };
        metrics.sessions.set(number(sessions.len() as u64));
        metrics.live_sessions.set(number(sessions.iter().filter(|session| !session.has_ended()).count() as u64));
        metrics.viewers.set(number(sessions.iter().map(|session| u64::from(session.summary().viewers)).sum()));
        metrics.log_bytes.set(total(|status| status.head));
        metrics.held.set(total(|status| status.held));
        metrics.skipped.set(total(|status| status.bytes_skipped));
        metrics.panics.set(total(|status| status.panics_caught));
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
