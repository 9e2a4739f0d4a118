//! Structured sessions: how long a prompt and an event are on their way, how many events a second reach ten viewers, what a long line and
//! an idle session cost.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use portcullis::wire::v1::{self, agent_event::Kind};

use crate::Plan;
use crate::peers::Stage;
use crate::proc::{cpu, smaps};
use crate::stats::{Table, median, quantile};
use crate::talkers::{LONG, bare, clock, stamps};
use crate::wss::Events;

/// Viewers of one session.
const VIEWERS: usize = 10;
/// Events at 10,000 a second.
const EVENTS: u64 = 50_000;
/// Idle hosts of which the middle one counts.
const HOSTS: usize = 10;

/// On one core, beside a bare pipe.
pub(super) async fn trips(stage: &Stage, plan: Plan) -> Result<()> {
    let mut tables: Vec<Table> = Vec::new();
    for title in ["prompt to agent p50", "agent to event p50", "prompt to agent p99", "agent to event p99"] {
        tables.push(Table::new(title, "us", &["bare pipe", "wss"]));
    }
    let count = plan.trips.min(1000);
    for _ in 0..plan.rounds {
        let (bare_there, bare_back) = bare(count)?;
        let name = stage.session("stamps", (80, 24)).await?.0;
        let mut events = stage.wss().await?.watch(&name).await?;
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for trip in 0..count + 20 {
            let begin = clock();
            events.prompt(&name, &format!("p{trip}"), "x").await?;
            let (mut end, mut said) = (0, None);
            loop {
                match events.next().await?.1 {
                    Kind::Message(chunk) => (end, said) = (clock(), Some(stamps(&chunk.text)?)),
                    Kind::Prompt(state) if state.phase() == v1::PromptPhase::Finished => break,
                    _ => {}
                }
            }
            let (got, sent) = said.context("no answer")?;
            if trip >= 20 {
                there.push((got - begin) as f64 / 1e3);
                back.push((end - sent) as f64 / 1e3);
            }
        }
        stage.kill(&name).await?;
        for (table, q) in tables.chunks_mut(2).zip([0.5, 0.99]) {
            table[0].round(vec![quantile(&bare_there, q), quantile(&there, q)]);
            table[1].round(vec![quantile(&bare_back, q), quantile(&back, q)]);
        }
    }
    tables.iter().for_each(Table::print);
    Ok(())
}

/// On both cores.
pub(super) async fn run(stage: &Stage) -> Result<()> {
    fanout(stage).await?;
    long_line(stage).await?;
    idle(stage).await
}

async fn fanout(stage: &Stage) -> Result<()> {
    let name = stage.session("events", (80, 24)).await?.0;
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(stage.wss().await?.watch(&name).await?);
    }
    let mut first = stage.wss().await?.watch(&name).await?;
    let movers = [vec![stage.gateway()?], stage.hosts()].concat();
    let (before, begin) = (cpu(&movers), Instant::now());
    first.prompt(&name, "p", &EVENTS.to_string()).await?;
    let tasks: Vec<_> = viewers.into_iter().map(|viewer| tokio::spawn(count(viewer))).collect();
    for task in tasks {
        let seen = task.await??;
        if seen != EVENTS {
            bail!("{seen} of {EVENTS} events");
        }
    }
    let (taken, spent) = (begin.elapsed().as_secs_f64(), cpu(&movers) - before);
    println!(
        "{EVENTS} events at 10,000/s to {VIEWERS} wss viewers: none lost, {taken:.1} s, {:.1} us of CPU for each delivered",
        spent * 1e6 / (EVENTS as f64 * VIEWERS as f64)
    );
    stage.kill(&name).await
}

/// Messages up to the end of the turn; the numbers of all events have no hole.
async fn count(mut viewer: Events) -> Result<u64> {
    let (mut seen, mut next) = (0, None);
    loop {
        let (number, kind) = viewer.next().await?;
        if next.is_some_and(|next| next != number) {
            bail!("event {number} after {next:?}");
        }
        next = Some(number + 1);
        match kind {
            Kind::Message(_) => seen += 1,
            Kind::TurnEnded(_) => return Ok(seen),
            _ => {}
        }
    }
}

async fn long_line(stage: &Stage) -> Result<()> {
    let name = stage.session("long", (80, 24)).await?.0;
    let mut events = stage.wss().await?.watch(&name).await?;
    let host = *stage.hosts().first().context("no host")?;
    let peak = |pid: u32| -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    let (gateway, before) = (stage.gateway()?, peak(host)?);
    let gateway_before = peak(gateway)?;
    events.prompt(&name, "p", "x").await?;
    while !matches!(events.next().await?.1, Kind::TurnEnded(_)) {}
    let line = LONG as f64 / 1024.0;
    println!(
        "a line of {:.0} MiB: host {:.2} times its size at the peak, gateway {:.2}",
        line / 1024.0,
        (peak(host)? - before) / line,
        (peak(gateway)? - gateway_before) / line
    );
    stage.kill(&name).await
}

async fn idle(stage: &Stage) -> Result<()> {
    for (what, program) in [("structured", "stamps"), ("terminal", "silent")] {
        let mut names = Vec::new();
        for _ in 0..HOSTS {
            names.push(stage.session(program, (80, 24)).await?.0);
        }
        let private: Vec<f64> = stage.hosts().into_iter().map(|pid| smaps(pid, "Private_")).collect();
        println!("idle host, {what}: private {:.0} KiB (median of {})", median(&private), private.len());
        for name in names {
            stage.kill(&name).await?;
        }
    }
    Ok(())
}
