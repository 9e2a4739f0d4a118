//! Binds the doors, or takes them from systemd, and says under which names they are dialled; accepts nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use super::failure::Failure;
use crate::config::{ListenSettings, OriginSettings, Settings};
use crate::spawner::Listeners;

/// The bound doors.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) https: TcpListener,
    pub(super) ssh: TcpListener,
    pub(super) admin: TcpListener,
}

/// Where they are, with real ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) https: SocketAddr,
    pub(super) ssh: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Doors {
    /// All three; every address that cannot be bound is told at once.
    pub(super) fn bind(listen: &ListenSettings) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mut one = |key: &str, address: SocketAddr| match TcpListener::bind(address) {
            Ok(listener) => Some(listener),
            Err(error) => {
                problems.push(explain(key, address, &error));
                None
            }
        };
        let doors = (one("https", listen.https), one("ssh", listen.ssh), one("admin", listen.admin));
        match doors {
            (Some(https), Some(ssh), Some(admin)) => Ok(Self { https, ssh, admin }),
            _ => Err(Failure::setup(problems.join("\n"))),
        }
    }

    /// From descriptors that systemd bound, by their FileDescriptorName.
    pub(super) fn inherited(named: Vec<(String, OwnedFd)>) -> Result<Self, Failure> {
        let (mut https, mut ssh, mut admin) = (None, None, None);
        for (name, descriptor) in named {
            match name.as_str() {
                "https" => https = Some(descriptor.into()),
                "ssh" => ssh = Some(descriptor.into()),
                "admin" => admin = Some(descriptor.into()),
                _ => {}
            }
        }
        match (https, ssh, admin) {
            (Some(https), Some(ssh), Some(admin)) => Ok(Self { https, ssh, admin }),
            _ => Err(Failure::setup(
                "systemd passed sockets, but not all of https, ssh and admin; name each with FileDescriptorName=",
            )),
        }
    }

    /// Real addresses.
    pub(super) fn bound(&self) -> Result<Bound, Failure> {
        let one = |listener: &TcpListener| listener.local_addr().map_err(Failure::setup);
        Ok(Bound { https: one(&self.https)?, ssh: one(&self.ssh)?, admin: one(&self.admin)? })
    }
}

impl Bound {
    /// Of doors that another program bound.
    pub(super) fn of(listeners: &Listeners) -> Result<Self, String> {
        let one = |listener: &Option<OwnedFd>| {
            let listener = listener.as_ref().ok_or("a door is missing")?.try_clone();
            let listener = TcpListener::from(listener.map_err(|error| error.to_string())?);
            listener.local_addr().map_err(|error| error.to_string())
        };
        Ok(Self { https: one(&listeners.https)?, ssh: one(&listeners.ssh)?, admin: one(&listeners.admin)? })
    }
}

/// One sentence with the cure.
pub(super) fn explain(key: &str, address: SocketAddr, error: &io::Error) -> String {
    let cure = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program listens there; choose a port with --{key} or listen.{key} (port 0 takes a free one)"
            )
        }
        io::ErrorKind::PermissionDenied => format!("ports below 1024 need root; choose another with --{key}"),
        io::ErrorKind::AddrNotAvailable => format!("this machine has no such address; choose one with --{key}"),
        _ => format!("choose another address with --{key}"),
    };
    format!("{key} door: {address} cannot be bound ({error}): {cure}")
}

/// Hosts under which the https door can be dialled.
pub(super) fn host_names(address: IpAddr, hostname: Option<&str>, extra: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if address.is_loopback() || address.is_unspecified() {
        names.push("localhost".to_owned());
        names.extend(loopback.map(|ip| ip.to_string()));
    }
    if !address.is_unspecified() && !names.contains(&address.to_string()) {
        names.push(address.to_string());
    }
    if !address.is_loopback() {
        names.extend(hostname.map(str::to_ascii_lowercase));
    }
    if address.is_unspecified() {
        names.extend(outward(address).map(|ip| ip.to_string()));
    }
    names.extend(extra.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// `wss://host:port` for each host, and what the operator added.
pub(super) fn origins(settings: &Settings, names: &[String], port: u16) -> OriginSettings {
    let mut own: Vec<String> = names
        .iter()
        .filter(|name| !name.contains('*'))
        .map(|name| match (name.parse::<Ipv6Addr>(), port) {
            (Ok(ip), 443) => format!("wss://[{ip}]"),
            (Ok(ip), port) => format!("wss://[{ip}]:{port}"),
            (Err(_), 443) => format!("wss://{name}"),
            (Err(_), port) => format!("wss://{name}:{port}"),
        })
        .collect();
    own.extend(settings.origins.own.iter().cloned());
    own.sort();
    own.dedup();
    OriginSettings { own, pages: settings.origins.pages.clone() }
}

/// The machine's name as the kernel has it.
pub(super) fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    good.then(|| name.to_owned())
}

/// The address that this machine would use to reach others; connecting a datagram socket sends nothing.
fn outward(family: IpAddr) -> Option<IpAddr> {
    let (here, there): (SocketAddr, SocketAddr) = match family {
        IpAddr::V4(_) => ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into()),
        IpAddr::V6(_) => {
            ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into())
        }
    };
    let socket = UdpSocket::bind(here).ok()?;
    socket.connect(there).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, load};

    #[test]
    fn a_taken_port_is_told_with_the_cure_and_all_at_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let free = "127.0.0.1:0".parse().unwrap();
        let told = Doors::bind(&ListenSettings { https: address, ssh: address, admin: free }).unwrap_err();
        assert_eq!(told.status, 78);
        assert_eq!(told.message.lines().count(), 2, "{told}");
        assert!(told.message.contains("choose a port with --https"), "{told}");
        let doors = Doors::bind(&ListenSettings { https: free, ssh: free, admin: free }).unwrap();
        assert_ne!(doors.bound().unwrap().https.port(), 0);
    }

    #[test]
    fn names_and_origins_of_the_listener() {
        let settings = load(&Layers::default()).unwrap();
        let names = host_names("127.0.0.1".parse().unwrap(), Some("Box"), &[]);
        assert_eq!(names, ["localhost", "127.0.0.1", "::1"]);
        let own = origins(&settings, &names, 8443).own;
        assert_eq!(own, ["wss://127.0.0.1:8443", "wss://[::1]:8443", "wss://localhost:8443"]);
        let names = host_names("192.0.2.7".parse().unwrap(), Some("Box"), &["gate.example".into()]);
        assert_eq!(names, ["192.0.2.7", "box", "gate.example"]);
        assert!(origins(&settings, &names, 443).own.contains(&"wss://gate.example".to_owned()));
    }
}
