//! Sieve and screen alone, fed in process as a host feeds them: no PTY, no link.

use portcullis::base::WinSize;
use portcullis::screen::{Mark, Screen, Sieve, Sieved};

use crate::stats::Table;
use crate::{Plan, streams};

/// What a host reads at once, and at which debt it brings the screen up to date.
const BATCH: usize = 32 * 1024;
const DEBT: usize = 256 * 1024;

pub(super) fn run(plan: Plan) {
    let length = plan.mebibytes * 1024 * 1024;
    let kinds = [streams::sieved_plain as fn(usize) -> Vec<u8>, streams::coloured, streams::redraws];
    let inputs: Vec<Vec<u8>> = kinds.iter().map(|kind| kind(length)).collect();
    let mut table = Table::new("sieve and screen alone, 200x50", "s/GiB", &["plain", "coloured", "redraws"]);
    for _ in 0..plan.rounds {
        table.round(inputs.iter().map(|input| seconds(input) * (1u64 << 30) as f64 / input.len() as f64).collect());
    }
    table.print();
}

fn seconds(input: &[u8]) -> f64 {
    let size = WinSize::clamped(200, 50);
    let (mut sieve, mut screen, mut sieved) = (Sieve::new(), Screen::new(size), Sieved::default());
    let (mut log, mut plain) = (Vec::with_capacity(DEBT + 2 * BATCH), true);
    let begin = crate::proc::cpu(&[std::process::id()]);
    for batch in input.chunks(BATCH) {
        sieve.push(batch, &mut sieved);
        sieved.assemble(batch, &mut log);
        plain &= sieved.mark == Mark::Plain;
        if log.len() >= DEBT {
            settle(&mut screen, &mut log, plain);
            plain = true;
        }
    }
    settle(&mut screen, &mut log, plain);
    crate::proc::cpu(&[std::process::id()]) - begin
}

fn settle(screen: &mut Screen, log: &mut Vec<u8>, plain: bool) {
    let mut at = 0;
    loop {
        let settled = screen.settle([&log[at..], &[]], plain, 64 * 1024);
        at += settled.consumed;
        if settled.done || settled.consumed == 0 {
            break;
        }
    }
    log.drain(..at);
}
