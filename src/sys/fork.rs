//! New processes and what they keep of the old one; does not know what they run.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::AssertUnwindSafe;

use super::process::Process;

/// Status of a child that panicked.
const PANICKED: i32 = 70;

/// Runs `child` in a new process, which ends with the status that it returns: never with the caller's code, exit
/// handlers or destructors. The process is the caller's to reap.
///
/// For a process with one thread. With more, `child` must not need a lock that another thread may hold.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> io::Result<Process> {
    // SAFETY: the new process runs `child` on its own copy of the memory and leaves by _exit; glibc keeps malloc
    // usable after fork, and the caller answers for other locks as the documentation says.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let status = std::panic::catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
            exit_now(status)
        }
        // Ours and not reaped: the pid cannot have been used again.
        pid => Process::open(pid),
    }
}

/// Ends this process without running anything else.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes any status and does not return.
    unsafe { libc::_exit(status) }
}

/// The plain state that a program expects: no signal blocked, all dispositions default (Rust ignores SIGPIPE).
pub(crate) fn default_signals() {
    // All zero is SIG_DFL without flags or mask on every architecture; larger than any kernel's structure.
    let default = [0_u64; 8];
    for signal in 1..=KERNEL_SIGNALS {
        // SAFETY: by the system call, because the C library hides two signals of its own, which a parent may have
        // ignored all the same. Installs no code, writes nothing back; what cannot be changed is refused without effect.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                KERNEL_SIGNALS / 8,
            )
        };
    }
    // SAFETY: `set` is initialised by sigemptyset before it is used.
    unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Signals 1 to 64; a set of them has 8 bytes.
const KERNEL_SIGNALS: libc::c_long = 64;

/// Makes descriptors 0, 1 and 2 what is given; all of them survive an exec.
pub(crate) fn set_stdio(descriptors: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    // Copies first: one of the sources may itself be 0, 1 or 2.
    let mut copies = Vec::with_capacity(3);
    for descriptor in descriptors {
        copies.push(rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?);
    }
    for (target, copy) in (0..).zip(&copies) {
        duplicate_to(copy.as_fd(), target)?;
    }
    Ok(())
}

/// Makes descriptor 0 what is given; it survives an exec.
pub(crate) fn set_stdin(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    duplicate_to(descriptor, 0)
}

/// Descriptors 0 to 2 on /dev/null.
pub(crate) fn null_stdio() -> io::Result<()> {
    let null = open_null()?;
    set_stdio([null.as_fd(); 3])
}

/// /dev/null for reading and writing.
pub(crate) fn open_null() -> io::Result<OwnedFd> {
    Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
}

/// Moves these descriptors to 3, 4, 5 … in this order and closes everything above: afterwards the process has 0 to 2
/// and these, closed by exec. For a forked child only: every other descriptor value that it still holds is void.
pub(crate) fn keep_only(descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    let end = 3 + RawFd::try_from(descriptors.len()).unwrap_or(RawFd::MAX - 3);
    let mut copies = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        copies.push(rustix::io::fcntl_dupfd_cloexec(descriptor, end)?);
    }
    for (target, copy) in (3..).zip(&copies) {
        duplicate_to(copy.as_fd(), target)?;
    }
    for copy in copies {
        // Closed below with the rest.
        let _ = copy.into_raw_fd();
    }
    close_from(end)?;
    let kept = (3..end).map(|number| {
        // SAFETY: dup2 just made this number ours, and nothing else in this process claims it.
        let kept = unsafe { OwnedFd::from_raw_fd(number) };
        set_inherited(kept.as_fd(), false)?;
        Ok(kept)
    });
    kept.collect()
}

/// Whether a descriptor survives an exec.
pub(crate) fn set_inherited(descriptor: BorrowedFd<'_>, inherited: bool) -> io::Result<()> {
    let flags = if inherited { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
    Ok(rustix::io::fcntl_setfd(descriptor, flags)?)
}

/// Takes over a descriptor that this program was started with, by its number; closed by exec from now on. An error
/// when nothing is open there, or for 0 to 2.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "descriptors 0 to 2 are not handed over"));
    }
    // SAFETY: only asks; an unused number is EBADF.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: open, and named on the command line as this program's to take; each is taken once, at start.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    set_inherited(descriptor.as_fd(), false)?;
    Ok(descriptor)
}

fn duplicate_to(descriptor: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: dup2 on an open descriptor; whatever `target` was is closed, and the callers own the low numbers.
    match unsafe { libc::dup2(descriptor.as_raw_fd(), target) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn close_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).unwrap_or(libc::c_uint::MAX);
    // SAFETY: closes numbers that this process's own code no longer uses (the contract of `keep_only`).
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Argument and environment strings for exec; an interior NUL is an error.
pub(crate) fn c_strings<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> io::Result<Vec<CString>> {
    texts.into_iter().map(|text| Ok(CString::new(text.as_ref())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    #[test]
    fn a_child_keeps_what_it_was_given_and_nothing_else() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let extra = open_null().unwrap();
        let child = fork(|| {
            let Ok(kept) = keep_only(&[extra.as_fd(), writer.as_fd()]) else { return 1 };
            let mut kept = kept.into_iter();
            let (_null, out) = (kept.next(), kept.next());
            let mut listed: Vec<String> = std::fs::read_dir("/proc/self/fd")
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            listed.sort();
            File::from(out.unwrap()).write_all(listed.join(" ").as_bytes()).unwrap();
            7
        })
        .unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "0 1 2 3 4 5", "5 is the directory being read");
        assert_eq!(child.reap().unwrap(), super::super::process::Ended::Status(7));
    }

    #[test]
    fn a_panic_ends_the_child_alone() {
        let child = fork(|| panic!("on purpose")).unwrap();
        assert_eq!(child.reap().unwrap(), super::super::process::Ended::Status(PANICKED));
    }
}
