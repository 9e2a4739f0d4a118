//! What a program is told of colours and pixels, and when it hears of a change.

use super::*;
use crate::wire::v1::{Appearance, ColorScheme};

fn looks(rig: &mut Rig, background: &str, scheme: ColorScheme) {
    let scheme = scheme.into();
    let background = background.into();
    rig.say(to_host::Body::Appearance(Appearance {
        background,
        scheme,
        width: 800,
        height: 600,
        ..Default::default()
    }));
}

fn asked(rig: &mut Rig, question: &[u8]) -> String {
    rig.print(question);
    rig.typed().escape_ascii().to_string()
}

#[test]
fn colours_scheme_and_pixels_are_those_of_the_size_s_owner() {
    let mut rig = Rig::linked(HOST_RING);
    assert_eq!(asked(&mut rig, b"\x1b]11;?\x07\x1b[?996n\x1b[14t"), r"\x1b]11;rgb:0000/0000/0000\x07\x1b[?997;1n");
    looks(&mut rig, "#fdf6e3", ColorScheme::Unspecified);
    let light = r"\x1b]11;rgb:fdfd/f6f6/e3e3\x07\x1b[?997;2n\x1b[4;600;800t";
    assert_eq!(asked(&mut rig, b"\x1b]11;?\x07\x1b[?996n\x1b[14t"), light);
    looks(&mut rig, "no colour", ColorScheme::Light);
    assert_eq!(
        asked(&mut rig, b"\x1b]11;?\x07\x1b]10;?\x07"),
        r"\x1b]11;rgb:ffff/ffff/ffff\x07\x1b]10;rgb:0000/0000/0000\x07"
    );
    // What the program itself has set goes first.
    assert_eq!(asked(&mut rig, b"\x1b]11;#102030\x07\x1b]11;?\x07"), r"\x1b]11;rgb:1010/2020/3030\x07");
    rig.apply(Event::LinkDown);
    assert_eq!(asked(&mut rig, b"\x1b[?996n"), r"\x1b[?997;2n", "with nobody there the last one's");
}

#[test]
fn a_changed_theme_is_reported_to_a_program_that_wants_to_know() {
    let mut rig = Rig::linked(HOST_RING);
    looks(&mut rig, "#ffffff", ColorScheme::Unspecified);
    assert_eq!(asked(&mut rig, b"\x1b[?2031h"), "");
    looks(&mut rig, "#ffffff", ColorScheme::Unspecified);
    assert_eq!(asked(&mut rig, b""), "", "nothing has changed");
    looks(&mut rig, "#000010", ColorScheme::Unspecified);
    assert_eq!(asked(&mut rig, b""), r"\x1b[?997;1n");
    rig.print(b"\x1b[?2031l");
    looks(&mut rig, "#ffffff", ColorScheme::Unspecified);
    assert_eq!(asked(&mut rig, b""), "");
}
