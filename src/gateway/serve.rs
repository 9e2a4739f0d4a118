//! The gateway's beginning: hello to the spawner, settings, adoption, doors. Does not know what the doors do.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::authority::{Authority, AuthoritySettings, Door, RATE_LIMITED};
use super::identity::Identity;
use super::journal::Journal;
use super::listen::{Admission, Frequency, Limits, Refused, Tls, TlsError};
use super::reload::{PEM_MOST, Reloader, SETTINGS_MOST};
use super::router::{AccountRoots, Places, Router};
use super::spawner_client::{self, Given, HelloError, Spawner};
use super::{Gateway, Parts, admin, listen, ssh, wss};
use crate::audit::{AuditError, Entry, Event, Field, Opened};
use crate::authn::IdentityError;
use crate::base::{INBOUND_BEFORE_LOGIN, LOGIN_DEADLINE, Secret};
use crate::config::{GatewaySettings, LimitSettings, Rate};
use crate::gateway::error::SessionError;
use crate::policy::AccountPolicy;
use crate::sys::memfd;
use crate::sys::seqpacket::Seqpacket;
use crate::telemetry::Metrics;
use crate::wire::v1;
use crate::wire::v1::order::Body as OrderBody;

/// What a gateway with old settings waits for its last answer.
const LAST_ANSWER: std::time::Duration = std::time::Duration::from_secs(1);

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// No spawner.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Settings that are none.
    #[error("the spawner gave no usable settings: {0}")]
    Settings(#[from] serde_json::Error),
    /// The identity file.
    #[error("the identity key: {0}")]
    Identity(#[from] IdentityError),
    /// The audit chain: without it nothing may be decided.
    #[error("the audit log: {0}")]
    Audit(#[from] AuditError),
    /// Certificate or key.
    #[error("the TLS certificate: {0}")]
    Tls(#[from] TlsError),
    /// Orders.
    #[error("the spawner: {0}")]
    Orders(#[from] SessionError),
    /// A reload brought other settings; the spawner starts the next gateway at once.
    #[error("other settings: the next gateway takes over")]
    Outdated,
    /// The spawner is gone; whoever starts it starts the next gateway too.
    #[error("the spawner closed the order socket")]
    SpawnerGone,
    /// The operating system.
    #[error("{what}: {error}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

fn os(what: &'static str) -> impl FnOnce(std::io::Error) -> GatewayError {
    move |error| GatewayError::Os { what, error }
}

/// Serves until the spawner goes. `start_logs` is called with the settings as soon as they are known.
pub(crate) fn run(
    socket: OwnedFd,
    start_logs: impl FnOnce(&GatewaySettings),
) -> Result<std::convert::Infallible, GatewayError> {
    crate::sys::process::undumpable().map_err(os("becoming undumpable"))?;
    let socket = Seqpacket::from(socket);
    socket.set_nonblocking(true).map_err(os("the order socket"))?;
    let mut given = spawner_client::hello(&socket)?;
    let text = memfd::read_sealed(given.take("config")?.as_fd(), SETTINGS_MOST).map_err(os("the settings"))?;
    let settings: GatewaySettings = serde_json::from_slice(&text)?;
    start_logs(&settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(os("the runtime"))?;
    runtime.block_on(serve(socket, given, settings, text))
}

async fn serve(
    socket: Seqpacket,
    mut given: Given,
    settings: GatewaySettings,
    text: Vec<u8>,
) -> Result<std::convert::Infallible, GatewayError> {
    let state = given.take("state")?;
    let journal = open_journal(&state)?;
    let identity = Identity::parse(&read_text(&state, "identity")?)?;
    let (spawner, mut gone, orders) = spawner_client::start(socket).map_err(os("the order socket"))?;
    let orders = tokio::spawn(orders);
    let metrics = Metrics::default();
    metrics.started.set(super::unix_now() as f64);
    let admission = Admission::new(admission_limits(&settings.limits));
    let authority = Authority::new(
        authority_settings(&settings),
        identity,
        journal.clone(),
        metrics.clone(),
        spawner.clone(),
        admission.clone(),
    );
    let router = Router::new(places(&settings), given.take("hosts")?, spawner.clone(), journal.clone());
    let pem = |fd: OwnedFd| memfd::read_sealed(fd.as_fd(), PEM_MOST).map_err(os("the TLS files"));
    let tls = Tls::new(&pem(given.take("tls-cert")?)?, &pem(given.take("tls-key")?)?)?;
    let reloader = Reloader {
        spawner: spawner.clone(),
        journal: journal.clone(),
        tls: tls.clone(),
        settings: text,
        outdated: watch::channel(false).0,
    };
    let gateway = Gateway(Arc::new(Parts { authority, router, admission, reloader, metrics, settings }));

    let adopted = gateway.router().adopt_all().await?;
    tracing::info!(adopted, "the gateway serves");
    tokio::spawn(gateway.authority().clone().recheck());
    tokio::spawn(async move {
        // The link's end tells more and as soon; a host that went without a link is only worth a line.
        while let Some(host) = gone.recv().await {
            tracing::debug!(session = %host.session_id, "a host is gone");
        }
    });
    let answered =
        admin::start(&gateway, given.take("admin")?, given.take_if("admin.sock")).map_err(os("the admin thread"))?;
    let (https, ssh) = (TcpListener::from(given.take("https")?), TcpListener::from(given.take("ssh")?));
    open_doors(&gateway, https, ssh, tls).map_err(os("the listeners"))?;
    report_ready(&spawner, &journal).await?;
    tokio::select! {
        // The order task ends only with the spawner.
        _ = orders => journal.note(&Entry::new(Event::Gateway).text(Field::Act, "ended: the spawner is gone")),
        () = gateway.reloader().outdated() => {
            // Whoever ordered it hears of it first.
            let _ = tokio::time::timeout(LAST_ANSWER, answered).await;
            journal.note(&Entry::new(Event::Gateway).text(Field::Act, "ended: other settings"));
            return Err(GatewayError::Outdated);
        }
    }
    Err(GatewayError::SpawnerGone)
}

fn open_doors(gateway: &Gateway, https: TcpListener, ssh: TcpListener, tls: Tls) -> std::io::Result<()> {
    let admission = gateway.admission().clone();
    let turned_away = |door: Door| {
        let authority = gateway.authority().clone();
        move |peer: SocketAddr, refused: &Refused| {
            authority.refuse(
                door,
                peer,
                "",
                None,
                RATE_LIMITED,
                &refused.to_string(),
                "wait, or raise limits.connections",
            );
        }
    };
    let door = gateway.clone();
    listen::spawn_tls_listener(https, admission.clone(), tls, turned_away(Door::Wss), move |secured| {
        wss::serve_connection(door.clone(), secured.stream, secured.exporter, secured.peer, secured.permit)
    })?;
    let door = gateway.clone();
    listen::spawn_listener(ssh, admission, turned_away(Door::Ssh), move |accepted| {
        ssh::serve_connection(door.clone(), accepted.stream, accepted.peer, accepted.permit)
    })?;
    Ok(())
}

fn admission_limits(limits: &LimitSettings) -> Limits {
    let frequency = |rate: Rate| Frequency { count: rate.count, period: rate.period() };
    Limits {
        connections: frequency(limits.connections),
        logins: frequency(limits.logins),
        unauthenticated: limits.unauthenticated as usize,
        unauthenticated_per_source: limits.unauthenticated_per_source as usize,
        connections_per_key: limits.connections_per_key,
        session_starts: frequency(limits.session_starts),
        messages: frequency(limits.messages),
        input_bytes: std::num::NonZeroU32::new(limits.input_bytes_per_second).unwrap_or(std::num::NonZeroU32::MAX),
        deadline: LOGIN_DEADLINE,
        inbound: INBOUND_BEFORE_LOGIN,
    }
}

async fn report_ready(spawner: &Spawner, journal: &Journal) -> Result<(), GatewayError> {
    journal.append(&Entry::new(Event::Gateway).text(Field::Act, "serves").text(Field::Version, super::SOFTWARE))?;
    spawner.order(OrderBody::Ready(v1::ReportReady {})).await?;
    Ok(())
}

fn open_journal(state: &OwnedFd) -> Result<Journal, GatewayError> {
    let folder = below(state, "audit");
    if let Err(error) = std::fs::create_dir(&folder)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(GatewayError::Os { what: "the audit directory", error });
    }
    let file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(folder.join("gateway.jsonl"))
        .map_err(os("the audit file"))?;
    let (journal, opened) = Journal::open(file)?;
    if let Opened::Torn(bytes) = opened {
        tracing::warn!(bytes, "the audit log ended in a torn line; it is kept, followed by `recovered`");
    }
    Ok(journal)
}

fn read_text(state: &OwnedFd, name: &str) -> Result<Secret<String>, GatewayError> {
    let mut text = String::new();
    let mut file = File::open(below(state, name)).map_err(os("the identity key"))?;
    file.read_to_string(&mut text).map_err(os("the identity key"))?;
    Ok(Secret::new(text))
}

/// The directory's own path may be closed to this process; its descriptor is not.
fn below(directory: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

fn authority_settings(settings: &GatewaySettings) -> AuthoritySettings {
    let account = |account: &crate::config::GatewayAccount| {
        let policy = AccountPolicy {
            name: account.name.clone(),
            agents: account.agents.clone(),
            roots: account.roots.clone(),
            max_sessions: account.max_sessions,
        };
        (policy, account.key_files)
    };
    AuthoritySettings {
        single_user: settings.single_user,
        accounts: settings.accounts.iter().map(account).collect(),
        agents: settings.agents.iter().map(|agent| agent.name.clone()).collect(),
        origins: settings.origins.own.clone(),
        require_channel_binding: settings.auth.require_channel_binding,
    }
}

fn places(settings: &GatewaySettings) -> Places {
    let account = |account: &crate::config::GatewayAccount| AccountRoots {
        name: account.name.clone(),
        roots: account.roots.iter().map(|root| root.to_string_lossy().into_owned()).collect(),
        max_sessions: account.max_sessions,
    };
    let first = |agent: &crate::config::GatewayAgent| Some((agent.name.clone(), agent.modes.first()?.clone()));
    Places {
        accounts: settings.accounts.iter().map(account).collect(),
        first_modes: settings.agents.iter().filter_map(first).collect(),
        careful: settings.agents.iter().map(|agent| (agent.name.clone(), agent.careful.clone())).collect(),
    }
}
