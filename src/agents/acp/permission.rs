//! Requests for leave and their answers; does not know who decides.

use serde_json::Value;
use serde_json::value::RawValue;

use super::calls::{Known, locations, shown};
use super::inbound::{Call, Choice, Wanted, read};
use super::{Acp, Phase, outbound};
use crate::agents::driver::Refused;
use crate::agents::event::{Made, clip, head};
use crate::agents::limits::{LIST, PATH, REQUEST_INPUT, SHORT_TEXT};
use crate::agents::waiting::{judged, room};
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{Closing, OptionKind, PermissionAsked, PermissionClosed, PermissionOption, ToolKind};

/// A call that waits for leave.
pub(super) struct Open {
    /// Ours: the agents' own ids are numbers that begin anew.
    id: String,
    request: Box<RawValue>,
    /// Of all that people see of it.
    length: usize,
    options: Vec<Offered>,
}

/// One way to decide.
struct Offered {
    option: PermissionOption,
    /// The agent's id of it; none: the request is answered as cancelled.
    answer: Option<String>,
}

impl Acp {
    /// The agent asks for leave.
    pub(super) fn asked(&mut self, made: &mut Made<'_>, request: &RawValue, params: Option<&RawValue>) {
        let wanted = read::<Wanted<'_>>(params);
        let call = wanted.as_ref().and_then(|wanted| read::<Call<'_>>(Some(wanted.tool_call)));
        let (Some(wanted), Some(call)) = (wanted, call) else {
            made.write(outbound::invalid(request, "a request for leave needs a toolCall and options"));
            return made.remark("the agent asked for leave without saying for what; it was told so");
        };
        let is_over = self.turn.as_ref().is_some_and(|turn| turn.interrupted.is_some());
        // Nobody is asked about what is history, or is about to end.
        if is_over || !matches!(self.phase, Phase::Ready) {
            return made.write(outbound::decision(request, None));
        }
        let options = offered(wanted.options.0);
        match self.question(request, &call, wanted.tool_call, &options) {
            Ok((id, asked, length)) => {
                made.event(asked);
                self.open.push(Open { id, request: request.to_owned(), length, options });
            }
            Err(why) => {
                made.write(outbound::decision(request, None));
                made.remark(&format!("a request for leave was refused: {why}"));
            }
        }
    }

    /// What people are asked and how long it is, or why nobody can be asked this.
    fn question(
        &mut self,
        request: &RawValue,
        call: &Call<'_>,
        whole: &RawValue,
        options: &[Offered],
    ) -> Result<(String, Kind, usize), String> {
        let length = whole.get().len();
        if length > REQUEST_INPUT {
            return Err(format!("it has {length} bytes; nobody can judge more than {REQUEST_INPUT}"));
        }
        if self.open.iter().any(|open| open.request.get() == request.get()) {
            return Err("its id is taken".to_owned());
        }
        let mut known = self.calls.find(&call.tool_call_id).cloned().unwrap_or_default();
        known.learn(call);
        // The input as it is asked about, else as it was told before, else all that the agent says here.
        let input = known.input.as_deref().or(call.raw_input.map(RawValue::get)).unwrap_or(whole.get()).to_owned();
        let digest = judged(&input)?;
        let fields: Value = serde_json::from_str(&input).unwrap_or_default();
        let command = command(&known, &fields);
        // A title is what the agent says of its call; a command is what would run.
        let title = match (command.is_empty(), known.title.is_empty()) {
            (false, _) => head(&command, 120),
            (true, false) => known.title.clone(),
            (true, true) => known.tool().to_owned(),
        };
        let id = self.ids.make();
        let asked = Kind::PermissionAsked(PermissionAsked {
            id: id.clone(),
            turn: self.turn.as_ref().map_or(0, |turn| turn.number),
            tool: known.tool().to_owned(),
            tool_call_id: clip(call.tool_call_id.clone(), SHORT_TEXT),
            kind: known.kind.into(),
            digest,
            summary: summary(&known, &title),
            directory: self.started.directory.clone(),
            options: options.iter().map(|one| one.option.clone()).collect(),
            command,
            paths: paths(call, &fields),
            explanation: clip(shown(call).0, SHORT_TEXT),
            input,
            ..PermissionAsked::default()
        });
        let length = room(self.open.iter().map(|open| open.length), &asked)?;
        Ok((id, asked, length))
    }

    /// Somebody has decided.
    pub(super) fn decide(&mut self, made: &mut Made<'_>, id: &str, option: &str) -> Result<(), Refused> {
        let place = self.open.iter().position(|open| open.id == id);
        let open = place.and_then(|place| self.open.get(place)).ok_or_else(|| Refused::NoSuchRequest(head(id, 64)))?;
        let Some(chosen) = open.options.iter().find(|one| one.option.id == option) else {
            let known: Vec<&str> = open.options.iter().map(|one| one.option.id.as_str()).collect();
            let (id, option, known) = (head(id, 64), head(option, 64), known.join(", "));
            return Err(Refused::NoSuchOption { id, option, known });
        };
        made.write(outbound::decision(&open.request, chosen.answer.as_deref()));
        self.open.retain(|open| open.id != id);
        Ok(())
    }

    /// What is open dies with its turn; the agent is told, unless it is gone.
    pub(super) fn close_all(&mut self, made: &mut Made<'_>, why: &str, is_gone: bool) {
        for open in std::mem::take(&mut self.open) {
            if !is_gone {
                made.write(outbound::decision(&open.request, None));
            }
            let (outcome, reason) = (Closing::Cancelled.into(), why.to_owned());
            made.event(Kind::PermissionClosed(PermissionClosed {
                id: open.id,
                outcome,
                reason,
                ..PermissionClosed::default()
            }));
        }
    }
}

/// The agent's options by kind. What it would remember by itself is offered only where it has nothing else: rules are
/// the session's, where they are listed and revoked. There is always a way to reject.
fn offered(choices: Vec<Choice>) -> Vec<Offered> {
    let kinds = [
        ("allow_once", "allow-once", OptionKind::AllowOnce),
        ("allow_always", "allow-always", OptionKind::AllowAlways),
        ("reject_once", "reject-once", OptionKind::RejectOnce),
        ("reject_always", "reject-always", OptionKind::RejectAlways),
    ];
    let of = |(theirs, ours, kind): (&str, &str, OptionKind)| {
        let same = choices.iter().filter(|choice| choice.kind == theirs && choice.option_id.len() <= SHORT_TEXT);
        let one = |(place, choice): (usize, &Choice)| Offered {
            option: PermissionOption {
                id: if place == 0 { ours.to_owned() } else { format!("{ours}-{}", place + 1) },
                name: clip(choice.name.clone(), SHORT_TEXT),
                kind: kind.into(),
            },
            answer: Some(choice.option_id.clone()),
        };
        // Agents offer one or two of a kind.
        same.take(8).enumerate().map(one).collect::<Vec<_>>()
    };
    let [once, always, no, never] = kinds.map(of);
    let mut all = if once.is_empty() { always } else { once };
    let rejecting = if no.is_empty() { never } else { no };
    if rejecting.is_empty() {
        let (id, name) = ("reject-once".to_owned(), "Cancel".to_owned());
        let option = PermissionOption { id, name, kind: OptionKind::RejectOnce.into() };
        all.push(Offered { option, answer: None });
    }
    all.extend(rejecting);
    all
}

fn summary(known: &Known, title: &str) -> String {
    let tool = head(known.tool(), 64);
    if title.to_lowercase().starts_with(&tool.to_lowercase()) { title.to_owned() } else { format!("{tool}: {title}") }
}

/// The shell command, where the call is one: a text, or words.
fn command(known: &Known, fields: &Value) -> String {
    if known.kind != ToolKind::Execute {
        return String::new();
    }
    match fields.get("command") {
        Some(Value::String(command)) => command.clone(),
        Some(Value::Array(words)) => shlex::try_join(words.iter().filter_map(Value::as_str)).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The paths that the call names, in whichever field agents put them.
fn paths(call: &Call<'_>, fields: &Value) -> Vec<String> {
    let named = ["file_path", "filePath", "filepath", "notebook_path", "path"];
    let mut all: Vec<String> = named.iter().filter_map(|name| fields.get(name)?.as_str()).map(str::to_owned).collect();
    all.extend(locations(call).into_iter().map(|one| one.path));
    all.extend(shown(call).1.into_iter().map(|one| one.path));
    let mut kept: Vec<String> = Vec::new();
    for path in all.into_iter().take(LIST) {
        if !kept.contains(&path) {
            kept.push(clip(path, PATH));
        }
    }
    kept
}
