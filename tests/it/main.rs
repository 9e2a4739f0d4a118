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
mod agents;
mod architecture;
mod foreign;
mod lifecycle;
mod root_mode;
mod support;
mod terminals;
