//! One key there and back: alone on one core, and among fifty sessions that print.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::Plan;
use crate::peers::{DOORS, Door, Line, Stage, Target};
use crate::programs::READY;
use crate::relay::{Kind, Relay};
use crate::stats::{Table, quantile};

/// Sessions beside the measured one, each printing 20 KiB/s.
const OTHERS: usize = 50;
/// Trips before the measured ones.
const WARM: usize = 200;

pub(super) async fn alone(stage: &Stage, plan: Plan) -> Result<()> {
    rounds(stage, plan, false).await
}

pub(super) async fn among_others(stage: &Stage, plan: Plan) -> Result<()> {
    rounds(stage, plan, true).await
}

/// The same trip through bare relays: what the second process costs here, whatever is built on it.
pub(super) fn relays(plan: Plan) -> Result<()> {
    let mut p50 = Table::new("bare relay, echo p50", "us", &["one process", "two processes"]);
    for _ in 0..plan.rounds {
        let mut values = Vec::new();
        for kind in [Kind::One, Kind::Two] {
            let mut relay = Relay::start(kind)?;
            relay.trips(WARM)?;
            values.push(quantile(&relay.trips(plan.trips)?, 0.5));
        }
        p50.round(values);
    }
    p50.print();
    Ok(())
}

async fn rounds(stage: &Stage, plan: Plan, noisy: bool) -> Result<()> {
    let names = ["OpenSSH", "ssh", "wss"];
    let mut p50 = Table::new("echo p50", "us", &names);
    let mut p99 = Table::new("echo p99", "us", &names);
    let mut cpu = Table::new("server CPU for each trip", "us", &names);
    for round in 0..plan.rounds {
        let mut values = [Vec::new(), Vec::new(), Vec::new()];
        for door in DOORS {
            let noise = if noisy { Some(Noise::start(stage, door).await?) } else { None };
            let what = stage.prepare(door, "echo").await?;
            let mut line = stage.target(door).connect(&what, true).await?;
            line.until(READY).await?;
            trips(&mut line, WARM).await?;
            let movers = stage.movers(door)?;
            if round == 0 && door != Door::Ssh && !noisy {
                println!("{}", stage.ps());
            }
            let before = crate::proc::cpu(&movers);
            let taken = trips(&mut line, plan.trips).await?;
            let spent = crate::proc::cpu(&movers) - before;
            values[0].push(quantile(&taken, 0.5));
            values[1].push(quantile(&taken, 0.99));
            values[2].push(spent * 1e6 / plan.trips as f64);
            drop(line);
            stage.discard(door, &what).await?;
            if let Some(noise) = noise {
                noise.stop(stage, door).await?;
            }
        }
        let [a, b, c] = values;
        p50.round(a);
        p99.round(b);
        cpu.round(c);
    }
    p50.print();
    p99.print();
    cpu.print();
    Ok(())
}

/// Microseconds of each trip.
async fn trips(line: &mut Line, count: usize) -> Result<Vec<f64>> {
    let mut taken = Vec::with_capacity(count);
    for at in 0..count {
        let byte = [b'a' + (at % 26) as u8];
        let begin = Instant::now();
        line.send(&byte).await?;
        let back = loop {
            let bytes = line.receive().await?;
            if !bytes.is_empty() {
                break bytes;
            }
        };
        taken.push(begin.elapsed().as_secs_f64() * 1e6);
        if back.last() != Some(&byte[0]) {
            bail!("sent {byte:?}, got {back:?}");
        }
    }
    Ok(taken)
}

/// The other sessions, and a process that reads them.
struct Noise {
    reader: Child,
    sessions: Vec<String>,
}

impl Noise {
    async fn start(stage: &Stage, door: Door) -> Result<Self> {
        let mut sessions = Vec::new();
        for _ in 0..OTHERS {
            sessions.push(stage.prepare(door, "noise").await?);
        }
        let target = stage.target(door).text();
        let mut reader = Command::new(std::env::current_exe()?)
            .args(["drain", &target, &OTHERS.to_string()])
            .env("BENCH_SESSIONS", sessions.join("\n"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(reader.stdout.take().context("stdout")?).read_line(&mut line)?;
        if line.trim() != READY {
            bail!("the other sessions are not read: {line:?}");
        }
        Ok(Self { reader, sessions })
    }

    async fn stop(mut self, stage: &Stage, door: Door) -> Result<()> {
        self.reader.kill()?;
        self.reader.wait()?;
        for session in &self.sessions {
            stage.discard(door, session).await?;
        }
        Ok(())
    }
}

/// In a process of its own: reads the sessions of `BENCH_SESSIONS`, each over its own connection, until killed.
pub(crate) async fn drain(target: &str, count: usize) -> Result<()> {
    let target = Target::parse(target)?;
    let sessions = std::env::var("BENCH_SESSIONS").context("BENCH_SESSIONS")?;
    let mut tasks = Vec::new();
    for session in sessions.split('\n').take(count) {
        let mut line = target.connect(session, true).await?;
        line.receive().await?;
        tasks.push(tokio::spawn(async move { while line.receive().await.is_ok() {} }));
    }
    println!("{READY}");
    for task in tasks {
        task.await?;
    }
    bail!("all ended")
}
