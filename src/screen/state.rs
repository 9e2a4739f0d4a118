//! The screen as plain values: what a host wants to know, what answers depend on. Does not know what is done with them.

use alacritty_terminal::term::TermMode;

use super::answers::AnswerState;
use super::paint::pen_parameters;
use super::recorder::Recorder;
use super::sieve::ColorSlot;
use crate::base::WinSize;

/// What a host wants to know about the screen without painting it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScreenState {
    /// Title as the program set it, at most 1 KiB, without control characters.
    pub title: String,
    /// Row and column, from 0.
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
    /// A mouse reporting mode is on.
    pub mouse: bool,
    /// Kitty keyboard flags in force.
    pub kitty_flags: u8,
    /// A synchronized update (mode 2026) is open.
    pub synchronized: bool,
}

/// The engine's modes by their numbers.
const PRIVATE_MODES: [(u16, TermMode); 13] = [
    (1, TermMode::APP_CURSOR),
    (6, TermMode::ORIGIN),
    (7, TermMode::LINE_WRAP),
    (25, TermMode::SHOW_CURSOR),
    (1000, TermMode::MOUSE_REPORT_CLICK),
    (1002, TermMode::MOUSE_DRAG),
    (1003, TermMode::MOUSE_MOTION),
    (1005, TermMode::UTF8_MOUSE),
    (1006, TermMode::SGR_MOUSE),
    (1007, TermMode::ALTERNATE_SCROLL),
    (1042, TermMode::URGENCY_HINTS),
    (1049, TermMode::ALT_SCREEN),
    (2004, TermMode::BRACKETED_PASTE),
];

pub(super) fn screen_state(recorder: &Recorder) -> ScreenState {
    let mode = recorder.term.mode();
    ScreenState {
        title: recorder.title.clone(),
        cursor: cursor(recorder),
        cursor_visible: mode.contains(TermMode::SHOW_CURSOR),
        alternate: recorder.alternate(),
        bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
        application_cursor: mode.contains(TermMode::APP_CURSOR),
        application_keypad: mode.contains(TermMode::APP_KEYPAD),
        mouse: mode.intersects(TermMode::MOUSE_MODE),
        kitty_flags: recorder.key_flags().bits(),
        synchronized: recorder.synchronized,
    }
}

pub(super) fn answer_state(recorder: &Recorder, size: WinSize) -> AnswerState {
    let mode = recorder.term.mode();
    let (row, column) = cursor(recorder);
    let mut private_modes: std::collections::BTreeMap<u16, bool> =
        PRIVATE_MODES.iter().map(|(number, flag)| (*number, mode.contains(*flag))).collect();
    private_modes.insert(12, recorder.cursor_style.is_some_and(|style| style.blinking));
    private_modes.insert(2026, recorder.synchronized);
    AnswerState {
        size,
        cursor: (row + 1, column + 1),
        origin: mode.contains(TermMode::ORIGIN),
        region: ((recorder.region.0 + 1) as u16, recorder.region.1 as u16),
        cursor_style: recorder.cursor_style_number(),
        pen: pen_parameters(&recorder.term.grid().cursor.template),
        kitty_flags: recorder.key_flags().bits(),
        modify_other_keys: recorder.modify_other_keys,
        ansi_modes: [(4, mode.contains(TermMode::INSERT)), (20, mode.contains(TermMode::LINE_FEED_NEW_LINE))].into(),
        private_modes,
        colors: colors(recorder),
        ..AnswerState::default()
    }
}

fn cursor(recorder: &Recorder) -> (u16, u16) {
    let point = recorder.term.grid().cursor.point;
    (u16::try_from(point.line.0).unwrap_or_default(), u16::try_from(point.column.0).unwrap_or_default())
}

fn colors(recorder: &Recorder) -> std::collections::BTreeMap<ColorSlot, super::Rgb> {
    let colors = recorder.term.colors();
    let indexed = (0..=255u8).map(|index| (ColorSlot::Indexed(index), usize::from(index)));
    indexed
        .chain([(ColorSlot::Foreground, 256), (ColorSlot::Background, 257), (ColorSlot::Cursor, 258)])
        .filter_map(|(slot, index)| colors[index].map(|rgb| (slot, [rgb.r, rgb.g, rgb.b])))
        .collect()
}
