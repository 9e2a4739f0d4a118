//! One structured session around any agent's driver: prompts in order, requests decided once, rules, the state that
//! people see; knows no agent's protocol, no pipe and no right.

mod answering;
mod commands;
mod cut;
mod prompts;
mod requests;
mod rules;
mod stopping;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::driver::{Command, Condition, Driver, Effect, Effects, Millis, Refused};
use super::event::{Made, head};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentEvent, AgentStarted, AgentState, AgentStream, AgentSummary, Decided, Plan, PromptPhase, StateChanged,
    StopReason, TurnEnded, Usage, UserMessage,
};

use prompts::Prompts;
use requests::{Request, Requests};
use rules::Standing;
use stopping::{Clock, Stop};

pub use commands::{Reply, refusal};
pub use cut::{brief, cut};

/// What the session wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Into the log, under its next number.
    Event(AgentEvent),
    /// To the agent's standard input.
    Write(Vec<u8>),
    /// Close the agent's standard input.
    CloseInput,
}

/// How long a session waits. Milliseconds; none: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// A turn that works for longer (waiting for people does not count) is interrupted.
    pub turn: Option<u64>,
    /// A request that nobody answers for so long is rejected.
    pub request: Option<u64>,
}

/// One structured session.
pub struct Conversation {
    driver: Box<dyn Driver>,
    patience: Patience,
    condition: Condition,
    state: StateChanged,
    started: AgentStarted,
    usage: Option<Usage>,
    plan: Option<Plan>,
    turn: u64,
    turns_ended: u64,
    prompts: Prompts,
    requests: Requests,
    rules: Vec<(crate::wire::v1::Rule, Standing)>,
    rules_made: u64,
    decided: VecDeque<Decided>,
    decisions: u64,
    clock: Clock,
    stop: Stop,
}

impl Conversation {
    /// Around this driver, not started.
    pub fn new(driver: Box<dyn Driver>, patience: Patience) -> Self {
        Self {
            driver,
            patience,
            condition: Condition::Starting(String::new()),
            state: StateChanged::default(),
            started: AgentStarted::default(),
            usage: None,
            plan: None,
            turn: 0,
            turns_ended: 0,
            prompts: Prompts::default(),
            requests: Requests::default(),
            rules: Vec::new(),
            rules_made: 0,
            decided: VecDeque::new(),
            decisions: 0,
            clock: Clock::default(),
            stop: Stop::No,
        }
    }

    /// The agent's process runs.
    pub fn start(&mut self, now: Millis) -> Vec<Act> {
        let effects = self.driver.start(now);
        self.follow(now, effects)
    }

    /// One line of its standard output, without the newline, at most [`super::limits::LINE`] bytes.
    pub fn line(&mut self, now: Millis, line: &[u8]) -> Vec<Act> {
        let effects = self.driver.line(now, line);
        self.follow(now, effects)
    }

    /// A line of `length` bytes was too long; its beginning.
    pub fn overlong(&mut self, now: Millis, beginning: &[u8], length: u64) -> Vec<Act> {
        let effects = self.driver.overlong(now, beginning, length);
        self.follow(now, effects)
    }

    /// Whether output comes as it is read, and clients may write to the agent's input themselves.
    pub fn is_raw(&self) -> bool {
        self.driver.is_raw()
    }

    /// What one read of a raw agent's standard output brought.
    pub fn bytes(&mut self, now: Millis, bytes: &[u8]) -> Vec<Act> {
        let effects = self.driver.bytes(now, bytes);
        self.follow(now, effects)
    }

    /// One line of its standard error, or its beginning.
    pub fn standard_error(&mut self, now: Millis, line: &[u8], length: u64) -> Vec<Act> {
        let mut made = Made::new(now, None);
        made.log(AgentStream::Stderr, line, length);
        self.follow(now, made.done())
    }

    /// Its standard output is at its end.
    pub fn closed(&mut self, now: Millis) -> Vec<Act> {
        let effects = self.driver.closed(now);
        let mut acts = self.follow(now, effects);
        let mut made = Made::new(now, None);
        self.expire_all(&mut made, "the agent has ended");
        if let Some(state) = self.prompts.ended(PromptPhase::Unknown, None) {
            made.event(Kind::Prompt(state));
        }
        while let Some(state) = self.prompts.failed("the agent has ended; restart the session".to_owned()) {
            made.event(Kind::Prompt(state));
        }
        self.clock = Clock::default();
        acts.extend(self.follow(now, made.done()));
        acts
    }

    /// Everything that a viewer needs who comes now.
    pub fn summary(&self) -> AgentSummary {
        let mut summary = AgentSummary {
            started: Some(self.started.clone()),
            state: Some(self.state.clone()),
            prompts: self.prompts.open(),
            rules: self.rules.iter().map(|(rule, _)| rule.clone()).collect(),
            usage: self.usage,
            plan: self.plan.clone(),
            turn: self.turn,
            turns_ended: self.turns_ended,
            decided: self.decided.iter().cloned().collect(),
            closed: self.requests.closed(),
            ..AgentSummary::default()
        };
        for request in self.requests.open() {
            match request {
                Request::Permission(asked) => summary.permissions.push(asked.clone()),
                Request::Question(asked) => summary.questions.push(asked.clone()),
            }
        }
        summary
    }

    /// What the agent does, and since when.
    pub fn state(&self) -> &StateChanged {
        &self.state
    }

    /// Does what the driver wants, and what follows from that, until nothing does.
    fn follow(&mut self, now: Millis, effects: Effects) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut left: VecDeque<Effect> = effects.into();
        loop {
            while let Some(effect) = left.pop_front() {
                let more = self.absorb(now, effect, &mut acts);
                // What follows from an event comes before the driver's next one.
                for effect in more.into_iter().rev() {
                    left.push_front(effect);
                }
            }
            let more = if self.condition == Condition::Idle { self.hand_over(now) } else { Vec::new() };
            if more.is_empty() {
                break;
            }
            left.extend(more);
        }
        self.settle(now, &mut acts);
        acts
    }

    /// One effect; what follows from it.
    fn absorb(&mut self, now: Millis, effect: Effect, acts: &mut Vec<Act>) -> Effects {
        let event = match effect {
            Effect::Write(line) => {
                acts.push(Act::Write(line));
                return Vec::new();
            }
            Effect::CloseInput => {
                acts.push(Act::CloseInput);
                return Vec::new();
            }
            Effect::Condition(condition) => {
                self.condition = condition;
                return Vec::new();
            }
            Effect::Event(event) => event,
        };
        let mut event = event;
        let mut made = Made::new(now, None);
        match &mut event.kind {
            Some(Kind::Started(started)) => self.started.clone_from(started),
            Some(Kind::Mode(mode)) => self.started.mode.clone_from(&mode.mode),
            Some(Kind::Model(model)) => self.started.model.clone_from(&model.model),
            Some(Kind::Usage(usage)) => self.usage = Some(*usage),
            Some(Kind::Plan(plan)) => self.plan = Some(plan.clone()),
            Some(Kind::TurnStarted(began)) => {
                self.turn = began.turn;
                self.prompts.turn_began(&began.prompt_id, began.turn);
                self.clock = Clock::started(now, self.patience.turn);
            }
            Some(Kind::TurnEnded(ended)) => self.turn_ended(&mut made, ended),
            Some(Kind::PermissionAsked(asked)) => {
                self.complete(now, asked);
                let asked = asked.clone();
                acts.push(Act::Event(event));
                return self.permission_asked(now, asked);
            }
            Some(Kind::QuestionAsked(asked)) => {
                asked.deadline = self.patience.request.map_or(0, |wait| now.saturating_add(wait));
                let asked = asked.clone();
                acts.push(Act::Event(event));
                return self.question_asked(now, asked);
            }
            Some(Kind::PermissionClosed(closed)) => _ = self.requests.expire(&closed.id, &closed.reason),
            Some(Kind::QuestionClosed(closed)) => _ = self.requests.expire(&closed.id, &closed.reason),
            _ => {}
        }
        acts.push(Act::Event(event));
        made.done()
    }

    fn turn_ended(&mut self, made: &mut Made<'_>, ended: &TurnEnded) {
        let verdict = std::mem::take(&mut self.clock).verdict();
        self.stop.turn_ended(made.now());
        self.expire_all(made, "its turn has ended");
        self.turns_ended += u64::from(ended.stop_reason() != StopReason::Gone);
        let phase = match ended.stop_reason() {
            StopReason::Error => PromptPhase::Failed,
            StopReason::Cancelled => PromptPhase::Cancelled,
            StopReason::Gone => PromptPhase::Unknown,
            _ => PromptPhase::Finished,
        };
        let limit = verdict.filter(|_| phase == PromptPhase::Cancelled);
        if let Some(state) = self.prompts.ended(phase, ended.error.clone().or(limit)) {
            made.event(Kind::Prompt(state));
        }
    }

    /// The next prompt goes to the agent, if it takes one.
    fn hand_over(&mut self, now: Millis) -> Effects {
        if self.stop.is_begun() {
            return Vec::new();
        }
        let Some(next) = self.prompts.next() else { return Vec::new() };
        let command = Command::Prompt { id: next.id.clone(), text: next.text.clone() };
        let mut made = Made::new(now, None);
        match self.driver.command(now, command) {
            Ok(effects) => {
                if let Some(handed) = self.prompts.handed_over() {
                    if let Some(state) = self.prompts.state(&handed.id) {
                        made.event(Kind::Prompt(state));
                    }
                    let (prompt_id, text, who) = (handed.id, handed.text, handed.who);
                    made.event(Kind::UserMessage(UserMessage { prompt_id, text, who }));
                }
                made.done().into_iter().chain(effects).collect()
            }
            Err(Refused::Busy(_)) => Vec::new(),
            Err(why) => {
                if let Some(state) = self.prompts.failed(why.to_string()) {
                    made.event(Kind::Prompt(state));
                }
                made.done()
            }
        }
    }

    /// Says the state if it is another one, and lets the clocks run or stand.
    fn settle(&mut self, now: Millis, acts: &mut Vec<Act>) {
        self.clock.runs(now, self.requests.is_empty());
        let (state, reason) = self.seen();
        if state == self.state.state() && reason == self.state.reason {
            return;
        }
        let since = if state == self.state.state() { self.state.since } else { now };
        self.state = StateChanged { state: state.into(), reason, since };
        let mut made = Made::new(now, None);
        made.event(Kind::State(self.state.clone()));
        acts.extend(made.done().into_iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(Act::Event(event)),
            _ => None,
        }));
    }

    fn seen(&self) -> (AgentState, String) {
        let waits = self.requests.open().next();
        match (&self.condition, waits) {
            (Condition::Starting(why), _) => (AgentState::Starting, why.clone()),
            (Condition::Ended(why), _) => (AgentState::Ended, why.clone()),
            (_, Some(Request::Permission(asked))) => (AgentState::NeedsApproval, asked.summary.clone()),
            (_, Some(Request::Question(asked))) => {
                let first = asked.questions.first().map(|question| head(&question.text, 200));
                (AgentState::NeedsAnswer, first.unwrap_or_default())
            }
            (Condition::NeedsLogin(why), None) => (AgentState::NeedsLogin, why.clone()),
            (Condition::Idle, None) => (AgentState::Idle, String::new()),
            (Condition::Retrying(why), None) => (AgentState::Retrying, why.clone()),
            (Condition::Working(why), None) => {
                let why = self.clock.complaint().unwrap_or_else(|| why.clone());
                (AgentState::Working, why)
            }
        }
    }
}
