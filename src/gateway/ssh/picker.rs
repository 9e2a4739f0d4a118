//! The list from which a person on a terminal chooses a session or starts one: a model that takes keys, and its picture.
//! Knows no channel, no clock and no router.

use unicode_width::UnicodeWidthStr;

use crate::base::{Name, WinSize, printable};
use crate::gateway::verbs::{clip, clip_front, state_text};
use crate::wire::v1::{Approval, PermissionAsked, Session};

use super::lexer::{Lexer, Unit};

/// Longest directory that can be typed: Linux's PATH_MAX.
const LONGEST_PATH: usize = 4096;

/// Why it cannot be allowed in the list.
const NOT_ALL: &str = "this line does not say all of it: Enter shows the request, and there it can be allowed";
/// What the keys do when the line says all of a request.
const ALLOWS: &str = "y allow  d deny";
/// Rows of a window in which the last line is drawn: title, a choice, the line, and one that stays free.
const WITH_FOOT: usize = 4;

/// One key as the picker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    First,
    Last,
    Enter,
    Back,
    Erase,
    Stop,
    Char(char),
}

/// What the person decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Nothing yet.
    Stay,
    /// Attach to this session.
    Attach(Name),
    /// Let the session's agent do what it asks for, or refuse it: the request as it was drawn.
    Decide { asked: Box<Drawn>, allow: bool },
    /// Start this agent; none: in the first root.
    Start { agent: Name, directory: Option<String> },
    /// End the channel.
    Quit,
}

/// A request that is on the picture, of this session.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    pub(super) session: String,
    pub(super) permission: PermissionAsked,
    /// Its one line says all of it: only then may it be allowed here.
    pub(super) is_whole: bool,
}

/// The picker's state.
#[derive(Debug, Clone)]
pub(super) struct Picker {
    title: String,
    sessions: Vec<Session>,
    /// What agents of these sessions ask leave for.
    asked: Vec<Approval>,
    agents: Vec<Name>,
    first_root: String,
    page: Page,
    /// Position in the list of sessions.
    at: usize,
    note: String,
    /// What keys decide: it was on the picture long enough to be read.
    armed: Option<Drawn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Page {
    Sessions,
    Agents { at: usize },
    Directory { agent: Name, text: String },
}

impl Picker {
    /// For one account; `title` names gateway and account.
    pub(super) fn new(title: String, agents: Vec<Name>, first_root: String) -> Self {
        Self {
            title,
            sessions: Vec::new(),
            asked: Vec::new(),
            agents,
            first_root,
            page: Page::Sessions,
            at: 0,
            note: String::new(),
            armed: None,
        }
    }

    /// The sessions as they are now; true when the picture changes. The choice stays on the session it was on.
    pub(super) fn set_sessions(&mut self, sessions: Vec<Session>) -> bool {
        let shown = |s: &Session| (s.name.clone(), s.agent.clone(), s.directory.clone(), state_text(s));
        let changed = !self.sessions.iter().map(shown).eq(sessions.iter().map(shown));
        let chosen = self.sessions.get(self.at).map(|s| s.session_id.clone());
        let same = chosen.and_then(|id| sessions.iter().position(|s| s.session_id == id));
        self.at = same.unwrap_or(self.at).min(sessions.len().saturating_sub(1));
        self.sessions = sessions;
        changed
    }

    /// What is asked for now; true when the picture changes.
    pub(super) fn set_asked(&mut self, asked: Vec<Approval>) -> bool {
        let changed = self.asked != asked;
        self.asked = asked;
        changed
    }

    /// What the agent of the chosen session asks leave for.
    fn chosen_request(&self) -> Option<Drawn> {
        let name = &self.sessions.get(self.at)?.name;
        let mut asked = self.asked.iter().filter(|asked| asked.session == *name);
        let permission = asked.find_map(|asked| asked.permission.clone())?;
        Some(Drawn { session: name.clone(), permission, is_whole: false })
    }

    /// The request that a picture of this size shows.
    pub(super) fn drawn(&self, size: WinSize) -> Option<Drawn> {
        let has_foot = usize::from(size.rows()) >= WITH_FOOT;
        let is_shown = self.page == Page::Sessions && self.note.is_empty() && has_foot;
        let asked = self.chosen_request().filter(|_| is_shown)?;
        let room = usize::from(size.cols()).saturating_sub(ALLOWS.width() + 2);
        let is_whole = says_all(&asked.permission) && asked.permission.summary.width() <= room;
        Some(Drawn { is_whole, ..asked })
    }

    /// Whether keys decide this one.
    pub(super) fn is_armed(&self, asked: &Drawn) -> bool {
        self.armed.as_ref().is_some_and(|armed| armed.session == asked.session && armed.permission == asked.permission)
    }

    fn may_allow(&self) -> bool {
        self.armed.as_ref().is_some_and(|armed| armed.is_whole)
    }

    /// From now on keys decide this one, and no other; true when the picture changes.
    pub(super) fn arm(&mut self, asked: Option<Drawn>) -> bool {
        let changed = self.armed != asked;
        self.armed = asked;
        changed
    }

    /// One line below the list, until the next key.
    pub(super) fn set_note(&mut self, note: &str) {
        self.note = printable(note, 400);
    }

    /// Takes one key.
    pub(super) fn apply(&mut self, key: Key) -> Action {
        self.note.clear();
        if key == Key::Stop {
            return Action::Quit;
        }
        match std::mem::replace(&mut self.page, Page::Sessions) {
            Page::Sessions => self.on_sessions(key),
            Page::Agents { at } => self.on_agents(at, key),
            Page::Directory { agent, text } => self.on_directory(agent, text, key),
        }
    }

    fn on_sessions(&mut self, key: Key) -> Action {
        match key {
            Key::Char('q') | Key::Back => return Action::Quit,
            Key::Char('n') => match self.agents.as_slice() {
                [] => self.note = "no agent may be started with this key".to_owned(),
                [only] => self.page = Page::Directory { agent: only.clone(), text: String::new() },
                _ => self.page = Page::Agents { at: 0 },
            },
            Key::Char(key @ ('y' | 'd')) if let Some(asked) = self.chosen_request() => {
                // What has changed since the picture is drawn first.
                match self.armed.clone().filter(|_| self.is_armed(&asked)) {
                    Some(armed) if key == 'y' && !armed.is_whole => self.note = NOT_ALL.to_owned(),
                    Some(armed) => return Action::Decide { asked: Box::new(armed), allow: key == 'y' },
                    None => {}
                }
            }
            Key::Enter => return self.attach(self.at),
            Key::Char(digit @ '1'..='9') => return self.attach(digit as usize - '1' as usize),
            other => self.at = moved(self.at, self.sessions.len(), other),
        }
        Action::Stay
    }

    fn on_agents(&mut self, at: usize, key: Key) -> Action {
        let chosen = match key {
            Key::Char('q') | Key::Back => return Action::Stay,
            Key::Enter => Some(at),
            Key::Char(digit @ '1'..='9') => Some(digit as usize - '1' as usize),
            _ => None,
        };
        self.page = match chosen.and_then(|at| self.agents.get(at)) {
            Some(agent) => Page::Directory { agent: agent.clone(), text: String::new() },
            None => Page::Agents { at: moved(at, self.agents.len(), key) },
        };
        Action::Stay
    }

    fn on_directory(&mut self, agent: Name, mut text: String, key: Key) -> Action {
        match key {
            Key::Back => return Action::Stay,
            Key::Enter => {
                let directory = Some(text).filter(|text| !text.is_empty());
                return Action::Start { agent, directory };
            }
            Key::Erase => drop(text.pop()),
            Key::Char(ch) if text.len() + ch.len_utf8() <= LONGEST_PATH => text.push(ch),
            _ => {}
        }
        self.page = Page::Directory { agent, text };
        Action::Stay
    }

    fn attach(&self, at: usize) -> Action {
        let name = self.sessions.get(at).and_then(|session| session.name.parse().ok());
        name.map_or(Action::Stay, Action::Attach)
    }

    /// The picture for a window, line by line, without colours: no line is wider, and there are no more than fit. Column 0
    /// of the line told second is where the cursor belongs.
    fn lines(&self, size: WinSize) -> (Vec<String>, usize) {
        let (width, height) = (usize::from(size.cols()), usize::from(size.rows()));
        let (head, items, at, foot): (String, Vec<String>, usize, String) = match &self.page {
            Page::Sessions if self.sessions.is_empty() => {
                (self.title.clone(), vec!["no sessions yet".to_owned()], 0, "n new  q quit".to_owned())
            }
            Page::Sessions => {
                let items = self.sessions.iter().enumerate().map(|(at, s)| item(at, s, width)).collect();
                let foot = match self.chosen_request() {
                    // Who wants to see all of it attaches.
                    Some(asked) => {
                        let keys = match (self.is_armed(&asked), self.may_allow()) {
                            (false, _) => "…",
                            (true, true) => ALLOWS,
                            (true, false) => "Enter shows it  d deny",
                        };
                        format!("{keys}: {}", printable(&asked.permission.summary, LONGEST_PATH))
                    }
                    None => "↑↓ Enter attach  n new  q quit".to_owned(),
                };
                (self.title.clone(), items, self.at, foot)
            }
            Page::Agents { at } => {
                let items = self.agents.iter().enumerate().map(|(at, name)| format!("{} {name}", number(at))).collect();
                ("start which agent?".to_owned(), items, *at, "↑↓ Enter choose  Esc back".to_owned())
            }
            Page::Directory { agent, text } => {
                let shown = if text.is_empty() { format!("[{}]", self.first_root) } else { text.clone() };
                let shown = clip_front(&printable(&shown, LONGEST_PATH), width.saturating_sub(2));
                (format!("start {agent} in which directory?"), vec![shown], 0, "Enter start  Esc back".to_owned())
            }
        };
        let foot = if self.note.is_empty() { foot } else { self.note.clone() };
        // Head and foot stay; of the rest a window around the choice.
        let room = height.saturating_sub(3).max(1);
        let first = at.saturating_sub(room / 2).min(items.len().saturating_sub(room));
        let mut lines = vec![clip(&head, width)];
        for (row, text) in items.iter().enumerate().skip(first).take(room) {
            let mark = if row == at { "> " } else { "  " };
            lines.push(clip(&format!("{mark}{text}"), width));
        }
        lines.push(clip(&foot, width));
        lines.truncate(height.saturating_sub(1).max(1));
        (lines, 1 + at - first)
    }
}

/// What is on the terminal, so that it can be drawn over and taken away; stays on the ordinary screen.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// The line of the cursor, counted from the first line drawn; none: nothing is drawn.
    cursor: Option<usize>,
}

impl Drawing {
    /// Bytes that put the picture in place of the last one. After a change of size (`anew`) the terminal may have
    /// wrapped what was there, so all of the screen is taken.
    pub(super) fn draw(&mut self, picker: &Picker, size: WinSize, anew: bool) -> Vec<u8> {
        let mut out = if anew {
            self.cursor = None;
            b"\x1b[H\x1b[2J".to_vec()
        } else {
            self.clear()
        };
        let (lines, cursor) = picker.lines(size);
        out.extend_from_slice(lines.join("\r\n").as_bytes());
        let up = lines.len().saturating_sub(1).saturating_sub(cursor);
        out.push(b'\r');
        if up > 0 {
            out.extend_from_slice(format!("\x1b[{up}A").as_bytes());
        }
        self.cursor = Some(cursor.min(lines.len().saturating_sub(1)));
        out
    }

    /// Bytes that take the picture away; the cursor is where it began.
    pub(super) fn clear(&mut self) -> Vec<u8> {
        match self.cursor.take() {
            None => Vec::new(),
            Some(0) => b"\r\x1b[J".to_vec(),
            Some(down) => format!("\r\x1b[{down}A\x1b[J").into_bytes(),
        }
    }
}

/// Bytes of a terminal to keys.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    lexer: Lexer,
    text: Vec<u8>,
}

impl Keyboard {
    /// The keys that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Key> {
        bytes.iter().filter_map(|byte| self.lexer.push(*byte).and_then(|unit| self.key(unit))).collect()
    }

    /// Whether an ESC waits for what may follow it.
    pub(super) fn is_open(&self) -> bool {
        !self.lexer.is_ground()
    }

    /// Nothing followed: the ESC was a key.
    pub(super) fn close(&mut self) -> Option<Key> {
        let open = self.is_open();
        *self = Self::default();
        open.then_some(Key::Back)
    }

    fn key(&mut self, unit: Unit) -> Option<Key> {
        if !matches!(unit, Unit::Byte(0x80..)) {
            self.text.clear();
        }
        Some(match unit {
            Unit::Byte(b'\r' | b'\n') => Key::Enter,
            Unit::Byte(0x03 | 0x04) => Key::Stop,
            Unit::Byte(0x08 | 0x7f) => Key::Erase,
            Unit::Byte(0x0e) => Key::Down,
            Unit::Byte(0x10) => Key::Up,
            Unit::Byte(byte @ b' '..=b'~') => Key::Char(char::from(byte)),
            Unit::Byte(byte @ 0x80..) => return self.character(byte),
            Unit::Alt(0x1b) => Key::Back,
            Unit::Function { number: 0 | 1, last } => match last {
                b'A' => Key::Up,
                b'B' => Key::Down,
                b'H' => Key::First,
                b'F' => Key::Last,
                b'~' => Key::First,
                _ => return None,
            },
            Unit::Function { number: 7, last: b'~' } => Key::First,
            Unit::Function { number: 4 | 8, last: b'~' } => Key::Last,
            Unit::Key { codes: [27, ..], released: false, .. } => Key::Back,
            Unit::Key { codes: [13, ..], released: false, .. } => Key::Enter,
            Unit::Key { codes: [127, ..], released: false, .. } => Key::Erase,
            Unit::Key { codes: [99 | 100, ..], modifiers: 4, released: false } => Key::Stop,
            Unit::Key { codes: [code, ..], modifiers: 0, released: false } => Key::Char(char::from_u32(code)?),
            _ => return None,
        })
    }

    fn character(&mut self, byte: u8) -> Option<Key> {
        if self.text.len() >= 4 {
            self.text.clear();
        }
        self.text.push(byte);
        let ch = std::str::from_utf8(&self.text).ok()?.chars().next().filter(|ch| !ch.is_control())?;
        self.text.clear();
        Some(Key::Char(ch))
    }
}

fn moved(at: usize, count: usize, key: Key) -> usize {
    let last = count.saturating_sub(1);
    match key {
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Down | Key::Char('j') => (at + 1).min(last),
        Key::First => 0,
        Key::Last => last,
        _ => at,
    }
}

fn number(at: usize) -> char {
    u32::try_from(at + 1).ok().filter(|n| *n < 10).and_then(|n| char::from_digit(n, 10)).unwrap_or(' ')
}

/// `1 name  state  agent  directory`, for a line of `width` with its mark; the directory gives way first.
/// Whether the summary is the whole request: a command in one line, and nothing beside it that changes what it does.
fn says_all(asked: &PermissionAsked) -> bool {
    let plain = !asked.command.is_empty() && printable(&asked.command, usize::MAX) == asked.command;
    let beside = |name: &String| !matches!(name.as_str(), "command" | "description" | "timeout");
    let input = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&asked.input);
    plain
        && asked.summary == format!("{}: {}", asked.tool, asked.command)
        && input.is_ok_and(|input| !input.keys().any(beside))
}

fn item(at: usize, session: &Session, width: usize) -> String {
    let cell = |text: &str, most: usize| clip(&printable(text, 256), most);
    let narrow = width < 60;
    let name = cell(&session.name, if narrow { 14 } else { 30 });
    let facts = format!("{} {name}  {}  {}", number(at), state_text(session), cell(&session.agent, 12));
    match width.checked_sub(2 + facts.width() + 2).filter(|left| *left >= 6) {
        Some(left) => format!("{facts}  {}", clip_front(&printable(&session.directory, 256), left)),
        None => facts,
    }
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
