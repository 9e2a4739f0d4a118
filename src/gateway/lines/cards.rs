//! What the agent waits for people to decide, the oldest in front, and what a key or a text means to it. Does not know
//! whether the answer wins.

use std::collections::VecDeque;

use super::text::{Care, Row, Style, clean, columns, hanging, rows, shortened};
use crate::gateway::verbs::choose;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{
    AnswerPermission, AnswerQuestion, OptionKind, PermissionAsked, PermissionOption, Question, QuestionAnswer,
    QuestionAsked,
};

/// Requests that are kept: as many as a session has open.
const OPEN: usize = 64;
/// Rows of a question: the keys below it have to be seen too.
const QUESTION: usize = 4;
/// Characters of a summary.
const SUMMARY: usize = 200;

/// One that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Permission(PermissionAsked),
    /// With the answers to its first questions.
    Question(QuestionAsked, Vec<QuestionAnswer>),
}

impl Request {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Permission(asked) => &asked.id,
            Self::Question(asked, _) => &asked.id,
        }
    }

    pub(super) fn digest(&self) -> &str {
        match self {
            Self::Permission(asked) => &asked.digest,
            Self::Question(asked, _) => &asked.digest,
        }
    }

    /// In a few words.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Permission(asked) => crate::base::printable(&asked.summary, SUMMARY),
            Self::Question(asked, _) => {
                let text = asked.questions.first().map(|question| question.text.as_str());
                crate::base::printable(text.unwrap_or("a question"), SUMMARY)
            }
        }
    }
}

/// How much of a request stands on the terminal. What is not seen whole can only be rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Whole,
    /// The event of this number has only its beginning; the whole is to be fetched.
    Beginning(u64),
    /// It is being fetched.
    Fetching(u64),
    /// The rest did not come, for this reason.
    Lost(String),
    /// So many characters are too many for a terminal.
    Long(usize),
}

impl Seen {
    /// Why it can only be rejected, for people.
    fn why_not(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Beginning(_) | Self::Fetching(_) => Some("it is long; the rest of it is being fetched …".to_owned()),
            Self::Lost(why) => Some(format!("it is shortened here: {why}; attach again to see it whole")),
            Self::Long(left) => Some(format!("it is shortened here: {left} characters are not shown")),
        }
    }
}

/// Which card is in front: another one, or more of the same, has to be read first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) id: String,
    digest: String,
    whole: bool,
}

#[derive(Debug)]
struct Open {
    request: Request,
    seen: Seen,
}

/// What a key did to the request in front.
#[derive(Debug, PartialEq)]
pub(super) enum Pressed {
    /// It means nothing there.
    Nothing,
    /// Say this to the agent.
    Answer(Command),
    /// A reason is asked for first.
    Reason,
    /// The next question of several.
    Next,
    /// Why it cannot be.
    Refused(String),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cards {
    open: VecDeque<Open>,
    may_approve: bool,
    why_not: &'static str,
}

impl Cards {
    /// None yet.
    pub(super) fn new(may_approve: bool, drives: bool) -> Self {
        let why_not = if may_approve { "only looking here: " } else { "this key may not approve; one that may: " };
        Self { open: VecDeque::new(), may_approve: may_approve && drives, why_not }
    }

    /// One more, or more of one; false when as much is known.
    pub(super) fn add(&mut self, request: Request, seen: Seen) -> bool {
        let place = self.open.iter().position(|open| open.request.id() == request.id());
        let Some(known) = place.and_then(|place| self.open.get_mut(place)) else {
            let room = self.open.len() < OPEN;
            if room {
                self.open.push_back(Open { request, seen });
            }
            return room;
        };
        // The same id with another digest asks for something else.
        let is_other = known.request.digest() != request.digest();
        let is_more = seen == Seen::Whole && !matches!(known.seen, Seen::Whole | Seen::Long(_));
        if is_other || is_more {
            *known = Open { request, seen };
        }
        is_other || is_more
    }

    /// So much of it stands on the terminal now.
    pub(super) fn see(&mut self, id: &str, seen: Seen) {
        if let Some(open) = self.open.iter_mut().find(|open| open.request.id() == id) {
            open.seen = seen;
        }
    }

    /// The event that is to be fetched next, one at a time: each may be as long as an input.
    pub(super) fn fetch(&mut self) -> Option<u64> {
        if self.open.iter().any(|open| matches!(open.seen, Seen::Fetching(_))) {
            return None;
        }
        self.open.iter_mut().find_map(|open| match open.seen {
            Seen::Beginning(number) => {
                open.seen = Seen::Fetching(number);
                Some(number)
            }
            _ => None,
        })
    }

    /// The request whose whole event, this one, is being fetched.
    pub(super) fn fetching(&self, number: u64) -> Option<&Request> {
        self.open.iter().find(|open| open.seen == Seen::Fetching(number)).map(|open| &open.request)
    }

    /// It was decided; what it was.
    pub(super) fn close(&mut self, id: &str) -> Option<Request> {
        let place = self.open.iter().position(|open| open.request.id() == id)?;
        self.open.remove(place).map(|open| open.request)
    }

    /// Nothing is known of them any more.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Which one is in front.
    pub(super) fn card(&self) -> Option<Card> {
        let Open { request, seen } = self.open.front()?;
        let (id, digest) = (request.id().to_owned(), request.digest().to_owned());
        Some(Card { id, digest, whole: *seen == Seen::Whole })
    }

    /// Whether texts answer the one in front.
    pub(super) fn asks_question(&self) -> bool {
        matches!(self.open.front(), Some(Open { request: Request::Question(..), seen: Seen::Whole }))
    }

    /// A single key.
    pub(super) fn press(&mut self, key: char) -> Pressed {
        match self.open.front_mut() {
            Some(Open { request: Request::Permission(asked), seen }) if self.may_approve => {
                permission_key(asked, seen, key)
            }
            Some(Open { request: Request::Question(asked, answers), seen: Seen::Whole }) => {
                let question = asked.questions.get(answers.len());
                let label = question.filter(|question| !question.multi).and_then(|question| numbered(question, key));
                match (label, question) {
                    (Some(label), Some(question)) => {
                        let (question, labels) = (question.text.clone(), vec![label]);
                        answered(asked, answers, QuestionAnswer { question, labels, text: String::new() })
                    }
                    _ => Pressed::Nothing,
                }
            }
            _ => Pressed::Nothing,
        }
    }

    /// A text for the question in front: numbers choose labels, anything else is an answer of its own.
    pub(super) fn answer(&mut self, text: &str) -> Pressed {
        let Some(Open { request: Request::Question(asked, answers), seen: Seen::Whole }) = self.open.front_mut() else {
            return Pressed::Nothing;
        };
        let Some(question) = asked.questions.get(answers.len()) else { return Pressed::Nothing };
        let one = |part: &str| {
            let number = part.trim().parse::<usize>().ok()?.checked_sub(1)?;
            question.options.get(number).map(|option| option.label.clone())
        };
        let labels: Option<Vec<String>> = text.split(',').map(one).collect();
        let labels = labels.filter(|labels| labels.len() == 1 || question.multi).unwrap_or_default();
        let own = if labels.is_empty() { text.trim().to_owned() } else { String::new() };
        answered(asked, answers, QuestionAnswer { question: question.text.clone(), labels, text: own })
    }

    /// The one in front is rejected, for this reason.
    pub(super) fn reject(&self, id: &str, reason: &str) -> Pressed {
        match self.open.front() {
            Some(Open { request: Request::Permission(asked), seen }) if asked.id == id => {
                decided(asked, seen, choose(asked, false, false), reason)
            }
            _ => Pressed::Refused("that request is closed".to_owned()),
        }
    }

    /// The one in front for the live region; `keys`: they count now.
    pub(super) fn rows(&self, keys: Keys, width: usize) -> Vec<Row> {
        let count = if self.open.len() > 1 { format!(" (1 of {})", self.open.len()) } else { String::new() };
        let why_not = |seen: &Seen, elsewhere: &str| match seen.why_not() {
            Some(why) => rows(Style::Bad, "  ", &clean(&format!("{why}\n{elsewhere}"), Care::Exact), width),
            None => Vec::new(),
        };
        match self.open.front() {
            None => Vec::new(),
            Some(Open { request: Request::Permission(asked), seen }) => {
                let head = format!("? allow {}{count}", asked.summary);
                let mut out = vec![Row::clipped(Style::Warning, &head, width)];
                let elsewhere = format!("it can only be rejected here; whole: approvals --json, approve {}", asked.id);
                out.extend(why_not(seen, &elsewhere));
                if self.may_approve {
                    out.extend(keys.rows(&permission_keys(asked, seen), width));
                } else {
                    let how = format!("{}approve {id}, or deny {id}", self.why_not, id = asked.id);
                    out.extend(rows(Style::Dim, "  ", &clean(&how, Care::Exact), width));
                }
                out
            }
            Some(Open { request: Request::Question(asked, answers), seen }) => {
                let Some(question) = asked.questions.get(answers.len()) else { return Vec::new() };
                let place = match asked.questions.len() {
                    1 => String::new(),
                    all => format!(" ({} of {all})", answers.len() + 1),
                };
                let text = format!("? {}{place}{count}", question.text);
                let mut out = rows(Style::Warning, "", &clean(&text, Care::Prose), width);
                out = shortened(out, QUESTION, "");
                for (number, option) in question.options.iter().enumerate() {
                    let text = match option.description.as_str() {
                        "" => format!("  {} {}", number + 1, option.label),
                        description => format!("  {} {} - {description}", number + 1, option.label),
                    };
                    out.push(Row::clipped(Style::Plain, &text, width));
                }
                if *seen != Seen::Whole {
                    out.extend(why_not(seen, &format!("whole: approvals --json, answer {}", asked.id)));
                    return out;
                }
                let how = if question.multi { "numbers with commas, or a text" } else { "a number, or a text" };
                out.extend(keys.rows(&[format!("{how}, and Enter")], width));
                out
            }
        }
    }
}

/// Whether single keys answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    Count,
    /// The card has only just come: who types meant something else.
    NotYet,
    /// There is a text in the line.
    LineFirst,
}

impl Keys {
    /// On one row where they fit.
    fn rows(self, keys: &[String], width: usize) -> Vec<Row> {
        let text = match self {
            Self::Count => {
                let keys: Vec<String> = keys.iter().map(|key| clean(key, Care::Exact)).collect();
                let one = keys.join("   ");
                let one_row = columns(&one) + 2 <= width;
                let all = if one_row { vec![one] } else { keys };
                return all.iter().flat_map(|key| hanging(Style::Bold, "  ", key, width)).collect();
            }
            Self::NotYet => "…",
            Self::LineFirst => "keys answer when the line is empty: Ctrl-C clears it",
        };
        rows(Style::Dim, "  ", text, width)
    }
}

fn permission_key(asked: &PermissionAsked, seen: &Seen, key: char) -> Pressed {
    let option = match key {
        'y' | 'Y' => choose(asked, true, false),
        'a' | 'A' => choose(asked, true, true),
        'n' | 'N' => choose(asked, false, false),
        'r' | 'R' => return Pressed::Reason,
        digit => {
            let number = digit.to_digit(10).and_then(|digit| (digit as usize).checked_sub(1));
            let Some(option) = number.and_then(|number| asked.options.get(number)) else { return Pressed::Nothing };
            Ok(option.id.clone())
        }
    };
    decided(asked, seen, option, "")
}

fn decided(asked: &PermissionAsked, seen: &Seen, option: Result<String, String>, reason: &str) -> Pressed {
    let is_offered =
        |id: &String| asked.options.iter().any(|option| option.id == *id && is_offered(seen, option.kind()));
    match option {
        Ok(option) if !is_offered(&option) => {
            Pressed::Refused("not all of it was shown here: it can only be rejected".to_owned())
        }
        Ok(option) => {
            let (id, digest, reason) = (asked.id.clone(), asked.digest.clone(), reason.to_owned());
            Pressed::Answer(Command::AnswerPermission(AnswerPermission { id, digest, option, reason }))
        }
        Err(why) => Pressed::Refused(why),
    }
}

/// Nobody allows what they have not seen.
fn is_offered(seen: &Seen, kind: OptionKind) -> bool {
    *seen == Seen::Whole || matches!(kind, OptionKind::RejectOnce | OptionKind::RejectAlways)
}

/// `y/1 Allow`, `n/2 Reject`, `r reject with a reason`.
fn permission_keys(asked: &PermissionAsked, seen: &Seen) -> Vec<String> {
    let mut taken = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    let offered = |(_, option): &(usize, &PermissionOption)| is_offered(seen, option.kind());
    for (number, option) in asked.options.iter().enumerate().take(9).filter(offered) {
        let letter = match option.kind() {
            OptionKind::AllowOnce => Some('y'),
            OptionKind::AllowAlways => Some('a'),
            OptionKind::RejectOnce => Some('n'),
            OptionKind::RejectAlways | OptionKind::Unspecified => None,
        };
        let letter = letter.filter(|letter| !taken.contains(letter));
        taken.extend(letter);
        let key = letter.map_or(String::new(), |letter| format!("{letter}/"));
        parts.push(format!("{key}{} {}", number + 1, option.name.replace('\n', " ")));
    }
    if taken.contains(&'n') {
        parts.push("r reject with a reason".to_owned());
    }
    parts
}

fn numbered(question: &Question, key: char) -> Option<String> {
    let number = (key.to_digit(10)? as usize).checked_sub(1)?;
    question.options.get(number).map(|option| option.label.clone())
}

fn answered(asked: &QuestionAsked, answers: &mut Vec<QuestionAnswer>, answer: QuestionAnswer) -> Pressed {
    answers.push(answer);
    if answers.len() < asked.questions.len() {
        return Pressed::Next;
    }
    // Refused, it is asked again from the first.
    let answers = std::mem::take(answers);
    let (id, digest) = (asked.id.clone(), asked.digest.clone());
    Pressed::Answer(Command::AnswerQuestion(AnswerQuestion { id, digest, answers, ..AnswerQuestion::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::QuestionOption;

    fn permission(always: bool) -> Request {
        let option =
            |id: &str, kind: OptionKind| PermissionOption { id: id.into(), name: id.into(), kind: kind.into() };
        let mut options = vec![option("yes", OptionKind::AllowOnce), option("no", OptionKind::RejectOnce)];
        options.extend(always.then(|| option("ever", OptionKind::AllowAlways)));
        let (id, digest, summary) = ("r1".into(), "d".into(), "Bash: touch x".into());
        Request::Permission(PermissionAsked { id, digest, summary, options, ..Default::default() })
    }

    fn question(multi: bool) -> Request {
        let option = |label: &str| QuestionOption { label: label.into(), ..Default::default() };
        let one = |text: &str, multi| Question {
            text: text.into(),
            multi,
            options: vec![option("red"), option("blue"), option("green")],
            ..Default::default()
        };
        let questions = vec![one("which?", false), one("and?", multi)];
        Request::Question(QuestionAsked { id: "q1".into(), questions, ..Default::default() }, Vec::new())
    }

    fn option_of(pressed: Pressed) -> String {
        let Pressed::Answer(Command::AnswerPermission(answer)) = pressed else { panic!("{pressed:?}") };
        assert_eq!((answer.id.as_str(), answer.digest.as_str()), ("r1", "d"));
        format!("{} {}", answer.option, answer.reason).trim_end().to_owned()
    }

    #[test]
    fn keys_choose_options_only_for_those_who_may() {
        let mut cards = Cards::new(true, true);
        assert_eq!(cards.press('y'), Pressed::Nothing, "nothing waits");
        assert!(cards.add(permission(true), Seen::Whole) && !cards.add(permission(true), Seen::Whole), "once");
        for (key, option) in [('y', "yes"), ('n', "no"), ('a', "ever"), ('1', "yes"), ('3', "ever")] {
            assert_eq!(option_of(cards.press(key)), option);
        }
        assert_eq!(cards.press('x'), Pressed::Nothing);
        assert_eq!(cards.press('4'), Pressed::Nothing);
        assert_eq!(cards.press('r'), Pressed::Reason);
        assert_eq!(option_of(cards.reject("r1", "not today")), "no not today");
        let shown: String = cards.rows(Keys::Count, 79).iter().map(|row| format!("{}|", row.text())).collect();
        assert_eq!(shown, "? allow Bash: touch x|  y/1 yes   n/2 no   a/3 ever   r reject with a reason|");
        cards.may_approve = false;
        assert_eq!(cards.press('y'), Pressed::Nothing);
        assert!(cards.rows(Keys::Count, 79)[1].text().contains("only looking here: approve r1, or deny r1"));
        assert!(cards.close("r1").is_some() && cards.card().is_none());
    }

    #[test]
    fn what_was_not_seen_whole_can_only_be_rejected() {
        let lost = || Seen::Lost("gone".into());
        for seen in [Seen::Beginning(7), Seen::Fetching(7), lost(), Seen::Long(9)] {
            let mut cards = Cards::new(true, true);
            assert!(cards.add(permission(true), seen.clone()));
            for key in ['y', 'Y', 'a', '1', '3'] {
                assert!(matches!(cards.press(key), Pressed::Refused(why) if why.contains("only be rejected")), "{key}");
            }
            assert_eq!((option_of(cards.press('n')), option_of(cards.press('2'))), ("no".into(), "no".into()));
            assert_eq!(option_of(cards.reject("r1", "why")), "no why");
            let shown: String = cards.rows(Keys::Count, 200).iter().map(|row| format!("{}|", row.text())).collect();
            assert!(shown.contains("can only be rejected here") && !shown.contains("yes"), "{shown}");
            let is_more = cards.add(permission(true), Seen::Whole);
            assert_eq!(is_more, !matches!(seen, Seen::Long(_)), "what is too long stays so");
            let mut cards = Cards::default();
            cards.add(question(false), seen);
            assert!(cards.press('1') == Pressed::Nothing && cards.answer("1") == Pressed::Nothing);
            assert!(!cards.asks_question());
        }
    }

    #[test]
    fn a_request_with_the_same_id_and_another_digest_takes_its_place() {
        let mut cards = Cards::new(true, true);
        cards.add(permission(true), Seen::Whole);
        let before = cards.card();
        let Request::Permission(asked) = permission(true) else { unreachable!() };
        let other = Request::Permission(PermissionAsked { digest: "e".into(), ..asked });
        assert!(cards.add(other, Seen::Whole) && cards.card() != before);
        let Pressed::Answer(Command::AnswerPermission(answer)) = cards.press('y') else { panic!() };
        assert_eq!(answer.digest, "e");
    }

    #[test]
    fn one_event_is_fetched_at_a_time() {
        let mut cards = Cards::default();
        cards.add(permission(true), Seen::Beginning(4));
        cards.add(question(true), Seen::Beginning(6));
        assert_eq!((cards.fetch(), cards.fetch()), (Some(4), None));
        assert!(cards.fetching(4).is_some() && cards.fetching(6).is_none());
        cards.see("r1", Seen::Whole);
        assert_eq!(cards.fetch(), Some(6));
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        let mut cards = Cards::new(true, true);
        cards.add(permission(false), Seen::Whole);
        assert!(matches!(cards.press('a'), Pressed::Refused(why) if why.contains("no option allow_always")));
    }

    #[test]
    fn questions_are_answered_one_by_one_with_labels_or_texts() {
        let mut cards = Cards::default();
        cards.add(question(true), Seen::Whole);
        assert_eq!(cards.press('2'), Pressed::Next);
        assert_eq!(cards.press('1'), Pressed::Nothing, "several may be chosen: a text says which");
        let Pressed::Answer(Command::AnswerQuestion(answer)) = cards.answer("1, 3") else { panic!() };
        let labels: Vec<_> = answer.answers.iter().map(|answer| answer.labels.join("+")).collect();
        assert_eq!(labels, ["blue", "red+green"]);
        assert_eq!(cards.answer("violet"), Pressed::Next, "from the first again");
        let Pressed::Answer(Command::AnswerQuestion(answer)) = cards.answer("4") else { panic!() };
        assert_eq!((answer.answers[0].text.as_str(), answer.answers[1].text.as_str()), ("violet", "4"));
        for width in [39, 79, 119] {
            assert!(cards.rows(Keys::Count, width).iter().all(|row| row.width() <= width));
        }
    }
}
