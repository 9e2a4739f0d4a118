//! Links to hosts, new ones and those that a former gateway left, and follows each to its end. Knows no client.

use std::os::fd::AsFd;
use std::pin::Pin;
use std::time::Duration;

use super::{KEPT_ENDED, Router};
use crate::audit::{Entry, Event, Field};
use crate::base::SessionId;
use crate::gateway::error::SessionError;
use crate::gateway::session::{LinkEnd, Session, connect};
use crate::wire::v1;
use crate::wire::v1::answer::Body as AnswerBody;
use crate::wire::v1::order::Body as OrderBody;

/// A link that broke while its host lives is tried again so often, with this pause.
const RELINK: u32 = 3;
const RELINK_PAUSE: Duration = Duration::from_millis(100);

impl Router {
    /// Links to every host that the spawner names, and to nothing else that may lie in the directory.
    pub(crate) async fn adopt_all(&self) -> Result<usize, SessionError> {
        let mut adopted = 0;
        for host in self.hosts().await? {
            let Ok(id) = host.session_id.parse::<SessionId>() else { continue };
            if self.table().contains_key(&id) {
                continue;
            }
            match self.adopt(id).await {
                Ok(session) => {
                    adopted += 1;
                    let summary = session.summary();
                    let entry = Entry::new(Event::Adopted)
                        .text(Field::Session, &summary.session_id)
                        .text(Field::Name, &summary.name)
                        .text(Field::Account, &summary.account);
                    self.0.journal.note(&entry);
                }
                Err(error) => tracing::error!(session = %id, %error, "a host could not be adopted"),
            }
        }
        Ok(adopted)
    }

    /// What the spawner says lives.
    pub(super) async fn hosts(&self) -> Result<Vec<v1::HostRecord>, SessionError> {
        match self.0.spawner.order(OrderBody::List(v1::ListHosts {})).await? {
            (AnswerBody::Hosts(hosts), _) => Ok(hosts.hosts),
            _ => Err(SessionError::NoSpawner),
        }
    }

    /// Links to one host and follows it.
    pub(super) async fn adopt(&self, id: SessionId) -> Result<Session, LinkEnd> {
        let linked = connect(self.0.hosts.as_fd(), id, self.0.journal.clone()).await?;
        let session = linked.session.clone();
        self.table().insert(id, session.clone());
        let router = self.clone();
        let followed = session.clone();
        tokio::spawn(async move {
            let end = linked.run().await;
            router.unlink(&followed, end).await;
        });
        let router = self.clone();
        let watched = session.clone();
        tokio::spawn(async move { router.watch(watched).await });
        Ok(session)
    }

    /// A link is over. A forgotten host is gone for good; one that lives is linked again.
    async fn unlink(&self, session: &Session, end: LinkEnd) {
        let id = session.id();
        {
            let mut table = self.table();
            if table.get(&id).is_some_and(|known| known.is(session)) {
                table.remove(&id);
            }
        }
        if session.was_forgotten() {
            return;
        }
        for _ in 0..RELINK {
            tokio::time::sleep(RELINK_PAUSE).await;
            let lives =
                self.hosts().await.is_ok_and(|hosts| hosts.iter().any(|host| host.session_id == id.to_string()));
            if !lives {
                break;
            }
            if self.relink(id).await.is_ok() {
                return;
            }
        }
        if !session.has_ended() {
            tracing::error!(session = %id, %end, "the host of a live session is gone");
            let summary = session.summary();
            let entry = Entry::new(Event::SessionEnd)
                .text(Field::Session, &summary.session_id)
                .text(Field::Name, &summary.name)
                .text(Field::Account, &summary.account)
                .text(Field::Reason, "host-gone");
            self.0.journal.note(&entry);
        }
    }

    /// Boxed and named: adopting follows the new link, whose end comes here again.
    fn relink(&self, id: SessionId) -> Pin<Box<dyn Future<Output = Result<Session, LinkEnd>> + Send + '_>> {
        Box::pin(self.adopt(id))
    }

    /// Writes the end of an agent down, and lets the account's oldest ended session go when there are too many.
    async fn watch(&self, session: Session) {
        let over = session.has_ended();
        session.ended().await;
        if !session.has_ended() {
            return;
        }
        let summary = session.summary();
        if !over {
            let entry = Entry::new(Event::SessionEnd)
                .text(Field::Session, &summary.session_id)
                .text(Field::Name, &summary.name)
                .text(Field::Account, &summary.account)
                .text(Field::Exit, &describe(summary.exit.as_ref()));
            self.0.journal.note(&entry);
        }
        let Some(account) = session.account() else { return };
        let mut ended: Vec<_> = self.of_account(&account).into_iter().filter(Session::has_ended).collect();
        ended.sort_by_key(|session| std::cmp::Reverse(session.summary().created));
        for old in ended.into_iter().skip(KEPT_ENDED) {
            // A link that is gone already needs no word.
            let _ = old.forget();
        }
    }
}

/// An exit in words: `code 3`, `signal HUP`, `not started: …`.
pub(crate) fn describe(exit: Option<&v1::Exit>) -> String {
    use v1::exit::How;
    match exit.and_then(|exit| exit.how.as_ref()) {
        Some(How::Code(code)) => format!("code {code}"),
        Some(How::Signal(signal)) => format!("signal {signal}"),
        Some(How::NotStarted(why)) => format!("not started: {why}"),
        None => "unknown".to_owned(),
    }
}
