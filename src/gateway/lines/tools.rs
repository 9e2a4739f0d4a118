//! What an agent's tools are asked for and say, as rows: titles, inputs, changes, output. Does not know whether it may.

use serde_json::Value;

use super::text::{Care, Row, Style, clean, hanging, rows, shortened, without_colours};
use crate::wire::v1::{Diff, PermissionAsked, Plan, PlanStatus, ToolKind};

/// Rows of a tool's output: the person can ask for the rest, and the agent has read it.
const OUTPUT: usize = 8;
/// Rows of a change that nobody is asked about.
const CHANGE: usize = 40;
/// Rows of what somebody decides about: past this nobody reads on a terminal; `approvals --json` has all of it.
const ASKED: usize = 1000;
/// Characters of an output that are looked at: more than its rows hold.
const OUTPUT_TEXT: usize = 64 * 1024;

const BODY: &str = "  ";
const QUOTE: &str = "  | ";

/// What stands before a call's title.
pub(super) fn icon(kind: ToolKind) -> char {
    match kind {
        ToolKind::Read => '<',
        ToolKind::Edit => '~',
        ToolKind::Delete => '-',
        ToolKind::Move => '>',
        ToolKind::Search => '?',
        ToolKind::Execute => '$',
        ToolKind::Think => '*',
        ToolKind::Fetch => '@',
        ToolKind::SwitchMode => '#',
        ToolKind::Other | ToolKind::Unspecified => '+',
    }
}

/// What a tool said, shortened.
pub(super) fn output(text: &str, failed: bool, width: usize) -> Vec<Row> {
    let text: String = text.trim_end().chars().take(OUTPUT_TEXT).collect();
    if text.is_empty() {
        return Vec::new();
    }
    let style = if failed { Style::Bad } else { Style::Dim };
    shortened(rows(style, BODY, &clean(&without_colours(&text), Care::Prose), width), OUTPUT, BODY)
}

/// Changes that were made.
pub(super) fn changes(diffs: &[Diff], width: usize) -> Vec<Row> {
    let all = diffs.iter().flat_map(|diff| change(&diff.old, &diff.new, width)).collect();
    shortened(all, CHANGE, BODY)
}

/// Lines that go are red, lines that come green; of those that stay, the nearest on both sides are shown.
fn change(old: &str, new: &str, width: usize) -> Vec<Row> {
    let lines = |text: &str| -> Vec<String> {
        if text.is_empty() { Vec::new() } else { clean(text, Care::Exact).lines().map(str::to_owned).collect() }
    };
    let (old, new) = (lines(old), lines(new));
    let same = |pairs: &mut dyn Iterator<Item = (&String, &String)>| pairs.take_while(|(a, b)| a == b).count();
    let before = same(&mut old.iter().zip(&new));
    let (old_rest, new_rest) = (old.get(before..).unwrap_or_default(), new.get(before..).unwrap_or_default());
    let after = same(&mut old_rest.iter().rev().zip(new_rest.iter().rev()));
    let kept = |line: &String| rows(Style::Dim, "    ", line, width);
    let mut out: Vec<Row> = Vec::new();
    out.extend(old.get(before.saturating_sub(1)..before).unwrap_or_default().iter().flat_map(kept));
    let part = |all: &'_ [String]| all.get(..all.len().saturating_sub(after)).unwrap_or_default().to_vec();
    for line in part(old_rest) {
        out.extend(rows(Style::Removed, "  - ", &line, width));
    }
    for line in part(new_rest) {
        out.extend(rows(Style::Added, "  + ", &line, width));
    }
    out.extend(new_rest.get(new_rest.len().saturating_sub(after)..).unwrap_or_default().iter().take(1).flat_map(kept));
    out
}

/// Everything that somebody has to know who decides about a request.
pub(super) fn asked(asked: &PermissionAsked, width: usize) -> Vec<Row> {
    let head = format!("? {} asks for leave in {}", asked.tool, asked.directory);
    let mut out = rows(Style::Warning, "", &clean(&head.replace('\n', " "), Care::Exact), width);
    let body = input(asked, width);
    let body_rows = body.len();
    out.extend(shortened(body, ASKED, QUOTE));
    if body_rows > ASKED + 1 {
        out.extend(rows(Style::Warning, QUOTE, "all of it: approvals --json", width));
    }
    if !asked.explanation.is_empty() {
        out.extend(rows(Style::Dim, BODY, &format!("why: {}", clean(&asked.explanation, Care::Exact)), width));
    }
    out
}

fn input(asked: &PermissionAsked, width: usize) -> Vec<Row> {
    let quoted = |text: &str| rows(Style::Plain, QUOTE, &clean(text, Care::Exact), width);
    if !asked.command.is_empty() {
        return quoted(&asked.command);
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(&asked.input) else { return quoted(&asked.input) };
    let mut out = Vec::new();
    let text = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str()).unwrap_or_default();
    let (old_names, new_names) = (["old_string", "oldString"], ["new_string", "newString", "content", "new_source"]);
    for (name, value) in &fields {
        match value {
            _ if old_names.contains(&name.as_str()) || new_names.contains(&name.as_str()) => {}
            Value::String(value) if value.contains('\n') => out.extend(quoted(&format!("{name}:\n{value}"))),
            Value::String(value) => out.extend(quoted(&format!("{name}: {value}"))),
            other => out.extend(quoted(&format!("{name}: {other}"))),
        }
    }
    out.extend(change(text(&old_names), text(&new_names), width));
    out
}

/// A list of steps, or prose.
pub(super) fn plan(plan: &Plan, width: usize) -> Vec<Row> {
    let mut out = rows(Style::Bold, "", "plan", width);
    if !plan.text.is_empty() {
        out.extend(rows(Style::Plain, BODY, clean(&plan.text, Care::Exact).trim_end(), width));
    }
    for entry in &plan.entries {
        let (mark, style) = match entry.status() {
            PlanStatus::Completed => ("  [x] ", Style::Dim),
            PlanStatus::InProgress => ("  [>] ", Style::Bold),
            PlanStatus::Pending | PlanStatus::Unspecified => ("  [ ] ", Style::Plain),
        };
        out.extend(hanging(style, mark, &clean(&entry.content.replace('\n', " "), Care::Prose), width));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(Row::text).collect()
    }

    #[test]
    fn a_change_shows_what_goes_and_comes_with_its_neighbours() {
        let shown = change("a\nb\nold\nz\ny", "a\nb\nnew\nmore\nz\ny", 40);
        assert_eq!(texts(&shown), ["    b", "  - old", "  + new", "  + more", "    z"]);
        assert_eq!(texts(&change("", "one\ntwo", 40)), ["  + one", "  + two"]);
        assert_eq!(texts(&change("x\nx", "x", 40)), ["    x", "  - x"]);
    }

    #[test]
    fn who_decides_sees_everything() {
        let command = (0..100).map(|n| format!("step {n}\n")).collect::<String>() + "rm\u{202e} -rf /";
        let bash = PermissionAsked { tool: "Bash".into(), command, directory: "/srv".into(), ..Default::default() };
        let shown = asked(&bash, 40);
        assert_eq!(shown[0].text(), "? Bash asks for leave in /srv");
        assert_eq!(shown.last().unwrap().text(), "  | rm\\u{202e} -rf /");
        assert_eq!(shown.len(), 102);
        let edit = PermissionAsked {
            tool: "Edit".into(),
            input: r#"{"file_path":"/a","old_string":"one","new_string":"two","replace_all":false}"#.into(),
            ..Default::default()
        };
        let shown = asked(&edit, 40);
        assert_eq!(texts(&shown)[1..], ["  | file_path: /a", "  | replace_all: false", "  - one", "  + two"]);
        let odd = PermissionAsked { tool: "T".into(), input: "no json \x1b[2J".into(), ..Default::default() };
        assert_eq!(asked(&odd, 40)[1].text(), "  | no json \\u{1b}[2J");
    }

    #[test]
    fn output_is_short_and_without_colours() {
        let lines: String = (0..20).map(|n| format!("\x1b[32mline {n}\x1b[0m\n")).collect();
        let shown = output(&lines, false, 40);
        assert_eq!((shown.len(), shown[0].text()), (OUTPUT + 1, "  line 0"));
        assert_eq!(shown[OUTPUT].text(), "  … 12 more lines");
        assert!(output("\n", false, 40).is_empty());
    }
}
