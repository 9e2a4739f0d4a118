//! Everything that a first run makes before it serves, in order; a directory that is set up already is left as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::accounts::{self, Chosen, Machine};
use super::keys::{Offered, client_pair};
use super::{agents, file};
use crate::cli::arguments::QuickstartArguments;
use crate::cli::failure::{About, Failure};
use crate::cli::files::{self, Owner};
use crate::cli::keys::KeyStore;
use crate::cli::tree::{Owners, Tree};
use crate::cli::{access, place, programs};
use crate::sys::credentials::Account;

/// The two system accounts as the configuration has them unless it is edited.
const SYSTEM: [&str; 2] = ["portcullis", "portcullis-host"];

/// What the caller wants, and where.
pub(super) struct Setup<'a> {
    pub(super) tree: &'a Tree,
    pub(super) arguments: &'a QuickstartArguments,
}

/// Whose keys these are.
struct Caller {
    home: PathBuf,
    /// Where a new client pair lies, and whose it is.
    pair: PathBuf,
    owner: Owner,
}

impl Setup<'_> {
    /// Returns the path of a private key that is listed, if there is one on this machine.
    pub(super) fn run(&self, say: &mut dyn FnMut(String)) -> Result<Option<PathBuf>, Failure> {
        let is_new = !self.tree.config.exists();
        if is_new { self.first(say) } else { self.again() }
    }

    fn first(&self, say: &mut dyn FnMut(String)) -> Result<Option<PathBuf>, Failure> {
        let caller = place::caller()?;
        let sudo_user = std::env::var("SUDO_USER").ok();
        let wanted = self.arguments.account.as_deref();
        let chosen = accounts::choose(&caller, wanted, sudo_user.as_deref(), &mut Machine, say)?;
        let gateway = self.system_accounts(&caller, say)?;
        let owners = gateway.map_or(Owners::Caller, |gateway| Owners::Root { gateway });
        self.tree.create(owners)?;

        let whose = self.caller(&caller, chosen.behind.as_ref());
        let offered = Offered::find(&whose.home, &agent_keys());
        let makes_pair = self.arguments.new_key || offered.is_empty();
        let pair = makes_pair.then(|| client_pair(&whose.pair, whose.owner)).transpose()?;
        if pair.is_some() {
            say(format!("made a client key: {}", whose.pair.display()));
        }
        self.write_keys(&chosen.account, &offered, pair.as_deref(), gateway.is_some())?;
        self.write_file(&chosen, &offered, &whose, gateway)?;
        Ok(if makes_pair { Some(whose.pair) } else { offered.private })
    }

    /// Only what was asked for in words: a new key.
    fn again(&self) -> Result<Option<PathBuf>, Failure> {
        let settings = place::settings(&self.tree.config, &self.arguments.doors)?;
        let accounts: Vec<String> = settings.spawner.accounts.iter().map(|account| account.name.to_string()).collect();
        if let Some(wanted) = self.arguments.account.as_ref().filter(|wanted| !accounts.contains(wanted)) {
            return Err(Failure::setup(format_args!(
                "--account {wanted}: {} is set up for {}; edit it, or choose another --dir",
                self.tree.config.display(),
                accounts.join(", ")
            )));
        }
        let caller = place::caller()?;
        let behind = std::env::var("SUDO_USER").ok().filter(|_| caller.uid == 0);
        let behind = behind.and_then(|name| place::lookup(&name)).filter(|account| account.uid != 0);
        let whose = self.caller(&caller, behind.as_ref());
        if let (true, Some(account)) = (self.arguments.new_key, accounts.first()) {
            let line = client_pair(&whose.pair, whose.owner)?;
            KeyStore::new(self.tree.keys.join(account))?.add(&line)?;
        }
        if whose.pair.exists() {
            return Ok(Some(whose.pair));
        }
        Ok(Offered::find(&whose.home, "").private)
    }

    /// The gateway's uid and gid, in root mode.
    fn system_accounts(&self, caller: &Account, say: &mut dyn FnMut(String)) -> Result<Option<(u32, u32)>, Failure> {
        if caller.uid != 0 {
            return Ok(None);
        }
        accounts::system(SYSTEM, &mut Machine, say)?;
        let gateway = SYSTEM.first().and_then(|name| place::lookup(name));
        Ok(gateway.map(|gateway| (gateway.uid, gateway.gid)))
    }

    fn caller(&self, caller: &Account, behind: Option<&Account>) -> Caller {
        match behind {
            // Not below DIR, which may lie where only root comes.
            Some(behind) => Caller {
                home: behind.home.clone(),
                pair: behind.home.join(".ssh/portcullis_client"),
                owner: Some((behind.uid, behind.gid)),
            },
            None => {
                let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
                let pair = self.tree.dir.as_deref().unwrap_or(Path::new("/etc/portcullis")).join("client_key");
                Caller { home: home.unwrap_or_else(|| caller.home.clone()), pair, owner: None }
            }
        }
    }

    /// In root mode all of it is copied, so that no agent can add to it; else authorized_keys stays where it is.
    fn write_keys(
        &self,
        account: &Account,
        offered: &Offered,
        pair: Option<&str>,
        is_root: bool,
    ) -> Result<(), Failure> {
        let path = self.tree.keys.join(&account.name);
        if path.exists() {
            return pair.map_or(Ok(()), |line| KeyStore::new(path)?.add(line).map(drop));
        }
        let mut text = format!(
            "# Who may log in as {}. One key a line, as in authorized_keys; ours: role= approve agents= sessions= label=\n",
            account.name
        );
        let copied = offered.authorized.iter().filter(|_| is_root).flat_map(|authorized| &authorized.lines);
        for line in offered.lines.iter().chain(copied).map(String::as_str).chain(pair) {
            text.push_str(line);
            text.push('\n');
        }
        let mode = if is_root { 0o644 } else { 0o600 };
        files::put(&path, text.as_bytes(), mode, None).about(path.display(), "make its directory writable")
    }

    fn write_file(
        &self,
        chosen: &Chosen,
        offered: &Offered,
        whose: &Caller,
        gateway: Option<(u32, u32)>,
    ) -> Result<(), Failure> {
        let account = &chosen.account;
        let login_path = agents::login_path(account);
        let own_path = std::env::var("PATH").unwrap_or_default();
        let paths: Vec<&str> = [Some(own_path.as_str()), login_path.as_deref()].into_iter().flatten().collect();
        let found = agents::find(account, &paths);
        let roots = roots(account, std::env::current_dir().ok().as_deref());
        // A percent sign in a path stands for itself.
        let ours = self.tree.keys.display().to_string().replace('%', "%%");
        let mut key_files = vec![format!("{ours}/%u")];
        if gateway.is_none() {
            key_files.push("%h/.config/portcullis/authorized_keys".to_owned());
            let listed = offered.authorized.as_ref().map(|authorized| authorized.path.clone());
            let ssh = listed.unwrap_or_else(|| whose.home.join(".ssh/authorized_keys"));
            key_files.push(match ssh.strip_prefix(&account.home) {
                Ok(rest) => format!("%h/{}", rest.display()),
                Err(_) => ssh.display().to_string().replace('%', "%%"),
            });
        }
        let text = file::text(&file::Chosen {
            account: &account.name,
            roots: &roots,
            key_files: &key_files,
            agents: &found,
            doors: &self.arguments.doors,
            is_single: gateway.is_none(),
        });
        let (mode, owner) = gateway.map_or((0o600, None), |(_, gid)| (0o640, Some((0, gid))));
        files::put(&self.tree.config, text.as_bytes(), mode, owner)
            .about(self.tree.config.display(), "make its directory writable")
    }
}

/// The home, and where quickstart was started if the account can be there.
fn roots(account: &Account, here: Option<&Path>) -> Vec<String> {
    let mut roots = vec!["%h".to_owned()];
    if let Some(here) = here.filter(|here| *here != account.home && access::can_enter(account, here)) {
        roots.push(here.display().to_string());
    }
    roots
}

/// What an ssh-agent holds; none when there is none.
fn agent_keys() -> String {
    programs::output(Command::new("ssh-add").arg("-L")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::cli::arguments::DoorArguments;
    use crate::cli::identities::tests::unix;
    use crate::cli::testing::TempDir;

    fn arguments() -> QuickstartArguments {
        QuickstartArguments { dir: None, doors: DoorArguments::default(), account: None, new_key: false, detach: false }
    }

    fn whose(home: &Path) -> Caller {
        Caller { home: home.to_owned(), pair: home.join("client_key"), owner: None }
    }

    #[test]
    fn a_single_users_directory_is_complete_and_private() {
        let dir = TempDir::new("setup");
        let tree = Tree::below(&dir.join("d"), false);
        tree.create(Owners::Caller).unwrap();
        let arguments = arguments();
        let setup = Setup { tree: &tree, arguments: &arguments };
        let account = Account { home: dir.path().to_owned(), ..unix("ann", 7001) };
        let offered = Offered::default();
        let line = client_pair(&dir.join("client_key"), None).unwrap();
        setup.write_keys(&account, &offered, Some(&line), false).unwrap();
        let chosen = Chosen { account: account.clone(), behind: None };
        setup.write_file(&chosen, &offered, &whose(dir.path()), None).unwrap();
        let settings = place::settings(&tree.config, &DoorArguments::default()).unwrap();
        let files = &settings.spawner.accounts[0].key_files;
        assert_eq!(files[0], format!("{}/%u", tree.keys.display()));
        assert_eq!(files[2], "%h/.ssh/authorized_keys");
        let store = KeyStore::new(tree.keys.join("ann")).unwrap();
        assert_eq!(store.list().unwrap().keys.len(), 1);
        assert_eq!(fs::metadata(&tree.config).unwrap().mode() & 0o7777, 0o600);
        // Again: the key is there, nothing changes.
        let before = fs::read(store.path()).unwrap();
        setup.write_keys(&account, &offered, Some(&line), false).unwrap();
        assert_eq!(fs::read(store.path()).unwrap(), before);
    }

    #[test]
    fn roots_directory_copies_keys_out_of_the_agents_reach() {
        let dir = TempDir::new("setup-root");
        let tree = Tree::below(&dir.join("d"), true);
        let gateway = (4001, 4002);
        tree.create(Owners::Root { gateway }).unwrap();
        let arguments = arguments();
        let setup = Setup { tree: &tree, arguments: &arguments };
        let account = unix("ann", 7001);
        let line = client_pair(&dir.join("phone"), None).unwrap();
        fs::create_dir(dir.join(".ssh")).unwrap();
        fs::write(dir.join(".ssh/authorized_keys"), format!("{line}\n")).unwrap();
        let offered = Offered::find(dir.path(), "");
        assert!(!offered.is_empty());
        setup.write_keys(&account, &offered, None, true).unwrap();
        setup.write_file(&Chosen { account, behind: None }, &offered, &whose(dir.path()), Some(gateway)).unwrap();
        let settings = place::settings(&tree.config, &DoorArguments::default()).unwrap();
        assert_eq!(settings.spawner.accounts[0].key_files, [format!("{}/%u", tree.keys.display())]);
        let keys = fs::metadata(tree.keys.join("ann")).unwrap();
        assert_eq!((keys.uid(), keys.mode() & 0o7777), (0, 0o644));
        let file = fs::metadata(&tree.config).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (0, 4002, 0o640));
        assert_eq!(KeyStore::new(tree.keys.join("ann")).unwrap().list().unwrap().keys.len(), 1);
    }

    #[test]
    fn a_directory_that_the_account_cannot_enter_is_no_root() {
        let dir = TempDir::new("setup-roots");
        let account = unix("ann", 7001);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(roots(&account, Some(dir.path())), ["%h", dir.path().to_str().unwrap()]);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(roots(&account, Some(dir.path())), ["%h"]);
        assert_eq!(roots(&account, Some(&account.home)), ["%h"]);
    }

    #[test]
    fn a_directory_for_another_account_is_not_taken_over() {
        let dir = TempDir::new("setup-other");
        let tree = Tree::below(dir.path(), false);
        fs::write(&tree.config, "[accounts.ann]\n").unwrap();
        let arguments = QuickstartArguments { account: Some("bob".into()), ..arguments() };
        let told = Setup { tree: &tree, arguments: &arguments }.run(&mut |_| {}).unwrap_err();
        assert!(told.status == 78 && told.message.contains("is set up for ann"), "{told}");
    }
}
