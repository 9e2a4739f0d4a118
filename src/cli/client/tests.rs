//! The client against the real door behind real TLS: binding, pins, certificates, agents.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::agent::Agent;
use super::connect::{ConnectError, Dialler};
use super::keys::{Signer, signers};
use super::known::KnownGateways;
use super::target::Target;
use super::tls::Trust;
use crate::authn::SigningKey;
use crate::gateway::wss::testing::{ACCOUNT, FakeGateway};
use crate::wire::v1::{self, client_message::Body as Ask, server_message::Body};

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-client-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Certificate {
    pem: String,
    acceptor: TlsAcceptor,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Certificate { pem: made.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("wss://{}", listener.local_addr().unwrap());
    (listener, origin)
}

/// A gateway with its own certificate; each connection has its exporter.
async fn gateway(certificate: &Certificate) -> (FakeGateway, String) {
    let (listener, origin) = listen().await;
    let gateway = FakeGateway::new(&origin, false);
    let (served, acceptor) = (gateway.clone(), certificate.acceptor.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (served, acceptor) = (served.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let exporter =
                    stream.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
                served.serve(stream, exporter.ok()).await;
            });
        }
    });
    (gateway, origin)
}

fn dialler(origin: &str, directory: &Directory, gateway: &FakeGateway) -> Dialler {
    let (host, port) = origin.strip_prefix("wss://").unwrap().rsplit_once(':').unwrap();
    Dialler {
        target: Target {
            origin: origin.to_owned(),
            host: host.to_owned(),
            port: port.parse().unwrap(),
            user: ACCOUNT.to_owned(),
            key: None,
            identity: None,
            certificate: None,
            bind: true,
            detach: super::target::USUAL_DETACH,
        },
        signers: vec![Signer::File(Box::new(gateway.0.client.clone()))],
        trust: Arc::new(Trust::load(None)),
        known: KnownGateways::new(&directory.0),
    }
}

#[tokio::test]
async fn a_gateway_with_its_own_certificate_is_known_by_its_identity() {
    let directory = Directory::new("identity");
    let (gateway, origin) = gateway(&certificate()).await;
    let mut dialler = dialler(&origin, &directory, &gateway);
    let mut connection = dialler.connect().await.unwrap();
    assert_eq!(connection.ready.account, ACCOUNT);
    let answer = connection.ask(&dialler, Ask::List(v1::ListSessions {})).await.unwrap();
    assert!(matches!(answer, Body::Sessions(sessions) if sessions.sessions.len() == 1));
    let kept = std::fs::read_to_string(directory.file("known_gateways")).unwrap();
    assert_eq!(kept, format!("{origin} {}\n", gateway.0.identity.id()));
    // The second time it is known, and nothing is added.
    dialler.connect().await.unwrap();
    assert_eq!(std::fs::read_to_string(directory.file("known_gateways")).unwrap(), kept);
}

#[tokio::test]
async fn a_changed_identity_is_refused_before_anything_is_signed() {
    let directory = Directory::new("changed");
    let (gateway, origin) = gateway(&certificate()).await;
    let other = SigningKey::from_seed(&[77; 32], "other").unwrap();
    std::fs::write(directory.file("known_gateways"), format!("{origin} {}\n", other.id())).unwrap();
    let mut dialler = dialler(&origin, &directory, &gateway);
    let error = dialler.connect().await.err().unwrap();
    assert!(matches!(error, ConnectError::Pin(_)), "{error}");
    dialler.target.identity = Some(other.id().clone());
    assert!(matches!(dialler.connect().await.err().unwrap(), ConnectError::Identity { .. }));
    assert!(gateway.audit().is_empty(), "{:?}", gateway.audit());
}

/// In between, with a certificate of its own and the real gateway behind.
async fn man_in_the_middle(gateway: &FakeGateway, own: &Certificate, behind: &str) -> String {
    let (listener, origin) = listen().await;
    // Whoever controls the name: the client dials the middle and means the gateway.
    gateway.0.origins.lock().unwrap().push(origin.clone());
    let (acceptor, behind) = (own.acceptor.clone(), behind.strip_prefix("wss://").unwrap().to_owned());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut near) = acceptor.accept(stream).await else { continue };
            let far = TcpStream::connect(&behind).await.unwrap();
            let trust = Arc::new(Trust::load(None));
            let mut far = trust.secure(far, "127.0.0.1").await.unwrap().stream;
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    origin
}

#[tokio::test]
async fn a_man_in_the_middle_gets_no_login_and_its_passing_twin_does() {
    let directory = Directory::new("middle");
    let (gateway, behind) = gateway(&certificate()).await;
    let middle = certificate();
    let origin = man_in_the_middle(&gateway, &middle, &behind).await;
    let mut dialler = dialler(&origin, &directory, &gateway);
    // The real identity answers, so a pin does not help; the binding does.
    dialler.target.identity = Some(gateway.0.identity.id().clone());
    let error = dialler.connect().await.err().unwrap();
    assert!(matches!(error, ConnectError::LoginRefused(_)), "{error}");
    assert!(gateway.audit().iter().any(|line| line.ends_with("bad-signature")), "{:?}", gateway.audit());

    // The same path where TLS is meant to end in the middle: not bound, so its certificate must be trusted.
    dialler.target.bind = false;
    assert!(matches!(dialler.connect().await.err().unwrap(), ConnectError::Unproven(_)));
    std::fs::write(directory.file("tls.crt"), &middle.pem).unwrap();
    dialler.trust = Arc::new(Trust::load(Some(&directory.file("tls.crt"))));
    dialler.connect().await.unwrap();
}

#[tokio::test]
async fn keys_are_tried_in_turn_and_the_one_that_worked_is_kept() {
    let directory = Directory::new("turn");
    let (gateway, origin) = gateway(&certificate()).await;
    let mut dialler = dialler(&origin, &directory, &gateway);
    let other = SigningKey::from_seed(&[77; 32], "other").unwrap();
    dialler.signers.insert(0, Signer::File(Box::new(other)));
    dialler.connect().await.unwrap();
    let kept: Vec<_> = dialler.signers.iter().map(|signer| signer.public().id().clone()).collect();
    assert_eq!(kept, [gateway.0.client.id().clone()]);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_may_come_back() {
    let directory = Directory::new("gone");
    let (listener, origin) = listen().await;
    drop(listener);
    let gateway = FakeGateway::new(&origin, false);
    let error = dialler(&origin, &directory, &gateway).connect().await.err().unwrap();
    assert!(error.may_pass(), "{error}");
}

/// A real ssh-agent; ended with the test.
struct RealAgent {
    process: std::process::Child,
    socket: PathBuf,
}

impl RealAgent {
    fn start(directory: &Directory) -> Self {
        use std::io::{BufRead, BufReader};
        let socket = directory.file("agent");
        let mut process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It says where it listens once it does.
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, socket }
    }

    fn add(&self, key: &Path) {
        let status = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_agent_signs_as_ssh_keygen_verifies() {
    use crate::authn::{Message, NAMESPACE};
    let directory = Directory::new("agent");
    let agent = RealAgent::start(&directory);
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("rsa", "2048")] {
        let key = directory.file(&format!("{kind}{bits}"));
        let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-b", bits, "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        agent.add(&key);
        // Only the public half is left: what signs is the agent.
        std::fs::remove_file(&key).unwrap();
        let found = signers(Some(&key), Some(Agent::new(agent.socket.clone())), None, &|_| None).unwrap();
        let [signer] = &found[..] else { panic!("{found:?}") };
        assert!(matches!(signer, Signer::Agent(..)));
        let server = SigningKey::from_seed(&[1; 32], "gateway").unwrap();
        let message = Message {
            origin: "wss://a",
            server: server.id(),
            server_nonce: &[1; 32],
            client_nonce: &[2; 32],
            user: "dev",
            key: signer.public().id(),
            exporter: None,
        };
        let signed = signer.sign(&message).unwrap();
        let (allowed, signature) = (directory.file("allowed"), directory.file("signature"));
        std::fs::write(&allowed, format!("me {}\n", signer.public().line())).unwrap();
        std::fs::write(&signature, &signed.signature).unwrap();
        std::fs::write(directory.file("m"), &signed.message).unwrap();
        let verified = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-n", NAMESPACE, "-I", "me", "-f"])
            .arg(&allowed)
            .arg("-s")
            .arg(&signature)
            .stdin(std::fs::File::open(directory.file("m")).unwrap())
            .output()
            .unwrap();
        assert!(verified.status.success(), "{kind} {bits}: {}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn an_encrypted_key_asks_and_a_wrong_passphrase_says_so() {
    let directory = Directory::new("encrypted");
    let key = directory.file("id");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "secret", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let with = |words: Option<&str>| signers(Some(&key), None, None, &|_| words.map(str::to_owned));
    assert!(with(Some("secret")).is_ok());
    assert!(with(Some("wrong")).unwrap_err().to_string().contains("wrong passphrase"));
    assert!(with(None).unwrap_err().to_string().contains("encrypted"));
}
