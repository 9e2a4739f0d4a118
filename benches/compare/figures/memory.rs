//! What the gateway, an idle viewer and an idle session host take, and how soon a host is there.

use std::time::Instant;

use anyhow::Result;

use crate::Plan;
use crate::peers::{Door, Stage};
use crate::proc::smaps;
use crate::programs::READY;
use crate::stats::{median, quantile};

/// Live sessions that the viewers are spread over.
const SESSIONS: usize = 10;
/// Hosts of which the middle one counts.
const HOSTS: usize = 20;

/// The ssh viewers see a gateway in which nobody was, and so do the wss viewers: memory that the first left free would hide the others.
pub(super) async fn run(plan: Plan) -> Result<()> {
    let stage = Stage::new()?;
    base(&stage).await?;
    viewers(&stage, Door::Ssh, plan).await?;
    drop(stage);
    viewers(&Stage::new()?, Door::Wss, plan).await
}

async fn base(stage: &Stage) -> Result<()> {
    let gateway = stage.gateway()?;
    println!(
        "gateway, nobody there: RSS {:.1} MiB, private {:.1} MiB",
        smaps(gateway, "Rss:") / 1024.0,
        smaps(gateway, "Private_") / 1024.0
    );
    hosts(stage).await
}

async fn viewers(stage: &Stage, door: Door, plan: Plan) -> Result<()> {
    let gateway = stage.gateway()?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(stage.session("quiet", (80, 24)).await?.0);
    }
    let target = stage.target(door);
    let (mut lines, mut before) = (Vec::new(), 0.0);
    // The first viewers make what all share; they are not counted.
    for at in 0..plan.viewers + SESSIONS {
        if at == SESSIONS {
            before = smaps(gateway, "Pss:");
        }
        let mut line = target.connect(&sessions[at % SESSIONS], true).await?;
        line.until(READY).await?;
        lines.push(line);
    }
    let after = smaps(gateway, "Pss:");
    let each = (after - before) / plan.viewers as f64;
    println!(
        "idle viewer, {door:?}: PSS {each:.1} KiB each at {} viewers of {SESSIONS} sessions ({before:.0} -> {after:.0} KiB)",
        plan.viewers
    );
    Ok(())
}

async fn hosts(stage: &Stage) -> Result<()> {
    let mut connection = stage.wss().await?;
    let mut taken = Vec::new();
    for at in 0..HOSTS {
        let begin = Instant::now();
        connection.start("bench-silent", &format!("idle{at}"), (80, 24)).await?;
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let private: Vec<f64> = stage.hosts().into_iter().map(|pid| smaps(pid, "Private_")).collect();
    println!(
        "idle host, 80x24: private {:.0} KiB (median of {}; {:.0}-{:.0})",
        median(&private),
        private.len(),
        quantile(&private, 0.0),
        quantile(&private, 1.0)
    );
    let starts = super::host::starts(&stage.measured(), HOSTS)?;
    println!("host alone, fork and exec to ready: {:.2} ms p50, {:.2} p90", median(&starts), quantile(&starts, 0.9));
    println!(
        "session asked for to session ready, over wss (order, account's checks, fork, host, agent): {:.2} ms p50, {:.2} p90",
        median(&taken),
        quantile(&taken, 0.9)
    );
    for at in 0..HOSTS {
        stage.kill(&format!("idle{at}")).await?;
    }
    Ok(())
}
