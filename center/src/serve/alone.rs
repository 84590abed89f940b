//! All parts in one process: directory manager, object manager and storage node, joined by function calls.

use std::sync::Arc;
use std::time::Instant;

use page_server::page::event_log::EventLog;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    Addresses, Listening, Running, ServeError, beside, close_unused, collect, compare, drain_of, open_cache,
    scrub, serve_operators, settings, traffic, usage_log,
};
use crate::bucket::{self, Bucket};
use crate::cluster::status::ClusterStatus;
use crate::config::{Config, Http, Isn as IsnConfig, NotHere, S3};
use crate::control::{Answer, Answering, Question, check};
use crate::dosm::cache::Cache;
use crate::dosm::{Authenticator, Callbacks, ObjectManager};
use crate::exposition::{self, Exposition};
use crate::health::Health;
use crate::host;
use crate::isn::Isn;
use crate::local::{LocalCluster, LocalDirectory, LocalNode};
use crate::outbound::Getter;
use crate::reconcile::{Mode, reconcile};
use crate::router::Router;
use crate::vfs::{DirectoryManager, MetaStore, keep_house};

/// The directory, which no other center mirrors.
async fn open_plain(config: &Config) -> Result<MetaStore, ServeError> {
    let vfs = config.vfs()?;
    Ok(MetaStore::open(vfs.engine()?).await?.keeping(vfs.retention()))
}

/// Rows, and a node that keeps objects on disks, open. If a disk had lost its index, its references are restored from
/// the rows first.
async fn open_disks(config: &Config) -> Result<(MetaStore, Isn), ServeError> {
    let isn_config = isn_of(config)?;
    let vfs = open_plain(config).await?;
    let now = host::now_seconds();
    let isn = Isn::open(settings(isn_config), host::generator(), now).await?;
    if isn.lost_references() {
        let orphan_grace = isn_config.orphan_grace_seconds;
        let report = reconcile(&vfs, &isn, Mode::Repair, orphan_grace, now).await;
        let report = report.map_err(ServeError::Restore)?;
        tracing::warn!(restored = report.unheld, lost = report.lost, "references restored from the rows");
    }
    Ok((vfs, isn))
}

/// Rows, and a node that keeps objects in a bucket, open.
async fn open_bucket(config: &Config, s3: &S3) -> Result<(MetaStore, Bucket), ServeError> {
    let isn_config = isn_of(config)?;
    let vfs = open_plain(config).await?;
    let settings = bucket::Settings {
        cluster: isn_config.cluster.clone(),
        node: isn_config.node,
        unlink_grace_seconds: isn_config.unlink_grace_seconds,
        orphan_grace_seconds: isn_config.orphan_grace_seconds,
        part_bytes: bucket::PART_BYTES,
    };
    let store = bucket::connect(s3).map_err(bucket::OpenError::from)?;
    let opened = Bucket::open(store, settings, host::generator()).await?;
    Ok((vfs, opened))
}

/// Compares rows and references while no process serves them.
pub async fn check_stopped(
    config: &Config,
    mode: Mode,
    orphan_grace: Option<u64>,
) -> Result<Answer, ServeError> {
    let isn_config = isn_of(config)?;
    let orphan_grace = orphan_grace.unwrap_or(isn_config.orphan_grace_seconds);
    Ok(match &isn_config.s3 {
        None => {
            let (vfs, isn) = open_disks(config).await?;
            check(&vfs, &isn, mode, orphan_grace).await
        }
        Some(s3) => {
            let (vfs, bucket) = open_bucket(config, s3).await?;
            check(&vfs, &bucket, mode, orphan_grace).await
        }
    })
}

pub(super) async fn start(config: &Config, events: EventLog) -> Result<Running, ServeError> {
    // Addresses first: a second process of the same configuration ends here and touches nothing.
    let listening = Listening::open(http_of(config)?).await?;
    match &isn_of(config)?.s3 {
        None => {
            let (vfs, isn) = open_disks(config).await?;
            // The disks are at hand: nothing is copied, but files that were checked are sent from again.
            let cache = Cache::without_files(isn.clone());
            let running = run(config, listening, vfs, isn.clone(), cache, events)?;
            beside(&running.tasks, &running.stop, scrub(isn, isn_of(config)?.scrub_days));
            Ok(running)
        }
        Some(s3) => {
            let (vfs, bucket) = open_bucket(config, s3).await?;
            let cache = open_cache(config, bucket.clone()).await;
            run(config, listening, vfs, bucket, cache, events)
        }
    }
}

fn run<N: LocalNode>(
    config: &Config,
    listening: Listening,
    vfs: MetaStore,
    node: N,
    cache: Cache<N>,
    events: EventLog,
) -> Result<Running, ServeError> {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let addresses = Addresses { http: listening.addresses.clone(), dosp: None };
    serve_operators(config, answering(config, &addresses, &vfs, &node)?, events, &tasks, &stop)?;

    let cluster = Arc::new(LocalCluster::new(node.clone(), Some(cache.clone())));
    let directories = Arc::new(DirectoryManager::new(vfs.clone(), Arc::clone(&cluster)));
    let directory = Arc::new(LocalDirectory::new(vfs.clone(), Arc::clone(&directories)));
    let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory)));
    let listening_for_changes = Arc::clone(&authenticator);
    beside(&tasks, &stop, async move { listening_for_changes.listen(host::now_seconds).await });
    let getter = Getter::new()?;
    let traffic = traffic(config, &getter, &tasks, &stop);
    let callbacks = Callbacks::new(Arc::clone(&directory), config.dosm.callback_networks.clone(), getter);
    let objects = ObjectManager::new(
        node.clone(),
        cache.clone(),
        directory,
        Arc::clone(&authenticator),
        callbacks,
        usage_log(config)?,
    );
    let (draining, giving) = (CancellationToken::new(), node.clone());
    let health = Health::new(draining.clone(), move || giving.gives_objects());
    let router = Arc::new(Router::new(
        Some(directories),
        Some(objects),
        authenticator,
        Some(exposition(node.clone(), cache.clone())),
        health,
        traffic,
        stop.clone(),
    ));
    listening.serve(&router, &tasks, &stop);

    beside(&tasks, &stop, vfs.clone().watch_access());
    let house = (vfs.clone(), cluster);
    beside(&tasks, &stop, async move { keep_house(house.0, &*house.1, host::now).await });
    beside(&tasks, &stop, collect(node.clone()));
    beside(&tasks, &stop, close_unused(cache));
    let orphan_grace = node.orphan_grace_seconds();
    beside(&tasks, &stop, compare(vfs, node, orphan_grace));
    Ok(Running { addresses, draining, drain: drain_of(config), stop, tasks })
}

/// What the process shows at `/metrics`.
fn exposition<N: LocalNode>(node: N, cache: Cache<N>) -> Exposition {
    let started = Instant::now();
    Arc::new(move || {
        let (node, cache) = (node.clone(), cache.clone());
        Box::pin(async move {
            let disks = node.reports().await;
            let page = exposition::process(exposition::page(), started.elapsed().as_secs(), &disks);
            exposition::cache(page, cache.figures()).into_text()
        })
    })
}

fn answering<N: LocalNode>(
    config: &Config,
    addresses: &Addresses,
    vfs: &MetaStore,
    node: &N,
) -> Result<Answering, NotHere> {
    let (vfs, node, number, started) = (vfs.clone(), node.clone(), isn_of(config)?.node, Instant::now());
    let address = addresses.http.first().map(ToString::to_string).unwrap_or_default();
    Ok(Arc::new(move |question| {
        let (vfs, node, address) = (vfs.clone(), node.clone(), address.clone());
        Box::pin(async move {
            match question {
                Question::Check { mode, orphan_grace } => {
                    let orphan_grace = orphan_grace.unwrap_or(node.orphan_grace_seconds());
                    check(&vfs, &node, mode, orphan_grace).await
                }
                Question::Status => {
                    let disks = node.reports().await;
                    let status = ClusterStatus::alone(number, address, started.elapsed(), disks);
                    match serde_json::to_string(&status) {
                        Ok(json) => Answer::done(json),
                        Err(error) => Answer::failed(error.to_string()),
                    }
                }
                Question::Mirror
                | Question::TakeOver { .. }
                | Question::Drain { .. }
                | Question::Forget { .. } => {
                    Answer::failed("this storage center is one process and no cluster: there is no [cluster]")
                }
            }
        })
    }))
}

fn http_of(config: &Config) -> Result<&Http, NotHere> {
    config.http.as_ref().ok_or(NotHere("an object manager (it has no [http])"))
}

fn isn_of(config: &Config) -> Result<&IsnConfig, NotHere> {
    config.isn.as_ref().ok_or(NotHere("a storage node (role isn)"))
}
