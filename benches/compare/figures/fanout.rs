//! One program, 1 MiB/s, twenty wss viewers that must all get the same bytes.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::Plan;
use crate::peers::{Door, Line, Stage};
use crate::programs::{BEGIN_PACED, END_PACED, READY, hash};
use crate::stats::median;

const VIEWERS: usize = 20;

pub(super) async fn run(stage: &Stage, plan: Plan) -> Result<()> {
    let mut each = Vec::new();
    for _ in 0..plan.rounds.min(3) {
        let name = stage.session("paced", (80, 24)).await?.0;
        let target = stage.target(Door::Wss);
        let mut lines = Vec::new();
        for _ in 0..VIEWERS {
            let mut line = target.connect(&name, true).await?;
            line.until(READY).await?;
            lines.push(line);
        }
        let movers = stage.movers(Door::Wss)?;
        let before = crate::proc::cpu(&movers);
        let begin = Instant::now();
        lines[0].send(b"!").await?;
        let tasks: Vec<_> = lines.into_iter().map(|line| tokio::spawn(collect(line))).collect();
        let mut delivered = 0;
        for task in tasks {
            delivered += task.await??;
        }
        let spent = crate::proc::cpu(&movers) - before;
        let mebibytes = delivered as f64 / (1 << 20) as f64;
        println!("{VIEWERS} viewers: {mebibytes:.1} MiB in {:.1} s, all hashes equal", begin.elapsed().as_secs_f64());
        each.push(spent * 1e3 / mebibytes);
        stage.kill(&name).await?;
    }
    println!(
        "fan-out, CPU of gateway and host for each delivered MiB: {:.3} ms (median of {})",
        median(&each),
        each.len()
    );
    Ok(())
}

/// Everything between the marks, which must have the hash that the program printed.
async fn collect(mut line: Line) -> Result<usize> {
    let mut seen = Vec::new();
    let (begin, end) = (BEGIN_PACED.as_bytes(), END_PACED.as_bytes());
    loop {
        let bytes = line.receive().await?;
        let from = seen.len().saturating_sub(end.len() + 65);
        seen.extend_from_slice(&bytes);
        let Some(at) = seen[from..].windows(end.len()).position(|window| window == end).map(|at| at + from) else {
            continue;
        };
        let Some(said) = seen.get(at + end.len()..at + end.len() + 64) else { continue };
        let Some(start) = seen.windows(begin.len()).position(|window| window == begin) else { bail!("no begin") };
        let body = &seen[start + begin.len()..at];
        if hash(body).as_bytes() != said {
            bail!("a viewer got {} other bytes", body.len());
        }
        return Ok(body.len());
    }
}
