//! All parts in one process: directory manager, object manager and storage node, joined by function calls.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    Addresses, Listening, Running, ServeError, beside, close_unused, collect, compare, drain_of, scrub,
    serve_control, settings, traffic, usage_log,
};
use crate::config::{Config, Http, Isn as IsnConfig, NotHere};
use crate::control::{Answer, Answering, Question, check};
use crate::dosm::cache::Cache;
use crate::dosm::{Authenticator, Callbacks, ObjectManager};
use crate::health::Health;
use crate::host;
use crate::isn::Isn;
use crate::local::{LocalCluster, LocalDirectory};
use crate::outbound::Getter;
use crate::reconcile::{Mode, reconcile};
use crate::router::Router;
use crate::vfs::{DirectoryManager, MetaStore, keep_house};

/// Everything a storage center keeps on disks, open.
pub struct Opened {
    /// Rows.
    pub vfs: MetaStore,
    /// Objects.
    pub isn: Isn,
}

/// Opens database and disks. If a disk had lost its index, its references are restored from the rows first.
pub async fn open(config: &Config) -> Result<Opened, ServeError> {
    let isn_config = isn_of(config)?;
    let vfs = MetaStore::open(config.vfs()?.engine()?).await?;
    let now = host::now_seconds();
    let isn = Isn::open(settings(isn_config), host::generator(), now).await?;
    if isn.lost_references() {
        let orphan_grace = isn_config.orphan_grace_seconds;
        let report = reconcile(&vfs, &isn, Mode::Repair, orphan_grace, now).await;
        let report = report.map_err(ServeError::Restore)?;
        tracing::warn!(restored = report.unheld, lost = report.lost, "references restored from the rows");
    }
    Ok(Opened { vfs, isn })
}

pub(super) async fn start(config: &Config) -> Result<Running, ServeError> {
    // Addresses first: a second process of the same configuration ends here and touches nothing.
    let listening = Listening::open(http_of(config)?).await?;
    let Opened { vfs, isn } = open(config).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    serve_control(config, answering(&vfs, &isn), &tasks, &stop)?;

    // The disks are at hand: nothing is copied, but files that were checked are sent from again.
    let cache = Cache::without_files(isn.clone());
    let cluster = Arc::new(LocalCluster::new(isn.clone(), Some(cache.clone())));
    let directories = Arc::new(DirectoryManager::new(vfs.clone(), Arc::clone(&cluster)));
    let directory = Arc::new(LocalDirectory::new(vfs.clone(), Arc::clone(&directories)));
    let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory)));
    let listening_for_changes = Arc::clone(&authenticator);
    beside(&tasks, &stop, async move { listening_for_changes.listen().await });
    let getter = Getter::new()?;
    let traffic = traffic(config, &getter, &tasks, &stop);
    let callbacks = Callbacks::new(Arc::clone(&directory), config.dosm.callback_networks.clone(), getter);
    let objects = ObjectManager::new(
        isn.clone(),
        cache.clone(),
        directory,
        Arc::clone(&authenticator),
        callbacks,
        usage_log(config)?,
    );
    let (draining, disks) = (CancellationToken::new(), isn.clone());
    let health = Health::new(draining.clone(), move || disks.gives_objects());
    let router = Arc::new(Router::new(
        Some(directories),
        Some(objects),
        authenticator,
        None,
        health,
        traffic,
        stop.clone(),
    ));
    let addresses = Addresses { http: listening.addresses.clone(), dosp: None };
    listening.serve(&router, &tasks, &stop);

    beside(&tasks, &stop, vfs.clone().watch_access());
    let house = (vfs.clone(), cluster);
    beside(&tasks, &stop, async move { keep_house(house.0, &*house.1, host::now).await });
    beside(&tasks, &stop, collect(isn.clone()));
    beside(&tasks, &stop, close_unused(cache));
    beside(&tasks, &stop, scrub(isn.clone(), isn_of(config)?.scrub_days));
    let orphan_grace = isn.settings().orphan_grace_seconds;
    beside(&tasks, &stop, compare(vfs, isn, orphan_grace));
    Ok(Running { addresses, draining, drain: drain_of(config), stop, tasks })
}

fn answering(vfs: &MetaStore, isn: &Isn) -> Answering {
    let (vfs, isn) = (vfs.clone(), isn.clone());
    Arc::new(move |question| {
        let (vfs, isn) = (vfs.clone(), isn.clone());
        Box::pin(async move {
            match question {
                Question::Check { mode, orphan_grace } => {
                    let orphan_grace = orphan_grace.unwrap_or(isn.settings().orphan_grace_seconds);
                    check(&vfs, &isn, mode, orphan_grace).await
                }
                Question::Status | Question::Drain { .. } | Question::Forget { .. } => {
                    Answer::failed("this storage center is one process and no cluster: there is no [cluster]")
                }
            }
        })
    })
}

fn http_of(config: &Config) -> Result<&Http, NotHere> {
    config.http.as_ref().ok_or(NotHere("an object manager (it has no [http])"))
}

fn isn_of(config: &Config) -> Result<&IsnConfig, NotHere> {
    config.isn.as_ref().ok_or(NotHere("a storage node (role isn)"))
}
