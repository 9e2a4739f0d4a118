//! What Portcullis costs beside OpenSSH, tmux and a bare PTY, measured in one run. docs/performance.md says how to read it; nothing here is a test.

mod figures;
mod peers;
mod proc;
mod programs;
mod pty;
mod relay;
mod ssh;
mod stats;
mod streams;
mod talkers;
mod wss;

use anyhow::{Context, Result, bail};

/// Rounds and sizes, from the environment; the defaults are what docs/performance.md asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    rounds: usize,
    trips: usize,
    mebibytes: usize,
    logins: usize,
    viewers: usize,
}

impl Plan {
    fn from_environment() -> Self {
        let number = |name: &str, default| {
            std::env::var(format!("BENCH_{name}")).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            rounds: number("ROUNDS", 7),
            trips: number("TRIPS", 3000),
            mebibytes: number("MIB", 64),
            logins: number("LOGINS", 64),
            viewers: number("VIEWERS", 200),
        }
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words.as_slice() {
        ["run", groups @ ..] => run(groups),
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["drain", target, count] => runtime()?.block_on(figures::drain(target, count.parse()?)),
        ["relay", kind] => relay::serve(kind),
        // The driver's own arguments follow.
        ["program", name, ..] if talkers::TALKERS.contains(name) => talkers::run(name),
        ["program", name, rest @ ..] => programs::run(name, rest),
        _ => bail!("usage: compare run GROUP...; groups: {}", figures::GROUPS.join(" ")),
    }
}

fn run(groups: &[&str]) -> Result<()> {
    let plan = Plan::from_environment();
    let groups = if groups.is_empty() { &figures::GROUPS[..] } else { groups };
    println!("{}", proc::machine());
    println!("{plan:?}");
    let mut busy = None;
    for group in groups {
        proc::pin(figures::is_pinned(group))?;
        if figures::is_pinned(group) && busy.is_none() {
            busy = Some(proc::Busy::start()?);
        } else if !figures::is_pinned(group) {
            busy = None;
        }
        println!(
            "\n== {group} ({}; load {})",
            if figures::is_pinned(group) { "pinned" } else { "unpinned" },
            proc::load()
        );
        runtime()?.block_on(figures::group(group, plan)).with_context(|| group.to_string())?;
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
