//! The local client: the verbs over wss, and `attach` as a terminal. Knows the gateway only by its protocol.

mod acp;
mod agent;
mod attach;
mod colors;
mod connect;
mod console;
mod feed;
mod follow;
mod keys;
mod known;
mod status;
mod structured;
mod talk;
mod target;
mod tls;
mod verbs;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::gateway::verbs::{UsageError, parse};
use crate::sys::terminal;
use agent::Agent;
use connect::{ConnectError, Dialler};
use known::{KnownGateways, PinError};
use status::{FAILED, USAGE};
use target::{Flags, TargetError};
use tls::Trust;

/// What the client takes from the caller's environment; read once, by `cli`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// $HOME.
    pub(crate) home: Option<PathBuf>,
    /// $XDG_STATE_HOME/portcullis, or ~/.local/state/portcullis.
    pub(crate) state: Option<PathBuf>,
    /// $SSH_AUTH_SOCK.
    pub(crate) agent: Option<PathBuf>,
    /// Login name: the account when nothing else says it.
    pub(crate) login_name: String,
    /// Directories that may hold an endpoints.json, in order: the client's own, then quickstart's.
    pub(crate) defaults: Vec<PathBuf>,
}

/// Why a client verb failed.
#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("HOME is not set: the client keeps the fingerprints of known gateways below it")]
    NoHome,
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

impl From<PinError> for ClientError {
    fn from(error: PinError) -> Self {
        Self::Connect(error.into())
    }
}

/// Runs one verb (`ls`, `attach main --view` …) with the shared flags `--gateway --key --user --dir --detach-key --no-binding`
/// anywhere among the words. Errors go to standard error: status 2 for usage, 1 for the rest.
pub(crate) fn run(words: &[String], caller: &Caller) -> ExitCode {
    let status = match try_run(words, caller) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("portcullis: {error}");
            let usage = matches!(
                error,
                ClientError::Usage(_)
                    | ClientError::Target(TargetError::Value(_) | TargetError::Detach(_) | TargetError::None)
            );
            if usage { USAGE } else { FAILED }
        }
    };
    ExitCode::from(status)
}

fn try_run(words: &[String], caller: &Caller) -> Result<u8, ClientError> {
    let (flags, mut words) = Flags::take(words)?;
    // `open AGENT [DIR]` is the same as the bare `AGENT [DIR]` of the other doors.
    if words.first().is_some_and(|word| word == "open") {
        words.remove(0);
    }
    let verb = parse(&words)?;
    if let crate::gateway::verbs::Verb::Help { text } = &verb {
        return verbs::print(text).map(|()| 0);
    }
    let target = flags.resolve(&caller.defaults, &caller.login_name)?;
    let home = caller.home.as_deref();
    let agent = caller.agent.clone().map(Agent::new);
    let signers = keys::signers(target.key.as_deref(), agent, home, &ask_passphrase)?;
    let state = caller.state.as_deref().ok_or(ClientError::NoHome)?;
    let dialler = Dialler {
        trust: Arc::new(Trust::load(target.certificate.as_deref())),
        known: KnownGateways::new(state),
        target,
        signers,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(verbs::run(verb, dialler));
    // A thread may wait for the keyboard; it ends with the process.
    runtime.shutdown_background();
    status
}

fn ask_passphrase(file: &Path) -> Option<String> {
    if !terminal::is_terminal() {
        return None;
    }
    rpassword::prompt_password(format!("Passphrase for {}: ", file.display())).ok()
}
