//! Unix stream sockets without a runtime: accept with the peer's uid, reads and gathered writes that never block.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{credentials, seqpacket::address_in};

/// A listening Unix socket.
#[derive(Debug)]
pub(crate) struct StreamListener(OwnedFd);

/// A connected Unix stream socket, never blocking.
#[derive(Debug)]
pub(crate) struct Stream(OwnedFd);

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// The other side will send no more.
    Closed,
}

impl StreamListener {
    /// Takes a socket that listens.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(fd))
    }

    /// The next connection and the uid of the process that made it; none when nobody waits.
    pub(crate) fn accept(&self) -> io::Result<Option<(Stream, u32)>> {
        match rustix::net::accept_with(&self.0, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => {
                let peer = credentials::peer(fd.as_fd())?;
                Ok(Some((Stream(fd), peer.uid)))
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Stream {
    /// Reads into `space`, which is not empty.
    pub(crate) fn read(&self, space: &mut [u8]) -> io::Result<StreamRead> {
        match rustix::io::read(&self.0, space) {
            Ok(0) | Err(Errno::CONNRESET) => Ok(StreamRead::Closed),
            Ok(length) => Ok(StreamRead::Bytes(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(StreamRead::Empty),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the parts one after the other; returns how many bytes went out, 0 when the socket is full.
    pub(crate) fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match rustix::io::writev(&self.0, parts) {
            Ok(length) => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<OwnedFd> for Stream {
    /// Takes a connected socket that does not block.
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for StreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Connects to the socket `name` in an open directory, without blocking: a listener whose queue is full is an error.
pub(crate) fn connect_at(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket's name is one path component"));
    }
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&fd, &address_in(dir, name)?)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_connection_through_a_directory_descriptor_knows_its_peer() {
        let dir = std::env::temp_dir().join(format!("portcullis-stream-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let _ = std::fs::remove_file(&path);
        let listener = StreamListener::new(UnixListener::bind(&path).unwrap().into()).unwrap();
        assert!(listener.accept().unwrap().is_none());
        let handle = File::open(&dir).unwrap();
        let near = Stream(connect_at(handle.as_fd(), "s").unwrap());
        let (far, uid) = listener.accept().unwrap().unwrap();
        assert_eq!(uid, rustix::process::getuid().as_raw());
        assert_eq!(near.write(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"c")]).unwrap(), 3);
        let mut space = [0; 8];
        assert_eq!(far.read(&mut space).unwrap(), StreamRead::Bytes(3));
        assert_eq!(far.read(&mut space).unwrap(), StreamRead::Empty);
        drop(near);
        assert_eq!(far.read(&mut space).unwrap(), StreamRead::Closed);
        for bad in ["", "..", "a/b"] {
            assert!(connect_at(handle.as_fd(), bad).is_err(), "{bad}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
