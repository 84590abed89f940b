//! Accepts connections and gives each to whom it is for: plain ones to the reactors, those under TLS to hyper.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::head::Head;
use super::reactor::Reactors;
use super::{fast, slow};
use crate::dosm::Body;
use crate::dosm::cache::Piece;

/// Longest time for a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Pause after accept fails for want of descriptors: the next attempt would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Largest head of a request.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long open requests may take to end when the server stops.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// Bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Longest time for a request's head to come, waiting for the next request included.
    pub head_timeout: Duration,
    /// Longest time in which a client reads nothing of its answer.
    pub stall_timeout: Duration,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer that is at hand.
    type Payload: Payload;

    /// Always answers, if only with an error. `peer` is who the connection is with.
    fn answer(&self, request: Request<Incoming>, peer: IpAddr)
    -> impl Future<Output = Response<Body>> + Send;

    /// What [`Self::answer`] would answer to a GET or HEAD, if that can be said at once: appends status line and header
    /// fields, without those of the connection, the date and the empty line. If there is no such answer, nothing it
    /// appended is used.
    fn at_hand(&self, head: &Head<'_>, peer: IpAddr, output: &mut Vec<u8>) -> Option<Self::Payload>;
}

/// The body of an answer, taken piece by piece.
pub trait Payload: Send + 'static {
    /// Bytes still to come.
    fn left(&self) -> u64;

    /// Appends all that is to come, if that can be done without waiting. For small bodies.
    fn append_rest(&mut self, output: &mut Vec<u8>) -> bool;

    /// The next bytes, if they lie in a file and can be sent from there without waiting for a disk.
    fn next_in_file(&mut self) -> Option<Piece>;

    /// So many bytes of the piece were sent.
    fn advance(&mut self, bytes: u64);

    /// The next bytes, wherever they must be fetched from; `None` if that fails.
    fn next_in_memory(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// What all connections of a listener share.
pub(super) struct Shared<H> {
    pub handler: Arc<H>,
    pub limits: Limits,
    pub stop: CancellationToken,
    /// Where the handler's work belongs.
    pub runtime: Handle,
}

/// Serves until `stop`, then lets open requests end. What the handler starts runs in the caller's runtime.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    limits: Limits,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let reactors = if tls.is_none() { start_reactors() } else { None };
    let shared = Arc::new(Shared { handler, limits, stop: stop.clone(), runtime: Handle::current() });
    while let Some((stream, peer, slot)) = next(&listener, &slots, &stop).await {
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        // Small answers leave at once.
        let _ = stream.set_nodelay(true);
        let serve = async move {
            let _slot = slot;
            match tls {
                None => converse(stream, peer, &shared).await,
                Some(tls) => {
                    // A failed handshake is the client's affair.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                        slow::converse(stream, peer, Bytes::new(), &shared).await;
                    }
                }
            }
        };
        match &reactors {
            Some(reactors) => reactors.serve(&connections, serve),
            None => _ = connections.spawn(serve),
        }
    }
    connections.close();
    if tokio::time::timeout(FAREWELL_MAX, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut off at the end");
    }
}

fn start_reactors() -> Option<Reactors> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    match Reactors::start(count) {
        Ok(reactors) => Some(reactors),
        Err(error) => {
            tracing::warn!(%error, "no threads of their own for connections: the others serve them too");
            None
        }
    }
}

/// To be polled where the connection is to be served.
async fn converse<H: Handler>(stream: TcpStream, peer: IpAddr, shared: &Shared<H>) {
    // Its events are to wake the thread that serves it.
    match stream.into_std().and_then(TcpStream::from_std) {
        Ok(stream) => fast::converse(stream, peer, shared).await,
        Err(error) => tracing::warn!(%error, "cannot serve a connection"),
    }
}

/// The next connection, who it is with, and its slot; `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let accept = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer.ip(), slot)),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => None,
        accepted = accept => accepted,
    }
}
