//! Checked settings, one struct for each room; whoever holds one need not check again. Does not know where the values came from.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agents::{AgentSpec, name_list, name_text};
use crate::base::{AccountName, Name};

/// Everything that the file says, by the room that uses it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) listen: ListenSettings,
    pub(crate) tls: TlsSettings,
    pub(crate) identity: IdentitySettings,
    pub(crate) system: SystemSettings,
    pub(crate) spawner: SpawnerSettings,
    pub(crate) origins: OriginSettings,
    pub(crate) auth: AuthSettings,
    pub(crate) sessions: SessionSettings,
    pub(crate) limits: LimitSettings,
    pub(crate) detach: DetachKey,
    pub(crate) log: LogSettings,
}

/// Where the doors are; port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenSettings {
    pub(crate) https: SocketAddr,
    pub(crate) ssh: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
}

/// The certificate of the https door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// PEM files; none: a self-signed pair is made on first start.
    pub(crate) files: Option<TlsFiles>,
    /// More names for the self-signed certificate.
    pub(crate) names: Vec<String>,
}

/// Certificate chain and private key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The ed25519 key that is the ssh host key and signs back on wss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentitySettings {
    /// A key file to be copied into the state directory at start; none: made there on first start.
    pub(crate) host_key: Option<PathBuf>,
}

/// The two system accounts of root mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemSettings {
    pub(crate) gateway_user: AccountName,
    pub(crate) host_user: AccountName,
}

/// What the spawner's table is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpawnerSettings {
    pub(crate) accounts: Vec<AccountSettings>,
    pub(crate) agents: Vec<AgentSpec>,
}

/// One account as configured; its Unix account is looked up by whoever starts the spawner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountSettings {
    /// What clients log in as.
    pub(crate) name: AccountName,
    /// The Unix account; no other account has its uid.
    pub(crate) user: AccountName,
    /// In the order of the file; the first is the default.
    pub(crate) roots: Vec<RootSettings>,
    /// Names of configured agents.
    pub(crate) agents: Vec<Name>,
    /// Patterns with `%u` and `%h`, absolute once these are filled in.
    pub(crate) key_files: Vec<String>,
    /// Live sessions at once.
    pub(crate) max_sessions: u32,
    /// None: on in root mode, off in single-user mode.
    pub(crate) no_new_privs: Option<bool>,
    pub(crate) limits: AccountLimits,
}

/// A directory below which sessions start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootSettings {
    /// Absolute, or beginning with `%h`.
    pub(crate) path: String,
    /// `portcullis prepare` may tell agents that what lies there is trusted.
    pub(crate) is_trusted: bool,
}

/// Resource limits of an account's agents; none leaves what the system sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountLimits {
    /// RLIMIT_NPROC.
    pub(crate) processes: Option<u64>,
    /// RLIMIT_NOFILE.
    pub(crate) open_files: Option<u64>,
    /// RLIMIT_FSIZE, bytes.
    pub(crate) file_bytes: Option<u64>,
    /// RLIMIT_AS, bytes.
    pub(crate) memory_bytes: Option<u64>,
    /// RLIMIT_CORE, bytes.
    pub(crate) core_bytes: Option<u64>,
}

/// The gateway's part, handed to it in a sealed memfd as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GatewaySettings {
    /// Any user name means the one account.
    pub(crate) single_user: bool,
    pub(crate) accounts: Vec<GatewayAccount>,
    pub(crate) agents: Vec<GatewayAgent>,
    /// With the listener's own names filled in.
    pub(crate) origins: OriginSettings,
    pub(crate) auth: AuthSettings,
    pub(crate) sessions: SessionSettings,
    pub(crate) limits: LimitSettings,
    pub(crate) detach: DetachKey,
    pub(crate) log: LogSettings,
}

/// An account as the gateway sees it: the order is that of the spawner's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayAccount {
    #[serde(with = "name_text")]
    pub(crate) name: AccountName,
    /// Resolved; an order names one by its place here.
    pub(crate) roots: Vec<PathBuf>,
    #[serde(with = "name_list")]
    pub(crate) agents: Vec<Name>,
    /// How many key files an order may ask for.
    pub(crate) key_files: u32,
    pub(crate) max_sessions: u32,
}

/// An agent as the gateway sees it: no command and no environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayAgent {
    #[serde(with = "name_text")]
    pub(crate) name: Name,
    /// The first is the default.
    pub(crate) modes: Vec<String>,
    /// Names of declared options.
    pub(crate) options: Vec<String>,
    /// Those by which it may ask less.
    #[serde(default)]
    pub(crate) careful: Vec<CarefulOption>,
    pub(crate) free_args: bool,
}

/// An option by which an agent may ask less: its use is as good as an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CarefulOption {
    pub(crate) name: String,
    /// Values with which it asks as much as without.
    pub(crate) asks: Vec<String>,
}

/// Names under which this gateway is dialled, and pages that may dial it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginSettings {
    /// `wss://host[:port]`, lower case, without the default port.
    pub(crate) own: Vec<String>,
    /// `https://host[:port]` as a browser's Origin header has it.
    pub(crate) pages: Vec<String>,
}

/// How logins are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthSettings {
    /// Refuse a wss login that is not bound to its TLS connection.
    pub(crate) require_channel_binding: bool,
}

/// What a session may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionSettings {
    /// Output kept for each session, bytes.
    pub(crate) ring_bytes: u64,
    /// Ended sessions kept for each account.
    pub(crate) kept_ended: u32,
    /// How long an ended session is kept.
    pub(crate) kept_ended_hours: u32,
}

/// Admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitSettings {
    /// New connections for each source prefix (IPv4 /32, IPv6 /64).
    #[serde(with = "name_text")]
    pub(crate) connections: Rate,
    /// Login attempts for each source prefix.
    #[serde(with = "name_text")]
    pub(crate) logins: Rate,
    /// Connections not logged in, in all.
    pub(crate) unauthenticated: u32,
    /// Of them, for each source prefix.
    pub(crate) unauthenticated_per_source: u32,
    /// Connections of one key at once.
    pub(crate) connections_per_key: u32,
    /// Session starts for each key.
    #[serde(with = "name_text")]
    pub(crate) session_starts: Rate,
    /// Messages for each key.
    #[serde(with = "name_text")]
    pub(crate) messages: Rate,
    /// Input for each key, bytes a second.
    pub(crate) input_bytes_per_second: u32,
}

/// So many in a time, all of which may come at once: `30/s`, `60/m`, `100/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many, and the most at once.
    pub(crate) count: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// Not `COUNT/s`, `/m` or `/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is COUNT/s, COUNT/m or COUNT/h")]
pub(crate) struct RateError;

impl Rate {
    /// So many a second.
    pub(crate) const fn per_second(count: NonZeroU32) -> Self {
        Self { count, unit: Unit::Second }
    }

    /// So many a minute.
    pub(crate) const fn per_minute(count: NonZeroU32) -> Self {
        Self { count, unit: Unit::Minute }
    }

    /// The time in which `count` come back.
    pub(crate) const fn period(self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }
}

impl FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').ok_or(RateError)?;
        let unit = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(RateError),
        };
        Ok(Self { count: count.parse().map_err(|_| RateError)?, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// The key that leaves a session (followed by `d`; twice sends it once).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DetachKey {
    /// The control byte, 1 to 31; none: only closing the connection leaves.
    pub(crate) byte: Option<u8>,
}

impl FromStr for DetachKey {
    type Err = ();
    /// `ctrl-X` with a letter or one of `@ [ \ ] ^ _`, or `none`.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "none" {
            return Ok(Self { byte: None });
        }
        let mut rest = text.strip_prefix("ctrl-").ok_or(())?.bytes();
        let (Some(byte), None) = (rest.next(), rest.next()) else { return Err(()) };
        match byte.to_ascii_uppercase() & 0x1f {
            // Enter, newline, tab and escape are typed all the time.
            0 | 9 | 10 | 13 | 27 => Err(()),
            control if matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'\\' | b']' | b'^' | b'_') => {
                Ok(Self { byte: Some(control) })
            }
            _ => Err(()),
        }
    }
}

/// Logs of every process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogSettings {
    /// As in `info` or `portcullis=debug,warn`.
    pub(crate) filter: String,
    /// JSON lines instead of text.
    pub(crate) json: bool,
}
