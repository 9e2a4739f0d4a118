//! Claude Code in its terminal, as far as its hooks and its window title tell: states, and requests that race with the dialog
//! on the screen. A driver like others, whose lines are said by hooks; knows no socket, process or terminal.
//!
//! A line begins with the number of the hook's connection: `N {report}`, `N over` (the dialog was answered), `N` alone (the
//! connection is gone). What is written goes to a connection in the same form. Connection 0 is the window: `0 TITLE`.

mod decision;
mod report;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use self::report::Report as Said;
use super::asking::{self, ALLOW, NO_REASON, REJECT};
use crate::agents::driver::{Command, Condition, Driver, Effects, Millis, Refused};
use crate::agents::event::{Made, clip, digest, head};
use crate::agents::limits::{REQUEST_INPUT, REQUESTS_INPUT, SHORT_TEXT};
use crate::agents::waiting::Ids;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentError, AgentStarted, Closing, ModeChanged, PermissionClosed, QuestionAsked, QuestionClosed, StopReason,
    TurnEnded, TurnStarted,
};

pub use report::{REPORT, Report};
pub use settings::{HOOK_VARIABLE, with_hooks};

/// What a hook says when the dialog was answered on the screen.
pub const OVER: &[u8] = b"over";
/// What a hook is told at once when its request is kept: from then on it waits as long as the dialog.
pub const KEPT: &[u8] = b"kept";

/// What a hook is told whose request is over: it ends without a decision.
const NOTHING: &[u8] = b"";
const AGENT: &str = "Claude Code in a terminal";
/// Requests open at once. Fewer than a host's connections: those that only report must come through.
const OPEN: usize = 8;
/// Rejections that are remembered, to see whether one came too late.
const REJECTED: usize = 16;
const IN_TERMINAL: &str = "answered in the terminal";
const ASKS_ALONE: &str = "waits for an answer in its terminal";

/// One process of Claude Code and its hooks.
pub struct Hooks {
    ids: Ids,
    condition: Condition,
    started: AgentStarted,
    turn: u64,
    in_turn: bool,
    open: BTreeMap<String, Open>,
    /// Digests and ids.
    rejected: VecDeque<(String, String)>,
}

/// A request that waits.
struct Open {
    connection: u64,
    tool: String,
    digest: String,
    input: Box<RawValue>,
    is_question: bool,
}

/// A line to or from this connection.
pub fn addressed(connection: u64, line: &[u8]) -> Vec<u8> {
    [format!("{connection} ").as_bytes(), line].concat()
}

/// The connection of such a line, and what is said.
pub fn address(line: &[u8]) -> Option<(u64, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (number, rest) = line.split_at(end);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest.get(1..).unwrap_or_default()))
}

impl Hooks {
    /// Of a session whose log has this id.
    pub fn new(seed: [u8; 16], directory: &str) -> Self {
        Self {
            ids: Ids::new(seed),
            condition: Condition::Starting(String::new()),
            started: AgentStarted { directory: directory.to_owned(), ..AgentStarted::default() },
            turn: 0,
            in_turn: false,
            open: BTreeMap::new(),
            rejected: VecDeque::new(),
        }
    }

    fn report(&mut self, made: &mut Made<'_>, connection: u64, said: Said) {
        self.learn(made, &said);
        match said.event.as_str() {
            "SessionStart" => {
                made.event(Kind::Started(self.started.clone()));
                if !self.in_turn {
                    self.become_condition(made, Condition::Idle);
                }
            }
            "UserPromptSubmit" => self.begin(made),
            "PermissionRequest" => self.request(made, connection, said),
            "PostToolUse" | "PostToolUseFailure" => self.tool_ended(made, &said),
            "Stop" => self.end(made, StopReason::EndTurn, None, Condition::Idle),
            "StopFailure" => self.failed(made, &said),
            "Notification" if said.notification == "idle_prompt" => self.become_condition(made, Condition::Idle),
            "Notification" if said.notification == "permission_prompt" && self.open.is_empty() => {
                self.become_condition(made, Condition::Working(ASKS_ALONE.to_owned()));
            }
            // Others of this release or a later one.
            _ => {}
        }
    }

    fn learn(&mut self, made: &mut Made<'_>, said: &Said) {
        let started = &mut self.started;
        let known = started.agent_session.clone();
        for (field, news) in [
            (&mut started.agent_session, &said.session),
            (&mut started.directory, &said.cwd),
            (&mut started.model, &said.model),
        ] {
            if !news.is_empty() {
                field.clone_from(news);
            }
        }
        started.resumed |= said.event == "SessionStart" && said.source == "resume";
        if !said.mode.is_empty() && started.mode != said.mode {
            started.mode.clone_from(&said.mode);
            made.event(Kind::Mode(ModeChanged { mode: said.mode.clone() }));
        }
        // A start that nobody heard of, or another conversation in the same process.
        if known != self.started.agent_session && said.event != "SessionStart" {
            made.event(Kind::Started(self.started.clone()));
        }
    }

    fn begin(&mut self, made: &mut Made<'_>) {
        self.turn += 1;
        self.in_turn = true;
        made.event(Kind::TurnStarted(TurnStarted { turn: self.turn, prompt_id: String::new() }));
        self.become_condition(made, Condition::Working(String::new()));
    }

    fn end(&mut self, made: &mut Made<'_>, why: StopReason, error: Option<AgentError>, then: Condition) {
        let open: Vec<String> = self.open.keys().cloned().collect();
        open.iter().for_each(|id| self.close(made, id, "its turn has ended"));
        if std::mem::take(&mut self.in_turn) {
            let ended = TurnEnded { turn: self.turn, stop_reason: why.into(), error, ..TurnEnded::default() };
            made.event(Kind::TurnEnded(ended));
        }
        self.become_condition(made, then);
    }

    fn failed(&mut self, made: &mut Made<'_>, said: &Said) {
        let message = head(if said.error.is_empty() { "the model did not answer" } else { &said.error }, 200);
        let then = match said.error.as_str() {
            "authentication_failed" | "oauth_org_not_allowed" => Condition::NeedsLogin(message.clone()),
            _ => Condition::Idle,
        };
        self.end(made, StopReason::Error, Some(AgentError { message, ..AgentError::default() }), then);
    }

    fn request(&mut self, made: &mut Made<'_>, connection: u64, said: Said) {
        let input = said.input.filter(|input| self.may_wait(input));
        // Not as the hook says it: what people answer is what stands here.
        let judged = input.and_then(|input| Some((digest(input.get())?, input)));
        let Some((digest, input)) = judged else {
            // The connection ends, and the dialog decides alone.
            return self.become_condition(made, Condition::Working(ASKS_ALONE.to_owned()));
        };
        self.become_condition(made, Condition::Working(String::new()));
        made.write(addressed(connection, KEPT));
        let id = self.ids.make();
        let tool = said.tool;
        let questions = asking::questions(&tool, &input);
        let is_question = questions.is_some();
        let open = Open { connection, tool: tool.clone(), digest: digest.clone(), input: input.clone(), is_question };
        self.open.insert(id.clone(), open);
        made.event(match questions {
            Some(questions) => Kind::QuestionAsked(QuestionAsked {
                id,
                turn: self.turn,
                questions,
                digest,
                ..QuestionAsked::default()
            }),
            None => {
                let mut asked = asking::permission(&id, &tool, &input, digest);
                asked.turn = self.turn;
                asked.directory.clone_from(&self.started.directory);
                Kind::PermissionAsked(asked)
            }
        });
    }

    fn may_wait(&self, input: &RawValue) -> bool {
        let held: usize = self.open.values().map(|open| open.input.get().len()).sum();
        let length = input.get().len();
        length <= REQUEST_INPUT && held + length <= REQUESTS_INPUT && self.open.len() < OPEN
    }

    /// What ran or failed to run had been allowed or refused by somebody.
    fn tool_ended(&mut self, made: &mut Made<'_>, said: &Said) {
        if let Some(place) = self.rejected.iter().position(|(digest, _)| *digest == said.digest)
            && said.event == "PostToolUse"
            && let Some((_, id)) = self.rejected.remove(place)
        {
            made.remark(&format!("request {id} was rejected too late: it had been allowed in the terminal"));
        }
        let is_it = |open: &Open| open.tool == said.tool && (open.is_question || open.digest == said.digest);
        let id = self.open.iter().find(|(_, open)| is_it(open)).map(|(id, _)| id.clone());
        if let Some(id) = id {
            self.close(made, &id, IN_TERMINAL);
        }
        self.become_condition(made, Condition::Working(String::new()));
    }

    fn close(&mut self, made: &mut Made<'_>, id: &str, why: &str) {
        let Some(open) = self.open.remove(id) else { return };
        made.write(addressed(open.connection, NOTHING));
        let (id, outcome, reason) = (id.to_owned(), Closing::Cancelled.into(), why.to_owned());
        made.event(if open.is_question {
            Kind::QuestionClosed(QuestionClosed { id, outcome, reason, ..QuestionClosed::default() })
        } else {
            Kind::PermissionClosed(PermissionClosed { id, outcome, reason, ..PermissionClosed::default() })
        });
    }

    /// A hook's connection ended: over, or with its process, which the agent ends when its turn is interrupted.
    fn left(&mut self, made: &mut Made<'_>, connection: u64, over: bool) {
        let id = self.open.iter().find(|(_, open)| open.connection == connection).map(|(id, _)| id.clone());
        let Some(id) = id else { return };
        if over {
            self.close(made, &id, IN_TERMINAL);
        } else {
            self.close(made, &id, "refused in the terminal");
            self.end(made, StopReason::Cancelled, None, Condition::Idle);
        }
    }

    /// An interrupt outside of a request has no hook; the title begins with a star as soon as the agent is idle, with a Braille
    /// sign while it works.
    fn title(&mut self, made: &mut Made<'_>, title: &str) {
        match (title.chars().next(), &self.condition) {
            (Some('✳'), Condition::Working(_)) if self.open.is_empty() => {
                self.become_condition(made, Condition::Idle)
            }
            (Some('\u{2800}'..='\u{28ff}'), Condition::Idle) => {
                self.become_condition(made, Condition::Working(String::new()));
            }
            _ => {}
        }
    }

    fn become_condition(&mut self, made: &mut Made<'_>, condition: Condition) {
        if self.condition != condition && !matches!(self.condition, Condition::Ended(_)) {
            self.condition = condition.clone();
            made.condition(condition);
        }
    }

    fn decide(&mut self, id: &str, line: impl FnOnce(&Open) -> Vec<u8>) -> Result<(Vec<u8>, Open), Refused> {
        let open = self.open.remove(id).ok_or_else(|| Refused::NoSuchRequest(head(id, 64)))?;
        Ok((addressed(open.connection, &line(&open)), open))
    }
}

impl Driver for Hooks {
    fn start(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        made.condition(self.condition.clone());
        made.done()
    }

    fn line(&mut self, now: Millis, line: &[u8]) -> Effects {
        let mut made = Made::new(now, None);
        match address(line) {
            Some((0, title)) => self.title(&mut made, &String::from_utf8_lossy(title)),
            Some((connection, b"")) => self.left(&mut made, connection, false),
            Some((connection, OVER)) => self.left(&mut made, connection, true),
            Some((connection, report)) => match serde_json::from_slice::<Said>(report) {
                Ok(said) => self.report(&mut made, connection, said),
                Err(error) => made.remark(&clip(format!("a hook said what is no report: {error}"), SHORT_TEXT)),
            },
            None => {}
        }
        made.done()
    }

    fn overlong(&mut self, _: Millis, _: &[u8], _: u64) -> Effects {
        Effects::new()
    }

    fn command(&mut self, now: Millis, command: Command) -> Result<Effects, Refused> {
        let mut made = Made::new(now, None);
        let what = match command {
            Command::Permission { id, option, reason } => {
                let reason = if reason.is_empty() { NO_REASON } else { &reason };
                let (line, open) = match option.as_str() {
                    ALLOW => self.decide(&id, |_| decision::allow())?,
                    REJECT => self.decide(&id, |_| decision::deny(reason))?,
                    other => {
                        let known = format!("{ALLOW}, {REJECT}");
                        return Err(Refused::NoSuchOption { id: head(&id, 64), option: head(other, 64), known });
                    }
                };
                if option == REJECT {
                    self.rejected.truncate(REJECTED - 1);
                    self.rejected.push_front((open.digest, id));
                }
                made.write(line);
                return Ok(made.done());
            }
            Command::Question { id, answers } => {
                made.write(self.decide(&id, |open| decision::answers(&open.input, &answers))?.0);
                return Ok(made.done());
            }
            Command::Decline { id, reason } => {
                let reason = if reason.is_empty() { "The user does not answer." } else { &reason };
                made.write(self.decide(&id, |_| decision::deny(reason))?.0);
                return Ok(made.done());
            }
            Command::Prompt { .. } => "prompt: type into it",
            Command::Interrupt => "interrupt: press Escape in it",
            Command::SetMode(_) => "mode: choose it on its screen",
            Command::SetModel(_) => "model: choose it on its screen",
        };
        Err(Refused::Unsupported { agent: AGENT, what })
    }

    fn tick(&mut self, _: Millis) -> Effects {
        Effects::new()
    }

    fn wake(&self) -> Option<Millis> {
        None
    }

    fn closed(&mut self, now: Millis) -> Effects {
        let mut made = Made::new(now, None);
        self.end(&mut made, StopReason::Gone, None, Condition::Ended(String::new()));
        made.done()
    }
}
