//! What the door asks of the gateway, and nothing more: a seam, so that the door runs over real sockets without one.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::requests::{self, Pending};
use crate::authn::{AuthError, Proven, SigningKey};
use crate::base::{Name, WinSize};
use crate::gateway::authority::{AccountKeys, Door, LiveGrant};
use crate::gateway::error::SessionError;
use crate::gateway::listen::LiveConnection;
use crate::gateway::session::{Attachment, ViewerItem};
use crate::gateway::{Gateway, unix_now};
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};

/// The gateway as this door sees it.
pub(super) trait Desk: Clone + Send + Sync + 'static {
    /// What a login gives.
    type Grant: Clone + Send + Sync + 'static;
    /// A hold on a session.
    type View: View;

    fn names(&self) -> Names<'_>;
    fn identity(&self) -> &SigningKey;
    fn keys(&self, user: &str) -> impl Future<Output = Result<AccountKeys, SessionError>> + Send;
    fn unix_now(&self) -> u64;
    /// Admits, with its audit entry, and what the client is told; the signature is still missing.
    fn admit(&self, proven: Proven, peer: SocketAddr, client: &str) -> Result<(Self::Grant, v1::Ready), SessionError>;
    /// Counts a login attempt; asked before anything is verified.
    fn may_try(&self, peer: SocketAddr) -> Result<(), SessionError>;
    /// Counts a message.
    fn may_ask(&self, grant: &Self::Grant) -> Result<(), SessionError>;
    /// Counts input bytes.
    fn may_type(&self, grant: &Self::Grant, bytes: usize) -> Result<(), SessionError>;
    /// A login refused by its proof.
    fn refused(&self, peer: SocketAddr, user: &str, error: &AuthError);
    /// A connection refused for anything else.
    fn turned_away(&self, peer: SocketAddr, code: &'static str, message: &str, cure: &str);
    /// A logged-in one that said what no client says, and is ended for it.
    fn misspoke(&self, grant: &Self::Grant, code: &'static str, message: &str);
    fn revoked(grant: &Self::Grant) -> impl Future<Output = String> + Send;
    /// A request that is no matter of the connection itself.
    fn ask(&self, grant: &Self::Grant, id: u64, ask: Ask, history_of: Option<&Self::View>) -> Asked<Self::View>;
}

/// What the gateway answers to, and what it demands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) origins: &'a [String],
    pub(super) web_origins: &'a [String],
    pub(super) require_channel_binding: bool,
}

/// The answer to a request: now or later.
pub(super) enum Asked<V> {
    Reply(Body),
    Pending(Pending<V>),
}

/// One viewer's hold on a session; dropping it detaches.
pub(super) trait View: Send + 'static {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<ViewerItem>;
    fn input(&mut self, offset: u64, bytes: &[u8], paste: bool) -> Result<(), SessionError>;
    fn resize(&mut self, size: WinSize, hidden: bool, appearance: Option<v1::Appearance>) -> Result<(), SessionError>;
    fn frame_drawn(&mut self);
    fn release_input(&mut self);
}

/// A grant, and its place among the live connections of its key.
#[derive(Clone)]
pub(super) struct Admitted {
    live: LiveGrant,
    // In an Arc because a grant is cloned for each request, and the place is one.
    _place: Arc<LiveConnection>,
}

impl Desk for Gateway {
    type Grant = Admitted;
    type View = Attachment;

    fn names(&self) -> Names<'_> {
        Names {
            origins: self.authority().origins(),
            web_origins: &self.settings().origins.pages,
            require_channel_binding: self.authority().requires_channel_binding(),
        }
    }

    fn identity(&self) -> &SigningKey {
        self.authority().identity().signing()
    }

    fn keys(&self, user: &str) -> impl Future<Output = Result<AccountKeys, SessionError>> + Send {
        self.authority().keys(user)
    }

    fn unix_now(&self) -> u64 {
        unix_now()
    }

    fn admit(&self, proven: Proven, peer: SocketAddr, client: &str) -> Result<(Admitted, v1::Ready), SessionError> {
        if proven.options().command.is_some() {
            let message = "this key's line has command=, which only ssh runs; use ssh, or another key here".to_owned();
            self.turned_away(peer, "forced-command", &message, "remove command= from the line, or use ssh");
            return Err(SessionError::Refused { code: "not-allowed", message });
        }
        let place = self.admission().connection_of(proven.key()).map_err(|too_many| {
            let (user, key, message) = (proven.account().as_str(), Some(proven.key()), too_many.to_string());
            let code = "too-many-connections";
            self.authority().refuse(Door::Wss, peer, user, key, code, &message, "close one of them");
            SessionError::RateLimited { what: "live connections of this key", after_ms: 5_000 }
        })?;
        let grant = self.authority().admit(proven, Door::Wss, peer, client)?;
        let modes = |name: &Name| {
            self.settings().agents.iter().find(|agent| agent.name == *name).map(|agent| agent.modes.clone())
        };
        let account = self.settings().accounts.iter().find(|account| account.name == *grant.account());
        let ready = v1::Ready {
            account: grant.account().to_string(),
            role: grant.role().as_str().to_owned(),
            approve: grant.approves(),
            signature: String::new(),
            key_label: grant.label().to_owned(),
            agents: grant
                .agents()
                .map(|name| v1::Agent { name: name.to_string(), modes: modes(name).unwrap_or_default() })
                .collect(),
            roots: account
                .map(|account| account.roots.iter().map(|root| root.display().to_string()).collect())
                .unwrap_or_default(),
        };
        Ok((Admitted { live: grant, _place: Arc::new(place) }, ready))
    }

    fn refused(&self, peer: SocketAddr, user: &str, error: &AuthError) {
        self.authority().refused(Door::Wss, peer, user, error.key(), error);
    }

    fn turned_away(&self, peer: SocketAddr, code: &'static str, message: &str, cure: &str) {
        self.authority().refuse(Door::Wss, peer, "", None, code, message, cure);
    }

    fn misspoke(&self, grant: &Admitted, code: &'static str, message: &str) {
        grant.live.misspoke(code, message);
    }

    fn may_try(&self, peer: SocketAddr) -> Result<(), SessionError> {
        self.admission().login(peer.ip()).map_err(|too_often| SessionError::RateLimited {
            what: "logins from this address",
            after_ms: u32::try_from(too_often.after.as_millis()).unwrap_or(u32::MAX).saturating_add(1),
        })
    }

    fn may_ask(&self, grant: &Admitted) -> Result<(), SessionError> {
        grant.live.count_message()
    }

    fn may_type(&self, grant: &Admitted, bytes: usize) -> Result<(), SessionError> {
        grant.live.count_input(bytes)
    }

    fn revoked(grant: &Admitted) -> impl Future<Output = String> + Send {
        grant.live.revoked()
    }

    fn ask(&self, grant: &Admitted, id: u64, ask: Ask, history_of: Option<&Attachment>) -> Asked<Attachment> {
        requests::ask(self, &grant.live, id, ask, history_of.map(|view| view.session().id()))
    }
}

impl View for Attachment {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<ViewerItem> {
        Self::poll_item(self, cx)
    }
    fn input(&mut self, offset: u64, bytes: &[u8], paste: bool) -> Result<(), SessionError> {
        Self::input(self, offset, bytes, paste)
    }
    fn resize(&mut self, size: WinSize, hidden: bool, appearance: Option<v1::Appearance>) -> Result<(), SessionError> {
        Self::resize(self, size, hidden, appearance)
    }
    fn frame_drawn(&mut self) {
        Self::frame_drawn(self);
    }
    fn release_input(&mut self) {
        Self::release_input(self);
    }
}
