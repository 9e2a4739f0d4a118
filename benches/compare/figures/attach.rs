//! From asking for a live 200x50 session, on a connection that is logged in, to the last cell of its screen; and history on request.

use std::time::Instant;

use anyhow::Result;
use portcullis::wire::v1::ViewerMode;

use crate::Plan;
use crate::peers::{Door, Line, Stage};
use crate::stats::{Table, median, quantile};
use crate::streams::MARK;

const SIZE: (u32, u32) = (200, 50);
/// Attaches in each round.
const EACH: usize = 10;
const HISTORY: u32 = 1000;

pub(super) async fn run(stage: &Stage, plan: Plan) -> Result<()> {
    let mut table = Table::new("attach to the last cell, p50", "ms", &["tmux", "ssh", "wss"]);
    let socket = format!("bench-{}", std::process::id());
    let openssh = stage.ssh(Door::OpenSsh).await?;
    let screen = stage.command("screen");
    let create = format!(
        "tmux -L {socket} -f /dev/null new-session -d -x {} -y {} '{screen}' && tmux -L {socket} set -g status off && \
         tmux -L {socket} resize-window -x {} -y {}; sleep 1; echo made",
        SIZE.0, SIZE.1, SIZE.0, SIZE.1
    );
    Line::Ssh(openssh.exec(&create, None).await?).until("made").await?;
    let (name, _) = stage.session("screen", SIZE).await?;
    let ssh = stage.ssh(Door::Ssh).await?;
    let mut history = Vec::new();
    for _ in 0..plan.rounds {
        let (mut tmux, mut ours, mut wss) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..EACH {
            let begin = Instant::now();
            let line = openssh.exec(&format!("tmux -L {socket} attach"), Some(SIZE)).await?;
            tmux.push(complete(Line::Ssh(line), begin).await?);
            let begin = Instant::now();
            let line = ssh.exec(&format!("attach {name}"), Some(SIZE)).await?;
            ours.push(complete(Line::Ssh(line), begin).await?);
            let connection = stage.wss().await?;
            let begin = Instant::now();
            let mut line = Line::Wss(connection.attach(&name, ViewerMode::Raw).await?);
            line.until(MARK).await?;
            wss.push(begin.elapsed().as_secs_f64() * 1e3);
            if let Line::Wss(mut line) = line {
                let begin = Instant::now();
                let length = line.history(HISTORY).await?;
                history.push(begin.elapsed().as_secs_f64() * 1e3);
                if history.len() == 1 {
                    println!("{HISTORY} lines of history: {length} bytes");
                }
            }
        }
        table.round(vec![median(&tmux), median(&ours), median(&wss)]);
    }
    let kill = openssh.exec(&format!("tmux -L {socket} kill-server; echo gone"), None).await?;
    Line::Ssh(kill).until("gone").await?;
    table.print();
    println!("{HISTORY} lines of history: {:.2} ms p50, {:.2} p90", median(&history), quantile(&history, 0.9));
    Ok(())
}

/// Milliseconds to the last cell; the channel is closed before the next is opened.
async fn complete(mut line: Line, begin: Instant) -> Result<f64> {
    line.until(MARK).await?;
    let taken = begin.elapsed().as_secs_f64() * 1e3;
    if let Line::Ssh(line) = line {
        line.close().await?;
    }
    Ok(taken)
}
