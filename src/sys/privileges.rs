//! Becoming another identity for good; does not know who should.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// A uid with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User; never 0.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
}

/// Why a process did not become somebody: it must end, whatever it was about to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DropError {
    /// Asked for root.
    #[error("uid 0 is never an account")]
    Root,
    /// The system refused a step.
    #[error("{step}: {source}")]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The old identity could be taken again.
    #[error("{0} could be taken again after the drop")]
    Reacquired(&'static str),
}

/// Gives up every capability and becomes `identity`: bounding set, groups, gid, uid, then a try to come back, which must
/// fail. Needs root; afterwards the process has nothing of it. For a process with one thread.
pub(crate) fn become_identity(identity: &Identity) -> Result<(), DropError> {
    if identity.uid == 0 {
        return Err(DropError::Root);
    }
    empty_bounding_set()?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    step("setgroups", rustix::thread::set_thread_groups(&groups))?;
    step("setresgid", rustix::thread::set_thread_res_gid(gid, gid, gid))?;
    step("setresuid", rustix::thread::set_thread_res_uid(uid, uid, uid))?;
    step("ambient capabilities", rustix::thread::clear_ambient_capability_set())?;
    let none = CapabilitySet::empty();
    step(
        "capset",
        rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }),
    )?;
    reacquire(identity)
}

/// Every way back must be closed.
fn reacquire(identity: &Identity) -> Result<(), DropError> {
    let root = Uid::ROOT;
    if rustix::thread::set_thread_res_uid(None, root, None).is_ok() || rustix::thread::set_thread_uid(root).is_ok() {
        return Err(DropError::Reacquired("uid 0"));
    }
    // Gid 0 is within reach for whoever has it as its own.
    if identity.gid != 0
        && (rustix::thread::set_thread_res_gid(None, Gid::ROOT, None).is_ok()
            || rustix::thread::set_thread_gid(Gid::ROOT).is_ok())
    {
        return Err(DropError::Reacquired("gid 0"));
    }
    if rustix::thread::set_thread_groups(&[]).is_ok() {
        return Err(DropError::Reacquired("setgroups"));
    }
    let sets = step("capget", rustix::thread::capabilities(None))?;
    if !sets.effective.is_empty() || !sets.permitted.is_empty() || !sets.inheritable.is_empty() {
        return Err(DropError::Reacquired("a capability"));
    }
    let process = rustix::process::geteuid();
    if process.as_raw() != identity.uid || rustix::process::getuid() != process {
        return Err(DropError::Reacquired("the old uid"));
    }
    Ok(())
}

fn empty_bounding_set() -> Result<(), DropError> {
    // Numbers that this kernel does not know are EINVAL, and so is everything after them.
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return step("bounding set", Err(error)),
        }
    }
    Ok(())
}

/// From now on no exec gives this process or its children more than they have.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Makes this thread alone act as another user with that number's group; only its end gives root back.
#[cfg(test)]
pub(crate) fn appear_as(number: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(number), Gid::from_raw(number));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(Uid::ROOT, uid, Uid::ROOT)?)
}

fn step<T>(step: &'static str, result: rustix::io::Result<T>) -> Result<T, DropError> {
    result.map_err(|error| DropError::Step { step, source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::fork;
    use crate::sys::process::Ended;

    const NOBODY: u32 = 65_534;

    fn in_child(test: impl FnOnce() -> bool) -> bool {
        fork(|| i32::from(!test())).unwrap().reap().unwrap() == Ended::Status(0)
    }

    fn nobody() -> Identity {
        Identity { uid: NOBODY, gid: NOBODY, groups: vec![NOBODY, 4] }
    }

    #[test]
    fn after_the_drop_nothing_is_left_and_nothing_comes_back() {
        assert!(in_child(|| {
            become_identity(&nobody()).unwrap();
            no_new_privileges().unwrap();
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ")
            };
            let uids = "65534 65534 65534 65534";
            let none = "0000000000000000";
            ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].iter().all(|set| line(set) == none)
                && (line("Uid:"), line("Gid:"), line("NoNewPrivs:")) == (uids.into(), uids.into(), "1".into())
                && line("Groups:") == "4 65534"
                && std::fs::read("/etc/shadow").is_err()
        }));
    }

    #[test]
    fn a_way_back_is_seen() {
        // Still root inside: each test of the way back must bite.
        assert!(in_child(|| matches!(reacquire(&nobody()), Err(DropError::Reacquired("uid 0")))));
        // The saved uid is still 0.
        assert!(in_child(|| {
            let uid = Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(uid, uid, None).unwrap();
            matches!(reacquire(&nobody()), Err(DropError::Reacquired("uid 0")))
        }));
        // Only the gid was forgotten.
        assert!(in_child(|| {
            let uid = Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            matches!(reacquire(&nobody()), Err(DropError::Reacquired("gid 0")))
        }));
    }

    #[test]
    fn root_is_never_an_account() {
        let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
        assert!(matches!(become_identity(&root), Err(DropError::Root)));
    }
}
