//! What the agent waits for people to decide, the oldest in front, and what a key or a text means to it. Does not know
//! whether the answer wins.

use std::collections::VecDeque;

use super::text::{Care, Row, Style, clean, columns, hanging, rows};
use crate::gateway::verbs::choose;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{
    AnswerPermission, AnswerQuestion, OptionKind, PermissionAsked, Question, QuestionAnswer, QuestionAsked,
};

/// Requests that are kept: as many as a session has open.
const OPEN: usize = 64;
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
    open: VecDeque<Request>,
    may_approve: bool,
    why_not: &'static str,
}

impl Cards {
    /// None yet.
    pub(super) fn new(may_approve: bool, drives: bool) -> Self {
        let why_not = if may_approve { "only looking here: " } else { "this key may not approve; one that may: " };
        Self { open: VecDeque::new(), may_approve: may_approve && drives, why_not }
    }

    /// One more; false when it is known.
    pub(super) fn add(&mut self, request: Request) -> bool {
        let new = self.open.len() < OPEN && !self.open.iter().any(|open| open.id() == request.id());
        if new {
            self.open.push_back(request);
        }
        new
    }

    /// It was decided; what it was.
    pub(super) fn close(&mut self, id: &str) -> Option<Request> {
        let place = self.open.iter().position(|open| open.id() == id)?;
        self.open.remove(place)
    }

    /// Nothing is known of them any more.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn front(&self) -> Option<&Request> {
        self.open.front()
    }

    /// The id of the one in front: another one is another card.
    pub(super) fn front_id(&self) -> Option<&str> {
        self.front().map(Request::id)
    }

    /// Whether texts answer the one in front.
    pub(super) fn asks_question(&self) -> bool {
        matches!(self.front(), Some(Request::Question(..)))
    }

    /// A single key.
    pub(super) fn press(&mut self, key: char) -> Pressed {
        match self.open.front_mut() {
            Some(Request::Permission(asked)) if self.may_approve => permission_key(asked, key),
            Some(Request::Question(asked, answers)) => {
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
        let Some(Request::Question(asked, answers)) = self.open.front_mut() else { return Pressed::Nothing };
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
        match self.front() {
            Some(Request::Permission(asked)) if asked.id == id => decided(asked, choose(asked, false, false), reason),
            _ => Pressed::Refused("that request is closed".to_owned()),
        }
    }

    /// The one in front for the live region; `keys`: they count now.
    pub(super) fn rows(&self, keys: Keys, width: usize) -> Vec<Row> {
        let count = if self.open.len() > 1 { format!(" (1 of {})", self.open.len()) } else { String::new() };
        match self.front() {
            None => Vec::new(),
            Some(Request::Permission(asked)) => {
                let head = format!("? allow {}{count}", asked.summary);
                let mut out = vec![Row::clipped(Style::Warning, &head, width)];
                if self.may_approve {
                    out.extend(keys.rows(&permission_keys(asked), width));
                } else {
                    let how = format!("{}approve {id}, or deny {id}", self.why_not, id = asked.id);
                    out.extend(rows(Style::Dim, "  ", &clean(&how, Care::Exact), width));
                }
                out
            }
            Some(Request::Question(asked, answers)) => {
                let Some(question) = asked.questions.get(answers.len()) else { return Vec::new() };
                let place = match asked.questions.len() {
                    1 => String::new(),
                    all => format!(" ({} of {all})", answers.len() + 1),
                };
                let text = format!("? {}{place}{count}", question.text);
                let mut out = rows(Style::Warning, "", &clean(&text, Care::Prose), width);
                out.truncate(4);
                for (number, option) in question.options.iter().enumerate() {
                    let text = match option.description.as_str() {
                        "" => format!("  {} {}", number + 1, option.label),
                        description => format!("  {} {} - {description}", number + 1, option.label),
                    };
                    out.push(Row::clipped(Style::Plain, &text, width));
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

fn permission_key(asked: &PermissionAsked, key: char) -> Pressed {
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
    decided(asked, option, "")
}

fn decided(asked: &PermissionAsked, option: Result<String, String>, reason: &str) -> Pressed {
    match option {
        Ok(option) => {
            let (id, digest, reason) = (asked.id.clone(), asked.digest.clone(), reason.to_owned());
            Pressed::Answer(Command::AnswerPermission(AnswerPermission { id, digest, option, reason }))
        }
        Err(why) => Pressed::Refused(why),
    }
}

/// `y/1 Allow`, `n/2 Reject`, `r reject with a reason`.
fn permission_keys(asked: &PermissionAsked) -> Vec<String> {
    let mut taken = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    for (number, option) in asked.options.iter().enumerate().take(9) {
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
    use crate::wire::v1::{PermissionOption, QuestionOption};

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
        assert!(cards.add(permission(true)) && !cards.add(permission(true)), "once");
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
        assert!(cards.close("r1").is_some() && cards.front().is_none());
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        let mut cards = Cards::new(true, true);
        cards.add(permission(false));
        assert!(matches!(cards.press('a'), Pressed::Refused(why) if why.contains("no option allow_always")));
    }

    #[test]
    fn questions_are_answered_one_by_one_with_labels_or_texts() {
        let mut cards = Cards::default();
        cards.add(question(true));
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
