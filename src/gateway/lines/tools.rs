//! What an agent's tools are asked for and say, as rows: titles, inputs, changes, output. Does not know whether it may.

use super::text::{Care, Row, Style, clean, hanging, rows, shortened, without_colours};
use crate::wire::v1::{Diff, Plan, PlanStatus, ToolKind};

/// Rows of a tool's output: the person can ask for the rest, and the agent has read it.
const OUTPUT: usize = 8;
/// Rows of a change that nobody is asked about.
const CHANGE: usize = 40;
/// Characters of an output that are looked at: more than its rows hold.
const OUTPUT_TEXT: usize = 64 * 1024;

const BODY: &str = "  ";
/// Before a line of a change that stays.
const KEPT: &str = "    ";

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

fn change(old: &str, new: &str, width: usize) -> Vec<Row> {
    let mut out = Vec::new();
    each_line(&clean(old, Care::Exact), &clean(new, Care::Exact), &mut |style, mark, line| {
        out.extend(rows(style, mark, line, width));
    });
    out
}

/// A change line by line, each with its mark: lines that go are red, lines that come green; of those that stay, the nearest
/// on both sides are told, and how many there are beyond.
pub(super) fn each_line(old: &str, new: &str, tell: &mut impl FnMut(Style, &'static str, &str)) {
    let same = |pairs: &mut dyn Iterator<Item = (&str, &str)>| pairs.take_while(|(a, b)| a == b).count();
    let (old_count, new_count) = (old.lines().count(), new.lines().count());
    let before = same(&mut old.lines().zip(new.lines()));
    let most = old_count.min(new_count) - before;
    let after = same(&mut old.lines().rev().zip(new.lines().rev()).take(most));
    let more = |count: usize, tell: &mut dyn FnMut(Style, &'static str, &str)| {
        if count > 0 {
            tell(Style::Dim, KEPT, &format!("… {count} more, unchanged"));
        }
    };
    more(before.saturating_sub(1), tell);
    old.lines().take(before).last().into_iter().for_each(|line| tell(Style::Dim, KEPT, line));
    let part = |count: usize| count - before - after;
    old.lines().skip(before).take(part(old_count)).for_each(|line| tell(Style::Removed, "  - ", line));
    new.lines().skip(before).take(part(new_count)).for_each(|line| tell(Style::Added, "  + ", line));
    new.lines().skip(new_count - after).take(1).for_each(|line| tell(Style::Dim, KEPT, line));
    more(after.saturating_sub(1), tell);
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
        assert_eq!(
            texts(&shown),
            ["    … 1 more, unchanged", "    b", "  - old", "  + new", "  + more", "    z", "    … 1 more, unchanged"]
        );
        assert_eq!(texts(&change("", "one\ntwo", 40)), ["  + one", "  + two"]);
        assert_eq!(texts(&change("x\nx", "x", 40)), ["    x", "  - x"]);
        assert_eq!(texts(&change("x", "y\nx", 40)), ["  + y", "    x"]);
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
