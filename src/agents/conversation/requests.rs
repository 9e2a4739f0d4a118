//! What the agent waits for people to decide, and what was decided: one answer wins; does not know what follows from it.

use std::collections::VecDeque;

use crate::agents::driver::{Millis, Refused};
use crate::agents::event::{clip, head};
use crate::agents::limits::{REQUESTS_CLOSED, REQUESTS_OPEN, REQUESTS_TOLD, SHORT_TEXT};
use crate::wire::v1::{ClosedRequest, PermissionAsked, PermissionOption, Question, QuestionAnswer, QuestionAsked};

/// One that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Permission(PermissionAsked),
    Question(QuestionAsked),
}

/// How one ended.
#[derive(Debug, Clone)]
enum Outcome {
    /// Somebody chose.
    By { who: String, option: String },
    /// Nobody did.
    Not(String),
}

/// All of one conversation, in the order in which they were asked.
#[derive(Default)]
pub(super) struct Requests {
    open: VecDeque<Request>,
    closed: VecDeque<(String, Outcome)>,
}

impl Request {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Permission(asked) => &asked.id,
            Self::Question(asked) => &asked.id,
        }
    }

    pub(super) fn digest(&self) -> &str {
        match self {
            Self::Permission(asked) => &asked.digest,
            Self::Question(asked) => &asked.digest,
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let deadline = match self {
            Self::Permission(asked) => asked.deadline,
            Self::Question(asked) => asked.deadline,
        };
        (deadline > 0).then_some(deadline)
    }
}

impl Requests {
    /// One more; false: there are too many already, or one of this id.
    pub(super) fn add(&mut self, request: Request) -> bool {
        let room = self.open.len() < REQUESTS_OPEN && !self.open.iter().any(|other| other.id() == request.id());
        if room {
            self.open.push_back(request);
        }
        room
    }

    /// One that the driver does not let go: it stays before people although there are too many.
    pub(super) fn keep(&mut self, request: Request) {
        // A driver holds as many as may be open, and each has an id of its own; this ends for others too.
        if self.open.len() < 2 * REQUESTS_OPEN && !self.open.iter().any(|other| other.id() == request.id()) {
            self.open.push_back(request);
        }
    }

    /// It waits for a person and for nothing else.
    pub(super) fn has_no_deadline(&mut self, id: &str) {
        match self.open.iter_mut().find(|open| open.id() == id) {
            Some(Request::Permission(asked)) => (asked.deadline, asked.at_deadline) = (0, String::new()),
            Some(Request::Question(asked)) => asked.deadline = 0,
            None => {}
        }
    }

    /// The permission that this answer is about.
    pub(super) fn permission(&self, id: &str, digest: &str) -> Result<&PermissionAsked, Refused> {
        match self.find(id, digest)? {
            Request::Permission(asked) => Ok(asked),
            Request::Question(_) => Err(bad(id, "this is a question; answer it with its labels")),
        }
    }

    /// The question that this answer is about.
    pub(super) fn question(&self, id: &str, digest: &str) -> Result<&QuestionAsked, Refused> {
        match self.find(id, digest)? {
            Request::Question(asked) => Ok(asked),
            Request::Permission(_) => Err(bad(id, "this asks for leave; answer it with one of its options")),
        }
    }

    fn find(&self, id: &str, digest: &str) -> Result<&Request, Refused> {
        let Some(open) = self.open.iter().find(|open| open.id() == id) else { return Err(self.gone(id)) };
        if digest.is_empty() || open.digest() != digest {
            return Err(Refused::DigestMismatch { id: id.to_owned() });
        }
        Ok(open)
    }

    /// Why there is no open request of this id.
    fn gone(&self, id: &str) -> Refused {
        match self.closed.iter().rev().find(|(closed, _)| closed == id) {
            Some((id, Outcome::By { who, option })) => {
                Refused::AlreadyResolved { id: id.clone(), by: who.clone(), option: option.clone() }
            }
            Some((id, Outcome::Not(why))) => Refused::Expired { id: id.clone(), why: why.clone() },
            None => Refused::NoSuchRequest(head(id, 64)),
        }
    }

    /// Decided.
    pub(super) fn resolve(&mut self, id: &str, who: &str, option: &str) {
        self.close(id, Outcome::By { who: who.to_owned(), option: option.to_owned() });
    }

    /// Over without a decision; none if it was not open.
    pub(super) fn expire(&mut self, id: &str, why: &str) -> Option<Request> {
        self.close(id, Outcome::Not(why.to_owned()))
    }

    /// All over without a decision.
    pub(super) fn expire_all(&mut self, why: &str) -> Vec<Request> {
        let ids: Vec<String> = self.open.iter().map(|open| open.id().to_owned()).collect();
        ids.iter().filter_map(|id| self.expire(id, why)).collect()
    }

    /// Those whose deadline has come.
    pub(super) fn overdue(&self, now: Millis) -> Vec<Request> {
        self.open.iter().filter(|open| open.deadline().is_some_and(|due| due <= now)).cloned().collect()
    }

    /// The next deadline.
    pub(super) fn wake(&self) -> Option<Millis> {
        self.open.iter().filter_map(Request::deadline).min()
    }

    /// The latest that are over, the oldest first.
    pub(super) fn closed(&self) -> Vec<ClosedRequest> {
        let told = |(id, outcome): &(String, Outcome)| {
            let (by, option, why) = match outcome {
                Outcome::By { who, option } => (who.as_str(), option.as_str(), ""),
                Outcome::Not(why) => ("", "", why.as_str()),
            };
            let text = |text| head(text, SHORT_TEXT);
            ClosedRequest { id: clip(id.clone(), SHORT_TEXT), by: text(by), option: text(option), why: text(why) }
        };
        self.closed.iter().skip(self.closed.len().saturating_sub(REQUESTS_TOLD)).map(told).collect()
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Request> {
        self.open.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn close(&mut self, id: &str, outcome: Outcome) -> Option<Request> {
        let place = self.open.iter().position(|open| open.id() == id)?;
        if self.closed.len() >= REQUESTS_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back((id.to_owned(), outcome));
        self.open.remove(place)
    }
}

/// The option of this id.
pub(super) fn option<'a>(asked: &'a PermissionAsked, id: &str) -> Result<&'a PermissionOption, Refused> {
    asked.options.iter().find(|option| option.id == id).ok_or_else(|| Refused::NoSuchOption {
        id: asked.id.clone(),
        option: head(id, 64),
        known: asked.options.iter().map(|option| option.id.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// One text for each question, in their order.
pub(super) fn answers(asked: &QuestionAsked, given: &[QuestionAnswer]) -> Result<Vec<(String, String)>, Refused> {
    if given.len() != asked.questions.len() {
        let (want, have) = (asked.questions.len(), given.len());
        return Err(bad(&asked.id, &format!("{have} answers to {want} questions; answer each once")));
    }
    let one = |question: &Question| {
        let mut mine = given.iter().filter(|answer| answer.question == question.text);
        match (mine.next(), mine.next()) {
            (Some(answer), None) => {
                let said = answer_text(question, answer).map_err(|what| bad(&asked.id, &what))?;
                Ok((question.text.clone(), said))
            }
            _ => Err(bad(&asked.id, &format!("answer {:?} once", head(&question.text, 64)))),
        }
    };
    asked.questions.iter().map(one).collect()
}

fn answer_text(question: &Question, answer: &QuestionAnswer) -> Result<String, String> {
    let shown = head(&question.text, 64);
    if let Some(label) = answer.labels.iter().find(|label| !question.options.iter().any(|one| one.label == **label)) {
        return Err(format!("{:?} is no label of {shown:?}; put words of your own into text", head(label, 64)));
    }
    if answer.text.len() > 16 * SHORT_TEXT {
        return Err(format!("a text of one's own has at most {} bytes", 16 * SHORT_TEXT));
    }
    let mut parts: Vec<&str> = answer.labels.iter().map(String::as_str).collect();
    parts.extend(Some(answer.text.as_str()).filter(|text| !text.is_empty()));
    match parts.len() {
        0 => Err(format!("no answer to {shown:?}; choose a label, write a text or decline")),
        1 => Ok(parts.concat()),
        _ if question.multi => Ok(parts.join(", ")),
        _ => Err(format!("{shown:?} takes one answer")),
    }
}

fn bad(id: &str, what: &str) -> Refused {
    Refused::BadAnswer { id: head(id, 64), what: what.to_owned() }
}
