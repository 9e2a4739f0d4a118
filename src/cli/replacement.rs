//! Which file this program was started from, and the words for a program in its place; starts nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::arguments::{DoorArguments, PlaceArguments};
use super::failure::{About, Failure};
use super::serve::Manner;
use crate::spawner::{Program, Stamp};

/// For a spawner that serves this place in this manner.
pub(super) fn program(again: &(PlaceArguments, DoorArguments), manner: &Manner) -> Result<Program, Failure> {
    let real = std::env::current_exe().about("this program's own file", "install it anew")?;
    let path = named(std::env::args_os().next().map(PathBuf::from).as_deref(), &real).unwrap_or(real);
    let stamp = Stamp::of(&path).about(path.display(), "install it anew")?;
    let place: Vec<String> = again.0.words().into_iter().chain(again.1.words()).collect();
    let words = |first: &[&str], last: &[&str]| {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        [own(first), place.clone(), own(last)].concat()
    };
    let mut last = Vec::new();
    if manner.spawner_only {
        last.push("--spawner-only");
    }
    if manner.take_environment {
        last.push("--take-environment");
    }
    last.push("--handed-fd");
    Ok(Program { path, stamp, check: words(&["check", "--table", "--handed"], &[]), serve: words(&["serve"], &last) })
}

/// The name that was typed, when it means this very file: a link stays a link, so that it may come to mean another one.
fn named(typed: Option<&Path>, real: &Path) -> Option<PathBuf> {
    let typed = typed?;
    let is_this = |path: &PathBuf| {
        let of = |path: &Path| path.metadata().map(|data| (data.dev(), data.ino())).ok();
        of(path).is_some() && of(path) == of(real)
    };
    if typed.components().count() > 1 || typed.is_absolute() {
        return std::path::absolute(typed).ok().filter(is_this);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(typed)).filter(|path| path.is_absolute()).find(is_this)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::TempDir;

    #[test]
    fn a_link_stays_a_link_and_another_file_of_that_name_is_not_taken() {
        let dir = TempDir::new("named");
        let (real, link, other) = (dir.join("real"), dir.join("link"), dir.join("other"));
        std::fs::write(&real, "").unwrap();
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        assert_eq!(named(Some(&link), &real), Some(link));
        assert_eq!(named(Some(&other), &real), None);
        assert_eq!(named(Some(Path::new("no-such-program-anywhere")), &real), None);
        assert_eq!(
            named(Some(Path::new("sh")), &Path::new("/bin/sh").canonicalize().unwrap()).map(|path| path.is_absolute()),
            Some(true)
        );
    }
}
