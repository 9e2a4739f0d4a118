//! The few rows at the bottom that are drawn over: taken away, drawn again below what stands for good. Stays on the
//! ordinary screen. Does not know what the rows say.

use super::text::Row;

/// What is on the terminal.
#[derive(Debug, Default)]
pub(super) struct Region {
    drawn: Option<Picture>,
    /// The terminal may show it otherwise than it was drawn.
    changed: bool,
}

/// Rows, the last of them without a line end, and where the cursor is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) rows: Vec<Row>,
    pub(super) cursor: (usize, usize),
}

impl Region {
    /// Bytes that put `fixed` above and the picture in place of the last one; none when nothing changes. The terminal has
    /// `columns` now, and wrapped anew what was drawn when it had more.
    pub(super) fn paint(&mut self, fixed: &[Row], picture: Picture, columns: usize) -> Vec<u8> {
        if !std::mem::take(&mut self.changed) && fixed.is_empty() && self.drawn.as_ref() == Some(&picture) {
            return Vec::new();
        }
        // In one step, for terminals that can.
        let mut out = String::from("\x1b[?2026h");
        self.take_away(&mut out, columns);
        for row in fixed {
            row.paint(&mut out);
            out.push_str("\r\n");
        }
        for (number, row) in picture.rows.iter().enumerate() {
            if number > 0 {
                out.push_str("\r\n");
            }
            row.paint(&mut out);
        }
        let up = picture.rows.len().saturating_sub(1).saturating_sub(picture.cursor.0);
        if up > 0 {
            out.push_str(&format!("\x1b[{up}A"));
        }
        out.push('\r');
        if picture.cursor.1 > 0 {
            out.push_str(&format!("\x1b[{}C", picture.cursor.1));
        }
        out.push_str("\x1b[?2026l");
        self.drawn = Some(picture);
        out.into_bytes()
    }

    /// Bytes that take it away.
    pub(super) fn clear(&mut self, columns: usize) -> Vec<u8> {
        let mut out = String::new();
        self.take_away(&mut out, columns);
        out.into_bytes()
    }

    /// The window has another size: it is drawn again.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// The screen is blank.
    pub(super) fn forget(&mut self) {
        self.drawn = None;
    }

    fn take_away(&mut self, out: &mut String, columns: usize) {
        let Some(Picture { rows, cursor }) = self.drawn.take() else { return };
        let columns = columns.max(1);
        let above = rows.iter().take(cursor.0).map(|row| row.width().div_ceil(columns).max(1)).sum::<usize>();
        let up = above + cursor.1 / columns;
        out.push('\r');
        if up > 0 {
            out.push_str(&format!("\x1b[{up}A"));
        }
        out.push_str("\x1b[J");
    }
}
