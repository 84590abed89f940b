//! What a node does for the soundness of what it holds: reads objects against their digests (ISN-12), puts damaged ones
//! aside, and empties disks that are to be taken away.

use std::time::Duration;

use protocol::digest::{Content, Fingerprint};
use protocol::dosp::Reference;
use protocol::dosp::operations::Scrub;

use super::disk::{Disk, State};
use super::fault::DiskError;
use super::index::Change;
use super::node::{Isn, Mounted};
use super::verify::{ScrubCursor, Verified};
use crate::objects::{Unavailable, to_the_end};

/// Bytes a scrub reads at a time; others have the disk between two steps.
const STEP_BYTES: u64 = 8 << 20;
/// Shortest and longest pause between two steps.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What reading all copies of an object has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Copies that are as they should be.
    pub good: u32,
    /// Copies that were not, and were put aside.
    pub bad: u32,
}

impl Isn {
    /// Reads every copy of an object on the node against its digests; damaged ones are put aside, and their references
    /// wait for the next copy.
    pub async fn examine(&self, fingerprint: Fingerprint) -> Result<Examined, Unavailable> {
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(fingerprint).await;
            let mut examined = Examined::default();
            for mounted in isn.online() {
                match mounted.run_long(move |disk| disk.verify(fingerprint)).await {
                    Ok(Verified::Good) => examined.good += 1,
                    Ok(Verified::Bad) => examined.bad += 1,
                    Ok(Verified::Absent) => {}
                    Err(error) => return Err(Unavailable(error.to_string())),
                }
            }
            Ok(examined)
        })
        .await
    }

    /// Whether every disk that can be read is being emptied.
    pub fn is_draining(&self) -> bool {
        let mut readable =
            self.disks().iter().filter(|mounted| mounted.disk.state() != State::Offline).peekable();
        readable.peek().is_some() && readable.all(|mounted| mounted.disk.draining())
    }

    /// Begins or ends to empty a disk, or all.
    ///
    /// # Errors
    /// There is no such disk, or it cannot be written.
    pub async fn set_draining(&self, disk: Option<u32>, is_on: bool) -> Result<(), Unavailable> {
        let chosen = |number: u32| disk.is_none_or(|disk| disk == number);
        let disks: Vec<Mounted> = self.disks().to_vec();
        let mut is_any = false;
        for mounted in (0..).zip(disks).filter(|(number, _)| chosen(*number)).map(|(_, mounted)| mounted) {
            is_any = true;
            let marked = mounted.run(move |disk| disk.set_draining(is_on)).await;
            marked.map_err(|error| Unavailable(error.to_string()))?;
        }
        if is_any { Ok(()) } else { Err(Unavailable("this node has no such disk".to_string())) }
    }

    /// Removes the copies of an object that are too many, with the references `known`; nothing if another reference has
    /// come since. For whoever knows that there are enough others, with these references. Whether they are gone.
    pub async fn part_with(&self, content: Content, known: Vec<Reference>) -> Result<bool, Unavailable> {
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(content.fingerprint).await;
            for mounted in isn.online() {
                let held = mounted.run(move |disk| disk.all_references_of(content.fingerprint)).await;
                let held = held.map_err(|error| Unavailable(error.to_string()))?;
                if !held.iter().all(|(reference, _)| known.contains(reference)) {
                    return Ok(false);
                }
            }
            for mounted in isn.online() {
                let gone = mounted.run(move |disk| disk.leave(content.fingerprint)).await;
                gone.map_err(|error| Unavailable(error.to_string()))?;
            }
            Ok(true)
        })
        .await
    }

    /// Removes the copies of an object from disks that are being emptied. For whoever knows that there are enough others.
    pub async fn leave(&self, content: Content) -> Result<(), Unavailable> {
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(content.fingerprint).await;
            for mounted in isn.online().filter(|mounted| mounted.disk.draining()) {
                let gone = mounted.run(move |disk| disk.leave(content.fingerprint)).await;
                gone.map_err(|error| Unavailable(error.to_string()))?;
            }
            Ok(())
        })
        .await
    }

    /// Reads all objects of all disks against their digests, so that each is read once in `round`, over and over. Runs
    /// until dropped. `now` is the wall clock, in seconds since the epoch.
    pub async fn scrub(&self, round: Duration, now: impl Fn() -> u64 + Send + Sync) {
        let disks = self.disks().iter().map(|mounted| self.scrub_disk(mounted.clone(), round, &now));
        futures::future::join_all(disks).await;
    }

    async fn scrub_disk(&self, mounted: Mounted, round: Duration, now: &(impl Fn() -> u64 + Send + Sync)) {
        loop {
            let mut state = Scrub { read: 0, damaged: 0, began: now(), ended: mounted.scrub().ended };
            let mut cursor: Option<ScrubCursor> = None;
            loop {
                mounted.set_scrub(state);
                tokio::time::sleep(pause(&mounted.disk, round)).await;
                match mounted.run_long(move |disk| disk.scrub(cursor, STEP_BYTES)).await {
                    Ok(step) => {
                        state.read += step.objects;
                        state.damaged += step.bad;
                        cursor = step.next;
                    }
                    Err(error) => {
                        tracing::warn!(disk = %mounted.disk.root().display(), %error, "objects are read later");
                        tokio::time::sleep(PAUSE_MAX).await;
                        continue;
                    }
                }
                for suspect in mounted.disk.take_suspects() {
                    if let Err(error) = self.examine(suspect).await {
                        tracing::warn!(object = %suspect, %error, "a suspect copy is examined later");
                    }
                }
                if cursor.is_none() {
                    break;
                }
            }
            state.ended = now();
            mounted.set_scrub(state);
        }
    }
}

/// So that a round takes its time: what is used of the disk now, in steps.
fn pause(disk: &Disk, round: Duration) -> Duration {
    let used = disk.bytes_total().saturating_sub(disk.bytes_free());
    let steps = u32::try_from(used.div_ceil(STEP_BYTES)).unwrap_or(u32::MAX).max(1);
    (round / steps).clamp(PAUSE_MIN, PAUSE_MAX)
}

impl Disk {
    /// Removes a copy that is counted on no more, with its references here.
    fn leave(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        let held = self.all_references_of(fingerprint)?;
        let changes = held.into_iter().map(|(reference, _)| Change::Leave { reference }).collect();
        self.committer.commit(changes)?;
        // Also one without any reference whose grace is not over: an upload that broke off left it.
        self.unlink(fingerprint, u64::MAX).map(drop)
    }
}
