//! TLS 1.3 between two who know each other by name: each shows a certificate that one authority signed for its name, and
//! believes nobody else's. Ports of a pair (FO-11) and storage centers that mirror each other (GEO-11) speak so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Why nobody can be spoken with. One line: what, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is not what it should be.
    #[error("{path}: {reason}; give a PEM file that this process may read")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The files do not go together.
    #[error("certificate, key and authority do not fit: {0}")]
    Unfit(String),
}

/// What this process shows, and whose signature it believes. Clones share it.
#[derive(Clone)]
pub struct Identity {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Identity {
    /// From three PEM files: a chain of certificates, the key of the first, and who signed everybody's. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(certificate: &Path, key: &Path, authority: &Path) -> Result<Self, IdentityError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authority)? {
            roots.add(certificate).map_err(|error| file(authority, error))?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(unfit)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unfit)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unfit)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unfit)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unfit)?;
        Ok(Self { connector: Arc::new(client).into(), acceptor: Arc::new(server).into() })
    }

    /// To whoever has a certificate for `peer`.
    ///
    /// # Errors
    /// Of the connection, and if it is somebody else.
    pub async fn connect(
        &self,
        stream: TcpStream,
        peer: &ServerName<'static>,
    ) -> io::Result<TlsStream<TcpStream>> {
        Ok(self.connector.connect(peer.clone(), stream).await?.into())
    }

    /// From whoever has a certificate for `peer`, and nobody else.
    ///
    /// # Errors
    /// Of the connection, and if it is somebody else.
    pub async fn accept(&self, stream: TcpStream, peer: &ServerName<'_>) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or(io::ErrorKind::PermissionDenied)?;
        let parsed = ParsedCertificate::try_from(certificate).map_err(io::Error::other)?;
        verify_server_name(&parsed, peer).map_err(io::Error::other)?;
        Ok(stream.into())
    }
}

/// Whether the first certificate of a PEM file is for this DNS name.
///
/// # Errors
/// A file without one.
pub fn is_for(certificate: &Path, name: &str) -> Result<bool, IdentityError> {
    let chain = certificates(certificate)?;
    let first = chain.first().ok_or_else(|| file(certificate, "there is no certificate in it"))?;
    let parsed = ParsedCertificate::try_from(first).map_err(|error| file(certificate, error))?;
    let name = ServerName::try_from(name).map_err(unfit)?;
    Ok(verify_server_name(&parsed, &name).is_ok())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(none) if none.is_empty() => Err(file(path, "there is no certificate in it")),
        Ok(all) => Ok(all),
        Err(error) => Err(file(path, error)),
    }
}

fn file(path: &Path, error: impl ToString) -> IdentityError {
    IdentityError::File { path: path.to_path_buf(), reason: error.to_string() }
}

fn unfit(error: impl ToString) -> IdentityError {
    IdentityError::Unfit(error.to_string())
}
