//! Sessions as a table that fits a terminal, and as JSON; knows neither the clock nor who may see them.

use serde_json::json;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::base::printable;
use crate::wire::v1::{AgentState, Exit, Session, State, exit::How};

/// What an agent may make of a title or a path before it is cut for the screen.
const LONGEST_CELL: usize = 256;

struct Column {
    head: &'static str,
    least: usize,
    /// Cut at the front, so that the end of a path stays.
    tail: bool,
    cell: fn(&Session) -> String,
}

/// Columns of a cell that is still easy to read.
const READABLE: usize = 24;

/// From the one that always stays to the one that goes first.
const COLUMNS: [Column; 7] = [
    Column { head: "NAME", least: 10, tail: false, cell: |s| s.name.clone() },
    Column { head: "STATE", least: 7, tail: false, cell: state_text },
    Column { head: "AGENT", least: 5, tail: false, cell: |s| s.agent.clone() },
    Column { head: "DIRECTORY", least: 9, tail: true, cell: |s| s.directory.clone() },
    Column { head: "VIEWERS", least: 7, tail: false, cell: |s| s.viewers.to_string() },
    Column { head: "SIZE", least: 7, tail: false, cell: size_text },
    Column { head: "TITLE", least: 10, tail: false, cell: |s| s.title.clone() },
];
const ACCOUNT: Column = Column { head: "ACCOUNT", least: 7, tail: false, cell: |s| s.account.clone() };

/// A table with one line for each session, LF at the end of each, no line wider than `width` columns (at least 24);
/// without a width nothing is cut. More than one account adds a column for it.
pub(crate) fn render_list(sessions: &[Session], width: Option<u16>) -> String {
    if sessions.is_empty() {
        return "no sessions: `new AGENT` starts one\n".to_owned();
    }
    let several = sessions.windows(2).any(|pair| matches!(pair, [a, b] if a.account != b.account));
    let columns: Vec<&Column> =
        COLUMNS.iter().take(1).chain(several.then_some(&ACCOUNT)).chain(COLUMNS.iter().skip(1)).collect();
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|session| columns.iter().map(|column| printable(&(column.cell)(session), LONGEST_CELL)).collect())
        .collect();
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width()).max();
            widest.unwrap_or_default().max(column.head.width())
        })
        .collect();
    let widths = widths(&columns, &natural, width.map(|width| usize::from(width).max(24)));
    let mut out = String::new();
    let heads = columns.iter().map(|column| column.head.to_owned()).collect();
    for row in std::iter::once(&heads).chain(&rows) {
        push_row(&mut out, &columns, &widths, row);
    }
    out
}

/// An array of objects in one line, LF at the end, in ASCII: nothing in it acts on a terminal.
pub(crate) fn list_json(sessions: &[Session]) -> String {
    let values: Vec<_> = sessions
        .iter()
        .map(|session| {
            json!({
                "name": session.name,
                "id": session.session_id,
                "agent": session.agent,
                "directory": session.directory,
                "state": state_name(session),
                "exit": session.exit.as_ref().and_then(exit_json),
                "size": session.size.as_ref().map(|size| json!({"cols": size.cols, "rows": size.rows})),
                "viewers": session.viewers,
                "created": session.created,
                "title": session.title,
                "account": session.account,
                "mode": session.mode,
                "agent_state": agent_state(session.agent_state()),
                "pending": session.pending,
                "agent_session": session.agent_session,
            })
        })
        .collect();
    ascii_json(&serde_json::Value::Array(values))
}

/// JSON in one line, LF at the end, in ASCII: nothing in it acts on a terminal.
pub(super) fn ascii_json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for ch in value.to_string().chars() {
        if (' '..='~').contains(&ch) {
            out.push(ch);
        } else {
            let mut units = [0; 2];
            ch.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out.push('\n');
    out
}

/// `running`, `starting`, what a structured session's agent does, or how it ended: `exit 0`, `signal KILL`, `not started`.
pub(crate) fn state_text(session: &Session) -> String {
    match session.exit.as_ref().and_then(|exit| exit.how.as_ref()) {
        _ if session.state() != State::Ended => {
            agent_state(session.agent_state()).unwrap_or_else(|| state_name(session)).to_owned()
        }
        Some(How::Code(code)) => format!("exit {code}"),
        Some(How::Signal(signal)) => format!("signal {signal}"),
        Some(How::NotStarted(_)) => "not started".to_owned(),
        None => "ended".to_owned(),
    }
}

/// What the agent does, where it can be told.
pub(crate) fn agent_state(state: AgentState) -> Option<&'static str> {
    match state {
        AgentState::Unspecified | AgentState::Ended => None,
        AgentState::Starting => Some("starting"),
        AgentState::NeedsLogin => Some("needs-login"),
        AgentState::Idle => Some("idle"),
        AgentState::Working => Some("working"),
        AgentState::NeedsApproval => Some("needs-approval"),
        AgentState::NeedsAnswer => Some("needs-answer"),
        AgentState::Retrying => Some("retrying"),
    }
}

/// The text cut at its end to at most `width` columns, with `…` where it was cut.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = take_columns(text.chars(), width.saturating_sub(1));
    if width > 0 {
        out.push('…');
    }
    out
}

/// As `clip`, cut at its front.
pub(crate) fn clip_front(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let kept = take_columns(text.chars().rev(), width.saturating_sub(1));
    if width == 0 { String::new() } else { std::iter::once('…').chain(kept.chars().rev()).collect() }
}

fn take_columns(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|ch| {
            used += ch.width().unwrap_or_default();
            used <= width
        })
        .collect()
}

fn size_text(session: &Session) -> String {
    // A structured session has no grid.
    if session.mode == "structured" {
        return String::new();
    }
    session.size.as_ref().map_or_else(String::new, |size| format!("{}x{}", size.cols, size.rows))
}

fn state_name(session: &Session) -> &'static str {
    match session.state() {
        State::Unspecified => "unknown",
        State::Starting => "starting",
        State::Running => "running",
        State::Ended => "ended",
    }
}

fn exit_json(exit: &Exit) -> Option<serde_json::Value> {
    Some(match exit.how.as_ref()? {
        How::Code(code) => json!({ "code": code }),
        How::Signal(signal) => json!({ "signal": signal }),
        How::NotStarted(why) => json!({ "not_started": why }),
    })
}

/// Columns that fit, two spaces apart. Those up to the directory come first and get a readable width, then as many of the
/// others as there is room for; what is left goes to each from the left as far as it needs it.
fn widths(columns: &[&Column], natural: &[usize], width: Option<usize>) -> Vec<usize> {
    let Some(width) = width else { return natural.to_vec() };
    let mut fit = Fit { widths: Vec::new(), left: width };
    let main = columns.iter().take_while(|column| column.head != "VIEWERS").count();
    fit.admit(columns, natural, main);
    fit.grow(natural, READABLE);
    fit.admit(columns, natural, columns.len());
    fit.grow(natural, usize::MAX);
    fit.widths
}

struct Fit {
    widths: Vec<usize>,
    left: usize,
}

impl Fit {
    fn admit(&mut self, columns: &[&Column], natural: &[usize], upto: usize) {
        for (column, natural) in columns.iter().zip(natural).take(upto).skip(self.widths.len()) {
            let gap = if self.widths.is_empty() { 0 } else { 2 };
            let least = column.least.min(*natural);
            let Some(rest) = self.left.checked_sub(gap + least) else { return };
            self.left = rest;
            self.widths.push(least);
        }
    }

    fn grow(&mut self, natural: &[usize], most: usize) {
        for (have, natural) in self.widths.iter_mut().zip(natural) {
            let more = self.left.min(natural.saturating_sub(*have)).min(most.saturating_sub(*have));
            *have += more;
            self.left -= more;
        }
    }
}

fn push_row(out: &mut String, columns: &[&Column], widths: &[usize], row: &[String]) {
    let mut line = String::new();
    for ((column, width), cell) in columns.iter().zip(widths).zip(row) {
        let cell = if column.tail { clip_front(cell, *width) } else { clip(cell, *width) };
        let pad = width.saturating_sub(cell.width()) + 2;
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', pad));
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::v1::Size;

    fn session(name: &str, directory: &str, title: &str) -> Session {
        Session {
            session_id: "00112233445566778899aabbccddeeff".into(),
            name: name.into(),
            account: "root".into(),
            agent: "claude".into(),
            directory: directory.into(),
            state: State::Running.into(),
            size: Some(Size { cols: 100, rows: 30 }),
            viewers: 2,
            created: 1_700_000_000,
            title: title.into(),
            ..Session::default()
        }
    }

    #[test]
    fn a_wide_table_shows_all_and_a_narrow_one_what_matters() {
        let sessions = [session("main", "/home/ann/projects/portcullis", "fix the parser"), session("b", "/srv/x", "")];
        assert_eq!(
            render_list(&sessions, Some(120)),
            "NAME  STATE    AGENT   DIRECTORY                      VIEWERS  SIZE    TITLE\n\
             main  running  claude  /home/ann/projects/portcullis  2        100x30  fix the parser\n\
             b     running  claude  /srv/x                         2        100x30\n"
        );
        assert_eq!(
            render_list(&sessions, Some(40)),
            "NAME  STATE    AGENT   DIRECTORY\n\
             main  running  claude  …jects/portcullis\n\
             b     running  claude  /srv/x\n"
        );
    }

    #[test]
    fn the_end_is_told() {
        let mut ended = session("main", "/", "");
        ended.set_state(State::Ended);
        for (how, text) in [
            (How::Code(3), "exit 3"),
            (How::Signal("KILL".into()), "signal KILL"),
            (How::NotStarted("no such file".into()), "not started"),
        ] {
            ended.exit = Some(Exit { how: Some(how) });
            assert_eq!(state_text(&ended), text);
        }
    }

    #[test]
    fn json_is_ascii_and_comes_back() {
        let text = list_json(&[session("main", "/home/ä", "☃ \u{9b}31m \u{1f600}")]);
        assert!(text.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["title"], "☃ \u{9b}31m \u{1f600}");
        assert_eq!(value[0]["size"]["cols"], 100);
        assert_eq!(value[0]["created"], 1_700_000_000);
        assert_eq!(value[0]["exit"], serde_json::Value::Null);
        assert_eq!(list_json(&[]), "[]\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_asked(
            rows in prop::collection::vec(("[a-z]{1,64}", ".{0,90}", ".{0,90}", "[a-z]{1,8}"), 1..5),
            width in 40u16..200,
        ) {
            let sessions: Vec<Session> = rows.iter().map(|(name, directory, title, account)| {
                Session { account: account.clone(), ..session(name, directory, title) }
            }).collect();
            let text = render_list(&sessions, Some(width));
            prop_assert_eq!(text.lines().count(), sessions.len() + 1);
            for line in text.lines() {
                prop_assert!(line.width() <= usize::from(width), "{}: {}", line.width(), line);
                prop_assert!(line.contains("  "));
            }
        }
    }
}
