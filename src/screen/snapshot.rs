//! Repainting a screen on another terminal of the same size, so that it looks the same now and after whatever is printed next. Does not change the
//! screen. What cannot be carried over: docs/screen-limits.md.

use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::Column;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{CharsetIndex, KeyboardModes, StandardCharset};

use super::paint::Painter;
use super::recorder::{Recorder, default_tabs};

/// Where the painting happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onto {
    /// Somebody's terminal, whose own screen is pushed up into its scrollback first.
    Fresh,
    /// A terminal that has shown this session already; nothing of it is kept.
    Used,
}

const CHARSETS: [(CharsetIndex, u8); 4] =
    [(CharsetIndex::G0, b'('), (CharsetIndex::G1, b')'), (CharsetIndex::G2, b'*'), (CharsetIndex::G3, b'+')];

/// Paints the recorded terminal.
pub(super) fn snapshot(recorder: &Recorder, onto: Onto) -> Vec<u8> {
    let mut painter = Painter::default();
    let active = recorder.term.grid();
    begin(&mut painter, recorder, onto);
    match &recorder.primary {
        None => {
            alternate_keys(&mut painter, recorder, onto);
            keys(&mut painter, &recorder.keys);
            painter.screen(active);
        }
        Some(primary) => {
            keys(&mut painter, &recorder.other_keys);
            painter.screen(primary);
            // Entering copies the cursor, and returning brings it back.
            cursor(&mut painter, primary, &primary.cursor, 0);
            painter.push(b"\x1b[?1049h");
            plain(&mut painter);
            painter.push(b"\x1b[H\x1b[2J");
            if onto == Onto::Used {
                painter.push(b"\x1b[<99u");
            }
            keys(&mut painter, &recorder.keys);
            painter.screen(active);
        }
    }
    cursor(&mut painter, active, &active.saved_cursor, 0);
    painter.push(b"\x1b7");
    plain(&mut painter);
    palette(&mut painter, recorder, onto);
    titles(&mut painter, recorder, onto);
    tab_stops(&mut painter, recorder);
    finish(&mut painter, recorder, onto);
    painter.out
}

/// The primary screen, blank, in a known state.
fn begin(painter: &mut Painter, recorder: &Recorder, onto: Onto) {
    painter.push(b"\x1b[?2026l\x1b[?1049l\x1b[!p\x1b[r\x1b[?6l\x1b[?7h\x1b[4l\x1b[20l");
    plain(painter);
    if onto == Onto::Fresh {
        // Line feeds at the bottom move what is there into the viewer's scrollback; erasing would lose it.
        painter.place(recorder.term.screen_lines() - 1, 0);
        painter.out.resize(painter.out.len() + recorder.term.screen_lines(), b'\n');
    }
    painter.push(b"\x1b[H\x1b[J");
    if onto == Onto::Used {
        painter.push(b"\x1b[<99u");
    }
}

/// Pen and character sets as after a reset.
fn plain(painter: &mut Painter) {
    painter.reset_pen();
    painter.push(b"\x1b(B\x1b)B\x1b*B\x1b+B\x0f");
}

/// The other screen's keyboard stack can only be filled there.
fn alternate_keys(painter: &mut Painter, recorder: &Recorder, onto: Onto) {
    if onto == Onto::Used || !recorder.other_keys.is_empty() {
        painter.push(b"\x1b[?1049h\x1b[<99u");
        keys(painter, &recorder.other_keys);
        painter.push(b"\x1b[?1049l\x1b[H");
    }
}

fn keys(painter: &mut Painter, stack: &[KeyboardModes]) {
    for flags in stack {
        painter.text(&format!("\x1b[>{}u", flags.bits()));
    }
}

/// Position, pending wrap, pen and character sets. `top` is what row numbers count from.
fn cursor(painter: &mut Painter, grid: &Grid<Cell>, cursor: &Cursor<Cell>, top: usize) {
    let (line, column) = (cursor.point.line, cursor.point.column.0);
    let row = (line.0.max(0) as usize).saturating_sub(top);
    if cursor.input_needs_wrap {
        // Only printing in the last column brings about the wait.
        let cells = &grid[line];
        let first = column - usize::from(column > 0 && cells[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER));
        painter.place(row, first);
        for column in first..=column {
            painter.cell(cells, column, grid.columns());
        }
    } else {
        painter.place(row, column);
    }
    painter.take_pen(&cursor.template);
    for (index, letter) in CHARSETS {
        if cursor.charsets[index] == StandardCharset::SpecialCharacterAndLineDrawing {
            painter.push(&[0x1b, letter, b'0']);
        }
    }
}

fn palette(painter: &mut Painter, recorder: &Recorder, onto: Onto) {
    if onto == Onto::Used {
        painter.push(b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\");
    }
    let colors = recorder.term.colors();
    for (index, prefix) in (0..256).map(|index| (index, format!("4;{index}"))).chain([
        (256, "10".to_owned()),
        (257, "11".to_owned()),
        (258, "12".to_owned()),
    ]) {
        if let Some(rgb) = colors[index] {
            painter.text(&format!("\x1b]{prefix};rgb:{:02x}/{:02x}/{:02x}\x1b\\", rgb.r, rgb.g, rgb.b));
        }
    }
}

fn titles(painter: &mut Painter, recorder: &Recorder, onto: Onto) {
    for title in &recorder.titles {
        painter.text(&format!("\x1b]2;{title}\x1b\\\x1b[22;2t"));
    }
    if !recorder.title.is_empty() || !recorder.titles.is_empty() || onto == Onto::Used {
        painter.text(&format!("\x1b]2;{}\x1b\\", recorder.title));
    }
}

fn tab_stops(painter: &mut Painter, recorder: &Recorder) {
    if recorder.tabs == default_tabs(recorder.tabs.len()) {
        painter.push(b"\x1b[?5W");
        return;
    }
    painter.push(b"\x1b[3g");
    for column in (0..recorder.tabs.len()).filter(|column| recorder.tabs[*column]) {
        painter.place(0, column);
        painter.push(b"\x1bH");
    }
}

/// Region, origin, cursor and modes, in the order in which none disturbs another.
fn finish(painter: &mut Painter, recorder: &Recorder, onto: Onto) {
    let mode = *recorder.term.mode();
    let grid = recorder.term.grid();
    let (start, end) = recorder.region;
    if !recorder.region_is_full() {
        // A region of one row (or none) exists only at the bottom, and is asked for with a bottom below the screen.
        painter.text(&format!("\x1b[{};{}r", start + 1, end.max(start + 2)));
    }
    let origin = mode.contains(TermMode::ORIGIN);
    if origin {
        painter.push(b"\x1b[?6h");
    }
    cursor(painter, grid, &grid.cursor, if origin { start } else { 0 });
    if recorder.active_charset == CharsetIndex::G1 {
        painter.push(b"\x0e");
    }
    modes(painter, mode);
    for (number, on) in &recorder.private_modes {
        painter.text(&format!("\x1b[?{number}{}", if *on { 'h' } else { 'l' }));
    }
    if recorder.modify_other_keys != 0 || onto == Onto::Used {
        painter.text(&format!("\x1b[>4;{}m", recorder.modify_other_keys));
    }
    painter.text(&format!("\x1b[{} q", recorder.cursor_style_number()));
    let flags = recorder.key_flags();
    if flags != recorder.keys.last().copied().unwrap_or(KeyboardModes::NO_MODE) || onto == Onto::Used {
        painter.text(&format!("\x1b[={};1u", flags.bits()));
    }
    if recorder.synchronized {
        painter.push(b"\x1b[?2026h");
    }
}

/// Modes of the engine, each said either way: the viewer's shell may have left others.
fn modes(painter: &mut Painter, mode: TermMode) {
    painter.push(if mode.contains(TermMode::APP_KEYPAD) { b"\x1b=" } else { b"\x1b>" });
    for (flag, number) in [
        (TermMode::APP_CURSOR, 1),
        (TermMode::SHOW_CURSOR, 25),
        (TermMode::BRACKETED_PASTE, 2004),
        (TermMode::LINE_WRAP, 7),
    ] {
        painter.text(&format!("\x1b[?{number}{}", if mode.contains(flag) { 'h' } else { 'l' }));
    }
    if !mode.intersects(TermMode::MOUSE_MODE) {
        painter.push(b"\x1b[?1000l\x1b[?1002l\x1b[?1003l");
    }
    if !mode.intersects(TermMode::SGR_MOUSE | TermMode::UTF8_MOUSE) {
        painter.push(b"\x1b[?1006l");
    }
    for (flag, number) in [
        (TermMode::MOUSE_REPORT_CLICK, "?1000"),
        (TermMode::MOUSE_DRAG, "?1002"),
        (TermMode::MOUSE_MOTION, "?1003"),
        (TermMode::UTF8_MOUSE, "?1005"),
        (TermMode::SGR_MOUSE, "?1006"),
        (TermMode::FOCUS_IN_OUT, "?1004"),
        (TermMode::INSERT, "4"),
        (TermMode::LINE_FEED_NEW_LINE, "20"),
    ] {
        if mode.contains(flag) {
            painter.text(&format!("\x1b[{number}h"));
        }
    }
}
