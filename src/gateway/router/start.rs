//! Starting a session: name, directory, audit, order, link. Knows no door.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::directory::{Below, below};
use super::{Router, SessionHandle};
use crate::audit::{Event, Field};
use crate::base::{AccountName, Name, SessionId, WinSize};
use crate::config::CarefulOption;
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;
use crate::gateway::session::Session;
use crate::gateway::verbs::is_verb;
use crate::policy::{Subject, Verb};
use crate::wire::v1;
use crate::wire::v1::answer::Body as AnswerBody;
use crate::wire::v1::order::Body as OrderBody;

/// What somebody wants to start.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartRequest {
    pub(crate) agent: String,
    /// Empty: the first root.
    pub(crate) directory: String,
    pub(crate) name: Option<Name>,
    /// Empty: the agent's first.
    pub(crate) mode: String,
    pub(crate) size: Option<WinSize>,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
    /// The same id again means the same session.
    pub(crate) request_id: Option<String>,
    /// A living session of this agent in this directory will do.
    pub(crate) reuse: bool,
}

impl Router {
    /// Starts a session, or finds the one that the request means; true when it was made now.
    pub(crate) async fn start(
        &self,
        grant: &LiveGrant,
        request: StartRequest,
    ) -> Result<(SessionHandle, bool), SessionError> {
        let account = grant.account().clone();
        let unknown = || SessionError::Unknown(account.to_string());
        let roots = self.account(&account).ok_or_else(unknown)?;
        let agent: Name = request.agent.parse()?;
        self.may_start_mode(grant, &agent, &request)?;
        grant.may(Verb::Start, &Subject { account: &account, agent: &agent, session: request.name.as_ref() })?;
        let place = below(&roots.roots, &request.directory)?;
        let permit = self.0.starting.get(&account).ok_or_else(unknown)?;
        let _one_at_a_time = permit.acquire().await.map_err(|_| SessionError::NoSpawner)?;

        let id = session_id(grant, request.request_id.as_deref());
        if let Some(session) = self.table().get(&id).cloned() {
            return Ok((self.handle(session, grant), false));
        }
        if request.reuse
            && let Some(session) = self.last_typed(grant, &agent, &place)
        {
            return Ok((self.handle(session, grant), false));
        }
        let resumed = request.options.iter().find(|(name, _)| name == "resume").map(|(_, id)| id.as_str());
        self.conversation_is_free(&account, resumed.unwrap_or_default(), None)?;
        grant.count_start()?;
        let living = self.of_account(&account).iter().filter(|session| !session.has_ended()).count();
        if living >= roots.max_sessions as usize {
            let message =
                format!("account {account} has {living} sessions, its limit; `kill` one, or raise max_sessions");
            return Err(SessionError::Refused { code: "too-many-sessions", message });
        }
        let name = self.choose_name(grant, &agent, request.name.clone())?;
        let entry = grant
            .entry(Event::SessionStart)
            .text(Field::Session, &id.to_string())
            .text(Field::Name, name.as_str())
            .text(Field::Agent, agent.as_str())
            .text(Field::Directory, &place.absolute);
        self.0.journal.append(&entry)?;
        let order = order(grant, id, &agent, &name, place, &request);
        let launched = match self.launch(order, id).await {
            Ok(session) => match session.was_started() {
                Ok(()) => return Ok((self.handle(session, grant), true)),
                // Nothing ran, so there is nothing to look at.
                Err(error) => self.gone(&session).await.and(Err(error)),
            },
            Err(error) => Err(error),
        };
        match launched {
            Ok(()) => Err(SessionError::HostGone),
            Err(error) => {
                let entry = grant
                    .entry(Event::SessionFailed)
                    .text(Field::Session, &id.to_string())
                    .text(Field::Name, name.as_str())
                    .text(Field::Code, error.code())
                    .text(Field::Message, &error.to_string());
                self.0.journal.note(&entry);
                Err(error)
            }
        }
    }

    /// Orders a start and links to the host that came of it.
    pub(super) async fn launch(&self, order: v1::Start, id: SessionId) -> Result<Session, SessionError> {
        let (answer, _) = self.0.spawner.order(OrderBody::Start(order)).await?;
        match answer {
            AnswerBody::Started(_) => self.adopt(id).await.map_err(|error| {
                tracing::error!(session = %id, %error, "a started host could not be linked");
                SessionError::HostGone
            }),
            AnswerBody::Refused(refused) => Err(from_spawner(refused)),
            _ => Err(SessionError::NoSpawner),
        }
    }

    /// Agents do not lock their conversations: two that go on with one would write over each other. `but`: is about to end.
    pub(super) fn conversation_is_free(
        &self,
        account: &AccountName,
        conversation: &str,
        but: Option<&Session>,
    ) -> Result<(), SessionError> {
        if conversation.is_empty() {
            return Ok(());
        }
        let has = |session: &&Session| {
            !session.has_ended() && but.is_none_or(|but| !but.is(session)) && session.has_conversation(conversation)
        };
        match self.of_account(account).iter().find(has).and_then(Session::name) {
            None => Ok(()),
            Some(name) => {
                let message = format!("session {name} has that conversation already: attach to it, or kill it first");
                Err(SessionError::Refused { code: "conversation-in-use", message })
            }
        }
    }

    /// `no-pty` forbids terminals alone. A mode in which nobody is asked is as good as an approval.
    fn may_start_mode(&self, grant: &LiveGrant, agent: &Name, request: &StartRequest) -> Result<(), SessionError> {
        let first = self.0.first_modes.get(agent).map(String::as_str);
        let mode = if request.mode.is_empty() { first.unwrap_or_default() } else { &request.mode };
        if mode != "structured" {
            grant.may_terminal()?;
        }
        let options =
            request.options.iter().map(|(name, value)| v1::Option { name: name.clone(), value: value.clone() });
        may_choose(grant, self.careful_of(agent.as_str()), &options.collect::<Vec<_>>(), &request.args)
    }

    /// The agent's options by which less may be asked.
    pub(super) fn careful_of(&self, agent: &str) -> &[CarefulOption] {
        let known = self.0.careful.iter().find(|(name, _)| name.as_str() == agent);
        known.map(|(_, options)| options.as_slice()).unwrap_or_default()
    }

    fn last_typed(&self, grant: &LiveGrant, agent: &Name, place: &Below) -> Option<Session> {
        self.of_account(grant.account())
            .into_iter()
            .filter(|session| !session.has_ended() && session.agent().as_ref() == Some(agent))
            .filter(|session| super::may(grant, Verb::View, session).is_ok())
            .filter(|session| session.summary().directory == place.absolute && !session.is_structured())
            .max_by_key(|session| {
                let summary = session.summary();
                (summary.last_input, summary.created)
            })
    }

    fn choose_name(&self, grant: &LiveGrant, agent: &Name, wished: Option<Name>) -> Result<Name, SessionError> {
        let taken: Vec<_> = self.of_account(grant.account()).iter().filter_map(Session::name).collect();
        let name = match wished {
            Some(name) if taken.contains(&name) => return Err(SessionError::NameTaken(name)),
            Some(name) => reachable(grant, agent, name)?,
            None => free_name(agent, |name| taken.contains(name) || meaning(grant, agent, name).is_some())?,
        };
        let account = grant.account().clone();
        grant.may(Verb::Start, &Subject { account: &account, agent, session: Some(&name) })?;
        Ok(name)
    }
}

/// Whether somebody may start an agent with this: what may make it ask less is as good as an approval, and a free tail can say anything.
pub(super) fn may_choose(
    grant: &LiveGrant,
    careful: &[CarefulOption],
    options: &[v1::Option],
    args: &[String],
) -> Result<(), SessionError> {
    let asks_less = |option: &v1::Option| {
        let known = careful.iter().find(|known| known.name == option.name);
        known.is_some_and(|known| !known.asks.contains(&option.value))
    };
    if !args.is_empty() || options.iter().any(asks_less) {
        grant.may_approve()?;
    }
    Ok(())
}

fn order(
    grant: &LiveGrant,
    id: SessionId,
    agent: &Name,
    name: &Name,
    place: Below,
    request: &StartRequest,
) -> v1::Start {
    let size = request.size.unwrap_or(WinSize::DEFAULT);
    let option = |(name, value): &(String, String)| v1::Option { name: name.clone(), value: value.clone() };
    v1::Start {
        session_id: id.to_string(),
        account: grant.account().to_string(),
        agent: agent.to_string(),
        mode: request.mode.clone(),
        root: place.root,
        directory: place.relative,
        size: Some(v1::Size { cols: size.cols().into(), rows: size.rows().into() }),
        options: request.options.iter().map(option).collect(),
        args: request.args.clone(),
        name: name.to_string(),
        creator: grant.who().to_owned(),
        proof: Bytes::new(),
        resume: String::new(),
        check: false,
    }
}

/// What a bare word of that name means that is no session; the name of its own agent is what a session is called first.
fn meaning(grant: &LiveGrant, agent: &Name, name: &Name) -> Option<&'static str> {
    if is_verb(name.as_str()) {
        return Some("a verb");
    }
    (name != agent && grant.policy().agents.contains(name)).then_some("an agent")
}

/// The name, unless a bare word of it means something else.
pub(super) fn reachable(grant: &LiveGrant, agent: &Name, name: Name) -> Result<Name, SessionError> {
    match meaning(grant, agent, &name) {
        Some(what) => Err(SessionError::NameReserved { name, what }),
        None => Ok(name),
    }
}

/// `claude`, `claude-2`, `claude-3` …
fn free_name(agent: &Name, is_used: impl Fn(&Name) -> bool) -> Result<Name, SessionError> {
    let stem: String = agent.as_str().chars().take(56).collect();
    let mut name: Name = stem.parse()?;
    let mut number = 1u32;
    while is_used(&name) {
        number += 1;
        name = format!("{stem}-{number}").parse()?;
    }
    Ok(name)
}

/// A request id of a client makes the same session id each time, for this key alone; without one it is random.
fn session_id(grant: &LiveGrant, request: Option<&str>) -> SessionId {
    let Some(request) = request.filter(|request| !request.is_empty()) else {
        return SessionId::from_bytes(crate::gateway::random());
    };
    let mut hash = Sha256::new();
    for part in ["portcullis-session", grant.account().as_str(), grant.key().as_str(), request] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    SessionId::from_bytes(id)
}

/// The spawner's codes, which are the client's too.
pub(crate) const SPAWNER_CODES: [&str; 10] = [
    "no-such-account",
    "no-such-agent",
    "agent-not-allowed",
    "directory-outside-roots",
    "no-such-directory",
    "too-many-sessions",
    "bad-option",
    "launch-failed",
    "audit-unavailable",
    "busy",
];

/// One that is not known here is a failed launch.
pub(super) fn from_spawner(refused: v1::Refused) -> SessionError {
    let code = SPAWNER_CODES.into_iter().find(|code| *code == refused.code).unwrap_or("launch-failed");
    SessionError::Refused { code, message: refused.message }
}
