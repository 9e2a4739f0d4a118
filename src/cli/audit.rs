//! `audit verify FILE|DIR…`: every chain that is there, the worst verdict as status.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::audit::{Report, Verdict, verify};

/// Prints one line for each file; 0 whole, 1 changed, 2 a torn end.
pub(super) fn run(paths: &[PathBuf], out: &mut impl Write) -> Result<u8, Failure> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(chains(path)?);
    }
    let mut reports = Vec::new();
    for file in &files {
        let opened = File::open(file).and_then(|opened| verify(BufReader::new(opened)));
        let report = opened.map_err(|error| Failure::other(format_args!("{}: {error}", file.display())))?;
        reports.push(report);
    }
    let heads: BTreeSet<&str> = reports.iter().map(|report| report.head.as_str()).collect();
    for (file, report) in files.iter().zip(&reports) {
        let _ = writeln!(out, "{}", line(file, report, &heads));
    }
    Ok(status(reports.iter().map(|report| &report.verdict)))
}

/// An edit outweighs a torn end.
fn status<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> u8 {
    let all: Vec<u8> = verdicts.map(Verdict::status).collect();
    if all.contains(&1) { 1 } else { all.into_iter().max().unwrap_or(0) }
}

fn line(file: &Path, report: &Report, heads: &BTreeSet<&str>) -> String {
    let mut text = format!("{}: {}; {} entries, head {}", file.display(), report.verdict, report.entries, report.head);
    if report.recovered > 0 {
        text.push_str(&format!(", {} torn lines recovered", report.recovered));
    }
    match &report.continues {
        Some(before) if heads.contains(before.as_str()) => text.push_str(", continues a file that is here"),
        Some(before) => text.push_str(&format!(", continues a file that is not here (its head was {before})")),
        None => {}
    }
    text
}

fn chains(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let explain = |error: std::io::Error| Failure::other(format_args!("{}: {error}", path.display()));
    if !fs::metadata(path).map_err(explain)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(explain)? {
        let entry = entry.map_err(explain)?;
        let is_chain = entry.file_name().to_string_lossy().contains(".jsonl");
        if is_chain && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::other(format_args!("{}: no file named *.jsonl is there", path.display())));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::time::SystemTime;

    use super::*;
    use crate::audit::{Entry, Event, Writer};
    use crate::cli::testing::TempDir;

    fn chain(path: &Path) {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
        let (mut writer, _) = Writer::open(file, SystemTime::now()).unwrap();
        for _ in 0..3 {
            writer.append(&Entry::new(Event::Begun), SystemTime::now()).unwrap();
        }
    }

    #[test]
    fn a_directory_has_the_worst_status_of_its_chains() {
        let dir = TempDir::new("audit-verify");
        let (good, torn) = (dir.join("gateway.jsonl"), dir.join("spawner.jsonl"));
        chain(&good);
        chain(&torn);
        let mut out = Vec::new();
        let verified =
            |paths: &[&Path], out: &mut Vec<u8>| run(&paths.iter().map(PathBuf::from).collect::<Vec<_>>(), out);
        assert_eq!(verified(&[dir.path()], &mut out).unwrap(), 0, "{}", String::from_utf8_lossy(&out));
        let bytes = fs::read(&torn).unwrap();
        fs::write(&torn, &bytes[..bytes.len() - 9]).unwrap();
        assert_eq!(verified(&[dir.path()], &mut out).unwrap(), 2);
        assert_eq!(verified(&[&torn, &good], &mut out).unwrap(), 2);
        let edited = String::from_utf8(fs::read(&good).unwrap()).unwrap().replacen("begun", "login", 1);
        fs::write(&good, edited).unwrap();
        // Files and directories, in any order: an edit outweighs a torn end.
        let elsewhere = TempDir::new("audit-verify-more");
        chain(&elsewhere.join("more.jsonl"));
        for paths in [&[dir.path()][..], &[&good, &torn], &[&torn, &good], &[elsewhere.path(), &torn, dir.path()]] {
            assert_eq!(verified(paths, &mut out).unwrap(), 1, "{paths:?}");
        }
        out.clear();
        assert_eq!(verified(&[elsewhere.path(), &torn], &mut out).unwrap(), 2);
        let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("more.jsonl: whole;") && lines[1].contains("torn"), "{text}");
        assert_eq!(verified(&[&good], &mut out).unwrap(), 1);
        assert!(String::from_utf8(out).unwrap().contains("CHANGED at line 1"));
    }

    #[test]
    fn nothing_to_verify_is_no_success() {
        let dir = TempDir::new("audit-none");
        let there = dir.join("there/gateway.jsonl");
        fs::create_dir(dir.join("there")).unwrap();
        chain(&there);
        for path in [dir.path().to_owned(), dir.join("gone.jsonl")] {
            assert_eq!(run(&[there.clone(), path], &mut Vec::new()).unwrap_err().status, 1);
        }
        assert_eq!(run(&[there], &mut Vec::new()).unwrap(), 0);
    }
}
