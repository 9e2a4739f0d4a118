//! Leaving, by example and for any cuts.

use proptest::prelude::*;

use super::*;

const PREFIX: Prefix = Prefix(0x1d);

/// What the session got, and whether and where the keys left it.
fn run(packets: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
    let mut keys = DetachKeys::new(PREFIX);
    let mut out = Vec::new();
    let mut before = 0;
    for packet in packets {
        match keys.push(packet, &mut out) {
            Scan::Stay => before += packet.len(),
            Scan::Leave { taken } => return (out, Some(before + taken)),
        }
    }
    (out, None)
}

#[test]
fn prefix_and_d_leave_in_every_form() {
    for keys in
        ["\x1dd", "\x1b[93;5ud", "\x1b[93;5u\x1b[100u", "\x1b[93;5u\x1b[100;1u", "\x1d\x1b[100;1:1u", "\x1b[27;5;93~d"]
    {
        let input = format!("ab{keys}rest");
        assert_eq!(run(&[input.as_bytes()]), (b"ab".to_vec(), Some(2 + keys.len())), "{}", keys.escape_debug());
    }
    // With releases and a mouse between the two, as a terminal sends them that reports everything.
    let noisy = b"\x1b[57442;5u\x1b[93;5u\x1b[93;5:3u\x1b[57442;1:3u\x1b[<35;3;4M\x1b[100u";
    assert_eq!(run(&[noisy]), (b"\x1b[57442;5u".to_vec(), Some(noisy.len())));
}

#[test]
fn the_prefix_twice_is_one_and_with_another_key_both() {
    assert_eq!(run(&[b"\x1d\x1dd"]), (b"\x1dd".to_vec(), None));
    assert_eq!(run(&[b"\x1d\x1d\x1dd"]).1, Some(4));
    assert_eq!(run(&[b"\x1b[93;5u\x1b[93;5ux"]), (b"\x1b[93;5ux".to_vec(), None));
    assert_eq!(run(&[b"a\x1dxb"]), (b"a\x1dxb".to_vec(), None));
    assert_eq!(run(&[b"\x1dD"]), (b"\x1dD".to_vec(), None));
    assert_eq!(run(&[b"\x1d\x1b[Ad"]), (b"\x1d\x1b[Ad".to_vec(), None));
    assert_eq!(run(&[b"\x1d\x1bd"]), (b"\x1d\x1bd".to_vec(), None), "Alt-d is another key");
}

#[test]
fn a_paste_is_never_searched() {
    let paste = b"\x1b[200~text \x1dd \x1b[93;5ud\x1b[201~";
    assert_eq!(run(&[paste]), (paste.to_vec(), None));
    assert_eq!(run(&[paste, b"\x1dd"]), (paste.to_vec(), Some(paste.len() + 2)));
    let armed = [b"\x1d".as_slice(), paste].concat();
    assert_eq!(run(&[&armed]), (armed.clone(), None));
}

#[test]
fn what_may_be_a_key_of_its_own_is_not_held() {
    for key in [b"\x1b".as_slice(), b"\x1b[", b"\x1b[<35", b"\x1bO", b"\xc3"] {
        assert_eq!(run(&[key]), (key.to_vec(), None), "{}", key.escape_ascii());
        let armed = [b"\x1d", key].concat();
        assert_eq!(run(&[&armed]), (armed.clone(), None), "armed {}", key.escape_ascii());
    }
    assert_eq!(run(&[b"\x1b[9"]).0, b"");
    assert_eq!(run(&[b"\x1b[9", b"A"]).0, b"\x1b[9A");
    let mut mouse = b"\x1d".to_vec();
    mouse.extend(b"\x1b[<35;3;4M".repeat(200));
    assert_eq!(run(&[&mouse]), (mouse.clone(), None), "more than is held");
}

#[test]
fn the_prefix_is_told_as_people_write_it() {
    assert_eq!(PREFIX.to_string(), "Ctrl-]");
    assert_eq!(Prefix(1).to_string(), "Ctrl-A");
    assert_eq!(Prefix::of(DetachKey { byte: None }), None);
}

fn cut<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|at| at % (input.len() + 1)).chain([0, input.len()]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

/// Pieces as terminals send them, without the prefix.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~é☃]{1,8}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec![&b"\x1b[A"[..], b"\x1bOP", b"\x1b[<35;3;4M", b"\x1b[3~", b"\x1b[100u", b"\x1b[97;5u", b"\x1b[93u", b"\x1b[24;80R", b"\r", b"\x1b"])
            .prop_map(<[u8]>::to_vec),
        1 => "[ -~]{0,20}".prop_map(|text| format!("\x1b[200~{text}\x1b[201~").into_bytes()),
    ]
}

proptest! {
    #[test]
    fn without_the_prefix_every_byte_arrives_in_order(
        pieces in prop::collection::vec(piece(), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        // A last key flushes what may still be held.
        let input = [pieces.concat(), b"\x1b[AA".to_vec()].concat();
        prop_assert_eq!(run(&cut(&input, &cuts)), (input.clone(), None));
    }

    #[test]
    fn hostile_bytes_never_vanish_unless_the_prefix_is_among_them(
        input in prop::collection::vec(prop_oneof![Just(0x1bu8), Just(b'['), Just(b'9'), Just(b'3'), Just(b';'), Just(b'5'), Just(b'u'), any::<u8>()], 0..60),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut input: Vec<u8> = input.into_iter().filter(|b| *b != 0x1d).collect();
        input.extend_from_slice(b"\x18\x1b[Ax");
        let (got, left) = run(&cut(&input, &cuts));
        prop_assume!(left.is_none());
        let mut rest = input.iter();
        // Only one of two prefixes in code-point form may be missing: what arrived is in order.
        prop_assert!(got.iter().all(|byte| rest.any(|sent| sent == byte)));
        if !input.windows(4).any(|w| w == b"93;5") {
            prop_assert_eq!(got, input);
        }
    }

    #[test]
    fn the_keys_are_found_for_any_cuts(
        before in prop::collection::vec(piece(), 0..8),
        form in prop::sample::select(vec![&b"\x1dd"[..], b"\x1b[93;5ud", b"\x1b[93;5u\x1b[100u", b"\x1d\x1b[100;1u", b"\x1b[57::93;5:1u\x1b[57::93;5:3u\x1b[100;1:1u"]),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut sent = before.concat();
        // An unfinished ESC before the prefix would make it Alt with the prefix: end it.
        sent.extend_from_slice(b".\x18");
        let input = [&sent, form, b"tail"].concat();
        let (got, left) = run(&cut(&input, &cuts));
        prop_assert_eq!(left, Some(sent.len() + form.len()));
        // Torn keys may arrive too, but whole, and only after everything before them.
        prop_assert!(got.starts_with(&sent));
        let extra = &got[sent.len()..];
        prop_assert!(form.windows(extra.len().max(1)).any(|part| part == extra) || extra.is_empty());
        let mut lexer = Lexer::default();
        extra.iter().for_each(|byte| { lexer.push(*byte); });
        prop_assert!(lexer.is_ground());
    }
}
