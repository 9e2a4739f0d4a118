//! Who may come in, and for how long: keys, the grant, its audit entry, its end. Knows no protocol.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::audit::{Entry, Event, Field};
use crate::authn::{AuthError, KeyLine, KeyOptions, Proven};
use crate::base::{AccountName, KeyId, Name, printable};
use crate::gateway::error::SessionError;
use crate::gateway::identity::Identity;
use crate::gateway::journal::Journal;
use crate::gateway::keybook::Keybook;
use crate::gateway::listen::{Admission, TooOften};
use crate::gateway::spawner_client::Spawner;
use crate::policy::{AccountPolicy, Grant};
use crate::telemetry::{DoorLabel, LoginLabel, Metrics, Outcome};

/// Removal, expiry or a changed role must end live connections within 5 s (security.md 4.4).
const RECHECK: Duration = Duration::from_secs(2);

/// The reason of every refusal by rate.
pub(crate) const RATE_LIMITED: &str = "rate-limited";

/// Why a key that a refused file may list is unknown.
const KEY_FILE_REFUSED: &str = "refused-key-file";

/// The ways in, as the audit log names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// A stock ssh client.
    Ssh,
    /// A phone, a browser, a program, our own client.
    Wss,
}

impl Door {
    /// Stable.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Wss => "wss",
        }
    }
}

/// What the authority has to know of the configuration.
pub(crate) struct AuthoritySettings {
    /// True: any user name means the one account.
    pub(crate) single_user: bool,
    /// Each with the number of its key files.
    pub(crate) accounts: Vec<(AccountPolicy, u32)>,
    pub(crate) agents: Vec<Name>,
    /// What clients may have dialled.
    pub(crate) origins: Vec<String>,
    pub(crate) require_channel_binding: bool,
}

/// The account asked for and its keys. An account that does not exist has none.
pub(crate) struct AccountKeys {
    pub(crate) account: Option<AccountName>,
    pub(crate) lines: Arc<Vec<KeyLine>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Authority(Arc<Inner>);

struct Inner {
    settings: AuthoritySettings,
    identity: Identity,
    journal: Journal,
    metrics: Metrics,
    keybook: Keybook,
    admission: Admission,
    /// Live grants, to be judged again; pruned when a new one comes.
    live: Mutex<Vec<Weak<Live>>>,
}

/// A grant that ends when its key does.
#[derive(Clone)]
pub(crate) struct LiveGrant(Arc<Live>);

struct Live {
    grant: Grant,
    options: KeyOptions,
    door: Door,
    peer: SocketAddr,
    /// Why it is over, once it is.
    revoked: watch::Sender<Option<String>>,
    journal: Journal,
    admission: Admission,
}

impl Authority {
    pub(crate) fn new(
        settings: AuthoritySettings,
        identity: Identity,
        journal: Journal,
        metrics: Metrics,
        spawner: Spawner,
        admission: Admission,
    ) -> Self {
        let keybook = Keybook::new(spawner, settings.agents.clone(), journal.clone());
        let live = Mutex::new(Vec::new());
        Self(Arc::new(Inner { settings, identity, journal, metrics, keybook, admission, live }))
    }

    /// The gateway's own key.
    pub(crate) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// What clients may have dialled.
    pub(crate) fn origins(&self) -> &[String] {
        &self.0.settings.origins
    }

    /// Whether a login without channel binding is refused.
    pub(crate) fn requires_channel_binding(&self) -> bool {
        self.0.settings.require_channel_binding
    }

    /// False while the audit log cannot be written.
    pub(crate) fn can_record(&self) -> bool {
        !self.0.journal.is_failing()
    }

    /// The keys that may log in as this user, as the files are now. For a user that does not exist the same work is done.
    pub(crate) async fn keys(&self, user: &str) -> Result<AccountKeys, SessionError> {
        let meant = self.meant(user);
        let Some((policy, files)) = meant.or(self.0.settings.accounts.first()) else {
            return Ok(AccountKeys { account: None, lines: Arc::default() });
        };
        let lines = self.0.keybook.lines(&policy.name, *files).await?;
        Ok(match meant {
            Some((policy, _)) => AccountKeys { account: Some(policy.name.clone()), lines },
            None => AccountKeys { account: None, lines: Arc::default() },
        })
    }

    /// The account that this user name means, and the number of its key files.
    fn meant(&self, user: &str) -> Option<&(AccountPolicy, u32)> {
        let Inner { settings, .. } = &*self.0;
        let named = settings.accounts.iter().find(|(policy, _)| policy.name.as_str() == user);
        if settings.single_user { settings.accounts.first() } else { named }
    }

    /// Admits who proved a key, and writes it down before anybody hears of it.
    pub(crate) fn admit(
        &self,
        proven: Proven,
        door: Door,
        peer: SocketAddr,
        client: &str,
    ) -> Result<LiveGrant, SessionError> {
        let policy =
            self.0.settings.accounts.iter().map(|(policy, _)| policy).find(|policy| policy.name == *proven.account());
        let Some(policy) = policy else { return Err(SessionError::Unknown(proven.account().to_string())) };
        let options = proven.options().clone();
        let grant = Grant::admit(proven, policy)?;
        let entry = Entry::new(Event::Login)
            .text(Field::Door, door.as_str())
            .text(Field::Peer, &peer.to_string())
            .text(Field::Account, grant.account().as_str())
            .text(Field::Key, grant.key().as_str())
            .text(Field::Label, grant.label())
            .text(Field::Role, grant.role().as_str())
            .text(Field::Client, client);
        self.0.journal.append(&entry)?;
        self.count(door, Outcome::admitted);
        let (revoked, _) = watch::channel(None);
        let (journal, admission) = (self.0.journal.clone(), self.0.admission.clone());
        let live = Arc::new(Live { grant, options, door, peer, revoked, journal, admission });
        let mut all = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|live| live.strong_count() > 0);
        all.push(Arc::downgrade(&live));
        Ok(LiveGrant(live))
    }

    /// Writes down who was refused and why, and says it on the console.
    pub(crate) fn refused(&self, door: Door, peer: SocketAddr, user: &str, key: Option<&KeyId>, reason: &AuthError) {
        let key = key.or(reason.key());
        if let (AuthError::UnknownKey(_), Some((policy, files))) = (reason, self.meant(user)) {
            // The key may well be listed, in a file that nobody may trust.
            let problems = self.0.keybook.problems(&policy.name, *files);
            if !problems.is_empty() {
                let message = format!("{reason}, and a key file is not used: {}", problems.join("; "));
                return self.refuse(door, peer, user, key, KEY_FILE_REFUSED, &message, "then log in again");
            }
        }
        self.refuse(door, peer, user, key, reason.audit_reason(), &reason.to_string(), reason.cure());
    }

    /// The same for what is no matter of keys: a web page's origin, a malformed first message. Of refusals by rate only
    /// those that are news are written down.
    #[allow(clippy::too_many_arguments, reason = "one entry's fields, each a different thing")]
    pub(crate) fn refuse(
        &self,
        door: Door,
        peer: SocketAddr,
        user: &str,
        key: Option<&KeyId>,
        code: &str,
        message: &str,
        cure: &str,
    ) {
        if code == RATE_LIMITED && !self.0.admission.is_news(peer.ip(), "before login") {
            return;
        }
        let entry = Entry::new(Event::Refused)
            .text(Field::Door, door.as_str())
            .text(Field::Peer, &peer.to_string())
            .text(Field::User, user)
            .text_if(Field::Key, key.map(KeyId::as_str))
            .text(Field::Reason, code)
            .text(Field::Message, message);
        self.0.journal.note(&entry);
        self.count(door, Outcome::refused);
        let key = key.map_or("no key", KeyId::as_str);
        tracing::warn!(
            "refused login by {} from {peer} as {}: {key}: {}; {cure}",
            door.as_str(),
            printable(user, 64),
            printable(message, 600)
        );
    }

    fn count(&self, door: Door, outcome: Outcome) {
        let door = match door {
            Door::Ssh => DoorLabel::ssh,
            Door::Wss => DoorLabel::wss,
        };
        self.0.metrics.logins.get_or_create(&LoginLabel { door, outcome }).inc();
    }

    /// Judges live grants again, for ever.
    pub(crate) async fn recheck(self) {
        let mut ticks = tokio::time::interval(RECHECK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let live: Vec<_> = {
                let all = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
                all.iter().filter_map(Weak::upgrade).filter(|live| live.revoked.borrow().is_none()).collect()
            };
            let mut accounts: Vec<_> = live.iter().map(|live| live.grant.account().clone()).collect();
            accounts.sort();
            accounts.dedup();
            for account in accounts {
                // A spawner that cannot be asked proves nothing against a key.
                let Ok(keys) = self.keys(account.as_str()).await else { continue };
                for live in live.iter().filter(|live| *live.grant.account() == account) {
                    live.judge(&keys.lines, crate::gateway::unix_now());
                }
            }
        }
    }
}

impl LiveGrant {
    /// Resolves with the reason when the grant is over.
    pub(crate) async fn revoked(&self) -> String {
        let mut changes = self.0.revoked.subscribe();
        loop {
            let now = changes.borrow_and_update().clone();
            match now {
                Some(reason) => return reason,
                // The sender lives in this very grant.
                None => _ = changes.changed().await,
            }
        }
    }

    /// The key's label, or its fingerprint.
    pub(crate) fn who(&self) -> &str {
        let label = self.0.grant.label();
        if label.is_empty() { self.0.grant.key().as_str() } else { label }
    }

    /// Counts a message among those of the key.
    pub(crate) fn count_message(&self) -> Result<(), SessionError> {
        self.within("messages of this key", self.0.admission.message(self.0.grant.key()))
    }

    /// Counts input bytes among those of the key.
    pub(crate) fn count_input(&self, bytes: usize) -> Result<(), SessionError> {
        self.within("input bytes of this key", self.0.admission.input(self.0.grant.key(), bytes))
    }

    /// True for the very same login.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Counts a session start among those of the key.
    pub(crate) fn count_start(&self) -> Result<(), SessionError> {
        self.within("session starts of this key", self.0.admission.session_start(self.0.grant.key()))
    }

    fn within(&self, what: &'static str, counted: Result<(), TooOften>) -> Result<(), SessionError> {
        let Err(too_often) = counted else { return Ok(()) };
        if self.0.admission.is_news(self.0.peer.ip(), what) {
            let entry = self.entry(Event::Refused).text(Field::Reason, RATE_LIMITED).text(Field::Message, what);
            self.0.journal.note(&entry);
        }
        // Rounded up, so that who waits as long as told is let pass.
        let after_ms = u32::try_from(too_often.after.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
        Err(SessionError::RateLimited { what, after_ms })
    }

    /// Writes down, under its name, that this principal's client said what no client says.
    pub(crate) fn misspoke(&self, code: &str, message: &str) {
        let entry = self.entry(Event::Refused).text(Field::Reason, code).text(Field::Message, message);
        self.0.journal.note(&entry);
        tracing::warn!(
            "ended a connection by {} from {} as {} with {}: {}",
            self.0.door.as_str(),
            self.0.peer,
            self.0.grant.account(),
            self.0.grant.key().as_str(),
            printable(message, 300)
        );
    }

    /// Fields that every entry about this principal has.
    pub(crate) fn entry(&self, event: Event) -> Entry {
        Entry::new(event)
            .text(Field::Account, self.0.grant.account().as_str())
            .text(Field::Key, self.0.grant.key().as_str())
            .text(Field::Door, self.0.door.as_str())
            .text(Field::Peer, &self.0.peer.to_string())
    }
}

impl Deref for LiveGrant {
    type Target = Grant;
    fn deref(&self) -> &Grant {
        &self.0.grant
    }
}

impl Live {
    /// Removal, expiry, `from=`, a changed role: whoever would not get the very same grant now has to log in again.
    fn judge(&self, lines: &[KeyLine], now: u64) {
        let reason = match self.grant.renewed(lines, self.grant.policy(), now) {
            Ok(renewed) if *renewed.options() == self.options => return,
            Ok(_) => "the options of the key's line were changed".to_owned(),
            Err(revoked) => revoked.to_string(),
        };
        let entry = Entry::new(Event::Revoked)
            .text(Field::Account, self.grant.account().as_str())
            .text(Field::Key, self.grant.key().as_str())
            .text(Field::Reason, &reason);
        self.journal.note(&entry);
        self.revoked.send_replace(Some(reason));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let entry = Entry::new(Event::Logout)
            .text(Field::Account, self.grant.account().as_str())
            .text(Field::Key, self.grant.key().as_str())
            .text(Field::Door, self.door.as_str())
            .text(Field::Peer, &self.peer.to_string());
        self.journal.note(&entry);
    }
}
