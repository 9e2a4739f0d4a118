//! Requests and answers of Claude Code's control protocol, both ways; does not know who decides.

use serde_json::value::RawValue;

use super::asking::{self, ALLOW, NO_REASON, REJECT};
use super::inbound::{Abilities, Answers, Asks, Input, Request, parsed};
use super::{AGENT, Claude, Expects, MODES, Open, outbound};
use crate::agents::driver::{Condition, Refused};
use crate::agents::event::{Made, clip, head};
use crate::agents::limits::{PATH, SHORT_TEXT};
use crate::agents::waiting::{judged, room};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentModel, Closing, ModeChanged, ModelChanged, PermissionClosed, Plan, QuestionAsked, QuestionClosed,
};

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
            let subtype = head(&request.subtype, 64);
            made.write(outbound::unknown(&id, &subtype));
            return made.remark(&format!("the agent asked for {subtype}, which is not known here"));
        }
        let input = request.input.unwrap_or(RawValue::NULL);
        let asked = self.may_ask(&id, input).and_then(|digest| {
            let ours = self.ids.make();
            let (asked, plan) = self.ask(&ours, &request, input, digest);
            let length = room(self.open.values().map(|open| open.length), &asked)?;
            Ok((ours, asked, plan, length))
        });
        let (ours, asked, plan, length) = match asked {
            Ok(asked) => asked,
            Err(why) => {
                made.write(outbound::deny(&id, &format!("Refused by the gateway: {why}.")));
                return made.remark(&format!("{} was refused: {why}", head(&request.tool_name, 64)));
            }
        };
        self.works(made);
        let is_question = matches!(asked, Kind::QuestionAsked(_));
        plan.into_iter().chain([asked]).for_each(|kind| made.event(kind));
        self.open.insert(ours, Open { request_id: id, length, input: input.to_owned(), is_question });
    }

    /// The digest of a request that somebody can judge, or why nobody can.
    fn may_ask(&self, id: &str, input: &RawValue) -> Result<String, String> {
        if self.open.values().any(|open| open.request_id == id) {
            return Err("its id is in use".to_owned());
        }
        judged(input.get())
    }

    /// What the agent asks: leave, or a question with answers; and the plan that it is about.
    fn ask(&self, id: &str, request: &Request<'_>, raw: &RawValue, digest: String) -> (Kind, Option<Kind>) {
        let (turn, tool) = (self.number(), request.tool_name.as_str());
        let call = clip(request.tool_use_id.clone().unwrap_or_default(), SHORT_TEXT);
        if let Some(questions) = asking::questions(tool, raw) {
            let asked = QuestionAsked { id: id.to_owned(), turn, tool_call_id: call, questions, digest, deadline: 0 };
            return (Kind::QuestionAsked(asked), None);
        }
        let mut asked = asking::permission(id, tool, raw, digest);
        let input = Input::read(Some(raw));
        let plan = input.text("plan").filter(|_| tool == "ExitPlanMode");
        let plan = plan.map(|plan| Kind::Plan(Plan { entries: Vec::new(), text: plan.to_owned() }));
        let blocked = request.blocked_path.as_deref().map(|path| clip(path.to_owned(), PATH));
        let reasons = [&request.decision_reason, &request.description].into_iter().flatten();
        let touches = blocked.iter().map(|path| format!("touches {path}"));
        let explanation: Vec<String> = reasons.cloned().chain(touches).collect();
        (asked.turn, asked.tool_call_id) = (turn, call);
        asked.directory.clone_from(&self.started.directory);
        asked.paths.extend(blocked);
        asked.explanation = clip(explanation.join("; "), SHORT_TEXT);
        (Kind::PermissionAsked(asked), plan)
    }

    pub(super) fn taken_back(&mut self, made: &mut Made<'_>, line: Asks<'_>) {
        let ours = self.open.iter().find(|(_, open)| open.request_id == line.request_id).map(|(id, _)| id.clone());
        let Some((id, open)) = ours.and_then(|id| self.open.remove_entry(&id)) else { return };
        let outcome = Closing::Cancelled.into();
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
            ALLOW => outbound::allow(&open.request_id, &open.input),
            REJECT => outbound::deny(&open.request_id, if reason.is_empty() { NO_REASON } else { reason }),
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
        made.write(outbound::answers(&open.request_id, &open.input, answers));
        Ok(())
    }

    pub(super) fn decline(&mut self, made: &mut Made<'_>, id: &str, reason: &str) -> Result<(), Refused> {
        let open = self.question(id)?;
        made.write(outbound::deny(
            &open.request_id,
            if reason.is_empty() { "The user does not answer." } else { reason },
        ));
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
