//! The hosts that live: adopted from their records, watched, forgotten when gone. Does not know what they do.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::records::{Record, Records};
use crate::base::SessionId;
use crate::sys::process::Process;
use crate::sys::procfs;

/// One live host.
#[derive(Debug)]
pub(super) struct Host {
    /// As on disk.
    pub(super) record: Record,
    process: Process,
}

/// All live hosts, by session.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<SessionId, Host>);

impl Hosts {
    /// The hosts of these records that still live, and the sessions whose host is gone.
    pub(super) fn adopt(records: &Records) -> io::Result<(Self, Vec<SessionId>)> {
        let mut hosts = Self::default();
        let mut gone = Vec::new();
        for record in records.read()? {
            match Process::open_same(record.pid, record.start_time)? {
                Some(process) => hosts.insert(record, process),
                None => gone.push(record.session),
            }
        }
        Ok((hosts, gone))
    }

    /// A new one.
    pub(super) fn insert(&mut self, record: Record, process: Process) {
        self.0.insert(record.session, Host { record, process });
    }

    /// The host of this session.
    pub(super) fn find(&self, session: SessionId) -> Option<&Host> {
        self.0.get(&session)
    }

    /// It is gone.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<Host> {
        self.0.remove(&session)
    }

    /// All, by session.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Host> {
        self.0.values()
    }

    /// Sessions with a process below their host: those whose agent, or something that it started, lives.
    pub(super) fn with_agent(&self) -> Vec<&Host> {
        let parents = procfs::parents();
        self.iter().filter(|host| parents.contains(&host.record.pid)).collect()
    }
}

impl Host {
    /// Session and pid.
    pub(super) fn ids(&self) -> (SessionId, i32) {
        (self.record.session, self.record.pid)
    }
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}
