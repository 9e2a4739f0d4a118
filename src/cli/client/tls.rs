//! TLS as a client: the certificate is judged, and used only where the login cannot be bound to the connection. Knows
//! no login.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// RFC 9266.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Certificates that are trusted, read once.
#[derive(Debug)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    roots: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
}

/// A TLS connection and what is known about it.
pub(crate) struct Secured {
    /// The stream.
    pub(crate) stream: TlsStream<TcpStream>,
    /// tls-exporter; none below TLS 1.3.
    pub(crate) exporter: Option<[u8; 32]>,
    /// The certificate is valid for the name under a CA of the system, or is the one in the file.
    pub(crate) certified: bool,
}

impl Trust {
    /// The system's CAs and the certificates of a file, which need not exist.
    pub(crate) fn load(certificate: Option<&Path>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let roots = if store.is_empty() {
            None
        } else {
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build().ok()
        };
        let own = certificate
            .and_then(|file| CertificateDer::pem_file_iter(file).ok())
            .map(|all| all.filter_map(Result::ok).collect())
            .unwrap_or_default();
        Self { provider, roots, own }
    }

    /// Handshake on a connected socket. Errors: rustls's, as I/O errors.
    pub(crate) async fn secure(self: &Arc<Self>, stream: TcpStream, host: &str) -> std::io::Result<Secured> {
        let judge = Arc::new(Judge { trust: Arc::clone(self), certified: AtomicBool::new(false) });
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&judge) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        // A resumed session shows no certificate to judge.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let connection = stream.get_ref().1;
        let exporter = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => {
                connection.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).ok()
            }
            _ => None,
        };
        let certified = judge.certified.load(Ordering::Relaxed);
        Ok(Secured { stream, exporter, certified })
    }
}

// Notes whether the certificate is good and lets the handshake go on: a gateway with its own certificate is known by its
// identity key, which signs the login together with this connection's exporter.
#[derive(Debug)]
struct Judge {
    trust: Arc<Trust>,
    // In an Arc because rustls wants the verifier in one; written once, within the handshake.
    certified: AtomicBool,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_file = self.trust.own.iter().any(|own| own.as_ref() == end_entity.as_ref());
        let by_authority = self
            .trust
            .roots
            .as_ref()
            .is_some_and(|roots| roots.verify_server_cert(end_entity, intermediates, name, ocsp, now).is_ok());
        self.certified.store(by_file || by_authority, Ordering::Relaxed);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }
}
