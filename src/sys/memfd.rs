//! Sealed memory files: bytes that cannot change once handed over; does not know what they hold.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags};

/// Nothing may change any more: not the bytes, not the length, not the seals.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// A memory file with these bytes, sealed, closed by exec. `name` is only for /proc.
pub(crate) fn sealed_memfd(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let descriptor =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL)
            // Kernels before 6.3 do not know NOEXEC_SEAL.
            .or_else(|_| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING))?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Whether a descriptor is a sealed memory file of at most `most` bytes; an error where it is no memory file at all.
pub(crate) fn is_sealed(descriptor: BorrowedFd<'_>, most: usize) -> io::Result<bool> {
    let sealed = rustix::fs::fcntl_get_seals(descriptor)?.contains(SEALS);
    let length = rustix::fs::fstat(descriptor)?.st_size;
    Ok(sealed && usize::try_from(length).is_ok_and(|length| length <= most))
}

/// The bytes of a sealed memory file, wherever its file position is. One that is not sealed, or longer than `most`
/// bytes, is an error.
pub(crate) fn read_sealed(descriptor: BorrowedFd<'_>, most: usize) -> io::Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(descriptor)?;
    if !seals.contains(SEALS) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a memory file that is not sealed"));
    }
    let file = File::from(descriptor.try_clone_to_owned()?);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > most {
        let message = format!("a memory file of {length} bytes; the limit is {most}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn sealed_bytes_are_read_and_cannot_change() {
        let descriptor = sealed_memfd("t", b"abc").unwrap();
        assert_eq!(read_sealed(descriptor.as_fd(), 3).unwrap(), b"abc");
        assert_eq!(read_sealed(descriptor.as_fd(), 3).unwrap(), b"abc", "reading does not move anything");
        assert!(read_sealed(descriptor.as_fd(), 2).is_err());
        let file = File::from(descriptor);
        assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn an_unsealed_one_is_refused() {
        let open = rustix::fs::memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::fcntl_add_seals(&open, SealFlags::GROW | SealFlags::SHRINK).unwrap();
        assert!(read_sealed(open.as_fd(), 10).is_err());
    }
}
