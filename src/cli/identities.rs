//! From configured names to Unix accounts, and from both to the gateway's part; starts nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use super::failure::Failure;
use super::tree::Owners;
use crate::agents::OptionSpec;
use crate::base::AccountName;
use crate::config::{
    AccountSettings, CarefulOption, GatewayAccount, GatewayAgent, GatewaySettings, OriginSettings, Settings,
};
use crate::sys::credentials::Account;

/// Who the processes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identities {
    pub(super) mode: Mode,
    /// In the order of the settings.
    pub(super) accounts: Vec<Resolved>,
}

/// Three identities, or one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything runs as the caller.
    Single,
    /// The spawner is root.
    Root { gateway: Account, host: Account },
}

/// A configured account and its Unix account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) settings: AccountSettings,
    pub(super) unix: Account,
    /// With the home filled in.
    pub(super) roots: Vec<PathBuf>,
}

impl Resolved {
    /// Whether its agents can gain privileges (by sudo, say).
    pub(super) fn no_new_privs(&self, mode: &Mode) -> bool {
        self.settings.no_new_privs.unwrap_or(matches!(mode, Mode::Root { .. }))
    }
}

impl Identities {
    /// Looks every name up. All problems at once, one a line.
    pub(super) fn resolve(
        settings: &Settings,
        caller: &Account,
        lookup: impl Fn(&str) -> Option<Account>,
    ) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mode = match caller.uid {
            0 => root_mode(settings, &lookup, &mut problems),
            _ => Some(Mode::Single),
        };
        let mut accounts = Vec::new();
        for account in &settings.spawner.accounts {
            match lookup(account.user.as_str()) {
                None => problems.push(format!(
                    "accounts.{}: there is no Unix account {user}; create it (useradd --create-home {user}) or name another as user",
                    account.name,
                    user = account.user
                )),
                Some(unix) if unix.uid == 0 => {
                    problems.push(format!("accounts.{}: this account is uid 0, which never runs agents", account.name));
                }
                Some(unix) => accounts.push(resolved(account, unix)),
            }
        }
        problems.extend(shared_uids(&accounts));
        if let (true, Some(agent)) = (caller.uid == 0, settings.spawner.agents.iter().find(|agent| agent.free_args)) {
            problems.push(format!(
                "agents.{}.free_args: only in single-user mode, where who types them could run anything anyway; take it out",
                agent.name
            ));
        }
        match (&mode, settings.spawner.accounts.as_slice()) {
            (_, []) => problems
                .push("accounts: none is configured; run `portcullis quickstart`, or add [accounts.NAME]".to_owned()),
            (Some(Mode::Single), list) => {
                if list.len() > 1 || accounts.iter().any(|account: &Resolved| account.unix.uid != caller.uid) {
                    problems.push(format!(
                        "accounts: without root there is one account, and it is {}; start as root for others",
                        caller.name
                    ));
                }
            }
            (Some(Mode::Root { gateway, host }), _) => {
                let clash = accounts.iter().find(|account| [gateway.uid, host.uid].contains(&account.unix.uid));
                if let Some(clash) = clash {
                    problems.push(format!(
                        "accounts.{}: it shares a uid with gateway or hosts; give it an account of its own",
                        clash.settings.name
                    ));
                }
            }
            (None, _) => {}
        }
        match mode {
            Some(mode) if problems.is_empty() => Ok(Self { mode, accounts }),
            _ => Err(Failure::setup(problems.join("\n"))),
        }
    }

    /// Owners of the tree.
    pub(super) fn owners(&self) -> Owners {
        match &self.mode {
            Mode::Single => Owners::Caller,
            Mode::Root { gateway, .. } => Owners::Root { gateway: (gateway.uid, gateway.gid) },
        }
    }

    /// The gateway's uid and gid as a file's owner; none in single-user mode.
    pub(super) fn gateway_owner(&self) -> Option<(u32, u32)> {
        match &self.mode {
            Mode::Single => None,
            Mode::Root { gateway, .. } => Some((gateway.uid, gateway.gid)),
        }
    }

    /// What the gateway needs to know of all this.
    pub(super) fn gateway_settings(&self, settings: &Settings, origins: OriginSettings) -> GatewaySettings {
        let accounts = self.accounts.iter().map(|account| GatewayAccount {
            name: account.settings.name.clone(),
            roots: account.roots.clone(),
            agents: account.settings.agents.clone(),
            key_files: u32::try_from(account.settings.key_files.len()).unwrap_or(u32::MAX),
            max_sessions: account.settings.max_sessions,
        });
        let agents = settings.spawner.agents.iter().map(|agent| GatewayAgent {
            name: agent.name.clone(),
            modes: agent.modes.iter().map(|mode| mode.as_str().to_owned()).collect(),
            options: agent.options.iter().map(|option| option.name.clone()).collect(),
            careful: agent.options.iter().filter_map(careful).collect(),
            free_args: agent.free_args,
        });
        GatewaySettings {
            single_user: self.mode == Mode::Single,
            accounts: accounts.collect(),
            agents: agents.collect(),
            origins,
            auth: settings.auth,
            sessions: settings.sessions,
            limits: settings.limits,
            detach: settings.detach,
            log: settings.log.clone(),
        }
    }
}

fn careful(option: &OptionSpec) -> Option<CarefulOption> {
    let asks = option.asks_as_much()?;
    Some(CarefulOption { name: option.name.clone(), asks: asks.iter().map(|value| (*value).to_owned()).collect() })
}

/// Between two accounts of one uid nothing is kept apart.
fn shared_uids(accounts: &[Resolved]) -> Vec<String> {
    let mut first: BTreeMap<u32, &Resolved> = BTreeMap::new();
    let mut problems = Vec::new();
    for account in accounts {
        let uid = account.unix.uid;
        match first.entry(uid) {
            Entry::Vacant(place) => drop(place.insert(account)),
            Entry::Occupied(other) => problems.push(format!(
                "accounts.{}: it has uid {uid} ({}), and so has accounts.{} ({}): give each a Unix account of its own",
                account.settings.name,
                account.unix.name,
                other.get().settings.name,
                other.get().unix.name
            )),
        }
    }
    problems
}

fn root_mode(
    settings: &Settings,
    lookup: &impl Fn(&str) -> Option<Account>,
    problems: &mut Vec<String>,
) -> Option<Mode> {
    let mut find = |key: &str, name: &AccountName| {
        let found = lookup(name.as_str());
        match &found {
            None => problems.push(format!(
                "system.{key}: there is no account {name}; create it: useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}"
            )),
            Some(account) if account.uid == 0 => problems.push(format!("system.{key}: {name} is uid 0; name another account")),
            Some(_) => {}
        }
        found.filter(|account| account.uid != 0)
    };
    let gateway = find("gateway_user", &settings.system.gateway_user);
    let host = find("host_user", &settings.system.host_user);
    Some(Mode::Root { gateway: gateway?, host: host? })
}

fn resolved(account: &AccountSettings, unix: Account) -> Resolved {
    let roots = account.roots.iter().map(|root| fill_home(&root.path, &unix)).collect();
    Resolved { settings: account.clone(), roots, unix }
}

/// `%h` and what follows, below the account's home.
fn fill_home(root: &str, unix: &Account) -> PathBuf {
    match root.strip_prefix("%h") {
        // Joining nothing would leave a slash at the end.
        Some("") => unix.home.clone(),
        Some(rest) => unix.home.join(rest.trim_start_matches('/')),
        None => PathBuf::from(root),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Layers, load};

    pub(in crate::cli) fn unix(name: &str, uid: u32) -> Account {
        Account {
            name: name.to_owned(),
            uid,
            gid: uid,
            groups: vec![uid],
            home: format!("/home/{name}").into(),
            shell: "/bin/sh".into(),
        }
    }

    fn settings(text: &str) -> Settings {
        load(&Layers { file: Some(("f".into(), text.to_owned())), ..Layers::default() }).unwrap()
    }

    fn resolve(text: &str, caller: u32) -> Result<Identities, String> {
        let known = |name: &str| match name {
            "portcullis" => Some(unix(name, 901)),
            "portcullis-host" => Some(unix(name, 902)),
            "ann" => Some(unix(name, 1000)),
            "twin" => Some(unix(name, 1000)),
            "bob" => Some(unix(name, 1001)),
            "toor" => Some(unix(name, 0)),
            _ => None,
        };
        Identities::resolve(&settings(text), &unix("caller", caller), known).map_err(|failure| failure.message)
    }

    const ANN: &str = "[agents.shell]\nlogin_shell = true\n[accounts.ann]\nroots = [\"%h/src\", \"%h\", \"/srv\"]\n";

    #[test]
    fn a_good_configuration_resolves() {
        let found = resolve(ANN, 0).unwrap();
        assert_eq!(found.owners(), Owners::Root { gateway: (901, 901) });
        assert_eq!(found.accounts[0].roots, ["/home/ann/src", "/home/ann", "/srv"].map(PathBuf::from));
        assert_eq!(found.accounts[0].roots[1].as_os_str(), "/home/ann");
        assert!(found.accounts[0].no_new_privs(&found.mode));
        let single = resolve(ANN, 1000).unwrap();
        assert!(!single.accounts[0].no_new_privs(&single.mode));
        let part = single.gateway_settings(&settings(ANN), OriginSettings::default());
        assert!(part.single_user);
        assert_eq!(part.accounts[0].key_files, 2);
    }

    #[test]
    fn an_account_may_have_another_name_than_its_unix_account_but_no_other_s_uid() {
        let found = resolve("[accounts.team]\nuser = \"ann\"\n[accounts.bob]\n", 0).unwrap();
        let named = |at: usize| (found.accounts[at].settings.name.as_str(), found.accounts[at].unix.uid);
        assert_eq!([named(0), named(1)], [("bob", 1001), ("team", 1000)]);
        assert_eq!(found.accounts[1].roots, [PathBuf::from("/home/ann")]);
        for other in ["[accounts.ann]", "[accounts.second]\nuser = \"ann\"", "[accounts.twin]"] {
            let told = resolve(&format!("[accounts.team]\nuser = \"ann\"\n{other}\n"), 0).unwrap_err();
            let name = other.split(['.', ']']).nth(1).unwrap();
            for part in [format!("accounts.{name}"), "accounts.team".into(), "it has uid 1000".into()] {
                assert!(told.contains(&part), "{part} is not in {told}");
            }
        }
        assert!(
            resolve("[accounts.team]\nuser = \"toor\"", 0)
                .unwrap_err()
                .contains("accounts.team: this account is uid 0")
        );
        assert!(resolve("[accounts.team]\nuser = \"ann\"", 1000).is_ok());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "[system]\ngateway_user = \"gone\"\n[accounts.ghost]\n[accounts.toor]\n";
        let told = resolve(text, 0).unwrap_err();
        for part in [
            "system.gateway_user",
            "accounts.ghost: there is no Unix account ghost",
            "accounts.toor: this account is uid 0",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        assert!(resolve("", 1000).unwrap_err().contains("none is configured"));
        assert!(
            resolve("[agents.x]\ncommand = \"/x\"\nfree_args = true\n[accounts.ann]", 0)
                .unwrap_err()
                .contains("single-user")
        );
        assert!(resolve(ANN, 1001).unwrap_err().contains("without root there is one account"));
        assert!(resolve("[accounts.portcullis]", 0).unwrap_err().contains("shares a uid"));
    }
}
