//! Files with an owner and a mode, written whole or not at all; does not know what is in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// A uid and gid to give a file to; none leaves the caller's.
pub(super) type Owner = Option<(u32, u32)>;

/// Replaces a file by way of a new one beside it, so that nobody reads a half; a link of that name is replaced, not followed.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write_new(&beside, bytes, mode, owner).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Makes a directory, or gives an existing one its owner and mode.
pub(super) fn directory(path: &Path, mode: u32, owner: Owner) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !fs::symlink_metadata(path)?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "there is something else of that name"));
    }
    let dir = File::open(path)?;
    let have = dir.metadata()?;
    if owner.is_some_and(|owner| owner != (have.uid(), have.gid())) {
        let (uid, gid) = owner.unzip();
        fchown(&dir, uid, gid)?;
    }
    // After chown, which may clear bits.
    if have.permissions().mode() & 0o7777 != mode {
        dir.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// A regular file of at most `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    // The umask may have taken bits.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::TempDir;

    #[test]
    fn a_file_is_replaced_whole_and_a_link_is_not_followed() {
        let dir = TempDir::new("files");
        let (victim, link) = (dir.join("victim"), dir.join("link"));
        fs::write(&victim, "v").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        put(&link, b"new", 0o640, None).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"v");
        assert_eq!(fs::read(&link).unwrap(), b"new");
        assert_eq!(fs::metadata(&link).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside");
    }

    #[test]
    fn a_directory_gets_its_mode_and_a_file_in_its_place_is_refused() {
        let dir = TempDir::new("directories");
        let path = dir.join("d");
        fs::create_dir(&path).unwrap();
        directory(&path, 0o700, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        fs::write(dir.join("f"), "").unwrap();
        assert!(directory(&dir.join("f"), 0o700, None).is_err());
    }
}
