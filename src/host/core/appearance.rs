//! How the window of the size's owner looks, and when a program hears of it. Does not know who that is.

use super::{Core, Now};
use crate::screen::{ColorSlot, Rgb, Theme, color_scheme};
use crate::wire::v1::{Appearance, ColorScheme};

/// What the answers to a program's questions need beside the screen.
#[derive(Default)]
pub(super) struct Look {
    pub(super) theme: Theme,
    pub(super) pixels: Option<(u16, u16)>,
}

impl Core {
    /// The size's owner, or its window, looks otherwise. A program that wants to know (mode 2031) is told.
    pub(super) fn set_appearance(&mut self, appearance: &Appearance, now: Now) {
        let theme = theme(appearance);
        let changed = theme != self.look.theme;
        self.look = Look { theme, pixels: pixels(appearance) };
        if changed && self.color_reports && self.phase.is_running() && self.input.answers_fit() {
            self.input.answer(color_scheme(&self.look.theme).into());
            self.changed(now);
        }
    }
}

fn theme(appearance: &Appearance) -> Theme {
    let slots = [
        (ColorSlot::Foreground, &appearance.foreground),
        (ColorSlot::Background, &appearance.background),
        (ColorSlot::Cursor, &appearance.cursor),
    ];
    let colors: std::collections::BTreeMap<_, _> =
        slots.into_iter().filter_map(|(slot, text)| Some((slot, color(text)?))).collect();
    let dark = match appearance.scheme() {
        ColorScheme::Dark => true,
        ColorScheme::Light => false,
        ColorScheme::Unspecified => colors.get(&ColorSlot::Background).is_none_or(|background| is_dark(*background)),
    };
    Theme { dark, colors }
}

fn color(text: &str) -> Option<Rgb> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    let [_, red, green, blue] = number.to_be_bytes();
    Some([red, green, blue])
}

/// By luma (ITU-R BT.601), which weighs colours as eyes do.
fn is_dark([red, green, blue]: Rgb) -> bool {
    u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114 < 128_000
}

fn pixels(appearance: &Appearance) -> Option<(u16, u16)> {
    let one = |length: u32| u16::try_from(length).ok().filter(|length| *length > 0);
    Some((one(appearance.width)?, one(appearance.height)?))
}
