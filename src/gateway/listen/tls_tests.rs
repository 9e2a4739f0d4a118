//! TLS with rustls' own client: exporter, replacement, versions, refusals.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tests::{HANG, closed, limits};
use super::{Admission, Limits, Secured, Tls, TlsError, exporter, spawn_tls_listener};

struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["gate.example".to_owned()]).unwrap();
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

impl Pair {
    fn tls(&self) -> Tls {
        Tls::new(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }

    fn connector(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

type Client = tokio_rustls::client::TlsStream<DuplexStream>;
type Server = tokio_rustls::server::TlsStream<DuplexStream>;

async fn meet(tls: &Tls, connector: TlsConnector) -> (std::io::Result<Client>, std::io::Result<Server>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("gate.example").unwrap();
    let both = async { tokio::join!(connector.connect(name, near), tls.accept(far)) };
    tokio::time::timeout(Duration::from_secs(60), both).await.unwrap()
}

#[tokio::test]
async fn both_ends_export_the_same_and_each_connection_another() {
    let pair = pair();
    let tls = pair.tls();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (client, server) = meet(&tls, pair.connector(&[&rustls::version::TLS13], &[b"http/1.1"])).await;
        let (client, server) = (client.unwrap(), server.unwrap());
        let theirs =
            client.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
        assert_eq!(exporter(&server), Some(theirs), "no context and an empty one are the same in TLS 1.3");
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        seen.push(theirs);
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn tls_1_2_works_and_exports_nothing() {
    let pair = pair();
    let (client, server) = meet(&pair.tls(), pair.connector(&[&rustls::version::TLS12], &[])).await;
    client.unwrap();
    assert_eq!(exporter(&server.unwrap()), None);
}

#[tokio::test]
async fn a_client_that_only_speaks_h2_is_refused() {
    let pair = pair();
    let (client, server) = meet(&pair.tls(), pair.connector(&[&rustls::version::TLS13], &[b"h2"])).await;
    assert!(client.is_err() && server.is_err());
}

#[tokio::test]
async fn a_replaced_certificate_serves_new_connections_and_leaves_live_ones() {
    let (old, new) = (pair(), pair());
    let tls = old.tls();
    let (client, server) = meet(&tls, old.connector(&[&rustls::version::TLS13], &[])).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    tls.replace(new.certificate.as_bytes(), new.key.as_bytes()).unwrap();
    assert!(meet(&tls, old.connector(&[&rustls::version::TLS13], &[])).await.0.is_err());
    meet(&tls, new.connector(&[&rustls::version::TLS13], &[])).await.0.unwrap();
    client.write_all(b"live").await.unwrap();
    client.flush().await.unwrap();
    let mut got = [0; 4];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"live");
}

#[tokio::test]
async fn files_that_are_no_pair() {
    let (one, other) = (pair(), pair());
    let make = |certificate: &str, key: &str| Tls::new(certificate.as_bytes(), key.as_bytes()).map(|_| ());
    assert!(matches!(make("", &one.key), Err(TlsError::NoCertificate)));
    assert!(matches!(make(&one.certificate, ""), Err(TlsError::Key(_))));
    assert!(matches!(make(&one.certificate, &other.key), Err(TlsError::Pair(_))));
    let tls = one.tls();
    assert!(tls.replace(one.certificate.as_bytes(), other.key.as_bytes()).is_err());
    meet(&tls, one.connector(&[&rustls::version::TLS13], &[])).await.0.expect("the old pair stays");
}

#[tokio::test]
async fn the_deadline_covers_the_handshake_and_a_login_behind_it_passes() {
    let pair = pair();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let admission = Admission::new(Limits { deadline: Duration::from_millis(300), ..limits() });
    let task = spawn_tls_listener(
        listener,
        admission.clone(),
        pair.tls(),
        |_, _| (),
        |secured: Secured| async move {
            let Secured { mut stream, exporter, permit, .. } = secured;
            permit.logged_in();
            stream.write_all(&exporter.unwrap()).await.unwrap();
            stream.flush().await.unwrap();
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(&word).await.unwrap();
            stream.flush().await.unwrap();
        },
    )
    .unwrap();
    let connector = pair.connector(&[&rustls::version::TLS13], &[]);
    let (name, socket) = (ServerName::try_from("gate.example").unwrap(), TcpStream::connect(address).await.unwrap());
    let mut client = tokio::time::timeout(HANG, connector.connect(name, socket)).await.unwrap().unwrap();
    let mut theirs = [0; 32];
    client.read_exact(&mut theirs).await.unwrap();
    let ours = client.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap();
    assert_eq!(theirs, ours);
    // The first bytes of a handshake record, and never the rest.
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    closed(&mut stuck).await;
    assert_eq!(admission.counts().expired, 1);
    client.write_all(b"later").await.unwrap();
    client.flush().await.unwrap();
    let mut word = [0; 5];
    tokio::time::timeout(HANG, client.read_exact(&mut word)).await.unwrap().unwrap();
    assert_eq!(&word, b"later");
    task.abort();
}
