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

mod acp_door;
mod acp_door_agents;
mod admission;
mod adoption;
mod agents;
mod agents_unfit;
mod architecture;
mod audit;
mod cards;
mod check;
mod cuts;
mod documents;
mod first_run;
mod foreign;
mod hooks;
mod in_the_middle;
mod kills;
mod lifecycle;
mod line_terminal;
mod line_terminal_stopped;
mod local_client;
mod no_approve;
mod pipe;
mod prepare;
mod raw_ssh;
mod refusals;
mod reload;
mod replacement;
mod resent;
mod rights;
mod root_mode;
mod security_keys;
mod service;
mod ssh_door;
mod stalled;
mod structured;
mod structured_acp;
mod structured_claude;
mod structured_faults;
mod structured_floods;
mod structured_turns;
mod structured_verbs;
mod support;
mod terminals;
mod typing;
