//! The hidden subcommands that the spawner starts with descriptors; by hand they refuse.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::failure::{About, Failure};
use super::serve;
use crate::gateway;
use crate::host::{self, HostArgs};
use crate::sys::fork;
use crate::sys::seqpacket::Seqpacket;

/// Named descriptors and ids, all of them from the spawner's launch.
#[derive(Debug, Clone, Args)]
pub(super) struct HostArguments {
    #[arg(long)]
    session: Option<String>,
    #[arg(long, value_name = "N")]
    pty_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    stdin_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    stdout_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    stderr_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    listen_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    hook_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    ready_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    exec_error_fd: Option<i32>,
    #[arg(long, value_name = "N")]
    meta_fd: Option<i32>,
    #[arg(long, value_name = "PID")]
    child_pid: Option<i32>,
    #[arg(long, value_name = "UID")]
    gateway_uid: Option<u32>,
    /// Whose connections the hook socket takes.
    #[arg(long, value_name = "UID")]
    account_uid: Option<u32>,
    #[arg(long, value_name = "BYTES")]
    ring: Option<usize>,
}

impl HostArguments {
    fn complete(self) -> Option<HostArgs> {
        let ends = match (self.pty_fd, self.stdin_fd, self.stdout_fd, self.stderr_fd) {
            (Some(pty), None, None, None) => host::Ends::Terminal(pty),
            (None, Some(input), Some(output), Some(error)) => host::Ends::Pipes([input, output, error]),
            _ => return None,
        };
        Some(HostArgs {
            session: self.session?,
            ends,
            listen_fd: self.listen_fd?,
            hook_fd: self.hook_fd?,
            ready_fd: self.ready_fd?,
            exec_error_fd: self.exec_error_fd?,
            meta_fd: self.meta_fd?,
            child_pid: self.child_pid?,
            gateway_uid: self.gateway_uid?,
            account_uid: self.account_uid?,
            ring: self.ring?,
        })
    }
}

/// One session, until it is forgotten.
pub(super) fn host(arguments: HostArguments) -> Result<ExitCode, Failure> {
    let arguments = arguments.complete().ok_or_else(|| by_hand("host"))?;
    Ok(host::run(&arguments))
}

/// The spawner's socket, where the gateway finds it.
#[derive(Debug, Clone, Args)]
pub(super) struct GatewayArguments {
    /// The spawner's socket, as a descriptor.
    #[arg(long, value_name = "N")]
    spawner_fd: Option<i32>,
    /// Directory that holds spawner.sock, when this is a unit of its own.
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
}

/// The network face, until its spawner is gone.
pub(super) fn gateway(arguments: &GatewayArguments) -> Result<ExitCode, Failure> {
    let socket = match (arguments.spawner_fd, &arguments.run) {
        (Some(number), _) => {
            fork::inherited(number).about("the spawner's socket", "start `portcullis serve` instead")?
        }
        (None, Some(run)) => connect(run).about(run.join(ORDERS).display(), "start the spawner first")?,
        (None, None) => return Err(by_hand("gateway")),
    };
    match gateway::run(socket, |settings| drop(serve::logs(&settings.log))) {
        // Whoever ended the spawner knows; whoever starts it starts the next gateway too.
        Err(gateway::GatewayError::SpawnerGone | gateway::GatewayError::Outdated) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::other(error)),
    }
}

/// Where a gateway of its own unit connects.
const ORDERS: &str = "spawner.sock";

fn connect(run: &Path) -> io::Result<OwnedFd> {
    let dir = File::open(run)?;
    Ok(Seqpacket::connect(dir.as_fd(), ORDERS)?.into_fd())
}

fn by_hand(what: &str) -> Failure {
    Failure { status: 2, message: format!("`portcullis {what}` is started by `portcullis serve`, not by hand") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Host {
        #[command(flatten)]
        arguments: HostArguments,
    }

    #[test]
    fn a_host_wants_every_descriptor() {
        let names = [
            "session",
            "pty-fd",
            "listen-fd",
            "hook-fd",
            "ready-fd",
            "exec-error-fd",
            "meta-fd",
            "child-pid",
            "gateway-uid",
            "account-uid",
            "ring",
        ];
        let words = |without: &str| {
            let given = names.iter().filter(|name| **name != without);
            let words: Vec<String> = given.flat_map(|name| [format!("--{name}"), "7".to_owned()]).collect();
            <Host as clap::Parser>::try_parse_from(std::iter::once("host".to_owned()).chain(words)).unwrap().arguments
        };
        assert_eq!(words("").complete().unwrap().exec_error_fd, 7);
        for name in ["pty-fd", "account-uid"] {
            assert!(words(name).complete().is_none());
        }
        assert_eq!(host(words("meta-fd")).unwrap_err().status, 2);
    }
}
