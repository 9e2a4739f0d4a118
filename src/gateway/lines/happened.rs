//! What an attach and each event change in the line terminal. Does not know keys.

use super::LineTerminal;
use super::cards::{Request, Seen};
use super::text::Style;
use super::transcript::missing;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentEvent, Attached, Closing, PermissionClosed, PromptPhase, QuestionClosed, Verdict};

impl LineTerminal {
    /// The answer to an attach, the first or a later one.
    pub(crate) fn attached(&mut self, attached: &Attached) {
        let lost = attached.lost_to.saturating_sub(attached.lost_from);
        if attached.verdict() == Verdict::Reset {
            self.remark("the session was restarted");
        } else if lost > 0 {
            self.remark(&format!("{lost} events are gone"));
        }
        if attached.verdict() != Verdict::Continuous {
            self.cards.forget();
            self.queued.clear();
        }
        if let Some(session) = &attached.session {
            self.setup.name.clone_from(&session.name);
        }
        let agent = attached.agent.clone().unwrap_or_default();
        self.state = agent.state.as_ref().map_or(self.state, |state| state.state());
        if let Some(started) = agent.started {
            (self.mode, self.model) = (started.mode, started.model);
        }
        for prompt in agent.prompts.iter().filter(|prompt| prompt.phase() == PromptPhase::Queued) {
            self.queue(&prompt.id);
        }
        let permissions = agent.permissions.into_iter().map(Request::Permission);
        let questions = agent.questions.into_iter().map(|asked| Request::Question(asked, Vec::new()));
        self.waiting = permissions.chain(questions).collect();
        self.head = attached.head;
        self.transcript.history = attached.offset < self.head;
        if !self.transcript.history {
            self.live();
        }
        self.settle();
    }

    /// The event of this number.
    pub(crate) fn event(&mut self, number: u64, event: &AgentEvent) {
        match &event.kind {
            Some(Kind::State(state)) => (self.state, self.notice) = (state.state(), None),
            Some(Kind::Started(started)) => {
                self.mode.clone_from(&started.mode);
                if !started.model.is_empty() {
                    self.model.clone_from(&started.model);
                }
            }
            Some(Kind::Mode(mode)) => self.mode.clone_from(&mode.mode),
            Some(Kind::Model(model)) => self.model.clone_from(&model.model),
            Some(Kind::Prompt(state)) => match state.phase() {
                PromptPhase::Accepted => {}
                PromptPhase::Queued => self.queue(&state.id),
                _ => {
                    self.queued.retain(|id| *id != state.id);
                    self.mine.retain(|(id, _)| *id != state.id);
                }
            },
            Some(Kind::PermissionAsked(asked)) => self.told(number, event, Request::Permission(asked.clone())),
            Some(Kind::QuestionAsked(asked)) => self.told(number, event, Request::Question(asked.clone(), Vec::new())),
            Some(Kind::PermissionClosed(closed)) => self.permission_closed(closed),
            Some(Kind::QuestionClosed(closed)) => self.question_closed(closed),
            _ => {}
        }
        self.transcript.take(event);
        if self.transcript.history && number + 1 >= self.head {
            self.live();
        }
        self.settle();
    }

    fn queue(&mut self, id: &str) {
        if !self.queued.iter().any(|known| known == id) {
            self.queued.push(id.to_owned());
        }
    }

    fn live(&mut self) {
        self.transcript.live();
        for request in std::mem::take(&mut self.waiting) {
            self.asked(request);
        }
    }

    /// The event whose whole is wanted, told once; [`Self::fetched`] hears what came of it.
    pub(crate) fn wanted(&mut self) -> Option<u64> {
        // What is history may be closed by now, or told whole at its end.
        if self.transcript.history { None } else { self.cards.fetch() }
    }

    /// The whole event of this number, or why it did not come.
    pub(crate) fn fetched(&mut self, number: u64, event: Result<AgentEvent, String>) {
        let Some(beginning) = self.cards.fetching(number).cloned() else { return };
        match event.and_then(|event| whole(event, &beginning)) {
            Ok(request) => self.asked(request),
            Err(why) => self.lost(&beginning, why),
        }
        self.settle();
    }

    fn told(&mut self, number: u64, event: &AgentEvent, request: Request) {
        match &event.cut {
            None => self.asked(request),
            Some(cut) if cut.fetchable => drop(self.cards.add(request, Seen::Beginning(number))),
            Some(cut) => {
                let why = format!("{} of its bytes were never kept", missing(cut, event));
                if self.cards.add(request.clone(), Seen::Lost(String::new())) {
                    self.lost(&request, why);
                }
            }
        }
    }

    fn asked(&mut self, request: Request) {
        let shown = if let Request::Permission(asked) = &request { Some(asked.clone()) } else { None };
        if self.cards.add(request, Seen::Whole)
            && let Some(asked) = shown
        {
            let left = self.transcript.asked(&asked);
            if left > 0 {
                self.cards.see(&asked.id, Seen::Long(left));
            }
        }
    }

    /// What there is of it is shown.
    fn lost(&mut self, beginning: &Request, why: String) {
        if let Request::Permission(asked) = beginning {
            self.transcript.asked(asked);
            self.transcript.remark(Style::Warning, &format!("… the rest of it is not shown: {why}"));
        }
        self.cards.see(beginning.id(), Seen::Lost(why));
    }

    fn permission_closed(&mut self, closed: &PermissionClosed) {
        let summary = self.closed(&closed.id);
        let by = match (closed.by.as_str(), closed.rule.as_str()) {
            ("", "") => String::new(),
            ("", rule) => format!(" (by {rule})"),
            (who, "") => format!(" (by {who})"),
            (who, rule) => format!(" (by {who}, from now on: {rule})"),
        };
        let why = if closed.reason.is_empty() { String::new() } else { format!(": {}", closed.reason) };
        let (style, what) = outcome(closed.outcome());
        self.transcript.remark(style, &format!("{what}: {summary}{by}{why}"));
    }

    fn question_closed(&mut self, closed: &QuestionClosed) {
        let summary = self.closed(&closed.id);
        let answers: Vec<String> = closed
            .answers
            .iter()
            .map(|answer| if answer.labels.is_empty() { answer.text.clone() } else { answer.labels.join(", ") })
            .collect();
        let answer = if answers.is_empty() { closed.reason.clone() } else { answers.join(" / ") };
        let by = if closed.by.is_empty() { String::new() } else { format!(" (by {})", closed.by) };
        let (style, what) = outcome(closed.outcome());
        self.transcript.remark(style, &format!("{what}: {summary}: {answer}{by}"));
    }

    fn closed(&mut self, id: &str) -> String {
        self.waiting.retain(|request| request.id() != id);
        self.cards.close(id).map_or_else(|| "a request".to_owned(), |request| request.summary())
    }
}

/// The request that the event asks whole; only the one that was asked for.
fn whole(event: AgentEvent, beginning: &Request) -> Result<Request, String> {
    let request = match event.kind {
        _ if event.cut.is_some() => return Err("the rest was never kept".to_owned()),
        Some(Kind::PermissionAsked(asked)) => Request::Permission(asked),
        Some(Kind::QuestionAsked(asked)) => Request::Question(asked, Vec::new()),
        _ => return Err("something else came".to_owned()),
    };
    let is_same = request.id() == beginning.id() && request.digest() == beginning.digest();
    if is_same { Ok(request) } else { Err("another request came".to_owned()) }
}

fn outcome(closing: Closing) -> (Style, &'static str) {
    match closing {
        Closing::Allowed => (Style::Good, "allowed"),
        Closing::Answered => (Style::Good, "answered"),
        Closing::Rejected => (Style::Bad, "rejected"),
        Closing::Expired => (Style::Warning, "nobody answered in time"),
        Closing::Cancelled | Closing::Unspecified => (Style::Dim, "no longer asked"),
    }
}
