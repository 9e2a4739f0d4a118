//! One end of a pipe, never blocking; does not know who holds the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// A pipe's end.
#[derive(Debug)]
pub(crate) struct Pipe(OwnedFd);

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PipeRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// Nobody can write any more, and all that was written has been read.
    Closed,
}

impl Pipe {
    /// Takes an open end and makes it non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(fd))
    }

    /// Reads into `space`, which is not empty.
    pub(crate) fn read(&self, space: &mut [u8]) -> io::Result<PipeRead> {
        match rustix::io::read(&self.0, space) {
            Ok(0) => Ok(PipeRead::Closed),
            Ok(length) => Ok(PipeRead::Bytes(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(PipeRead::Empty),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what fits; 0 when the pipe is full.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.0, bytes) {
            Ok(length) => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_empties_and_ends() {
        let (reader, writer) = io::pipe().unwrap();
        let (reader, writer) = (Pipe::new(reader.into()).unwrap(), Pipe::new(writer.into()).unwrap());
        let mut space = [0; 64];
        assert_eq!(reader.read(&mut space).unwrap(), PipeRead::Empty);
        let mut taken = 0;
        while let length @ 1.. = writer.write(&[b'x'; 4096]).unwrap() {
            taken += length;
        }
        drop(writer);
        let mut seen = 0;
        while let PipeRead::Bytes(length) = reader.read(&mut space).unwrap() {
            seen += length;
        }
        assert_eq!((seen, reader.read(&mut space).unwrap()), (taken, PipeRead::Closed));
    }
}
