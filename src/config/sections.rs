//! Every section and key with its default and what is allowed: the list that config/portcullis.toml shows; does not know where values come from.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use super::programs;
use super::reader::Reader;
use super::settings::{
    AuthSettings, DetachKey, IdentitySettings, LimitSettings, ListenSettings, LogSettings, OriginSettings, Rate,
    SessionSettings, Settings, SpawnerSettings, SystemSettings, TlsFiles, TlsSettings,
};
use crate::base::{AccountName, HOST_RING};

/// Reads everything; what is wrong is in the reader, and its place holds the default.
pub(super) fn read(reader: &mut Reader) -> Option<Settings> {
    let key_files = key_files(reader);
    let agents = programs::agents(reader);
    let accounts = programs::accounts(reader, &agents, &key_files);
    let system = system(reader);
    Some(Settings {
        listen: listen(reader),
        tls: tls(reader),
        identity: IdentitySettings { host_key: absolute(reader, &["identity", "host_key"]) },
        system: system?,
        spawner: SpawnerSettings { accounts, agents },
        origins: origins(reader),
        auth: auth(reader),
        sessions: sessions(reader),
        limits: limits(reader),
        detach: detach(reader),
        log: log(reader),
    })
}

/// Patterns as sshd's AuthorizedKeysFile: `%u`, `%h`, `%%`; absolute once filled in.
pub(super) const KEY_FILE_ALLOWED: &str =
    "allowed: paths beginning with / or %h/, with %u for the account's name and %h for its home";

pub(super) fn key_file(text: &str) -> Option<String> {
    let absolute = text.starts_with('/') || text.starts_with("%h/");
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let after = rest.get(at.saturating_add(1)..)?;
        if !after.starts_with(['u', 'h', '%']) {
            return None;
        }
        rest = after.get(1..)?;
    }
    (absolute && !text.contains('\0')).then(|| text.to_owned())
}

fn key_files(reader: &mut Reader) -> Vec<String> {
    let default = ["%h/.config/portcullis/authorized_keys", "/etc/portcullis/keys/%u"].map(str::to_owned).to_vec();
    reader.parse_list(&["auth", "key_files"], default, KEY_FILE_ALLOWED, key_file)
}

fn listen(reader: &mut Reader) -> ListenSettings {
    let allowed = "allowed: an IP address and a port, as in 127.0.0.1:8443 or [::]:443; port 0 takes a free one";
    let mut one = |key, port: u16| reader.parse(&["listen", key], SocketAddr::from(([127, 0, 0, 1], port)), allowed);
    ListenSettings { https: one("https", 8443), ssh: one("ssh", 8422), admin: one("admin", 8480) }
}

fn tls(reader: &mut Reader) -> TlsSettings {
    let certificate = absolute(reader, &["tls", "certificate"]);
    let key = absolute(reader, &["tls", "key"]);
    let both = "allowed: both certificate and key, or neither (a self-signed pair is made)";
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.note(&["tls", "key"], "is missing while tls.certificate is there", both);
            None
        }
        (None, Some(_)) => {
            reader.note(&["tls", "certificate"], "is missing while tls.key is there", both);
            None
        }
    };
    let allowed = "allowed: DNS names and IP addresses";
    let name = |text: &str| {
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:*".contains(&b));
        good.then(|| text.to_ascii_lowercase())
    };
    TlsSettings { files, names: reader.parse_list(&["tls", "names"], Vec::new(), allowed, name) }
}

fn absolute(reader: &mut Reader, path: &[&str]) -> Option<PathBuf> {
    reader.parse_with(path, None, "allowed: an absolute path, or \"\" for none", |text| match text {
        "" => Some(None),
        text if text.starts_with('/') => Some(Some(text.into())),
        _ => None,
    })
}

fn system(reader: &mut Reader) -> Option<SystemSettings> {
    let mut one = |key, default: &str| {
        let parse = |text: &str| text.parse::<AccountName>().ok().filter(|name| name.as_str() != "root").map(Some);
        reader.parse_with(
            &["system", key],
            default.parse().ok(),
            "allowed: the name of a system account, not root",
            parse,
        )
    };
    let (gateway, host) = (one("gateway_user", "portcullis"), one("host_user", "portcullis-host"));
    if gateway == host {
        let allowed = "allowed: an account of its own, so that gateway and hosts cannot reach each other";
        reader.note(&["system", "host_user"], "is the same as system.gateway_user", allowed);
    }
    Some(SystemSettings { gateway_user: gateway?, host_user: host? })
}

fn origins(reader: &mut Reader) -> OriginSettings {
    let own = "allowed: wss://host or wss://host:port, as clients dial it";
    let pages = "allowed: https://host or https://host:port, as a browser's Origin header has it";
    OriginSettings {
        own: reader.parse_list(&["origins", "own"], Vec::new(), own, |text| origin(text, "wss://", ":443")),
        pages: reader.parse_list(&["origins", "pages"], Vec::new(), pages, |text| origin(text, "https://", ":443")),
    }
}

/// Lower case, without the scheme's own port and without a path.
pub(super) fn origin(text: &str, scheme: &str, port: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let host = lower.strip_prefix(scheme)?;
    let host = host.strip_suffix(port).unwrap_or(host);
    let good = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
    good.then(|| format!("{scheme}{host}"))
}

fn auth(reader: &mut Reader) -> AuthSettings {
    let require = reader.take(&["auth", "require_channel_binding"], "allowed: true or false");
    AuthSettings { require_channel_binding: require.unwrap_or(false) }
}

fn sessions(reader: &mut Reader) -> SessionSettings {
    SessionSettings {
        // 64 KiB holds a screen; 256 MiB times a dozen sessions is a machine's memory.
        ring_bytes: reader.number(&["sessions", "ring_bytes"], HOST_RING as u64, 64 << 10..=256 << 20),
        kept_ended: small(reader, &["sessions", "kept_ended"], 20, 0, 1000),
        kept_ended_hours: small(reader, &["sessions", "kept_ended_hours"], 24, 0, 24 * 30),
    }
}

fn limits(reader: &mut Reader) -> LimitSettings {
    LimitSettings {
        connections: rate(reader, "connections", Rate::per_second, 50),
        logins: rate(reader, "logins", Rate::per_minute, 120),
        // Beyond it the oldest stranger of the heaviest source goes (security.md 2: 1,024 sockets cost 64 MiB at most).
        unauthenticated: small(reader, &["limits", "unauthenticated"], 1024, 1, 65_536),
        unauthenticated_per_source: small(reader, &["limits", "unauthenticated_per_source"], 64, 1, 65_536),
        connections_per_key: small(reader, &["limits", "connections_per_key"], 256, 1, 65_536),
        session_starts: rate(reader, "session_starts", Rate::per_minute, 30),
        messages: rate(reader, "messages", Rate::per_second, 1000),
        input_bytes_per_second: small(reader, &["limits", "input_bytes_per_second"], 4 << 20, 64 << 10, 1 << 30),
    }
}

fn rate(reader: &mut Reader, key: &str, unit: fn(NonZeroU32) -> Rate, count: u32) -> Rate {
    let default = unit(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
    reader.parse(&["limits", key], default, "allowed: COUNT/s, COUNT/m or COUNT/h, as in 30/m")
}

/// A number that fits 32 bits by its bounds.
pub(super) fn small(reader: &mut Reader, path: &[&str], default: u32, least: u32, most: u32) -> u32 {
    let value = reader.number(path, u64::from(default), u64::from(least)..=u64::from(most));
    u32::try_from(value).unwrap_or(default)
}

fn detach(reader: &mut Reader) -> DetachKey {
    let allowed = "allowed: ctrl- and a letter or one of \\ ] ^ _ (not the keys for tab, enter and escape), or none";
    reader.parse(&["terminal", "detach_key"], DetachKey { byte: Some(0x1d) }, allowed)
}

fn log(reader: &mut Reader) -> LogSettings {
    let levels = "allowed: error, warn, info, debug, trace, or target=level, separated by commas";
    let word = |text: &str| {
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:=,-[]{} ".contains(&b));
        good.then(|| text.to_owned())
    };
    LogSettings {
        filter: reader.parse_with(&["log", "filter"], "info".to_owned(), levels, word),
        json: reader.parse_with(&["log", "format"], false, "allowed: text or json", |text| match text {
            "text" => Some(false),
            "json" => Some(true),
            _ => None,
        }),
    }
}
