//! The value of `from=`: which addresses may use a key. Looks nothing up: a host name matches nobody.

use std::net::IpAddr;

use ipnet::IpNet;

use super::pattern::Glob;

/// Why a `from=` list cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Two commas in a row, or nothing after `!`.
    #[error("from= has an empty element")]
    Empty,
    /// Not a network, or one with host bits set.
    #[error("from= element {0:?} is no network (address/bits, host bits zero)")]
    Network(String),
    /// Names are not looked up, so an exclusion by name would exclude nobody.
    #[error("from= excludes {0:?} by name, and names are not looked up; exclude addresses or networks")]
    NegatedName(String),
    /// Nothing in the list could ever match.
    #[error("from= has no address, network or wildcard; names are not looked up")]
    NothingMatches,
}

/// A `from=` list: addresses, CIDR networks and wildcards over the address's text, each may be negated with `!`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromRule(Vec<Element>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Element {
    negated: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Network(IpNet),
    Text(Glob),
}

impl FromRule {
    /// From the dequoted value; comma-separated as in sshd(8).
    pub fn parse(list: &str) -> Result<Self, SourceError> {
        let elements = list.split(',').map(Element::parse).collect::<Result<Vec<_>, _>>()?;
        if elements.iter().all(|element| element.negated || element.is_name()) {
            return Err(SourceError::NothingMatches);
        }
        Ok(Self(elements))
    }

    /// Whether a peer may use the key: some element matches and no negated one does (addr_match_list of OpenSSH).
    pub fn allows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let text = peer.to_string();
        let hit = |element: &&Element| match &element.what {
            What::Network(network) => network.contains(&peer),
            What::Text(glob) => glob.matches(&text),
        };
        !self.0.iter().filter(|element| element.negated).any(|element| hit(&element))
            && self.0.iter().filter(|element| !element.negated).any(|element| hit(&element))
    }
}

impl Element {
    fn parse(text: &str) -> Result<Self, SourceError> {
        let (negated, body) = text.strip_prefix('!').map_or((false, text), |body| (true, body));
        if body.is_empty() {
            return Err(SourceError::Empty);
        }
        let what = if let Ok(address) = body.parse::<IpAddr>() {
            What::Network(IpNet::from(address.to_canonical()))
        } else if body.contains('/') {
            let network = body.parse::<IpNet>().map_err(|_| SourceError::Network(body.to_owned()))?;
            if network.addr() != network.network() {
                return Err(SourceError::Network(body.to_owned()));
            }
            What::Network(network)
        } else {
            What::Text(Glob::new(&body.to_ascii_lowercase()))
        };
        let element = Self { negated, what };
        if negated && element.is_name() {
            return Err(SourceError::NegatedName(body.to_owned()));
        }
        Ok(element)
    }

    /// A text that no address can have.
    fn is_name(&self) -> bool {
        let What::Text(glob) = &self.what else { return false };
        let of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '*' | '?');
        !glob.as_str().contains(['*', '?']) || !glob.as_str().chars().all(of_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, peer: &str) -> bool {
        FromRule::parse(list).unwrap().allows(peer.parse().unwrap())
    }

    #[test]
    fn addresses_networks_wildcards_negation() {
        assert!(allows("10.0.0.0/8", "10.1.2.3"));
        assert!(!allows("10.0.0.0/8", "11.1.2.3"));
        assert!(allows("10.0.0.0/8", "::ffff:10.1.2.3"), "a mapped address is the address");
        assert!(allows("192.0.2.7", "192.0.2.7"));
        assert!(allows("2001:db8::/32", "2001:db8::1"));
        assert!(!allows("2001:db8::/32", "10.0.0.1"));
        assert!(allows("192.0.2.*", "192.0.2.200"));
        assert!(allows("192.0.2.?", "192.0.2.7"));
        assert!(!allows("192.0.2.?", "192.0.2.77"));
        assert!(!allows("*,!192.0.2.7", "192.0.2.7"));
        assert!(!allows("!192.0.2.7,*", "192.0.2.7"), "the order does not matter");
        assert!(allows("*,!192.0.2.7", "192.0.2.8"));
        assert!(!allows("10.0.0.0/8,!10.9.0.0/16", "10.9.1.1"));
        assert!(allows("*.example.com,10.0.0.0/8", "10.0.0.1"), "names match nobody, the rest still counts");
    }

    #[test]
    fn lists_that_cannot_be_honoured() {
        for (bad, want) in [
            ("", SourceError::Empty),
            ("10.0.0.1,,10.0.0.2", SourceError::Empty),
            ("10.0.0.1,!", SourceError::Empty),
            ("10.0.0.1/8", SourceError::Network("10.0.0.1/8".to_owned())),
            ("10.0.0.0/33", SourceError::Network("10.0.0.0/33".to_owned())),
            ("*,!evil.example.com", SourceError::NegatedName("evil.example.com".to_owned())),
            ("*,!*.example.com", SourceError::NegatedName("*.example.com".to_owned())),
            ("*.example.com", SourceError::NothingMatches),
            ("host", SourceError::NothingMatches),
            ("!10.0.0.1", SourceError::NothingMatches),
        ] {
            assert_eq!(FromRule::parse(bad), Err(want), "{bad}");
        }
    }
}
