//! Any bytes as a recording, to every driver: what must hold is said in `agents::recording`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::agents::DriverKind;
use portcullis::agents::recording::survives;

fuzz_target!(|bytes: &[u8]| DriverKind::ALL.into_iter().for_each(|kind| survives(kind, bytes)));
