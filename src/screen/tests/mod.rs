//! Tests of the engine side of the room. `PORTCULLIS_CASES` sets how many random cases each property runs.

mod compare;
mod fixed;
mod generate;
mod hostile;
mod repaint;
mod skipping;
mod together;
mod views;

use super::Screen;
use super::settle::Settler;
use crate::base::WinSize;

/// How many random cases: the environment's number, or a short run.
fn cases(short: u64) -> u64 {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

fn size(cols: u32, rows: u32) -> WinSize {
    WinSize::clamped(cols, rows)
}

/// A screen that has taken in these bytes.
fn screen(cols: u32, rows: u32, bytes: &[u8]) -> Screen {
    let mut screen = Screen::new(size(cols, rows));
    assert_eq!(screen.feed_all(bytes), bytes.len(), "unfinished: {}", bytes.escape_ascii());
    screen
}

/// An engine that interprets everything.
fn reference(size: WinSize, history: usize) -> Settler {
    let mut settler = Settler::new(size, history);
    settler.skips = false;
    settler
}

/// Feeds all that is outside unfinished sequences.
fn feed(settler: &mut Settler, bytes: &[u8]) -> usize {
    settler.settle([bytes, &[]], false, usize::MAX).0
}

/// The shortest input found by deleting ranges that still fails.
fn shrink(bytes: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut least = bytes.to_vec();
    let mut span = least.len() / 2;
    while span > 0 {
        let mut at = 0;
        while at < least.len() {
            let mut shorter = least.clone();
            shorter.drain(at..(at + span).min(least.len()));
            if fails(&shorter) { least = shorter } else { at += span }
        }
        span /= 2;
    }
    least
}
