//! The figures, one file for each group; each prints its own tables.

mod attach;
mod bulk;
mod echo;
mod engine;
mod fanout;
mod host;
mod login;
mod memory;
mod structured;

use anyhow::{Result, bail};

use crate::Plan;
use crate::peers::Stage;

pub(crate) use echo::drain;

/// What `run` takes, in this order.
pub(crate) const GROUPS: [&str; 12] = [
    "echo",
    "relay",
    "bulk",
    "engine",
    "prompt",
    "noise",
    "bulk-unpinned",
    "login",
    "memory",
    "fanout",
    "attach",
    "structured",
];

/// Whether client, servers and programs share one core, the other being kept busy.
pub(crate) fn is_pinned(group: &str) -> bool {
    matches!(group, "echo" | "relay" | "bulk" | "engine" | "prompt")
}

pub(crate) async fn group(name: &str, plan: Plan) -> Result<()> {
    if name == "engine" {
        engine::run(plan);
        return Ok(());
    }
    if name == "relay" {
        return echo::relays(plan);
    }
    if name == "memory" {
        return memory::run(plan).await;
    }
    let stage = Stage::new()?;
    match name {
        "echo" => echo::alone(&stage, plan).await,
        "noise" => echo::among_others(&stage, plan).await,
        "bulk" | "bulk-unpinned" => bulk::run(&stage, plan).await,
        "login" => login::run(&stage, plan).await,
        "fanout" => fanout::run(&stage, plan).await,
        "attach" => attach::run(&stage, plan).await,
        "prompt" => structured::trips(&stage, plan).await,
        "structured" => structured::run(&stage).await,
        _ => bail!("no such group: {name}"),
    }
}

/// Whether `wanted` has come, perhaps cut between two pieces; `tail` is the last piece's end.
pub(crate) fn holds(tail: &mut Vec<u8>, bytes: &[u8], wanted: &str) -> bool {
    let wanted = wanted.as_bytes();
    tail.extend_from_slice(bytes);
    let found = tail.windows(wanted.len()).any(|window| window == wanted);
    tail.drain(..tail.len().saturating_sub(wanted.len() - 1));
    found
}

/// The same when it can only be the last that comes; costs nothing for each byte.
pub(crate) fn ends(tail: &mut Vec<u8>, bytes: &[u8], wanted: &str) -> bool {
    let most = wanted.len();
    tail.extend_from_slice(&bytes[bytes.len().saturating_sub(most)..]);
    tail.drain(..tail.len().saturating_sub(most));
    tail.as_slice() == wanted.as_bytes()
}
