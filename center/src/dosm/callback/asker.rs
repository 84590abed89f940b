//! Asks a callback: the part that has sockets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use ipnetwork::IpNetwork;
use protocol::id::CustomerId;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::super::directory::Directory;
use super::address::admit;
use super::hosts::AllowedHosts;
use crate::outbound::{BadUrl, GetError, Getter, Host, WebUrl};

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

/// Asks customers' servers whether an object may be served.
pub struct Callbacks<D> {
    directory: Arc<D>,
    /// Networks that may be asked though they are not on the open Internet.
    permitted: Vec<IpNetwork>,
    getter: Getter,
    slots: Arc<Semaphore>,
    slots_of: Mutex<HashMap<CustomerId, Arc<Semaphore>>>,
}

/// Why nobody said yes. For the log alone: whoever fetches is told nothing of it.
#[derive(Debug, Error)]
enum Denied {
    #[error("the URL is refused: {0}")]
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
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("no answer within {PATIENCE:?}")]
    Late,
    #[error("its answer is {0}")]
    Status(StatusCode),
    #[error("stopping")]
    Stopping,
}

impl<D: Directory> Callbacks<D> {
    /// Of this directory's customers, who may have these networks asked besides the open Internet.
    pub fn new(directory: Arc<D>, permitted: Vec<IpNetwork>, getter: Getter) -> Self {
        let slots = Arc::new(Semaphore::new(ASKED_MAX));
        Self { directory, permitted, getter, slots, slots_of: Mutex::default() }
    }

    /// Whether the customer's server permits it: by a status of 2xx within two seconds, and by nothing else.
    pub async fn permit(&self, customer: CustomerId, url: &str) -> bool {
        let asked = timeout(PATIENCE, self.ask(customer, url)).await;
        let Err(reason) = asked.unwrap_or(Err(Denied::Late)) else { return true };
        // Neither path nor query: they may carry what is nobody's business.
        let at = url.parse().map_or_else(|_| String::new(), |url: WebUrl| url.authority());
        match reason {
            Denied::Status(status) => tracing::info!(%customer, at, %status, "a callback denied a download"),
            reason => tracing::warn!(%customer, at, %reason, "a callback could not be asked: denied"),
        }
        false
    }

    async fn ask(&self, customer: CustomerId, url: &str) -> Result<(), Denied> {
        let url: WebUrl = url.parse()?;
        let slot = self.slot(customer).await?;
        let hosts = self.directory.callback_hosts(customer).await.map_err(Denied::Directory)?;
        if !AllowedHosts::from_text(&hosts).allow(&url) {
            return Err(Denied::Host);
        }
        let found = resolve(&url, &slot).await.map_err(Denied::Name)?;
        let stream = self.connect(found, url.port).await?;
        let status = self.getter.get(stream, &url).await?.status;
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
async fn resolve(url: &WebUrl, slot: &Arc<Slot>) -> io::Result<Vec<IpAddr>> {
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
