//! From a request to its one answer: by a person, a rule or a deadline; does not know who may answer.

use super::requests::{self, Request};
use super::{Conversation, Standing};
use crate::agents::driver::{Command, Effects, Millis, Refused};
use crate::agents::event::{Made, clip};
use crate::agents::limits::{DECIDED, RULES, SHORT_TEXT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AnswerPermission, AnswerQuestion, Closing, Decided, OptionKind, PermissionAsked, PermissionClosed,
    PermissionOption, QuestionAsked, QuestionClosed, RuleAdded,
};

/// Our own option: answers this request and makes a rule of it.
const ALWAYS: &str = "allow-always";

impl Conversation {
    /// What the driver left for us to say: the rule that could be made, and the deadline.
    pub(super) fn complete(&self, now: Millis, asked: &mut PermissionAsked) {
        // An agent's own standing answers would be kept where nobody can list or revoke them.
        asked.options.retain(|option| matches!(option.kind(), OptionKind::AllowOnce | OptionKind::RejectOnce));
        if let Some(rule) = Standing::from_request(asked) {
            let name = format!("Always in this session: {}", rule.description());
            let option = PermissionOption { id: ALWAYS.to_owned(), name, kind: OptionKind::AllowAlways.into() };
            let place = asked.options.iter().position(|option| option.kind() == OptionKind::RejectOnce);
            asked.options.insert(place.unwrap_or(asked.options.len()), option);
        }
        if let (Some(wait), Some(reject)) = (self.patience.request, first(asked, OptionKind::RejectOnce)) {
            asked.deadline = now.saturating_add(wait);
            asked.at_deadline = reject;
        }
    }

    /// A rule answers at once, or it waits for somebody.
    pub(super) fn permission_asked(&mut self, now: Millis, asked: PermissionAsked) -> Effects {
        let id = asked.id.clone();
        let covered = self.rules.iter().position(|(_, standing)| standing.covers(&asked));
        let (kind, outcome, reason, rule) = match covered.and_then(|place| self.rules.get(place)) {
            Some((rule, _)) => (OptionKind::AllowOnce, Closing::Allowed, "", rule.id.clone()),
            None if self.requests.add(Request::Permission(asked.clone())) => return Vec::new(),
            None => (OptionKind::RejectOnce, Closing::Rejected, "too many requests are open", String::new()),
        };
        let option = first(&asked, kind).unwrap_or_default();
        let command = Command::Permission { id: id.clone(), option: option.clone(), reason: reason.to_owned() };
        let mut made = Made::new(now, None);
        match self.driver.command(now, command) {
            Ok(effects) => {
                let mut by = String::new();
                if let Some((used, _)) = covered.and_then(|place| self.rules.get_mut(place)) {
                    used.used += 1;
                    by.clone_from(&used.by);
                }
                self.decided(Decided {
                    request: id.clone(),
                    digest: asked.digest,
                    option: option.clone(),
                    rule: rule.clone(),
                    by,
                    reason: reason.to_owned(),
                    number: 0,
                });
                let (outcome, reason) = (outcome.into(), reason.to_owned());
                made.event(Kind::PermissionClosed(PermissionClosed {
                    id,
                    outcome,
                    option,
                    reason,
                    rule,
                    by: String::new(),
                }));
                effects.into_iter().chain(made.done()).collect()
            }
            Err(why) => {
                made.remark(&format!("request {id} could not be answered: {why}"));
                // Somebody must see it: the agent waits for it.
                self.requests.keep(Request::Permission(asked));
                made.done()
            }
        }
    }

    pub(super) fn question_asked(&mut self, now: Millis, asked: QuestionAsked) -> Effects {
        let id = asked.id.clone();
        if self.requests.add(Request::Question(asked.clone())) {
            return Vec::new();
        }
        let why = "too many requests are open";
        let request = Request::Question(asked);
        let mut made = Made::new(now, None);
        match self.driver.command(now, Command::Decline { id: id.clone(), reason: why.to_owned() }) {
            Ok(effects) => {
                made.event(closed(&request, Closing::Rejected, why));
                effects.into_iter().chain(made.done()).collect()
            }
            Err(refused) => {
                made.remark(&format!("question {id} could not be declined: {refused}"));
                self.requests.keep(request);
                made.done()
            }
        }
    }

    /// A person's answer to a permission. Refused: nothing has changed.
    pub(super) fn answer_permission(
        &mut self,
        now: Millis,
        who: &str,
        answer: AnswerPermission,
    ) -> Result<Effects, Refused> {
        let asked = self.requests.permission(&answer.id, &answer.digest)?;
        let chosen = requests::option(asked, &answer.option)?.clone();
        let standing = (chosen.kind() == OptionKind::AllowAlways).then(|| Standing::from_request(asked)).flatten();
        if standing.is_some() && self.rules.len() >= RULES {
            return Err(Refused::TooManyRules(RULES));
        }
        let allows = matches!(chosen.kind(), OptionKind::AllowOnce | OptionKind::AllowAlways);
        let wanted = if allows { OptionKind::AllowOnce } else { OptionKind::RejectOnce };
        let option = if chosen.id == ALWAYS { first(asked, wanted).unwrap_or_default() } else { chosen.id.clone() };
        let (id, reason) = (answer.id, clip(answer.reason, SHORT_TEXT));
        let effects =
            self.driver.command(now, Command::Permission { id: id.clone(), option, reason: reason.clone() })?;
        self.requests.resolve(&id, who, &chosen.id);
        let mut made = Made::new(now, None);
        let mut rule = String::new();
        if let Some(standing) = standing {
            self.rules_made += 1;
            rule = format!("rule-{}", self.rules_made);
            let made_rule = standing.as_rule(rule.clone(), who, now);
            made.event(Kind::RuleAdded(RuleAdded { rule: Some(made_rule.clone()) }));
            self.rules.push((made_rule, standing));
        }
        let outcome = if allows { Closing::Allowed } else { Closing::Rejected }.into();
        let (option, by) = (chosen.id, who.to_owned());
        made.event(Kind::PermissionClosed(PermissionClosed { id, outcome, option, by, reason, rule }));
        Ok(effects.into_iter().chain(made.done()).collect())
    }

    /// A person's answer to a question. Refused: nothing has changed.
    pub(super) fn answer_question(
        &mut self,
        now: Millis,
        who: &str,
        answer: AnswerQuestion,
    ) -> Result<Effects, Refused> {
        let asked = self.requests.question(&answer.id, &answer.digest)?;
        let (id, reason) = (answer.id.clone(), clip(answer.reason, SHORT_TEXT));
        let (command, outcome, option) = if answer.declined {
            (Command::Decline { id: id.clone(), reason: reason.clone() }, Closing::Rejected, "declined")
        } else {
            let answers = requests::answers(asked, &answer.answers)?;
            (Command::Question { id: id.clone(), answers }, Closing::Answered, "answered")
        };
        let effects = self.driver.command(now, command)?;
        self.requests.resolve(&id, who, option);
        let mut made = Made::new(now, None);
        let answers = if answer.declined { Vec::new() } else { answer.answers };
        let (outcome, by) = (outcome.into(), who.to_owned());
        made.event(Kind::QuestionClosed(QuestionClosed { id, outcome, answers, by, reason }));
        Ok(effects.into_iter().chain(made.done()).collect())
    }

    /// Nobody answered in time.
    pub(super) fn request_is_overdue(&mut self, now: Millis, request: &Request) -> Effects {
        let why = "nobody answered in time";
        let id = request.id().to_owned();
        let command = match request {
            Request::Permission(asked) => {
                Command::Permission { id: id.clone(), option: asked.at_deadline.clone(), reason: why.to_owned() }
            }
            Request::Question(_) => Command::Decline { id: id.clone(), reason: why.to_owned() },
        };
        let mut made = Made::new(now, None);
        let effects = match self.driver.command(now, command) {
            Ok(effects) => effects,
            Err(refused) => {
                // The agent waits for it still.
                made.remark(&format!("{why}, and request {id} could not be rejected: {refused}; it stays open"));
                self.requests.has_no_deadline(&id);
                return made.done();
            }
        };
        self.requests.expire(&id, why);
        let option = match request {
            Request::Permission(asked) => asked.at_deadline.clone(),
            Request::Question(_) => "declined".to_owned(),
        };
        let (request_id, digest, reason) = (id, request.digest().to_owned(), why.to_owned());
        self.decided(Decided { request: request_id, digest, option, reason, ..Decided::default() });
        made.event(closed(request, Closing::Expired, why));
        effects.into_iter().chain(made.done()).collect()
    }

    /// Nobody made this decision just then: it is reported, so that it is in the audit.
    fn decided(&mut self, decided: Decided) {
        self.decisions += 1;
        if self.decided.len() == DECIDED {
            self.decided.pop_front();
        }
        self.decided.push_back(Decided { number: self.decisions, ..decided });
    }

    /// Nobody can answer any more.
    pub(super) fn expire_all(&mut self, made: &mut Made<'_>, why: &str) {
        for request in self.requests.expire_all(why) {
            made.event(closed(&request, Closing::Cancelled, why));
        }
    }
}

fn closed(request: &Request, outcome: Closing, why: &str) -> Kind {
    let (id, reason) = (request.id().to_owned(), why.to_owned());
    match request {
        Request::Permission(asked) => {
            let option = if outcome == Closing::Expired { asked.at_deadline.clone() } else { String::new() };
            let outcome = outcome.into();
            Kind::PermissionClosed(PermissionClosed { id, outcome, option, reason, ..PermissionClosed::default() })
        }
        Request::Question(_) => {
            let outcome = outcome.into();
            Kind::QuestionClosed(QuestionClosed { id, outcome, reason, ..QuestionClosed::default() })
        }
    }
}

fn first(asked: &PermissionAsked, kind: OptionKind) -> Option<String> {
    asked.options.iter().find(|option| option.kind() == kind).map(|option| option.id.clone())
}
