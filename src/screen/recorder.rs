//! The terminal engine behind a recorder: passes every operation on, caps what a hostile program could pile up, and remembers what the engine
//! keeps to itself but a repaint needs. Does not know bytes.

use std::collections::{BTreeMap, HashSet};

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::{Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Config, Osc52, Term, TermMode};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, ModifyOtherKeys, NamedPrivateMode, PrivateMode, Rgb,
    StandardCharset, TabulationClearMode,
};
use unicode_width::UnicodeWidthChar;

use crate::base::WinSize;

/// A title longer than this is cut: no terminal shows more.
const TITLE_BYTES: usize = 1024;
/// Titles that a program may stack.
const TITLES: usize = 16;
/// Kitty keyboard flags that a program may stack for each screen; the engine itself panics at 4,097.
const KEY_FLAGS: usize = 16;
/// Combining marks on one cell: the longest emoji sequences need nine.
const MARKS: usize = 16;
/// One hyperlink with its id.
const LINK_BYTES: usize = 2048;
/// Hyperlinks that one screen's cells may hold together.
const LINKS_BYTES: usize = 1024 * 1024;
/// Private modes remembered although the engine does not know them.
const PRIVATE_MODES: usize = 64;
/// Alternate scroll and urgency hints: on by default here, off in other terminals, so that only a program's choice is worth repeating.
const ON_BY_DEFAULT: [u16; 2] = [1007, 1042];
/// Distance of the tab stops that a terminal starts with.
const TAB: usize = 8;

/// The engine with what it hides.
pub(super) struct Recorder {
    pub(super) term: Term<VoidListener>,
    /// First row and row after the last of the scroll region.
    pub(super) region: (usize, usize),
    pub(super) tabs: Vec<bool>,
    pub(super) active_charset: CharsetIndex,
    /// Never set and set to nothing are the same to everybody who sees it.
    pub(super) title: String,
    pub(super) titles: Vec<String>,
    /// Kitty keyboard stacks of the active and of the other screen.
    pub(super) keys: Vec<KeyboardModes>,
    pub(super) other_keys: Vec<KeyboardModes>,
    pub(super) cursor_style: Option<CursorStyle>,
    pub(super) modify_other_keys: u8,
    /// Modes that the program touched and that no other field holds.
    pub(super) private_modes: BTreeMap<u16, bool>,
    pub(super) synchronized: bool,
    /// The primary screen while the alternate one is active: the engine hides and would destroy it.
    pub(super) primary: Option<Grid<Cell>>,
    /// What was done beyond the bytes that asked for it, in units of one printed character.
    pub(super) work: usize,
    /// Without history the kept primary screen stands for the engine's hidden one.
    pub(super) keeps_primary: bool,
    links: Links,
    #[cfg(test)]
    pub(super) panic_at: Option<char>,
}

/// What hyperlinks cost; counted from above, corrected by a look at the cells.
#[derive(Default)]
struct Links {
    named: u64,
    spent: usize,
    refused: usize,
}

/// A size in the engine's terms.
pub(super) struct Cells(pub(super) WinSize);

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows())
    }

    fn columns(&self) -> usize {
        usize::from(self.0.cols())
    }
}

impl Recorder {
    /// With `history` lines above the screen. Without history the primary screen is kept in reach while the alternate one is active.
    pub(super) fn new(size: WinSize, history: usize) -> Self {
        let config =
            Config { scrolling_history: history, kitty_keyboard: true, osc52: Osc52::Disabled, ..Config::default() };
        Self {
            term: Term::new(config, &Cells(size), VoidListener),
            region: (0, usize::from(size.rows())),
            tabs: default_tabs(usize::from(size.cols())),
            active_charset: CharsetIndex::G0,
            title: String::new(),
            titles: Vec::new(),
            keys: Vec::new(),
            other_keys: Vec::new(),
            cursor_style: None,
            modify_other_keys: 0,
            private_modes: BTreeMap::new(),
            synchronized: false,
            primary: None,
            work: 0,
            keeps_primary: history == 0,
            links: Links::default(),
            #[cfg(test)]
            panic_at: None,
        }
    }

    pub(super) fn alternate(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    /// The scroll region is the whole screen.
    pub(super) fn region_is_full(&self) -> bool {
        self.region == (0, self.term.screen_lines())
    }

    pub(super) fn resize(&mut self, size: WinSize) {
        let (rows, cols) = (usize::from(size.rows()), usize::from(size.cols()));
        self.term.resize(Cells(size));
        self.region = (0, rows);
        let old = self.tabs.len();
        self.tabs.truncate(cols);
        self.tabs.extend((old..cols).map(|column| column % TAB == 0));
        if let Some(primary) = &mut self.primary {
            primary.resize(true, rows, cols);
            mend(primary);
            // Entering saved the cursor; a reflow moves it and leaves what was saved behind.
            primary.saved_cursor = primary.cursor.clone();
            primary.truncate();
        }
        mend(self.term.grid_mut());
        // The engine grows by 1,000 rows at once, on both grids; only the visible ones are needed.
        self.term.grid_mut().truncate();
        self.renew_hidden(rows, cols);
    }

    /// Replaces the engine's hidden grid by a small one. Its content never returns: the alternate screen starts blank, and the primary one
    /// comes back from `primary`.
    fn renew_hidden(&mut self, rows: usize, cols: usize) {
        if !self.keeps_primary {
            return;
        }
        let flags = self.key_flags();
        let visible = std::mem::replace(self.term.grid_mut(), Grid::new(2, 2, 0));
        self.term.swap_alt();
        *self.term.grid_mut() = Grid::new(rows, cols, 0);
        self.term.swap_alt();
        *self.term.grid_mut() = visible;
        Handler::set_keyboard_mode(&mut self.term, flags, KeyboardModesApplyBehavior::Replace);
    }

    /// Kitty keyboard flags in force.
    pub(super) fn key_flags(&self) -> KeyboardModes {
        let mode = self.term.mode();
        let mut flags = KeyboardModes::NO_MODE;
        flags.set(KeyboardModes::DISAMBIGUATE_ESC_CODES, mode.contains(TermMode::DISAMBIGUATE_ESC_CODES));
        flags.set(KeyboardModes::REPORT_EVENT_TYPES, mode.contains(TermMode::REPORT_EVENT_TYPES));
        flags.set(KeyboardModes::REPORT_ALTERNATE_KEYS, mode.contains(TermMode::REPORT_ALTERNATE_KEYS));
        flags.set(KeyboardModes::REPORT_ALL_KEYS_AS_ESC, mode.contains(TermMode::REPORT_ALL_KEYS_AS_ESC));
        flags.set(KeyboardModes::REPORT_ASSOCIATED_TEXT, mode.contains(TermMode::REPORT_ASSOCIATED_TEXT));
        flags
    }

    /// The parameter of DECSCUSR.
    pub(super) fn cursor_style_number(&self) -> u8 {
        let Some(style) = self.cursor_style else { return 0 };
        let steady = match style.shape {
            CursorShape::Underline => 4,
            CursorShape::Beam => 6,
            CursorShape::Block | CursorShape::HollowBlock | CursorShape::Hidden => 2,
        };
        steady - u8::from(style.blinking)
    }

    fn cells(&self) -> usize {
        self.term.screen_lines() * self.term.columns()
    }

    /// Whole rows are reset: a cell costs about a quarter of a printed character.
    fn worked_rows(&mut self, rows: usize) {
        self.work += rows.min(self.term.screen_lines()) * self.term.columns() / 4;
    }

    /// Whether the cell that a mark would join has room for it.
    fn has_room_for_mark(&self) -> bool {
        let grid = self.term.grid();
        let cursor = &grid.cursor;
        let mut column = cursor.point.column.0;
        if !cursor.input_needs_wrap {
            column = column.saturating_sub(1);
        }
        if grid[cursor.point.line][Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column = column.saturating_sub(1);
        }
        grid[cursor.point.line][Column(column)].zerowidth().is_none_or(|marks| marks.len() < MARKS)
    }

    /// Room for a link of so many bytes; the cells are looked at when the count from above has reached the limit.
    fn has_room_for_link(&mut self, bytes: usize) -> bool {
        if self.links.refused > 0 {
            self.links.refused = self.links.refused.saturating_sub(bytes);
            return false;
        }
        self.links.spent += bytes;
        if self.links.spent > LINKS_BYTES {
            self.links.spent = self.linked_bytes();
            self.work += self.cells();
            if self.links.spent > LINKS_BYTES / 2 {
                self.links.refused = LINKS_BYTES / 2;
                return false;
            }
        }
        true
    }

    /// Bytes of the distinct links that cells hold.
    fn linked_bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for grid in [Some(self.term.grid()), self.primary.as_ref()].into_iter().flatten() {
            for row in (0..grid.screen_lines() as i32).map(Line) {
                for column in (0..grid.columns()).map(Column) {
                    if let Some(link) = grid[row][column].hyperlink()
                        && seen.insert(link.uri().as_ptr() as usize)
                    {
                        bytes += link.uri().len() + link.id().len();
                    }
                }
            }
        }
        bytes
    }

    fn enter_alternate(&mut self) {
        if self.alternate() {
            return;
        }
        if self.keeps_primary {
            let mut primary = self.term.grid().clone();
            // As the engine does on entering.
            primary.saved_cursor = primary.cursor.clone();
            self.primary = Some(primary);
        }
        self.term.set_private_mode(NamedPrivateMode::SwapScreenAndSetRestoreCursor.into());
        // Otherwise a cursor saved on an earlier visit would still be there, out of reach of any repaint.
        self.term.save_cursor_position();
        std::mem::swap(&mut self.keys, &mut self.other_keys);
        self.work += self.cells() / 2;
    }

    fn leave_alternate(&mut self) {
        if !self.alternate() {
            return;
        }
        self.term.unset_private_mode(NamedPrivateMode::SwapScreenAndSetRestoreCursor.into());
        match self.primary.take() {
            Some(primary) => *self.term.grid_mut() = primary,
            None => mend(self.term.grid_mut()),
        }
        std::mem::swap(&mut self.keys, &mut self.other_keys);
        self.work += self.cells() / 4;
    }

    fn private_mode(&mut self, mode: PrivateMode, on: bool) {
        let named = match mode {
            PrivateMode::Named(named) => named,
            PrivateMode::Unknown(number) => return self.remember_mode(number, on),
        };
        match named {
            NamedPrivateMode::SwapScreenAndSetRestoreCursor if on => return self.enter_alternate(),
            NamedPrivateMode::SwapScreenAndSetRestoreCursor => return self.leave_alternate(),
            NamedPrivateMode::SyncUpdate => self.synchronized = on,
            NamedPrivateMode::AlternateScroll | NamedPrivateMode::UrgencyHints => self.remember_mode(named as u16, on),
            NamedPrivateMode::BlinkingCursor => {
                self.cursor_style.get_or_insert_default().blinking = on;
            }
            NamedPrivateMode::ColumnMode => {
                self.region = (0, self.term.screen_lines());
                self.worked_rows(usize::MAX);
            }
            _ => {}
        }
        if on { self.term.set_private_mode(mode) } else { self.term.unset_private_mode(mode) }
    }

    fn remember_mode(&mut self, number: u16, on: bool) {
        // Screen switches, margins, sizes and reports are never repeated: they would act at once or make a terminal talk.
        let acts = matches!(number, 3 | 6 | 40 | 47 | 69 | 1004 | 1047..=1049 | 2031 | 2048);
        if !acts && (self.private_modes.len() < PRIVATE_MODES || self.private_modes.contains_key(&number)) {
            self.private_modes.insert(number, on);
        }
    }
}

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(#[inline]
        fn $name(&mut self, $($argument: $kind),*) {
            Handler::$name(&mut self.term, $($argument),*);
        })*
    };
}

/// Operations that are missing here (reports, clipboard, bell, pointer shape) have no effect on a screen.
impl Handler for Recorder {
    pass_on! {
        goto(line: i32, column: usize);
        goto_line(line: i32);
        goto_col(column: usize);
        insert_blank(count: usize);
        move_up(rows: usize);
        move_down(rows: usize);
        move_forward(columns: usize);
        move_backward(columns: usize);
        move_down_and_cr(rows: usize);
        move_up_and_cr(rows: usize);
        put_tab(count: u16);
        backspace();
        carriage_return();
        linefeed();
        newline();
        erase_chars(count: usize);
        delete_chars(count: usize);
        move_forward_tabs(count: u16);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        reverse_index();
        terminal_attribute(attribute: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        set_color(index: usize, color: Rgb);
        reset_color(index: usize);
    }

    #[inline]
    fn input(&mut self, c: char) {
        #[cfg(test)]
        assert!(self.panic_at != Some(c), "asked for by a test");
        if c > '\u{7f}' && c.width() == Some(0) && !self.has_room_for_mark() {
            return;
        }
        self.term.input(c);
    }

    fn set_title(&mut self, title: Option<String>) {
        let mut title = title.unwrap_or_default();
        title.retain(|c| !c.is_control());
        let end = (0..=TITLE_BYTES.min(title.len())).rev().find(|&at| title.is_char_boundary(at));
        title.truncate(end.unwrap_or(0));
        self.title = title;
    }

    fn push_title(&mut self) {
        if self.titles.len() == TITLES {
            self.titles.remove(0);
        }
        self.titles.push(self.title.clone());
    }

    fn pop_title(&mut self) {
        if let Some(title) = self.titles.pop() {
            self.title = title;
        }
    }

    fn set_cursor_style(&mut self, style: Option<CursorStyle>) {
        self.cursor_style = style;
        self.term.set_cursor_style(style);
    }

    fn set_cursor_shape(&mut self, shape: CursorShape) {
        self.cursor_style.get_or_insert_default().shape = shape;
        self.term.set_cursor_shape(shape);
    }

    fn set_horizontal_tabstop(&mut self) {
        let column = self.term.grid().cursor.point.column.0;
        if let Some(stop) = self.tabs.get_mut(column) {
            *stop = true;
        }
        self.term.set_horizontal_tabstop();
    }

    fn clear_tabs(&mut self, mode: TabulationClearMode) {
        match mode {
            TabulationClearMode::All => self.tabs.fill(false),
            TabulationClearMode::Current => {
                let column = self.term.grid().cursor.point.column.0;
                if let Some(stop) = self.tabs.get_mut(column) {
                    *stop = false;
                }
            }
        }
        self.term.clear_tabs(mode);
    }

    /// The engine ignores this one.
    fn set_tabs(&mut self, interval: u16) {
        let interval = usize::from(interval.max(1));
        self.clear_tabs(TabulationClearMode::All);
        let column = self.term.grid().cursor.point.column;
        for stop in (0..self.tabs.len()).step_by(interval) {
            self.term.grid_mut().cursor.point.column = Column(stop);
            self.set_horizontal_tabstop();
        }
        self.term.grid_mut().cursor.point.column = column;
        self.work += self.tabs.len();
    }

    fn move_backward_tabs(&mut self, count: u16) {
        // Without a stop to its left the engine would look for one `count` times.
        let most = self.term.grid().cursor.point.column.0;
        self.term.move_backward_tabs(count.min(u16::try_from(most).unwrap_or(u16::MAX)));
        self.work += most;
        // The engine leaves a cursor waiting to wrap that no longer stands at the margin.
        let cursor = &mut self.term.grid_mut().cursor;
        cursor.input_needs_wrap &= cursor.point.column.0 == most;
    }

    fn scroll_up(&mut self, rows: usize) {
        self.worked_rows(rows);
        self.term.scroll_up(rows);
    }

    fn scroll_down(&mut self, rows: usize) {
        self.worked_rows(rows);
        self.term.scroll_down(rows);
    }

    fn insert_blank_lines(&mut self, rows: usize) {
        self.worked_rows(rows);
        self.term.insert_blank_lines(rows);
    }

    fn delete_lines(&mut self, rows: usize) {
        self.worked_rows(rows);
        self.term.delete_lines(rows);
    }

    fn clear_screen(&mut self, mode: ClearMode) {
        self.worked_rows(usize::MAX);
        self.term.clear_screen(mode);
    }

    fn decaln(&mut self) {
        self.worked_rows(usize::MAX);
        self.term.decaln();
    }

    fn reset_state(&mut self) {
        self.worked_rows(usize::MAX);
        self.term.reset_state();
        self.region = (0, self.term.screen_lines());
        self.tabs = default_tabs(self.tabs.len());
        self.active_charset = CharsetIndex::G0;
        self.title.clear();
        self.titles.clear();
        self.keys.clear();
        self.other_keys.clear();
        self.cursor_style = None;
        self.modify_other_keys = 0;
        // Not forgotten: a viewer may have missed the reset.
        for (number, on) in &mut self.private_modes {
            *on = ON_BY_DEFAULT.contains(number);
        }
        self.synchronized = false;
        self.primary = None;
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        self.private_mode(mode, true);
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        self.private_mode(mode, false);
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let rows = self.term.screen_lines();
        let end = bottom.unwrap_or(rows);
        if top < end {
            self.region = ((top - 1).min(rows), end.min(rows));
        }
        self.term.set_scrolling_region(top, bottom);
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.active_charset = index;
        self.term.set_active_charset(index);
    }

    fn set_hyperlink(&mut self, link: Option<Hyperlink>) {
        let link = link.filter(|link| {
            let id = link.id.as_deref().unwrap_or_default();
            let bytes = link.uri.len() + id.len();
            bytes <= LINK_BYTES
                && !link.uri.chars().chain(id.chars()).any(char::is_control)
                && self.has_room_for_link(bytes)
        });
        // A link without an id gets one here: the engine's own numbers are shared by all engines of a process.
        let link = link.map(|Hyperlink { id, uri }| {
            self.links.named += 1;
            Hyperlink { id: Some(id.unwrap_or_else(|| format!("portcullis-{}", self.links.named))), uri }
        });
        self.term.set_hyperlink(link);
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        if self.keys.len() == KEY_FLAGS {
            self.term.pop_keyboard_modes(KEY_FLAGS as u16);
            self.keys.remove(0);
            for kept in &self.keys {
                self.term.push_keyboard_mode(*kept);
            }
        }
        self.keys.push(mode);
        self.term.push_keyboard_mode(mode);
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        self.keys.truncate(self.keys.len().saturating_sub(usize::from(count)));
        self.term.pop_keyboard_modes(count);
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, behavior: KeyboardModesApplyBehavior) {
        Handler::set_keyboard_mode(&mut self.term, mode, behavior);
    }

    fn set_modify_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.modify_other_keys = mode as u8;
    }
}

pub(super) fn default_tabs(columns: usize) -> Vec<bool> {
    (0..columns).map(|column| column % TAB == 0).collect()
}

/// What the engine's resizing leaves wrong. A cursor that waits to wrap stands in the last column, but is left where that column was; and a row
/// remembers how far it must be cleared, but not that its old end has another colour than the cells added.
fn mend(grid: &mut Grid<Cell>) {
    let last = grid.columns() - 1;
    for cursor in [&mut grid.cursor, &mut grid.saved_cursor] {
        if cursor.input_needs_wrap && cursor.point.column.0 < last {
            cursor.input_needs_wrap = false;
            cursor.point.column += 1;
        }
    }
    for line in (-(grid.history_size() as i32)..grid.screen_lines() as i32).map(Line) {
        // Taken to be written to the end.
        let _ = &mut grid[line][..];
    }
}
