//! A man in the middle with a certificate of his own: ends TLS, and begins it again towards the real gateway.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::client::careless;
use super::place::run;

/// Ends with the test.
pub struct Middle {
    pub address: String,
    acceptor: TlsAcceptor,
    listener: Arc<TcpListener>,
    task: Option<JoinHandle<()>>,
}

impl Middle {
    /// Passes everything on to `target`.
    pub async fn start(dir: &Path, target: &str) -> Self {
        let mut middle = Self::bind(dir).await;
        middle.run(target);
        middle
    }

    /// Has its certificate and its address; nothing passes before `run`.
    pub async fn bind(dir: &Path) -> Self {
        let (key, certificate) = (dir.join("middle.key"), dir.join("middle.crt"));
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        make.args(["-subj", "/CN=middle", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout"]);
        run(make.arg(&key).arg("-out").arg(&certificate));
        let chain = CertificateDer::pem_file_iter(&certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap().to_string();
        Self { address, acceptor, listener, task: None }
    }

    /// Passes everything on to `target` from now on, and to no other.
    pub fn run(&mut self, target: &str) {
        let (acceptor, listener, target) = (self.acceptor.clone(), Arc::clone(&self.listener), target.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    // A client that does not like the certificate goes.
                    let Ok(mut near) = acceptor.accept(tcp).await else { return };
                    let far = TcpStream::connect(&target).await.unwrap();
                    let name = ServerName::try_from("localhost").unwrap();
                    let connector = tokio_rustls::TlsConnector::from(Arc::new(careless()));
                    let mut far = connector.connect(name, far).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        if let Some(before) = self.task.replace(task) {
            before.abort();
        }
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
