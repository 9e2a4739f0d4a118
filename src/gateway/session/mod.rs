//! One live session as the gateway sees it: its link's state, its short ring and its viewers. Knows no door and no socket of a client.

mod appearance;
mod attach;
mod attachment;
mod events;
mod incoming;
mod lease;
mod link;
mod outgoing;
mod questions;
mod slot;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::base::{AccountName, Name, Offset, SessionId, WinSize, WriterId};
use crate::gateway::error::SessionError;
use crate::gateway::journal::Journal;
use crate::wire::v1;
use crate::wire::v1::to_host::Body as ToHostBody;

pub(crate) use attach::AttachRequest;
pub(crate) use attachment::{Attachment, ViewerItem};
pub(crate) use link::{LinkEnd, connect};
use outgoing::Outgoing;
use state::{Reply, State};

/// How long a host may take to answer anything.
const HOST_DEADLINE: Duration = Duration::from_secs(10);

/// A session that is linked to its host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Session(Arc<Shared>);

/// The lock is in an Arc because the link's task and every viewer's connection task meet here; each hold copies
/// references or moves small values and never spans an await.
struct Shared {
    id: SessionId,
    state: Mutex<State>,
    outgoing: Outgoing,
    journal: Journal,
    forgotten: AtomicBool,
}

impl Session {
    /// The session's id.
    pub(crate) fn id(&self) -> SessionId {
        self.0.id
    }

    /// What everybody who may see the session is told about it.
    pub(crate) fn summary(&self) -> v1::Session {
        self.lock().summary()
    }

    /// What its host last said of itself; none before the first word.
    pub(crate) fn host_status(&self) -> Option<v1::HostStatus> {
        self.lock().status.clone()
    }

    /// The account it runs as; none for a host that said nonsense.
    pub(crate) fn account(&self) -> Option<AccountName> {
        self.lock().summary.account.parse().ok()
    }

    /// Its name.
    pub(crate) fn name(&self) -> Option<Name> {
        self.lock().summary.name.parse().ok()
    }

    /// Its agent.
    pub(crate) fn agent(&self) -> Option<Name> {
        self.lock().summary.agent.parse().ok()
    }

    /// The options and arguments that it was started with; whole once its host has gone.
    pub(crate) fn chosen(&self) -> v1::Chosen {
        self.lock().chosen.clone()
    }

    /// True for the very same link, not only the same session.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// True once its host was told to go.
    pub(crate) fn was_forgotten(&self) -> bool {
        self.0.forgotten.load(Ordering::Relaxed)
    }

    /// True once the agent has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// An error when its agent could not be executed; a host is heard only once it knows.
    pub(crate) fn was_started(&self) -> Result<(), SessionError> {
        self.lock().was_started()
    }

    /// An error that says how it ended, once it has.
    pub(crate) fn must_live(&self) -> Result<(), SessionError> {
        self.lock().must_live()
    }

    /// Resolves when the agent has ended or the link is gone.
    pub(crate) async fn ended(&self) {
        let waiting = {
            let mut state = self.lock();
            if state.ended.is_some() || state.link_gone {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting_for_end.push(sender);
            receiver
        };
        // A dropped sender means that the link is gone, which is an end as well.
        let _ = waiting.await;
    }

    /// The screen as text.
    pub(crate) async fn show(&self) -> Result<String, SessionError> {
        let reply = self.take_snapshot(v1::SnapshotKind::Text, 0).await?;
        Ok(String::from_utf8_lossy(&reply.data).into_owned())
    }

    /// Up to `lines` history lines above the screen, as terminal bytes.
    pub(crate) async fn history(&self, lines: u32) -> Result<Bytes, SessionError> {
        let lines = lines.min(crate::base::HISTORY_LINES);
        Ok(self.take_snapshot(v1::SnapshotKind::History, lines).await?.data)
    }

    /// Types text, and Enter when asked, as a writer of its own; resolves when the PTY took it.
    pub(crate) async fn send(&self, text: &str, enter: bool) -> Result<(), SessionError> {
        if text.len() > crate::base::INPUT_MESSAGE {
            return Err(SessionError::InputTooLong(text.len()));
        }
        let writer = WriterId::from_bytes(crate::gateway::random());
        let taken = {
            let mut state = self.lock();
            state.must_live()?;
            if state.is_structured() {
                return Err(events::wrong_mode("takes prompts, not keys", state));
            }
            let (sender, receiver) = oneshot::channel();
            state.sends.insert(writer, sender);
            receiver
        };
        self.tell(ToHostBody::Input(v1::Input {
            writer: Bytes::copy_from_slice(writer.as_bytes()),
            offset: 0,
            data: Bytes::copy_from_slice(text.as_bytes()),
            paste: false,
            enter,
            viewer: 0,
        }))?;
        let outcome = tokio::time::timeout(HOST_DEADLINE, taken).await;
        self.lock().sends.remove(&writer);
        match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(SessionError::HostGone),
            Err(_) => Err(SessionError::Late("the session's program")),
        }
    }

    /// A new name, which the host carries.
    pub(crate) fn rename(&self, name: &Name) -> Result<(), SessionError> {
        self.tell(ToHostBody::Name(v1::SetName { name: name.to_string() }))?;
        let mut state = self.lock();
        state.summary.name = name.to_string();
        let at = state.known_head;
        let event = v1::Event { kind: Some(v1::event::Kind::Renamed(name.to_string())), more: false };
        state.tell_all(at, &ViewerItem::Event { offset: at, event });
        Ok(())
    }

    /// Ends the host of an ended session.
    pub(crate) fn forget(&self) -> Result<(), SessionError> {
        self.0.forgotten.store(true, Ordering::Relaxed);
        self.tell(ToHostBody::Forget(v1::ForgetHost {}))
    }

    /// Ends every attachment with this reason; their viewers may come back.
    pub(crate) fn detach_all(&self, reason: &'static str) {
        self.lock().detach_all(reason);
    }

    /// The grid.
    pub(crate) fn size(&self) -> WinSize {
        self.lock().size.effective()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held ended one connection; the state is only ever changed in whole steps.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, body: ToHostBody) -> Result<(), SessionError> {
        self.0.outgoing.send(&v1::ToHost { body: Some(body) })
    }

    async fn take_snapshot(&self, kind: v1::SnapshotKind, history: u32) -> Result<Reply, SessionError> {
        self.ask(|request| ToHostBody::Snapshot(v1::TakeSnapshot { request, kind: kind.into(), history })).await
    }

    /// Sends a numbered question and waits for its whole answer.
    async fn ask(&self, question: impl FnOnce(u32) -> ToHostBody) -> Result<Reply, SessionError> {
        let (request, answer) = self.lock().open_request();
        let question = self.lock().questions.ask(question(request));
        let outcome = match question.map_or(Ok(()), |question| self.tell(question)) {
            Ok(()) => tokio::time::timeout(HOST_DEADLINE, answer).await,
            Err(error) => {
                self.lock().requests.remove(&request);
                return Err(error);
            }
        };
        match outcome {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(SessionError::HostGone),
            Err(_) => {
                self.lock().requests.remove(&request);
                Err(SessionError::Late("the session's host"))
            }
        }
    }

    /// Log bytes from `from` on, at most one read; `from` beyond the head answers with the head and no bytes.
    async fn read(&self, from: Offset) -> Result<Reply, SessionError> {
        let to = from.plus(slot::READ);
        self.ask(|request| ToHostBody::Read(v1::Read { request, from: from.0, to: to.0 })).await
    }
}
