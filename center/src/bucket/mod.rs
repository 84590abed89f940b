//! A storage node whose objects lie in a bucket of an S3-type store (ISN-13), in place of disks.
//!
//! Nothing is kept here: objects and references are in the store ([`keys`] says under which names), and a process that
//! starts with nothing finds everything. The store keeps several copies by itself, so an object is put there once.
//!
//! The store offers three things that hold together: a name is created by one of many who try (If-None-Match), an
//! object is seen whole or not at all, and who reads after a write sees it. It does not offer to remove something only
//! if it is still what we saw. So **no name of anything that is ever removed is given twice** while a request from
//! before may still be under way: a removal that comes late finds nothing of anybody's. And whoever relies on a copy
//! and whoever removes one each write first and look then, so that one of the two sees the other ([`upload`],
//! [`collect`]).
//!
//! [`store`] is the shell around the client; [`keys`], [`record`], [`copies`] and [`releases`] are pure.

mod collect;
mod connect;
mod copies;
mod keys;
mod object;
mod parts;
mod record;
mod references;
mod releases;
mod store;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::digest::{Content, Fingerprint};
use protocol::dosp::heartbeat::DiskState;
use protocol::dosp::operations::{DiskReport, Scrub};
use protocol::id::CustomerId;
use rand::RngCore;
use rand::rngs::StdRng;
use thiserror::Error;
use tokio::sync::Semaphore;

pub use self::connect::{ConnectError, connect};
use self::copies::{Copies, Listed};
use self::keys::DataId;
use self::object::BucketObject;
use self::record::{HEAD_BYTES, Head, Place};
use self::releases::Releases;
use self::store::{Fault, Store};
use self::upload::Arriving;
use crate::isn::{Locks, Pool};
use crate::objects::{FetchError, Objects, StoreError};

/// Memory for the parts of all objects being received, in MiB. Uploads beyond it wait before their bytes are read.
const RECEIVING_MIB: usize = 256;
/// What [`Settings::part_bytes`] is on a real store: S3 wants 5 MiB at least.
pub const PART_BYTES: u64 = 8 << 20;
/// What is told of an S3-type store's free space, which it does not tell itself: 1 PiB.
const SPACE_BYTES: u64 = 1 << 50;

/// What a node is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster that the prefix must belong to.
    pub cluster: String,
    /// Its number in it.
    pub node: u32,
    /// Seconds from an object's last reference to its removal (REF-2).
    pub unlink_grace_seconds: u64,
    /// Seconds that an object nobody refers to, or a reference without a row, is kept (REF-4).
    pub orphan_grace_seconds: u64,
    /// Bytes of a part of a large object, and most bytes of one that lies in its record.
    pub part_bytes: u64,
}

/// Why the bucket could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Credentials or configuration.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The store did not do it.
    #[error("isn.s3 {store}: {fault}; start the store, make the bucket, or mend isn.s3")]
    Store {
        /// Which.
        store: String,
        /// What went wrong.
        fault: Fault,
    },
    /// Another's.
    #[error(
        "isn.s3 {store} belongs to {found}, not to {expected}; name another prefix, or mend isn.cluster and isn.node"
    )]
    Foreign {
        /// Which.
        store: String,
        /// Whose it is.
        found: String,
        /// Who wanted it.
        expected: String,
    },
    /// It cannot hold objects safely.
    #[error(
        "isn.s3 {store} overwrites what it was asked to create only (If-None-Match); use a store that knows conditional writes"
    )]
    Overwrites {
        /// Which.
        store: String,
    },
}

/// A storage node in a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    settings: Settings,
    hashing: Pool,
    memory: Arc<Semaphore>,
    locks: Locks,
    rng: Mutex<StdRng>,
    releases: Releases,
    /// Large objects that this process is receiving.
    arriving: Mutex<BTreeSet<DataId>>,
    /// Objects there were at the last scan.
    objects: AtomicU64,
}

impl Bucket {
    /// Takes the prefix of the bucket, which is empty or ours, after making sure that the store keeps what was
    /// created. Ends uploads that an earlier process left.
    ///
    /// # Errors
    /// The store does not answer, does not know conditional writes, or the prefix is another's.
    pub async fn open(store: Store, settings: Settings, rng: StdRng) -> Result<Self, OpenError> {
        take(&store, &settings).await?;
        let hashing = Pool::new(std::thread::available_parallelism().map_or(2, usize::from));
        let shared = Shared {
            store,
            settings,
            hashing,
            memory: Arc::new(Semaphore::new(RECEIVING_MIB)),
            locks: Locks::default(),
            rng: Mutex::new(rng),
            releases: Releases::default(),
            arriving: Mutex::default(),
            objects: AtomicU64::new(0),
        };
        let bucket = Self { shared: Arc::new(shared) };
        let ended = bucket.end_abandoned().await;
        let name = bucket.store().name();
        let ended = ended.map_err(|fault| OpenError::Store { store: name.to_owned(), fault })?;
        tracing::warn!(
            store = name,
            unfinished_uploads_ended = ended,
            "objects are put once into this store, and count as durable there: it must keep several copies itself"
        );
        Ok(bucket)
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    fn nonce(&self) -> u64 {
        self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    fn new_data_id(&self) -> DataId {
        let mut id = [0; 16];
        self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut id);
        DataId(id)
    }

    fn arriving(&self) -> std::sync::MutexGuard<'_, BTreeSet<DataId>> {
        self.shared.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the names say of an object's copies now.
    async fn copies(&self, fingerprint: Fingerprint) -> Result<Copies, Fault> {
        let store = self.store();
        let listed = store.list(&store.keys().copies(fingerprint)).await?;
        let entry = |meta: &object_store::ObjectMeta| Some((store.keys().entry(&meta.location)?, meta.size));
        Ok(Copies::of(listed.iter().filter_map(entry)))
    }

    /// The beginning of a copy's record; `None` if it is gone meanwhile.
    async fn head(&self, fingerprint: Fingerprint, number: u64) -> Result<Option<Head>, Fault> {
        let path = self.store().keys().copy(fingerprint, number);
        let head = match self.store().get_range(&path, 0..HEAD_BYTES as u64).await {
            Ok(head) => head,
            Err(Fault::Missing) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let spoiled = || Fault::Spoiled(format!("{path} is no record of that object"));
        Head::decode(fingerprint, &head).map(Some).ok_or_else(spoiled)
    }

    /// Whether all bytes of a copy are there.
    async fn is_whole(&self, head: &Head, listed: Listed) -> Result<bool, Fault> {
        let (expected, found) = match head.place {
            Place::Here => (head.data_offset() + head.content.size, Some(listed.record_bytes)),
            Place::Data(id) => (head.content.size, self.store().length(&self.store().keys().data(id)).await?),
        };
        Ok(found == Some(expected))
    }

    /// What the object is, by the oldest whole copy that counts.
    async fn find(&self, fingerprint: Fingerprint) -> Result<Option<Content>, Fault> {
        for listed in self.copies(fingerprint).await?.counted() {
            if let Some(head) = self.head(fingerprint, listed.number).await?
                && self.is_whole(&head, listed).await?
            {
                return Ok(Some(head.content));
            }
        }
        Ok(None)
    }

    /// All that an operator is shown of it. Objects are those of the last comparison; free space is not known.
    pub fn report(&self) -> DiskReport {
        let trouble = self.store().trouble();
        DiskReport {
            path: self.store().name().to_owned(),
            state: if trouble.is_none() { DiskState::Online } else { DiskState::Down },
            reason: trouble.unwrap_or_default(),
            draining: false,
            bytes_free: SPACE_BYTES,
            bytes_total: SPACE_BYTES,
            objects: self.shared.objects.load(Ordering::Relaxed),
            quarantined: 0,
            scrub: Scrub::default(),
        }
    }

    /// What is told of the space that is left.
    pub const fn bytes_free(&self) -> u64 {
        SPACE_BYTES
    }

    /// Seconds that something nobody refers to is kept.
    pub fn orphan_grace_seconds(&self) -> u64 {
        self.settings().orphan_grace_seconds
    }
}

impl Objects for Bucket {
    type Object = BucketObject;
    type Upload = Arriving;

    async fn open(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<BucketObject, FetchError> {
        if fingerprint == Content::EMPTY.fingerprint {
            return Ok(BucketObject::empty(self.store().clone()));
        }
        let references = self.store().keys().references_of(fingerprint, customer);
        if !self.store().has_any(&references).await? {
            return Err(FetchError::NotFound);
        }
        BucketObject::open(self, fingerprint).await
    }

    async fn receive(&self, length: u64, now: u64) -> Result<Arriving, StoreError> {
        Arriving::begin(self.clone(), length, now).await
    }
}

/// Makes the prefix ours, or finds that it is.
async fn take(store: &Store, settings: &Settings) -> Result<(), OpenError> {
    let name = || store.name().to_owned();
    let failed = |fault: Fault| OpenError::Store { store: name(), fault };
    let expected = format!("node {} of the cluster {}", settings.node, settings.cluster);
    let (path, text) = (store.keys().format(), format!("storage-center-bucket-1\n{expected}\n"));
    let made = store.create(&path, text.clone().into_bytes()).await.map_err(failed)?;
    let found = store.get(&path).await.map_err(failed)?;
    if found != text.as_bytes() {
        let found = String::from_utf8_lossy(&found);
        let owner = found.lines().nth(1).unwrap_or("something else").to_owned();
        return Err(OpenError::Foreign { store: name(), found: owner, expected });
    }
    // The same bytes: whoever overwrites them shows himself and does no harm.
    if made && store.create(&path, text.into_bytes()).await.map_err(failed)? {
        return Err(OpenError::Overwrites { store: name() });
    }
    Ok(())
}
