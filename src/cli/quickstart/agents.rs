//! Finds the agents that an account can run; starts none of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{access, place, programs};
use crate::sys::credentials::Account;

/// Programs that are looked for, in the order of the list that people see.
const KNOWN: [&str; 2] = ["claude", "opencode"];

/// A program that the account can execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
}

/// In these PATHs, the first match of each.
pub(super) fn find(account: &Account, paths: &[&str]) -> Vec<Found> {
    let in_path = |name: &'static str| {
        let mut places = paths.iter().flat_map(|path| path.split(':')).filter(|dir| dir.starts_with('/'));
        places
            .find_map(|dir| {
                let program = Path::new(dir).join(name);
                // The name stays, links and all: an upgrade moves what it points to.
                access::executable(account, &program).map(|_| program)
            })
            .map(|program| Found { name, program })
    };
    KNOWN.into_iter().filter_map(in_path).collect()
}

/// PATH as the account's login shell sets it.
pub(super) fn login_path(account: &Account) -> Option<String> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&account.shell);
    command.args(["-l", "-c", "printf '\\n%s' \"$PATH\""]).env_clear().current_dir("/");
    command.env("HOME", &account.home).env("USER", &account.name).env("LOGNAME", &account.name);
    command.env("SHELL", &account.shell).env("PATH", crate::agents::environment::FALLBACK_PATH);
    if place::is_root() {
        command.uid(account.uid).gid(account.gid);
    }
    // Start files may print; the last line is ours.
    let text = programs::output(&mut command)?;
    text.lines().last().map(str::to_owned).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cli::identities::tests::unix;
    use crate::cli::testing::TempDir;

    fn program(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_that_the_account_can_execute() {
        let dir = TempDir::new("find-agents");
        program(&dir.join("a/claude"), 0o700);
        program(&dir.join("b/claude"), 0o755);
        program(&dir.join("c/claude"), 0o755);
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.join(name).display().to_string());
        let found = find(&unix("ann", 7001), &[&format!("relative:{a}:{b}"), &c]);
        assert_eq!(found, [Found { name: "claude", program: dir.join("b/claude") }]);
        assert_eq!(find(&unix("ann", 7001), &[""]), []);
    }

    #[test]
    fn a_login_shell_tells_its_path_and_a_broken_one_none() {
        let mut account = place::caller().unwrap();
        account.shell = "/bin/sh".into();
        assert!(login_path(&account).unwrap().contains("/bin"));
        account.shell = "/usr/sbin/nologin".into();
        assert_eq!(login_path(&account), None);
    }
}
