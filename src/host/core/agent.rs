//! The agent behind a terminal that reports by hooks: what it does and waits for, beside its bytes. Knows no socket, and not what
//! a report says.

use super::{Core, Effect, Now};
use crate::agents::claude::hooks::{self, Hooks};
use crate::agents::conversation::{self, Act, Conversation, Patience, brief};
use crate::agents::driver::Refused;
use crate::base::LogId;
use crate::host::outbox::Answer as Out;
use crate::host::questions::{Asked, QuestionError};
use crate::wire::encode_agent_answer;
use crate::wire::v1::agent_answer::Answer;
use crate::wire::v1::agent_command::Command;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::agent_question::Question;
use crate::wire::v1::event::Kind as Beside;
use crate::wire::v1::{self, AgentCommand, AgentReply, Launch};

/// What its reports make of it.
pub(super) struct Agent {
    conversation: Conversation,
    /// A question of the gateway that is not whole yet.
    asked: Asked,
    /// The gateway has not heard what it does now.
    due: bool,
}

impl Agent {
    /// As launched; none where nothing reports.
    pub(super) fn of(launch: &Launch, log_id: LogId) -> Option<Self> {
        let directory = launch.session.as_ref().map(|session| session.directory.as_str()).unwrap_or_default();
        let driver = (launch.hooks == "claude").then(|| Hooks::new(*log_id.as_bytes(), directory))?;
        let mut conversation = Conversation::new(Box::new(driver), Patience::default());
        let created = launch.session.as_ref().map(|session| session.created).unwrap_or_default();
        // Nobody looks yet: all of it stands in the summary.
        conversation.start(created.saturating_mul(1000));
        Some(Self { conversation, asked: Asked::default(), due: true })
    }
}

impl Core {
    /// A hook's connection said this; nothing: it is gone.
    pub(super) fn hook_said(&mut self, connection: u64, line: &[u8], now: Now, effects: &mut Vec<Effect>) {
        let Some(agent) = &mut self.agent else { return };
        let acts = agent.conversation.line(now.millis, &hooks::addressed(connection, line));
        self.follow(acts, effects);
    }

    /// The window has another title.
    pub(super) fn title_changed(&mut self, now: Now) {
        let Some(agent) = &mut self.agent else { return };
        let line = hooks::addressed(0, self.session.title.as_bytes());
        let acts = agent.conversation.line(now.millis, &line);
        // A title answers no hook.
        self.follow(acts, &mut Vec::new());
    }

    /// The agent is gone.
    pub(super) fn agent_ended(&mut self, now: Now) {
        let Some(agent) = &mut self.agent else { return };
        let acts = agent.conversation.closed(now.millis);
        self.follow(acts, &mut Vec::new());
        self.send_agent();
    }

    pub(super) fn agent_is_due(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.due = true;
        }
    }

    /// One that was not taken yet makes another useless, and a gateway that never reads must cost nothing.
    pub(super) fn send_agent(&mut self) {
        if let Some(agent) = self.agent.as_mut().filter(|agent| agent.due && self.linked && !self.outbox.is_waiting()) {
            agent.due = false;
            self.outbox.agent(&agent.conversation.summary());
        }
    }

    pub(super) fn forget_question(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.asked = Asked::default();
        }
    }

    /// A piece of a question of the gateway.
    pub(super) fn asked(
        &mut self,
        piece: &v1::Piece,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<(), QuestionError> {
        // No gateway of ours asks a terminal that has not reported.
        let Some(agent) = &mut self.agent else { return Ok(()) };
        let Some(question) = agent.asked.take(piece)? else { return Ok(()) };
        let answer = match question.question {
            Some(Question::Command(command)) => Answer::Reply(self.command(command, now, effects)),
            _ => {
                let (code, message) = ("wrong-mode".to_owned(), "the session has a terminal and no events".to_owned());
                Answer::Refusal(v1::AgentRefusal { code, message, ..v1::AgentRefusal::default() })
            }
        };
        let data = encode_agent_answer(&v1::AgentAnswer { answer: Some(answer) });
        self.outbox.answer(Out::Agent { request: piece.request }, data);
        Ok(())
    }

    fn command(&mut self, command: AgentCommand, now: Now, effects: &mut Vec<Effect>) -> AgentReply {
        let Some(agent) = &mut self.agent else { return AgentReply::default() };
        if matches!(command.command, Some(Command::Prompt(_))) {
            // The driver refuses too, but only once it has queued.
            let why = Refused::Unsupported { agent: "an agent in a terminal", what: "prompt: type into it" };
            return conversation::refusal(&why);
        }
        match agent.conversation.command(now.millis, command) {
            Ok((reply, acts)) => {
                self.follow(acts, effects);
                reply.into()
            }
            Err(why) => conversation::refusal(&why),
        }
    }

    fn follow(&mut self, acts: Vec<Act>, effects: &mut Vec<Effect>) {
        for act in acts {
            match act {
                Act::Event(event) => {
                    self.agent_is_due();
                    if is_told(&event) {
                        self.event(self.ring.head(), Beside::Agent(brief(&event)));
                    }
                }
                Act::Write(line) => {
                    effects.extend(hooks::address(&line).map(|(to, line)| Effect::ToHook(to, line.to_vec())));
                }
                // Its input is the terminal.
                Act::CloseInput => {}
            }
        }
    }
}

/// What a viewer of the terminal does not see on its screen.
fn is_told(event: &v1::AgentEvent) -> bool {
    matches!(
        event.kind,
        Some(
            Kind::Started(_)
                | Kind::State(_)
                | Kind::PermissionAsked(_)
                | Kind::PermissionClosed(_)
                | Kind::QuestionAsked(_)
                | Kind::QuestionClosed(_)
                | Kind::RuleAdded(_)
                | Kind::RuleRemoved(_)
                | Kind::Log(_)
        )
    )
}
