//! Mutual TLS between routers and controllers, from a folder as Kubernetes mounts a secret of type `tls`.
//!
//! The files are read again as they change, so that certificates can be rotated without a restart: the router reads
//! them at each connection, the controller every few seconds. Connections live for a bounded time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// A folder with `tls.crt`, `tls.key`, and `ca.crt`.
#[derive(Clone, Debug)]
pub struct TlsFolder(PathBuf);

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}: is the secret mounted?")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not contain what it should.
    #[error("{path} does not contain a {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The certificate, key and authority do not fit together.
    #[error("the certificates in {folder} cannot be used: {why}")]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
}

/// The files' contents. Compared, to see whether they have changed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

impl TlsFolder {
    /// The folder at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn read(&self) -> Result<Files, TlsError> {
        let read = |name| {
            let path = self.0.join(name);
            std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
        };
        Ok(Files {
            certificate: read("tls.crt")?,
            key: read("tls.key")?,
            authority: read("ca.crt")?,
        })
    }

    /// Checks that the controller's side could be set up now.
    ///
    /// # Errors
    /// Files are missing or do not fit.
    pub fn check(&self) -> Result<(), TlsError> {
        self.server(&self.read()?).map(drop)
    }

    /// The router's side: it shows its certificate, and asks for one of the same authority.
    ///
    /// # Errors
    /// Files are missing or do not fit.
    pub fn client(&self) -> Result<ClientConfig, TlsError> {
        let files = self.read()?;
        let (chain, key) = (self.chain(&files)?, self.key(&files)?);
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| self.unusable(&error))?
            .with_root_certificates(self.roots(&files)?)
            .with_client_auth_cert(chain, key)
            .map_err(|error| self.unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// The controller's side: a client must show a certificate of the same authority.
    pub(crate) fn server(&self, files: &Files) -> Result<ServerConfig, TlsError> {
        let (chain, key) = (self.chain(files)?, self.key(files)?);
        let roots = Arc::new(self.roots(files)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| self.unusable(&error))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| self.unusable(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| self.unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn chain(&self, files: &Files) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        self.certificates("tls.crt", &files.certificate)
    }

    fn certificates(
        &self,
        name: &str,
        pem: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(TlsError::Pem { path: self.0.join(name), what: "certificate" }),
        }
    }

    fn key(&self, files: &Files) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = || self.0.join("tls.key");
        PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|_| TlsError::Pem { path: path(), what: "private key" })
    }

    fn roots(&self, files: &Files) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates("ca.crt", &files.authority)? {
            roots.add(certificate).map_err(|error| self.unusable(&error))?;
        }
        Ok(roots)
    }

    fn unusable(&self, why: &impl ToString) -> TlsError {
        TlsError::Unusable { folder: self.0.clone(), why: why.to_string() }
    }
}

/// The crypto provider of the whole product.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
