//! What goes wrong with a session, by blame, with the stable codes that clients see; does not know which door says it.

use crate::agents::driver::Refused;
use crate::base::{Name, NameError};
use crate::policy::Denial;
use crate::wire::v1::AgentRefusal;

/// Why a verb on a session was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    // ---- the peer
    /// No session of that name that this key may see.
    #[error("no session {0:?} here; `ls` shows what there is")]
    Unknown(String),
    /// Another session of the account has the name.
    #[error("a session {0} exists already; choose another with --name, or attach to it")]
    NameTaken(Name),
    /// A bare word of that name would mean something else.
    #[error("{name} is {what}, so a session of that name could not be reached by it; choose another name")]
    NameReserved {
        /// The word.
        name: Name,
        /// `a verb`, `an agent`.
        what: &'static str,
    },
    /// Not a name.
    #[error(transparent)]
    BadName(#[from] NameError),
    /// A message that cannot mean anything.
    #[error("{0}")]
    BadRequest(String),
    /// Input beyond what one message may hold.
    #[error("{0} bytes in one message; the limit is 65536: send it in pieces")]
    InputTooLong(usize),
    /// The program does not read what is typed.
    #[error(
        "the session's input queue is full (256 KiB): the program does not read; {accepted} bytes of this writer were accepted"
    )]
    InputFull {
        /// What has been accepted of this writer.
        accepted: u64,
    },
    /// A bare program has one writer at a time.
    #[error(
        "{} writes to session {session}, which takes bytes of one writer at a time: wait until it detaches, or `kill {session}`",
        crate::base::printable(.who, 200)
    )]
    InputHeld {
        /// Which.
        session: String,
        /// Key label or fingerprint of the writer.
        who: String,
    },
    /// The verb needs a live session.
    #[error("session {name} has ended already ({how}); `restart {name}` starts it anew, `forget {name}` removes it")]
    Ended {
        /// Which.
        name: Name,
        /// As `ls` shows it.
        how: String,
    },
    /// It was told to end, and lives on.
    #[error("session {0} was told to end and has not within 12 s; `kill {0}` ends it")]
    NotEnded(String),
    /// The verb needs an ended session.
    #[error("session {0} is alive; `kill {0}` first")]
    Lives(Name),
    /// The agent's driver refused; code and sentence as they came.
    #[error("{}", crate::base::printable(&.0.message, 400))]
    AgentRefused(Box<AgentRefusal>),
    // ---- policy
    /// The key may not.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The spawner or the router refused; code and sentence as they came.
    #[error("{message}")]
    Refused {
        /// Stable code.
        code: &'static str,
        /// The sentence.
        message: String,
    },
    /// Too much of something in too short a time.
    #[error("too many {what}; try again in {after_ms} ms")]
    RateLimited {
        /// What there was too much of.
        what: &'static str,
        /// When it may work.
        after_ms: u32,
    },
    // ---- ours
    /// The audit entry could not be written, so nothing was done.
    #[error("the audit log cannot be written, so nothing new is allowed; the operator must make room on its disk")]
    AuditUnavailable,
    /// The spawner or the host did not answer in time.
    #[error("{0} did not answer in time; try again")]
    Late(&'static str),
    /// The host went away.
    #[error("the session's host is gone")]
    HostGone,
    /// The spawner is not reachable.
    #[error("the gateway cannot reach its spawner; try again")]
    NoSpawner,
}

impl SessionError {
    /// The stable code of docs/protocol.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-session",
            Self::NameTaken(_) => "name-taken",
            Self::NameReserved { .. } => "name-reserved",
            Self::BadName(_) | Self::BadRequest(_) => "bad-request",
            Self::InputTooLong(_) => "input-too-long",
            Self::InputFull { .. } => "input-full",
            Self::InputHeld { .. } => "input-held",
            Self::Ended { .. } => "session-ended",
            Self::Lives(_) => "session-lives",
            Self::Denied(denial) => denial.code(),
            Self::Refused { code, .. } => code,
            Self::AgentRefused(refusal) => {
                // A host of another release may know codes that we do not.
                let host = [("event-gone", false), ("input-full", true)];
                let known = Refused::CODES.into_iter().chain(host).find(|(code, _)| *code == refusal.code);
                known.map_or("agent-refused", |(code, _)| code)
            }
            Self::RateLimited { .. } => "rate-limited",
            Self::AuditUnavailable => "audit-unavailable",
            Self::Late(_) | Self::NotEnded(_) => "late",
            Self::HostGone => "host-gone",
            Self::NoSpawner => "gateway-restarting",
        }
    }

    /// Whether the same message may succeed later.
    pub(crate) fn retryable(&self) -> bool {
        if let Self::AgentRefused(refusal) = self {
            return refusal.retryable;
        }
        matches!(
            self,
            Self::InputFull { .. }
                | Self::InputHeld { .. }
                | Self::RateLimited { .. }
                | Self::AuditUnavailable
                | Self::Late(_)
                | Self::NotEnded(_)
                | Self::NoSpawner
                | Self::Refused { code: "too-many-sessions" | "busy" | "launch-failed" | "audit-unavailable", .. }
        )
    }

    /// Milliseconds to wait before a retry; 0 when there is no better figure.
    pub(crate) fn after_ms(&self) -> u32 {
        match self {
            Self::RateLimited { after_ms, .. } => *after_ms,
            other if other.retryable() => 1_000,
            _ => 0,
        }
    }

    /// The input offset that an input error carries.
    pub(crate) fn accepted(&self) -> u64 {
        match self {
            Self::InputFull { accepted } => *accepted,
            _ => 0,
        }
    }
}
