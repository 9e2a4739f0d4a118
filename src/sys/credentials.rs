//! Who a process or an account is; does not know what either may do.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The other end of a Unix socket, as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Process.
    pub(crate) pid: i32,
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// SO_PEERCRED.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

/// The effective uid of this process.
pub(crate) fn current_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective gid of this process.
pub(crate) fn current_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// A Unix account as the system's databases have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Name.
    pub(crate) name: String,
    /// User.
    pub(crate) uid: u32,
    /// Primary group.
    pub(crate) gid: u32,
    /// All groups, the primary one among them.
    pub(crate) groups: Vec<u32>,
    /// Home directory.
    pub(crate) home: PathBuf,
    /// Login shell; /bin/sh where the database has none.
    pub(crate) shell: PathBuf,
}

/// The account of this name; none when there is no such account. May ask a directory service: whoever cannot wait
/// for that calls it in a child.
pub(crate) fn account(name: &str) -> io::Result<Option<Account>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    lookup(|entry, buffer, found| {
        // SAFETY: all pointers are valid for the call; `name` is a C string that outlives it.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })
}

/// The account with this uid; none when there is no such account. May wait, like `account`.
pub(crate) fn account_of(uid: u32) -> io::Result<Option<Account>> {
    lookup(|entry, buffer, found| {
        // SAFETY: all pointers are valid for the call.
        unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })
}

type Query<'a> = dyn FnMut(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> i32 + 'a;

fn lookup(
    mut query: impl FnMut(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> i32,
) -> io::Result<Option<Account>> {
    let query: &mut Query<'_> = &mut query;
    // Grown while the library says ERANGE; a passwd line above 1 MiB is no account.
    let mut buffer = vec![0; 1024];
    loop {
        let mut entry = std::mem::MaybeUninit::<libc::passwd>::zeroed();
        let mut found = std::ptr::null_mut();
        match query(entry.as_mut_ptr(), &mut buffer, &mut found) {
            0 if found.is_null() => return Ok(None),
            0 => {}
            libc::ERANGE if buffer.len() < 1 << 20 => {
                let larger = buffer.len() * 4;
                buffer.resize(larger, 0);
                continue;
            }
            libc::EINTR => continue,
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        // SAFETY: the library reported success with `found` set, so the entry is initialised and its strings lie in
        // `buffer`, which lives until the end of this block.
        let entry = unsafe { entry.assume_init() };
        let name = text(entry.pw_name)?;
        let groups = groups(&name, entry.pw_gid)?;
        let shell = text(entry.pw_shell)?;
        return Ok(Some(Account {
            uid: entry.pw_uid,
            gid: entry.pw_gid,
            groups,
            home: text(entry.pw_dir)?.into(),
            shell: if shell.is_empty() { "/bin/sh".into() } else { shell.into() },
            name,
        }));
    }
}

fn text(pointer: *const libc::c_char) -> io::Result<String> {
    if pointer.is_null() {
        return Ok(String::new());
    }
    // SAFETY: not null, and the account database's strings are NUL-terminated.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str()
        .map(str::to_owned)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "an account entry that is not UTF-8"))
}

fn groups(name: &str, gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(name)?;
    // Linux allows 65,536 groups.
    let mut groups = vec![0; 64];
    loop {
        let mut count = i32::try_from(groups.len()).unwrap_or(i32::MAX);
        // SAFETY: `groups` has room for `count` ids; the name is a C string that outlives the call.
        let result = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        let needed = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        if groups.len() > 65_536 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an account with more than 65536 groups"));
        }
        let larger = needed.max(groups.len() * 2);
        groups.resize(larger, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_pair_is_our_own_peer() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = peer(one.as_fd()).unwrap();
        assert_eq!((peer.uid, peer.gid), (current_uid(), current_gid()));
        assert_eq!(peer.pid, std::process::id() as i32);
    }

    #[test]
    fn accounts_are_found_by_name_and_number() {
        let root = account("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0), "{root:?}");
        assert_eq!(account_of(0).unwrap().unwrap().name, "root");
        assert_eq!(account("pc-no-such-account").unwrap(), None);
        assert_eq!(account("a\0b").unwrap(), None);
    }
}
