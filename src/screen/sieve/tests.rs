//! The sieve against its table, against itself, and against an engine of its own.

use super::{Note, Query, Sieve, Sieved, What};

fn sieve(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Note>) {
    let mut sieve = Sieve::new();
    let mut sieved = Sieved::default();
    let (mut kept, mut notes) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        sieve.push(now, &mut sieved);
        collect(&sieved, now, &mut kept, &mut notes);
        rest = later;
    }
    sieve.finish(&mut sieved);
    collect(&sieved, &[], &mut kept, &mut notes);
    (kept, notes)
}

fn collect(sieved: &Sieved, input: &[u8], kept: &mut Vec<u8>, notes: &mut Vec<Note>) {
    let base = kept.len();
    notes.extend(sieved.notes.iter().map(|note| Note { at: base + note.at, what: note.what.clone() }));
    sieved.assemble(input, kept);
    assert_eq!(kept.len() - base, sieved.kept());
}

#[test]
fn smoke() {
    let (kept, notes) = sieve(b"ab\x1b[6ncd\x1b]11;?\x07ef\x1b]0;title\x07\x1b[1mx", &[3]);
    assert_eq!(String::from_utf8_lossy(&kept), "abcdef\x1b]0;title\x07\x1b[1mx");
    assert_eq!(notes[0], Note { at: 2, what: What::Query(Query::CursorPosition) });
    eprintln!("{notes:?}");
}
