//! What a program is told that asks its terminal; knows the screen only as a plain struct.

use super::sieve::{ColorSlot, Query};
use crate::base::WinSize;
use std::collections::BTreeMap;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// The driving viewer's colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Whether its background is dark.
    pub dark: bool,
    /// What it told us; others have fixed defaults.
    pub colors: BTreeMap<ColorSlot, Rgb>,
}

/// What the answers depend on: filled by the screen, completed by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerState {
    /// The session's effective grid.
    pub size: WinSize,
    /// Width and height of the driver's text area in pixels, if it said so (host).
    pub pixels: Option<(u16, u16)>,
    /// Row and column of the cursor on the screen, from 1.
    pub cursor: (u16, u16),
    /// Origin mode: the cursor is reported relative to the region.
    pub origin: bool,
    /// First and last row of the scroll region, from 1.
    pub region: (u16, u16),
    /// DECSCUSR, 0..=6.
    pub cursor_style: u8,
    /// The parameters of the SGR that would make the current pen, `0` first: `0;1;31`.
    pub pen: String,
    /// Kitty keyboard flags of the active screen.
    pub kitty_flags: u8,
    /// Level of modifyOtherKeys.
    pub modify_other_keys: u8,
    /// ANSI modes that the engine knows, and whether they are set.
    pub ansi_modes: BTreeMap<u16, bool>,
    /// Private modes that the engine knows, and whether they are set.
    pub private_modes: BTreeMap<u16, bool>,
    /// Mode 1004 as the program last set it (host, from the sieve's notes).
    pub focus_reports: bool,
    /// Mode 2031 as the program last set it (host, from the sieve's notes).
    pub color_reports: bool,
    /// Colours that the program has set.
    pub colors: BTreeMap<ColorSlot, Rgb>,
}

impl Default for Theme {
    fn default() -> Self {
        Self { dark: true, colors: BTreeMap::new() }
    }
}

impl Default for AnswerState {
    fn default() -> Self {
        let size = WinSize::DEFAULT;
        Self {
            size,
            pixels: None,
            cursor: (1, 1),
            origin: false,
            region: (1, size.rows()),
            cursor_style: 0,
            pen: "0".to_owned(),
            kitty_flags: 0,
            modify_other_keys: 0,
            ansi_modes: BTreeMap::new(),
            private_modes: BTreeMap::new(),
            focus_reports: false,
            color_reports: false,
            colors: BTreeMap::new(),
        }
    }
}

/// The bytes to type back, or nothing.
pub fn answer(_query: &Query, _state: &AnswerState, _theme: &Theme) -> Option<Vec<u8>> {
    None
}
