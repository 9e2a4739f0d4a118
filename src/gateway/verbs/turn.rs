//! One prompt followed through the events of its session, and events and requests as text; knows no door.

use serde_json::json;

use super::agent_state;
use super::answer::Answer;
use crate::base::printable;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentError, AgentEvent, AgentState, Approval, OptionKind, PermissionAsked, PromptPhase, PromptState, Question,
    QuestionAnswer, QuestionAsked, Rule, StateChanged,
};

/// Characters of a request's summary in a list.
const SUMMARY: usize = 200;

/// Characters of an id that people are shown.
const SHORT: usize = 8;

/// How a prompt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its turn is over.
    Finished,
    /// It is, but some of the answer was not to be had.
    Incomplete,
    /// It did not come to a good end; why.
    Failed(String),
}

/// What an event means for somebody who waits for a prompt's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// What the answer goes on with, clean, with the line ends that belong there.
    Text(String),
    /// Something to know meanwhile.
    Note(String),
    /// Nothing more comes.
    Over(Outcome),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TurnWatch {
    prompt: String,
    /// Its turn has begun.
    begun: bool,
    answer: Answer,
    /// Some of the answer was not to be had.
    is_incomplete: bool,
    /// What was last said of the agent's state.
    noted: String,
}

impl TurnWatch {
    /// For the prompt of this id.
    pub(crate) fn new(prompt: &str) -> Self {
        Self {
            prompt: prompt.to_owned(),
            begun: false,
            answer: Answer::default(),
            is_incomplete: false,
            noted: String::new(),
        }
    }

    /// Whether the event belongs to this prompt or says what became of it.
    pub(crate) fn concerns(&self, event: &AgentEvent) -> bool {
        match &event.kind {
            Some(Kind::Prompt(state)) => state.id == self.prompt,
            Some(Kind::TurnStarted(turn)) => turn.prompt_id == self.prompt,
            Some(Kind::UserMessage(message)) => message.prompt_id == self.prompt,
            _ => self.begun,
        }
    }

    /// Whether it is a part of the answer that came cut: `take` wants it whole, as long as it can be fetched.
    pub(crate) fn wants_whole(&self, event: &AgentEvent) -> bool {
        let is_answer = matches!(&event.kind, Some(Kind::Message(chunk)) if chunk.parent_tool_call.is_empty());
        self.begun && is_answer && event.cut.is_some_and(|cut| cut.fetchable)
    }

    /// What an event means, in order.
    pub(crate) fn take(&mut self, event: &AgentEvent) -> Vec<Step> {
        match &event.kind {
            Some(Kind::TurnStarted(turn)) if turn.prompt_id == self.prompt => {
                self.begun = true;
                Vec::new()
            }
            Some(Kind::Prompt(state)) if state.id == self.prompt => self.state(state),
            Some(Kind::State(state)) => self.notice(state).into_iter().collect(),
            Some(Kind::Message(chunk)) if self.begun && chunk.parent_tool_call.is_empty() => {
                let (text, is_whole) = self.answer.take(chunk, event.cut.is_some());
                let text = (!text.is_empty()).then_some(Step::Text(text));
                self.is_incomplete |= !is_whole;
                let note = || Step::Note("the end of a long message is missing: it is no longer kept".to_owned());
                text.into_iter().chain((!is_whole).then(note)).collect()
            }
            Some(Kind::PermissionAsked(asked)) if self.begun => {
                let what = printable(&asked.summary, SUMMARY);
                vec![Step::Note(format!(
                    "waits for approval: {what} (approve {id}, or deny {id})",
                    id = short(&asked.id)
                ))]
            }
            Some(Kind::QuestionAsked(asked)) if self.begun => {
                let text = asked.questions.first().map(|question| printable(&question.text, SUMMARY));
                vec![Step::Note(format!("asks: {} (answer {} …)", text.unwrap_or_default(), short(&asked.id)))]
            }
            Some(Kind::Retrying(retry)) if self.begun => {
                let why = printable(&retry.why, SUMMARY);
                vec![Step::Note(format!("retries {} of {}: {why}", retry.attempt, retry.most))]
            }
            _ => Vec::new(),
        }
    }

    /// Some events were not to be had.
    pub(crate) fn miss(&mut self) {
        self.is_incomplete = true;
    }

    /// The prompt as its host knows it, where its id was known before: its events may be over.
    pub(crate) fn known(&mut self, state: &PromptState) -> Vec<Step> {
        self.begun |= state.turn > 0;
        let over = self.state(state);
        let note =
            Step::Note(format!("prompt {} is over; `events` shows what came of it", printable(&self.prompt, 64)));
        (!over.is_empty()).then_some(note).into_iter().chain(over).collect()
    }

    /// What the agent does, where somebody who waits should know it: each once.
    pub(crate) fn notice(&mut self, state: &StateChanged) -> Option<Step> {
        let is_told = match state.state() {
            AgentState::NeedsLogin => true,
            // Its own turn's are told as they are asked for.
            AgentState::NeedsApproval | AgentState::NeedsAnswer | AgentState::Retrying => !self.begun,
            AgentState::Ended | AgentState::Unspecified => false,
            AgentState::Starting | AgentState::Idle | AgentState::Working => !state.reason.is_empty(),
        };
        let reason = printable(&state.reason, SUMMARY);
        let colon = if reason.is_empty() { "" } else { ": " };
        let note = format!("the agent is {}{colon}{reason}", agent_state(state.state())?);
        if !is_told || note == self.noted {
            return None;
        }
        self.noted.clone_from(&note);
        Some(Step::Note(note))
    }

    fn state(&mut self, state: &PromptState) -> Vec<Step> {
        let failed = |what: &str| Outcome::Failed(reason(state.error.as_ref(), what));
        let outcome = match state.phase() {
            PromptPhase::Finished if self.is_incomplete => Outcome::Incomplete,
            PromptPhase::Finished => Outcome::Finished,
            PromptPhase::Failed => failed("the turn failed"),
            PromptPhase::Cancelled => failed("the prompt was cancelled"),
            PromptPhase::Unknown => failed("the agent went away with it; nobody knows what became of it"),
            _ => return Vec::new(),
        };
        let rest = self.answer.end();
        let text = (!rest.is_empty()).then_some(Step::Text(rest));
        text.into_iter().chain([Step::Over(outcome)]).collect()
    }
}

fn reason(error: Option<&AgentError>, what: &str) -> String {
    match error {
        Some(error) if !error.message.is_empty() => format!("{what}: {}", printable(&error.message, 400)),
        _ => what.to_owned(),
    }
}

/// One event as a line of JSON: number and event in the schema's mapping, ASCII, LF at the end.
pub(crate) fn event_line(number: u64, event: AgentEvent) -> String {
    // The schema's mapping leaves out a zero; a line always has its number.
    super::table::ascii_json(&json!({ "number": number.to_string(), "event": event }))
}

/// An array of objects in one line, in ASCII, LF at the end.
pub(crate) fn approvals_json(approvals: &[Approval]) -> String {
    let values: Vec<_> = approvals
        .iter()
        .filter_map(|approval| {
            let session = &approval.session;
            if let Some(asked) = &approval.permission {
                let option = |option: &crate::wire::v1::PermissionOption| {
                    json!({"id": option.id, "name": option.name, "kind": kind_text(option.kind())})
                };
                return Some(json!({
                    "id": asked.id, "session": session, "tool": asked.tool, "summary": asked.summary,
                    "digest": asked.digest, "options": asked.options.iter().map(option).collect::<Vec<_>>(),
                    "input": asked.input, "directory": asked.directory,
                }));
            }
            let asked = approval.question.as_ref()?;
            let labels: Vec<_> = asked
                .questions
                .iter()
                .flat_map(|question| question.options.iter())
                .map(|option| json!({"id": option.label, "name": option.label, "kind": "answer"}))
                .collect();
            let texts: Vec<&str> = asked.questions.iter().map(|question| question.text.as_str()).collect();
            Some(json!({
                "id": asked.id, "session": session, "tool": "question", "summary": texts.join(" / "),
                "digest": asked.digest, "options": labels,
            }))
        })
        .collect();
    super::table::ascii_json(&serde_json::Value::Array(values))
}

/// A few lines for each request, LF at the end of each.
pub(crate) fn approvals_text(approvals: &[Approval]) -> String {
    if approvals.is_empty() {
        return "no agent waits for anything\n".to_owned();
    }
    let mut out = String::new();
    for Approval { session, permission, question } in approvals {
        if let Some(asked) = permission {
            let (summary, directory) = (printable(&asked.summary, SUMMARY), printable(&asked.directory, SUMMARY));
            out.push_str(&format!("{}  {session}  {summary}\n    in {directory}\n", short(&asked.id)));
        }
        if let Some(asked) = question {
            out.push_str(&format!("{}  {session}  asks\n", short(&asked.id)));
            for question in &asked.questions {
                let labels: Vec<String> =
                    question.options.iter().map(|option| printable(&option.label, SUMMARY)).collect();
                out.push_str(&format!("    {}  ({})\n", printable(&question.text, SUMMARY), labels.join(", ")));
            }
        }
    }
    out
}

/// The beginning of a long id, which stands for it; short ones are shown whole.
fn short(id: &str) -> String {
    let cut = if id.chars().count() > 2 * SHORT { SHORT } else { usize::MAX };
    printable(&id.chars().take(cut).collect::<String>(), SUMMARY)
}

/// A line for each rule.
pub(crate) fn rules_text(rules: &[Rule]) -> String {
    if rules.is_empty() {
        return "no rules: everything is asked for\n".to_owned();
    }
    let line = |rule: &Rule| {
        let (text, by) = (printable(&rule.description, SUMMARY), printable(&rule.by, SUMMARY));
        format!("{}  {text}  (by {by}, used {})\n", rule.id, rule.used)
    };
    rules.iter().map(line).collect()
}

/// The option that allows or rejects, once or always.
pub(crate) fn choose(asked: &PermissionAsked, allow: bool, always: bool) -> Result<String, String> {
    let wanted = match (allow, always) {
        (true, false) => OptionKind::AllowOnce,
        (true, true) => OptionKind::AllowAlways,
        (false, false) => OptionKind::RejectOnce,
        (false, true) => OptionKind::RejectAlways,
    };
    asked.options.iter().find(|option| option.kind() == wanted).map(|option| option.id.clone()).ok_or_else(|| {
        let known: Vec<&str> = asked.options.iter().map(|option| kind_text(option.kind())).collect();
        format!("request {} has no option {}; it has: {}", asked.id, kind_text(wanted), known.join(", "))
    })
}

/// One word for each part of a question; labels of one part are separated by commas, anything else is a text of one's own.
pub(crate) fn question_answers(asked: &QuestionAsked, words: &[String]) -> Result<Vec<QuestionAnswer>, String> {
    if words.len() != asked.questions.len() {
        let texts: Vec<&str> = asked.questions.iter().map(|question| question.text.as_str()).collect();
        let wanted = printable(&texts.join(" / "), SUMMARY);
        return Err(format!("{} answers; {} wants {}: {wanted}", words.len(), asked.id, asked.questions.len()));
    }
    let answer = |(question, word): (&Question, &String)| {
        let offered = |label: &str| question.options.iter().any(|option| option.label == label);
        let parts: Vec<String> = word.split(',').map(|part| part.trim().to_owned()).collect();
        let whole = offered(word).then(|| vec![word.clone()]);
        let labels = whole.or_else(|| parts.iter().all(|part| offered(part)).then_some(parts)).unwrap_or_default();
        let text = if labels.is_empty() { word.clone() } else { String::new() };
        QuestionAnswer { question: question.text.clone(), labels, text }
    };
    Ok(asked.questions.iter().zip(words).map(answer).collect())
}

fn kind_text(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::AllowOnce => "allow_once",
        OptionKind::AllowAlways => "allow_always",
        OptionKind::RejectOnce => "reject_once",
        OptionKind::RejectAlways => "reject_always",
        OptionKind::Unspecified => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{MessageChunk, PermissionOption, TurnStarted};

    fn event(kind: Kind) -> AgentEvent {
        AgentEvent { kind: Some(kind), ..AgentEvent::default() }
    }

    fn chunk(text: &str, whole: bool) -> AgentEvent {
        event(Kind::Message(MessageChunk { text: text.into(), whole, ..MessageChunk::default() }))
    }

    fn phase(id: &str, phase: PromptPhase) -> AgentEvent {
        event(Kind::Prompt(PromptState { id: id.into(), phase: phase.into(), ..PromptState::default() }))
    }

    #[test]
    fn only_its_own_turn_is_an_answer() {
        let mut watch = TurnWatch::new("p");
        assert!(watch.take(&chunk("of another turn", true)).is_empty());
        assert!(watch.take(&phase("other", PromptPhase::Finished)).is_empty());
        watch.take(&event(Kind::TurnStarted(TurnStarted { turn: 2, prompt_id: "p".into() })));
        assert_eq!(watch.take(&chunk("ab", false)), [Step::Text("ab".into())], "as it comes");
        assert_eq!(watch.take(&chunk("abc", true)), [Step::Text("c\n".into())], "what is new of the whole");
        watch.take(&chunk("rest", false));
        let over = watch.take(&phase("p", PromptPhase::Finished));
        assert_eq!(over, [Step::Text("\n".into()), Step::Over(Outcome::Finished)]);
    }

    #[test]
    fn an_option_is_chosen_by_its_kind() {
        let option =
            |id: &str, kind: OptionKind| PermissionOption { id: id.into(), kind: kind.into(), ..Default::default() };
        let options = vec![option("yes", OptionKind::AllowOnce), option("no", OptionKind::RejectOnce)];
        let asked = PermissionAsked { id: "r".into(), options, ..PermissionAsked::default() };
        assert_eq!(choose(&asked, true, false).unwrap(), "yes");
        assert_eq!(choose(&asked, false, false).unwrap(), "no");
        assert!(choose(&asked, true, true).unwrap_err().contains("allow_once, reject_once"));
    }
}
