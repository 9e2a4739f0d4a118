//! Which root of an account a wished directory lies below, by whole path components; the spawner resolves it for real.

use crate::gateway::error::SessionError;

/// A root by its number, and the path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Below {
    pub(super) root: u32,
    pub(super) relative: String,
    /// As `ls` shows it.
    pub(super) absolute: String,
}

/// Absolute paths must lie below a root (of several the longest); others count from the first root.
pub(super) fn below(roots: &[String], wished: &str) -> Result<Below, SessionError> {
    let outside = |message: String| SessionError::Refused { code: "directory-outside-roots", message };
    let Some(first) = roots.first() else {
        return Err(outside("the account has no root directory; add one to its `roots`".into()));
    };
    let Some(wanted) = components(wished) else {
        return Err(outside(format!("{wished:?} contains ..; name the directory itself")));
    };
    if !wished.starts_with('/') {
        return Ok(joined(0, first, &wanted));
    }
    roots
        .iter()
        .zip(0u32..)
        .filter_map(|(root, number)| {
            let root_parts = components(root)?;
            let rest = wanted.strip_prefix(root_parts.as_slice())?;
            Some((root_parts.len(), joined(number, root, rest)))
        })
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, below)| below)
        .ok_or_else(|| outside(format!("{wished} is outside the account's roots: {}", roots.join(", "))))
}

fn joined(root: u32, path: &str, rest: &[&str]) -> Below {
    let relative = rest.join("/");
    let path = path.trim_end_matches('/');
    let absolute = match (relative.is_empty(), path.is_empty()) {
        (true, true) => "/".to_owned(),
        (true, false) => path.to_owned(),
        (false, _) => format!("{path}/{relative}"),
    };
    Below { root, relative, absolute }
}

/// None when a component is `..`.
fn components(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") { None } else { Some(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Vec<String> {
        vec!["/home/ann".into(), "/srv/projects/".into(), "/srv/projects/deep".into()]
    }

    #[test]
    fn relative_counts_from_the_first_root_and_absolute_finds_its_own() {
        let at = |wished| below(&roots(), wished).map(|below| (below.root, below.relative, below.absolute)).unwrap();
        assert_eq!(at(""), (0, String::new(), "/home/ann".into()));
        assert_eq!(at("./a//b/"), (0, "a/b".into(), "/home/ann/a/b".into()));
        assert_eq!(at("/srv/projects"), (1, String::new(), "/srv/projects".into()));
        assert_eq!(at("/srv/projects/deep/x"), (2, "x".into(), "/srv/projects/deep/x".into()));
    }

    #[test]
    fn siblings_and_ways_out_are_refused() {
        for bad in ["/srv/projects-evil", "/srv", "/", "a/../..", "/srv/projects/../x", "/home/anna"] {
            assert_eq!(below(&roots(), bad).unwrap_err().code(), "directory-outside-roots", "{bad}");
        }
    }
}
