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

mod adoption;
mod architecture;
mod first_run;
mod lifecycle;
mod local_client;
mod root_mode;
mod ssh_door;
mod support;
