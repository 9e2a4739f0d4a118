//! The screen as plain text, for `show`, previews and search. Does not know attributes.

use alacritty_terminal::grid::{Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};

/// One line for each row; blanks at the end of rows and blank rows at the end are left out.
pub(super) fn text(grid: &Grid<Cell>) -> String {
    let rows = (0..grid.screen_lines() as i32).map(|row| row_text(grid, Line(row)));
    let mut text = rows.collect::<Vec<_>>().join("\n");
    text.truncate(text.trim_end().len());
    text
}

fn row_text(grid: &Grid<Cell>, line: Line) -> String {
    let mut text = String::with_capacity(grid.columns());
    for column in (0..grid.columns()).map(Column) {
        let cell = &grid[line][column];
        if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
            continue;
        }
        text.push(if cell.c == '\t' { ' ' } else { cell.c });
        text.extend(cell.zerowidth().into_iter().flatten());
    }
    text.truncate(text.trim_end().len());
    text
}
