//! The arguments that make Claude Code speak its line protocol; does not know where the program is.

use crate::agents::Pattern;

/// Which conversation the process carries on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversation {
    /// A new one under this UUID, so that its id is known before it says a word.
    New(String),
    /// This one from the agent's own history. Never "the newest of this directory": that may be another client's.
    Resume(String),
}

/// The id is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no conversation of Claude Code; it is a UUID as `AgentStarted` tells it")]
pub struct BadConversation(pub String);

impl Conversation {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Resume(id) => id,
        }
    }
}

/// What follows the program and its configured arguments. Permission requests come over standard output; each prompt
/// is echoed when the agent has taken it.
pub fn arguments(conversation: &Conversation) -> Result<Vec<String>, BadConversation> {
    if !Pattern::Uuid.takes(conversation.id()) {
        return Err(BadConversation(crate::base::printable(conversation.id(), 64)));
    }
    let fixed = [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--replay-user-messages",
        "--permission-prompt-tool",
        "stdio",
    ];
    let flag = match conversation {
        Conversation::New(_) => "--session-id",
        Conversation::Resume(_) => "--resume",
    };
    Ok(fixed.iter().copied().chain([flag, conversation.id()]).map(str::to_owned).collect())
}

/// The same conversation in a terminal.
pub fn resuming(id: &str) -> Result<[String; 2], BadConversation> {
    match Pattern::Uuid.takes(id) {
        true => Ok(["--resume".to_owned(), id.to_owned()]),
        false => Err(BadConversation(crate::base::printable(id, 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_always_named() {
        let id = "00000000-0000-4000-8000-000000000077";
        let new = arguments(&Conversation::New(id.into())).unwrap();
        assert_eq!(new[new.len() - 2..], ["--session-id", id]);
        let resumed = arguments(&Conversation::Resume(id.into())).unwrap();
        assert_eq!(resumed[resumed.len() - 2..], ["--resume", id]);
        assert!(!new.iter().chain(&resumed).any(|word| word == "--continue"));
        for bad in ["", "--continue", "last"] {
            assert!(arguments(&Conversation::Resume(bad.into())).is_err(), "{bad}");
        }
    }
}
