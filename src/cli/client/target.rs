//! Where to connect and as whom: from flags and an endpoints file. Pure but for reading that file; knows no socket.

use std::path::{Path, PathBuf};

use crate::authn::{PublicKey, origin};
use crate::base::KeyId;
use crate::cli::endpoints::Endpoints;
use crate::config::DetachKey;

/// The flags that all client verbs share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `wss://HOST[:PORT]`.
    pub(crate) gateway: Option<String>,
    /// Private key file.
    pub(crate) key: Option<PathBuf>,
    /// Account.
    pub(crate) user: Option<String>,
    /// Directory with endpoints.json.
    pub(crate) directory: Option<PathBuf>,
    /// TLS ends at a proxy: the login cannot be bound to it.
    pub(crate) no_binding: bool,
    /// The key before `d`; none said: Ctrl-].
    pub(crate) detach: Option<DetachKey>,
}

/// A gateway and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As dialled, for M.
    pub(crate) origin: String,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Account.
    pub(crate) user: String,
    /// Private key file.
    pub(crate) key: Option<PathBuf>,
    /// The gateway's fingerprint where the endpoints file says it.
    pub(crate) identity: Option<KeyId>,
    /// Its certificate, kept beside the endpoints file.
    pub(crate) certificate: Option<PathBuf>,
    /// Bind the login to the TLS connection.
    pub(crate) bind: bool,
    /// The key before `d` that leaves a session.
    pub(crate) detach: DetachKey,
}

/// Ctrl-].
pub(crate) const USUAL_DETACH: DetachKey = DetachKey { byte: Some(0x1d) };

/// Why it is not clear whom to call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// Flags.
    #[error("{0:?} is no gateway: write wss://HOST or wss://HOST:PORT")]
    Gateway(String),
    /// The file.
    #[error("{}: {why}; it is written by `portcullis quickstart`", file.display())]
    File { file: PathBuf, why: String },
    /// Nothing said, nothing found.
    #[error("which gateway? give --gateway wss://HOST[:PORT], or --dir DIR of a quickstart")]
    None,
    /// A flag without its value.
    #[error("{0} needs a value")]
    Value(String),
    /// No control key.
    #[error("{0:?} is no key for --detach-key: write ctrl- and a letter or one of [ \\ ] ^ _, or none")]
    Detach(String),
}

impl Flags {
    /// Takes the shared flags out of the words, up to `--`; what is left is the verb's.
    pub(crate) fn take(words: &[String]) -> Result<(Self, Vec<String>), TargetError> {
        let (mut flags, mut left) = (Self::default(), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                left.push(word.clone());
                left.extend(words.cloned());
                break;
            }
            if word == "--no-binding" {
                flags.no_binding = true;
                continue;
            }
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if !matches!(name, "--gateway" | "--key" | "--user" | "--dir" | "--detach-key") {
                left.push(word.clone());
                continue;
            }
            let value = value.map(str::to_owned).or_else(|| words.next().cloned());
            let value = value.ok_or_else(|| TargetError::Value(name.to_owned()))?;
            match name {
                "--gateway" => flags.gateway = Some(value),
                "--key" => flags.key = Some(value.into()),
                "--user" => flags.user = Some(value),
                "--detach-key" => flags.detach = Some(value.parse().map_err(|()| TargetError::Detach(value))?),
                _ => flags.directory = Some(value.into()),
            }
        }
        Ok((flags, left))
    }

    /// The target. `defaults` are directories that may hold an endpoints file; `login_name` is the last resort for the
    /// account.
    pub(crate) fn resolve(self, defaults: &[PathBuf], login_name: &str) -> Result<Target, TargetError> {
        let directory = match (&self.directory, &self.gateway) {
            (Some(directory), _) => Some(directory.clone()),
            (None, Some(_)) => None,
            (None, None) => {
                let found = defaults.iter().find(|directory| directory.join("endpoints.json").exists());
                Some(found.ok_or(TargetError::None)?.clone())
            }
        };
        let endpoints = directory.as_deref().map(read).transpose()?;
        let url = match (&self.gateway, &endpoints) {
            (Some(gateway), _) => gateway.clone(),
            (None, Some(endpoints)) => format!("wss://{}", endpoints.https),
            (None, None) => return Err(TargetError::None),
        };
        let (origin, host, port) = split(&url).ok_or(TargetError::Gateway(url))?;
        let said = |of: fn(&Endpoints) -> &String| endpoints.as_ref().map(of).filter(|text| !text.is_empty()).cloned();
        // Another gateway than that of the file has another identity and certificate.
        let same =
            said(|it| &it.https).and_then(|https| split(&format!("wss://{https}"))).is_some_and(|it| it.0 == origin);
        Ok(Target {
            origin,
            host,
            port,
            user: self.user.or_else(|| said(|it| &it.account)).unwrap_or_else(|| login_name.to_owned()),
            key: self.key.or_else(|| said(|it| &it.client_key).map(PathBuf::from)),
            identity: said(|it| &it.identity).filter(|_| same).and_then(|text| identity(&text)),
            certificate: directory.filter(|_| same).map(|directory| directory.join("tls.crt")),
            bind: !self.no_binding,
            detach: self.detach.unwrap_or(USUAL_DETACH),
        })
    }
}

fn read(directory: &Path) -> Result<Endpoints, TargetError> {
    let file = directory.join("endpoints.json");
    Endpoints::read(&file).map_err(|error| TargetError::File { file, why: error.to_string() })
}

// A fingerprint, or a public key line.
fn identity(text: &str) -> Option<KeyId> {
    if text.starts_with("SHA256:") {
        return Some(KeyId::new(text.to_owned()));
    }
    PublicKey::parse(text).ok().map(|key| key.id().clone())
}

fn split(url: &str) -> Option<(String, String, u16)> {
    let origin = origin(url)?;
    let authority = origin.strip_prefix("wss://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((origin.clone(), host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn flags_may_stand_anywhere_before_the_double_dash() {
        let (flags, left) = Flags::take(&words("attach main --gateway=wss://a:1 --view --user u -- --key x")).unwrap();
        assert_eq!((flags.gateway.as_deref(), flags.user.as_deref()), (Some("wss://a:1"), Some("u")));
        assert_eq!(left, words("attach main --view -- --key x"));
        assert!(matches!(Flags::take(&words("ls --dir")), Err(TargetError::Value(_))));
        let (flags, _) = Flags::take(&words("attach a --detach-key ctrl-a")).unwrap();
        assert_eq!(flags.detach, Some(DetachKey { byte: Some(1) }));
        assert!(matches!(Flags::take(&words("attach a --detach-key x")), Err(TargetError::Detach(_))));
    }

    #[test]
    fn a_target_from_flags_alone() {
        let flags = Flags { gateway: Some("WSS://Gate.Example/".into()), ..Flags::default() };
        let target = flags.resolve(&[], "me").unwrap();
        assert_eq!(
            (target.origin.as_str(), target.host.as_str(), target.port),
            ("wss://gate.example", "gate.example", 443)
        );
        assert_eq!((target.user.as_str(), target.bind), ("me", true));
        assert_eq!(split("wss://[::1]:8443"), Some(("wss://[::1]:8443".into(), "::1".into(), 8443)));
        assert!(matches!(Flags::default().resolve(&[], "me"), Err(TargetError::None)));
        let flags = Flags { gateway: Some("https://a".into()), ..Flags::default() };
        assert!(matches!(flags.resolve(&[], "me"), Err(TargetError::Gateway(_))));
    }

    #[test]
    fn a_target_from_an_endpoints_file() {
        let directory = std::env::temp_dir().join(format!("portcullis-endpoints-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let text = r#"{"https":"127.0.0.1:8443","ssh":"127.0.0.1:22","admin":"127.0.0.1:1","identity":"SHA256:abc",
            "account":"dev","client_key":"/k","pid":1}"#;
        std::fs::write(directory.join("endpoints.json"), text).unwrap();
        let target = Flags::default().resolve(std::slice::from_ref(&directory), "me").unwrap();
        assert_eq!((target.origin.as_str(), target.user.as_str()), ("wss://127.0.0.1:8443", "dev"));
        assert_eq!(target.identity.as_ref().map(KeyId::as_str), Some("SHA256:abc"));
        assert_eq!(target.key.as_deref(), Some(Path::new("/k")));
        let other = Flags { gateway: Some("wss://b".into()), directory: Some(directory.clone()), ..Flags::default() };
        assert_eq!(other.resolve(&[], "me").unwrap().identity, None);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
