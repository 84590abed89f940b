//! The exchange.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::url::{Host, WebUrl};

/// Largest head of an answer, and the most that is read of it.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Who asks.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("storage-center/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum GetError {
    /// TLS: its certificate, mostly.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// TLS needs a name.
    #[error("no server name for TLS: {0}")]
    ServerName(#[from] InvalidDnsNameError),
    /// What came is no answer.
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The URL stands in no request.
    #[error("no request can be made of it: {0}")]
    Request(#[from] http::Error),
}

/// Asks servers.
#[derive(Clone)]
pub struct Getter {
    tls: TlsConnector,
}

impl Getter {
    /// Believes the public authorities' certificates.
    ///
    /// # Errors
    /// TLS cannot be used.
    pub fn new() -> Result<Self, rustls::Error> {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Believes the certificates of these authorities.
    ///
    /// # Errors
    /// TLS cannot be used.
    pub fn trusting(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// GETs the URL over a connection to its server. No redirect is followed, and the caller bounds the time.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, stream: TcpStream, url: &WebUrl) -> Result<Parts, GetError> {
        if !url.is_tls {
            return exchange(stream, url).await;
        }
        let name = match &url.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())?,
        };
        exchange(self.tls.connect(name, stream).await.map_err(GetError::Tls)?, url).await
    }
}

/// The connection ends with the answer's head, and with it whatever else is coming.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: S, url: &WebUrl) -> Result<Parts, GetError> {
    let request = Request::get(&url.target)
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let (mut asked, mut connection) = (pin!(sender.send_request(request)), pin!(connection));
    let answered = tokio::select! {
        biased;
        answered = &mut asked => answered,
        _ = &mut connection => asked.await,
    };
    Ok(answered?.into_parts().0)
}
