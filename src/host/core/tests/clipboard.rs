//! What a program copies: whole however long, and never more than a gateway that does not read may cost.

use super::*;

/// OSC 52 with so many bytes.
fn copy(rig: &mut Rig, length: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..length).map(|n| (n / 3 % 251) as u8).collect();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &data);
    rig.print(format!("\x1b]52;c;{text}\x07").as_bytes());
    data
}

fn events(frames: Vec<Frame>) -> Vec<v1::Event> {
    frames.into_iter().filter_map(|frame| if let Frame::Event(_, event) = frame { Some(event) } else { None }).collect()
}

#[test]
fn a_clipboard_comes_whole_in_as_many_events_as_it_needs() {
    let mut rig = Rig::linked(HOST_RING);
    for length in [0, 1, 64 * 1024, 200_000, 786_000] {
        let data = copy(&mut rig, length);
        let events = events(rig.frames());
        let mores: Vec<_> = events.iter().map(|event| event.more).collect();
        let pieces = events.into_iter().map(|event| match event.kind {
            Some(Kind::Clipboard(piece)) => piece,
            other => panic!("{other:?}"),
        });
        let pieces: Vec<_> = pieces.collect();
        assert!(pieces.concat() == data, "{length}");
        assert!(pieces.iter().all(|piece| piece.len() <= 64 * 1024));
        assert_eq!(mores.iter().rposition(|more| !more), Some(mores.len() - 1), "{length}: {mores:?}");
        assert_eq!(mores.iter().filter(|more| !**more).count(), 1, "{length}: {mores:?}");
    }
}

#[test]
fn a_clipboard_that_finds_no_room_is_told_as_cut_and_costs_no_link() {
    let mut rig = Rig::linked(HOST_RING);
    copy(&mut rig, 700_000);
    copy(&mut rig, 700_000);
    assert_eq!(rig.core.link_fault(), None);
    let events = events(rig.frames());
    assert_eq!(events.last().and_then(|event| event.kind.clone()), Some(Kind::Cut("clipboard".into())));
    assert_eq!(events.iter().filter(|event| matches!(event.kind, Some(Kind::Clipboard(_)))).count(), 11);
    copy(&mut rig, 1000);
    assert_eq!(self::events(rig.frames()).len(), 1, "and the next one has room again");
}
