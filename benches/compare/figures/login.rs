//! Connect, log in and see a live session; OpenSSH: a program that is ready on a terminal.

use std::time::Instant;

use anyhow::Result;

use crate::Plan;
use crate::peers::{DOORS, Stage, Target};
use crate::programs::READY;
use crate::stats::Table;

/// Logins in flight at once.
const TOGETHER: usize = 16;

pub(super) async fn run(stage: &Stage, plan: Plan) -> Result<()> {
    let names = ["OpenSSH", "ssh", "wss"];
    let mut alone = Table::new("logins one after the other", "per s", &names);
    let mut together = Table::new("logins, 16 in flight", "per s", &names);
    let mut targets = Vec::new();
    for door in DOORS {
        let what = stage.prepare(door, "quiet").await?;
        targets.push((stage.target(door), what));
    }
    for _ in 0..plan.rounds {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (target, what) in &targets {
            let few = plan.logins / 4;
            let begin = Instant::now();
            logins(target, what, few).await?;
            first.push(few as f64 / begin.elapsed().as_secs_f64());
            let begin = Instant::now();
            let each = plan.logins / TOGETHER;
            let tasks: Vec<_> = (0..TOGETHER)
                .map(|_| {
                    let (target, what) = (target.clone(), what.clone());
                    tokio::spawn(async move { logins(&target, &what, each).await })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            second.push((each * TOGETHER) as f64 / begin.elapsed().as_secs_f64());
        }
        alone.round(first);
        together.round(second);
    }
    alone.print();
    together.print();
    Ok(())
}

async fn logins(target: &Target, what: &str, count: usize) -> Result<()> {
    for _ in 0..count {
        target.connect(what, true).await?.until(READY).await?;
    }
    Ok(())
}
