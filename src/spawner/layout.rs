//! Directories, lock and sockets on disk, each with its owner and mode; does not know what is served over them.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::records::Records;
use super::table::{Identities, SystemIdentity, Table};
use crate::base::SessionId;
use crate::sys::credentials::current_uid;
use crate::sys::path::{NO_FOLLOW_DIRECTORY, open_root};
use crate::sys::seqpacket::SeqpacketListener;
use crate::sys::socket::{self, Access};

/// The hook socket's name in a session's directory.
pub(super) const HOOK_SOCKET: &str = "hook.sock";
/// What accounts are told of the configuration, beside `bin` and `agents`.
pub(crate) const ACCOUNTS: &str = "accounts";
/// A child that is being forked may hold the lock for a moment longer than its spawner.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Connections that wait on the admin socket: people, and scripts in a loop.
const ADMIN_BACKLOG: i32 = 16;

/// Why the place to work in cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    /// Another spawner serves here.
    #[error("{0} is locked: another spawner serves it; end that first, or choose another directory")]
    Locked(PathBuf),
    /// Somebody else's directory.
    #[error("{path} belongs to uid {uid}, not to {wanted}: remove it, or choose another directory")]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose.
        uid: u32,
        /// Whose it must be.
        wanted: u32,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    System {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Everything made and opened.
#[derive(Debug)]
pub(super) struct Layout {
    /// Held as long as this spawner serves, also by another program in its place.
    pub(super) lock: File,
    /// Host records.
    pub(super) records: Records,
    /// Run directory.
    pub(super) run: OwnedFd,
    /// Hosts' sockets.
    pub(super) hosts: OwnedFd,
    /// Hook directories.
    pub(super) agents: OwnedFd,
    /// The same, by path.
    pub(super) agents_path: PathBuf,
    /// The gateway's state.
    pub(super) state: OwnedFd,
    /// Listening, for the gateway.
    pub(super) admin: OwnedFd,
    /// Where a gateway of its own unit connects.
    pub(super) listener: SeqpacketListener,
}

/// Where the account finds a session's hook socket.
pub(super) fn hook_path(table: &Table, session: SessionId) -> PathBuf {
    table.directories.reachable.join("agents").join(session.to_string()).join(HOOK_SOCKET)
}

/// The socket of a session's host in the hosts' directory.
pub(super) fn host_socket(session: SessionId) -> String {
    format!("{session}.sock")
}

/// Whether a spawner serves this run directory now.
pub(crate) fn is_served(run: &Path) -> bool {
    let lock = File::open(run.join("lock"));
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl Layout {
    /// Takes the lock and makes what is missing. The umask must keep group and others out.
    pub(super) fn prepare(table: &Table, executable: Option<&Path>) -> Result<Self, LayoutError> {
        Self::make(table, executable, None)
    }

    /// The same with what is held already: lock, admin socket, order socket.
    pub(super) fn resume(
        table: &Table,
        executable: Option<&Path>,
        held: (File, OwnedFd, SeqpacketListener),
    ) -> Result<Self, LayoutError> {
        Self::make(table, executable, Some(held))
    }

    fn make(
        table: &Table,
        executable: Option<&Path>,
        held: Option<(File, OwnedFd, SeqpacketListener)>,
    ) -> Result<Self, LayoutError> {
        let directories = &table.directories;
        let own = current_uid();
        let (gateway, open_mode) = match &table.identities {
            Identities::SingleUser => (None, 0o700),
            Identities::Separate { gateway, .. } => (Some(*gateway), 0o755),
        };
        let gateway_gid = gateway.map(|gateway| (own, gateway.gid));
        let gateway_owner = gateway.map(|gateway| (gateway.uid, gateway.gid));
        let run_path = &directories.run;
        let run = make(run_path, open_mode, None)?;
        let (lock, sockets) = match held {
            Some((lock, admin, listener)) => (lock, Some((admin, listener))),
            None => (take_lock(run_path)?, None),
        };
        let records = run_path.join("records");
        make(&records, 0o700, None)?;
        let hosts = make(&run_path.join("hosts"), 0o750, gateway_gid)?;
        let state = make(&directories.state, 0o700, gateway_owner)?;
        make(&directories.reachable, open_mode, None)?;
        let agents_path = directories.reachable.join("agents");
        // Entered by name only: each account reaches its own.
        let agents = make(&agents_path, if gateway.is_some() { 0o711 } else { 0o700 }, None)?;
        // Filled by whoever starts the spawner; each account can read its own file.
        make(&directories.reachable.join(ACCOUNTS), if gateway.is_some() { 0o711 } else { 0o700 }, None)?;
        let bin = directories.reachable.join("bin");
        make(&bin, open_mode, None)?;
        if let Some(executable) = executable {
            install(executable, &bin.join(PROGRAM))?;
        }
        let (admin, listener) = sockets.map_or_else(|| bind(&run, run_path, gateway), Ok)?;
        let records = Records::new(records);
        Ok(Self { lock, records, run, hosts, agents, agents_path, state, admin, listener })
    }

    /// Removes what a gone host leaves by name. False where the account has put more into its hook directory.
    pub(super) fn forget(&self, session: SessionId) -> io::Result<bool> {
        self.records.remove(session)?;
        socket::unlink(self.hosts.as_fd(), &host_socket(session))?;
        let name = session.to_string();
        if let Ok(directory) = crate::sys::path::open_directory(self.agents.as_fd(), &name) {
            let _ = socket::unlink(directory.as_fd(), HOOK_SOCKET);
        }
        match std::fs::remove_dir(self.agents_path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(true),
        }
    }

    /// Removes what was made beside the run directory for accounts to reach: nobody runs from it any more. What an account
    /// has left there stays; the next spawner makes the rest anew.
    pub(super) fn withdraw(&self, reachable: &Path) {
        let bin = reachable.join("bin");
        let _ = std::fs::remove_file(bin.join(PROGRAM));
        let _ = std::fs::remove_dir_all(reachable.join(ACCOUNTS));
        for directory in [&bin, &self.agents_path, reachable] {
            let _ = std::fs::remove_dir(directory);
        }
    }

    /// The sockets that nobody will serve any more.
    pub(super) fn close(&self) {
        for name in [ADMIN, ORDERS] {
            let _ = socket::unlink(self.run.as_fd(), name);
        }
    }
}

/// What hosts run, in `bin`.
const PROGRAM: &str = "portcullis";
const ADMIN: &str = "admin.sock";
const ORDERS: &str = "spawner.sock";

fn bind(
    run: &OwnedFd,
    path: &Path,
    gateway: Option<SystemIdentity>,
) -> Result<(OwnedFd, SeqpacketListener), LayoutError> {
    let run = run.as_fd();
    let at = |name: &str| {
        let path = path.join(name);
        move |source| LayoutError::System { path, source }
    };
    for name in [ADMIN, ORDERS] {
        socket::unlink(run, name).map_err(at(name))?;
    }
    let admin = socket::listen(run, ADMIN, Access { owner: None, mode: 0o600 }, ADMIN_BACKLOG).map_err(at(ADMIN))?;
    let listener = SeqpacketListener::bind(run, ORDERS).map_err(at(ORDERS))?;
    let access = match gateway {
        Some(gateway) => Access { owner: Some((current_uid(), gateway.gid)), mode: 0o660 },
        None => Access { owner: None, mode: 0o600 },
    };
    socket::grant(run, ORDERS, access).map_err(at(ORDERS))?;
    Ok((admin, listener))
}

/// Makes a directory, or takes one that is ours already, and sets owner and mode. Parents are made open to all.
fn make(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<OwnedFd, LayoutError> {
    let at = |source| LayoutError::System { path: path.into(), source };
    if let Some(parent) = path.parent() {
        make_parents(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(error)),
        _ => {}
    }
    let directory = File::options().read(true).custom_flags(NO_FOLLOW_DIRECTORY).open(path).map_err(at)?;
    let uid = directory.metadata().map_err(at)?.uid();
    let wanted = owner.map_or(current_uid(), |(uid, _)| uid);
    if uid != wanted && uid != current_uid() {
        return Err(LayoutError::Owner { path: path.into(), uid, wanted });
    }
    if let Some((uid, gid)) = owner {
        fchown(&directory, Some(uid), Some(gid)).map_err(at)?;
    }
    directory.set_permissions(PermissionsExt::from_mode(mode)).map_err(at)?;
    // Handed out without the right to list.
    open_root(Path::new(&format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&directory)))).map_err(at)
}

fn make_parents(path: &Path) -> Result<(), LayoutError> {
    if path.is_dir() {
        return Ok(());
    }
    let at = |source| LayoutError::System { path: path.into(), source };
    if let Some(parent) = path.parent() {
        make_parents(parent)?;
    }
    DirBuilder::new().mode(0o755).create(path).map_err(at)?;
    // Whatever the umask took away.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).map_err(at)
}

fn take_lock(run: &Path) -> Result<File, LayoutError> {
    let path = run.join("lock");
    let at = |source| LayoutError::System { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(at)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(at(error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(LayoutError::Locked(path)),
            // flock has no deadline of its own.
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Copies the program for hosts and hooks; running hosts keep the file that they were started from.
fn install(executable: &Path, target: &Path) -> Result<(), LayoutError> {
    let at = |source| LayoutError::System { path: target.into(), source };
    if same_bytes(executable, target).unwrap_or(false) {
        return Ok(());
    }
    let new = target.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    std::fs::copy(executable, &new).map_err(at)?;
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).map_err(at)?;
    std::fs::rename(&new, target).map_err(at)
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (one_is, other_is) = (one.metadata()?, other.metadata()?);
    if (one_is.dev(), one_is.ino()) == (other_is.dev(), other_is.ino()) {
        return Ok(true);
    }
    if one_is.len() != other_is.len() {
        return Ok(false);
    }
    let mut left = one_is.len();
    let (mut here, mut there) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(here.len());
        let (Some(here), Some(there)) = (here.get_mut(..length), there.get_mut(..length)) else { return Ok(false) };
        one.read_exact(here)?;
        other.read_exact(there)?;
        if here != there {
            return Ok(false);
        }
        left -= length as u64;
    }
    Ok(true)
}
