//! Ending, renaming, restarting and forgetting sessions. Knows no door.

use std::time::Duration;

use super::start::{from_spawner, may_choose, reachable};
use super::{Router, SessionHandle};
use crate::audit::{Entry, Event, Field};
use crate::base::{Name, SessionId};
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::session::Session;
use crate::policy::Verb;
use crate::wire::v1;
use crate::wire::v1::answer::Body as AnswerBody;
use crate::wire::v1::order::Body as OrderBody;

/// Time for an agent between hang-up, TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// For an agent that was told to end: its turn may take 10 s to end (`limits::INTERRUPT`), then it has as long as before TERM.
const STOP: Duration = Duration::from_secs(12);
/// Until an ended session's host is gone, or a killed agent reported as ended.
const END: Duration = Duration::from_secs(15);
/// How often the table is looked at while a forgotten host goes.
const LOOK: Duration = Duration::from_millis(10);

impl Router {
    /// Ends the session's processes; resolves when the agent is reported as ended.
    pub(crate) async fn kill(&self, grant: &LiveGrant, name: &str) -> Result<v1::Session, SessionError> {
        let handle = self.find(grant, name, Verb::Kill)?;
        handle.session.must_live()?;
        self.0.journal.append(&handle.entry(Event::Act).text(Field::Act, "kill"))?;
        self.end(&handle.session).await?;
        Ok(handle.session.summary())
    }

    /// Lets a structured session's agent end by itself; resolves when it has.
    pub(crate) async fn stop(&self, grant: &LiveGrant, name: &str) -> Result<v1::Session, SessionError> {
        let handle = self.find(grant, name, Verb::Kill)?;
        let session = &handle.session;
        session.must_live()?;
        let name = session.summary().name;
        if !session.is_structured() {
            let message = format!("session {name} has a terminal: end its program there, or `kill {name}`");
            return Err(SessionError::Refused { code: "wrong-mode", message });
        }
        self.0.journal.append(&handle.entry(Event::Act).text(Field::Act, "stop"))?;
        session.stop_agent().await?;
        tokio::time::timeout(STOP, session.ended()).await.map_err(|_| SessionError::NotEnded(name))?;
        if !session.has_ended() {
            return Err(SessionError::HostGone);
        }
        Ok(session.summary())
    }

    /// `kill` without a key, by name: for the operator. Several accounts may use one name; all are ended.
    pub(crate) async fn kill_any(&self, name: &str) -> Result<usize, SessionError> {
        let named =
            |session: &Session| session.id().to_string() == name || session.name().is_some_and(|n| n.as_str() == name);
        let (ended, living): (Vec<_>, Vec<_>) = self.all().into_iter().filter(named).partition(Session::has_ended);
        match (living.is_empty(), ended.first()) {
            (true, Some(session)) => session.must_live()?,
            (true, None) => return Err(SessionError::Unknown(name.chars().take(64).collect())),
            (false, _) => {}
        }
        for session in &living {
            let entry =
                Entry::new(Event::Admin).text(Field::Act, "kill").text(Field::Session, &session.id().to_string());
            self.0.journal.append(&entry)?;
            self.end(session).await?;
        }
        Ok(living.len())
    }

    /// Ends every session.
    pub(crate) async fn stop_all(&self) -> Result<usize, SessionError> {
        self.0.journal.append(&Entry::new(Event::Admin).text(Field::Act, "stop --all"))?;
        let mut stopped = 0;
        for session in self.all() {
            if !session.has_ended() {
                self.end(&session).await?;
                stopped += 1;
            }
            self.gone(&session).await?;
        }
        Ok(stopped)
    }

    /// A new name within the account.
    pub(crate) fn rename(&self, grant: &LiveGrant, name: &str, new: &str) -> Result<v1::Session, SessionError> {
        let handle = self.find(grant, name, Verb::Rename)?;
        let new: Name = new.parse()?;
        let taken = self.of_account(grant.account()).iter().any(|other| other.name().as_ref() == Some(&new));
        if taken && handle.session.name().as_ref() != Some(&new) {
            return Err(SessionError::NameTaken(new));
        }
        let agent = handle.session.agent().ok_or(SessionError::HostGone)?;
        let new = reachable(grant, &agent, new)?;
        let entry = handle.entry(Event::Act).text(Field::Act, "rename").text(Field::Target, new.as_str());
        self.0.journal.append(&entry)?;
        handle.session.rename(&new)?;
        Ok(handle.session.summary())
    }

    /// Removes an ended session: its log, screen and status.
    pub(crate) async fn forget(&self, grant: &LiveGrant, name: &str) -> Result<(), SessionError> {
        let handle = self.find(grant, name, Verb::Forget)?;
        if let (false, Some(name)) = (handle.session.has_ended(), handle.session.name()) {
            return Err(SessionError::Lives(name));
        }
        self.0.journal.append(&handle.entry(Event::Act).text(Field::Act, "forget"))?;
        self.gone(&handle.session).await
    }

    /// A new agent with the same agent name, mode, options, directory, session name and id; old cursors get `reset`. True: it goes on with
    /// the agent's own history.
    pub(crate) async fn restart(&self, grant: &LiveGrant, name: &str) -> Result<(SessionHandle, bool), SessionError> {
        let handle = self.find(grant, name, Verb::Restart)?;
        if !handle.session.is_structured() {
            grant.may_terminal()?;
        }
        grant.count_start()?;
        let account = grant.account().clone();
        let permit = self.0.starting.get(&account).ok_or(SessionError::NoSpawner)?;
        let _one_at_a_time = permit.acquire().await.map_err(|_| SessionError::NoSpawner)?;
        self.0.journal.append(&handle.entry(Event::Act).text(Field::Act, "restart"))?;
        let old = handle.session;
        let summary = old.summary();
        let roots = self.account(&account).map(|account| account.roots.as_slice()).unwrap_or_default();
        let place = super::directory::below(roots, &summary.directory)?;
        let chosen = old.chosen();
        may_choose(grant, self.careful_of(&summary.agent), &chosen.options, &chosen.args)?;
        let resume = old.conversation();
        self.conversation_is_free(&account, &resume, Some(&old))?;
        let order = v1::Start {
            session_id: summary.session_id,
            account: summary.account,
            agent: summary.agent,
            mode: summary.mode,
            root: place.root,
            directory: place.relative,
            size: summary.size,
            options: chosen.options,
            args: chosen.args,
            name: summary.name,
            creator: grant.who().to_owned(),
            resume,
            ..v1::Start::default()
        };
        self.check(&order).await?;
        if !old.has_ended() {
            self.end(&old).await?;
        }
        old.detach_all("restarted");
        self.gone(&old).await?;
        // Whole only now, where the link to the host was young.
        let chosen = old.chosen();
        let order = v1::Start { options: chosen.options, args: chosen.args, ..order };
        let with_history = !order.resume.is_empty();
        let session = self.launch(order, old.id()).await?;
        session.was_started()?;
        Ok((self.handle(session, grant), with_history))
    }

    /// Whether the spawner's table permits a start: what would be refused shall not cost the session that lives.
    async fn check(&self, order: &v1::Start) -> Result<(), SessionError> {
        let order = v1::Start { check: true, ..order.clone() };
        match self.0.spawner.order(OrderBody::Start(order)).await? {
            // An older spawner, which does not know `check`, finds the session started.
            (AnswerBody::Done(_) | AnswerBody::Started(_), _) => Ok(()),
            (AnswerBody::Refused(refused), _) => Err(from_spawner(refused)),
            _ => Err(SessionError::NoSpawner),
        }
    }

    async fn end(&self, session: &Session) -> Result<(), SessionError> {
        if session.has_ended() {
            return Ok(());
        }
        if session.is_structured() && session.stop_agent().await.is_ok() {
            // What it has said and done is then in its own history too.
            let _ = tokio::time::timeout(GRACE, session.ended()).await;
        }
        let order = v1::Stop { session_id: session.id().to_string(), grace_ms: GRACE.as_millis() as u32 };
        match self.0.spawner.order(OrderBody::Stop(order)).await? {
            (AnswerBody::Stopped(_), _) => {}
            (AnswerBody::Refused(refused), _) => {
                return Err(SessionError::Refused { code: "internal", message: refused.message });
            }
            _ => return Err(SessionError::NoSpawner),
        }
        tokio::time::timeout(END, session.ended()).await.map_err(|_| SessionError::Late("the session's host"))
    }

    /// Lets an ended session's host go and waits until it is no more.
    pub(super) async fn gone(&self, session: &Session) -> Result<(), SessionError> {
        // A link that is down already is as good as told.
        let _ = session.forget();
        let id: SessionId = session.id();
        let gone = async {
            while self.table().get(&id).is_some_and(|known| known.is(session)) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(END, gone).await.map_err(|_| SessionError::Late("the session's host"))
    }
}
