//! TLS of the https door: one certificate, replaceable while serving, and channel binding. Does not know what is inside.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// RFC 9266: the label of tls-exporter; no context.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// No certificate in the file.
    #[error("the TLS certificate file holds no PEM certificate")]
    NoCertificate,
    /// A damaged certificate.
    #[error("the TLS certificate file is damaged: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// No usable key.
    #[error("the TLS key file holds no unencrypted PEM private key: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// A pair that does not belong together, or that TLS cannot use.
    #[error("TLS certificate and key: {0}; they must be one pair")]
    Pair(#[from] rustls::Error),
    /// The operating system, about the listener.
    #[error("the listener: {0}")]
    Listener(#[from] io::Error),
}

/// The server's side of TLS; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// From a PEM chain, leaf first, and its PEM key.
    pub(crate) fn new(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Arc::new(Current(ArcSwap::from_pointee(pair(certificate, key, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        // The WebSocket upgrade is HTTP/1.1; without h2 there is no h2 to attack.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session keeps the certificate that it began with and costs more than it saves (performance.md 12).
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current, provider })
    }

    /// New handshakes get this pair; live connections go on. On an error the old pair stays.
    pub(crate) fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.current.0.store(Arc::new(pair(certificate, key, &self.provider)?));
        Ok(())
    }

    /// The handshake. It has no deadline of its own: the connection's is absolute.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }
}

/// This connection's tls-exporter value (RFC 9266); none below TLS 1.3, whose exporter is unique without conditions.
pub(crate) fn exporter<S>(stream: &TlsStream<S>) -> Option<[u8; 32]> {
    let (_, connection) = stream.get_ref();
    if connection.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None).ok()
}

fn pair(certificate: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}
