//! Requests and answers of Claude Code's control protocol, both ways; does not know who decides.

use serde_json::value::RawValue;

use super::inbound::{Abilities, Answers, Asks, Input, Questions, Request, parsed};
use super::{AGENT, Claude, Expects, MODES, Open, outbound, tools};
use crate::agents::driver::{Condition, Refused};
use crate::agents::event::{Made, clip, digest, head};
use crate::agents::limits::{REQUEST_INPUT, REQUESTS_INPUT, REQUESTS_OPEN, SHORT_TEXT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentModel, Closing, ModeChanged, ModelChanged, OptionKind, PermissionAsked, PermissionClosed, PermissionOption,
    Plan, Question, QuestionAsked, QuestionClosed, QuestionOption,
};

/// The options that the agent can be answered with.
const ALLOW: &str = "allow-once";
const REJECT: &str = "reject-once";
/// What the model is told when nobody gave a reason.
const NO_REASON: &str = "The user does not want this. Ask what to do instead.";
/// Unanswered requests of ours; more means that the agent does not answer at all.
const UNANSWERED: usize = 64;

impl Claude {
    pub(super) fn request(
        &mut self,
        made: &mut Made<'_>,
        expects: Expects,
        subtype: &str,
        argument: Option<(&str, &str)>,
    ) {
        self.requests += 1;
        let id = format!("portcullis-{}", self.requests);
        made.write(outbound::request(&id, subtype, argument));
        if self.unanswered.len() < UNANSWERED {
            self.unanswered.insert(id, expects);
        }
    }

    pub(super) fn asked(&mut self, made: &mut Made<'_>, line: Asks<'_>) {
        let id = line.request_id;
        let Some(request) = line.request else { return };
        if request.subtype != "can_use_tool" {
            made.write(outbound::unknown(&id, &request.subtype));
            return made
                .remark(&format!("the agent asked for {}, which is not known here", head(&request.subtype, 64)));
        }
        let input = request.input.unwrap_or(RawValue::NULL);
        let digest = match self.may_ask(&id, input) {
            Ok(digest) => digest,
            Err(why) => {
                made.write(outbound::deny(&id, &format!("Refused by the gateway: {why}.")));
                return made.remark(&format!("{} was refused: {why}", head(&request.tool_name, 64)));
            }
        };
        self.works(made);
        let is_question = self.ask(made, &id, &request, input, digest);
        self.open.insert(id, Open { input: input.to_owned(), is_question });
    }

    /// The digest of a request that somebody can judge, or why nobody can.
    fn may_ask(&self, id: &str, input: &RawValue) -> Result<String, String> {
        let length = input.get().len();
        if length > REQUEST_INPUT {
            return Err(format!("its input has {length} bytes; nobody can judge more than {REQUEST_INPUT}"));
        }
        let held: usize = self.open.values().map(|open| open.input.get().len()).sum();
        if self.open.len() >= REQUESTS_OPEN || held + length > REQUESTS_INPUT {
            return Err(format!("{} requests are open already", self.open.len()));
        }
        if id.len() > SHORT_TEXT || self.open.contains_key(id) {
            return Err("its id is in use or too long".to_owned());
        }
        digest(input.get()).ok_or_else(|| "its input is nested too deeply".to_owned())
    }

    /// Says what the agent asks; true: a question with answers, not one for leave.
    fn ask(&self, made: &mut Made<'_>, id: &str, request: &Request<'_>, raw: &RawValue, digest: String) -> bool {
        let (turn, tool) = (self.number(), request.tool_name.as_str());
        let call = clip(request.tool_use_id.clone().unwrap_or_default(), SHORT_TEXT);
        if tool == "AskUserQuestion"
            && let Some(asked) = parsed::<Questions>(Some(raw)).filter(|asked| !asked.questions.0.is_empty())
        {
            let questions = questions(asked);
            let asked = QuestionAsked { id: id.to_owned(), turn, tool_call_id: call, questions, digest, deadline: 0 };
            made.event(Kind::QuestionAsked(asked));
            return true;
        }
        let input = Input::read(Some(raw));
        if let Some(plan) = input.text("plan").filter(|_| tool == "ExitPlanMode") {
            made.event(Kind::Plan(Plan { entries: Vec::new(), text: plan.to_owned() }));
        }
        let title = tools::title(tool, &input);
        let reasons = [&request.decision_reason, &request.description].into_iter().flatten();
        let blocked = request.blocked_path.iter().map(|path| format!("touches {path}"));
        let explanation: Vec<String> = reasons.cloned().chain(blocked).collect();
        let mut paths = tools::paths(&input);
        paths.extend(request.blocked_path.clone());
        made.event(Kind::PermissionAsked(PermissionAsked {
            id: id.to_owned(),
            turn,
            tool: clip(tool.to_owned(), SHORT_TEXT),
            tool_call_id: call,
            kind: tools::kind(tool).into(),
            input: raw.get().to_owned(),
            digest,
            summary: if title.starts_with(tool) { title } else { format!("{}: {title}", head(tool, 64)) },
            directory: self.started.directory.clone(),
            options: options(tool),
            command: input.text("command").filter(|_| tool == "Bash").unwrap_or_default().to_owned(),
            paths,
            explanation: clip(explanation.join("; "), SHORT_TEXT),
            ..PermissionAsked::default()
        }));
        false
    }

    pub(super) fn taken_back(&mut self, made: &mut Made<'_>, line: Asks<'_>) {
        let Some(open) = self.open.remove(&line.request_id) else { return };
        let (id, outcome) = (line.request_id, Closing::Cancelled.into());
        let reason = "the agent took it back".to_owned();
        made.event(if open.is_question {
            Kind::QuestionClosed(QuestionClosed { id, outcome, reason, ..QuestionClosed::default() })
        } else {
            Kind::PermissionClosed(PermissionClosed { id, outcome, reason, ..PermissionClosed::default() })
        });
    }

    pub(super) fn answered(&mut self, made: &mut Made<'_>, line: Answers<'_>) {
        let answer = line.response;
        // With the echo of prompts come echoes of our own answers: they expect nothing.
        let Some(expects) = self.unanswered.remove(&answer.request_id) else { return };
        if answer.subtype != "success" {
            let why = head(answer.error.as_deref().unwrap_or("no reason given"), 200);
            made.remark(&format!("the agent refused a request: {why}"));
            return if matches!(expects, Expects::Initialize) {
                self.ready(made)
            };
        }
        match expects {
            Expects::Initialize => {
                self.learn(parsed(answer.response).unwrap_or_default());
                self.ready(made);
            }
            // The end of the turn says the rest.
            Expects::Interrupt => {}
            Expects::Mode(mode) => self.mode_is(made, mode),
            Expects::Model(model) => self.model_is(made, model),
        }
    }

    fn learn(&mut self, abilities: Abilities) {
        self.started.commands = abilities.commands.0.into_iter().map(|one| clip(one.name, SHORT_TEXT)).collect();
        let model = |one: super::inbound::Named| AgentModel {
            id: clip(one.value, SHORT_TEXT),
            name: clip(one.display, SHORT_TEXT),
            description: clip(one.description, SHORT_TEXT),
        };
        self.started.models = abilities.models.0.into_iter().map(model).collect();
    }

    fn ready(&mut self, made: &mut Made<'_>) {
        self.overdue = None;
        made.event(Kind::Started(self.started.clone()));
        if self.turn.is_none() {
            self.become_condition(made, Condition::Idle);
        }
    }

    pub(super) fn mode_is(&mut self, made: &mut Made<'_>, mode: String) {
        let mode = clip(mode, SHORT_TEXT);
        if self.started.mode != mode {
            self.started.mode.clone_from(&mode);
            made.event(Kind::Mode(ModeChanged { mode }));
        }
    }

    pub(super) fn model_is(&mut self, made: &mut Made<'_>, model: String) {
        let model = clip(model, SHORT_TEXT);
        if self.started.model != model {
            self.started.model.clone_from(&model);
            made.event(Kind::Model(ModelChanged { model }));
        }
    }

    pub(super) fn decide(&mut self, made: &mut Made<'_>, id: &str, option: &str, reason: &str) -> Result<(), Refused> {
        let open = self.open.get(id).filter(|open| !open.is_question);
        let open = open.ok_or_else(|| Refused::NoSuchRequest(head(id, 64)))?;
        let line = match option {
            ALLOW => outbound::allow(id, &open.input),
            REJECT => outbound::deny(id, if reason.is_empty() { NO_REASON } else { reason }),
            other => {
                let known = format!("{ALLOW}, {REJECT}");
                return Err(Refused::NoSuchOption { id: head(id, 64), option: head(other, 64), known });
            }
        };
        self.open.remove(id);
        made.write(line);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        made: &mut Made<'_>,
        id: &str,
        answers: &[(String, String)],
    ) -> Result<(), Refused> {
        let open = self.question(id)?;
        made.write(outbound::answers(id, &open.input, answers));
        Ok(())
    }

    pub(super) fn decline(&mut self, made: &mut Made<'_>, id: &str, reason: &str) -> Result<(), Refused> {
        self.question(id)?;
        made.write(outbound::deny(id, if reason.is_empty() { "The user does not answer." } else { reason }));
        Ok(())
    }

    fn question(&mut self, id: &str) -> Result<Open, Refused> {
        if self.open.get(id).is_some_and(|open| open.is_question)
            && let Some(open) = self.open.remove(id)
        {
            return Ok(open);
        }
        Err(Refused::NoSuchRequest(head(id, 64)))
    }

    pub(super) fn interrupt(&mut self, made: &mut Made<'_>) -> Result<(), Refused> {
        self.turn.as_mut().ok_or(Refused::NotWorking)?.interrupted = true;
        self.request(made, Expects::Interrupt, "interrupt", None);
        Ok(())
    }

    pub(super) fn set_mode(&mut self, made: &mut Made<'_>, mode: String) -> Result<(), Refused> {
        if !MODES.iter().any(|(id, _)| *id == mode) {
            let known: Vec<&str> = MODES.iter().map(|(id, _)| *id).collect();
            return Err(Refused::NotOffered { what: "mode", value: head(&mode, 64), known: known.join(", ") });
        }
        self.still_there()?;
        self.request(made, Expects::Mode(mode.clone()), "set_permission_mode", Some(("mode", &mode)));
        Ok(())
    }

    pub(super) fn set_model(&mut self, made: &mut Made<'_>, model: String) -> Result<(), Refused> {
        // Full names are taken besides the short list that the agent gives.
        let is_word = !model.is_empty()
            && model.len() <= 128
            && model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/[]@".contains(&byte));
        if !is_word {
            let known: Vec<&str> = self.started.models.iter().map(|model| model.id.as_str()).collect();
            return Err(Refused::NotOffered { what: "model", value: head(&model, 64), known: known.join(", ") });
        }
        self.still_there()?;
        self.request(made, Expects::Model(model.clone()), "set_model", Some(("model", &model)));
        Ok(())
    }

    fn still_there(&self) -> Result<(), Refused> {
        match self.condition {
            Condition::Ended(_) => Err(Refused::Ended),
            Condition::Starting(_) => Err(Refused::Busy(format!("{AGENT} is still starting"))),
            _ => Ok(()),
        }
    }

    /// Calls that wait die with their turn.
    pub(super) fn forget_open(&mut self) {
        self.open.clear();
    }
}

fn options(tool: &str) -> Vec<PermissionOption> {
    let (yes, no) = if tool == "ExitPlanMode" { ("Go ahead", "Keep planning") } else { ("Allow", "Reject") };
    let option = |id: &str, name: &str, kind: OptionKind| PermissionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.into(),
    };
    vec![option(ALLOW, yes, OptionKind::AllowOnce), option(REJECT, no, OptionKind::RejectOnce)]
}

fn questions(asked: Questions) -> Vec<Question> {
    let option = |choice: super::inbound::Choice| QuestionOption {
        label: clip(choice.label, SHORT_TEXT),
        description: clip(choice.description, SHORT_TEXT),
        preview: clip(choice.preview.unwrap_or_default(), 16 * SHORT_TEXT),
    };
    let question = |one: super::inbound::Asked| Question {
        text: one.question,
        header: clip(one.header, SHORT_TEXT),
        options: one.options.0.into_iter().map(option).collect(),
        multi: one.multi,
    };
    asked.questions.0.into_iter().map(question).collect()
}
