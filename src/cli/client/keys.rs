//! Which keys to log in with, and signing with them; knows no gateway.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::agent::{Agent, AgentKey};
use crate::authn::{IdentityError, Message, PublicKey, SignError, SignedLogin, SigningKey, sign_login};

/// sshd's MaxAuthTries; each costs one connection.
const MOST_TRIED: usize = 6;
/// What ssh looks for by itself.
const DEFAULT_FILES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// A private key file is under 4 KiB; RSA-16384 under 16.
const MOST_FILE: u64 = 64 * 1024;

/// A key that can sign.
#[derive(Debug, Clone)]
pub(crate) enum Signer {
    /// Read from a file.
    File(Box<SigningKey>),
    /// In an agent.
    Agent(Agent, Box<AgentKey>),
}

/// Why there is no key to log in with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The file.
    #[error("{}: {error}", file.display())]
    File { file: PathBuf, error: io::Error },
    /// Others may read it, so it proves nothing.
    #[error("{}: its mode {mode:04o} lets others use it; chmod 600 it, or make a new key if somebody may have", file.display())]
    Open { file: PathBuf, mode: u32 },
    /// What is in it.
    #[error("{}: {error}", file.display())]
    Key { file: PathBuf, error: IdentityError },
    /// Nothing found.
    #[error("no key: ssh-agent has none and ~/.ssh has none that can be read without asking; give one with --key FILE")]
    None,
}

impl Signer {
    /// The public half.
    pub(crate) fn public(&self) -> &PublicKey {
        match self {
            Self::File(key) => key.public(),
            Self::Agent(_, key) => &key.public,
        }
    }

    /// Signs a login; may wait for the agent, at most its deadline.
    pub(crate) fn sign(&self, message: &Message<'_>) -> Result<SignedLogin, SignError> {
        match self {
            Self::File(key) => key.sign_login(message),
            Self::Agent(agent, key) => {
                sign_login(message, &key.public, |data| agent.sign(key, data).map_err(|error| error.to_string()))
            }
        }
    }
}

/// The keys to try, in order: the named file, else the agent's, else the usual files. `ask` is called for a passphrase,
/// only when a terminal can answer.
pub(crate) fn signers(
    named: Option<&Path>,
    agent: Option<Agent>,
    home: Option<&Path>,
    ask: &dyn Fn(&Path) -> Option<String>,
) -> Result<Vec<Signer>, KeysError> {
    let held = agent.as_ref().and_then(|agent| agent.list().ok()).unwrap_or_default();
    let in_agent = |key: AgentKey| agent.clone().map(|agent| Signer::Agent(agent, Box::new(key)));
    if let Some(file) = named {
        // As ssh does: a key that the agent holds too needs no passphrase.
        let public = public_of(file);
        if let Some(key) = held.into_iter().find(|key| public.as_ref() == Some(&key.public)) {
            return Ok(in_agent(key).into_iter().collect());
        }
        return Ok(vec![from_file(file, ask)?]);
    }
    let mut found: Vec<Signer> = held.into_iter().filter_map(in_agent).collect();
    if let Some(home) = home {
        for name in DEFAULT_FILES {
            let file = home.join(".ssh").join(name);
            let listed = public_of(&file).is_some_and(|public| found.iter().any(|signer| *signer.public() == public));
            if file.exists() && !listed {
                found.extend(from_file(&file, ask).ok());
            }
        }
    }
    found.truncate(MOST_TRIED);
    if found.is_empty() { Err(KeysError::None) } else { Ok(found) }
}

fn from_file(file: &Path, ask: &dyn Fn(&Path) -> Option<String>) -> Result<Signer, KeysError> {
    let text = read(file).map_err(|error| KeysError::File { file: file.to_owned(), error })?;
    let mode = std::fs::metadata(file).map_or(0, |data| data.permissions().mode() & 0o7777);
    // As ssh has it.
    if mode & 0o077 != 0 {
        return Err(KeysError::Open { file: file.to_owned(), mode });
    }
    let failed = |error| KeysError::Key { file: file.to_owned(), error };
    let key = match SigningKey::from_openssh(&text, None) {
        Err(IdentityError::Encrypted) => match ask(file) {
            Some(passphrase) => SigningKey::from_openssh(&text, Some(&passphrase)).map_err(failed)?,
            None => return Err(failed(IdentityError::Encrypted)),
        },
        other => other.map_err(failed)?,
    };
    Ok(Signer::File(Box::new(key)))
}

// FILE itself may be the public half of a key in the agent.
fn public_of(file: &Path) -> Option<PublicKey> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    [PathBuf::from(beside), file.to_owned()]
        .iter()
        .filter_map(|file| read(file).ok())
        .find_map(|text| PublicKey::parse(text.trim()).ok())
}

fn read(file: &Path) -> io::Result<String> {
    if std::fs::metadata(file)?.len() > MOST_FILE {
        return Err(io::Error::other("larger than any key"));
    }
    std::fs::read_to_string(file)
}
