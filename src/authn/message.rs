//! The text M that a login signs (docs/protocol.md), built and never parsed; does not know who signs it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::KeyId;

/// SSHSIG namespace of a login, and the first line of M.
pub const NAMESPACE: &str = "portcullis-auth-v1";
/// SSHSIG namespace of the gateway's own proof.
pub const SERVER_NAMESPACE: &str = "portcullis-auth-v1-server";
/// Longest origin or user name in M: a DNS name is at most 253 characters.
const VALUE_MOST: usize = 300;

/// A value that M cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is empty, longer than {VALUE_MOST} bytes or has control characters")]
pub struct MessageError(pub &'static str);

/// What M says, one line each.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// As the client dialled it; see [`origin`].
    pub origin: &'a str,
    /// Fingerprint of the gateway's identity key, as the client pinned or learned it.
    pub server: &'a KeyId,
    /// From the gateway's challenge.
    pub server_nonce: &'a [u8; 32],
    /// From the client.
    pub client_nonce: &'a [u8; 32],
    /// The account asked for.
    pub user: &'a str,
    /// Fingerprint of the signing key.
    pub key: &'a KeyId,
    /// RFC 9266 tls-exporter value of this TLS connection, or none: `-`.
    pub exporter: Option<&'a [u8; 32]>,
}

impl Message<'_> {
    /// M: nine lines in a fixed order, each ended by LF. No value holds an LF, so no two messages are one text.
    pub fn text(&self) -> Result<String, MessageError> {
        let exporter = self.exporter.map_or_else(|| "-".to_owned(), |bytes| STANDARD.encode(bytes));
        let lines = [
            ("context", NAMESPACE),
            ("purpose", "login"),
            ("origin", self.origin),
            ("server", self.server.as_str()),
            ("server-nonce", &STANDARD.encode(self.server_nonce)),
            ("client-nonce", &STANDARD.encode(self.client_nonce)),
            ("user", self.user),
            ("key", self.key.as_str()),
            ("tls-exporter", &exporter),
        ];
        let mut text = String::with_capacity(512);
        for (name, value) in lines {
            if value.is_empty() || value.len() > VALUE_MOST || value.chars().any(char::is_control) {
                return Err(MessageError(name));
            }
            text.extend([name, " ", value, "\n"]);
        }
        Ok(text)
    }
}

/// The origin of a wss URL as M wants it: `wss://host[:port]`, lower case, 443 left out, path and query dropped.
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("wss") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of [::1] is inside the brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority.as_str(), None),
    };
    let bare = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']').filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => host,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bare.is_empty() || (!host.starts_with('[') && !bare.chars().all(plain)) {
        return None;
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(443)) => Some(format!("wss://{host}")),
        Some(Ok(port)) if port > 0 => Some(format!("wss://{host}:{port}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_as_dialled() {
        for (url, want) in [
            ("wss://Example.COM", Some("wss://example.com")),
            ("WSS://example.com:443/v1/ws?x", Some("wss://example.com")),
            ("wss://127.0.0.1:8443/", Some("wss://127.0.0.1:8443")),
            ("wss://[::1]:8443", Some("wss://[::1]:8443")),
            ("wss://[::1]", Some("wss://[::1]")),
            ("wss://[::1", None),
            ("wss://[zz]", None),
            ("wss://", None),
            ("wss://:1", None),
            ("wss://a:", None),
            ("wss://a:0", None),
            ("wss://a:99999", None),
            ("wss://user@a", None),
            ("https://a", None),
            ("a", None),
        ] {
            assert_eq!(origin(url).as_deref(), want, "{url}");
        }
    }

    /// Origin, server, server nonce, client nonce, user, key, exporter.
    type Fields = (String, String, [u8; 32], [u8; 32], String, String, Option<[u8; 32]>);

    fn text(fields: &Fields) -> Option<String> {
        let (server, key) = (KeyId::new(fields.1.clone()), KeyId::new(fields.5.clone()));
        Message {
            origin: &fields.0,
            server: &server,
            server_nonce: &fields.2,
            client_nonce: &fields.3,
            user: &fields.4,
            key: &key,
            exporter: fields.6.as_ref(),
        }
        .text()
        .ok()
    }

    prop_compose! {
        // Few letters and the names of the lines themselves: what could be moved from one value to the next.
        fn fields()(origin in "[a\n -]{0,3}(user)?", server in "[a\nx]{0,2}", a in 0u8..2, b in 0u8..2,
            user in "[a\n ]{0,2}(\nkey)?", key in "[a\n-]{0,2}", exporter in proptest::option::of(0u8..2))
            -> Fields {
            (origin, server, [a; 32], [b; 32], user, key, exporter.map(|byte| [byte; 32]))
        }
    }

    proptest! {
        #[test]
        fn different_fields_are_different_texts(one in fields(), other in fields()) {
            if let (Some(first), Some(second)) = (text(&one), text(&other)) {
                prop_assert_eq!(first == second, one == other);
            }
        }

        #[test]
        fn no_value_begins_a_line(fields in fields()) {
            if let Some(text) = text(&fields) {
                prop_assert_eq!(text.matches('\n').count(), 9);
            }
        }
    }
}
