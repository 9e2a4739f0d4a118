//! The one grammar of verbs, for `ssh HOST …`, the local client and forced commands; knows no session, no socket and
//! no clock.

mod answer;
mod help;
mod parse;
mod request;
mod structured;
mod table;
pub(crate) mod told;
mod turn;
mod words;

pub(crate) use help::{help_text, usage, verb_lines};
pub(crate) use parse::{AttachVerb, From, NewVerb, OpenVerb, Target, UsageError, Verb, is_forcible, is_verb, parse};
pub(crate) use request::{NotOpen, find_request};
pub(crate) use structured::{AcpVerb, AgentVerb, DecideVerb, EventsVerb, PromptVerb};
pub(crate) use table::{agent_state, clip, clip_front, list_json, render_list, state_text};
pub(crate) use turn::{
    Outcome, Step, TurnWatch, approvals_json, approvals_text, choose, event_line, question_answers, rules_text,
};
pub(crate) use words::split;
