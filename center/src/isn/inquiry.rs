//! What other processes of a cluster ask of a node: what is here, who holds it, and the open file itself.

use std::fs::File;
use std::time::Duration;

use futures::future::join_all;
use protocol::digest::{BlockDigests, Content, Fingerprint};
use protocol::dosp::heartbeat::{DiskLoad, DiskState};
use protocol::dosp::operations::{DiskReport, Presence};
use protocol::id::CustomerId;
use tokio::time::timeout;

use super::disk::{Disk, DiskStatus, State};
use super::fault::DiskError;
use super::node::{Isn, Mounted};
use super::object::StoredObject;
use crate::objects::{FetchError, Unavailable};
use protocol::dosp::Reference;

/// How long a report waits for a disk, which may hang: whoever asked is to be told of it.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// An object on one of the node's disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Which.
    pub content: Content,
    /// The disk's number in the node.
    pub disk: u32,
    /// The disk is being emptied: the copy is good to read, and none to count on.
    pub leaving: bool,
}

/// An object's file, open to be sent as it is: its bytes have not been checked.
#[derive(Debug)]
pub struct Opened {
    /// What it shall be.
    pub content: Content,
    /// Its block digests, checked.
    pub blocks: BlockDigests,
    /// Its bytes.
    pub file: File,
    /// The disk it lies on, whose threads read it.
    pub mounted: Mounted,
}

impl Isn {
    /// Which of these objects are here, each on one disk of those it lies on. The names on the disks are the truth
    /// (ISN-2): what somebody put there by hand is found as well, and from then on known (SYS-3).
    pub async fn locate(&self, ids: &[Fingerprint], now: u64) -> Vec<Copy> {
        let unlink_from = now.saturating_add(self.settings().orphan_grace_seconds);
        let search = |(number, mounted): (u32, Mounted)| {
            let ids = ids.to_vec();
            async move {
                let found = mounted.run(move |disk| {
                    ids.into_iter().map(|id| disk.discover(id, unlink_from)).collect::<Result<Vec<_>, _>>()
                });
                // A disk that fails has nothing to offer.
                let found = found.await.unwrap_or_default();
                let leaving = mounted.disk.draining();
                let copy = |content| Copy { content, disk: number, leaving };
                found.into_iter().flatten().map(copy).collect::<Vec<_>>()
            }
        };
        let numbered = self.readable_numbered();
        let mut found: Vec<Copy> = join_all(numbered.map(search)).await.into_iter().flatten().collect();
        // Of two copies of one object, the one that stays.
        found.sort_by_key(|copy| (copy.content.fingerprint, copy.leaving));
        found.dedup_by_key(|copy| copy.content.fingerprint);
        found
    }

    /// Whether the customer has any reference to the object on this node, object or not.
    ///
    /// # Errors
    /// None was found, and not every disk could be asked.
    pub async fn is_entitled(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
    ) -> Result<bool, Unavailable> {
        let held = move |disk: &Disk| Ok(disk.customer_holds(customer, fingerprint)?.then_some(0));
        let is_held = self.latest(held).await?.is_some();
        if !is_held && self.lacks_a_disk() {
            return Err(Unavailable("a disk of the node is out of use".to_string()));
        }
        Ok(is_held)
    }

    /// Opens the file of an object for a customer who has a reference to it, or for the cluster itself.
    ///
    /// # Errors
    /// `NotFound` if it is on no disk, `Unavailable` if one could not be asked, or cannot give it.
    pub async fn open_file(
        &self,
        customer: Option<CustomerId>,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<Opened, FetchError> {
        if let Some(customer) = customer
            && fingerprint != Content::EMPTY.fingerprint
            && !self.is_entitled(customer, fingerprint).await.map_err(|_| FetchError::Unavailable)?
        {
            return Err(FetchError::NotFound);
        }
        let unlink_from = now.saturating_add(self.settings().orphan_grace_seconds);
        let mut failed = false;
        for mounted in self.readable().cloned().collect::<Vec<_>>() {
            let open = move |disk: &Disk| {
                disk.discover(fingerprint, unlink_from)?.ok_or(DiskError::Missing(fingerprint))?;
                disk.open_object(fingerprint)
            };
            match mounted.run(open).await {
                Ok((content, file, blocks)) => return Ok(Opened { content, blocks, file, mounted }),
                Err(DiskError::Missing(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "a copy cannot be opened");
                    failed = true;
                }
            }
        }
        Err(if failed || self.lacks_a_disk() { FetchError::Unavailable } else { FetchError::NotFound })
    }

    /// Opens an object whoever refers to it: for the cluster itself.
    pub async fn open_own(&self, fingerprint: Fingerprint) -> Result<StoredObject, FetchError> {
        StoredObject::open(self.readable().cloned().collect(), fingerprint).await
    }

    /// All references to an object, in order, each with the second it was made or last renewed in.
    pub async fn references_of(
        &self,
        fingerprint: Fingerprint,
    ) -> Result<Vec<(Reference, u64)>, Unavailable> {
        let mut all = Vec::new();
        for mounted in self.readable().cloned().collect::<Vec<_>>() {
            let held = mounted.run(move |disk| disk.all_references_of(fingerprint)).await;
            all.extend(held.map_err(|error| Unavailable(error.to_string()))?);
        }
        all.sort_unstable();
        all.dedup_by_key(|(reference, _)| *reference);
        Ok(all)
    }

    /// What is here of an object and a reference to it.
    pub async fn presence(&self, content: Content, reference: Reference) -> Result<Presence, Unavailable> {
        let look = move |disk: &Disk| {
            let here = disk.find(content.fingerprint)? == Some(content);
            Ok((here, here && disk.lacks(&content, &reference)?))
        };
        let mut presence = Presence::Absent;
        for mounted in self.readable().cloned().collect::<Vec<_>>() {
            let looked = mounted.run(look).await.map_err(|error| Unavailable(error.to_string()))?;
            presence = match (looked, presence) {
                ((true, true), _) => return Ok(Presence::Lacking),
                ((true, false), _) => Presence::Held,
                ((false, _), presence) => presence,
            };
        }
        Ok(presence)
    }

    /// All that an operator is shown of each disk. One that does not say how much it has, has nothing.
    pub async fn disk_reports(&self) -> Vec<DiskReport> {
        let count = |mounted: &Mounted| {
            let mounted = mounted.clone();
            async move {
                let counted = mounted.run(|disk| Ok((disk.index().count()?, disk.quarantined()?)));
                timeout(REPORT_PATIENCE, counted).await.ok().and_then(Result::ok).unwrap_or_default()
            }
        };
        let counted = join_all(self.disks().iter().map(count)).await;
        let report =
            |((mounted, load), (objects, quarantined)): ((&Mounted, DiskLoad), (u64, u64))| DiskReport {
                path: mounted.disk.root().display().to_string(),
                state: load.state,
                reason: mounted.disk.reason(),
                draining: mounted.disk.draining(),
                bytes_free: load.bytes_free,
                bytes_total: load.bytes_total,
                objects,
                quarantined,
                scrub: mounted.scrub(),
            };
        self.disks().iter().zip(self.disk_loads()).zip(counted).map(report).collect()
    }

    /// An object's content and its checked block digests, for whom it may be opened.
    pub async fn digests(
        &self,
        customer: Option<CustomerId>,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<(Content, BlockDigests), FetchError> {
        let opened = self.open_file(customer, fingerprint, now).await?;
        Ok((opened.content, opened.blocks))
    }

    /// Up to `limit` objects after `after`, in order of their fingerprints, a copy for each disk they lie on; all copies
    /// of one object together.
    pub async fn contents(&self, after: Option<Fingerprint>, limit: usize) -> Result<Vec<Copy>, Unavailable> {
        let mut copies = Vec::new();
        // Behind the end of a full page there may be objects of that disk that the others' pages do not show.
        let mut until = None;
        for (disk, mounted) in self.readable_numbered() {
            let page = mounted.run(move |disk| Ok(disk.index().objects(after, limit)?)).await;
            let page = page.map_err(|error| Unavailable(error.to_string()))?;
            if page.len() == limit {
                let last = page.last().map(|content| content.fingerprint);
                until = until.map_or(last, |until| Some(last?.min(until)));
            }
            let leaving = mounted.disk.draining();
            copies.extend(page.into_iter().map(|content| Copy { content, disk, leaving }));
        }
        copies.retain(|copy| until.is_none_or(|until| copy.content.fingerprint <= until));
        copies.sort_by_key(|copy| (copy.content.fingerprint, copy.disk));
        if let Some(last) = copies.get(limit.saturating_sub(1)).map(|copy| copy.content.fingerprint) {
            copies.retain(|copy| copy.content.fingerprint <= last);
        }
        Ok(copies)
    }

    /// How each disk is, as of the last look.
    pub fn disk_loads(&self) -> Vec<DiskLoad> {
        let load = |mounted: &Mounted| DiskLoad {
            state: match mounted.disk.state() {
                State::Online if mounted.disk.draining() => DiskState::Offline,
                State::Online => DiskState::Online,
                State::ReadOnly => DiskState::Offline,
                State::Offline | State::Down => DiskState::Down,
            },
            bytes_free: mounted.disk.bytes_free(),
            bytes_total: mounted.disk.bytes_total(),
        };
        self.disks().iter().map(load).collect()
    }

    /// Numbers of each disk (ISN-10); nothing of one that cannot say.
    pub async fn disk_status(&self) -> Vec<Option<DiskStatus>> {
        let ask = |mounted: &Mounted| {
            let mounted = mounted.clone();
            async move { mounted.run(|disk| disk.status()).await.ok() }
        };
        join_all(self.disks().iter().map(ask)).await
    }

    /// The disks that can be read, with their numbers.
    fn readable_numbered(&self) -> impl Iterator<Item = (u32, Mounted)> + use<> {
        let numbered = (0..).zip(self.disks().to_vec());
        numbered.filter(|(_, mounted)| mounted.disk.state() != State::Offline)
    }
}
