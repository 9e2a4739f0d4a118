//! One binary for all integration tests.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod architecture;
mod adoption;
mod lifecycle;
mod root_mode;
mod support;
