//! Asks a callback: the part that has sockets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnetwork::IpNetwork;
use protocol::id::CustomerId;
use rustls::crypto::ring;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::directory::Directory;
use super::address::admit;
use super::hosts::AllowedHosts;
use super::url::{BadUrl, CallbackUrl, Host};

/// Time for all of it, from the question who is allowed to the answer's head (SRL-10).
const PATIENCE: Duration = Duration::from_secs(2);
/// Callbacks being asked at once; more wait, within their time.
pub(super) const ASKED_MAX: usize = 64;
/// Those of one customer: a slow server of his leaves the others room.
pub(super) const ASKED_BY_CUSTOMER_MAX: usize = 8;
/// Customers remembered beyond those who are asking.
const CUSTOMERS_MAX: usize = 1_024;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Largest head of an answer, and the most that is read of it.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Who asks.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("storage-center/", env!("CARGO_PKG_VERSION")));

/// Asks customers' servers whether an object may be served.
pub struct Callbacks<D> {
    directory: Arc<D>,
    /// Networks that may be asked though they are not on the open Internet.
    permitted: Vec<IpNetwork>,
    tls: TlsConnector,
    slots: Arc<Semaphore>,
    slots_of: Mutex<HashMap<CustomerId, Arc<Semaphore>>>,
}

/// Why nobody said yes. For the log alone: whoever fetches is told nothing of it.
#[derive(Debug, Error)]
enum Denied {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error("the directory manager cannot say on which hosts his callbacks may lie: {0}")]
    Directory(String),
    #[error("the host is not among his; see `storage-center customer callback-hosts`")]
    Host,
    #[error("the host's name is not known: {0}")]
    Name(io::Error),
    #[error("the host is at no address that may be asked; see dosm.callback_networks")]
    Address,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no server name for TLS: {0}")]
    ServerName(#[from] InvalidDnsNameError),
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("no request can be made of it: {0}")]
    Request(#[from] http::Error),
    #[error("no answer within {PATIENCE:?}")]
    Late,
    #[error("its answer is {0}")]
    Status(StatusCode),
    #[error("stopping")]
    Stopping,
}

impl<D: Directory> Callbacks<D> {
    /// Of this directory's customers, by the public authorities' certificates.
    ///
    /// # Errors
    /// TLS cannot be used.
    pub fn new(directory: Arc<D>, permitted: Vec<IpNetwork>) -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::trusting(directory, permitted, roots)
    }

    pub(super) fn trusting(
        directory: Arc<D>,
        permitted: Vec<IpNetwork>,
        roots: RootCertStore,
    ) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            directory,
            permitted,
            tls: TlsConnector::from(Arc::new(config)),
            slots: Arc::new(Semaphore::new(ASKED_MAX)),
            slots_of: Mutex::default(),
        })
    }

    /// Whether the customer's server permits it: by a status of 2xx within two seconds, and by nothing else.
    pub async fn permit(&self, customer: CustomerId, url: &str) -> bool {
        let asked = timeout(PATIENCE, self.ask(customer, url)).await;
        let Err(reason) = asked.unwrap_or(Err(Denied::Late)) else { return true };
        // Neither path nor query: they may carry what is nobody's business.
        let at = url.parse().map_or_else(|_| String::new(), |url: CallbackUrl| url.authority());
        match reason {
            Denied::Status(status) => tracing::info!(%customer, at, %status, "a callback denied a download"),
            reason => tracing::warn!(%customer, at, %reason, "a callback could not be asked: denied"),
        }
        false
    }

    async fn ask(&self, customer: CustomerId, url: &str) -> Result<(), Denied> {
        let url: CallbackUrl = url.parse()?;
        let slot = self.slot(customer).await?;
        let hosts = self.directory.callback_hosts(customer).await.map_err(Denied::Directory)?;
        if !AllowedHosts::from_text(&hosts).allow(&url) {
            return Err(Denied::Host);
        }
        let found = resolve(&url, &slot).await.map_err(Denied::Name)?;
        let stream = self.connect(found, url.port).await?;
        let status = match url.is_tls {
            false => exchange(stream, &url).await?,
            true => {
                let name = server_name(&url.host)?;
                let stream = self.tls.connect(name, stream).await.map_err(Denied::Connect)?;
                exchange(stream, &url).await?
            }
        };
        if status.is_success() { Ok(()) } else { Err(Denied::Status(status)) }
    }

    /// One of the customer's, and then one of all.
    async fn slot(&self, customer: CustomerId) -> Result<Arc<Slot>, Denied> {
        let own = Arc::clone(&self.slots_of(customer)).acquire_owned().await;
        let own = own.map_err(|_| Denied::Stopping)?;
        let one = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Denied::Stopping)?;
        Ok(Arc::new(Slot { _own: own, _one: one }))
    }

    fn slots_of(&self, customer: CustomerId) -> Arc<Semaphore> {
        let mut slots_of = self.slots_of.lock().unwrap_or_else(PoisonError::into_inner);
        if slots_of.len() >= CUSTOMERS_MAX {
            slots_of.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        let slots = slots_of.entry(customer);
        Arc::clone(slots.or_insert_with(|| Arc::new(Semaphore::new(ASKED_BY_CUSTOMER_MAX))))
    }

    /// To exactly an address that was checked: the name is not looked up a second time.
    async fn connect(&self, found: Vec<IpAddr>, port: u16) -> Result<TcpStream, Denied> {
        let mut failed = Denied::Address;
        for address in found.into_iter().filter_map(|address| admit(address, &self.permitted)) {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Denied::Connect(error),
            }
        }
        Err(failed)
    }
}

impl<D> std::fmt::Debug for Callbacks<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks").field("permitted", &self.permitted).finish_non_exhaustive()
    }
}

/// The right to be asking, as long as anything of it goes on.
struct Slot {
    _own: OwnedSemaphorePermit,
    _one: OwnedSemaphorePermit,
}

/// The addresses of a host. A resolver that hangs cannot be ended, so it keeps its slot.
async fn resolve(url: &CallbackUrl, slot: &Arc<Slot>) -> io::Result<Vec<IpAddr>> {
    let name = match &url.host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name.clone(),
    };
    let (port, slot) = (url.port, Arc::clone(slot));
    let resolved = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let found = (name.as_str(), port).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
    });
    resolved.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, InvalidDnsNameError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()),
    }
}

/// Asks, and takes nothing of the answer but its status. The connection ends with it, and with what else is coming.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &CallbackUrl,
) -> Result<StatusCode, Denied> {
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
    Ok(answered?.status())
}
