//! Which HTTP requests become WebSockets: a pure judgement of one request; does not know sockets or keys.

use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use hyper::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use hyper::{Method, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::desk::Names;

/// The one path.
pub(super) const PATH: &str = "/v1/ws";

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// 101, with this Sec-WebSocket-Accept.
    Upgrade(String),
    /// The line at `/`.
    Hello,
    /// Anything else.
    Refuse(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No such path.
    #[error("nothing here; the WebSocket is at /v1/ws")]
    NotFound,
    /// Not GET.
    #[error("only GET")]
    Method,
    /// Not a WebSocket handshake.
    #[error("/v1/ws takes only a WebSocket upgrade (RFC 6455, version 13)")]
    NotWebSocket,
    /// Another version of the protocol.
    #[error("only WebSocket version 13")]
    Version,
    /// A browser page that is not ours.
    #[error("pages of this origin may not connect; the operator may add it to origins.pages")]
    WebOrigin,
    /// Called by a name that is not ours.
    #[error("this gateway is not called that; the operator may add the name to origins.own")]
    Host,
}

impl Refusal {
    /// The HTTP status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotWebSocket | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::WebOrigin => StatusCode::FORBIDDEN,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// The reason in the audit log; none for what no login attempt could look like.
    pub(super) fn audit_reason(self) -> Option<&'static str> {
        match self {
            Self::WebOrigin => Some("web-origin"),
            Self::Host => Some("host-header"),
            Self::NotFound | Self::Method | Self::NotWebSocket | Self::Version => None,
        }
    }
}

/// Judges the head of a request.
pub(super) fn judge(method: &Method, path: &str, headers: &HeaderMap, names: Names<'_>) -> Judgement {
    if !matches!(path, "/" | PATH) {
        return Judgement::Refuse(Refusal::NotFound);
    }
    if method != Method::GET {
        return Judgement::Refuse(Refusal::Method);
    }
    if !host_is_ours(headers, names.origins) {
        return Judgement::Refuse(Refusal::Host);
    }
    if path == "/" {
        return Judgement::Hello;
    }
    if !web_origin_is_allowed(headers, names.web_origins) {
        return Judgement::Refuse(Refusal::WebOrigin);
    }
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
        return Judgement::Refuse(Refusal::NotWebSocket);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        return Judgement::Refuse(Refusal::Version);
    }
    // 16 random bytes in base64 are 24 characters (RFC 6455 4.1).
    match only(headers, &SEC_WEBSOCKET_KEY) {
        Some(key) if key.len() == 24 => Judgement::Upgrade(derive_accept_key(key.as_bytes())),
        _ => Judgement::Refuse(Refusal::NotWebSocket),
    }
}

fn host_is_ours(headers: &HeaderMap, origins: &[String]) -> bool {
    if origins.is_empty() {
        return true;
    }
    let Some(host) = only(headers, &HOST).and_then(|host| host.to_str().ok()) else { return false };
    let host = host.strip_suffix(":443").unwrap_or(host);
    origins.iter().filter_map(|origin| origin.strip_prefix("wss://")).any(|own| own.eq_ignore_ascii_case(host))
}

// Only browsers send Origin; a page that is not named may not use its visitor's network place.
fn web_origin_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(origin) = only(headers, &ORIGIN).and_then(|origin| origin.to_str().ok()) else { return false };
    allowed.iter().any(|own| own.eq_ignore_ascii_case(origin))
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    if all.next().is_some() { None } else { Some(first) }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "gate.example"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn judged(change: impl FnOnce(&mut HeaderMap)) -> Judgement {
        let mut headers = good();
        change(&mut headers);
        let origins = ["wss://gate.example".to_owned(), "wss://127.0.0.1:8443".to_owned()];
        let web_origins = ["https://gate.example".to_owned()];
        judge(
            &Method::GET,
            PATH,
            &headers,
            Names { require_channel_binding: false, origins: &origins, web_origins: &web_origins },
        )
    }

    #[test]
    fn a_handshake_is_taken_and_answered_as_rfc_6455_says() {
        // The example of RFC 6455 1.3.
        assert_eq!(judged(|_| ()), Judgement::Upgrade("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into()));
    }

    #[test]
    fn each_change_of_the_good_request_is_refused_for_its_own_reason() {
        let set = |name: &'static str, value: &'static str| {
            judged(move |headers| {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            })
        };
        let refuse = |refusal| Judgement::Refuse(refusal);
        assert_eq!(set("origin", "https://evil.example"), refuse(Refusal::WebOrigin));
        assert_eq!(set("origin", "null"), refuse(Refusal::WebOrigin));
        assert!(matches!(set("origin", "https://gate.example"), Judgement::Upgrade(_)));
        assert_eq!(set("host", "evil.example"), refuse(Refusal::Host));
        assert!(matches!(set("host", "Gate.Example:443"), Judgement::Upgrade(_)));
        assert!(matches!(set("host", "127.0.0.1:8443"), Judgement::Upgrade(_)));
        assert_eq!(set("upgrade", "h2c"), refuse(Refusal::NotWebSocket));
        assert_eq!(set("connection", "close"), refuse(Refusal::NotWebSocket));
        assert_eq!(set("sec-websocket-version", "8"), refuse(Refusal::Version));
        assert_eq!(set("sec-websocket-key", "short"), refuse(Refusal::NotWebSocket));
        let twice = judged(|headers| {
            headers.append(ORIGIN, HeaderValue::from_static("https://gate.example"));
            headers.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        });
        assert_eq!(twice, refuse(Refusal::WebOrigin));
    }

    #[test]
    fn only_two_paths_exist() {
        let names = Names { require_channel_binding: false, origins: &[], web_origins: &[] };
        let at = |method, path| judge(&method, path, &HeaderMap::new(), names);
        assert_eq!(at(Method::GET, "/"), Judgement::Hello);
        assert_eq!(at(Method::POST, "/"), Judgement::Refuse(Refusal::Method));
        assert_eq!(at(Method::GET, "/v1/ws/"), Judgement::Refuse(Refusal::NotFound));
        assert_eq!(at(Method::GET, "/metrics"), Judgement::Refuse(Refusal::NotFound));
        assert_eq!(at(Method::GET, PATH), Judgement::Refuse(Refusal::NotWebSocket));
    }
}
