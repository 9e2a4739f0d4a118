use super::*;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pc-path-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self(path.canonicalize().unwrap())
    }
    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, "ssh-ed25519 AAAA\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const STRICT: Strictness<'_> = Strictness { owner: 0, from: None, private: false, most: 100 };

fn read(path: &Path) -> Result<Vec<u8>, StrictError> {
    match read_strict(path, STRICT, b"")? {
        StrictFile::Read { bytes, .. } => Ok(bytes),
        StrictFile::Unchanged => panic!("nothing was known"),
    }
}

#[test]
fn only_what_lies_beneath_is_opened() {
    let scratch = Scratch::new("beneath");
    let inside = scratch.dir("projects/deep/inside");
    let evil = scratch.dir("projects-evil");
    symlink("deep/inside", scratch.0.join("projects/good-link")).unwrap();
    symlink("../../projects-evil", scratch.0.join("projects/deep/bad-link")).unwrap();
    symlink(&inside, scratch.0.join("projects/absolute-link")).unwrap();
    symlink("/proc/self/root", scratch.0.join("projects/magic")).unwrap();
    let root = open_root(&scratch.0.join("projects")).unwrap();
    let inode = |relative: &str| {
        open_beneath(root.as_fd(), relative).map(|dir| path_of(dir.as_fd()).unwrap().metadata().unwrap().ino())
    };
    assert_eq!(inode("").unwrap(), scratch.0.join("projects").metadata().unwrap().ino());
    let wanted = inside.metadata().unwrap().ino();
    for relative in ["deep/inside", "good-link", "deep/../deep/inside", "./deep//inside/"] {
        assert_eq!(inode(relative).unwrap(), wanted, "{relative}");
    }
    let absolute = evil.to_str().unwrap();
    let outside = ["..", "../projects-evil", "deep/../../projects-evil", "deep/bad-link", "absolute-link", absolute];
    for relative in outside {
        assert_eq!(inode(relative).unwrap_err().raw_os_error(), Some(libc::EXDEV), "{relative}");
    }
    assert!(inode("magic").is_err());
    assert_eq!(inode("deep/none").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(open_directory(root.as_fd(), "good-link").is_err(), "a symlink is not opened as a name");
}

#[test]
fn a_stamp_says_whether_the_file_is_the_same() {
    let scratch = Scratch::new("stamp");
    let path = scratch.file("keys", 0o600);
    let StrictFile::Read { bytes, stamp } = read_strict(&path, STRICT, b"").unwrap() else { panic!() };
    assert_eq!(bytes, b"ssh-ed25519 AAAA\n");
    let known = stamp.to_bytes();
    assert!(matches!(read_strict(&path, STRICT, &known).unwrap(), StrictFile::Unchanged));
    // Same length, other file.
    std::fs::rename(scratch.file("new", 0o600), &path).unwrap();
    assert!(matches!(read_strict(&path, STRICT, &known).unwrap(), StrictFile::Read { .. }));
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    let scratch = Scratch::new("strict");
    scratch.dir("d");
    let path = scratch.file("d/keys", 0o644);
    read(&path).unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for bad in [0o664, 0o646] {
        mode(&path, bad);
        assert!(matches!(read(&path), Err(StrictError::Writable(_))));
    }
    mode(&path, 0o644);
    let private = Strictness { private: true, ..STRICT };
    assert!(matches!(read_strict(&path, private, b""), Err(StrictError::Readable(_))));
    let dir = scratch.0.join("d");
    for bad in [0o775, 0o1777] {
        mode(&dir, bad);
        assert!(matches!(read(&path), Err(StrictError::Writable(at)) if at == dir), "{bad:o}");
    }
    mode(&dir, 0o755);
    mode(&scratch.0, 0o777);
    assert!(matches!(read(&path), Err(StrictError::Writable(at)) if at == scratch.0), "also further up");
    let from = Strictness { from: Some(&dir), ..STRICT };
    read_strict(&path, from, b"").unwrap();
    mode(&scratch.0, 0o755);
    chown(&path, Some(4711), None).unwrap();
    let error = read(&path).unwrap_err();
    assert!(matches!(error, StrictError::Owner { uid: 4711, wanted: 0, .. }));
    assert!(error.to_string().ends_with("belongs to uid 4711; it must belong to root: chown it"), "{error}");
    let other = read_strict(&path, Strictness { owner: 4712, ..STRICT }, b"").unwrap_err().to_string();
    assert!(other.ends_with("it must belong to uid 4712 or to root: chown it"), "{other}");
    read_strict(&path, Strictness { owner: 4711, ..STRICT }, b"").unwrap();
}

#[test]
fn what_is_no_plain_file_is_refused_at_once() {
    let scratch = Scratch::new("plain");
    let target = scratch.file("target", 0o600);
    let link = scratch.0.join("link");
    symlink(&target, &link).unwrap();
    let fifo = scratch.0.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let socket = scratch.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o600)).unwrap();
    for path in [&link, &fifo, &socket, &scratch.dir("dir")] {
        assert!(matches!(read(path), Err(StrictError::NotAFile(_))), "{path:?}: {:?}", read(path));
    }
    assert!(matches!(read(&scratch.0.join("none")), Err(StrictError::Missing(_))));
    assert!(matches!(read(&scratch.0.join("none/none")), Err(StrictError::Missing(_))));
    // A directory on the way may be a symlink: what counts is where it leads.
    symlink(&scratch.0, scratch.0.join("way")).unwrap();
    read(&scratch.0.join("way/target")).unwrap();
    std::fs::write(&target, vec![b'x'; 101]).unwrap();
    assert!(matches!(read(&target), Err(StrictError::TooLarge { size: 101, most: 100, .. })));
}
