//! What the line terminal shows: the rows of the live region, and the bytes that bring it up to date. Does not know what
//! happened.

use super::LineTerminal;
use super::cards::Keys;
use super::editor::Shown;
use super::region::Picture;
use super::text::{Row, Style};
use crate::base::{WinSize, printable};
use crate::gateway::verbs::agent_state;

/// Own prompts that wait, shown by name.
const QUEUED: usize = 2;

/// Columns that are written to: the last one is left alone, because terminals differ in what follows it.
pub(super) fn width(size: WinSize) -> usize {
    usize::from(size.cols()).saturating_sub(1).max(1)
}

impl LineTerminal {
    /// Bytes that bring the terminal up to date.
    pub(crate) fn paint(&mut self) -> Vec<u8> {
        if self.draws_at.is_some() {
            return Vec::new();
        }
        let columns = usize::from(self.setup.size.cols());
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.begun, true) && self.setup.drives {
            // Pasted line ends are none of Enter.
            out.extend_from_slice(b"\x1b[?2004h");
        }
        if std::mem::take(&mut self.wiped) {
            self.region.changed();
            self.region.forget();
            out.extend_from_slice(b"\x1b[H\x1b[2J");
        }
        let fixed = self.transcript.take_rows();
        let picture = self.picture();
        out.extend(self.region.paint(&fixed, picture, columns));
        out
    }

    /// Bytes that leave the terminal as it was, below everything that was said.
    pub(crate) fn leave(&mut self) -> Vec<u8> {
        let columns = usize::from(self.setup.size.cols());
        // What was still being written is the last that was seen.
        let mut out = {
            let last = self.last_rows();
            self.region.paint(&last, Picture::default(), columns)
        };
        out.extend(self.region.clear(columns));
        out.extend_from_slice(LEAVE);
        out
    }

    fn last_rows(&mut self) -> Vec<Row> {
        let mut rows = self.transcript.take_rows();
        rows.extend(self.transcript.tail());
        rows
    }

    fn picture(&self) -> Picture {
        let (width, height) = (width(self.setup.size), usize::from(self.setup.size.rows()));
        let prompt = self.prompt(width, (height / 3).max(1));
        let mut rows = self.transcript.tail();
        let parted = |rows: &mut Vec<Row>| rows.push(Row::default());
        parted(&mut rows);
        rows.extend(self.card_rows(width));
        for (_, text) in self.mine.iter().take(QUEUED) {
            rows.push(Row::clipped(Style::Dim, &format!("next: {}", text.replace('\n', " ")), width));
        }
        rows.extend(self.notice.clone());
        rows.push(self.status(width));
        // One row stays free above: a region as high as the window could not be taken away whole.
        let room = height.saturating_sub(1 + prompt.rows.len()).max(1);
        rows.drain(..rows.len().saturating_sub(room));
        let above = rows.len();
        if prompt.rows.is_empty() {
            return Picture { cursor: (above.saturating_sub(1), 0), rows };
        }
        rows.extend(prompt.rows);
        Picture { rows, cursor: (above + prompt.cursor.0, prompt.cursor.1) }
    }

    fn card_rows(&self, width: usize) -> Vec<Row> {
        if self.transcript.history {
            return Vec::new();
        }
        let keys = match (self.editor.is_empty() && self.reason.is_none(), self.armed) {
            (true, true) => Keys::Count,
            (true, false) => Keys::NotYet,
            (false, _) => Keys::LineFirst,
        };
        if self.answering { self.cards.rows(Keys::Count, width) } else { self.cards.rows(keys, width) }
    }

    fn prompt(&self, width: usize, most: usize) -> Shown {
        if !self.setup.drives {
            return Shown { rows: Vec::new(), cursor: (0, 0) };
        }
        let mark = match (&self.reason, self.answering) {
            (Some(_), _) => "why not> ",
            (None, true) => "answer> ",
            (None, false) => "> ",
        };
        self.editor.shown(mark, width, most)
    }

    fn status(&self, width: usize) -> Row {
        let short = |text: &str| printable(text, 40);
        let mut parts = vec![short(&self.setup.name), agent_state(self.state).unwrap_or("ended").to_owned()];
        match self.cards.len() {
            0 => {}
            1 => parts.push("1 request".to_owned()),
            more => parts.push(format!("{more} requests")),
        }
        if !self.queued.is_empty() {
            parts.push(format!("{} queued", self.queued.len()));
        }
        let look = if self.setup.drives { "" } else { "only looking, " };
        if self.setup.leave.is_empty() {
            parts.push(format!("{look}Ctrl-D leaves"));
        } else {
            parts.push(format!("{look}{} leaves", self.setup.leave));
        }
        // Last, because they are what a narrow window can do without.
        parts.extend([&self.mode, &self.model].iter().filter(|text| !text.is_empty()).map(|text| short(text)));
        Row::clipped(Style::Bar, &format!(" {} ", parts.join(" | ")), width)
    }
}

/// Paste as it was, the pen plain, the cursor seen.
pub(crate) const LEAVE: &[u8] = b"\x1b[?2026l\x1b[?2004l\x1b[m\x1b[?25h";
