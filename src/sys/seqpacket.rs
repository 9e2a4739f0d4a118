//! Unix SEQPACKET sockets: whole datagrams with descriptors; does not know what they say.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::base::ORDER_DATAGRAM;

/// Most descriptors beside one datagram: a hello answer has nine.
pub(crate) const DESCRIPTORS: usize = 16;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Seqpacket(OwnedFd);

impl Seqpacket {
    /// Two connected ends, both closed by exec.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Connects to the socket `name` in an open directory, without walking the directory's path.
    pub(crate) fn connect(dir: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::connect(&socket, &address_in(dir, name)?)?;
        Ok(Self(socket))
    }

    /// Reads and writes fail with `WouldBlock` instead of waiting.
    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, on)?)
    }

    /// Sends one datagram whole. A gone peer is `BrokenPipe`, never a signal.
    pub(crate) fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > ORDER_DATAGRAM || descriptors.len() > DESCRIPTORS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a datagram holds 1 to {ORDER_DATAGRAM} bytes and at most {DESCRIPTORS} descriptors"),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = retry(|| rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::other("a datagram was cut")) }
    }

    /// Receives one datagram into `buffer`, which then holds exactly its bytes; none means that the peer is gone.
    /// A datagram above the limit, or with too many descriptors, is an error and its descriptors are closed.
    pub(crate) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<OwnedFd>>> {
        buffer.resize(ORDER_DATAGRAM, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry(|| {
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                buffer.clear();
                return if error.kind() == io::ErrorKind::ConnectionReset { Ok(None) } else { Err(error) };
            }
        };
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
                _ => Vec::new(),
            })
            .collect();
        buffer.truncate(received.bytes);
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            buffer.clear();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a datagram above {ORDER_DATAGRAM} bytes or {DESCRIPTORS} descriptors"),
            ));
        }
        Ok(if received.bytes == 0 { None } else { Some(descriptors) })
    }

    /// The descriptor, to be inherited or registered elsewhere.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl From<OwnedFd> for Seqpacket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for Seqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Seqpacket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A listening socket with a name in a directory.
#[derive(Debug)]
pub(crate) struct SeqpacketListener(OwnedFd);

impl SeqpacketListener {
    /// Binds `name` in an open directory and listens; accepting never waits. The socket's owner and mode are the
    /// caller's to set; until then only its own uid can connect if the umask says so.
    pub(crate) fn bind(dir: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::bind(&socket, &address_in(dir, name)?)?;
        // One gateway connects; a few more while it restarts.
        rustix::net::listen(&socket, 8)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self(socket))
    }

    /// The next connection, nonblocking; `WouldBlock` when there is none.
    pub(crate) fn accept(&self) -> io::Result<Seqpacket> {
        let socket = retry(|| rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK))?;
        Ok(Seqpacket(socket))
    }
}

impl From<OwnedFd> for SeqpacketListener {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for SeqpacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The address of `name` below an open directory: no path is walked again, whoever may enter its parents.
pub(crate) fn address_in(dir: BorrowedFd<'_>, name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))?)
}

fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(&mut call)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    fn scratch() -> (std::path::PathBuf, File) {
        let path =
            std::env::temp_dir().join(format!("pc-seqpacket-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::create_dir_all(&path).unwrap();
        let dir = File::open(&path).unwrap();
        (path, dir)
    }

    #[test]
    fn datagrams_keep_their_bounds_and_carry_descriptors() {
        let (one, other) = Seqpacket::pair().unwrap();
        let mut file = File::from(crate::sys::memfd::sealed_memfd("x", b"inside").unwrap());
        one.send(b"first", &[file.as_fd(), file.as_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        let mut buffer = Vec::new();
        let descriptors = other.recv(&mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..], descriptors.len()), (&b"first"[..], 2));
        let mut text = String::new();
        file.rewind().unwrap();
        File::from(descriptors.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert_eq!(other.recv(&mut buffer).unwrap().unwrap().len(), 0);
        assert_eq!(buffer, b"second");
        drop(one);
        assert!(other.recv(&mut buffer).unwrap().is_none());
        assert_eq!(other.send(b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_is_too_large_is_refused_on_both_sides() {
        let (one, other) = Seqpacket::pair().unwrap();
        assert_eq!(one.send(&vec![0; ORDER_DATAGRAM + 1], &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(one.send(b"", &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        one.send(&vec![7; ORDER_DATAGRAM], &[]).unwrap();
        let mut buffer = Vec::new();
        other.recv(&mut buffer).unwrap().unwrap();
        assert_eq!(buffer.len(), ORDER_DATAGRAM);
        rustix::net::send(&one, &vec![7; ORDER_DATAGRAM + 1], SendFlags::NOSIGNAL).unwrap();
        assert_eq!(other.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_name_in_a_directory_is_reached_through_its_descriptor() {
        let (path, dir) = scratch();
        let listener = SeqpacketListener::bind(dir.as_fd(), "s").unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = Seqpacket::connect(dir.as_fd(), "s").unwrap();
        let server = listener.accept().unwrap();
        let mut buffer = Vec::new();
        assert_eq!(server.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.send(b"hello", &[]).unwrap();
        server.recv(&mut buffer).unwrap().unwrap();
        assert_eq!(buffer, b"hello");
        let mut out = std::io::sink();
        out.write_all(&buffer).unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }
}
