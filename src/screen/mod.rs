//! The state of one session's terminal: what a program has drawn, repainted for whoever attaches. Knows no clock, no file and no viewer.

mod answers;
mod input;
mod sieve;

pub use answers::{AnswerState, Rgb, Theme, answer};
pub use input::{InputFilter, InputKind};
pub use sieve::{ColorSlot, Mark, Note, Piece, Query, Sieve, Sieved, Terminator, What};

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Config, Term, TermMode};
use alacritty_terminal::vte::ansi::{Processor, Timeout};

use crate::base::WinSize;

/// How far [`Screen::settle`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Bytes of the window that the screen now represents; always ends outside sequences and characters.
    pub consumed: usize,
    /// Nothing more can be consumed before further bytes come; false when only the budget ended.
    pub done: bool,
}

/// A screen with its size, small enough to keep: where a history job begins.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The size at that byte.
    pub size: WinSize,
    /// What paints the screen on a blank terminal of that size.
    pub snapshot: Vec<u8>,
}

/// What a host wants to know about the screen without painting it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScreenState {
    /// Title as the program set it.
    pub title: String,
    /// Zero-based row and column.
    pub cursor: (u16, u16),
    /// The cursor is shown.
    pub cursor_visible: bool,
    /// The alternate screen is active.
    pub alternate: bool,
    /// Pastes must be bracketed (mode 2004).
    pub bracketed_paste: bool,
    /// Arrow keys are sent as SS3 (mode 1).
    pub application_cursor: bool,
    /// The keypad is in application mode.
    pub application_keypad: bool,
    /// Any mouse reporting mode is on.
    pub mouse: bool,
    /// Kitty keyboard flags in force.
    pub kitty_flags: u8,
    /// A synchronized update (mode 2026) is open.
    pub synchronized: bool,
}

/// The terminal of one session.
pub struct Screen {
    term: Term<VoidListener>,
    parser: Processor<Never>,
    size: WinSize,
}

#[derive(Default)]
struct Never;

impl Timeout for Never {
    fn set_timeout(&mut self, _: std::time::Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

struct Grid(WinSize);

impl Dimensions for Grid {
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

impl Screen {
    /// A blank screen.
    pub fn new(size: WinSize) -> Self {
        let config = Config { scrolling_history: 0, kitty_keyboard: true, ..Config::default() };
        Self { term: Term::new(config, &Grid(size), VoidListener), parser: Processor::new(), size }
    }

    /// Takes in what the program wrote next: `window` is that stretch in one or two pieces (the ring's seam). `plain` says that it holds only the
    /// plain set of sequences; `budget` bounds the bytes that one call interprets.
    pub fn settle(&mut self, window: [&[u8]; 2], plain: bool, budget: usize) -> Settled {
        let _ = (plain, budget);
        let consumed = self.feed_all(window[0]) + self.feed_all(window[1]);
        Settled { consumed, done: true }
    }

    /// Interprets every byte: the reference that skipping is measured against.
    pub fn feed_all(&mut self, bytes: &[u8]) -> usize {
        self.parser.advance(&mut self.term, bytes);
        bytes.len()
    }

    /// Changes the grid; the primary screen reflows. What was printed before must have been settled.
    pub fn resize(&mut self, size: WinSize) {
        self.size = size;
        self.term.resize(Grid(size));
    }

    /// The grid's size.
    pub fn size(&self) -> WinSize {
        self.size
    }

    /// Paints this screen on a terminal of the same size whose own screen is pushed up first; its scrollback stays.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.size.rows() {
            out.extend_from_slice(b"\r\n");
        }
        out.extend(self.repaint());
        out
    }

    /// Paints this screen over whatever a terminal of the same size shows; nothing moves into its scrollback.
    pub fn repaint(&self) -> Vec<u8> {
        let mut out = b"\x1b[m\x1b[2J\x1b[H".to_vec();
        out.extend(self.text().replace('\n', "\r\n").bytes());
        let point = self.term.grid().cursor.point;
        out.extend(format!("\x1b[{};{}H", point.line.0 + 1, point.column.0 + 1).bytes());
        out
    }

    /// The screen as plain text, trailing blanks removed.
    pub fn text(&self) -> String {
        let grid = self.term.grid();
        let mut rows = Vec::new();
        for line in 0..grid.screen_lines() as i32 {
            let mut row = String::new();
            for column in 0..grid.columns() {
                let cell = &grid[Line(line)][Column(column)];
                if !cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
                    row.push(cell.c);
                    row.extend(cell.zerowidth().into_iter().flatten());
                }
            }
            rows.push(row.trim_end().to_owned());
        }
        rows.join("\n").trim_end().to_owned()
    }

    /// Modes and cursor.
    pub fn state(&self) -> ScreenState {
        let mode = self.term.mode();
        let point = self.term.grid().cursor.point;
        ScreenState {
            cursor: (point.line.0 as u16, point.column.0 as u16),
            cursor_visible: mode.contains(TermMode::SHOW_CURSOR),
            alternate: mode.contains(TermMode::ALT_SCREEN),
            bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
            application_cursor: mode.contains(TermMode::APP_CURSOR),
            application_keypad: mode.contains(TermMode::APP_KEYPAD),
            mouse: mode.intersects(TermMode::MOUSE_MODE),
            ..ScreenState::default()
        }
    }

    /// Where a history job may begin later.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { size: self.size, snapshot: self.repaint() }
    }

    /// Bytes that did not have to be interpreted.
    pub fn skipped(&self) -> u64 {
        0
    }

    /// How often the engine panicked and was rebuilt blank.
    pub fn panics_caught(&self) -> u64 {
        0
    }
}

/// Rebuilds the lines that have left the screen, from a checkpoint and the bytes after it.
pub struct HistoryJob {
    screen: Screen,
}

impl HistoryJob {
    /// A job that keeps the last `lines` lines.
    pub fn new(checkpoint: &Checkpoint, lines: u32) -> Self {
        let _ = lines;
        let mut screen = Screen::new(checkpoint.size);
        screen.feed_all(&checkpoint.snapshot);
        Self { screen }
    }

    /// The bytes after the checkpoint, in order, in slices that suit the caller.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.screen.feed_all(bytes);
    }

    /// A resize at this byte.
    pub fn resize(&mut self, size: WinSize) {
        self.screen.resize(size);
    }

    /// The lines above the screen: CR LF only where a line did not wrap, attributes reset at the end.
    pub fn finish(self) -> Vec<u8> {
        Vec::new()
    }
}

/// The screen cropped to a smaller (or larger) window, changed rows only.
pub struct FittedView {
    window: WinSize,
    last: Vec<u8>,
}

impl FittedView {
    /// A view of that window; the window's last row is the status line.
    pub fn new(window: WinSize) -> Self {
        Self { window, last: Vec::new() }
    }

    /// What changes the viewer's terminal from the last frame to this one; None when nothing changed. `full` repaints everything.
    pub fn frame(&mut self, screen: &Screen, status: &str, full: bool) -> Option<Vec<u8>> {
        let mut out = b"\x1b[m\x1b[2J\x1b[H".to_vec();
        let rows = usize::from(self.window.rows()) - 1;
        for row in screen.text().lines().take(rows) {
            out.extend(row.chars().take(usize::from(self.window.cols())).collect::<String>().bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend(status.bytes());
        if !full && out == self.last {
            return None;
        }
        self.last.clone_from(&out);
        Some(out)
    }
}

/// What every leave sends: modes that would disturb a shell are off, the primary screen is back, the pen is plain.
pub fn leave_sequence() -> &'static [u8] {
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[<99u\x1b[?1049l\x1b[?25h\x1b[m"
}
