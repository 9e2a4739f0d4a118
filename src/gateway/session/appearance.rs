//! How viewers' windows look, for the programs that ask: only the size owner's counts. Knows no terminal.

use super::Session;
use super::state::State;
use crate::gateway::size::ViewerNumber;
use crate::wire::v1;
use crate::wire::v1::to_host::Body as ToHostBody;

/// What the host gets of what a client says: colours that are none are not known.
pub(super) fn tidy(appearance: v1::Appearance) -> v1::Appearance {
    let color = |text: String| if is_color(&text) { text } else { String::new() };
    v1::Appearance {
        foreground: color(appearance.foreground),
        background: color(appearance.background),
        cursor: color(appearance.cursor),
        ..appearance
    }
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

impl Session {
    /// Tells the host how the size owner's window looks; nothing when nobody owns the size.
    pub(super) fn owner_appearance(&self) -> Option<ToHostBody> {
        let state = self.lock();
        let owner = state.size.owner().and_then(|owner| state.slots.get(&owner))?;
        Some(ToHostBody::Appearance(owner.looks.appearance.clone()))
    }
}

impl State {
    /// A viewer's window looks otherwise now; true when the host has to hear of it.
    pub(super) fn looks(&mut self, viewer: ViewerNumber, appearance: Option<v1::Appearance>) -> bool {
        let (Some(appearance), Some(slot)) = (appearance.map(tidy), self.slots.get_mut(&viewer)) else { return false };
        let changed = slot.looks.appearance != appearance;
        slot.looks.appearance = appearance;
        changed && self.size.owner() == Some(viewer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_colour_is_not_passed_on() {
        let said = |background: &str| v1::Appearance { background: background.into(), width: 7, ..Default::default() };
        assert_eq!(tidy(said("#12aBef")), said("#12aBef"));
        for wrong in ["", "red", "#12345", "#1234567", "#12345g", "#ééé", "\x1b]0;x"] {
            assert_eq!(tidy(said(wrong)), said(""), "{wrong:?}");
        }
    }
}
