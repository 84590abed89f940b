//! What a node does beside serving: unlinks what nobody holds, and compares its names with its indexes.

use futures::{StreamExt, stream};
use protocol::digest::Fingerprint;

use super::node::{Isn, JOBS_PER_DISK, Mounted, PAGE};
use super::scan::scan;
use crate::objects::{Unavailable, to_the_end};
use crate::reconcile::Scanned;

impl Isn {
    /// Unlinks what has had no reference for its grace (REF-2), and forgets old releases. Answers how many copies it
    /// unlinked.
    pub async fn collect(&self, now: u64) -> Result<u64, Unavailable> {
        let mut unlinked = 0;
        for mounted in self.online() {
            let swept = mounted.run(move |disk| disk.sweep_releases(now)).await;
            swept.map_err(|error| Unavailable(error.to_string()))?;
            loop {
                let due = mounted.run(move |disk| Ok(disk.index().unlinkable(now, PAGE)?)).await;
                let due = due.map_err(|error| Unavailable(error.to_string()))?;
                let last_page = due.len() < PAGE;
                let unlink = |fingerprint| self.unlink(mounted.clone(), fingerprint, now);
                let mut unlinking = stream::iter(due).map(unlink).buffer_unordered(JOBS_PER_DISK);
                while let Some(gone) = unlinking.next().await {
                    unlinked += u64::from(gone?);
                }
                if last_page {
                    break;
                }
            }
        }
        Ok(unlinked)
    }

    async fn unlink(
        &self,
        mounted: Mounted,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<bool, Unavailable> {
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(fingerprint).await;
            let gone = mounted.run(move |disk| disk.unlink(fingerprint, now)).await;
            gone.map_err(|error| Unavailable(error.to_string()))
        })
        .await
    }

    /// Compares the names on all disks with their indexes (ISN-2).
    pub async fn scan(&self, now: u64) -> Result<Scanned, Unavailable> {
        let unlink_from = now.saturating_add(self.node.settings.orphan_grace_seconds);
        let mut sum = Scanned::default();
        for mounted in self.online() {
            let scanned = mounted.run_long(move |disk| scan(disk, unlink_from)).await;
            let scanned = scanned.map_err(|error| Unavailable(error.to_string()))?;
            sum.objects += scanned.objects;
            sum.found += scanned.found;
            sum.lost += scanned.lost;
        }
        self.note_scan();
        Ok(sum)
    }
}
