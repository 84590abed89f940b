//! TLS for listeners: of pages, and of the storage center (SYS-6).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be offered, and what to do about it.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("{path}: {reason}; give a PEM file that this process may read")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate and the key do not fit: {0}")]
    Pair(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3 with this certificate chain and key.
///
/// # Errors
/// See [`TlsError`].
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let file = |path: &Path, error: rustls::pki_types::pem::Error| TlsError::File {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
