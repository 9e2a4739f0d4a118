//! The https door's certificate: the operator's files, or a self-signed pair made on first start; does not speak TLS.

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::failure::{About, Failure};
use super::files;

/// A chain or key file is far smaller.
const MOST: u64 = 1024 * 1024;
/// Clients pin it, so its end would be an outage without a gain; browsers that would object see a self-signed one anyway.
const LIFE: Duration = Duration::days(3650);

/// Certificate chain and key, both PEM.
pub(super) struct Pair {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// The operator's own files.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<Pair, Failure> {
    let one = |name: &str, path: &Path| {
        files::read(path, MOST).about(format_args!("{name} {}", path.display()), "name a readable PEM file")
    };
    Ok(Pair { certificate: one("tls.certificate", certificate)?, key: one("tls.key", key)? })
}

/// The self-signed pair, made for these names if it is not there.
pub(super) fn self_signed(certificate: &Path, key: &Path, names: &[String]) -> Result<Pair, Failure> {
    if !certificate.exists() || !key.exists() {
        make(certificate, key, names)?;
    }
    read(certificate, key)
}

fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<(), Failure> {
    let cure = "give tls.names that are DNS names or IP addresses";
    let mut params = CertificateParams::new(names).about("the certificate's names", cure)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Portcullis");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = OffsetDateTime::now_utc();
    // A client whose clock is a little behind still sees a valid one.
    params.not_before = now.saturating_sub(Duration::days(1));
    params.not_after = now.saturating_add(LIFE);
    let pair = KeyPair::generate().about("a key for the certificate", "this is a fault of the program")?;
    let signed = params.self_signed(&pair).about("the certificate", cure)?;
    files::put(key, pair.serialize_pem().as_bytes(), 0o600, None)
        .about(key.display(), "make its directory writable")?;
    files::put(certificate, signed.pem().as_bytes(), 0o644, None)
        .about(certificate.display(), "make its directory writable")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::cli::testing::TempDir;

    #[test]
    fn made_once_for_its_names_and_kept() {
        let dir = TempDir::new("certificate");
        let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let first = self_signed(&certificate, &key, &names).unwrap();
        assert_eq!(self_signed(&certificate, &key, &[]).unwrap().certificate, first.certificate);
        assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
        let told =
            std::process::Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&certificate).output();
        if let Ok(told) = told {
            let told = String::from_utf8(told.stdout).unwrap();
            assert!(told.contains("IP Address:127.0.0.1") && told.contains("DNS:localhost"), "{told}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_its_key() {
        let dir = TempDir::new("no-certificate");
        let told = read(&dir.join("a"), &dir.join("b")).err().unwrap();
        assert!(told.message.starts_with("tls.certificate "), "{told}");
    }
}
