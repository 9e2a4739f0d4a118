//! One binary for all integration tests.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod admission;
mod adoption;
mod agents;
mod architecture;
mod audit;
mod foreign;
mod cuts;
mod kills;
mod lifecycle;
mod refusals;
mod rights;
mod root_mode;
mod security_keys;
mod stalled;
mod first_run;
mod local_client;
mod ssh_door;
mod support;
mod terminals;
