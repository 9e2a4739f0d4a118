//! What may stand on the command line; runs nothing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::processes::{GatewayArguments, HostArguments};
use crate::config::Flag;
use crate::gateway::verbs::verb_lines;

/// An SSH-server-style gateway for coding agents.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, max_term_width = 120, disable_help_subcommand = true, after_help = verbs())]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What the subcommands do not show: the verbs for a gateway, the same as over ssh.
fn verbs() -> String {
    format!(
        "Verbs for a gateway, the same as over ssh (`portcullis help VERB` says more; `open AGENT` is the bare AGENT of \
         ssh):\n{}\n--gateway wss://HOST[:PORT], --key FILE and --user NAME choose where, with which key and as whom; \
         --dir DIR a gateway on this machine.",
        verb_lines()
    )
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set everything up and serve: the first run.
    Quickstart(QuickstartArguments),
    /// Serve as configured.
    Serve(ServeArguments),
    /// Check configuration, files, permissions, agents and ports, and say what to do.
    Check(CheckArguments),
    /// Edit a key file of ours (never ~/.ssh/authorized_keys).
    Keys(KeysArguments),
    /// Audit files.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Merge what an agent needs into your own settings, so that it asks nothing at its first start. Run it as the account that the agent
    /// runs as; shows everything first.
    Prepare(PrepareArguments),
    /// Let a session's agent end in good order; --all: end every session, on this machine and without a key.
    #[command(disable_help_flag = true)]
    Stop(Words),
    /// Read configuration and certificates anew, and run a newly installed program if it passes its check. Sessions live on; when settings changed,
    /// connections come back by themselves.
    Reload(ReloadArguments),
    #[command(hide = true)]
    Gateway(GatewayArguments),
    #[command(hide = true)]
    Host(HostArguments),
    #[command(hide = true)]
    Hook,
    /// List sessions; --all: everybody's, on this machine and without a key.
    #[command(disable_help_flag = true)]
    Ls(Words),
    /// End a session; without --gateway, --key and --user on this machine and without a key.
    #[command(disable_help_flag = true)]
    Kill(Words),
    /// A verb for a gateway: attach, new, restart, rename, forget, send, show, open.
    #[command(external_subcommand)]
    Verb(Vec<String>),
}

/// Arguments that another room reads.
#[derive(Debug, Args)]
pub(super) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<String>,
}

impl PlaceArguments {
    /// As words for another run of this program.
    pub(super) fn words(&self) -> Vec<String> {
        let named = [("--config", &self.config), ("--dir", &self.dir)];
        let given = named.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
        given.flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()]).collect()
    }
}

/// Where the doors shall be.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct DoorArguments {
    /// Address of the https door (wss); port 0 takes a free one. Beyond 127.0.0.1 the whole network may knock.
    #[arg(long, value_name = "ADDR")]
    pub(super) https: Option<String>,
    /// Address of the ssh door.
    #[arg(long, value_name = "ADDR")]
    pub(super) ssh: Option<String>,
    /// Address for health and metrics; it has no login.
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<String>,
}

impl DoorArguments {
    /// As the strongest layer of the configuration.
    pub(super) fn flags(&self) -> Vec<Flag> {
        [
            ("listen.https", "--https", &self.https),
            ("listen.ssh", "--ssh", &self.ssh),
            ("listen.admin", "--admin", &self.admin),
        ]
        .into_iter()
        .filter_map(|(key, flag, value)| value.clone().map(|value| Flag { key, flag, value }))
        .collect()
    }

    /// As words for another run of this program.
    pub(super) fn words(&self) -> Vec<String> {
        self.flags().into_iter().flat_map(|flag| [flag.flag.to_owned(), flag.value]).collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct QuickstartArguments {
    /// Where everything lies.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) doors: DoorArguments,
    /// As root: the account that agents run as.
    #[arg(long, value_name = "NAME")]
    pub(super) account: Option<String>,
    /// Make a client key pair even if there are keys.
    #[arg(long)]
    pub(super) new_key: bool,
    /// Go on in the background.
    #[arg(long)]
    pub(super) detach: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct PlaceArguments {
    /// Configuration file; else DIR/portcullis.toml, else /etc/portcullis/portcullis.toml.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where everything lies; else the system's places.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    #[command(flatten)]
    pub(super) doors: DoorArguments,
    /// The gateway is another unit (`portcullis gateway --run RUN`); serving begins when it has come.
    #[arg(long)]
    pub(super) spawner_only: bool,
    /// `env_pass` takes values from this environment.
    #[arg(long, hide = true)]
    pub(super) take_environment: bool,
    /// What endpoints.json names as the client's key.
    #[arg(long, hide = true, value_name = "FILE")]
    pub(super) client_key: Option<PathBuf>,
    /// In a session of its own; says `ready` on standard output.
    #[arg(long, hide = true)]
    pub(super) detached: bool,
    /// In place of the program that this process ran before, which left everything under that descriptor.
    #[arg(long, hide = true, value_name = "N")]
    pub(super) handed_fd: Option<i32>,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    #[command(flatten)]
    pub(super) doors: DoorArguments,
    /// Only whether the tables can be built; says nothing when they can.
    #[arg(long)]
    pub(super) table: bool,
    /// With --table: standard input holds what a running spawner would hand over.
    #[arg(long, hide = true)]
    pub(super) handed: bool,
}

#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    /// The file to edit; else DIR/keys/ACCOUNT with --dir, else ~/.config/portcullis/authorized_keys.
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) file: Option<PathBuf>,
    /// Directory of an installation.
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) dir: Option<PathBuf>,
    /// Whose keys, with --dir; else the account that DIR/endpoints.json names.
    #[arg(long, value_name = "NAME", global = true)]
    pub(super) account: Option<String>,
    #[command(subcommand)]
    pub(super) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Add a public key: a line as in authorized_keys, the name of a .pub file, or - for standard input.
    Add {
        /// Options, type, key, comment.
        #[arg(required = true)]
        line: Vec<String>,
    },
    /// List keys, and lines that list none.
    Ls,
    /// Remove a key by fingerprint, label or comment.
    Rm {
        /// Which.
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Find edits (status 1) and torn ends (status 2).
    Verify {
        /// Files, and directories of them; the worst decides the status.
        #[arg(required = true, value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct PrepareArguments {
    /// As the configuration names it.
    #[arg(value_name = "AGENT")]
    pub(super) agent: String,
    /// Take back what was merged and has not been changed since.
    #[arg(long)]
    pub(super) undo: bool,
    /// Write without asking.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Directory of the installation.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ReloadArguments {
    /// Directory of the installation.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn verbs_keep_their_words() {
        let parsed = Arguments::try_parse_from(["portcullis", "attach", "x", "--view"]).unwrap();
        assert!(matches!(parsed.command, Command::Verb(words) if words == ["attach", "x", "--view"]));
        let parsed = Arguments::try_parse_from(["portcullis", "ls", "--json", "--gateway", "wss://x"]).unwrap();
        assert!(matches!(parsed.command, Command::Ls(words) if words.words == ["--json", "--gateway", "wss://x"]));
    }
}
