//! A storage node: several disks, each object on two of them where there are two (ISN-1, DOSM-15).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::digest::{Content, Fingerprint};
use protocol::id::{CustomerId, Token};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngCore, SeedableRng};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::disk::{Disk, State};
use super::fault::{DiskError, OpenError};
use super::incoming::Incoming;
use super::locks::Locks;
use super::object::StoredObject;
use super::placement::{Candidate, choose};
use super::pool::{Interrupted, Pool};
use super::scan::scan;
use crate::objects::{FetchError, Objects, StoreError, Unavailable};
use protocol::dosp::operations::Scrub;

/// Blocking jobs at once on one disk: enough to fill a batch of the committer, few enough for a spinning disk.
pub(super) const JOBS_PER_DISK: usize = 16;
/// Objects being received at once. Each holds at most two buffers; the rest wait before their bytes are read.
const RECEIVING_MAX: usize = 64;
/// Disks an object is stored on where the node is all there is (DOSM-15).
const COPIES: usize = 2;
/// Objects unlinked, or references listed, at a time.
pub(super) const PAGE: usize = 1_000;

/// What a node is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster its disks must belong to.
    pub cluster: String,
    /// Its number in it.
    pub node: u32,
    /// One directory per disk.
    pub disks: Vec<PathBuf>,
    /// Bytes left free on every disk.
    pub reserve_bytes: u64,
    /// Seconds from an object's last reference to its unlinking (REF-2).
    pub unlink_grace_seconds: u64,
    /// Seconds that an object nobody refers to, or a reference without a row, is kept (REF-4).
    pub orphan_grace_seconds: u64,
}

impl From<Interrupted> for StoreError {
    fn from(error: Interrupted) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A storage node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Isn {
    pub(super) node: Arc<Node>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) settings: Settings,
    disks: Vec<Mounted>,
    hashing: Pool,
    receiving: Arc<Semaphore>,
    locks: Locks,
    rng: Mutex<StdRng>,
    /// New objects are stored once for want of a second disk.
    degraded: AtomicBool,
    /// All disks were scanned since the start, on somebody's word.
    is_scanned: AtomicBool,
}

/// A disk and the threads that may wait for it.
#[derive(Clone, Debug)]
pub struct Mounted {
    pub(super) disk: Arc<Disk>,
    pool: Pool,
    /// How far the reading of all its objects is (ISN-12).
    scrub: Arc<Mutex<Scrub>>,
}

impl Mounted {
    /// Runs `job` on the disk's threads and takes the disk out of use if it failed or took too long.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Disk) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        self.enqueue(job, true).await
    }

    /// The same for a job that reads the whole disk, or a whole object, and may take its time.
    pub async fn run_long<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Disk) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        self.enqueue(job, false).await
    }

    async fn enqueue<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Disk) -> Result<T, DiskError> + Send + 'static,
        is_timed: bool,
    ) -> Result<T, DiskError> {
        let disk = Arc::clone(&self.disk);
        // Where all of the disk's threads hang, none of them gets to say so.
        disk.check_jobs(Instant::now());
        let turn = disk.health().enter();
        let run = move || {
            if is_timed {
                turn.begin(Instant::now());
            }
            let outcome = job(&disk);
            if let Err(error) = &outcome {
                disk.note(error);
            }
            disk.check_jobs(Instant::now());
            outcome
        };
        self.pool.run(run).await.unwrap_or_else(|error| Err(DiskError::Failed(error.to_string())))
    }
}

impl Mounted {
    /// How far the reading of all its objects is.
    pub fn scrub(&self) -> Scrub {
        *self.scrub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_scrub(&self, scrub: Scrub) {
        *self.scrub.lock().unwrap_or_else(PoisonError::into_inner) = scrub;
    }

    /// Runs a job that reads from the disk on the disk's threads; what it returns says nothing about the disk.
    pub async fn read<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        self.pool.run(job).await.map_err(io::Error::other)
    }
}

impl Isn {
    /// Opens all disks. One that failed is told loudly and left out: one dead disk must not take the others' objects
    /// with it. A disk whose index was lost is scanned before this returns.
    ///
    /// # Errors
    /// No disk is left, or one of them is not of this node: that is a mistake to be mended before anything is stored.
    pub async fn open(settings: Settings, mut rng: StdRng, now: u64) -> Result<Self, OpenError> {
        let mut disks = Vec::with_capacity(settings.disks.len());
        let mut failed = None;
        for root in &settings.disks {
            let mut id = [0; 16];
            rng.fill_bytes(&mut id);
            match open_disk(&settings, root, &Token(id).to_string()).await {
                Ok(disk) => disks.push(disk),
                Err(error) if error.is_failure_of_the_disk() => {
                    tracing::error!("going on without a disk: {error}");
                    failed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = failed.filter(|_| disks.is_empty()) {
            return Err(error);
        }
        let node = Node {
            settings,
            disks,
            hashing: Pool::new(std::thread::available_parallelism().map_or(2, usize::from)),
            receiving: Arc::new(Semaphore::new(RECEIVING_MAX)),
            locks: Locks::default(),
            rng: Mutex::new(StdRng::from_rng(&mut rng)),
            degraded: AtomicBool::new(false),
            is_scanned: AtomicBool::new(false),
        };
        let isn = Self { node: Arc::new(node) };
        for mounted in isn.node.disks.iter().filter(|mounted| mounted.disk.lost_index()) {
            tracing::warn!(disk = %mounted.disk.root().display(), "the disk's index was lost: reading the names");
            let unlink_from = now.saturating_add(isn.node.settings.orphan_grace_seconds);
            let scanned = mounted.run_long(move |disk| scan(disk, unlink_from)).await;
            scanned.map_err(|error| OpenError::Disk { path: mounted.disk.root().to_path_buf(), error })?;
        }
        Ok(isn)
    }

    /// Whether a disk's index had been lost: its references must be restored from the rows before anything is
    /// collected.
    pub fn lost_references(&self) -> bool {
        self.node.disks.iter().any(|mounted| mounted.disk.lost_index())
    }

    /// Ends that, durably, on every disk that can be written: all references that rows have were restored.
    ///
    /// # Errors
    /// The disks were not scanned since the start: whoever restored meant what was here before it.
    pub async fn references_restored(&self) -> Result<(), Unavailable> {
        if !self.node.is_scanned.load(Ordering::Acquire) {
            return Err(Unavailable("the node was started meanwhile".to_string()));
        }
        for mounted in self.online().filter(|mounted| mounted.disk.lost_index()) {
            let ended = mounted.run(|disk| disk.references_restored()).await;
            ended.map_err(|error| Unavailable(error.to_string()))?;
        }
        Ok(())
    }

    pub(super) fn note_scan(&self) {
        self.node.is_scanned.store(true, Ordering::Release);
    }

    /// What it was told.
    pub fn settings(&self) -> &Settings {
        &self.node.settings
    }

    /// Begins at `now` to receive an object on `copies` of the disks, or on as many as there are. Its fingerprint is
    /// computed if it is to be named here.
    ///
    /// # Errors
    /// `NoSpace` if no disk has room for `length` bytes, `Unavailable` if none can be written.
    pub async fn stage(
        &self,
        length: u64,
        copies: usize,
        name: bool,
        now: u64,
    ) -> Result<Incoming, StoreError> {
        let turn = self.turn_to_receive().await?;
        let copies = self.node.disks.len().min(copies);
        let candidates = self.candidates();
        if candidates.is_empty() {
            return Err(StoreError::Unavailable("no disk can be written".to_string()));
        }
        let mut chosen = self.choose(&candidates, length, copies);
        if chosen.len() < copies {
            // What we know of the disks' space may be old: somebody else may have made room.
            self.refresh_space().await;
            chosen = self.choose(&self.candidates(), length, copies);
        }
        if chosen.is_empty() {
            return Err(StoreError::NoSpace);
        }
        self.tell_degraded(chosen.len() < copies);
        Incoming::begin(self.clone(), turn, chosen, name, now).await
    }

    fn choose(&self, candidates: &[Candidate], length: u64, copies: usize) -> Vec<usize> {
        let mut rng = self.node.rng.lock().unwrap_or_else(PoisonError::into_inner);
        choose(candidates, length, copies, &mut *rng)
    }

    /// Asks the disks how much is free.
    pub async fn refresh_space(&self) {
        for mounted in self.online() {
            // A disk that cannot even say is taken out of use by `run`.
            let _ = mounted.run(|disk| disk.refresh_space()).await;
        }
    }

    /// Says once when objects begin to be stored on one disk only, and once when that is over.
    fn tell_degraded(&self, degraded: bool) {
        if self.node.degraded.swap(degraded, Ordering::Relaxed) != degraded {
            if degraded {
                tracing::error!(
                    "only one disk can take objects: they are stored once, not twice; mend or add a disk"
                );
            } else {
                tracing::info!("objects are stored twice again");
            }
        }
    }

    async fn turn_to_receive(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = Arc::clone(&self.node.receiving).acquire_owned().await;
        turn.map_err(|_| StoreError::Unavailable("stopping".to_string()))
    }

    fn candidates(&self) -> Vec<Candidate> {
        let usable = |(_, mounted): &(usize, &Mounted)| mounted.disk.takes_objects();
        let numbered = self.node.disks.iter().enumerate().filter(usable);
        numbered.map(|(disk, mounted)| Candidate { disk, bytes_free: mounted.disk.bytes_free() }).collect()
    }

    /// Bytes that can still be stored, each object as often as the node stores it.
    pub fn bytes_free(&self) -> u64 {
        let copies = self.node.disks.len().clamp(1, 2) as u64;
        self.candidates().iter().map(|candidate| candidate.bytes_free).sum::<u64>() / copies
    }

    /// Whether any disk can be read.
    pub fn gives_objects(&self) -> bool {
        self.readable().next().is_some()
    }

    /// Waits for its turn with a fingerprint: only one call at a time changes what the disks say of it.
    pub(super) async fn lock(&self, fingerprint: Fingerprint) -> tokio::sync::MutexGuard<'_, ()> {
        self.node.locks.lock(fingerprint).await
    }

    pub(super) fn hashing(&self) -> &Pool {
        &self.node.hashing
    }

    pub(super) fn disks(&self) -> &[Mounted] {
        &self.node.disks
    }

    /// The number of the first disk of these ids; 0 if there is none.
    pub(super) fn number_of(&self, ids: &[String]) -> u32 {
        let position =
            self.node.disks.iter().position(|mounted| ids.iter().any(|id| id == mounted.disk.id()));
        position.and_then(|position| u32::try_from(position).ok()).unwrap_or(0)
    }

    pub(super) fn disk(&self, number: usize) -> &Mounted {
        &self.node.disks[number]
    }

    pub(super) fn online(&self) -> impl Iterator<Item = Mounted> + use<> {
        let online = |mounted: &&Mounted| mounted.disk.state() == State::Online;
        self.node.disks.iter().filter(online).cloned().collect::<Vec<_>>().into_iter()
    }

    pub(super) fn readable(&self) -> impl Iterator<Item = &Mounted> {
        self.node.disks.iter().filter(|mounted| mounted.disk.state() != State::Offline)
    }

    /// Whether a disk is out of use: what is on no other may be on that one.
    pub fn lacks_a_disk(&self) -> bool {
        let is_out = |mounted: &Mounted| mounted.disk.state() == State::Offline;
        self.node.disks.len() < self.node.settings.disks.len() || self.node.disks.iter().any(is_out)
    }

    /// The largest answer of the readable disks; an error only if there is none and one could not say.
    pub(super) async fn latest<F>(&self, question: F) -> Result<Option<u64>, Unavailable>
    where
        F: Fn(&Disk) -> Result<Option<u64>, DiskError> + Clone + Send + 'static,
    {
        let mut failed = self.readable().next().is_none().then(|| "no disk can be read".to_string());
        let mut latest = None;
        for mounted in self.readable() {
            match mounted.run(question.clone()).await {
                Ok(answer) => latest = latest.max(answer),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        match (latest, failed) {
            (None, Some(reason)) => Err(Unavailable(reason)),
            (latest, _) => Ok(latest),
        }
    }
}

impl Objects for Isn {
    type Object = StoredObject;
    type Upload = Incoming;

    async fn open(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<StoredObject, FetchError> {
        let entitled = fingerprint == Content::EMPTY.fingerprint
            || self.is_entitled(customer, fingerprint).await.map_err(|_| FetchError::Unavailable)?;
        if !entitled {
            return Err(FetchError::NotFound);
        }
        let mut disks: Vec<Mounted> = self.readable().cloned().collect();
        // Reads spread over the copies.
        disks.shuffle(&mut *self.node.rng.lock().unwrap_or_else(PoisonError::into_inner));
        StoredObject::open(disks, fingerprint).await
    }

    async fn receive(&self, length: u64, now: u64) -> Result<Incoming, StoreError> {
        self.stage(length, COPIES, true, now).await
    }
}

async fn open_disk(settings: &Settings, root: &Path, new_id: &str) -> Result<Mounted, OpenError> {
    let settings = settings.clone();
    let (path, id) = (root.to_path_buf(), new_id.to_string());
    let pool = Pool::new(JOBS_PER_DISK);
    let opened = pool
        .run(move || Disk::open(&path, &settings.cluster, settings.node, &id, settings.reserve_bytes))
        .await;
    let interrupted = |error: Interrupted| OpenError::Disk {
        path: root.to_path_buf(),
        error: DiskError::Failed(error.to_string()),
    };
    Ok(Mounted { disk: Arc::new(opened.map_err(interrupted)??), pool, scrub: Arc::default() })
}
