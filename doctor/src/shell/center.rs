//! A visit at each front door of the storage center, step by step, so that the step that fails is known.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::names::{Names, host_of, literal};
use crate::plan::Door;

/// How long a connection may take to be taken.
const CONNECTING: Duration = Duration::from_millis(1_500);
/// How long each further step may take.
const STEP: Duration = Duration::from_millis(1_500);
/// A certificate that ends within this time is told.
pub const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What a large question has in its header: more than two packets of any usual size.
const LARGE: usize = 4_000;

/// How it went.
pub type Visit = Result<Answer, Trouble>;

/// The door was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of its answer about its health.
    pub status: u16,
    /// By how many seconds its clock is before this machine's, if it told the time.
    pub ahead: Option<i64>,
    /// It showed a certificate, which ends within [`SOON`] or not.
    pub certificate: Option<bool>,
    /// Whether it answered a question of several packets as well; `None` if that broke off for another reason.
    pub heard_large: Option<bool>,
    /// Longest packet on the way there, as far as the kernel has found out.
    pub mtu: Option<u32>,
}

/// The step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is no URL of a center.
    Url,
    /// Its name has no address.
    Name,
    /// The connection is refused, or there is no way.
    Connect(String),
    /// Nothing came in time: of the connection, or of what follows it.
    Silent(&'static str),
    /// Its certificate cannot be trusted.
    Certificate(Distrust),
    /// It does not speak TLS, or breaks off.
    Tls(String),
    /// It does not speak HTTP, or breaks off.
    Http(String),
}

/// Why a certificate cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// Nobody who is trusted here signed it.
    Issuer,
    /// It is for another name.
    Name,
    /// Something else.
    Other(String),
    /// The authorities that are named here cannot be read.
    Authorities(String),
}

pub(crate) async fn visit_all(
    doors: &[Door],
    authorities: Option<&[u8]>,
    names: &Names,
    now: fn() -> Duration,
) -> Vec<Visit> {
    let visits: Vec<_> = doors
        .iter()
        .map(|door| {
            let Some((host, port)) = host_of(&door.url) else { return Err(Trouble::Url) };
            let addresses = names.of(&host).filter(|addresses| !addresses.is_empty()).ok_or(Trouble::Name)?;
            let secure = door.url.starts_with("https").then(|| trust(authorities)).transpose();
            let door = Address { host, port, addresses, trust: secure.map_err(Trouble::Certificate)? };
            Ok(tokio::spawn(async move { door.visit(now).await }))
        })
        .collect();
    let mut all = Vec::new();
    for visit in visits {
        all.push(match visit {
            Ok(visit) => visit.await.unwrap_or_else(|error| Err(Trouble::Http(error.to_string()))),
            Err(trouble) => Err(trouble),
        });
    }
    all
}

struct Address {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
    trust: Option<Trust>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Address {
    async fn visit(&self, now: fn() -> Duration) -> Visit {
        let (mut stream, mtu) = self.open().await?;
        let before = now();
        let head = step("an answer", self.ask(&mut *stream, 0)).await?.map_err(no_http)?;
        let ahead = head.date.map(|date| seconds(date) - seconds((before + now()) / 2));
        drop(stream);
        let large = async {
            let (mut stream, mtu) = self.open().await?;
            Ok::<_, Trouble>((timeout(STEP, self.ask(&mut *stream, LARGE)).await, mtu()))
        };
        let (heard_large, mtu) = match large.await {
            Ok((Ok(Ok(_)), mtu)) => (Some(true), mtu),
            Ok((Err(_), mtu)) => (Some(false), mtu),
            Ok((Ok(Err(_)), _)) | Err(_) => (None, mtu()),
        };
        let certificate = self.trust.as_ref().map(|trust| trust.ends_soon.load(Ordering::Relaxed));
        Ok(Answer { status: head.status, ahead, certificate, heard_large, mtu })
    }

    /// A connection, and what the kernel knows of the way by then.
    async fn open(&self) -> Result<(Box<dyn Stream>, impl Fn() -> Option<u32> + use<>), Trouble> {
        let addresses: Vec<SocketAddr> =
            self.addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect();
        let connected = timeout(CONNECTING, TcpStream::connect(&addresses[..])).await;
        let stream = match connected {
            Err(_) => return Err(Trouble::Silent("a connection")),
            Ok(Err(error)) => return Err(Trouble::Connect(error.to_string())),
            Ok(Ok(stream)) => stream,
        };
        // The stream may go into TLS; this is another descriptor of it.
        let copy = rustix::io::fcntl_dupfd_cloexec(&stream, 0).ok();
        let is_four = stream.peer_addr().is_ok_and(|peer| peer.is_ipv4());
        let mtu = move || {
            let copy = copy.as_ref()?;
            let mtu = if is_four {
                rustix::net::sockopt::ip_mtu(copy)
            } else {
                rustix::net::sockopt::ipv6_mtu(copy)
            };
            mtu.ok()
        };
        let Some(trust) = &self.trust else { return Ok((Box::new(stream), mtu)) };
        let name = match literal(&self.host) {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(self.host.clone()).map_err(|_| Trouble::Url)?,
        };
        let secured = step("a certificate", trust.connector.connect(name, stream)).await?;
        Ok((Box::new(secured.map_err(|error| no_tls(&error))?), mtu))
    }

    /// Asks how it is, with so many bytes more in the question's head.
    async fn ask(&self, stream: &mut dyn Stream, more: usize) -> io::Result<Head> {
        let Self { host, port, .. } = self;
        let padding = if more > 0 { format!("X-Padding: {}\r\n", "-".repeat(more)) } else { String::new() };
        let question =
            format!("GET /health HTTP/1.1\r\nHost: {host}:{port}\r\n{padding}Connection: close\r\n\r\n");
        stream.write_all(question.as_bytes()).await?;
        stream.flush().await?;
        let mut bytes = Vec::new();
        loop {
            if let Some(head) = head(&bytes)? {
                return Ok(head);
            }
            let mut part = [0; 4096];
            match stream.read(&mut part).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => bytes.extend_from_slice(&part[..length]),
            }
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of its answer has no end"));
            }
        }
    }
}

async fn step<T>(what: &'static str, work: impl Future<Output = T>) -> Result<T, Trouble> {
    timeout(STEP, work).await.map_err(|_| Trouble::Silent(what))
}

fn no_http(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            Trouble::Http("it closes the connection without an answer".to_owned())
        }
        _ => Trouble::Http(error.to_string()),
    }
}

struct Head {
    status: u16,
    date: Option<Duration>,
}

/// The head of an answer; `None` if there is more to come.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let (httparse::Status::Complete(_), Some(status)) = (parsed, answer.code) else { return Ok(None) };
    let date = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("date"));
    let date = date.and_then(|date| httpdate::parse_http_date(std::str::from_utf8(date.value).ok()?).ok());
    Ok(Some(Head { status, date: date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()) }))
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn no_tls(error: &io::Error) -> Trouble {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => Trouble::Certificate(distrust(error)),
        Some(rustls::Error::InvalidMessage(_)) => Trouble::Tls("it does not speak TLS".to_owned()),
        _ => Trouble::Tls(error.to_string()),
    }
}

fn distrust(error: &CertificateError) -> Distrust {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Distrust::NotYet,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::Issuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Distrust::Name,
        other => Distrust::Other(rustls::Error::InvalidCertificate(other.clone()).to_string()),
    }
}

struct Trust {
    connector: TlsConnector,
    ends_soon: Arc<AtomicBool>,
}

fn trust(authorities: Option<&[u8]>) -> Result<Trust, Distrust> {
    let bad = |error: &dyn std::fmt::Display| Distrust::Authorities(error.to_string());
    let mut roots = RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(mut pem) => {
            for certificate in rustls_pemfile::certs(&mut pem) {
                roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
            }
        }
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|error| bad(&error))?;
    let ends_soon = Arc::<AtomicBool>::default();
    let watchful = Watchful { verifier, ends_soon: Arc::clone(&ends_soon) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .dangerous() // It is no weaker than the one within it.
        .with_custom_certificate_verifier(Arc::new(watchful))
        .with_no_client_auth();
    Ok(Trust { connector: Arc::new(config).into(), ends_soon })
}

/// Trusts whom the verifier within trusts, and notes whether it would still do so in a while.
#[derive(Debug)]
struct Watchful {
    verifier: Arc<WebPkiServerVerifier>,
    ends_soon: Arc<AtomicBool>,
}

impl ServerCertVerifier for Watchful {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let trusted = self.verifier.verify_server_cert(own, chain, name, ocsp, now)?;
        let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
        let ends_soon = self.verifier.verify_server_cert(own, chain, name, ocsp, later).is_err();
        self.ends_soon.store(ends_soon, Ordering::Relaxed);
        Ok(trusted)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_tells_status_and_time() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\ndate: Thu, 01 Jan 2026 00:00:07 GMT\r\n\r\nno";
        let told = head(text).unwrap().unwrap();
        assert_eq!((told.status, told.date), (503, Some(Duration::from_secs(1_767_225_607))));
        let timeless = head(b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n").unwrap().unwrap();
        assert_eq!(timeless.date, None);
        assert!(head(b"HTTP/1.1 200 OK\r\nDate: ").unwrap().is_none());
        assert!(head(b"SSH-2.0-OpenSSH\r\n").is_err());
    }
}
