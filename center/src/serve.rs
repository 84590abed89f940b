//! The running storage center: opens everything, serves until told to stop, closes in order.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Isn as IsnConfig};
use crate::control;
use crate::dosm::cache::Cache;
use crate::dosm::{Authenticator, ObjectManager};
use crate::host;
use crate::http::{Limits, TlsError, acceptor, serve as serve_http};
use crate::isn::{Isn, OpenError, Settings};
use crate::local::{LocalCluster, LocalDirectory};
use crate::reconcile::{Mode, reconcile};
use crate::router::Router;
use crate::vfs::{DirectoryManager, MetaStore, StoreError, keep_house};

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
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    /// References could not be restored.
    #[error("a disk's index was lost and its references cannot be restored from the rows: {0}")]
    Restore(String),
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
}

/// Everything a storage center keeps on disks, open.
pub struct Opened {
    /// Rows.
    pub vfs: MetaStore,
    /// Objects.
    pub isn: Isn,
}

/// Opens database and disks. If a disk had lost its index, its references are restored from the rows first.
pub async fn open(config: &Config) -> Result<Opened, ServeError> {
    let vfs = MetaStore::open(&config.vfs.database)?;
    let now = host::now_seconds();
    let isn = Isn::open(settings(&config.isn), host::generator(), now).await?;
    if isn.lost_references() {
        let report = reconcile(&vfs, &isn, Mode::Repair, now).await.map_err(ServeError::Restore)?;
        tracing::warn!(restored = report.unheld, lost = report.lost, "references restored from the rows");
    }
    Ok(Opened { vfs, isn })
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

/// Serves until SIGTERM or SIGINT. `ready` is told the addresses, once all of them answer.
pub async fn serve(config: &Config, ready: impl FnOnce(&[SocketAddr])) -> Result<(), ServeError> {
    raise_file_limit();
    let tls = match (&config.http.certificate, &config.http.key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    // Addresses first: a second process of the same configuration ends here and touches nothing.
    let (listeners, addresses) = listen(&config.http.listen).await?;
    let Opened { vfs, isn } = open(config).await?;
    let path = config.control_socket();
    let control = control::bind(&path).map_err(|error| ServeError::Control { path, error })?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let cache = Cache::without_files(isn.clone());
    let cluster = Arc::new(LocalCluster::new(isn.clone(), Some(cache.clone())));
    let router = Arc::new(assemble(&vfs, &isn, cache.clone(), &cluster, &stop));
    let limits = Limits {
        connections_max: config.http.connections_max,
        head_timeout: HEAD_TIMEOUT,
        stall_timeout: STALL_TIMEOUT,
    };
    for listener in listeners {
        tasks.spawn(serve_http(listener, tls.clone(), Arc::clone(&router), limits, stop.clone()));
    }
    tasks.spawn(control::serve(control, vfs.clone(), isn.clone(), stop.clone()));
    let house = (vfs.clone(), Arc::clone(&cluster));
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        keep_house(house.0, &*house.1, host::now).await;
    }));
    tasks.spawn(stop.clone().run_until_cancelled_owned(collect(isn.clone())));
    tasks.spawn(stop.clone().run_until_cancelled_owned(close_unused(cache)));
    tasks.spawn(stop.clone().run_until_cancelled_owned(compare(vfs, isn)));
    ready(&addresses);

    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(ServeError::Signal)?,
    }
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn assemble(
    vfs: &MetaStore,
    isn: &Isn,
    cache: Cache<Isn>,
    cluster: &Arc<LocalCluster>,
    stop: &CancellationToken,
) -> Router {
    let directories = Arc::new(DirectoryManager::new(vfs.clone(), Arc::clone(cluster)));
    let directory = Arc::new(LocalDirectory::new(vfs.clone(), Arc::clone(&directories)));
    let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory)));
    let objects = ObjectManager::new(isn.clone(), cache, directory, Arc::clone(&authenticator));
    Router::new(directories, objects, authenticator, stop.clone())
}

/// A connection and the objects it reads are open files; the usual limit of 1,024 is soft.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

async fn listen(addresses: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), ServeError> {
    let (mut listeners, mut bound) = (Vec::new(), Vec::new());
    for &address in addresses {
        let failed = |error| ServeError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        bound.push(listener.local_addr().map_err(failed)?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

/// Unlinks what has had no reference for its grace (REF-2).
async fn collect(isn: Isn) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        match isn.collect(host::now_seconds()).await {
            Ok(0) => {}
            Ok(unlinked) => tracing::info!(unlinked, "copies of objects nobody refers to removed"),
            Err(error) => tracing::warn!(%error, "objects nobody refers to are removed later"),
        }
    }
}

/// Closes files nobody asks for, so that those of removed objects give back their space.
async fn close_unused(cache: Cache<Isn>) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        cache.close_unused(host::now_seconds());
    }
}

/// Compares rows and references (REF-4).
async fn compare(vfs: MetaStore, isn: Isn) {
    tokio::time::sleep(RECONCILE_FIRST).await;
    loop {
        match reconcile(&vfs, &isn, Mode::Repair, host::now_seconds()).await {
            Ok(report) => tracing::info!(?report, "rows and references compared"),
            Err(error) => tracing::warn!(error, "rows and references are compared later"),
        }
        tokio::time::sleep(RECONCILE_EVERY).await;
    }
}
