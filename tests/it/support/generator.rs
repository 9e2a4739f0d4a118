//! tests/programs/generate.py in a session, and what it must have printed.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::eventually;
use super::place::Place;

/// Bytes of a record.
const RECORD: usize = 64;
const PATTERN: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+/";
/// What it says before it waits for its first input.
pub const READY: &[u8] = b"READY-42\r\n";
/// Ends it.
pub const STOP: u8 = 4;

/// A number from the environment: lengths, counts and seeds.
pub fn knob(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, no number")),
        Err(_) => usual,
    }
}

/// Numbers that look random and come again with the same PORTCULLIS_SEED.
pub struct Dice(u64);

impl Dice {
    /// From PORTCULLIS_SEED, else from the system; said, so that a failure can be had again.
    pub fn new() -> Self {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).unwrap();
        let seed = knob("PORTCULLIS_SEED", u32::from_be_bytes(bytes).into());
        eprintln!("PORTCULLIS_SEED={seed}");
        Self(seed)
    }

    /// 0 to `below` - 1 (splitmix64).
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// The bytes that the generator prints at `from` of its output.
pub fn printed(from: u64, length: usize) -> Vec<u8> {
    let first = from / RECORD as u64;
    let skip = (from % RECORD as u64) as usize;
    let mut bytes = Vec::with_capacity(length + 2 * RECORD);
    let mut number = first;
    while bytes.len() < skip + length {
        let turn = (number * 7 % 64) as usize;
        let start = bytes.len();
        bytes.extend_from_slice(format!("r{number:015} ").as_bytes());
        bytes.extend_from_slice(&PATTERN[turn..]);
        bytes.extend_from_slice(&PATTERN[..turn]);
        bytes.truncate(start + RECORD - 2);
        bytes.extend_from_slice(b"\r\n");
        number += 1;
    }
    bytes.truncate(skip + length);
    bytes.drain(..skip);
    bytes
}

/// What the generator says of itself at its end.
#[derive(Debug)]
pub struct Totals {
    pub printed: u64,
    pub sha256: String,
    pub seconds: f64,
}

/// One run of the program.
pub struct Generator {
    out: PathBuf,
    program: PathBuf,
    number: u32,
}

impl Generator {
    /// Copies the program to where the account can read it, and makes a place for its files.
    pub fn new(place: &Place, number: u32) -> Self {
        let program = place.root.join("generate.py");
        std::fs::write(&program, include_str!("../../programs/generate.py")).unwrap();
        let out = place.root.join("out");
        std::fs::create_dir_all(&out).unwrap();
        std::fs::set_permissions(&out, PermissionsExt::from_mode(0o777)).unwrap();
        Self { out, program, number }
    }

    /// The line to type into a shell. `mib` 0: until STOP.
    pub fn line(&self, rate: u64, mib: u64) -> String {
        let (program, input, totals, hangups) =
            (self.program.display(), self.file("input"), self.file("totals"), self.file("hangups"));
        let files =
            format!("--input {} --totals {} --hangups {}", input.display(), totals.display(), hangups.display());
        format!("python3 {program} --rate {rate} --mib {mib} {files}")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.out.join(format!("{name}-{}", self.number))
    }

    /// All that it read.
    pub fn input(&self) -> Vec<u8> {
        std::fs::read(self.file("input")).unwrap_or_default()
    }

    /// Hang-ups that it saw.
    pub fn hangups(&self) -> usize {
        std::fs::read(self.file("hangups")).map_or(0, |bytes| bytes.len() / 4)
    }

    /// Its totals, once it has ended; what it printed is what `printed` says, by its own hash.
    pub fn totals(&self) -> Totals {
        let text = eventually("the generator's totals", || std::fs::read_to_string(self.file("totals")).ok());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let totals = Totals {
            printed: json["printed"].as_u64().unwrap(),
            sha256: json["sha256"].as_str().unwrap().to_owned(),
            seconds: json["seconds"].as_f64().unwrap(),
        };
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < totals.printed {
            let piece = printed(at, (totals.printed - at).min(1 << 20) as usize);
            hash.update(&piece);
            at += piece.len() as u64;
        }
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, totals.sha256, "the program printed something else than this test believes");
        totals
    }
}

/// Where in a log the records begin: after READY.
pub fn find_ready(bytes: &[u8]) -> Option<usize> {
    bytes.windows(READY.len()).position(|window| window == READY).map(|at| at + READY.len())
}
