//! A structured session as a line terminal: events and typed bytes in, bytes for the terminal and what the person wants
//! out. Shared by the ssh door and the local client. Knows no socket, no session and no clock: times are told to it.

mod asked;
mod cards;
mod editor;
mod happened;
mod keys;
mod picture;
mod region;
mod stream;
mod text;
mod tools;
mod transcript;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::base::WinSize;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::{AgentState, Interrupt, Prompt};

pub(crate) use picture::LEAVE;

use cards::{Card, Cards, Pressed, Request};
use editor::{Editor, Full};
use keys::{Key, Keyboard};
use region::Region;
use text::{Row, Style};
use transcript::Transcript;

/// Events of before that a person who comes later is shown: a few turns, without the cost of all.
pub(crate) const CONTEXT: u32 = 200;

/// Single keys answer a card so long after it was written or the last key was typed: who types a sentence meant no answer.
const GRACE: Duration = Duration::from_millis(400);
/// An ESC that nothing follows for so long is a key.
const ESCAPE: Duration = Duration::from_millis(60);
/// Nothing is drawn while a window is being pulled: what would be taken away is counted for a size that it no longer has.
/// tmux tells a program of the next size only 250 ms after the last.
const PULL: Duration = Duration::from_millis(300);

/// What is known at the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The session.
    pub(crate) name: String,
    /// The window.
    pub(crate) size: WinSize,
    /// What is typed counts.
    pub(crate) drives: bool,
    /// The key may approve.
    pub(crate) may_approve: bool,
    /// The keys that leave, for people; empty: there are none.
    pub(crate) leave: String,
    /// Begins the ids of prompts; nobody else uses it.
    pub(crate) prompts: String,
}

/// What the person wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// Say this to the agent; [`LineTerminal::refused`] hears when it did not work.
    Ask(Command),
    /// Detach.
    Leave,
}

/// See the module.
pub(crate) struct LineTerminal {
    setup: Setup,
    transcript: Transcript,
    cards: Cards,
    editor: Editor,
    keyboard: Keyboard,
    region: Region,
    /// The request for whose rejection a reason is typed.
    reason: Option<String>,
    /// What is typed answers the question in front.
    answering: bool,
    /// The card in front, whether it was written, and whether keys answer it yet.
    card: Option<Card>,
    drawn: bool,
    armed: bool,
    arms_at: Option<Instant>,
    escape_at: Option<Instant>,
    /// Nothing is drawn before.
    draws_at: Option<Instant>,
    notice: Option<Row>,
    state: AgentState,
    mode: String,
    model: String,
    /// Prompts that wait, by id.
    queued: Vec<String>,
    /// Those of them that were written here, with their texts.
    mine: Vec<(String, String)>,
    prompts: u64,
    /// Events before this one are history.
    head: u64,
    /// Requests of the attach that history may not have told.
    waiting: Vec<Request>,
    begun: bool,
    wiped: bool,
}

impl LineTerminal {
    /// Nothing is drawn yet.
    pub(crate) fn new(setup: Setup) -> Self {
        let mut transcript = Transcript::default();
        transcript.set_width(picture::width(setup.size));
        let cards = Cards::new(setup.may_approve, setup.drives);
        Self {
            setup,
            transcript,
            cards,
            editor: Editor::default(),
            keyboard: Keyboard::default(),
            region: Region::default(),
            reason: None,
            answering: false,
            card: None,
            drawn: false,
            armed: false,
            arms_at: None,
            escape_at: None,
            draws_at: None,
            notice: None,
            state: AgentState::Starting,
            mode: String::new(),
            model: String::new(),
            queued: Vec::new(),
            mine: Vec::new(),
            prompts: 0,
            head: 0,
            waiting: Vec::new(),
            begun: false,
            wiped: false,
        }
    }

    /// The window has another size: what stands for good stays as it is.
    pub(crate) fn resize(&mut self, size: WinSize, now: Instant) {
        self.draws_at = Some(now + PULL);
        self.setup.size = size;
        self.transcript.set_width(picture::width(size));
        self.region.changed();
    }

    /// Typed bytes, those that leave a session taken out.
    pub(crate) fn typed(&mut self, bytes: &[u8], now: Instant) -> Vec<Wish> {
        let keys: Vec<Key> = bytes.iter().filter_map(|byte| self.keyboard.push(*byte)).collect();
        // More than one at once were typed before the card could be read.
        let alone = keys.len() == 1;
        let wishes = keys.into_iter().filter_map(|key| self.press(key, alone, now)).collect();
        self.escape_at = self.keyboard.is_open().then(|| now + ESCAPE);
        self.settle();
        wishes
    }

    /// What [`Self::paint`] gave was written. A card can be read only from then on: what stands above it may be long.
    pub(crate) fn painted(&mut self, now: Instant) {
        if self.card.is_some() && !self.drawn && self.draws_at.is_none() {
            (self.drawn, self.arms_at) = (true, Some(now + GRACE));
        }
    }

    /// When [`Self::tick`] is wanted.
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.arms_at, self.escape_at, self.draws_at].into_iter().flatten().min()
    }

    /// The time has come.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.escape_at.is_some_and(|at| at <= now) {
            self.escape_at = None;
            if let Some(key) = self.keyboard.close() {
                self.press(key, true, now);
            }
        }
        self.draws_at = self.draws_at.filter(|at| *at > now);
        if self.arms_at.is_some_and(|at| at <= now) {
            self.arms_at = None;
            self.armed = true;
        }
        self.settle();
    }

    /// A wish that was not granted.
    pub(crate) fn refused(&mut self, command: &Command, why: &str) {
        self.transcript.remark(Style::Bad, &format!("! {why}"));
        if let Command::Prompt(prompt) = command {
            self.mine.retain(|(id, _)| *id != prompt.id);
            if self.editor.is_empty() && self.reason.is_none() {
                // It can be sent again; what is too long was written here.
                let _ = self.editor.press(Key::Paste(prompt.text.clone()));
            }
        }
    }

    /// A line of the door's own, for good.
    pub(crate) fn remark(&mut self, text: &str) {
        self.transcript.remark(Style::Warning, text);
    }

    /// A line of the door's own, until the next key; an empty one takes it away.
    pub(crate) fn note(&mut self, text: &str) {
        let row = || Row::clipped(Style::Warning, text, picture::width(self.setup.size));
        self.notice = (!text.is_empty()).then(row);
    }

    fn press(&mut self, key: Key, alone: bool, now: Instant) -> Option<Wish> {
        self.notice = None;
        if !self.setup.drives {
            return matches!(key, Key::Interrupt | Key::EndOfInput).then_some(Wish::Leave);
        }
        match key {
            Key::Redraw => self.wiped = true,
            Key::Escape => self.give_up_reason(),
            Key::Interrupt => return self.interrupt(),
            Key::EndOfInput if self.editor.is_empty() => return Some(Wish::Leave),
            Key::Enter => return self.submit(),
            Key::Char(ch) if alone && self.armed && self.editor.is_empty() && self.reason.is_none() => {
                match self.cards.press(ch) {
                    Pressed::Nothing => self.edit(key, now),
                    other => return self.pressed(other),
                }
            }
            key => self.edit(key, now),
        }
        None
    }

    fn edit(&mut self, key: Key, now: Instant) {
        if self.editor.press(key) == Err(Full) {
            self.note("the text is full: 64 KiB; put longer ones into a file");
        }
        // Who types a sentence with pauses still means no answer.
        if self.drawn {
            (self.armed, self.arms_at) = (false, Some(now + GRACE));
        }
    }

    fn interrupt(&mut self) -> Option<Wish> {
        if self.reason.is_some() {
            self.give_up_reason();
        } else if !self.editor.is_empty() {
            self.editor.clear();
        } else if matches!(
            self.state,
            AgentState::Working | AgentState::Retrying | AgentState::NeedsApproval | AgentState::NeedsAnswer
        ) {
            self.note("interrupting …");
            return Some(Wish::Ask(Command::Interrupt(Interrupt {})));
        } else {
            let keys = if self.setup.leave.is_empty() { String::new() } else { format!("{}, or ", self.setup.leave) };
            self.note(&format!("the agent does nothing; to leave: {keys}Ctrl-D"));
        }
        None
    }

    fn give_up_reason(&mut self) {
        if self.reason.take().is_some() {
            self.editor.clear();
        }
    }

    fn submit(&mut self) -> Option<Wish> {
        if self.editor.is_empty() && self.reason.is_none() {
            return None;
        }
        let text = self.editor.take();
        if let Some(id) = self.reason.take() {
            let rejected = self.cards.reject(&id, text.trim());
            return self.pressed(rejected);
        }
        if text.trim().is_empty() {
            return None;
        }
        if self.answering {
            let answered = self.cards.answer(&text);
            return self.pressed(answered);
        }
        self.prompts += 1;
        let id = format!("{}-{}", self.setup.prompts, self.prompts);
        self.mine.push((id.clone(), text.clone()));
        Some(Wish::Ask(Command::Prompt(Prompt { id, text })))
    }

    fn pressed(&mut self, pressed: Pressed) -> Option<Wish> {
        match pressed {
            Pressed::Answer(command) => return Some(Wish::Ask(command)),
            Pressed::Reason => self.reason = self.card.as_ref().map(|card| card.id.clone()),
            Pressed::Refused(why) => self.note(&why),
            Pressed::Next | Pressed::Nothing => {}
        }
        None
    }

    /// What follows from any change of cards and line.
    fn settle(&mut self) {
        let front = if self.transcript.history { None } else { self.cards.card() };
        if self.card != front {
            let id = front.as_ref().map(|card| card.id.as_str());
            let is_gone = self.reason.is_some() && self.reason.as_deref() != id;
            self.card = front;
            (self.drawn, self.armed, self.arms_at) = (false, false, None);
            self.answering = false;
            if is_gone {
                self.give_up_reason();
                self.note("that request was closed meanwhile");
            }
        }
        // A text that was begun before the question came is none of its answers.
        self.answering |= self.armed && self.editor.is_empty() && self.cards.asks_question();
    }
}
