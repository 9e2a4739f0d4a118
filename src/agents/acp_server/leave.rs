//! Requests of the agent's for leave: asked of the client, taken back when somebody else was first. Does not judge rights.

use serde_json::{Value, json};

use super::asked::Asked;
use super::content::{Outcome, PermissionAnswer};
use super::rpc::{notification, request};
use super::session::Phase;
use super::updates::note;
use super::{Act, Effect, Effects, Server, Trouble, Waiting};
use crate::wire::v1::Closing;

impl Server {
    /// The client's choice. One that came too late is the answer to a request that is not known any more.
    pub(super) fn answered(&mut self, number: u64, result: Option<Value>, effects: &mut Effects) {
        let Some((session, request)) = self.asked.remove(&number) else { return };
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let Some((asked, of)) = known.open.get_mut(&request) else { return };
        *of = None;
        let choice = result.and_then(|result| serde_json::from_value::<PermissionAnswer>(result).ok());
        match choice.map(|choice| choice.outcome) {
            Some(Outcome::Selected { option_id }) => match asked.command(&option_id) {
                Some(command) => {
                    let waiting = Waiting::Answer { session: session.clone(), request };
                    self.act(Act::Command { session, command }, waiting, effects);
                }
                None => {
                    let text = format!("no such option; {}", asked.elsewhere());
                    self.update(&session, note(&text), effects);
                }
            },
            // It gave up the turn or its dialog: the request stays open for others until the turn ends.
            Some(Outcome::Cancelled) | None => {
                let text = asked.elsewhere();
                self.update(&session, note(&text), effects);
            }
        }
    }

    pub(super) fn open(&mut self, session: &str, asked: Asked, is_cut: bool, effects: &mut Effects) {
        let id = asked.id().to_owned();
        if is_cut {
            // Nobody allows here what he was not shown whole.
            let text = format!("too long to be shown whole here; {}", asked.elsewhere());
            return self.update(session, note(&text), effects);
        }
        let Some(known) = self.sessions.get_mut(session) else { return };
        known.open.insert(id.clone(), (asked, None));
        if matches!(known.phase, Phase::Live) {
            self.ask(session, &id, effects);
        }
    }

    pub(super) fn ask(&mut self, session: &str, request_id: &str, effects: &mut Effects) {
        let number = self.last + 1;
        let Some((asked, of)) = self.sessions.get_mut(session).and_then(|known| known.open.get_mut(request_id)) else {
            return;
        };
        match asked.params(session) {
            Some(params) => {
                self.last = number;
                *of = Some(number);
                self.asked.insert(number, (session.to_owned(), request_id.to_owned()));
                effects.push(Effect::Say(request(number, "session/request_permission", params)));
            }
            None => {
                let text = asked.elsewhere();
                self.update(session, note(&text), effects);
            }
        }
    }

    /// A request is decided, by whomever: the client need not decide any more.
    pub(super) fn closed(&mut self, session: &str, request: &str, outcome: Closing, by: &str, effects: &mut Effects) {
        let Some(known) = self.sessions.get_mut(session) else { return };
        let Some((_, Some(number))) = known.open.remove(request) else { return };
        self.take_back(number, effects);
        if !by.is_empty() {
            let what = match outcome {
                Closing::Allowed => "allowed",
                Closing::Rejected => "rejected",
                _ => "answered",
            };
            self.update(session, note(&format!("{what} by {by}")), effects);
        }
    }

    pub(super) fn take_back(&mut self, number: u64, effects: &mut Effects) {
        self.asked.remove(&number);
        effects.push(Effect::Say(notification("$/cancel_request", json!({"requestId": number}))));
    }

    /// Somebody who was first needs no words; a right that lacks does.
    pub(super) fn not_taken(&mut self, session: &str, request: &str, trouble: &Trouble, effects: &mut Effects) {
        let Some(known) = self.sessions.get(session) else { return };
        if let Some((asked, _)) = known.open.get(request) {
            let text = format!("your answer was not taken: {}. {}", trouble.message, asked.elsewhere());
            self.update(session, note(&text), effects);
        }
    }
}
