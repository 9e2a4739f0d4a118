//! Whether two engines are in the same state, as far as any later output could show.

use std::fmt::Debug;

use alacritty_terminal::grid::{Cursor, Dimensions, Grid, Row};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, CellExtra, Flags, Hyperlink};

use super::super::recorder::Recorder;

/// How exact.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exactness {
    /// Everything.
    Full,
    /// What a repaint carries over: docs/screen-limits.md names the rest.
    Repaint,
}

/// The first difference.
pub(super) fn difference(one: &Recorder, other: &Recorder, exactness: Exactness) -> Result<(), String> {
    let (term, rival) = (&one.term, &other.term);
    same("mode", term.mode(), rival.mode())?;
    same("region", one.region, other.region)?;
    same("tabs", &one.tabs, &other.tabs)?;
    same("active charset", one.active_charset, other.active_charset)?;
    same("title", &one.title, &other.title)?;
    same("titles", &one.titles, &other.titles)?;
    same("keys", &one.keys, &other.keys)?;
    same("other keys", &one.other_keys, &other.other_keys)?;
    same("cursor style", one.cursor_style, other.cursor_style)?;
    same("engine's cursor style", term.cursor_style(), rival.cursor_style())?;
    same("modifyOtherKeys", one.modify_other_keys, other.modify_other_keys)?;
    same("private modes", &one.private_modes, &other.private_modes)?;
    same("synchronized", one.synchronized, other.synchronized)?;
    for index in 0..269 {
        same("colour", term.colors()[index], rival.colors()[index])?;
    }
    grids("active", term.grid(), rival.grid(), exactness)?;
    match (&one.primary, &other.primary) {
        (Some(one), Some(other)) => grids("primary", one, other, exactness),
        (None, None) => Ok(()),
        _ => Err("one has the primary screen put aside".to_owned()),
    }
}

fn same<T: PartialEq + Debug>(what: &str, one: T, other: T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one:?} against {other:?}")) }
}

fn grids(name: &str, one: &Grid<Cell>, other: &Grid<Cell>, exactness: Exactness) -> Result<(), String> {
    let what = |part: &str| format!("{name} {part}");
    let cursor = |cursor: &Cursor<Cell>| {
        let mut cursor = cursor.clone();
        if exactness == Exactness::Repaint {
            forget_number(&mut cursor.template);
        }
        cursor
    };
    same(&what("cursor"), cursor(&one.cursor), cursor(&other.cursor))?;
    same(&what("saved cursor"), cursor(&one.saved_cursor), cursor(&other.saved_cursor))?;
    same(&what("lines"), one.total_lines(), other.total_lines())?;
    for line in -(one.history_size() as i32)..one.screen_lines() as i32 {
        for column in 0..one.columns() {
            let (left, right) = match exactness {
                Exactness::Full => (one[Line(line)][Column(column)].clone(), other[Line(line)][Column(column)].clone()),
                Exactness::Repaint => (carried(one, line, column), carried(other, line, column)),
            };
            if left != right {
                return Err(format!("{name} row {line} column {column}: {left:?} against {right:?}"));
            }
        }
    }
    Ok(())
}

/// The cell as a repaint can show it.
fn carried(grid: &Grid<Cell>, line: i32, column: usize) -> Cell {
    let mut cell = grid[Line(line)][Column(column)].clone();
    if cell.c == '\t' {
        cell.c = ' ';
    }
    forget_number(&mut cell);
    if cell.extra.as_deref() == Some(&CellExtra::default()) {
        cell.extra = None;
    }
    cell
}

/// A link without an id was numbered by each recorder for itself.
fn forget_number(cell: &mut Cell) {
    if let Some(link) = cell.hyperlink().filter(|link| link.id().starts_with("portcullis-")) {
        cell.set_hyperlink(Some(Hyperlink::new(Some("numbered"), link.uri().to_owned())));
    }
}

/// Whether the state is one that docs/screen-limits.md names: a cursor outside the region although origin mode is on, one that waits to wrap on a row
/// that has wrapped, a last row that has wrapped, a wrap's blank that was moved away from the margin, halves of wide characters.
pub(super) fn is_out_of_reach(recorder: &Recorder) -> bool {
    let row = recorder.term.grid().cursor.point.line.0 as usize;
    let origin = recorder.term.mode().contains(TermMode::ORIGIN);
    let outside = origin && !(recorder.region.0..recorder.region.1).contains(&row);
    outside || [Some(recorder.term.grid()), recorder.primary.as_ref()].into_iter().flatten().any(is_grid_out_of_reach)
}

fn is_grid_out_of_reach(grid: &Grid<Cell>) -> bool {
    let last = Column(grid.columns() - 1);
    let wraps = |line: Line| grid[line][last].flags.contains(Flags::WRAPLINE);
    let waits = |cursor: &Cursor<Cell>| cursor.input_needs_wrap && (grid.columns() == 2 || wraps(cursor.point.line));
    let odd = |line: Line| (0..grid.columns()).any(|column| is_odd(&grid[line], column, grid.columns()));
    let rows = grid.screen_lines() as i32;
    waits(&grid.cursor) || waits(&grid.saved_cursor) || wraps(Line(rows - 1)) || (0..rows).map(Line).any(odd)
}

/// A flag that stands where printing alone cannot put it.
fn is_odd(row: &Row<Cell>, column: usize, columns: usize) -> bool {
    let flags = row[Column(column)].flags;
    let at_margin = column + 1 == columns && flags.contains(Flags::WRAPLINE);
    let stray = flags.contains(Flags::LEADING_WIDE_CHAR_SPACER) && !at_margin;
    stray || flags.contains(Flags::WRAPLINE) && column + 1 != columns || is_half(row, column, columns)
}

/// Half of a wide character whose other half was erased or cut off.
fn is_half(row: &Row<Cell>, column: usize, columns: usize) -> bool {
    let pair = |left: usize| {
        left + 1 < columns
            && row[Column(left)].flags.contains(Flags::WIDE_CHAR)
            && row[Column(left + 1)].flags.contains(Flags::WIDE_CHAR_SPACER)
    };
    let whole = pair(column) || column > 0 && pair(column - 1);
    !whole && row[Column(column)].flags.intersects(Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER)
}
