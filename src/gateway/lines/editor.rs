//! The text that a person writes: a cursor, several lines, those sent before. Does not know what it is sent to.

use unicode_width::UnicodeWidthChar;

use super::keys::Key;
use super::text::{Care, Row, Style, clean, columns, hanging};
use crate::base::INPUT_MESSAGE;

/// Texts that Up brings back.
const HISTORY: usize = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// A byte of the text, at a character.
    at: usize,
    history: Vec<String>,
    /// The place in the history that is shown, and what was written before it was.
    past: Option<(usize, String)>,
}

/// The text cannot be longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The text as it stands on the terminal.
pub(super) struct Shown {
    pub(super) rows: Vec<Row>,
    /// Row and column of the cursor.
    pub(super) cursor: (usize, usize),
}

impl Editor {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Away with it.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        (self.at, self.past) = (0, None);
    }

    /// What was written; Up brings it back.
    pub(super) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        (self.at, self.past) = (0, None);
        if self.history.last() != Some(&text) {
            self.history.push(text.clone());
        }
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
        text
    }

    /// A key that changes text or cursor; others are nothing here.
    pub(super) fn press(&mut self, key: Key) -> Result<(), Full> {
        match key {
            Key::Char(ch) => return self.insert(ch.encode_utf8(&mut [0; 4])),
            Key::Paste(text) => return self.insert(&text),
            Key::NewLine => return self.insert("\n"),
            Key::Left => self.at = self.before(),
            Key::Right => self.at = self.after(),
            Key::Home => self.at = self.line_start(),
            Key::End => self.at = self.line_end(),
            Key::Up => self.up(),
            Key::Down => self.down(),
            Key::Erase => self.remove(self.before(), self.at),
            Key::Delete | Key::EndOfInput => self.remove(self.at, self.after()),
            Key::KillToEnd => {
                let end = self.line_end();
                self.remove(self.at, if end == self.at { self.after() } else { end });
            }
            Key::KillToStart => self.remove(self.line_start(), self.at),
            Key::KillWord => self.remove(self.word_start(), self.at),
            Key::Enter | Key::Interrupt | Key::Redraw | Key::Escape => {}
        }
        Ok(())
    }

    /// As rows behind a mark: at most `most`, those around the cursor.
    pub(super) fn shown(&self, mark: &str, width: usize, most: usize) -> Shown {
        let (before, after) = (self.head(), self.tail());
        let all = format!("{}{}", spelled(before), spelled(after));
        let mut rows = by_character(mark, &all, width);
        // The cursor stands behind what is before it; a full row leaves it no column.
        let (mut row, mut column) = end_of(&by_character(mark, &spelled(before), width));
        if column >= width {
            (row, column) = (row + 1, columns(mark));
            if rows.len() <= row {
                rows.extend(hanging(Style::Plain, &" ".repeat(columns(mark)), "", width));
            }
        }
        let first = (row + 1).saturating_sub(most.max(1));
        let rows = rows.into_iter().skip(first).take(most.max(1)).collect();
        Shown { rows, cursor: (row - first, column) }
    }

    fn head(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    fn tail(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn insert(&mut self, text: &str) -> Result<(), Full> {
        if self.text.len() + text.len() > INPUT_MESSAGE {
            return Err(Full);
        }
        self.text.insert_str(self.at, text);
        self.at += text.len();
        Ok(())
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.drain(from..to);
        self.at = from;
    }

    /// The character before the cursor, with the marks upon it.
    fn before(&self) -> usize {
        let base = |(_, ch): &(usize, char)| ch.width() != Some(0);
        self.head().char_indices().rev().find(base).map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let base = |(_, ch): &(usize, char)| ch.width() != Some(0);
        self.tail().char_indices().skip(1).find(base).map_or(self.text.len(), |(at, _)| self.at + at)
    }

    fn line_start(&self) -> usize {
        self.head().rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.tail().find('\n').map_or(self.text.len(), |at| self.at + at)
    }

    fn word_start(&self) -> usize {
        let trimmed = self.head().trim_end();
        trimmed.char_indices().rev().find(|(_, ch)| ch.is_whitespace()).map_or(0, |(at, ch)| at + ch.len_utf8())
    }

    fn up(&mut self) {
        if let Some(end) = self.line_start().checked_sub(1) {
            let column = columns(self.text.get(end + 1..self.at).unwrap_or_default());
            let start = self.text.get(..end).and_then(|head| head.rfind('\n')).map_or(0, |at| at + 1);
            self.at = start + at_column(self.text.get(start..end).unwrap_or_default(), column);
            return;
        }
        let place = self.past.as_ref().map_or(self.history.len(), |(place, _)| *place);
        let Some(older) = place.checked_sub(1).and_then(|place| self.history.get(place)).cloned() else { return };
        let written = std::mem::replace(&mut self.text, older);
        let draft = self.past.take().map_or(written, |(_, draft)| draft);
        self.past = Some((place - 1, draft));
        self.at = self.text.len();
    }

    fn down(&mut self) {
        let end = self.line_end();
        if end < self.text.len() {
            let column = columns(self.text.get(self.line_start()..self.at).unwrap_or_default());
            let start = end + 1;
            let rest = self.text.get(start..).unwrap_or_default();
            self.at = start + at_column(rest.split('\n').next().unwrap_or_default(), column);
            return;
        }
        let Some((place, draft)) = self.past.take() else { return };
        self.text = match self.history.get(place + 1) {
            Some(newer) => {
                self.past = Some((place + 1, draft));
                newer.clone()
            }
            None => draft,
        };
        self.at = self.text.len();
    }
}

/// With what cannot be seen spelled out.
fn spelled(text: &str) -> String {
    clean(text, Care::Exact)
}

/// Rows cut at any character: the cursor moves as if nothing were wrapped.
fn by_character(mark: &str, text: &str, width: usize) -> Vec<Row> {
    let indent = " ".repeat(columns(mark));
    let room = width.saturating_sub(indent.len()).max(2);
    let mut lines = String::new();
    let mut used = 0;
    for ch in text.chars() {
        let wide = ch.width().unwrap_or(0);
        if ch == '\n' {
            used = 0;
        } else if used + wide > room {
            lines.push('\n');
            used = wide;
        } else {
            used += wide;
        }
        lines.push(ch);
    }
    hanging(Style::Plain, mark, &lines, indent.len() + room)
}

fn end_of(rows: &[Row]) -> (usize, usize) {
    (rows.len().saturating_sub(1), rows.last().map_or(0, Row::width))
}

/// The byte at which so many columns are used.
fn at_column(line: &str, column: usize) -> usize {
    let mut used = 0;
    for (at, ch) in line.char_indices() {
        used += ch.width().unwrap_or(0);
        if used > column {
            return at;
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        text.chars().for_each(|ch| editor.press(if ch == '\n' { Key::NewLine } else { Key::Char(ch) }).unwrap());
        editor
    }

    fn press(editor: &mut Editor, keys: &[Key]) {
        keys.iter().for_each(|key| editor.press(key.clone()).unwrap());
    }

    #[test]
    fn every_key_edits() {
        let mut editor = typed("one two three");
        press(&mut editor, &[Key::KillWord, Key::Home, Key::Delete, Key::Char('O'), Key::End, Key::Erase]);
        assert_eq!(editor.text, "One two");
        press(&mut editor, &[Key::Left, Key::Left, Key::Left, Key::KillToEnd]);
        assert_eq!(editor.text, "One ");
        press(&mut editor, &[Key::Right, Key::Left, Key::KillToStart, Key::Paste("a\nb".into())]);
        assert_eq!(editor.text, "a\nb ");
        let mut marks = typed("e\u{301}x漢");
        press(&mut marks, &[Key::Erase, Key::Left, Key::Erase]);
        assert_eq!(marks.text, "x", "a character goes with its marks");
    }

    #[test]
    fn up_and_down_go_through_lines_and_then_through_what_was_sent() {
        let mut editor = typed("first");
        assert_eq!(editor.take(), "first");
        "sec\nond".chars().for_each(|ch| press(&mut editor, &[if ch == '\n' { Key::NewLine } else { Key::Char(ch) }]));
        editor.take();
        press(&mut editor, &[Key::Char('x'), Key::Up]);
        assert_eq!((editor.text.as_str(), editor.at), ("sec\nond", 7));
        press(&mut editor, &[Key::Up]);
        assert_eq!(editor.at, 3, "the line above");
        press(&mut editor, &[Key::Up]);
        assert_eq!(editor.text, "first");
        press(&mut editor, &[Key::Up, Key::Down, Key::Down]);
        assert_eq!(editor.text, "x", "what was written is still there");
        press(&mut editor, &[Key::Down]);
        assert_eq!(editor.text, "x");
    }

    #[test]
    fn the_cursor_stands_where_the_next_character_comes() {
        for width in [8, 39, 79, 119] {
            let mut editor = Editor::default();
            for ch in "漢字 and some words\nthat 😀 are wrapped".repeat(8).chars() {
                press(&mut editor, &[if ch == '\n' { Key::NewLine } else { Key::Char(ch) }]);
                let shown = editor.shown("> ", width, 1000);
                let (row, column) = shown.cursor;
                assert!(shown.rows.iter().all(|row| row.width() <= width));
                assert!(column < width && row + 1 == shown.rows.len());
                assert_eq!(shown.rows[row].width(), column, "at the end");
            }
            let few = editor.shown("> ", width, 3);
            assert_eq!((few.rows.len(), few.cursor.0), (3, 2));
            press(&mut editor, &[Key::Home]);
        }
    }

    #[test]
    fn a_text_has_an_end() {
        let mut editor = Editor::default();
        editor.press(Key::Paste("x".repeat(INPUT_MESSAGE))).unwrap();
        assert_eq!(editor.press(Key::Char('y')), Err(Full));
        assert_eq!(editor.text.len(), INPUT_MESSAGE);
    }
}
