//! What committed changes leave to be done: references to release (VFS-18), folders to clear up, versions to remove when
//! their time is over.
//!
//! Runs as long as the center does. Stopping it at any moment loses nothing: the database knows what is left.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use protocol::id::Timestamp;

use super::cluster::Cluster;
use super::failure::Failure;
use super::store::MetaStore;

/// Releases at one time.
const RELEASES_AT_ONCE: usize = 16;
/// Releases taken and settled together.
const RELEASES_MAX: usize = 256;
/// How often to look without being told: finds what is due again after a failure.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after the database failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Keeps house until dropped. `clock` is the wall clock.
pub async fn keep<C: Cluster>(store: MetaStore, cluster: &C, clock: impl Fn() -> Timestamp) {
    loop {
        match step(&store, cluster, &clock).await {
            Ok(true) => {}
            // Not to be told is no failure: the next look is due anyway.
            Ok(false) => drop(tokio::time::timeout(LOOK_EVERY, store.work_left()).await),
            Err(failure) => {
                failure.into_vfs_error(); // Told to the log there.
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Does some of the work; whether there was any.
pub async fn step<C: Cluster>(
    store: &MetaStore,
    cluster: &C,
    clock: &impl Fn() -> Timestamp,
) -> Result<bool, Failure> {
    let swept = store.sweep(clock()).await? | store.expire(clock()).await?;
    let releases = store.releases_due(clock(), RELEASES_MAX).await?;
    if releases.is_empty() {
        return Ok(swept);
    }
    let settled = stream::iter(releases)
        .map(|release| async move {
            let done = cluster.release(release.customer, release.fingerprint, release.token).await;
            if let Err(error) = &done {
                tracing::warn!(fingerprint = %release.fingerprint, %error, "a reference is released later");
            }
            (release, done.is_ok())
        })
        .buffer_unordered(RELEASES_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    store.settle(settled, clock()).await?;
    Ok(true)
}
