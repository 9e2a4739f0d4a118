//! The chain against every edit that one byte, one line or one crash can make.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("portcullis-audit-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn chain(path: &Path, count: usize) -> Vec<u8> {
    let (mut writer, _) = Writer::open(open(path), now()).unwrap();
    for number in 0..count {
        let entry = Entry::new(Event::Login).text(Field::User, "ann\n\"").number(Field::Number, number as i64);
        writer.append(&entry, now()).unwrap();
    }
    drop(writer);
    std::fs::read(path).unwrap()
}

fn check(bytes: &[u8]) -> Report {
    verify(bytes).unwrap()
}

#[test]
fn every_edit_of_one_byte_is_found() {
    let dir = directory("edit");
    let good = chain(&dir.join("a.jsonl"), 4);
    assert_eq!(check(&good).verdict, Verdict::Whole);
    for at in 0..good.len() {
        for change in [1u8, 0x20, 0x80, good[at] ^ b'\n'] {
            if change == 0 {
                continue;
            }
            let mut bad = good.clone();
            bad[at] ^= change;
            assert_eq!(check(&bad).verdict.status(), 1, "byte {at} by {change}");
        }
    }
}

#[test]
fn a_truncation_is_torn_or_ends_at_a_line() {
    let dir = directory("cut");
    let good = chain(&dir.join("a.jsonl"), 3);
    for cut in 0..good.len() {
        let report = check(&good[..cut]);
        if cut == 0 || good[cut - 1] == b'\n' {
            // Cut at a line: only a head noted elsewhere tells.
            assert_ne!(report.head, check(&good).head);
        } else {
            assert!(matches!(report.verdict, Verdict::Torn(_)), "cut {cut}: {:?}", report.verdict);
        }
    }
}

#[test]
fn deleted_and_swapped_lines_are_found() {
    let dir = directory("lines");
    let good = chain(&dir.join("a.jsonl"), 5);
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    for gone in 0..lines.len() - 1 {
        let kept: Vec<u8> =
            lines.iter().enumerate().filter(|(at, _)| *at != gone).flat_map(|(_, l)| l.to_vec()).collect();
        assert_eq!(check(&kept).verdict.status(), 1, "line {gone} gone");
        let mut swapped = lines.clone();
        swapped.swap(gone, gone + 1);
        assert_eq!(check(&swapped.concat()).verdict.status(), 1, "line {gone} swapped");
        let mut doubled = lines.clone();
        doubled.insert(gone, lines[gone]);
        assert_eq!(check(&doubled.concat()).verdict.status(), 1, "line {gone} doubled");
    }
}

#[test]
fn a_torn_line_is_kept_and_the_chain_goes_on() {
    let dir = directory("torn");
    let path = dir.join("a.jsonl");
    let good = chain(&path, 2);
    let line = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in 1..good.len() {
        std::fs::write(&path, &good[..cut]).unwrap();
        let (mut writer, opened) = Writer::open(open(&path), now()).unwrap();
        writer.append(&Entry::new(Event::Logout), now()).unwrap();
        drop(writer);
        let after = std::fs::read(&path).unwrap();
        assert_eq!(&after[..cut], &good[..cut], "what was torn is kept");
        let report = check(&after);
        assert_eq!(report.verdict, Verdict::Whole, "cut {cut} {opened:?}: {}", String::from_utf8_lossy(&after));
        let whole = cut == line;
        assert_eq!(opened == Opened::Whole, whole);
        assert_eq!(String::from_utf8_lossy(&after).contains("recovered"), !whole);
    }
}

#[test]
fn an_edited_torn_line_is_found() {
    let dir = directory("torn-edit");
    let path = dir.join("a.jsonl");
    let good = chain(&path, 2);
    std::fs::write(&path, &good[..good.len() - 20]).unwrap();
    drop(Writer::open(open(&path), now()).unwrap());
    let mut after = std::fs::read(&path).unwrap();
    assert_eq!(check(&after).recovered, 1);
    let at = good.len() - 40;
    after[at] ^= 1;
    assert_eq!(check(&after).verdict.status(), 1);
}

#[test]
fn a_damaged_end_is_refused() {
    let dir = directory("damaged");
    let path = dir.join("a.jsonl");
    let mut bytes = chain(&path, 2);
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Writer::open(open(&path), now()), Err(AuditError::Damaged)));
    std::fs::write(&path, b"hello\n").unwrap();
    assert!(matches!(Writer::open(open(&path), now()), Err(AuditError::Damaged)));
}

#[test]
fn one_writer_at_a_time() {
    let path = directory("lock").join("a.jsonl");
    let first = Writer::open(open(&path), now()).unwrap();
    assert!(matches!(Writer::open(open(&path), now()), Err(AuditError::InUse)));
    drop(first);
    assert!(Writer::open(open(&path), now()).is_ok());
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_chain_whole() {
    let device = OpenOptions::new().read(true).append(true).open("/dev/full").unwrap();
    let (mut writer, _) = Writer::open(device, now()).unwrap();
    let error = writer.append(&Entry::new(Event::Login), now()).unwrap_err();
    assert!(matches!(&error, AuditError::Write(cause) if cause.raw_os_error() == Some(28)), "{error}");
    assert_eq!(writer.sequence(), 0);
}

#[test]
fn a_rotated_chain_goes_on_in_the_next_file() {
    let dir = directory("rotate");
    let (first, second) = (dir.join("a.jsonl"), dir.join("b.jsonl"));
    chain(&first, 2);
    let (mut writer, _) = Writer::open(open(&first), now()).unwrap();
    let head = writer.head();
    writer.continue_in(open(&second), now()).unwrap();
    writer.append(&Entry::new(Event::Login), now()).unwrap();
    let bytes = std::fs::read(&second).unwrap();
    let report = check(&bytes);
    assert_eq!((report.verdict, report.continues.as_deref()), (Verdict::Whole, Some(head.as_str())));
    // Without its first line the second file has no beginning.
    let cut = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(check(&bytes[cut..]).verdict.status(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any text, any crash points: what is written is read back whole.
    #[test]
    fn any_text_and_any_crash_make_a_whole_chain(
        texts in proptest::collection::vec(any::<String>(), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let path = directory("any").join("a.jsonl");
        for _ in 0..2 {
            let (mut writer, _) = Writer::open(open(&path), now()).unwrap();
            for text in &texts {
                writer.append(&Entry::new(Event::Refused).text(Field::User, text), now()).unwrap();
            }
            drop(writer);
            let length = std::fs::metadata(&path).unwrap().len();
            let keep = length - cut.index(200.min(length as usize)) as u64;
            OpenOptions::new().write(true).open(&path).unwrap().set_len(keep).unwrap();
        }
        drop(Writer::open(open(&path), now()).unwrap());
        let mut bytes = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        prop_assert_eq!(check(&bytes).verdict, Verdict::Whole);
        // Anything appended by another hand is found or is a torn tail.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":9}\n").unwrap();
        prop_assert_eq!(check(&std::fs::read(&path).unwrap()).verdict.status(), 1);
    }
}
