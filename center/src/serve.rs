//! The running storage center: opens everything, serves until told to stop, closes in order.
//!
//! [`alone`] is one process that plays all parts without a socket between them, [`clustered`] one of several.

mod alone;
mod clustered;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use page_server::page::event_log::EventLog;
use rustix::process::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bucket;
use crate::cluster::transport::IdentityError;
use crate::config::{Config, Http, Isn as IsnConfig, NotHere};
use crate::control::{self, Answering};
use crate::dosm::UsageLog;
use crate::dosm::cache::{Cache, Settings as CacheSettings};
use crate::host;
use crate::http::{Handler, Limits, TlsError, acceptor, serve as serve_http};
use crate::isn::{Isn, OpenError, Settings};
use crate::local::LocalNode;
use crate::objects::Objects;
use crate::outbound::Getter;
use crate::reconcile::{Holders, Mode, reconcile};
use crate::status_page::StatusPage;
use crate::traffic::{Traffic, watch};
use crate::vfs::mirror::Keep;
use crate::vfs::{MetaStore, StoreError};

pub use alone::check_stopped;

/// Longest time for a request's head to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time in which a client reads nothing of its answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often objects without a reference are unlinked.
const COLLECT_EVERY: Duration = Duration::from_secs(30);
/// How soon after the start, and how often, rows and references are compared (REF-4).
const RECONCILE_FIRST: Duration = Duration::from_secs(600);
const RECONCILE_EVERY: Duration = Duration::from_secs(86_400);

/// Why the storage center did not start. One line each: what, and how to mend it.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The directory database.
    #[error(transparent)]
    Vfs(#[from] StoreError),
    /// A disk.
    #[error(transparent)]
    Disk(#[from] OpenError),
    /// A bucket.
    #[error(transparent)]
    Bucket(#[from] bucket::OpenError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A part that another process plays.
    #[error(transparent)]
    NotHere(#[from] NotHere),
    /// An address.
    #[error("cannot listen on {address}: {error}; choose another address or end the process that has it")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The control socket.
    #[error("cannot make the control socket {path}: {error}; set `control` to another path")]
    Control {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The cluster's key.
    #[error(
        "cluster.key_file {path}: {reason}; make one with `storage-center cluster key` and give it to every process"
    )]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The witness's file.
    #[error(
        "witness.state {path}: {error}; name a file that this process may write, and that only a witness wrote"
    )]
    Witness {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The usage log.
    #[error("dosm.usage_log {path}: {error}; name a file that this process may write")]
    UsageLog {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// TLS between centers.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS towards servers that are not of this storage center.
    #[error("TLS cannot be used to ask other servers: {0}")]
    Outbound(#[from] rustls::Error),
    /// References could not be restored.
    #[error("a disk's index was lost and its references cannot be restored from the rows: {0}")]
    Restore(String),
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
}

/// Addresses a process serves, by what is spoken there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// DOSP.
    pub dosp: Option<SocketAddr>,
}

/// Serves until SIGTERM or SIGINT; `events` keeps what is worth knowing of the log. `ready` is told the addresses, once
/// all of them answer.
pub async fn serve(
    config: &Config,
    events: EventLog,
    ready: impl FnOnce(&Addresses),
) -> Result<(), ServeError> {
    raise_file_limit();
    let terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let center = match &config.cluster {
        None => alone::start(config, events).await?,
        Some(cluster) => clustered::start(config, cluster, events).await?,
    };
    ready(&center.addresses);
    center.run_until(terminate).await
}

/// A started storage center, or one part of it.
struct Running {
    addresses: Addresses,
    /// Tells balancers to send nothing more.
    draining: CancellationToken,
    /// How long they have to notice.
    drain: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    async fn run_until(self, mut terminate: Signal) -> Result<(), ServeError> {
        told_to_stop(&mut terminate).await?;
        self.draining.cancel();
        if !self.drain.is_zero() {
            tracing::info!(seconds = self.drain.as_secs(), "no more requests wanted: stopping soon");
            // Whoever says it a second time has no balancer to wait for.
            if let Ok(told) = timeout(self.drain, told_to_stop(&mut terminate)).await {
                told?;
            }
        }
        tracing::info!("stopping");
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        Ok(())
    }
}

async fn told_to_stop(terminate: &mut Signal) -> Result<(), ServeError> {
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(ServeError::Signal),
    }
}

/// The other storage centers, watched, where there are some.
fn traffic(
    config: &Config,
    getter: &Getter,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Option<Traffic> {
    let traffic = Traffic::new(config.traffic.as_ref()?);
    watch(&traffic, getter, tasks, stop);
    Some(traffic)
}

/// How long the process goes on serving after it was told to stop.
fn drain_of(config: &Config) -> Duration {
    Duration::from_secs(config.http.as_ref().map_or(0, |http| http.drain_seconds))
}

/// HTTP listeners, open and not yet served.
struct Listening {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

impl Listening {
    async fn open(http: &Http) -> Result<Self, ServeError> {
        let tls = match (&http.certificate, &http.key) {
            (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
            _ => None,
        };
        let limits = Limits {
            connections_max: http.connections_max,
            head_timeout: HEAD_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
        };
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for &address in &http.listen {
            let (listener, bound) = listen(address).await?;
            listeners.push(listener);
            addresses.push(bound);
        }
        Ok(Self { listeners, addresses, tls, limits })
    }

    fn serve<H: Handler>(self, handler: &Arc<H>, tasks: &TaskTracker, stop: &CancellationToken) {
        for listener in self.listeners {
            let handler = Arc::clone(handler);
            tasks.spawn(serve_http(listener, self.tls.clone(), handler, self.limits, stop.clone()));
        }
    }
}

/// Opens the directory database of this configuration, as one of several where it is mirrored.
pub async fn open_directory(config: &Config) -> Result<MetaStore, ServeError> {
    let vfs = config.vfs()?;
    let store = MetaStore::open_mirrored(vfs.engine()?, config.mirror_names(), Keep::default()).await?;
    Ok(store.keeping(vfs.retention()))
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |error| ServeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The control socket, and the page that shows what it answers.
fn serve_operators(
    config: &Config,
    answering: Answering,
    events: EventLog,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    let path = config.control_socket();
    let control = control::bind(&path).map_err(|error| ServeError::Control { path, error })?;
    if let Some(page) = &config.status_page {
        let tls = match (&page.certificate, &page.key) {
            (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
            _ => None,
        };
        let page = StatusPage::new(page.listen, tls, Arc::clone(&answering), events);
        beside(tasks, stop, page.run());
    }
    tasks.spawn(control::serve(control, answering, stop.clone()));
    Ok(())
}

/// Runs `work` beside the service, until it stops.
fn beside(tasks: &TaskTracker, stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(stop.clone().run_until_cancelled_owned(work));
}

fn settings(config: &IsnConfig) -> Settings {
    Settings {
        cluster: config.cluster.clone(),
        node: config.node,
        disks: config.disks.clone(),
        reserve_bytes: config.reserve_bytes,
        unlink_grace_seconds: config.unlink_grace_seconds,
        orphan_grace_seconds: config.orphan_grace_seconds,
    }
}

/// A connection and the objects it reads are open files; the usual limit of 1,024 is soft.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

/// Removes what has had no reference for its grace (REF-2).
async fn collect<N: LocalNode>(node: N) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        match node.collect(host::now_seconds()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "copies of objects nobody refers to removed"),
            Err(error) => tracing::warn!(%error, "objects nobody refers to are removed later"),
        }
    }
}

/// Reads every object against its digests, once in so many days (ISN-12).
async fn scrub(isn: Isn, days: NonZeroU32) {
    isn.scrub(Duration::from_secs(86_400).saturating_mul(days.get()), host::now_seconds).await;
}

/// The object manager's data cache in front of these objects, with a directory if one is configured.
async fn open_cache<O: Objects>(config: &Config, objects: O) -> Cache<O> {
    let dosm = &config.dosm;
    match &dosm.cache_dir {
        None => Cache::without_files(objects),
        Some(directory) => {
            let settings = CacheSettings { directory: directory.clone(), bytes_max: dosm.cache_bytes };
            Cache::open(settings, objects).await
        }
    }
}

/// Closes files nobody asks for, so that those of removed objects give back their space.
async fn close_unused<O: Objects>(cache: Cache<O>) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        cache.close_unused(host::now_seconds());
    }
}

/// The usage log, where one is wanted.
fn usage_log(config: &Config) -> Result<Option<UsageLog>, ServeError> {
    let Some(path) = &config.dosm.usage_log else { return Ok(None) };
    let opened = UsageLog::open(path);
    opened.map(Some).map_err(|error| ServeError::UsageLog { path: path.clone(), error })
}

/// Compares rows and references (REF-4).
async fn compare<H: Holders>(vfs: MetaStore, holders: H, orphan_grace: u64) {
    tokio::time::sleep(RECONCILE_FIRST).await;
    loop {
        match reconcile(&vfs, &holders, Mode::Repair, orphan_grace, host::now_seconds()).await {
            Ok(report) => tracing::info!(?report, "rows and references compared"),
            Err(error) => tracing::warn!(error, "rows and references are compared later"),
        }
        tokio::time::sleep(RECONCILE_EVERY).await;
    }
}
