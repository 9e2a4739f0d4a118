//! What a first run tells: what runs where, as whom, and the exact lines to try; runs nothing itself.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::agents::Mode::Terminal;
use crate::agents::{AgentSpec, DriverKind};
use crate::cli::endpoints::Endpoints;
use crate::cli::identities::{Identities, Mode};
use crate::cli::listeners;
use crate::cli::tree::Tree;
use crate::config::Settings;

/// All that is told, borrowed from where it is known.
pub(super) struct Facts<'a> {
    tree: &'a Tree,
    settings: &'a Settings,
    identities: &'a Identities,
    endpoints: &'a Endpoints,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        tree: &'a Tree,
        settings: &'a Settings,
        identities: &'a Identities,
        endpoints: &'a Endpoints,
    ) -> Self {
        Self { tree, settings, identities, endpoints }
    }

    /// The whole text, without a last newline.
    pub(super) fn text(&self) -> String {
        let mut out = String::from("Portcullis serves.\n\n");
        self.doors(&mut out);
        self.who(&mut out);
        self.lines(&mut out);
        out.trim_end().to_owned()
    }

    fn doors(&self, out: &mut String) {
        let Endpoints { https, ssh, admin, identity, .. } = self.endpoints;
        let _ = writeln!(out, "  wss       wss://{https}/v1/ws");
        let _ = writeln!(out, "  ssh       {ssh}");
        let _ = writeln!(out, "  health    http://{admin}/healthz");
        let _ =
            writeln!(out, "  identity  {identity} (the ssh host key, the same on wss; compare it at the first login)");
        let _ =
            writeln!(out, "  directory {}", self.tree.dir.as_deref().unwrap_or(Path::new("/etc/portcullis")).display());
        let open: Vec<&str> =
            [https, ssh, admin].into_iter().filter(|address| !is_loopback(address)).map(|s| s.as_str()).collect();
        if !open.is_empty() {
            let _ = writeln!(
                out,
                "  RISK      {} can be reached from the network: keys and limits stand between, and every fault of this program",
                open.join(", ")
            );
        }
    }

    fn who(&self, out: &mut String) {
        let pid = self.endpoints.pid;
        out.push('\n');
        match &self.identities.mode {
            Mode::Single => {
                let _ = writeln!(
                    out,
                    "  spawner (pid {pid}), gateway, session hosts and agents run as {}",
                    self.endpoints.account
                );
                if let Some(account) = self.identities.accounts.first() {
                    let _ = writeln!(out, "  {}", shared_uid(account.unix.uid, &self.tree.state));
                }
            }
            Mode::Root { gateway, host } => {
                let _ = writeln!(
                    out,
                    "  spawner (pid {pid}) runs as root, gateway as {}, session hosts as {}",
                    gateway.name, host.name
                );
            }
        }
        for account in &self.identities.accounts {
            let agents: Vec<&str> = account.settings.agents.iter().map(|agent| agent.as_str()).collect();
            let roots: Vec<String> = account.roots.iter().map(|root| root.display().to_string()).collect();
            let (name, unix) = (account.settings.name.as_str(), &account.unix);
            // Who logs in under another name than the Unix account's has to know both.
            let of = if unix.name == name { String::new() } else { format!("{}, ", unix.name) };
            let _ =
                writeln!(out, "  account {name} ({of}uid {}): {} in {}", unix.uid, agents.join(", "), roots.join(", "));
        }
        for agent in &self.settings.spawner.agents {
            let command = agent.command.join(" ");
            let _ = writeln!(
                out,
                "    {}: {}",
                agent.name,
                if command.is_empty() { "the account's login shell" } else { &command }
            );
        }
    }

    fn lines(&self, out: &mut String) {
        let account = &self.endpoints.account;
        let (host, port) = dialled(&self.endpoints.ssh);
        let key = match self.endpoints.client_key.as_str() {
            "" => String::new(),
            path => format!(" -i {} -o IdentitiesOnly=yes", word(path)),
        };
        let agent = self.identities.accounts.first().and_then(|account| account.settings.agents.first());
        let agent = agent.map_or("shell", |agent| agent.as_str());
        let program =
            std::env::current_exe().map_or_else(|_| "portcullis".to_owned(), |path| path.display().to_string());
        let dir = self
            .tree
            .dir
            .as_ref()
            .map(|dir| format!(" --dir {}", word(&dir.display().to_string())))
            .unwrap_or_default();
        let program = word(&program);
        let _ = write!(
            out,
            "\nTry:\n  ssh -t{key} -p {port} {account}@{host} {agent}\n  ssh{key} -p {port} {account}@{host} ls\n  {program} open {agent}{dir}\n"
        );
        if is_loopback(&self.endpoints.ssh) {
            let here = listeners::hostname().unwrap_or_else(|| "THISHOST".to_owned());
            let _ = writeln!(
                out,
                "From another machine, whose key must be listed here too ({program} keys add{dir} 'ssh-ed25519 …'):\n  ssh -J {here} -t -p {port} {account}@{host} {agent}"
            );
        }
        if self.endpoints.client_key.is_empty() {
            out.push_str("The keys that were found have their private halves elsewhere (an agent, another machine); --new-key makes one here.\n");
        }
        self.questions(out);
        let _ = writeln!(out, "End every session: {program} stop --all{dir}");
    }

    /// What an agent asks before it works, and how an account settles that.
    fn questions(&self, out: &mut String) {
        let asks = |agent: &&AgentSpec| agent.driver == Some(DriverKind::Claude) && agent.modes.contains(&Terminal);
        let Some(agent) = self.settings.spawner.agents.iter().find(asks) else { return };
        let Some(account) = self.identities.accounts.first() else { return };
        let program = self.tree.reachable.join("bin/portcullis");
        let _ = writeln!(
            out,
            "Claude Code asks a few questions when it first starts in a terminal. To settle them, as {}: {} prepare {}",
            account.unix.name,
            word(&program.display().to_string()),
            agent.name
        );
    }
}

/// What single-user mode cannot enforce.
pub(in crate::cli) fn shared_uid(uid: u32, state: &Path) -> String {
    format!(
        "all share uid {uid}: any process of that uid, the agents included, may signal hosts and gateway, connect to their sockets and read {}; \
         they are protected against ptrace and reading of memory only, and root processes started through sudo are reported, not stopped",
        state.display()
    )
}

fn is_loopback(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

/// Host and port to dial from this machine.
fn dialled(address: &str) -> (String, u16) {
    match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => ("localhost".to_owned(), address.port()),
        Ok(address) => (address.ip().to_string(), address.port()),
        Err(_) => (address.to_owned(), 22),
    }
}

/// As a shell takes it.
fn word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::identities::tests::unix;
    use crate::config::{Layers, load};

    fn told(listen: &str, client_key: &str, uid: u32) -> String {
        let file = "[agents.shell]\nlogin_shell = true\n[agents.claude]\ncommand = \"/usr/bin/claude\"\ndriver = \"claude\"\n[accounts.ann]\n";
        let settings = load(&Layers { file: Some(("f".into(), file.into())), ..Layers::default() }).unwrap();
        let lookup = |name: &str| Some(unix(name, name.len() as u32));
        let identities = Identities::resolve(&settings, &unix("ann", uid), lookup).unwrap();
        let endpoints = Endpoints {
            https: "127.0.0.1:1".into(),
            ssh: listen.into(),
            admin: "127.0.0.1:3".into(),
            identity: "SHA256:abc".into(),
            account: "ann".into(),
            client_key: client_key.into(),
            pid: 42,
        };
        let tree = Tree::below(Path::new("/d d"), uid == 0);
        Facts::new(&tree, &settings, &identities, &endpoints).text()
    }

    #[test]
    fn the_lines_can_be_typed_as_they_stand() {
        let text = told("127.0.0.1:2", "/k/my key", 3);
        assert!(text.contains("  ssh -t -i '/k/my key' -o IdentitiesOnly=yes -p 2 ann@127.0.0.1 claude\n"), "{text}");
        assert!(text.contains("ssh -J ") && text.contains("stop --all --dir '/d d'"), "{text}");
        assert!(text.contains("as ann: '/d d/run/bin/portcullis' prepare claude\n"), "{text}");
        assert!(text.contains("all share uid 3") && !text.contains("RISK"), "{text}");
    }

    #[test]
    fn an_open_door_is_told_with_its_risk_and_a_missing_key_too() {
        let text = told("0.0.0.0:22", "", 0);
        assert!(text.contains("RISK      0.0.0.0:22 can be reached"), "{text}");
        assert!(text.contains("  ssh -t -p 22 ann@localhost claude\n") && text.contains("--new-key"), "{text}");
        assert!(text.contains("gateway as portcullis, session hosts as portcullis-host"), "{text}");
    }
}
