//! Unix stream sockets with a name, an owner and a mode; does not accept from them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, Uid};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::seqpacket::address_in;

/// Who may connect: owner, group and permission bits. No owner leaves both as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// uid and gid.
    pub(crate) owner: Option<(u32, u32)>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// A listening stream socket `name` in an open directory, nonblocking, with this access from its first moment on: it is
/// bound under a umask that lets nobody else in.
pub(crate) fn listen(dir: BorrowedFd<'_>, name: &str, access: Access, backlog: i32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let earlier = super::process::set_umask(0o177);
    let bound = rustix::net::bind(&socket, &address_in(dir, name)?);
    super::process::set_umask(earlier);
    bound?;
    rustix::net::listen(&socket, backlog)?;
    grant(dir, name, access)?;
    Ok(socket)
}

/// Gives a name in an open directory its owner and mode. Only in directories that nobody else may write.
pub(crate) fn grant(dir: BorrowedFd<'_>, name: &str, access: Access) -> io::Result<()> {
    if let Some((uid, gid)) = access.owner {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(rustix::fs::chmodat(dir, name, Mode::from_bits_truncate(access.mode), AtFlags::empty())?)
}

/// Makes the directory `name` in an open directory, 0700, and opens it; one that exists is an error.
pub(crate) fn make_directory(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(dir, name, Mode::RWXU)?;
    super::path::open_directory(dir, name)
}

/// Gives an open directory away.
pub(crate) fn give_directory(dir: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Removes a name; one that is not there is no error.
pub(crate) fn unlink(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
