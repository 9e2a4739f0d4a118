//! The table of sessions: finds, starts, ends and adopts them. Knows no door and no client.

mod adopt;
mod agent;
mod directory;
mod lifecycle;
mod start;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::audit::{Event, Field};
use crate::base::{AccountName, Name, SessionId};
use crate::config::CarefulOption;
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::journal::Journal;
use crate::gateway::session::{AttachRequest, Attachment, Session};
use crate::gateway::spawner_client::Spawner;
use crate::policy::{Subject, Verb};
use crate::wire::v1;

#[cfg(test)]
pub(crate) use start::SPAWNER_CODES;
pub(crate) use start::StartRequest;

/// Ended sessions that an account keeps; the oldest goes when one more ends.
const KEPT_ENDED: usize = 20;

/// What the router has to know of an account.
pub(crate) struct AccountRoots {
    pub(crate) name: AccountName,
    /// Absolute paths in the order of the configuration, as the spawner numbers them.
    pub(crate) roots: Vec<String>,
    pub(crate) max_sessions: u32,
}

/// What the router has to know of the configuration.
pub(crate) struct Places {
    pub(crate) accounts: Vec<AccountRoots>,
    /// The mode that an agent has when nobody says one.
    pub(crate) first_modes: HashMap<Name, String>,
    /// Options by which an agent may ask less.
    pub(crate) careful: HashMap<Name, Vec<CarefulOption>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Router(Arc<Inner>);

/// The table's lock is in an Arc because every connection looks sessions up; a hold is a look-up or one insert.
struct Inner {
    sessions: Mutex<HashMap<SessionId, Session>>,
    accounts: Vec<AccountRoots>,
    first_modes: HashMap<Name, String>,
    careful: HashMap<Name, Vec<CarefulOption>>,
    /// One start at a time for each account: two of the same name or directory cannot race.
    starting: HashMap<AccountName, Semaphore>,
    hosts: OwnedFd,
    spawner: Spawner,
    journal: Journal,
}

/// A session that a grant may touch; what it may do is asked again at each verb.
#[derive(Clone)]
pub(crate) struct SessionHandle {
    session: Session,
    grant: LiveGrant,
    journal: Journal,
}

impl Router {
    pub(crate) fn new(places: Places, hosts: OwnedFd, spawner: Spawner, journal: Journal) -> Self {
        let Places { accounts, first_modes, careful } = places;
        let starting = accounts.iter().map(|account| (account.name.clone(), Semaphore::new(1))).collect();
        let sessions = Mutex::default();
        Self(Arc::new(Inner { sessions, accounts, first_modes, careful, starting, hosts, spawner, journal }))
    }

    /// The sessions that this grant may see, oldest first.
    pub(crate) fn list(&self, grant: &LiveGrant) -> Vec<v1::Session> {
        let mut sessions: Vec<_> =
            self.all().iter().filter(|session| may(grant, Verb::List, session).is_ok()).map(Session::summary).collect();
        sessions.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        sessions
    }

    /// A session by name or id, for a verb. One that the grant may not see is unknown to it.
    pub(crate) fn find(&self, grant: &LiveGrant, name: &str, verb: Verb) -> Result<SessionHandle, SessionError> {
        let session = self
            .all()
            .into_iter()
            .filter(|session| may(grant, Verb::List, session).is_ok())
            .find(|session| {
                session.name().is_some_and(|known| known.as_str() == name) || session.id().to_string() == name
            })
            .ok_or_else(|| SessionError::Unknown(name.chars().take(64).collect()))?;
        may(grant, verb, &session)?;
        Ok(SessionHandle { session, grant: grant.clone(), journal: self.0.journal.clone() })
    }

    /// Every session, for the operator.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.table().values().cloned().collect()
    }

    fn account(&self, name: &AccountName) -> Option<&AccountRoots> {
        self.0.accounts.iter().find(|account| account.name == *name)
    }

    fn of_account(&self, account: &AccountName) -> Vec<Session> {
        self.all().into_iter().filter(|session| session.account().as_ref() == Some(account)).collect()
    }

    fn handle(&self, session: Session, grant: &LiveGrant) -> SessionHandle {
        SessionHandle { session, grant: grant.clone(), journal: self.0.journal.clone() }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Session>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionHandle {
    /// What everybody who may see the session is told about it.
    pub(crate) fn summary(&self) -> v1::Session {
        self.session.summary()
    }

    /// Opens a viewer; the audit entry is written before it is answered.
    pub(crate) async fn attach(&self, request: AttachRequest) -> Result<(v1::Attached, Attachment), SessionError> {
        if !self.session.is_structured() {
            self.grant.may_terminal()?;
        }
        may(&self.grant, Verb::View, &self.session)?;
        let drives = !request.view && self.may_drive(Verb::Drive).is_ok();
        let entry = self
            .entry(Event::Attach)
            .text(Field::Mode, request.mode.as_str_name())
            .text(Field::Role, if drives { "drive" } else { "view" });
        self.journal.append(&entry)?;
        let grant = &self.grant;
        self.session.attach(request, grant.who().to_owned(), grant.role(), drives, grant.clone()).await
    }

    /// The screen as text.
    pub(crate) async fn show(&self) -> Result<String, SessionError> {
        self.grant.may_terminal()?;
        may(&self.grant, Verb::Show, &self.session)?;
        self.session.show().await
    }

    /// History above the screen.
    pub(crate) async fn history(&self, lines: u32) -> Result<bytes::Bytes, SessionError> {
        self.grant.may_terminal()?;
        may(&self.grant, Verb::Show, &self.session)?;
        self.session.history(lines).await
    }

    /// Types text without looking.
    pub(crate) async fn send(&self, text: &str, enter: bool) -> Result<(), SessionError> {
        self.grant.may_terminal()?;
        self.may_drive(Verb::Send)?;
        self.grant.count_input(text.len())?;
        let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
        self.journal.append(&self.entry(Event::Act).text(Field::Act, "send").number(Field::Bytes, length))?;
        self.session.send(text, enter).await
    }

    fn may_drive(&self, verb: Verb) -> Result<(), SessionError> {
        may(&self.grant, verb, &self.session)?;
        if !self.session.is_structured() {
            self.grant.may_type(verb)?;
        }
        Ok(())
    }

    fn entry(&self, event: Event) -> crate::audit::Entry {
        let summary = self.session.summary();
        self.grant.entry(event).text(Field::Session, &summary.session_id).text(Field::Name, &summary.name)
    }
}

fn may(grant: &LiveGrant, verb: Verb, session: &Session) -> Result<(), SessionError> {
    let (Some(account), Some(agent)) = (session.account(), session.agent()) else {
        return Err(SessionError::Unknown(session.id().to_string()));
    };
    let name = session.name();
    Ok(grant.may(verb, &Subject { account: &account, agent: &agent, session: name.as_ref() })?)
}
