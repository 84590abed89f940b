//! How the two ports know each other: each shows a certificate that the pair's authority signed for `<member>.<name>`.

use std::io;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::config::Pair;

/// Why this port cannot speak with the other one. One line: what, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The files.
    #[error("[pair] {0}")]
    Files(#[from] mutual::IdentityError),
    /// The pair's name cannot stand in a certificate.
    #[error("[pair] {0:?} is no name for a certificate; give letters, digits and hyphens, as in a DNS name")]
    Name(String),
}

/// What this port shows, and whom it believes.
#[derive(Clone)]
pub struct Identity {
    mutual: mutual::Identity,
    peer: ServerName<'static>,
}

impl Identity {
    /// As configured. Blocks on the disk.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(pair: &Pair) -> Result<Self, IdentityError> {
        let name = format!("{}.{}", pair.other(), pair.name);
        let peer = ServerName::try_from(name.clone()).map_err(|_| IdentityError::Name(name))?;
        let mutual =
            mutual::Identity::load(&pair.certificate_file, &pair.certificate_key_file, &pair.ca_file)?;
        Ok(Self { mutual, peer })
    }

    /// To the other port.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        self.mutual.connect(stream, &self.peer).await
    }

    /// From the other port, and nobody else.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        self.mutual.accept(stream, &self.peer).await
    }
}
