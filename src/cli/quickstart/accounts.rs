//! Chooses the account that agents run as and makes the accounts that root mode needs; never uid 0.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;
use crate::sys::credentials::Account;

/// Made when root names nobody.
const AGENT: &str = "portcullis-agent";

/// Whose keys are offered, and who runs the agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) account: Account,
    /// The account behind sudo; none: the caller itself.
    pub(super) behind: Option<Account>,
}

/// The three ways in which a machine knows accounts, so that choosing can be tested.
pub(super) trait Directory {
    /// An account by name.
    fn lookup(&self, name: &str) -> Option<Account>;
    /// Makes an account; the shell lines that a person would type.
    fn create(&mut self, name: &str, kind: Kind) -> Result<(), String>;
}

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No home, no shell.
    System,
    /// A home and /bin/bash.
    Person,
}

impl Kind {
    /// What `useradd` is told.
    fn useradd(self, name: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::System => &[
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                "/nonexistent",
                "--shell",
                "/usr/sbin/nologin",
            ],
            Self::Person => &["--create-home", "--user-group", "--shell", "/bin/bash"],
        };
        words.iter().map(|word| (*word).to_owned()).chain([name.to_owned()]).collect()
    }

    /// What the small `adduser` of busybox is told.
    fn adduser(self, name: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::System => &["-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin"],
            Self::Person => &["-D", "-s", "/bin/bash"],
        };
        words.iter().map(|word| (*word).to_owned()).chain([name.to_owned()]).collect()
    }
}

/// `--account`, else the account behind sudo, else the caller unless that is root, else one of its own.
pub(super) fn choose(
    caller: &Account,
    wanted: Option<&str>,
    sudo_user: Option<&str>,
    directory: &mut impl Directory,
    say: &mut dyn FnMut(String),
) -> Result<Chosen, Failure> {
    if caller.uid != 0 {
        if let Some(other) = wanted.filter(|name| *name != caller.name) {
            return Err(Failure::setup(format_args!(
                "--account {other}: without root, agents run as you ({}); leave --account out, or start as root",
                caller.name
            )));
        }
        return Ok(Chosen { account: caller.clone(), behind: None });
    }
    let behind = sudo_user.and_then(|name| directory.lookup(name)).filter(|account| account.uid != 0);
    let account = match (wanted, &behind) {
        (Some(name), _) => directory.lookup(name).ok_or_else(|| {
            Failure::setup(format_args!(
                "--account {name}: there is no such account; create it: useradd {}",
                Kind::Person.useradd(name).join(" ")
            ))
        })?,
        (None, Some(behind)) => behind.clone(),
        (None, None) => ensure(AGENT, Kind::Person, directory, say)?,
    };
    if account.uid == 0 {
        return Err(Failure::setup(format_args!(
            "--account {}: agents never run as uid 0; name another",
            account.name
        )));
    }
    Ok(Chosen { account, behind })
}

/// The accounts that gateway and hosts run as.
pub(super) fn system(
    names: [&str; 2],
    directory: &mut impl Directory,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    names.into_iter().try_for_each(|name| ensure(name, Kind::System, directory, say).map(drop))
}

fn ensure(
    name: &str,
    kind: Kind,
    directory: &mut impl Directory,
    say: &mut dyn FnMut(String),
) -> Result<Account, Failure> {
    if let Some(account) = directory.lookup(name) {
        return Ok(account);
    }
    let made = directory.create(name, kind);
    match (made, directory.lookup(name)) {
        (Ok(()), Some(account)) => {
            let home = if kind == Kind::Person { "--remove " } else { "" };
            say(format!("created the account {name} (remove it with: userdel {home}{name})"));
            Ok(account)
        }
        (made, _) => Err(Failure::setup(format_args!(
            "the account {name} could not be created ({}); run these three lines as root and start again:\n{}",
            made.err().unwrap_or_else(|| "it is not there afterwards".to_owned()),
            three_lines().join("\n")
        ))),
    }
}

/// What makes every account that root mode may need.
fn three_lines() -> [String; 3] {
    [("portcullis", Kind::System), ("portcullis-host", Kind::System), (AGENT, Kind::Person)]
        .map(|(name, kind)| format!("  useradd {}", kind.useradd(name).join(" ")))
}

/// This machine.
pub(super) struct Machine;

impl Directory for Machine {
    fn lookup(&self, name: &str) -> Option<Account> {
        crate::cli::place::lookup(name)
    }

    fn create(&mut self, name: &str, kind: Kind) -> Result<(), String> {
        let candidates = [("useradd", kind.useradd(name)), ("adduser", kind.adduser(name))];
        let found = candidates.into_iter().find_map(|(program, words)| {
            let place = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|dir| Path::new(dir).join(program));
            place.into_iter().find(|path| path.exists()).map(|path| (path, words))
        });
        let (program, words) = found.ok_or("neither useradd nor adduser is installed")?;
        let output = Command::new(&program).args(words).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("{}: {error}", program.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::identities::tests::unix;

    #[derive(Default)]
    struct Fake {
        known: Vec<Account>,
        works: bool,
    }

    impl Directory for Fake {
        fn lookup(&self, name: &str) -> Option<Account> {
            self.known.iter().find(|account| account.name == name).cloned()
        }
        fn create(&mut self, name: &str, _: Kind) -> Result<(), String> {
            if !self.works {
                return Err("read-only file system".to_owned());
            }
            self.known.push(unix(name, 5000));
            Ok(())
        }
    }

    fn choice(caller: u32, wanted: Option<&str>, sudo: Option<&str>, fake: &mut Fake) -> Result<String, String> {
        let chosen = choose(&unix("me", caller), wanted, sudo, fake, &mut |_| {});
        chosen.map(|chosen| chosen.account.name).map_err(|failure| failure.message)
    }

    #[test]
    fn who_runs_the_agents() {
        let known = vec![unix("ann", 1000), unix("bob", 1001), unix("toor", 0), unix("root", 0)];
        let mut fake = Fake { known, works: true };
        assert_eq!(choice(1000, None, Some("bob"), &mut fake).unwrap(), "me");
        assert_eq!(choice(0, Some("bob"), Some("ann"), &mut fake).unwrap(), "bob");
        assert_eq!(choice(0, None, Some("ann"), &mut fake).unwrap(), "ann");
        assert_eq!(choice(0, None, Some("root"), &mut fake).unwrap(), AGENT);
        assert!(choice(0, Some("toor"), None, &mut fake).unwrap_err().contains("never run as uid 0"));
        assert!(choice(0, Some("gone"), None, &mut fake).unwrap_err().contains("useradd --create-home"));
        assert!(choice(1000, Some("bob"), None, &mut fake).unwrap_err().contains("without root"));
    }

    #[test]
    fn what_cannot_be_created_is_three_lines_to_run() {
        let told = choose(&unix("root", 0), None, None, &mut Fake::default(), &mut |_| {}).unwrap_err();
        assert_eq!(told.status, 78);
        assert_eq!(told.message.lines().filter(|line| line.starts_with("  useradd ")).count(), 3, "{told}");
        assert!(told.message.contains("read-only file system"));
    }

    #[test]
    fn accounts_that_are_there_are_kept_and_new_ones_told() {
        let mut fake = Fake { known: vec![unix("portcullis", 900)], works: true };
        let mut said = Vec::new();
        system(["portcullis", "portcullis-host"], &mut fake, &mut |line| said.push(line)).unwrap();
        assert_eq!(said, ["created the account portcullis-host (remove it with: userdel portcullis-host)"]);
    }
}
