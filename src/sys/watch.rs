//! Changes of a directory's files, as a descriptor to wait for; does not say which file changed, nor how.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Readable after a file was written, put in its place or removed.
#[derive(Debug)]
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn directory(path: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, path, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::DELETE)?;
        Ok(Self(watch))
    }

    /// Takes what there is, so that the next readiness is news.
    pub(crate) fn take(&self) {
        let mut space = [0; 4096];
        while matches!(rustix::io::read(&self.0, &mut space), Ok(1..)) {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::{Interest, wait};
    use std::time::Duration;

    #[test]
    fn a_written_file_is_news_once() {
        let dir = std::env::temp_dir().join(format!("portcullis-watch-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let watch = Watch::directory(&dir).unwrap();
        let news = || wait(&[Some((watch.as_fd(), Interest::READ))], Some(Duration::ZERO)).unwrap()[0].read;
        assert!(!news());
        std::fs::write(dir.join("a"), "x").unwrap();
        assert!(news());
        watch.take();
        assert!(!news());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
