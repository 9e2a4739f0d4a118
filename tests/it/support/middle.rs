//! A man in the middle with a certificate of his own: ends TLS, and begins it again towards the real gateway.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::client::careless;
use super::place::run;

/// Ends with the test.
pub struct Middle {
    pub address: String,
    task: JoinHandle<()>,
}

impl Middle {
    /// Passes everything on to `target`.
    pub async fn start(dir: &Path, target: &str) -> Self {
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
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = target.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(tcp).await else { return };
                    let far = TcpStream::connect(&target).await.unwrap();
                    let name = ServerName::try_from("localhost").unwrap();
                    let connector = tokio_rustls::TlsConnector::from(Arc::new(careless()));
                    let mut far = connector.connect(name, far).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
