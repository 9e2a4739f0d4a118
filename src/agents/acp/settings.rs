//! Modes and models: what the agent offers, what is chosen, and how a choice is said to it; does not know who may choose.

use agent_client_protocol_schema::v1::{
    SessionConfigKind, SessionConfigOption, SessionConfigOptionCategory, SessionConfigSelectOption,
    SessionConfigSelectOptions, SessionModeState, SetSessionConfigOptionResponse,
};
use serde_json::value::RawValue;

use super::inbound::{ModelState, Opened, parsed};
use super::{AGENT, Acp, Expects, outbound};
use crate::agents::driver::Refused;
use crate::agents::event::{Made, clip, head};
use crate::agents::limits::{HANDSHAKE, LIST, SHORT_TEXT};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{AgentMode, AgentModel, ModeChanged, ModelChanged};

/// Modes that make approvals void. Who may type need not be one who may approve, so they are not offered.
const NEVER: [&str; 1] = ["bypassPermissions"];

/// How a choice is said to the agent.
#[derive(Clone)]
pub(super) enum How {
    /// A method of its own.
    Method,
    /// As the value of the configuration option of this id.
    Option(String),
}

/// How modes and models are set; none: the agent has said nothing of them.
#[derive(Default)]
pub(super) struct Settings {
    mode: Option<How>,
    model: Option<How>,
}

impl Acp {
    /// What the answer to a new or loaded session offers. Configuration options, where there are any, stand above the
    /// older fields, which are then only kept for older clients.
    pub(super) fn offered(&mut self, made: &mut Made<'_>, opened: &Opened<'_>) {
        if let Some(state) = parsed::<SessionModeState>(opened.modes) {
            self.settings.mode = Some(How::Method);
            self.started.mode = short(&state.current_mode_id.0);
            let one = |id: &str, name: String, about: Option<String>| mode(id, name, about);
            let all = state.available_modes.into_iter().take(LIST);
            self.started.modes = all.filter_map(|each| one(&each.id.0, each.name, each.description)).collect();
        }
        if let Some(state) = parsed::<ModelState>(opened.models) {
            self.settings.model = Some(How::Method);
            self.started.model = short(&state.current_model_id);
            let all = state.available_models.0.into_iter();
            self.started.models = all.map(|each| model(&each.model_id, each.name, each.description)).collect();
        }
        if let Some(options) = parsed(opened.config_options) {
            self.options_are(made, options);
        }
    }

    /// All configuration options as they are now.
    pub(super) fn options_are(&mut self, made: &mut Made<'_>, options: Vec<SessionConfigOption>) {
        let before = (self.started.modes.clone(), self.started.models.clone());
        let mut chosen = (None, None);
        for option in options {
            let SessionConfigKind::Select(select) = option.kind else { continue };
            let id = option.id.0.to_string();
            let values = values(select.options);
            match option.category {
                Some(SessionConfigOptionCategory::Mode) => {
                    self.settings.mode = Some(How::Option(id));
                    let all = values.into_iter().take(LIST);
                    let all = all.filter_map(|each| mode(&each.value.0, each.name, each.description));
                    self.started.modes = all.collect();
                    chosen.0 = Some(select.current_value.0);
                }
                Some(SessionConfigOptionCategory::Model) => {
                    self.settings.model = Some(How::Option(id));
                    let all = values.into_iter().take(LIST);
                    self.started.models = all.map(|each| model(&each.value.0, each.name, each.description)).collect();
                    chosen.1 = Some(select.current_value.0);
                }
                _ => {}
            }
        }
        if let Some(mode) = chosen.0 {
            self.mode_is(made, &mode);
        }
        if let Some(model) = chosen.1 {
            self.model_is(made, &model);
        }
        if before != (self.started.modes.clone(), self.started.models.clone()) {
            self.say_started(made);
        }
    }

    pub(super) fn mode_is(&mut self, made: &mut Made<'_>, mode: &str) {
        let mode = short(mode);
        if self.started.mode != mode {
            self.started.mode.clone_from(&mode);
            if self.is_ready() {
                made.event(Kind::Mode(ModeChanged { mode }));
            }
        }
    }

    pub(super) fn model_is(&mut self, made: &mut Made<'_>, model: &str) {
        let model = short(model);
        if self.started.model != model {
            self.started.model.clone_from(&model);
            if self.is_ready() {
                made.event(Kind::Model(ModelChanged { model }));
            }
        }
    }

    pub(super) fn set_mode(&mut self, made: &mut Made<'_>, value: String) -> Result<(), Refused> {
        self.still_there()?;
        let how = self.settings.mode.clone().ok_or(Refused::Unsupported { agent: AGENT, what: "modes" })?;
        offers("mode", &value, self.started.modes.iter().map(|one| one.id.as_str()))?;
        let id = self.expect(made, Expects::Mode(value.clone()), Some(HANDSHAKE))?;
        made.write(match how {
            How::Method => outbound::set_mode(id, &self.session, &value),
            How::Option(option) => outbound::set_option(id, &self.session, &option, &value),
        });
        Ok(())
    }

    pub(super) fn set_model(&mut self, made: &mut Made<'_>, value: String) -> Result<(), Refused> {
        self.still_there()?;
        let how = self.settings.model.clone().ok_or(Refused::Unsupported { agent: AGENT, what: "models" })?;
        offers("model", &value, self.started.models.iter().map(|one| one.id.as_str()))?;
        let id = self.expect(made, Expects::Model(value.clone()), Some(HANDSHAKE))?;
        made.write(match how {
            How::Method => outbound::set_model(id, &self.session, &value),
            How::Option(option) => outbound::set_option(id, &self.session, &option, &value),
        });
        Ok(())
    }

    /// The agent has taken a choice. With configuration options it says all of them, because one may change others.
    pub(super) fn chosen(&mut self, made: &mut Made<'_>, expects: &Expects, result: Option<&RawValue>) {
        if let Some(said) = parsed::<SetSessionConfigOptionResponse>(result) {
            return self.options_are(made, said.config_options);
        }
        match expects {
            Expects::Mode(mode) => self.mode_is(made, mode),
            Expects::Model(model) => self.model_is(made, model),
            _ => {}
        }
    }
}

/// A list that was cut does not say what is not in it.
fn offers<'a>(what: &'static str, value: &str, known: impl Iterator<Item = &'a str>) -> Result<(), Refused> {
    let known: Vec<&str> = known.collect();
    let is_never = NEVER.contains(&value);
    if !is_never && (known.contains(&value) || known.len() >= LIST) && value.len() <= SHORT_TEXT {
        return Ok(());
    }
    Err(Refused::NotOffered { what, value: head(value, 64), known: clip(known.join(", "), SHORT_TEXT) })
}

fn values(options: SessionConfigSelectOptions) -> Vec<SessionConfigSelectOption> {
    match options {
        SessionConfigSelectOptions::Ungrouped(values) => values,
        SessionConfigSelectOptions::Grouped(groups) => groups.into_iter().flat_map(|group| group.options).collect(),
        _ => Vec::new(),
    }
}

fn mode(id: &str, name: String, description: Option<String>) -> Option<AgentMode> {
    let (name, description) = (short(&name), short(&description.unwrap_or_default()));
    (!NEVER.contains(&id)).then(|| AgentMode { id: short(id), name, description })
}

fn model(id: &str, name: String, description: Option<String>) -> AgentModel {
    AgentModel { id: short(id), name: short(&name), description: short(&description.unwrap_or_default()) }
}

fn short(text: &str) -> String {
    clip(text.to_owned(), SHORT_TEXT)
}
