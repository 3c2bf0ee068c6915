//! Certificates for tests.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, with a key of its own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// There is no randomness.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number: u64 = rand::random();
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate, in DER.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A certificate of this authority for loopback, in a folder as Kubernetes mounts it.
    ///
    /// # Panics
    /// No folder can be made.
    #[must_use]
    pub fn folder(&self) -> TempDir {
        let folder = TempDir::new().expect("a temporary folder");
        self.write(folder.path());
        folder
    }

    /// Writes a new certificate into a folder, over what is there.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, folder: &Path) {
        let key = KeyPair::generate().expect("a key");
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("an address and a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let write = |name: &str, pem: String| {
            // Written beside and moved: it is never seen half.
            let new = folder.join(format!(".{name}"));
            std::fs::write(&new, pem).expect("a writable folder");
            std::fs::rename(&new, folder.join(name)).expect("a writable folder");
        };
        write("tls.crt", certificate.pem());
        write("tls.key", key.serialize_pem());
        write("ca.crt", self.0.pem());
    }
}
