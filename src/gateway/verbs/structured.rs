//! The verbs of structured sessions: words in, what they ask for out; does not know which sessions and requests exist.

use super::parse::{From, UsageError, Verb, Words, parse_number};
use crate::base::Name;

/// What is asked of an agent that speaks in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentVerb {
    /// `prompt NAME TEXT…`
    Prompt(PromptVerb),
    /// `events NAME`
    Events(EventsVerb),
    /// `events NAME --whole NUMBER`: one that came cut.
    Whole { session: Name, number: u64, raw: bool },
    /// `cancel NAME ID`: a prompt that waits.
    Cancel { session: Name, prompt: String },
    /// `approvals`
    Approvals { json: bool },
    /// `approve ID` and `deny ID`
    Decide(DecideVerb),
    /// `answer ID TEXT…`: a question.
    Answer { request: String, answers: Vec<String> },
    /// `interrupt NAME`
    Interrupt { session: Name },
    /// `eof NAME`: the end of a bare program's input.
    Eof { session: Name },
    /// `mode NAME MODE`
    Mode { session: Name, mode: String },
    /// `model NAME MODEL`
    Model { session: Name, model: String },
    /// `rules NAME`
    Rules { session: Name },
    /// `revoke NAME RULE`
    Revoke { session: Name, rule: String },
    /// `acp [AGENT [DIR]]`
    Acp(AcpVerb),
}

/// `acp`: which agent an editor talks to, and where it works when the editor's own directory is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcpVerb {
    /// None: the first that can.
    pub(crate) agent: Option<Name>,
    pub(crate) directory: Option<String>,
}

/// `prompt`: what to say, and what of the answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PromptVerb {
    pub(crate) session: Name,
    pub(crate) text: String,
    /// Its id; none: one is made.
    pub(crate) id: Option<String>,
    /// Every event as JSON instead of the answer's text.
    pub(crate) json: bool,
    /// Until the turn is over.
    pub(crate) wait: bool,
}

/// `events`: from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventsVerb {
    pub(crate) session: Name,
    pub(crate) from: From,
    /// With the agent's own lines.
    pub(crate) raw: bool,
}

/// `approve` or `deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecideVerb {
    /// A request's id or its beginning.
    pub(crate) request: String,
    pub(crate) allow: bool,
    /// From now on, in this session.
    pub(crate) always: bool,
    /// Told to the agent.
    pub(crate) reason: String,
}

/// The verb of this name, if it is one of these.
pub(super) fn parse(verb: &str, words: Words<'_>) -> Option<Result<Verb, UsageError>> {
    let parsed = match verb {
        "prompt" => prompt(words).map(AgentVerb::Prompt),
        "events" => events(words),
        "cancel" => {
            pair("cancel", "the id of a prompt", words).map(|(session, prompt)| AgentVerb::Cancel { session, prompt })
        }
        "approvals" => approvals(words),
        "approve" => decide("approve", words),
        "deny" => decide("deny", words),
        "answer" => answer(words),
        "interrupt" => words.only_name("interrupt").map(|session| AgentVerb::Interrupt { session }),
        "eof" => words.only_name("eof").map(|session| AgentVerb::Eof { session }),
        "rules" => words.only_name("rules").map(|session| AgentVerb::Rules { session }),
        "mode" => pair("mode", "a mode", words).map(|(session, mode)| AgentVerb::Mode { session, mode }),
        "model" => pair("model", "a model", words).map(|(session, model)| AgentVerb::Model { session, model }),
        "revoke" => pair("revoke", "a rule", words).map(|(session, rule)| AgentVerb::Revoke { session, rule }),
        "acp" => acp(words),
        _ => return None,
    };
    Some(parsed.map(Verb::Agent))
}

/// Flags count before the name and before the text; after `--` everything is text.
fn prompt(mut words: Words<'_>) -> Result<PromptVerb, UsageError> {
    let verb = "prompt";
    let (mut json, mut wait, mut id) = (false, true, None);
    let mut flags = |words: &mut Words<'_>| {
        loop {
            let word = words.peek().unwrap_or_default();
            let (flag, inline) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
            match flag {
                "--json" if inline.is_none() => json = true,
                "--no-wait" if inline.is_none() => wait = false,
                "--id" if id.is_some() => return Err(UsageError::Twice { verb, flag: flag.to_owned() }),
                "--id" => {
                    words.next();
                    id = Some(words.value(flag, inline)?);
                    continue;
                }
                _ => return Ok(()),
            }
            words.next();
        }
    };
    flags(&mut words)?;
    let session = words.name(verb, "the name of a session")?;
    flags(&mut words)?;
    let mut text = words.rest();
    if text.first().is_some_and(|word| word == "--") {
        text.remove(0);
    }
    if text.is_empty() {
        return Err(UsageError::Missing { verb, what: "a text" });
    }
    Ok(PromptVerb { session, text: text.join(" "), id, json, wait })
}

fn events(mut words: Words<'_>) -> Result<AgentVerb, UsageError> {
    let verb = "events";
    let session = words.name(verb, "the name of a session")?;
    let (mut from, mut whole, mut raw) = (None, None, false);
    while let Some(word) = words.next() {
        let (flag, inline) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        match flag {
            "--raw" if inline.is_none() => raw = true,
            "--from" if from.is_some() => return Err(UsageError::Twice { verb, flag: flag.to_owned() }),
            "--from" => from = Some(parse_number(&words.value(flag, inline)?)?),
            "--whole" if whole.is_some() => return Err(UsageError::Twice { verb, flag: flag.to_owned() }),
            "--whole" => {
                let value = words.value(flag, inline)?;
                whole = Some(value.parse().map_err(|_| UsageError::Extra { verb, word: value })?);
            }
            _ => return Err(UsageError::Extra { verb, word: word.to_owned() }),
        }
    }
    match (whole, from) {
        (Some(number), None) => Ok(AgentVerb::Whole { session, number, raw }),
        (Some(_), Some(_)) => Err(UsageError::Extra { verb, word: "--from beside --whole".to_owned() }),
        (None, from) => Ok(AgentVerb::Events(EventsVerb { session, from: from.unwrap_or(From::Live), raw })),
    }
}

fn approvals(mut words: Words<'_>) -> Result<AgentVerb, UsageError> {
    match words.next() {
        None => Ok(AgentVerb::Approvals { json: false }),
        Some("--json") => words.end("approvals").map(|()| AgentVerb::Approvals { json: true }),
        Some(word) => Err(UsageError::Extra { verb: "approvals", word: word.to_owned() }),
    }
}

fn acp(mut words: Words<'_>) -> Result<AgentVerb, UsageError> {
    let agent = words.peek().is_some().then(|| words.name("acp", "an agent")).transpose()?;
    let directory = words.next().map(str::to_owned);
    if let Some(word) = directory.as_ref().filter(|word| word.starts_with('-') || word.is_empty()) {
        return Err(UsageError::Extra { verb: "acp", word: word.clone() });
    }
    words.end("acp")?;
    Ok(AgentVerb::Acp(AcpVerb { agent, directory }))
}

fn decide(verb: &'static str, mut words: Words<'_>) -> Result<AgentVerb, UsageError> {
    let request = request(verb, &mut words)?;
    let (mut always, mut reason) = (false, None);
    while let Some(word) = words.next() {
        let (flag, inline) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        match flag {
            "--always" if inline.is_none() => always = true,
            // To the end: ssh joins its words, so quotes around the text are gone.
            "--reason" => {
                let text: Vec<String> = inline.map(str::to_owned).into_iter().chain(words.rest()).collect();
                if text.is_empty() {
                    return Err(UsageError::Missing { verb, what: "a text after --reason" });
                }
                reason = Some(text.join(" "));
                break;
            }
            _ => return Err(UsageError::Extra { verb, word: word.to_owned() }),
        }
    }
    let reason = reason.unwrap_or_default();
    Ok(AgentVerb::Decide(DecideVerb { request, allow: verb == "approve", always, reason }))
}

/// One word for each part of the question; a part's words are joined by quotes, as for any shell.
fn answer(mut words: Words<'_>) -> Result<AgentVerb, UsageError> {
    let request = request("answer", &mut words)?;
    let answers = words.rest();
    if answers.is_empty() {
        return Err(UsageError::Missing { verb: "answer", what: "an answer for each question" });
    }
    Ok(AgentVerb::Answer { request, answers })
}

fn request(verb: &'static str, words: &mut Words<'_>) -> Result<String, UsageError> {
    match words.next() {
        Some(word) if !word.starts_with('-') && !word.is_empty() => Ok(word.to_owned()),
        Some(word) => Err(UsageError::Extra { verb, word: word.to_owned() }),
        None => Err(UsageError::Missing { verb, what: "the id of a request" }),
    }
}

fn pair(verb: &'static str, what: &'static str, mut words: Words<'_>) -> Result<(Name, String), UsageError> {
    let session = words.name(verb, "the name of a session")?;
    let value = words.next().ok_or(UsageError::Missing { verb, what })?.to_owned();
    words.end(verb)?;
    Ok((session, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::verbs::{parse, split};

    fn verb(line: &str) -> Result<AgentVerb, String> {
        match parse(&split(line).unwrap()) {
            Ok(Verb::Agent(verb)) => Ok(verb),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn words_become_what_they_ask_for() {
        let session: Name = "s".parse().unwrap();
        let prompt = |text: &str, json, wait| {
            let (session, text) = (session.clone(), text.into());
            Ok(AgentVerb::Prompt(PromptVerb { session, text, id: None, json, wait }))
        };
        let with_id = |id: &str| match prompt("go", false, false) {
            Ok(AgentVerb::Prompt(verb)) => Ok(AgentVerb::Prompt(PromptVerb { id: Some(id.into()), ..verb })),
            other => other,
        };
        assert_eq!(verb("prompt s --id p-1 --no-wait go"), with_id("p-1"));
        assert_eq!(verb("prompt --no-wait s --id=p-1 go"), with_id("p-1"));
        assert_eq!(verb("cancel s p-1"), Ok(AgentVerb::Cancel { session: session.clone(), prompt: "p-1".into() }));
        let whole = |number, raw| Ok(AgentVerb::Whole { session: session.clone(), number, raw });
        assert_eq!(verb("events s --whole 12"), whole(12, false));
        assert_eq!(verb("events s --raw --whole=0"), whole(0, true));
        assert_eq!(verb("prompt s fix it --json"), prompt("fix it --json", false, true));
        assert_eq!(verb("prompt --no-wait s --json 'fix  it'"), prompt("fix  it", true, false));
        assert_eq!(verb("prompt s -- --json"), prompt("--json", false, true));
        let events = |from, raw| Ok(AgentVerb::Events(EventsVerb { session: session.clone(), from, raw }));
        assert_eq!(verb("events s"), events(From::Live, false));
        assert_eq!(verb("events s --raw --from=7"), events(From::Offset(7), true));
        let acp = |agent: Option<&str>, directory: Option<&str>| {
            let agent = agent.map(|agent| agent.parse().unwrap());
            Ok(AgentVerb::Acp(AcpVerb { agent, directory: directory.map(str::to_owned) }))
        };
        assert_eq!(verb("acp"), acp(None, None));
        assert_eq!(verb("acp claude work/x"), acp(Some("claude"), Some("work/x")));
        let decide = |allow, always, reason: &str| {
            Ok(AgentVerb::Decide(DecideVerb { request: "r1".into(), allow, always, reason: reason.into() }))
        };
        assert_eq!(verb("approve r1 --always"), decide(true, true, ""));
        assert_eq!(verb("deny r1 --reason 'not now'"), decide(false, false, "not now"));
        assert_eq!(verb("deny r1 --reason=not now --always"), decide(false, false, "not now --always"));
        assert_eq!(
            verb("answer r1 red 'dark blue'"),
            Ok(AgentVerb::Answer { request: "r1".into(), answers: vec!["red".into(), "dark blue".into()] })
        );
    }

    #[test]
    fn what_makes_no_sense_says_what_would() {
        for line in [
            "prompt s",
            "prompt",
            "prompt s --id",
            "prompt s --id a --id b go",
            "events s 7",
            "events s --whole x",
            "events s --whole 1 --from 1",
            "cancel s",
            "approve",
            "approve -x",
            "deny r --always=1",
            "answer r",
            "mode s",
            "approvals x",
            "acp --json",
            "acp claude a b",
        ] {
            let verb_name = line.split(' ').next().unwrap();
            let error = verb(line).unwrap_err();
            assert!(error.contains(&format!("{verb_name} ")), "{line}: {error}");
        }
    }
}
