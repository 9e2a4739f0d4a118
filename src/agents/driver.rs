//! What every agent's protocol looks like to a session: lines and times in, events and lines out; moves no byte itself.

use crate::wire::v1::AgentEvent;

/// Unix milliseconds.
pub type Millis = u64;

/// What a driver wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Into the log.
    Event(AgentEvent),
    /// To the agent's standard input: one line with its newline.
    Write(Vec<u8>),
    /// What the agent is doing, as far as its protocol shows it.
    Condition(Condition),
    /// No more input: the agent ends by itself when it has finished.
    CloseInput,
}

/// What follows from one call.
pub type Effects = Vec<Effect>;

/// What an agent does, apart from what it waits for people to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Takes no prompt yet; why, when that takes long.
    Starting(String),
    /// Its model refuses its credentials.
    NeedsLogin(String),
    /// Takes a prompt.
    Idle,
    /// In a turn; what is unusual about it, else nothing.
    Working(String),
    /// In a turn, waits before it asks its model again.
    Retrying(String),
    /// Says and takes nothing any more.
    Ended(String),
}

impl Condition {
    /// Whether a prompt may be handed over. Also where a login is missing: it may have been made good outside.
    pub fn takes_prompt(&self) -> bool {
        matches!(self, Self::Idle | Self::NeedsLogin(_))
    }
}

/// What a session asks of its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin a turn. Only while the condition takes one.
    Prompt {
        /// The client's id.
        id: String,
        /// Plain text.
        text: String,
    },
    /// Decide an open permission.
    Permission {
        /// As in `PermissionAsked`.
        id: String,
        /// One of the options that the driver offered.
        option: String,
        /// Told to the agent with a rejection; may be empty.
        reason: String,
    },
    /// Answer an open question, in the order of its parts.
    Question {
        /// As in `QuestionAsked`.
        id: String,
        /// The question's text and the answer's.
        answers: Vec<(String, String)>,
    },
    /// Tell the agent that nobody answers.
    Decline {
        /// As in `QuestionAsked`.
        id: String,
        /// Told to the agent; may be empty.
        reason: String,
    },
    /// End the turn.
    Interrupt,
    /// Another permission mode.
    SetMode(String),
    /// Another model.
    SetModel(String),
}

/// Why a session does not do what was asked. Codes are stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This agent cannot.
    #[error("{agent} has no {what}; docs/agents.md lists what each agent can")]
    Unsupported {
        /// The agent.
        agent: &'static str,
        /// The verb.
        what: &'static str,
    },
    /// There is no turn to interrupt.
    #[error("the agent is not working; there is nothing to interrupt")]
    NotWorking,
    /// It is in a turn or still starting.
    #[error("the agent takes no prompt now ({0}); wait for idle")]
    Busy(String),
    /// The agent is gone.
    #[error("the agent has ended; restart the session")]
    Ended,
    /// Of a raw one: somebody ended its input.
    #[error("the agent's input is closed, it takes nothing more; restart the session for a new one")]
    InputClosed,
    /// Neither open nor remembered.
    #[error("no open request {0:?}; `approvals` lists the open ones")]
    NoSuchRequest(String),
    /// Seen something else than what would be allowed.
    #[error("request {id} has another digest than the answer: look at the request again and answer that")]
    DigestMismatch {
        /// The request.
        id: String,
    },
    /// Somebody was first.
    #[error("request {id} is already resolved: {option} by {by}")]
    AlreadyResolved {
        /// The request.
        id: String,
        /// Key label or fingerprint.
        by: String,
        /// The winner's option.
        option: String,
    },
    /// The request died with its turn, by its deadline, or the agent took it back.
    #[error("request {id} has expired: {why}")]
    Expired {
        /// The request.
        id: String,
        /// What ended it.
        why: String,
    },
    /// Not among the options.
    #[error("request {id} has no option {option:?}; it has: {known}")]
    NoSuchOption {
        /// The request.
        id: String,
        /// What was asked for.
        option: String,
        /// What there is.
        known: String,
    },
    /// The answers do not fit the question.
    #[error("answer to {id}: {what}")]
    BadAnswer {
        /// The request.
        id: String,
        /// What is wrong and what would be right.
        what: String,
    },
    /// One id for two prompts.
    #[error("prompt {0:?} was sent before with another text; make a new id for a new prompt")]
    IdReused(String),
    /// Not a prompt.
    #[error("{0}")]
    BadPrompt(String),
    /// Too many wait.
    #[error("{0} prompts wait already; wait for one to finish or cancel one")]
    QueueFull(usize),
    /// Neither queued nor remembered.
    #[error("no prompt {0:?} is known")]
    NoSuchPrompt(String),
    /// Not in the queue any more.
    #[error("prompt {0:?} is already with the agent; interrupt ends its turn")]
    NotQueued(String),
    /// Not one of the list.
    #[error("no rule {0:?}; the session's rules are listed with its state")]
    NoSuchRule(String),
    /// Too many.
    #[error("the session has {0} rules; revoke one first, or allow once")]
    TooManyRules(usize),
    /// The agent speaks an older protocol.
    #[error("{agent} {version} is too old for this; it needs at least {needed}: update it")]
    AgentTooOld {
        /// The agent.
        agent: &'static str,
        /// What it says it is.
        version: String,
        /// What would do.
        needed: &'static str,
    },
    /// The agent speaks another version of its protocol.
    #[error(
        "the agent speaks version {spoken:?} of the Agent Client Protocol, this gateway {known}; install a version of \
         the agent that speaks {known}"
    )]
    OtherProtocol {
        /// As the agent says it; empty: it says none.
        spoken: String,
        /// What is spoken here.
        known: &'static str,
    },
    /// A name that is not a mode or model of this agent.
    #[error("{what} {value:?} is not one of: {known}")]
    NotOffered {
        /// Mode or model.
        what: &'static str,
        /// What was asked for.
        value: String,
        /// What there is.
        known: String,
    },
}

impl Refused {
    /// Every code, and whether the same command may be taken later.
    pub const CODES: [(&'static str, bool); 21] = [
        ("unsupported", false),
        ("not-working", false),
        ("busy", true),
        ("ended", false),
        ("input-closed", false),
        ("no-such-permission", false),
        ("digest-mismatch", false),
        ("already-resolved", false),
        ("expired", false),
        ("no-such-option", false),
        ("bad-answer", false),
        ("prompt-id-reused", false),
        ("bad-prompt", false),
        ("queue-full", true),
        ("no-such-prompt", false),
        ("not-queued", false),
        ("no-such-rule", false),
        ("too-many-rules", false),
        ("agent-too-old", false),
        ("not-offered", false),
        ("other-protocol", false),
    ];

    /// Stable, lower case with dashes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "unsupported",
            Self::NotWorking => "not-working",
            Self::Busy(_) => "busy",
            Self::Ended => "ended",
            Self::InputClosed => "input-closed",
            Self::NoSuchRequest(_) => "no-such-permission",
            Self::DigestMismatch { .. } => "digest-mismatch",
            Self::AlreadyResolved { .. } => "already-resolved",
            Self::Expired { .. } => "expired",
            Self::NoSuchOption { .. } => "no-such-option",
            Self::BadAnswer { .. } => "bad-answer",
            Self::IdReused(_) => "prompt-id-reused",
            Self::BadPrompt(_) => "bad-prompt",
            Self::QueueFull(_) => "queue-full",
            Self::NoSuchPrompt(_) => "no-such-prompt",
            Self::NotQueued(_) => "not-queued",
            Self::NoSuchRule(_) => "no-such-rule",
            Self::TooManyRules(_) => "too-many-rules",
            Self::AgentTooOld { .. } => "agent-too-old",
            Self::OtherProtocol { .. } => "other-protocol",
            Self::NotOffered { .. } => "not-offered",
        }
    }

    /// Whether the same command may be taken later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::QueueFull(_))
    }
}

/// One agent's protocol as a state machine.
///
/// No input may make it panic, and what it remembers is bounded whatever the agent says. Times never go back.
pub trait Driver: Send {
    /// The agent's process runs.
    fn start(&mut self, now: Millis) -> Effects;
    /// Bytes in, bytes out: its output goes to [`Driver::bytes`] as it is read instead of to [`Driver::line`], and clients may
    /// write to its input themselves.
    fn is_raw(&self) -> bool {
        false
    }
    /// One line of its standard output, without the newline, at most [`super::limits::LINE`] bytes.
    fn line(&mut self, _now: Millis, _line: &[u8]) -> Effects {
        Effects::new()
    }
    /// A line of `length` bytes was too long and is gone but for its beginning.
    fn overlong(&mut self, _now: Millis, _beginning: &[u8], _length: u64) -> Effects {
        Effects::new()
    }
    /// What one read of a raw one's standard output brought.
    fn bytes(&mut self, _now: Millis, _bytes: &[u8]) -> Effects {
        Effects::new()
    }
    /// Something to do for it. Refused: nothing has changed.
    fn command(&mut self, now: Millis, command: Command) -> Result<Effects, Refused>;
    /// The time that `wake` named has come.
    fn tick(&mut self, now: Millis) -> Effects;
    /// When `tick` is wanted next.
    fn wake(&self) -> Option<Millis>;
    /// The session is to end in good order: what makes the agent end by itself.
    fn stop(&mut self, _now: Millis) -> Effects {
        vec![Effect::CloseInput]
    }
    /// Its standard output is at its end.
    fn closed(&mut self, now: Millis) -> Effects;
}
