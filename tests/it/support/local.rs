//! The local client without a terminal, and an account of what came out of it.

use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use super::generator::{find_ready, printed};
use super::place::Place;

/// `portcullis attach` without a terminal, and what came out of it.
pub struct Local {
    pub child: Child,
    output: Arc<Mutex<Vec<u8>>>,
    errors: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Local {
    /// Follows the session called main.
    pub fn start(place: &Place, address: &str, from: &str) -> Self {
        let gateway = format!("wss://{address}");
        let mut command = place.client(&["attach", "main", "--from", from, "--gateway", &gateway]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, errors) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&output)),
            collect(child.stderr.take().unwrap(), Arc::clone(&errors)),
        ];
        Self { child, output, errors, readers }
    }

    /// Standard error so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.errors.lock().unwrap()).into_owned()
    }

    /// Where the records begin, once READY came.
    pub fn ready(&self) -> Option<usize> {
        find_ready(&self.output.lock().unwrap())
    }

    /// Its status, output and standard error.
    pub fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        let status = self.child.wait().unwrap().code();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let output = std::mem::take(&mut *self.output.lock().unwrap());
        (status, output, self.said())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            into.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    })
}

/// From and to of every loss that was said.
fn losses(said: &str) -> Vec<(u64, u64)> {
    let of = |line: &str| {
        let (_, rest) = line.split_once(" bytes of output are gone (")?;
        let (from, to) = rest.strip_suffix(')')?.split_once(" to ")?;
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    said.lines().filter_map(of).collect()
}

/// What came through one client after another.
#[derive(Debug, Default)]
pub struct Account {
    /// Log offset of the generator's first byte.
    pub base: u64,
    /// Log offset after what is accounted for.
    pub at: u64,
    pub received: u64,
    pub lost: u64,
    pub continuous: usize,
    pub verdicts: usize,
}

impl Account {
    /// Output and losses of one client that began at `at`, or after a loss with `--from start`.
    pub fn add(&mut self, output: &[u8], said: &str) {
        let mut rest = output;
        for (from, to) in losses(said) {
            // `--from start` counts from the log's first byte; what was accounted for before is not lost again.
            let from = from.max(self.at);
            assert!(to >= from, "the ring went back to {to} after {from}");
            let (before, after) = rest.split_at((from - self.at) as usize);
            self.bytes(before);
            rest = after;
            self.lost += to - from;
            self.at = to;
        }
        self.bytes(rest);
        let continuous = returns(said);
        self.continuous += continuous;
        // A client that was started anew has no verdict of its own: the break was its predecessor's.
        self.verdicts += continuous + losses(said).iter().filter(|(from, _)| *from > 0).count();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let before = self.base.saturating_sub(self.at).min(bytes.len() as u64) as usize;
        let records = &bytes[before..];
        let known = printed((self.at + before as u64).saturating_sub(self.base), records.len());
        let wrong = records.iter().zip(&known).position(|(left, right)| left != right);
        assert!(wrong.is_none(), "another byte than was printed at {wrong:?} after {}", self.at);
        self.at += bytes.len() as u64;
        self.received += records.len() as u64;
    }
}

/// How often it came back without a loss.
pub fn returns(said: &str) -> usize {
    said.matches("back, nothing is lost (at ").count()
}
