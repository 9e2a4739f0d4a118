//! Plain lines as fast as the PTY gives them, to one exact viewer: rate and CPU.

use std::time::Instant;

use anyhow::Result;

use crate::Plan;
use crate::peers::{DOORS, Door, Stage};
use crate::programs::{END, READY};
use crate::stats::Table;

pub(super) async fn run(stage: &Stage, plan: Plan) -> Result<()> {
    let mut rate = Table::new("bulk", "MiB/s", &["raw PTY", "OpenSSH", "ssh", "wss"]);
    let mut cpu = Table::new("bulk CPU of the servers", "s/GiB", &["OpenSSH", "ssh", "wss"]);
    let mut piece = Table::new("bulk, bytes in each piece the client gets", "KiB", &["OpenSSH", "ssh", "wss"]);
    for round in 0..plan.rounds {
        let mut rates = vec![plan.mebibytes as f64 / crate::pty::bulk(plan.mebibytes)?];
        let (mut cpus, mut pieces) = (Vec::new(), Vec::new());
        for door in DOORS {
            let what = stage.prepare(door, "bulk").await?;
            // OpenSSH's program needs its terminal; a viewer of ours without one is exact.
            let mut line = stage.target(door).connect(&what, door == Door::OpenSsh).await?;
            if door == Door::OpenSsh {
                line.until(READY).await?;
            }
            let movers = stage.movers(door)?;
            let before = crate::proc::cpu(&movers);
            let begin = Instant::now();
            line.send(b"\n").await?;
            let (mut tail, mut count, mut length) = (Vec::new(), 0, 0);
            loop {
                let bytes = line.receive().await?;
                count += 1;
                length += bytes.len();
                if super::ends(&mut tail, &bytes, END) {
                    break;
                }
            }
            rates.push(plan.mebibytes as f64 / begin.elapsed().as_secs_f64());
            cpus.push((crate::proc::cpu(&movers) - before) * 1024.0 / plan.mebibytes as f64);
            pieces.push(length as f64 / 1024.0 / f64::from(count));
            if round == 0 {
                println!("{door:?}: {length} bytes delivered");
            }
            drop(line);
            stage.discard(door, &what).await?;
        }
        rate.round(rates);
        cpu.round(cpus);
        piece.round(pieces);
    }
    rate.print();
    cpu.print();
    piece.print();
    Ok(())
}
