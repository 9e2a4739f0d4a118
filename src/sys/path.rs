//! Opening what a path names without being led astray; does not know whose path it is.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A directory descriptor that can be entered and used for *at calls, but not listed.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// For opening a directory that must not be reached by a symlink, as std's custom flags.
pub(crate) const NO_FOLLOW_DIRECTORY: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW;
/// For opening a FIFO without waiting.
#[cfg(test)]
pub(crate) const NONBLOCK: i32 = libc::O_NONBLOCK;
/// Group and others may write.
const WRITABLE: u32 = 0o022;
/// Only owners may remove and rename here.
const STICKY: u32 = 0o1000;

/// Opens the directory at a path, following symlinks: for paths that only the operator wrote.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

/// Opens the directory `name` in an open one; a symlink is refused.
pub(crate) fn open_directory(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?)
}

/// Opens a directory below an open one; the empty path is that directory itself. `..` above it, absolute paths and
/// symlinks that lead out are `EXDEV`, links of /proc `ELOOP`.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, relative: &str) -> io::Result<OwnedFd> {
    let relative = if relative.is_empty() { "." } else { relative };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed meanwhile and the kernel cannot be sure.
    for _ in 0..16 {
        match rustix::fs::openat2(root, relative, DIRECTORY, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Whether this error of `open_beneath` means that the path leads out.
pub(crate) fn is_escape(error: i32) -> bool {
    matches!(error, libc::EXDEV | libc::ELOOP)
}

/// The path that an open descriptor has now.
pub(crate) fn path_of(descriptor: BorrowedFd<'_>) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Which file it is and which state of it: equal stamps, same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: i64,
    nanoseconds: u64,
}

impl Stamp {
    /// 40 bytes, for comparing elsewhere.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40);
        for part in [self.device, self.inode, self.size, self.changed.cast_unsigned(), self.nanoseconds] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        bytes
    }
}

/// What must hold of a file and of the directories that lead to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strictness<'a> {
    /// Who may own them, beside root.
    pub(crate) owner: u32,
    /// Checked from here on downwards, as sshd does with the home directory; from / where the file lies elsewhere.
    pub(crate) from: Option<&'a Path>,
    /// Nobody else may even read the file.
    pub(crate) private: bool,
    /// Most bytes.
    pub(crate) most: usize,
}

/// A file's bytes, or that they are what the caller has.
#[derive(Debug)]
pub(crate) enum StrictFile {
    /// The stamp is the caller's.
    Unchanged,
    /// All of it.
    Read {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Its stamp, taken before reading.
        stamp: Stamp,
    },
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StrictError {
    /// Not there.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// Someone else owns it or a directory above it.
    #[error("{path} belongs to uid {uid}; it must belong to {}: chown it", owners(*wanted))]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Whose it may be.
        wanted: u32,
    },
    /// Others may change it or a directory above it.
    #[error("{0} can be written by its group or by others: chmod go-w it")]
    Writable(PathBuf),
    /// Others may read it.
    #[error("{0} can be read by its group or by others: chmod 600 it")]
    Readable(PathBuf),
    /// A symlink, device, FIFO, directory or socket.
    #[error("{0} is not a plain file: put the file itself there")]
    NotAFile(PathBuf),
    /// Too large.
    #[error("{path} has {size} bytes; the limit is {most}: shorten it")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        most: usize,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    System {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn owners(wanted: u32) -> String {
    if wanted == 0 { "root".into() } else { format!("uid {wanted} or to root") }
}

/// Reads a file whose path and bytes nobody but its owner and root can change (sshd's StrictModes). The file itself must be
/// no symlink; directories may be reached by symlinks, and what is checked is where they lead. Unlike sshd, a sticky
/// directory such as /tmp may lie above, though not hold the file: nobody else can replace an entry in it.
pub(crate) fn read_strict(path: &Path, strictness: Strictness<'_>, known: &[u8]) -> Result<StrictFile, StrictError> {
    let name = path.file_name().ok_or_else(|| StrictError::NotAFile(path.into()))?;
    let parent = canonical(path.parent().unwrap_or(Path::new("/")), path)?;
    let dir = open_checked(&parent, strictness)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Err(StrictError::Missing(path.into())),
        Err(Errno::LOOP | Errno::NXIO) => return Err(StrictError::NotAFile(path.into())),
        Err(error) => return Err(system(path, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| system(path, error))?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(StrictError::NotAFile(path.into()));
    }
    check_access(path, stat.st_uid, stat.st_mode, strictness.owner, false)?;
    if strictness.private && stat.st_mode & 0o077 != 0 {
        return Err(StrictError::Readable(path.into()));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    let too_large = |size| StrictError::TooLarge { path: path.into(), size, most: strictness.most };
    if size > strictness.most as u64 {
        return Err(too_large(size));
    }
    #[allow(clippy::useless_conversion, reason = "the types of these fields differ between architectures")]
    let stamp = Stamp {
        device: stat.st_dev.into(),
        inode: stat.st_ino.into(),
        size,
        changed: stat.st_ctime.into(),
        nanoseconds: stat.st_ctime_nsec.into(),
    };
    if stamp.to_bytes() == known {
        return Ok(StrictFile::Unchanged);
    }
    let mut bytes = Vec::new();
    let read = (&file).take(strictness.most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| StrictError::System { path: path.into(), source: error })?;
    if bytes.len() > strictness.most {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(StrictFile::Read { bytes, stamp })
}

/// Opens a canonical directory component by component, each checked through the descriptor that leads on.
fn open_checked(canonical_dir: &Path, strictness: Strictness<'_>) -> Result<OwnedFd, StrictError> {
    let from = strictness.from.and_then(|from| from.canonicalize().ok());
    let from = from.filter(|from| canonical_dir.starts_with(from));
    let mut so_far = PathBuf::from("/");
    let mut dir = open_root(&so_far).map_err(|source| StrictError::System { path: so_far.clone(), source })?;
    let mut components = canonical_dir.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    loop {
        let stat = rustix::fs::fstat(&dir).map_err(|error| system(&so_far, error))?;
        let last = so_far == canonical_dir;
        if from.as_ref().is_none_or(|from| so_far.starts_with(from)) {
            check_access(&so_far, stat.st_uid, stat.st_mode, strictness.owner, !last)?;
        }
        let Some(name) = components.next() else { return Ok(dir) };
        so_far.push(name);
        dir = rustix::fs::openat(&dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| system(&so_far, error))?;
    }
}

fn check_access(path: &Path, uid: u32, mode: u32, wanted: u32, sticky_will_do: bool) -> Result<(), StrictError> {
    if uid != 0 && uid != wanted {
        return Err(StrictError::Owner { path: path.into(), uid, wanted });
    }
    if mode & WRITABLE != 0 && !(sticky_will_do && mode & STICKY != 0) {
        return Err(StrictError::Writable(path.into()));
    }
    Ok(())
}

fn canonical(dir: &Path, file: &Path) -> Result<PathBuf, StrictError> {
    dir.canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StrictError::Missing(file.into()),
        _ => StrictError::System { path: dir.into(), source },
    })
}

fn system(path: &Path, error: Errno) -> StrictError {
    StrictError::System { path: path.into(), source: error.into() }
}

#[cfg(test)]
mod tests;
