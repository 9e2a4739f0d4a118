//! poll(2) over a handful of descriptors; does not know what they are.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// What became possible. A hang-up or error counts as readable: reading tells which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const READ: Self = Self { read: true, write: false };
}

/// Waits until one of the descriptors is ready or `timeout` has passed (none: without end); `ready[i]` belongs to `slots[i]`.
///
/// A slot without a descriptor or without interest is left out, also for hang-ups: one that nobody handles would spin.
/// A signal ends the wait early with nothing ready.
pub(crate) fn wait<const N: usize>(
    slots: &[Option<(BorrowedFd<'_>, Interest)>; N],
    timeout: Option<Duration>,
) -> io::Result<[Ready; N]> {
    let wanted = |slot: &Option<(BorrowedFd<'_>, Interest)>| slot.is_some_and(|(_, i)| i.read || i.write);
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(N);
    for (fd, interest) in slots.iter().filter(|slot| wanted(slot)).flatten() {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.read);
        flags.set(PollFlags::OUT, interest.write);
        fds.push(PollFd::new(fd, flags));
    }
    let timeout = timeout
        .map(|t| Timespec { tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: t.subsec_nanos().into() });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok([Ready::default(); N]),
        Err(error) => return Err(error.into()),
    }
    let mut results = fds.iter().map(PollFd::revents);
    Ok(std::array::from_fn(|index| match slots.get(index) {
        Some(slot) if wanted(slot) => results.next().map(judge).unwrap_or_default(),
        _ => Ready::default(),
    }))
}

fn judge(flags: PollFlags) -> Ready {
    let over = flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    Ready { read: flags.contains(PollFlags::IN) || over, write: flags.contains(PollFlags::OUT) || over }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn each_slot_gets_its_own_answer() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"x").unwrap();
        let both = Interest { read: true, write: true };
        let slots = [None, Some((here.as_fd(), Interest::READ)), Some((there.as_fd(), both))];
        let ready = wait(&slots, None).unwrap();
        assert_eq!(ready, [Ready::default(), Ready::default(), Ready { read: true, write: true }]);
    }

    #[test]
    fn a_hang_up_is_readable_and_is_silent_without_interest() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let zero = Some(Duration::ZERO);
        assert!(wait(&[Some((here.as_fd(), Interest::READ))], zero).unwrap()[0].read);
        assert_eq!(wait(&[Some((here.as_fd(), Interest::default()))], zero).unwrap(), [Ready::default()]);
    }
}
