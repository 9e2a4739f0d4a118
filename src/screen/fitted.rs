//! The screen for a window of another size: cropped around the cursor, changed rows only, one status line, the title. Does not know how often.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;
use alacritty_terminal::term::TermMode;
use unicode_width::UnicodeWidthChar;

use super::Screen;
use super::paint::Painter;
use crate::base::{WinSize, printable};

/// One viewer's window onto a screen, with what it shows already.
pub struct FittedView {
    window: WinSize,
    top: usize,
    left: usize,
    rows: Vec<Vec<u8>>,
    status: Vec<u8>,
    modes: Vec<u8>,
    cursor: Vec<u8>,
    title: String,
}

impl FittedView {
    /// A view for that window; its last row is the status line.
    pub fn new(window: WinSize) -> Self {
        let (rows, status, modes, cursor, title) = Default::default();
        Self { window, top: 0, left: 0, rows, status, modes, cursor, title }
    }

    /// What turns the viewer's terminal from the last frame into this one, on its alternate screen; None when nothing changed. The first frame, and
    /// each with `full`, repaints everything and undoes the modes of raw output. `status` is cut to the window.
    pub fn frame(&mut self, screen: &Screen, status: &str, full: bool) -> Option<Vec<u8>> {
        let full = full || self.rows.is_empty();
        self.follow(screen);
        let mut body = Vec::new();
        let rows: Vec<_> = (0..self.text_rows()).map(|row| self.row(screen, row)).collect();
        for (row, now) in rows.iter().enumerate() {
            if full || self.rows.get(row) != Some(now) {
                body.extend(at(row, 0));
                body.extend_from_slice(now);
            }
        }
        self.rows = rows;
        let line = self.status_line(status);
        replace(&mut self.status, line, full, &mut body);
        let modes = input_modes(screen);
        replace(&mut self.modes, modes, full, &mut body);
        self.retitle(screen, full, &mut body);
        let cursor = self.cursor(screen);
        let moved = cursor != self.cursor;
        if body.is_empty() && !moved {
            return None;
        }
        self.cursor = cursor;
        let mut frame = b"\x1b[?2026h".to_vec();
        if full {
            frame.extend_from_slice(FULL);
        }
        frame.extend_from_slice(b"\x1b[?25l");
        frame.extend(body);
        frame.extend_from_slice(&self.cursor);
        frame.extend_from_slice(b"\x1b[?2026l");
        Some(frame)
    }

    /// The program's title becomes that of the viewer's terminal; one that never was set leaves the terminal's own.
    fn retitle(&mut self, screen: &Screen, full: bool, body: &mut Vec<u8>) {
        // Without control characters, and cut, as the engine keeps it.
        let title = &screen.recorder().title;
        if *title != self.title || (full && !title.is_empty()) {
            body.extend_from_slice(format!("\x1b]2;{title}\x1b\\").as_bytes());
            self.title.clone_from(title);
        }
    }

    fn text_rows(&self) -> usize {
        usize::from(self.window.rows()) - 1
    }

    fn columns(&self) -> usize {
        usize::from(self.window.cols())
    }

    /// Moves the crop as little as shows the cursor; at first it begins at the screen's first row.
    fn follow(&mut self, screen: &Screen) {
        let grid = screen.recorder().term.grid();
        let cursor = grid.cursor.point;
        let row = cursor.line.0.max(0) as usize;
        let hidden_rows = grid.screen_lines().saturating_sub(self.text_rows());
        self.top = self.top.clamp((row + 1).saturating_sub(self.text_rows()), row).min(hidden_rows);
        let column = cursor.column.0;
        let hidden_columns = grid.columns().saturating_sub(self.columns());
        // A quarter of the window ahead, so that typing does not move it with each character.
        let ahead = if column >= self.left + self.columns() { self.columns() / 4 } else { 0 };
        let behind = if column < self.left { self.columns() / 4 } else { 0 };
        let least = (column + 1 + ahead).saturating_sub(self.columns());
        let most = column.saturating_sub(behind);
        self.left = self.left.clamp(least.min(most), most).min(hidden_columns);
    }

    fn row(&self, screen: &Screen, row: usize) -> Vec<u8> {
        let grid = screen.recorder().term.grid();
        let line = self.top + row;
        let mut painter = Painter::default();
        if line < grid.screen_lines() {
            let right = (self.left + self.columns()).min(grid.columns());
            painter.crop(&grid[Line(line as i32)], self.left, right, self.columns());
        } else {
            painter.push(b"\x1b[K");
        }
        painter.out
    }

    fn status_line(&self, status: &str) -> Vec<u8> {
        let mut line = at(self.text_rows(), 0);
        line.extend_from_slice(b"\x1b[7m");
        let mut left = self.columns();
        for c in printable(status, left).chars() {
            let width = c.width().unwrap_or(0);
            if width > left {
                break;
            }
            left -= width;
            line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        line.resize(line.len() + left, b' ');
        line.extend_from_slice(b"\x1b[m");
        line
    }

    fn cursor(&self, screen: &Screen) -> Vec<u8> {
        let recorder = screen.recorder();
        let point = recorder.term.grid().cursor.point;
        let row = (point.line.0.max(0) as usize).checked_sub(self.top).filter(|row| *row < self.text_rows());
        let column = point.column.0.checked_sub(self.left).filter(|column| *column < self.columns());
        match (row, column) {
            (Some(row), Some(column)) if recorder.term.mode().contains(TermMode::SHOW_CURSOR) => {
                let mut bytes = at(row, column);
                bytes.extend_from_slice(b"\x1b[?25h");
                bytes
            }
            _ => Vec::new(),
        }
    }
}

/// The alternate screen, blank, and nothing left of raw output that would disturb it: no mouse, no region, no insert mode, no origin.
const FULL: &[u8] = b"\x1b[?1049h\x1b[!p\x1b[r\x1b[?6l\x1b[4l\x1b[20l\x1b[?7h\x1b(B\x0f\x1b]8;;\x1b\\\x1b[m\
    \x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?1007l\x1b[2J";

/// What decides which bytes the viewer's keys send.
fn input_modes(screen: &Screen) -> Vec<u8> {
    let recorder = screen.recorder();
    let mode = recorder.term.mode();
    let switch = |flag| if mode.contains(flag) { 'h' } else { 'l' };
    format!(
        "\x1b[?1{}\x1b[?2004{}{}\x1b[={};1u\x1b[>4;{}m",
        switch(TermMode::APP_CURSOR),
        switch(TermMode::BRACKETED_PASTE),
        if mode.contains(TermMode::APP_KEYPAD) { "\x1b=" } else { "\x1b>" },
        recorder.key_flags().bits(),
        recorder.modify_other_keys,
    )
    .into_bytes()
}

fn at(row: usize, column: usize) -> Vec<u8> {
    format!("\x1b[{};{}H", row + 1, column + 1).into_bytes()
}

fn replace(old: &mut Vec<u8>, new: Vec<u8>, full: bool, body: &mut Vec<u8>) {
    if full || *old != new {
        body.extend_from_slice(&new);
        *old = new;
    }
}
