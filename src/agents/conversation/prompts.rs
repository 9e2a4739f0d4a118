//! Prompts: whose turn it is, what became of each, and which came before; does not know the agent.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use crate::agents::driver::Refused;
use crate::agents::event::head;
use crate::agents::limits::{PROMPT_ID, PROMPT_QUEUE, PROMPT_TEXT, PROMPTS_KNOWN};
use crate::wire::v1::{AgentError, Prompt, PromptPhase, PromptState};

/// A prompt that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) who: String,
}

/// What is remembered of a prompt.
struct Known {
    content: [u8; 32],
    state: PromptState,
}

/// All prompts of one conversation.
#[derive(Default)]
pub(super) struct Prompts {
    queue: VecDeque<Queued>,
    /// The one that the agent has.
    in_flight: Option<String>,
    /// Oldest first.
    known: VecDeque<Known>,
}

impl Prompts {
    /// Whether it was sent before: then its state, unless the text is another one.
    pub(super) fn seen(&self, prompt: &Prompt) -> Result<Option<PromptState>, Refused> {
        let Some(known) = self.known.iter().find(|known| known.state.id == prompt.id) else { return Ok(None) };
        if known.content != content(&prompt.text) {
            return Err(Refused::IdReused(prompt.id.clone()));
        }
        Ok(Some(self.now_at(known.state.clone())))
    }

    /// Into the queue.
    pub(super) fn accept(&mut self, prompt: Prompt, who: &str) -> Result<(), Refused> {
        check(&prompt)?;
        if self.queue.len() >= PROMPT_QUEUE {
            return Err(Refused::QueueFull(PROMPT_QUEUE));
        }
        while self.known.len() >= PROMPTS_KNOWN {
            // Those that wait or run are fewer than are remembered, so a finished one is found.
            let over = self.known.iter().position(|known| is_over(known.state.phase())).unwrap_or(0);
            self.known.remove(over);
        }
        let state = PromptState { id: prompt.id.clone(), phase: PromptPhase::Queued.into(), ..PromptState::default() };
        self.known.push_back(Known { content: content(&prompt.text), state });
        self.queue.push_back(Queued { id: prompt.id, text: prompt.text, who: who.to_owned() });
        Ok(())
    }

    /// The one to hand over next; none while the agent has one.
    pub(super) fn next(&self) -> Option<&Queued> {
        self.queue.front().filter(|_| self.in_flight.is_none())
    }

    /// The first of the queue is with the agent now.
    pub(super) fn handed_over(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.in_flight = Some(queued.id.clone());
        self.set(&queued.id, |state| state.phase = PromptPhase::HandedOver.into());
        Some(queued)
    }

    /// The first of the queue will never be with the agent.
    pub(super) fn failed(&mut self, why: String) -> Option<PromptState> {
        let queued = self.queue.pop_front()?;
        self.set(&queued.id, |state| {
            state.phase = PromptPhase::Failed.into();
            state.error = Some(AgentError { message: why, status: 0, retryable: false });
        })
    }

    /// The turn of the one in flight has begun.
    pub(super) fn turn_began(&mut self, id: &str, turn: u64) {
        self.set(id, |state| state.turn = turn);
    }

    /// What became of the one in flight.
    pub(super) fn ended(&mut self, phase: PromptPhase, error: Option<AgentError>) -> Option<PromptState> {
        let id = self.in_flight.take()?;
        self.set(&id, |state| {
            state.phase = phase.into();
            state.error = error;
        })
    }

    /// Out of the queue.
    pub(super) fn cancel(&mut self, id: &str) -> Result<PromptState, Refused> {
        let known = self.known.iter().find(|known| known.state.id == id);
        let state = known.map(|known| known.state.clone()).ok_or_else(|| Refused::NoSuchPrompt(head(id, PROMPT_ID)))?;
        match state.phase() {
            // Again: as it is.
            PromptPhase::Cancelled => return Ok(state),
            PromptPhase::Queued => {}
            _ => return Err(Refused::NotQueued(state.id)),
        }
        self.queue.retain(|queued| queued.id != id);
        let cancelled = self.set(id, |state| state.phase = PromptPhase::Cancelled.into());
        Ok(cancelled.unwrap_or(state))
    }

    /// Everything that still waits is cancelled.
    pub(super) fn cancel_all(&mut self) -> Vec<PromptState> {
        let ids: Vec<String> = self.queue.iter().map(|queued| queued.id.clone()).collect();
        ids.iter().filter_map(|id| self.cancel(id).ok()).collect()
    }

    /// The state of one.
    pub(super) fn state(&self, id: &str) -> Option<PromptState> {
        self.known.iter().find(|known| known.state.id == id).map(|known| self.now_at(known.state.clone()))
    }

    /// Those that wait or run, the running one first.
    pub(super) fn open(&self) -> Vec<PromptState> {
        let ids = self.in_flight.iter().chain(self.queue.iter().map(|queued| &queued.id));
        ids.filter_map(|id| self.state(id)).collect()
    }

    fn now_at(&self, mut state: PromptState) -> PromptState {
        let place = self.queue.iter().position(|queued| queued.id == state.id).unwrap_or(0);
        state.position = u32::try_from(place).unwrap_or(u32::MAX);
        state
    }

    fn set(&mut self, id: &str, change: impl FnOnce(&mut PromptState)) -> Option<PromptState> {
        let known = self.known.iter_mut().find(|known| known.state.id == id)?;
        change(&mut known.state);
        Some(known.state.clone())
    }
}

fn is_over(phase: PromptPhase) -> bool {
    !matches!(phase, PromptPhase::Queued | PromptPhase::HandedOver)
}

fn content(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn check(prompt: &Prompt) -> Result<(), Refused> {
    let bad = |what: String| Err(Refused::BadPrompt(what));
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if prompt.id.is_empty() || prompt.id.len() > PROMPT_ID || !prompt.id.bytes().all(is_id) {
        return bad(format!("a prompt's id has 1 to {PROMPT_ID} letters, digits and ._:-"));
    }
    if prompt.text.trim().is_empty() {
        return bad("an empty prompt says nothing to the agent; write a text".to_owned());
    }
    if prompt.text.len() > PROMPT_TEXT {
        let have = prompt.text.len();
        return bad(format!("the prompt has {have} bytes, at most {PROMPT_TEXT}; put long texts into a file"));
    }
    Ok(())
}
