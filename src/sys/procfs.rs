//! Processes as /proc shows them; does not know whose they are.

use std::collections::{BTreeMap, BTreeSet};

/// Fields of /proc/PID/stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Parent.
    pub(crate) parent: i32,
    /// Clock ticks after boot (field 22).
    pub(crate) start_time: u64,
    /// Ended, not yet reaped.
    pub(crate) zombie: bool,
}

/// What /proc says about a pid now; none when there is no such process.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// All descendants of a process that have not ended, with their start times, parents before children.
///
/// One look at /proc: a process that forks meanwhile needs another look, so whoever wants none left repeats it.
pub(crate) fn descendants(ancestor: i32) -> Vec<(i32, u64)> {
    let mut children: BTreeMap<i32, Vec<(i32, Stat)>> = BTreeMap::new();
    for (pid, stat) in all() {
        children.entry(stat.parent).or_default().push((pid, stat));
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([ancestor]);
    let mut open = vec![ancestor];
    while let Some(parent) = open.pop() {
        for (pid, stat) in children.remove(&parent).unwrap_or_default() {
            if seen.insert(pid) {
                open.push(pid);
                if !stat.zombie {
                    found.push((pid, stat.start_time));
                }
            }
        }
    }
    found
}

/// Children of a process that have not ended.
pub(crate) fn children(parent: i32) -> Vec<(i32, u64)> {
    all().filter(|(_, stat)| stat.parent == parent && !stat.zombie).map(|(pid, stat)| (pid, stat.start_time)).collect()
}

/// Every pid that has a child which has not ended.
pub(crate) fn parents() -> BTreeSet<i32> {
    all().filter(|(_, stat)| !stat.zombie).map(|(_, stat)| stat.parent).collect()
}

fn all() -> impl Iterator<Item = (i32, Stat)> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
}

/// The program's name stands in parentheses and may hold anything, also parentheses: fields count from the last one.
fn parse(line: &[u8]) -> Option<Stat> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // State is field 3, the parent 4, the start time 22.
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, start_time, zombie: matches!(state, "Z" | "X") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_fields() {
        let line = b"7 (a) R 1 2) S 5 6 7 8 9 0 0 0 0 0 0 0 0 0 0 0 1 0 4242 0\n";
        assert_eq!(parse(line).unwrap(), Stat { parent: 5, start_time: 4242, zombie: false });
        assert_eq!(parse(b"7 (a"), None);
    }

    #[test]
    fn grandchildren_are_found_from_their_ancestor() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "cat & cat; wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = std::process::id() as i32;
        let shell = child.id() as i32;
        assert!(children(own).iter().any(|(pid, _)| *pid == shell));
        while descendants(shell).is_empty() {
            std::thread::yield_now();
        }
        let all = descendants(own);
        assert!(descendants(shell).iter().all(|grandchild| all.contains(grandchild) && grandchild.0 != shell));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(stat(shell).is_none());
    }
}
