//! From `--config`, `--dir`, environment and flags to checked settings and their tree; looks up no account.

use std::path::{Path, PathBuf};

use super::arguments::{DoorArguments, PlaceArguments};
use super::failure::{About, Failure};
use super::files;
use super::tree::{Tree, default_directory};
use crate::config::{Layers, Settings, load};
use crate::sys::credentials::{self, Account};

/// A configuration of every account of a large team is far smaller.
const MOST: u64 = 1024 * 1024;

/// Where it is and what it says.
pub(super) struct Place {
    pub(super) tree: Tree,
    pub(super) settings: Settings,
}

impl Place {
    /// Reads the file; every mistake at once.
    pub(super) fn read(place: &PlaceArguments, doors: &DoorArguments) -> Result<Self, Failure> {
        let mut tree = tree(place.dir.as_deref())?;
        if let Some(config) = &place.config {
            tree.config = absolute(config)?;
        }
        let settings = settings(&tree.config, doors)?;
        Ok(Self { tree, settings })
    }
}

/// The settings of this file under environment and flags.
pub(super) fn settings(file: &Path, doors: &DoorArguments) -> Result<Settings, Failure> {
    let bytes = files::read(file, MOST)
        .about(file.display(), "name a readable file with --config, or make one with `portcullis quickstart`")?;
    let text = String::from_utf8(bytes).about(file.display(), "the file must be UTF-8")?;
    // A variable that is not UTF-8 is none of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let layers = Layers { file: Some((file.to_owned(), text)), environment, flags: doors.flags() };
    load(&layers).map_err(Failure::setup)
}

/// The tree of `--dir`, or the system's.
pub(super) fn tree(dir: Option<&Path>) -> Result<Tree, Failure> {
    match dir {
        None => Ok(Tree::system()),
        Some(dir) => Ok(Tree::below(&absolute(dir)?, is_root())),
    }
}

/// The tree of `--dir`, of the user's default directory where there is one, or the system's.
pub(super) fn nearest_tree(dir: Option<&Path>) -> Result<Tree, Failure> {
    let default = || default_directory(|name| std::env::var(name).ok()).ok().filter(|path| path.join("run").is_dir());
    match dir {
        Some(dir) => tree(Some(dir)),
        None => tree(default().as_deref()),
    }
}

/// Links resolved where the path exists: the tree of a directory is the same by every name.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    match path.canonicalize() {
        Ok(real) => Ok(real),
        Err(_) => std::path::absolute(path).about(path.display(), "give a path"),
    }
}

/// Whether the spawner will be root.
pub(super) fn is_root() -> bool {
    credentials::current_uid() == 0
}

/// Who runs this program.
pub(super) fn caller() -> Result<Account, Failure> {
    let uid = credentials::current_uid();
    let found = credentials::account_of(uid).about("the account database", "try again")?;
    found.ok_or_else(|| Failure::setup(format_args!("uid {uid} has no account; run this as a user that has one")))
}

/// A Unix account by name; a database that does not answer knows nobody.
pub(super) fn lookup(name: &str) -> Option<Account> {
    credentials::account(name).ok().flatten()
}
