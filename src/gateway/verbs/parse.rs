//! Words to a verb; does not know which agents and sessions exist, nor who asks.

use crate::base::{Name, NameError, printable};

use super::structured::{self, AgentVerb};
use super::{help_text, split, usage};

/// What the words ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `ls [--json]`
    List { json: bool },
    /// `new AGENT …`
    New(NewVerb),
    /// `attach NAME …`
    Attach(AttachVerb),
    /// A first word that is no verb: an agent, else a session.
    Named(Named),
    /// `kill NAME`
    Kill { session: Name },
    /// `stop NAME`
    Stop { session: Name },
    /// `restart NAME`
    Restart { session: Name },
    /// `rename NAME NEW-NAME`
    Rename { session: Name, name: Name },
    /// `forget NAME`
    Forget { session: Name },
    /// `send NAME TEXT…`
    Send(SendVerb),
    /// `show NAME`
    Show { session: Name },
    /// Something for the agent of a structured session.
    Agent(AgentVerb),
    /// `help [VERB]`; the text itself.
    Help { text: String },
}

/// `new`: what to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewVerb {
    pub(crate) agent: Name,
    /// Absolute or relative to the first root; none: the first root.
    pub(crate) directory: Option<String>,
    pub(crate) name: Option<Name>,
    pub(crate) mode: Option<String>,
    /// Declared options by name, in the order given; an empty value for an option that stood alone.
    pub(crate) options: Vec<(String, String)>,
    /// What followed `--`.
    pub(crate) args: Vec<String>,
}

/// `attach`: whom to look at, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttachVerb {
    pub(crate) session: Name,
    pub(crate) view: bool,
    pub(crate) from: From,
}

/// Where an attachment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The live head.
    Live,
    /// The oldest byte held.
    Start,
    /// This offset.
    Offset(u64),
}

/// `send`: what to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendVerb {
    pub(crate) session: Name,
    pub(crate) text: String,
    pub(crate) enter: bool,
}

/// The agent's session in a directory, or a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenVerb {
    pub(crate) agent: Name,
    pub(crate) directory: Option<String>,
    pub(crate) args: Vec<String>,
}

/// `WORD [DIR] [-- ARGS]`, before anybody said whether WORD is an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    word: Name,
    directory: Option<String>,
    args: Vec<String>,
}

/// What a `Named` turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// An agent.
    Open(OpenVerb),
    /// A session, as far as the grammar can tell.
    Attach(AttachVerb),
}

/// The words make no sense; each text says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("a quote is not closed or a backslash ends the line: quote as for a shell")]
    Quote,
    #[error("nothing to do: {}", usage("help"))]
    Nothing,
    #[error("{verb} needs {what}: {}", usage(verb))]
    Missing { verb: &'static str, what: &'static str },
    #[error("{verb} does not take {:?}: {}", printable(word, 64), usage(verb))]
    Extra { verb: &'static str, word: String },
    #[error("{verb} takes {} once: {}", printable(flag, 64), usage(verb))]
    Twice { verb: &'static str, flag: String },
    #[error("the value of {} begins with '-': write {flag}=VALUE with a value that does not", printable(flag, 64))]
    Dash { flag: String },
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("--from takes start or a number, not {:?}", printable(.0, 64))]
    From(String),
    #[error("there is no verb {:?}: `help` lists them", printable(.0, 64))]
    NoVerb(String),
    #[error("{:?} is neither a verb nor an agent here: `help` lists the verbs, `ls` the sessions", printable(.0, 64))]
    NoAgent(String),
}

/// The verb that these words are.
///
/// # Errors
/// What is missing or too much, with the usage line of the verb.
pub(crate) fn parse(words: &[String]) -> Result<Verb, UsageError> {
    let mut words = Words { rest: words };
    let first = words.next().ok_or(UsageError::Nothing)?;
    match first {
        "ls" => list(words),
        "new" => new(words),
        "attach" => attach(words),
        "kill" => words.only_name("kill").map(|session| Verb::Kill { session }),
        "stop" => words.only_name("stop").map(|session| Verb::Stop { session }),
        "restart" => words.only_name("restart").map(|session| Verb::Restart { session }),
        "forget" => words.only_name("forget").map(|session| Verb::Forget { session }),
        "show" => words.only_name("show").map(|session| Verb::Show { session }),
        "rename" => {
            let session = words.name("rename", "the name of a session")?;
            let name = words.only_name("rename")?;
            Ok(Verb::Rename { session, name })
        }
        "send" => send(words),
        "help" | "--help" | "-h" => help(words),
        word => structured::parse(word, words).unwrap_or_else(|| named(word, words)),
    }
}

/// Whether this word alone is a verb, complete or not; `open` is one of the local client.
pub(crate) fn is_verb(word: &str) -> bool {
    word == "open" || !matches!(parse(&[word.to_owned()]), Ok(Verb::Named(_)))
}

/// Whether a key's `command=` may be this text: a verb, or one of `is_agent`'s agents; a bare session name would hide a
/// misspelt verb.
pub(crate) fn is_forcible(text: &str, is_agent: &dyn Fn(&str) -> bool) -> bool {
    match split(text).and_then(|words| parse(&words)) {
        Ok(Verb::Named(named)) => is_agent(named.word.as_str()),
        Ok(_) => true,
        Err(_) => false,
    }
}

impl Named {
    /// Agents win over sessions.
    ///
    /// # Errors
    /// The word is no agent, and what follows it would make no sense for a session.
    pub(crate) fn resolve(self, is_agent: impl Fn(&str) -> bool) -> Result<Target, UsageError> {
        if is_agent(self.word.as_str()) {
            return Ok(Target::Open(OpenVerb { agent: self.word, directory: self.directory, args: self.args }));
        }
        if self.directory.is_some() || !self.args.is_empty() {
            return Err(UsageError::NoAgent(self.word.as_str().to_owned()));
        }
        Ok(Target::Attach(AttachVerb { session: self.word, view: false, from: From::Live }))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    rest: &'a [String],
}

impl<'a> Words<'a> {
    pub(super) fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.rest.first().map(String::as_str)
    }

    pub(super) fn name(&mut self, verb: &'static str, what: &'static str) -> Result<Name, UsageError> {
        let word = self.next().ok_or(UsageError::Missing { verb, what })?;
        if word.starts_with('-') {
            return Err(UsageError::Extra { verb, word: word.to_owned() });
        }
        Ok(word.parse()?)
    }

    pub(super) fn only_name(mut self, verb: &'static str) -> Result<Name, UsageError> {
        let name = self.name(verb, "a name")?;
        self.end(verb)?;
        Ok(name)
    }

    pub(super) fn end(mut self, verb: &'static str) -> Result<(), UsageError> {
        self.next().map_or(Ok(()), |word| Err(UsageError::Extra { verb, word: word.to_owned() }))
    }

    pub(super) fn rest(&self) -> Vec<String> {
        self.rest.to_vec()
    }

    /// The value of a flag that was `--flag=VALUE` or is followed by one; empty when nothing follows.
    pub(super) fn value(&mut self, flag: &str, inline: Option<&str>) -> Result<String, UsageError> {
        let value = match inline {
            Some(value) => value,
            None if self.rest.first().is_none_or(|next| next.starts_with("--")) => "",
            None => self.next().unwrap_or_default(),
        };
        if value.starts_with('-') { Err(UsageError::Dash { flag: flag.to_owned() }) } else { Ok(value.to_owned()) }
    }
}

fn list(mut words: Words<'_>) -> Result<Verb, UsageError> {
    match words.next() {
        None => Ok(Verb::List { json: false }),
        Some("--json") => words.end("ls").map(|()| Verb::List { json: true }),
        Some(word) => Err(UsageError::Extra { verb: "ls", word: word.to_owned() }),
    }
}

fn new(mut words: Words<'_>) -> Result<Verb, UsageError> {
    let agent = words.name("new", "an agent")?;
    let mut verb = NewVerb { agent, directory: None, name: None, mode: None, options: Vec::new(), args: Vec::new() };
    while let Some(word) = words.next() {
        if word == "--" {
            verb.args = words.rest();
            break;
        }
        let Some(flag) = word.strip_prefix("--") else {
            directory("new", &mut verb.directory, word)?;
            continue;
        };
        let (flag, inline) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
        let value = words.value(&format!("--{flag}"), inline)?;
        let twice = UsageError::Twice { verb: "new", flag: format!("--{flag}") };
        match flag {
            "name" if verb.name.is_some() => return Err(twice),
            "mode" if verb.mode.is_some() => return Err(twice),
            "name" if value.is_empty() => return Err(UsageError::Missing { verb: "new", what: "a name after --name" }),
            "mode" if value.is_empty() => return Err(UsageError::Missing { verb: "new", what: "a mode after --mode" }),
            "name" => verb.name = Some(value.parse()?),
            "mode" => verb.mode = Some(value),
            _ if verb.options.iter().any(|(name, _)| name == flag) => return Err(twice),
            _ => verb.options.push((flag.to_owned(), value)),
        }
    }
    Ok(Verb::New(verb))
}

fn attach(mut words: Words<'_>) -> Result<Verb, UsageError> {
    let verb = "attach";
    let session = words.name(verb, "the name of a session")?;
    let (mut view, mut from) = (false, None);
    while let Some(word) = words.next() {
        let (flag, inline) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        match flag {
            "--view" if inline.is_none() => view = true,
            "--from" if from.is_some() => return Err(UsageError::Twice { verb, flag: flag.to_owned() }),
            "--from" => from = Some(parse_number(&words.value(flag, inline)?)?),
            _ => return Err(UsageError::Extra { verb, word: word.to_owned() }),
        }
    }
    Ok(Verb::Attach(AttachVerb { session, view, from: from.unwrap_or(From::Live) }))
}

/// `start`, or a number of bytes or events.
pub(super) fn parse_number(value: &str) -> Result<From, UsageError> {
    match value {
        "start" => Ok(From::Start),
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map(From::Offset).map_err(|_| UsageError::From(value.to_owned()))
        }
        _ => Err(UsageError::From(value.to_owned())),
    }
}

/// `--no-enter` counts before the name, before the text and as the last word; after `--` everything is text.
fn send(mut words: Words<'_>) -> Result<Verb, UsageError> {
    let mut enter = true;
    let mut flags = |words: &mut Words<'_>| {
        while words.rest.first().is_some_and(|word| word == "--no-enter") {
            enter = false;
            words.next();
        }
    };
    flags(&mut words);
    let session = words.name("send", "the name of a session")?;
    flags(&mut words);
    let mut text = words.rest();
    if text.first().is_some_and(|word| word == "--") {
        text.remove(0);
    } else if text.len() > 1 && text.last().is_some_and(|word| word == "--no-enter") {
        enter = false;
        text.pop();
    }
    if text.is_empty() {
        return Err(UsageError::Missing { verb: "send", what: "a text" });
    }
    Ok(Verb::Send(SendVerb { session, text: text.join(" "), enter }))
}

fn help(mut words: Words<'_>) -> Result<Verb, UsageError> {
    let verb = words.next();
    words.end("help")?;
    let text = help_text(verb).ok_or_else(|| UsageError::NoVerb(verb.unwrap_or_default().to_owned()))?;
    Ok(Verb::Help { text })
}

fn named(word: &str, mut words: Words<'_>) -> Result<Verb, UsageError> {
    let word: Name = word.parse().map_err(|_| UsageError::NoVerb(word.to_owned()))?;
    let mut named = Named { word, directory: None, args: Vec::new() };
    while let Some(word) = words.next() {
        match word {
            "--" => {
                named.args = words.rest();
                break;
            }
            word if word.starts_with('-') => {
                return Err(UsageError::Extra { verb: "AGENT", word: word.to_owned() });
            }
            word => directory("AGENT", &mut named.directory, word)?,
        }
    }
    Ok(Verb::Named(named))
}

fn directory(verb: &'static str, slot: &mut Option<String>, word: &str) -> Result<(), UsageError> {
    if slot.is_some() || word.starts_with('-') || word.is_empty() {
        return Err(UsageError::Extra { verb, word: word.to_owned() });
    }
    *slot = Some(word.to_owned());
    Ok(())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
