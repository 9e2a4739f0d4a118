//! What somebody is asked to decide, whole, as rows that stand above its card for good. Does not know who may decide.

use serde_json::{Map, Value};

use super::text::{Care, Row, Style, clean, columns, pieces};
use super::tools::each_line;
use crate::wire::v1::PermissionAsked;

/// Rows of one request. The longest input that a request may have (1 MiB) takes 14,000 where rows have 80 columns; what has
/// more, because its lines are short or the window is narrow, nobody reads on a terminal.
const ROWS: usize = 20_000;

const BODY: &str = "  ";
/// Where a field's value goes on: no value can look like the next field.
const VALUE: &str = "    ";
const QUOTE: &str = "  | ";

/// A request as rows.
#[derive(Debug)]
pub(super) struct Sheet {
    width: usize,
    pub(super) rows: Vec<Row>,
    /// Characters that found no room.
    pub(super) left: usize,
    /// Some of it is drawn as a change.
    pub(super) has_change: bool,
}

/// Everything that somebody has to know who decides about a request: every field of its input, and why it is asked.
pub(super) fn sheet(asked: &PermissionAsked, width: usize) -> Sheet {
    let mut sheet = Sheet { width, rows: Vec::new(), left: 0, has_change: false };
    let head = format!("? {} asks for leave in {}", asked.tool, asked.directory);
    sheet.entry(Style::Warning, ("", BODY), &head.replace('\n', " "));
    sheet.input(asked);
    if !asked.explanation.is_empty() {
        sheet.entry(Style::Dim, (BODY, VALUE), &format!("why: {}", asked.explanation));
    }
    if sheet.left > 0 {
        let text = format!("{BODY}… {} characters more, which are not shown", sheet.left);
        sheet.rows.push(Row::clipped(Style::Warning, &text, width));
    }
    sheet
}

impl Sheet {
    fn input(&mut self, asked: &PermissionAsked) {
        let command = asked.command.as_str();
        let fields = match serde_json::from_str(&asked.input) {
            Ok(Value::Object(fields)) => fields,
            Ok(Value::Null) => Map::new(),
            _ => {
                self.quoted(command);
                return self.quoted(if asked.input == command { "" } else { &asked.input });
            }
        };
        let change = change(&fields).filter(|_| command.is_empty());
        self.has_change = change.is_some();
        let drawn = |name: &str, value: &Value| match &change {
            Some(change) => change.names.contains(&name),
            None => !command.is_empty() && value == command,
        };
        self.quoted(command);
        for (name, value) in fields.iter().filter(|(name, value)| !drawn(name, value)) {
            self.field(name, value);
        }
        if let Some(Change { old, new, .. }) = change {
            let tell = &mut |style, mark, line: &str| self.line(style, (mark, mark), line);
            each_line(&clean(old, Care::Exact), &clean(new, Care::Exact), tell);
        }
    }

    fn field(&mut self, name: &str, value: &Value) {
        let name = name.replace('\n', "\\n");
        match value {
            Value::String(text) if text.contains('\n') => {
                self.entry(Style::Plain, (BODY, VALUE), &format!("{name}:"));
                self.quoted(text);
            }
            Value::String(text) => self.entry(Style::Plain, (BODY, VALUE), &format!("{name}: {text}")),
            other => self.entry(Style::Plain, (BODY, VALUE), &format!("{name}: {other}")),
        }
    }

    fn quoted(&mut self, text: &str) {
        if !text.is_empty() {
            self.entry(Style::Plain, (QUOTE, QUOTE), text);
        }
    }

    /// The first row begins with the one mark, every other with the other.
    fn entry(&mut self, style: Style, (first, other): (&'static str, &'static str), text: &str) {
        for (number, line) in clean(text, Care::Exact).split('\n').enumerate() {
            self.line(style, (if number == 0 { first } else { other }, other), line);
        }
    }

    fn line(&mut self, style: Style, (first, other): (&'static str, &'static str), clean: &str) {
        let room = self.width.saturating_sub(columns(first).max(columns(other))).max(1);
        for (number, piece) in pieces(clean, room).enumerate() {
            if self.rows.len() < ROWS {
                let mark = if number == 0 { first } else { other };
                self.rows.push(Row::of(style, format!("{mark}{piece}")));
            } else {
                // An empty line is one that is not seen as well.
                self.left += piece.chars().count().max(1);
            }
        }
    }
}

/// What is better seen as a change, and the fields that say it.
struct Change<'a> {
    names: Vec<&'static str>,
    old: &'a str,
    new: &'a str,
}

fn change(fields: &Map<String, Value>) -> Option<Change<'_>> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let pairs = [("old_string", "new_string"), ("oldString", "newString")];
    let pair = pairs.into_iter().find_map(|(old, new)| Some((vec![old, new], text(old)?, text(new)?)));
    let whole = || ["content", "new_source"].into_iter().find_map(|name| Some((vec![name], "", text(name)?)));
    let (names, old, new) = pair.or_else(whole)?;
    // What differs in no line is nothing that a change could show.
    (!old.lines().eq(new.lines())).then_some(Change { names, old, new })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sheet: &Sheet) -> Vec<&str> {
        sheet.rows.iter().map(Row::text).collect()
    }

    fn shown(tool: &str, command: &str, input: &str) -> Vec<String> {
        let (tool, command, input) = (tool.into(), command.into(), input.into());
        let asked = PermissionAsked { tool, command, input, ..Default::default() };
        texts(&sheet(&asked, 60))[1..].iter().map(|row| (*row).to_owned()).collect()
    }

    #[test]
    fn who_decides_sees_the_whole_command() {
        let command = (0..5000).map(|n| format!("step {n}\n")).collect::<String>() + "rm\u{202e} -rf /";
        let asked = PermissionAsked { tool: "Bash".into(), command, directory: "/srv".into(), ..Default::default() };
        let sheet = sheet(&asked, 40);
        let rows = texts(&sheet);
        assert_eq!((rows[0], rows[1]), ("? Bash asks for leave in /srv", "  | step 0"));
        assert_eq!((*rows.last().unwrap(), rows.len(), sheet.left), ("  | rm\\u{202e} -rf /", 5002, 0));
    }

    #[test]
    fn every_field_is_listed_unless_it_is_drawn() {
        let bash = r#"{"command":"ls","dangerouslyDisableSandbox":true,"description":"look","run_in_background":true}"#;
        let listed =
            ["  | ls", "  dangerouslyDisableSandbox: true", "  description: look", "  run_in_background: true"];
        assert_eq!(shown("Bash", "ls", bash), listed);
        let edit = r#"{"file_path":"/a","old_string":"one","new_string":"two","replace_all":false}"#;
        assert_eq!(shown("Edit", "", edit), ["  file_path: /a", "  replace_all: false", "  - one", "  + two"]);
        let both = r#"{"old_string":"one","new_string":"two","content":"three"}"#;
        assert_eq!(shown("mcp", "", both), ["  content: three", "  - one", "  + two"]);
        assert_eq!(shown("mcp", "", r#"{"content":[{"a":["b"]}]}"#), [r#"  content: [{"a":["b"]}]"#]);
        assert_eq!(shown("mcp", "", r#"{"new_string":"x","content":"y"}"#), ["  new_string: x", "  + y"]);
        assert_eq!(shown("Write", "", r#"{"content":""}"#), ["  content: "], "an empty file is no change to be seen");
        let ends = shown("Edit", "", r#"{"old_string":"a\n","new_string":"a"}"#);
        assert_eq!(ends, ["  old_string:", "  | a", "  | ", "  new_string: a"]);
        assert_eq!(shown("T", "", "no json \x1b[2J"), ["  | no json \\u{1b}[2J"]);
        assert_eq!(shown("T", "ls", r#"{"command":"ls"}"#), ["  | ls"]);
        assert_eq!(shown("T", "ls", r#"{"command":["ls"]}"#), ["  | ls", r#"  command: ["ls"]"#]);
    }

    #[test]
    fn no_value_looks_like_another_field() {
        let input = format!(r#"{{"a\nb":"x","long":"{} b: 1","lines":"1\nb: 2"}}"#, "x".repeat(50));
        let rows = shown("T", "", &input);
        assert!(!rows.iter().any(|row| row.starts_with("  b:")), "{rows:?}");
        assert!(rows.iter().any(|row| row == "    b: 1"), "{rows:?}");
    }

    #[test]
    fn what_has_too_many_rows_says_how_much_is_missing() {
        let input = format!(r#"{{"content":"{}"}}"#, "x\\n".repeat(ROWS + 100));
        let asked = PermissionAsked { tool: "Write".into(), input, ..Default::default() };
        let sheet = sheet(&asked, 80);
        assert_eq!((sheet.rows.len(), sheet.left), (ROWS + 1, 101));
        assert!(texts(&sheet).last().unwrap().contains("101 characters more, which are not shown"));
    }
}
