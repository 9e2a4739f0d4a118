//! What a program is told that asks its terminal; knows the screen only as a plain struct.

use super::sieve::{ColorSlot, Query, Terminator};
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

/// Our version as a number for DA2: 1.2.3 is 10203.
const VERSION_NUMBER: u32 = {
    let bytes = env!("CARGO_PKG_VERSION").as_bytes();
    let (mut sum, mut part, mut at) = (0, 0, 0);
    while at < bytes.len() && (bytes[at] == b'.' || bytes[at].is_ascii_digit()) {
        if bytes[at] == b'.' {
            sum = sum * 100 + part;
            part = 0;
        } else {
            part = part * 10 + (bytes[at] - b'0') as u32;
        }
        at += 1;
    }
    sum * 100 + part
};

/// The bytes to type back, or nothing for questions that are not answered.
pub fn answer(query: &Query, state: &AnswerState, theme: &Theme) -> Option<Vec<u8>> {
    let text = match query {
        // VT220 with colour (22): what all programs take for a modern terminal without extras.
        Query::PrimaryAttributes => "\x1b[?62;22c".to_owned(),
        Query::SecondaryAttributes => format!("\x1b[>1;{VERSION_NUMBER};0c"),
        Query::TertiaryAttributes => "\x1bP!|00000000\x1b\\".to_owned(),
        Query::Version => concat!("\x1bP>|portcullis ", env!("CARGO_PKG_VERSION"), "\x1b\\").to_owned(),
        Query::OperatingStatus => "\x1b[0n".to_owned(),
        Query::CursorPosition => format!("\x1b[{}R", cursor(state)),
        Query::ExtendedCursorPosition => format!("\x1b[?{}R", cursor(state)),
        Query::ColorScheme => color_scheme(theme).to_owned(),
        Query::AnsiMode(mode) => format!("\x1b[{mode};{}$y", setting(state.ansi_modes.get(mode).copied())),
        Query::PrivateMode(mode) => format!("\x1b[?{mode};{}$y", setting(private_mode(*mode, state))),
        Query::KittyKeyboard => format!("\x1b[?{}u", state.kitty_flags),
        Query::ModifyOtherKeys => format!("\x1b[>4;{}m", state.modify_other_keys),
        Query::TextAreaPixels => {
            let (width, height) = state.pixels?;
            format!("\x1b[4;{height};{width}t")
        }
        Query::CellPixels => {
            let (width, height) = state.pixels?;
            format!("\x1b[6;{};{}t", height / state.size.rows(), width / state.size.cols())
        }
        Query::TextAreaCells => format!("\x1b[8;{};{}t", state.size.rows(), state.size.cols()),
        Query::ScreenCells => format!("\x1b[9;{};{}t", state.size.rows(), state.size.cols()),
        Query::Color(slot, terminator) => return Some(color(*slot, *terminator, state, theme)),
        Query::Capability(names) => names.split(|&byte| byte == b';').map(capability).collect(),
        Query::Setting(control) => status(control, state),
        Query::Refused(_) => return None,
    };
    Some(text.into_bytes())
}

/// What `CSI ? 996 n` is answered with, and what a changed scheme is reported as under mode 2031.
pub fn color_scheme(theme: &Theme) -> &'static str {
    if theme.dark { "\x1b[?997;1n" } else { "\x1b[?997;2n" }
}

fn cursor(state: &AnswerState) -> String {
    let (row, column) = state.cursor;
    let above = if state.origin { state.region.0.saturating_sub(1) } else { 0 };
    format!("{};{column}", row.saturating_sub(above).max(1))
}

/// DECRPM's value: 0 not recognized, 1 set, 2 reset.
fn setting(set: Option<bool>) -> u8 {
    match set {
        None => 0,
        Some(true) => 1,
        Some(false) => 2,
    }
}

fn private_mode(mode: u16, state: &AnswerState) -> Option<bool> {
    match mode {
        // Pixel mouse, grapheme clusters, size reports: a program that was told so would rely on all viewers.
        1016 | 2027 | 2048 => None,
        1004 => Some(state.focus_reports),
        2031 => Some(state.color_reports),
        _ => state.private_modes.get(&mode).copied(),
    }
}

fn color(slot: ColorSlot, terminator: Terminator, state: &AnswerState, theme: &Theme) -> Vec<u8> {
    let set = state.colors.get(&slot).or_else(|| theme.colors.get(&slot)).copied();
    let [red, green, blue] = set.unwrap_or_else(|| default_color(slot, theme.dark));
    let name = match slot {
        ColorSlot::Indexed(index) => format!("4;{index}"),
        ColorSlot::Foreground => "10".to_owned(),
        ColorSlot::Background => "11".to_owned(),
        ColorSlot::Cursor => "12".to_owned(),
    };
    // XParseColor's 16-bit form: each byte twice.
    let text = format!("\x1b]{name};rgb:{red:02x}{red:02x}/{green:02x}{green:02x}/{blue:02x}{blue:02x}");
    [text.as_bytes(), terminator.bytes()].concat()
}

/// xterm's colours, which programs expect behind the name that TERM has.
fn default_color(slot: ColorSlot, dark: bool) -> Rgb {
    const SIXTEEN: [Rgb; 16] = [
        [0, 0, 0],
        [205, 0, 0],
        [0, 205, 0],
        [205, 205, 0],
        [0, 0, 238],
        [205, 0, 205],
        [0, 205, 205],
        [229, 229, 229],
        [127, 127, 127],
        [255, 0, 0],
        [0, 255, 0],
        [255, 255, 0],
        [92, 92, 255],
        [255, 0, 255],
        [0, 255, 255],
        [255, 255, 255],
    ];
    match slot {
        ColorSlot::Indexed(index @ 0..=15) => SIXTEEN.get(usize::from(index)).copied().unwrap_or_default(),
        // A cube of six levels, then 24 greys.
        ColorSlot::Indexed(index @ 16..=231) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let cube = index - 16;
            [level(cube / 36), level(cube / 6 % 6), level(cube % 6)]
        }
        ColorSlot::Indexed(index) => [8 + 10 * (index - 232); 3],
        ColorSlot::Background if dark => [0, 0, 0],
        ColorSlot::Foreground | ColorSlot::Cursor if !dark => [0, 0, 0],
        ColorSlot::Background => [255, 255, 255],
        ColorSlot::Foreground | ColorSlot::Cursor => [229, 229, 229],
    }
}

/// XTGETTCAP for one hexadecimal name; only known names are repeated, so nothing foreign is ever typed.
fn capability(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let value = match name.to_ascii_uppercase().as_str() {
        // TN, Co, RGB.
        "544E" => "xterm-256color",
        "436F" => "256",
        "524742" => "8/8/8",
        _ => return "\x1bP0+r\x1b\\".to_owned(),
    };
    let value: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
    format!("\x1bP1+r{name}={value}\x1b\\")
}

/// DECRQSS.
fn status(control: &[u8], state: &AnswerState) -> String {
    match control {
        b"m" => format!("\x1bP1$r{}m\x1b\\", state.pen),
        b"r" => format!("\x1bP1$r{};{}r\x1b\\", state.region.0, state.region.1),
        b" q" => format!("\x1bP1$r{} q\x1b\\", state.cursor_style),
        _ => "\x1bP0$r\x1b\\".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(query: &Query, state: &AnswerState, theme: &Theme) -> Option<String> {
        answer(query, state, theme).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn plain(query: Query) -> String {
        said(&query, &AnswerState::default(), &Theme::default()).unwrap()
    }

    fn busy() -> AnswerState {
        AnswerState {
            size: WinSize::clamped(100, 50),
            pixels: Some((1000, 1050)),
            cursor: (12, 34),
            origin: true,
            region: (5, 20),
            cursor_style: 4,
            pen: "0;1;38:2::1:2:3".to_owned(),
            kitty_flags: 5,
            modify_other_keys: 2,
            ansi_modes: BTreeMap::from([(4, true), (20, false)]),
            private_modes: BTreeMap::from([(7, true), (25, false), (2026, true), (1016, true)]),
            focus_reports: true,
            color_reports: false,
            colors: BTreeMap::from([(ColorSlot::Indexed(1), [1, 2, 255]), (ColorSlot::Background, [9, 9, 9])]),
        }
    }

    fn busy_says(query: Query) -> Option<String> {
        said(&query, &busy(), &Theme::default())
    }

    #[test]
    fn attributes_and_version_name_us_and_nothing_else() {
        assert_eq!(plain(Query::PrimaryAttributes), "\x1b[?62;22c");
        let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| match part {
            "MAJOR" => env!("CARGO_PKG_VERSION_MAJOR"),
            "MINOR" => env!("CARGO_PKG_VERSION_MINOR"),
            _ => env!("CARGO_PKG_VERSION_PATCH"),
        });
        let number =
            (major.parse::<u32>().unwrap() * 100 + minor.parse::<u32>().unwrap()) * 100 + patch.parse::<u32>().unwrap();
        assert_eq!(plain(Query::SecondaryAttributes), format!("\x1b[>1;{number};0c"));
        assert_eq!(plain(Query::TertiaryAttributes), "\x1bP!|00000000\x1b\\");
        assert_eq!(plain(Query::Version), format!("\x1bP>|portcullis {major}.{minor}.{patch}\x1b\\"));
        assert_eq!(plain(Query::OperatingStatus), "\x1b[0n");
    }

    #[test]
    fn the_cursor_is_told_from_the_screen_or_from_the_region() {
        assert_eq!(plain(Query::CursorPosition), "\x1b[1;1R");
        assert_eq!(busy_says(Query::CursorPosition).unwrap(), "\x1b[8;34R");
        assert_eq!(busy_says(Query::ExtendedCursorPosition).unwrap(), "\x1b[?8;34R");
        let state = AnswerState { origin: false, ..busy() };
        assert_eq!(said(&Query::CursorPosition, &state, &Theme::default()).unwrap(), "\x1b[12;34R");
    }

    #[test]
    fn the_colour_scheme_is_the_driver_s() {
        assert_eq!(plain(Query::ColorScheme), "\x1b[?997;1n");
        let light = Theme { dark: false, ..Theme::default() };
        assert_eq!(said(&Query::ColorScheme, &busy(), &light).unwrap(), "\x1b[?997;2n");
    }

    #[test]
    fn modes_are_set_reset_or_unknown() {
        let ansi = |mode| busy_says(Query::AnsiMode(mode)).unwrap();
        assert_eq!([ansi(4), ansi(20), ansi(12)], ["\x1b[4;1$y", "\x1b[20;2$y", "\x1b[12;0$y"]);
        for (mode, value) in
            [(7, 1), (25, 2), (2026, 1), (1004, 1), (2031, 2), (1016, 0), (2027, 0), (2048, 0), (4242, 0)]
        {
            assert_eq!(busy_says(Query::PrivateMode(mode)).unwrap(), format!("\x1b[?{mode};{value}$y"));
        }
    }

    #[test]
    fn keyboards_are_told() {
        assert_eq!(plain(Query::KittyKeyboard), "\x1b[?0u");
        assert_eq!(busy_says(Query::KittyKeyboard).unwrap(), "\x1b[?5u");
        assert_eq!(busy_says(Query::ModifyOtherKeys).unwrap(), "\x1b[>4;2m");
    }

    #[test]
    fn sizes_are_told_and_pixels_only_if_known() {
        let none = AnswerState::default();
        assert_eq!(said(&Query::TextAreaPixels, &none, &Theme::default()), None);
        assert_eq!(said(&Query::CellPixels, &none, &Theme::default()), None);
        assert_eq!(busy_says(Query::TextAreaPixels).unwrap(), "\x1b[4;1050;1000t");
        assert_eq!(busy_says(Query::CellPixels).unwrap(), "\x1b[6;21;10t");
        assert_eq!(busy_says(Query::TextAreaCells).unwrap(), "\x1b[8;50;100t");
        assert_eq!(busy_says(Query::ScreenCells).unwrap(), "\x1b[9;50;100t");
    }

    #[test]
    fn a_colour_is_the_program_s_then_the_driver_s_then_fixed() {
        let theme = Theme {
            dark: false,
            colors: BTreeMap::from([(ColorSlot::Background, [1, 1, 1]), (ColorSlot::Foreground, [16, 32, 48])]),
        };
        let bell = |slot| said(&Query::Color(slot, Terminator::Bell), &busy(), &theme).unwrap();
        assert_eq!(bell(ColorSlot::Background), "\x1b]11;rgb:0909/0909/0909\x07");
        assert_eq!(bell(ColorSlot::Foreground), "\x1b]10;rgb:1010/2020/3030\x07");
        assert_eq!(bell(ColorSlot::Cursor), "\x1b]12;rgb:0000/0000/0000\x07");
        assert_eq!(bell(ColorSlot::Indexed(1)), "\x1b]4;1;rgb:0101/0202/ffff\x07");
        let fixed = |index| plain(Query::Color(ColorSlot::Indexed(index), Terminator::StringTerminator));
        assert_eq!(fixed(1), "\x1b]4;1;rgb:cdcd/0000/0000\x1b\\");
        assert_eq!(fixed(67), "\x1b]4;67;rgb:5f5f/8787/afaf\x1b\\");
        assert_eq!(fixed(231), "\x1b]4;231;rgb:ffff/ffff/ffff\x1b\\");
        assert_eq!(fixed(255), "\x1b]4;255;rgb:eeee/eeee/eeee\x1b\\");
        let slots = [ColorSlot::Foreground, ColorSlot::Background].map(|slot| Query::Color(slot, Terminator::Bell));
        assert_eq!(slots.map(plain), ["\x1b]10;rgb:e5e5/e5e5/e5e5\x07", "\x1b]11;rgb:0000/0000/0000\x07"]);
    }

    #[test]
    fn capabilities_are_answered_one_by_one() {
        let names = b"544e;524742;436F;6b62\x07".to_vec();
        let said = plain(Query::Capability(names));
        assert_eq!(
            said,
            "\x1bP1+r544e=787465726D2D323536636F6C6F72\x1b\\\x1bP1+r524742=382F382F38\x1b\\\
             \x1bP1+r436F=323536\x1b\\\x1bP0+r\x1b\\"
        );
    }

    #[test]
    fn settings_come_from_the_screen() {
        let said = |control: &[u8]| busy_says(Query::Setting(control.to_vec())).unwrap();
        assert_eq!(said(b"m"), "\x1bP1$r0;1;38:2::1:2:3m\x1b\\");
        assert_eq!(said(b"r"), "\x1bP1$r5;20r\x1b\\");
        assert_eq!(said(b" q"), "\x1bP1$r4 q\x1b\\");
        assert_eq!(said(b"\"p"), "\x1bP0$r\x1b\\");
    }

    #[test]
    fn what_is_refused_is_not_answered() {
        assert_eq!(busy_says(Query::Refused("OSC 52")), None);
    }
}
