//! Cells to bytes: pens, characters, rows. One painter for snapshots, history and cropped frames. Does not know which cells.

use std::fmt::Write as _;

use alacritty_terminal::grid::{Dimensions, Grid, Row};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags, Hyperlink};
use alacritty_terminal::vte::ansi::{Color, NamedColor};
use unicode_width::UnicodeWidthChar;

/// Attributes that SGR sets; the other flags say where a character lies.
const ATTRIBUTES: Flags = Flags::INVERSE
    .union(Flags::BOLD)
    .union(Flags::ITALIC)
    .union(Flags::DIM)
    .union(Flags::HIDDEN)
    .union(Flags::STRIKEOUT)
    .union(Flags::ALL_UNDERLINES);

const FOREGROUND: Color = Color::Named(NamedColor::Foreground);
const BACKGROUND: Color = Color::Named(NamedColor::Background);

/// What the viewer's terminal writes with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pen {
    foreground: Color,
    background: Color,
    underline: Option<Color>,
    flags: Flags,
}

impl Default for Pen {
    fn default() -> Self {
        Self { foreground: FOREGROUND, background: BACKGROUND, underline: None, flags: Flags::empty() }
    }
}

impl Pen {
    fn of(cell: &Cell) -> Self {
        Self {
            foreground: cell.fg,
            background: cell.bg,
            underline: cell.underline_color(),
            flags: cell.flags.intersection(ATTRIBUTES),
        }
    }
}

/// Writes cells, sending only what changes between them.
#[derive(Default)]
pub(super) struct Painter {
    pub(super) out: Vec<u8>,
    pen: Pen,
    link: Option<Hyperlink>,
    /// What was printed last, if terminals disagree on how far it moved the cursor.
    doubt: Option<Doubt>,
}

/// The part of a cell that stands for the whole: how it must be printed.
enum Glyph {
    /// Prints in one column.
    Narrow,
    /// Prints in two, its right half follows.
    Wide,
    /// A half whose other half is gone, shown blank.
    Orphan,
    /// The right half of the cell before.
    Covered,
}

impl Painter {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    /// Moves the cursor; zero-based, as the viewer's terminal counts (origin mode).
    pub(super) fn place(&mut self, row: usize, column: usize) {
        self.doubt = None;
        self.text(&format!("\x1b[{};{}H", row + 1, column + 1));
    }

    /// The pen is known to be plain now, whatever it was.
    pub(super) fn reset_pen(&mut self) {
        self.push(b"\x1b[m\x1b]8;;\x1b\\");
        self.pen = Pen::default();
        self.link = None;
    }

    /// Makes the pen plain if it is not.
    pub(super) fn plain_pen(&mut self) {
        self.take_pen(&Cell::default());
    }

    /// Makes the pen that of this cell.
    pub(super) fn take_pen(&mut self, cell: &Cell) {
        let pen = Pen::of(cell);
        if pen != self.pen {
            let parameters = parameters(Some(&self.pen), &pen);
            self.text(&format!("\x1b[{parameters}m"));
            self.pen = pen;
        }
        let link = cell.hyperlink();
        if link != self.link {
            match &link {
                Some(link) => self.text(&format!("\x1b]8;id={};{}\x1b\\", link.id(), link.uri())),
                None => self.push(b"\x1b]8;;\x1b\\"),
            }
            self.link = link;
        }
    }

    /// All visible rows from the top left corner on, as text that wraps where it wrapped.
    pub(super) fn screen(&mut self, grid: &Grid<Cell>) {
        let rows = grid.screen_lines() as i32;
        for row in 0..rows {
            self.flow(grid, Line(row), row > 0, row + 1 < rows);
        }
        self.plain_pen();
    }

    /// One row of flowing text. `joins`: the row above may have wrapped into it; `ends`: a line end follows unless it wraps itself.
    pub(super) fn flow(&mut self, grid: &Grid<Cell>, line: Line, joins: bool, ends: bool) {
        let row = &grid[line];
        let columns = grid.columns();
        let joined = joins && wraps(&grid[line - 1i32], columns);
        let wrapped = ends && wraps(row, columns);
        let filled = if wrapped { columns } else { occupied(row, columns).max(usize::from(joined)) };
        for column in 0..filled {
            self.settle_column(&row[Column(column)], column);
            if wrapped && column + 1 == columns && self.leading_spacer(&row[Column(column)], &grid[line + 1i32]) {
                break;
            }
            self.cell(row, column, columns);
            if joined && column == 0 && columns > 2 && self.pen.background != BACKGROUND {
                // The terminal may have filled the new row with the pen's colour.
                self.plain_pen();
                self.push(b"\x1b[K");
            }
        }
        self.doubt = None;
        if ends && !wrapped {
            self.plain_pen();
            self.push(b"\r\n");
        }
    }

    /// The blank that a wide character leaves in the last column when it does not fit: printing the character makes it again. When that character
    /// is gone, another one is printed for it and erased.
    fn leading_spacer(&mut self, cell: &Cell, below: &Row<Cell>) -> bool {
        if !cell.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER) {
            return false;
        }
        let next = &below[Column(0)];
        let remakes = next.flags.contains(Flags::WIDE_CHAR)
            && below[Column(1)].flags.contains(Flags::WIDE_CHAR_SPACER)
            && Pen::of(next) == Pen::of(cell)
            && next.hyperlink() == cell.hyperlink();
        if !remakes {
            self.take_pen(cell);
            self.text("\u{3000}");
            self.plain_pen();
            self.push(b"\r\x1b[K");
        }
        true
    }

    /// The cell at `column` of a row that is shown up to `end`; halves cut off there are blank.
    pub(super) fn cell(&mut self, row: &Row<Cell>, column: usize, end: usize) {
        let cell = &row[Column(column)];
        match glyph(row, column, end) {
            Glyph::Covered => {}
            Glyph::Orphan => {
                self.take_pen(cell);
                self.push(b" ");
            }
            Glyph::Narrow | Glyph::Wide => {
                self.take_pen(cell);
                let c = if cell.c == '\t' { ' ' } else { cell.c };
                let mut buffer = [0; 4];
                self.push(c.encode_utf8(&mut buffer).as_bytes());
                for mark in cell.zerowidth().into_iter().flatten() {
                    self.push(mark.encode_utf8(&mut buffer).as_bytes());
                }
                self.doubt = Doubt::about(cell);
            }
        }
    }

    /// Moves to the column that comes next unless every terminal is there already. Neighbours in a line drawing are one run, told once at its end.
    fn settle_column(&mut self, next: &Cell, column: usize) {
        let Some(doubt) = self.doubt else { return };
        if !next.flags.contains(Flags::WIDE_CHAR_SPACER) && (doubt, Doubt::about(next)) != LINE_GOES_ON {
            self.column(column);
        }
    }

    fn column(&mut self, column: usize) {
        self.text(&format!("\x1b[{}G", column + 1));
        self.doubt = None;
    }

    /// The columns from `left` up to `right` into a window of `width` columns whose row the cursor begins; a wide character is shown whole or not
    /// at all, and what remains of the window's row is erased.
    pub(super) fn crop(&mut self, row: &Row<Cell>, left: usize, right: usize, width: usize) {
        let filled = occupied(row, right).max(left);
        for column in left..filled {
            self.settle_column(&row[Column(column)], column - left);
            let is_cut = column == left && matches!(glyph(row, column, right), Glyph::Covered);
            if is_cut {
                self.take_pen(&row[Column(column)]);
                self.push(b" ");
            } else {
                self.cell(row, column, right);
            }
        }
        self.plain_pen();
        // In a full row the cursor waits in the last column, where erasing would take the last character.
        if filled - left < width {
            if self.doubt.is_some() {
                self.column(filled - left);
            }
            self.push(b"\x1b[K");
        }
        self.doubt = None;
    }
}

/// A character whose width is a matter of opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Lines and blocks: ambiguous, but the same for all of them.
    Line,
    /// Emoji, what a selector or joiner changes, other ambiguous and private characters.
    Other,
}

const LINE_GOES_ON: (Doubt, Option<Doubt>) = (Doubt::Line, Some(Doubt::Line));

impl Doubt {
    fn about(cell: &Cell) -> Option<Self> {
        let marks = cell.zerowidth().unwrap_or_default();
        match cell.c {
            // Accents stay where they are put; what makes a digit a picture does not.
            ' '..='~' => marks.iter().any(|mark| !('\u{300}'..='\u{36f}').contains(mark)).then_some(Self::Other),
            '\u{2500}'..='\u{259f}' => Some(Self::Line),
            // Symbols and pictures, which each version of Unicode widens; private use, which fonts do.
            '\u{2300}'..='\u{2bff}' | '\u{e000}'..='\u{f8ff}' | '\u{1f000}'..='\u{10ffff}' => Some(Self::Other),
            c if c.width() != c.width_cjk() || !marks.is_empty() => Some(Self::Other),
            _ => None,
        }
    }
}

/// The row goes on in the next one.
pub(super) fn wraps(row: &Row<Cell>, columns: usize) -> bool {
    row[Column(columns - 1)].flags.contains(Flags::WRAPLINE)
}

/// Columns up to the last one that differs from a blank cell.
fn occupied(row: &Row<Cell>, columns: usize) -> usize {
    (0..columns).rev().find(|column| !is_blank(&row[Column(*column)])).map_or(0, |column| column + 1)
}

fn is_blank(cell: &Cell) -> bool {
    matches!(cell.c, ' ' | '\t')
        && cell.fg == FOREGROUND
        && cell.bg == BACKGROUND
        && cell.extra.is_none()
        && !cell.flags.intersects(ATTRIBUTES | Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER)
}

fn glyph(row: &Row<Cell>, column: usize, end: usize) -> Glyph {
    let flags = |column: usize| row[Column(column)].flags;
    let is_pair = |left: usize| {
        left + 1 < end && flags(left).contains(Flags::WIDE_CHAR) && flags(left + 1).contains(Flags::WIDE_CHAR_SPACER)
    };
    if is_pair(column) {
        Glyph::Wide
    } else if column > 0 && is_pair(column - 1) {
        Glyph::Covered
    } else if flags(column).intersects(Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER) {
        Glyph::Orphan
    } else {
        Glyph::Narrow
    }
}

/// The parameters of the SGR that makes the pen of this cell out of any other.
pub(super) fn pen_parameters(cell: &Cell) -> String {
    parameters(None, &Pen::of(cell))
}

/// The SGR parameters that turn one pen into another: colours alone where the attributes stay, otherwise from a reset.
fn parameters(from: Option<&Pen>, to: &Pen) -> String {
    let mut codes = String::new();
    let stays = from.filter(|from| from.flags == to.flags && *to != Pen::default());
    let from = stays.cloned().unwrap_or_default();
    if stays.is_none() {
        codes.push_str("0;");
        for (flag, code) in [
            (Flags::BOLD, "1;"),
            (Flags::DIM, "2;"),
            (Flags::ITALIC, "3;"),
            (Flags::UNDERLINE, "4;"),
            (Flags::DOUBLE_UNDERLINE, "4:2;"),
            (Flags::UNDERCURL, "4:3;"),
            (Flags::DOTTED_UNDERLINE, "4:4;"),
            (Flags::DASHED_UNDERLINE, "4:5;"),
            (Flags::INVERSE, "7;"),
            (Flags::HIDDEN, "8;"),
            (Flags::STRIKEOUT, "9;"),
        ] {
            if to.flags.contains(flag) {
                codes.push_str(code);
            }
        }
    }
    if from.foreground != to.foreground {
        codes.push_str(&color(to.foreground, 30));
    }
    if from.background != to.background {
        codes.push_str(&color(to.background, 40));
    }
    if from.underline != to.underline {
        match to.underline {
            // Colons: a terminal that does not know underline colours must not read their numbers as attributes.
            Some(Color::Spec(rgb)) => {
                let _ = write!(codes, "58:2::{}:{}:{};", rgb.r, rgb.g, rgb.b);
            }
            Some(Color::Indexed(index)) => {
                let _ = write!(codes, "58:5:{index};");
            }
            Some(Color::Named(_)) | None => codes.push_str("59;"),
        }
    }
    codes.truncate(codes.trim_end_matches(';').len());
    codes
}

/// A colour's SGR parameters; `base` is 30 for the foreground, 40 for the background.
fn color(color: Color, base: u16) -> String {
    match color {
        Color::Spec(rgb) => format!("{};2;{};{};{};", base + 8, rgb.r, rgb.g, rgb.b),
        Color::Indexed(index) => format!("{};5;{index};", base + 8),
        Color::Named(named) => match named as u16 {
            plain @ 0..=7 => format!("{};", base + plain),
            bright @ 8..=15 => format!("{};", base + 60 + bright - 8),
            _ => format!("{};", base + 9),
        },
    }
}
