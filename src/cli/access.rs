//! What an account may enter or execute, by owner and mode bits up the path; no access lists, so a doubtful "no" is told, never acted on alone.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::credentials::Account;

/// Whether the account can make this directory its working directory.
pub(super) fn can_enter(account: &Account, directory: &Path) -> bool {
    let Ok(real) = directory.canonicalize() else { return false };
    real.is_dir() && real.ancestors().all(|part| may_execute(account, part))
}

/// The regular file behind this path, if the account can execute it.
pub(super) fn executable(account: &Account, file: &Path) -> Option<PathBuf> {
    let real = file.canonicalize().ok()?;
    let regular = fs::metadata(&real).is_ok_and(|data| data.is_file());
    (regular && real.ancestors().all(|part| may_execute(account, part))).then_some(real)
}

/// Whether the account can read this file.
pub(super) fn can_read(account: &Account, file: &Path) -> bool {
    let Ok(real) = file.canonicalize() else { return false };
    let may_read = fs::metadata(&real).is_ok_and(|data| bits(account, &data) & 0o4 != 0);
    may_read && real.ancestors().skip(1).all(|part| may_execute(account, part))
}

fn may_execute(account: &Account, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| bits(account, &data) & 0o1 != 0)
}

/// The three bits that count for this account.
fn bits(account: &Account, data: &Metadata) -> u32 {
    let mode = data.mode();
    if data.uid() == account.uid {
        mode >> 6 & 0o7
    } else if data.gid() == account.gid || account.groups.contains(&data.gid()) {
        mode >> 3 & 0o7
    } else {
        mode & 0o7
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::cli::identities::tests::unix;
    use crate::cli::testing::TempDir;

    #[test]
    fn the_bits_of_owner_group_and_others_count_up_the_path() {
        let dir = TempDir::new("access");
        let (inner, file) = (dir.join("inner"), dir.join("inner/tool"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "#!/bin/sh\n").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(dir.path(), 0o755);
        mode(&inner, 0o755);
        mode(&file, 0o755);
        let (ann, bob) = (unix("ann", 7001), unix("bob", 7002));
        assert!(executable(&ann, &file).is_some());
        assert!(can_enter(&ann, &inner));
        assert!(!can_enter(&ann, &file));
        chown(&inner, Some(7001), Some(7001)).unwrap();
        mode(&inner, 0o700);
        assert!(executable(&ann, &file).is_some());
        assert!(executable(&bob, &file).is_none(), "behind a closed directory");
        mode(&inner, 0o755);
        mode(&file, 0o644);
        assert!(executable(&ann, &file).is_none());
        assert!(can_read(&ann, &file));
        mode(&file, 0o600);
        assert!(!can_read(&ann, &file));
    }
}
