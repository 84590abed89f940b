//! TLS 1.3 between the two ports: each shows a certificate that the pair's authority signed for the other's name.

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

use crate::config::Pair;

/// Why this port cannot speak with the other one. One line: what, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is not what it should be.
    #[error("[pair] {path}: {reason}; give a PEM file that the port may read")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The files do not go together.
    #[error("[pair]: certificate, key and authority do not fit: {0}")]
    Unfit(String),
}

/// What this port shows, and whom it believes.
#[derive(Clone)]
pub struct Identity {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    peer: ServerName<'static>,
}

impl Identity {
    /// As configured. Blocks on the disk.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(pair: &Pair) -> Result<Self, IdentityError> {
        let name = format!("{}.{}", pair.other(), pair.name);
        let peer = ServerName::try_from(name).map_err(unfit)?;
        let chain = certificates(&pair.certificate_file)?;
        let key = PrivateKeyDer::from_pem_file(&pair.certificate_key_file)
            .map_err(|error| file(&pair.certificate_key_file, error))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&pair.ca_file)? {
            roots.add(certificate).map_err(|error| file(&pair.ca_file, error))?;
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
        Ok(Self { connector: Arc::new(client).into(), acceptor: Arc::new(server).into(), peer })
    }

    /// To the other port.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        Ok(self.connector.connect(self.peer.clone(), stream).await?.into())
    }

    /// From the other port, and nobody else.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        let stream = self.acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or(io::ErrorKind::PermissionDenied)?;
        let parsed = ParsedCertificate::try_from(certificate).map_err(io::Error::other)?;
        verify_server_name(&parsed, &self.peer).map_err(io::Error::other)?;
        Ok(stream.into())
    }
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
