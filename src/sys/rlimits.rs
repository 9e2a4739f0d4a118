//! Resource limits of this process and its children; does not know who set them.

use std::io;

use rustix::process::{Resource, Rlimit};

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Open descriptors.
    OpenFiles,
    /// Processes of the uid.
    Processes,
    /// Bytes of address space.
    Memory,
    /// Bytes of one file.
    FileSize,
    /// Bytes of a core dump.
    Core,
}

/// Sets soft and hard limit. Raising a hard limit needs privilege; lowering never does.
pub(crate) fn set(limit: Limit, value: u64) -> io::Result<()> {
    let resource = match limit {
        Limit::OpenFiles => Resource::Nofile,
        Limit::Processes => Resource::Nproc,
        Limit::Memory => Resource::As,
        Limit::FileSize => Resource::Fsize,
        Limit::Core => Resource::Core,
    };
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}
