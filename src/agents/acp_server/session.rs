//! One session as a client sees it: what is replayed, whose prompts run, which requests it was asked. Sends nothing by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::asked::Asked;
use super::updates::Updates;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentEvent, AgentStarted, AgentState, AgentSummary, PromptPhase, PromptState, StateChanged, StopReason, TurnEnded,
};

/// A prompt of this client's.
pub(super) struct OwnPrompt {
    pub(super) id: String,
    /// The client's request, which is answered when the turn is over.
    pub(super) request: Value,
    /// With the agent: only an interrupt ends it.
    pub(super) handed_over: bool,
}

/// How far the client knows the session.
pub(super) enum Phase {
    /// `session/new` is answered when the agent has said what it is.
    Starting { request: Value },
    /// `session/load` is answered when the events before this number are told.
    Replaying { request: Value, until: u64 },
    /// Every event is told as it comes.
    Live,
}

/// See the module.
pub(super) struct Session {
    pub(super) phase: Phase,
    pub(super) updates: Updates,
    pub(super) prompts: Vec<OwnPrompt>,
    /// Open requests of the agent's, each with the number under which the client was asked.
    pub(super) open: BTreeMap<String, (Asked, Option<u64>)>,
    pub(super) started: AgentStarted,
    state: StateChanged,
    last_turn: TurnEnded,
    /// Shown with the session, for people.
    pub(super) name: String,
    pub(super) directory: String,
    pub(super) lost: u64,
}

/// What became of a prompt.
#[derive(Debug, PartialEq)]
pub(super) enum TurnOver {
    Stopped(&'static str),
    Failed { message: String, code: &'static str, status: u32 },
}

impl Session {
    pub(super) fn new(phase: Phase, agent: AgentSummary, name: String, directory: String, lost: u64) -> Self {
        let mut open = BTreeMap::new();
        for asked in agent.permissions.into_iter().map(Asked::Permission) {
            open.insert(asked.id().to_owned(), (asked, None));
        }
        for asked in agent.questions.into_iter().map(Asked::Question) {
            open.insert(asked.id().to_owned(), (asked, None));
        }
        Self {
            phase,
            updates: Updates::default(),
            prompts: Vec::new(),
            open,
            started: agent.started.unwrap_or_default(),
            state: agent.state.unwrap_or_default(),
            last_turn: TurnEnded::default(),
            name,
            directory,
            lost,
        }
    }

    /// Keeps what later answers need of an event.
    pub(super) fn learn(&mut self, event: &AgentEvent) {
        match &event.kind {
            Some(Kind::Started(started)) => self.started = started.clone(),
            Some(Kind::State(state)) => self.state = state.clone(),
            Some(Kind::Mode(mode)) => self.started.mode.clone_from(&mode.mode),
            Some(Kind::Model(model)) => self.started.model.clone_from(&model.model),
            Some(Kind::TurnEnded(turn)) => self.last_turn = turn.clone(),
            Some(Kind::TurnStarted(turn)) => self.hand_over(&turn.prompt_id),
            _ => {}
        }
    }

    /// Whether the agent has said what it is, or will not say it soon.
    pub(super) fn is_known(&self) -> bool {
        let waits = matches!(self.state.state(), AgentState::Starting | AgentState::Unspecified);
        !self.started.modes.is_empty() || !waits || !self.state.reason.is_empty()
    }

    /// Takes out the client's prompt that is over, with what it is answered.
    pub(super) fn prompt_over(&mut self, state: &PromptState) -> Option<(Value, TurnOver)> {
        if state.phase() == PromptPhase::HandedOver {
            self.hand_over(&state.id);
        }
        let over = match state.phase() {
            PromptPhase::Finished => self.finished(),
            PromptPhase::Cancelled => TurnOver::Stopped("cancelled"),
            PromptPhase::Failed => match self.last_turn.stop_reason() {
                StopReason::Cancelled => TurnOver::Stopped("cancelled"),
                _ => self.failed(state),
            },
            PromptPhase::Unknown => TurnOver::Failed {
                message: "the agent went away with the prompt; nobody knows what became of it".to_owned(),
                code: "unknown",
                status: 0,
            },
            _ => return None,
        };
        let at = self.prompts.iter().position(|own| own.id == state.id)?;
        Some((self.prompts.remove(at).request, over))
    }

    /// `modes` and `configOptions`, as far as the agent has them, and what else a client may show.
    pub(super) fn describe(&self, id: Option<&str>) -> Value {
        let mut fields = Map::new();
        if let Some(id) = id {
            fields.insert("sessionId".into(), id.into());
        }
        let started = &self.started;
        if !started.modes.is_empty() {
            let mode = |mode: &crate::wire::v1::AgentMode| json!({"id": mode.id, "name": mode.name, "description": mode.description});
            let first = started.modes.first().map(|mode| mode.id.clone()).unwrap_or_default();
            let current = if started.mode.is_empty() { first } else { started.mode.clone() };
            let available: Vec<Value> = started.modes.iter().map(mode).collect();
            fields.insert("modes".into(), json!({"currentModeId": current, "availableModes": available}));
        }
        let options = self.config_options();
        if !options.is_empty() {
            fields.insert("configOptions".into(), options.into());
        }
        let mut meta = json!({"name": self.name, "directory": self.directory});
        if self.lost > 0
            && let Value::Object(meta) = &mut meta
        {
            meta.insert("eventsLost".into(), self.lost.into());
        }
        fields.insert("_meta".into(), json!({"portcullis": meta}));
        Value::Object(fields)
    }

    /// The choice of a model, where there is one.
    pub(super) fn config_options(&self) -> Vec<Value> {
        let started = &self.started;
        let Some(first) = started.models.first() else { return Vec::new() };
        let model = |model: &crate::wire::v1::AgentModel| json!({"value": model.id, "name": model.name, "description": model.description});
        let mut options: Vec<Value> = started.models.iter().map(model).collect();
        let current = if started.model.is_empty() { &first.id } else { &started.model };
        if !started.models.iter().any(|model| model.id == *current) {
            // An agent may call its model otherwise than its list does.
            options.push(json!({"value": current, "name": current}));
        }
        vec![json!({
            "id": "model", "name": "Model", "category": "model", "type": "select", "currentValue": current,
            "options": options,
        })]
    }

    fn hand_over(&mut self, prompt: &str) {
        if let Some(own) = self.prompts.iter_mut().find(|own| own.id == prompt) {
            own.handed_over = true;
        }
    }

    fn finished(&self) -> TurnOver {
        TurnOver::Stopped(match self.last_turn.stop_reason() {
            StopReason::MaxTokens => "max_tokens",
            StopReason::MaxTurnRequests => "max_turn_requests",
            StopReason::Refusal => "refusal",
            StopReason::Cancelled => "cancelled",
            _ => "end_turn",
        })
    }

    fn failed(&self, state: &PromptState) -> TurnOver {
        let error = state.error.as_ref().or(self.last_turn.error.as_ref());
        let message = error.map(|error| crate::base::printable(&error.message, 400)).filter(|text| !text.is_empty());
        TurnOver::Failed {
            message: message.unwrap_or_else(|| "the turn failed".to_owned()),
            code: "turn-failed",
            status: error.map_or(0, |error| error.status),
        }
    }
}
