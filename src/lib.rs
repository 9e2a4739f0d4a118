//! Portcullis: an SSH-server-style gateway for coding agents. Rooms and their rules: ARCHITECTURE.md.
//!
//! The pure rooms are public for fuzz targets, benches and doctests only; nothing here is a stable interface.

#[doc(hidden)]
pub mod agents;
#[doc(hidden)]
pub mod authn;
#[doc(hidden)]
pub mod base;
#[doc(hidden)]
pub mod policy;
#[doc(hidden)]
pub mod replay;
#[doc(hidden)]
pub mod screen;
#[doc(hidden)]
pub mod wire;

pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod sys;
pub(crate) mod telemetry;

pub(crate) mod gateway;
pub(crate) mod host;
pub(crate) mod spawner;

pub(crate) mod cli;

pub use cli::run;
