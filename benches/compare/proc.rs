//! What /proc says of processes, and where they may run; does not know which process is whose.

use std::process::{Child, Command};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Processor, kernel and library versions, for the head of the output.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, Linux {}, load {}", kernel.trim(), load())
}

pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// This process, and what it starts from now on: on the first core alone, or on all.
pub(crate) fn pin(alone: bool) -> Result<()> {
    let mut cores = CpuSet::new();
    for core in 0..if alone { 1 } else { CpuSet::MAX_CPU } {
        cores.set(core);
    }
    sched_setaffinity(None, &cores).context("sched_setaffinity")
}

/// A loop of normal priority on the second core: without it the kernel's PTY worker sleeps and wakes there, which hides everything else.
pub(crate) struct Busy(Child);

impl Busy {
    pub(crate) fn start() -> Result<Self> {
        // Of normal priority also when the bench itself was started with a higher one.
        let words = ["--other", "0", "nice", "-n", "0", "taskset", "-c", "1"];
        let child = Command::new("chrt").args(words).arg(std::env::current_exe()?).arg("spin").spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

pub(crate) fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A process and all below it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let pairs: Vec<(u32, u32)> = all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&above) = found.get(at) {
        found.extend(pairs.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

pub(crate) fn arguments(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// CPU seconds of these processes, all threads: utime + stime to the nanosecond where the kernel counts so.
pub(crate) fn cpu(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| cpu_of(*pid)).sum()
}

fn cpu_of(pid: u32) -> f64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let spent = |path: std::path::PathBuf| -> Option<f64> {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    threads.filter_map(|thread| spent(thread.ok()?.path())).sum::<f64>() / 1e9
}

/// KiB of the lines of smaps_rollup that begin with `name`.
pub(crate) fn smaps(pid: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let values = text.lines().filter(|line| line.starts_with(name));
    values.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
}

/// What runs, as `ps` prints it.
pub(crate) fn ps(pids: &[u32]) -> String {
    let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let output = Command::new("ps").args(["--forest", "-o", "pid,ppid,user:16,ni,nlwp,rss,args", "-p", &list]).output();
    output.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
