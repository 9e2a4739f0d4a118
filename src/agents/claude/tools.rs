//! What Claude Code's tools are in neutral words; does not know what became of a call.

use serde_json::value::RawValue;

use super::inbound::Input;
use crate::agents::event::{clip, head};
use crate::agents::limits::{LIST, REQUEST_INPUT, SHORT_TEXT, TEXT_KEPT};
use crate::wire::v1::{Diff, PlanEntry, PlanStatus, ToolCall, ToolKind, ToolLocation, ToolStatus};

/// The longest title.
const TITLE: usize = 120;

/// A call as an event.
pub(super) fn call(id: &str, tool: &str, raw: Option<&RawValue>, parent: Option<String>) -> ToolCall {
    let input = Input::read(raw);
    ToolCall {
        tool_call_id: clip(id.to_owned(), SHORT_TEXT),
        title: title(tool, &input),
        kind: kind(tool).into(),
        status: ToolStatus::Pending.into(),
        tool: clip(tool.to_owned(), SHORT_TEXT),
        raw_input: raw.map(|raw| clip(raw.get().to_owned(), TEXT_KEPT)).unwrap_or_default(),
        locations: paths(&input).into_iter().map(|path| ToolLocation { path, line: line(&input) }).collect(),
        diffs: diffs(tool, &input),
        parent_tool_call: clip(parent.unwrap_or_default(), SHORT_TEXT),
    }
}

/// Which of the neutral kinds a tool is.
pub(super) fn kind(tool: &str) -> ToolKind {
    match tool {
        "Read" | "NotebookRead" | "TaskOutput" | "BashOutput" => ToolKind::Read,
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => ToolKind::Edit,
        "Glob" | "Grep" | "LS" | "ToolSearch" => ToolKind::Search,
        "Bash" | "KillShell" | "TaskStop" => ToolKind::Execute,
        "WebFetch" | "WebSearch" => ToolKind::Fetch,
        "Task" | "Agent" | "TodoWrite" | "TaskCreate" | "TaskUpdate" | "TaskList" | "TaskGet" => ToolKind::Think,
        "ExitPlanMode" | "EnterPlanMode" => ToolKind::SwitchMode,
        _ => ToolKind::Other,
    }
}

/// One line for people: what and whereto.
pub(super) fn title(tool: &str, input: &Input) -> String {
    let named = |word: &str, field: &str| input.text(field).map(|text| head(&format!("{word} {text}"), TITLE));
    let title = match tool {
        "Bash" => input.text("command").map(|text| head(text, TITLE)),
        "Read" | "Edit" | "MultiEdit" | "Write" => named(tool, "file_path"),
        "NotebookEdit" | "NotebookRead" => named(tool, "notebook_path"),
        "Glob" | "Grep" => named(tool, "pattern"),
        "LS" => named(tool, "path"),
        "WebFetch" => named("Fetch", "url"),
        "WebSearch" => named("Search the web for", "query"),
        "Task" | "Agent" => named("Sub-agent:", "description"),
        "TaskCreate" => named("Task:", "subject"),
        "AskUserQuestion" => Some("Question".to_owned()),
        "ExitPlanMode" => Some("Plan".to_owned()),
        _ => None,
    };
    title.unwrap_or_else(|| match tool.strip_prefix("mcp__").and_then(|rest| rest.split_once("__")) {
        Some((server, name)) => head(&format!("{server}: {name}"), TITLE),
        None => head(tool, TITLE),
    })
}

/// The paths that a call names.
pub(super) fn paths(input: &Input) -> Vec<String> {
    let named = ["file_path", "notebook_path", "path"].iter().filter_map(|field| input.text(field));
    named.map(|path| clip(path.to_owned(), 4096)).collect()
}

/// The entries of a to-do list.
pub(super) fn entries(input: &Input) -> Option<Vec<PlanEntry>> {
    let todos = input.0.get("todos")?.as_array()?;
    let entry = |todo: &serde_json::Value| PlanEntry {
        content: clip(todo.get("content").and_then(|text| text.as_str()).unwrap_or_default().into(), SHORT_TEXT),
        status: status(todo.get("status").and_then(|text| text.as_str()).unwrap_or_default()).into(),
        priority: clip(todo.get("priority").and_then(|text| text.as_str()).unwrap_or_default().into(), SHORT_TEXT),
    };
    Some(todos.iter().take(LIST).map(entry).collect())
}

/// As the agent says it.
pub(super) fn status(text: &str) -> PlanStatus {
    match text {
        "pending" => PlanStatus::Pending,
        "in_progress" => PlanStatus::InProgress,
        "completed" => PlanStatus::Completed,
        _ => PlanStatus::Unspecified,
    }
}

fn line(input: &Input) -> u32 {
    let line = input.0.get("offset").and_then(serde_json::Value::as_u64).unwrap_or(0);
    u32::try_from(line).unwrap_or(0)
}

fn diffs(tool: &str, input: &Input) -> Vec<Diff> {
    let Some(path) = input.text("file_path").or_else(|| input.text("notebook_path")) else { return Vec::new() };
    let one = |old: &str, new: &str| Diff {
        path: clip(path.to_owned(), 4096),
        old: clip(old.to_owned(), REQUEST_INPUT),
        new: clip(new.to_owned(), REQUEST_INPUT),
    };
    let text = |value: &serde_json::Value, name: &str| -> String {
        value.get(name).and_then(|text| text.as_str()).unwrap_or_default().to_owned()
    };
    match tool {
        "Write" => vec![one("", input.text("content").unwrap_or_default())],
        "Edit" => vec![one(input.text("old_string").unwrap_or_default(), input.text("new_string").unwrap_or_default())],
        "NotebookEdit" => vec![one("", input.text("new_source").unwrap_or_default())],
        "MultiEdit" => {
            let edits = input.0.get("edits").and_then(|edits| edits.as_array());
            let edits = edits.into_iter().flatten().take(LIST);
            edits.map(|edit| one(&text(edit, "old_string"), &text(edit, "new_string"))).collect()
        }
        _ => Vec::new(),
    }
}
