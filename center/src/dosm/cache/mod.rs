//! The object manager's data cache (DOSM-2, DOSM-10, DOSM-11): objects on a local disk, filled while they are served.
//!
//! A request's way: [`Cache::fetch`] finds the object, or opens it at the [`Source`], and gives a [`Reader`]; its
//! blocks come from the file, or else from the source, one fetch for all who want the same block, and are kept. For
//! what is at hand [`Cache::at_hand`] does the same without waiting.
//!
//! - No unverified byte leaves: see [`object`].
//! - Nobody gets an object by knowing its name: a hit needs the source's word, not older than a minute, that this very
//!   customer has a reference ([`entitled`]; SRL-17, DOSM-19). [`Cache::forget`] takes back that word at once.
//! - No fault of the cache's disk reaches a reader: it costs a miss.
//!
//! Without a directory of its own it keeps nothing, but knows which files of a node in this process it may send from:
//! those whose blocks the node has read and checked while they were open.

mod bits;
mod entitled;
mod files;
mod flights;
mod index;
mod object;
mod page_cache;
mod reader;
mod source;
mod stamp;
mod table;
#[cfg(test)]
mod tests;
mod trailer;

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use protocol::digest::{BlockDigests, Fingerprint};
use protocol::id::CustomerId;
use rustix::process::{Resource, getrlimit};
use tokio::runtime::Handle;

use self::files::Files;
use self::flights::Flights;
pub use self::object::Piece;
use self::object::{Object, locked};
pub use self::page_cache::read_now;
pub use self::reader::Reader;
pub use self::source::{Source, SourceObject};
use self::table::{Epoch, Removed, Table};
use crate::objects::FetchError;

/// Most objects kept, some 100 bytes of memory each.
const ENTRIES_MAX: usize = 1 << 20;
/// Most objects open at once. Each has one or two open files, and some KiB of the system's memory.
const OPEN_MAX: u64 = 8_192;
/// Seconds after which an unused file of a node is closed: its object may have been removed, its space wanted.
const UNUSED_SECONDS: u64 = 60;

/// How a cache with a directory is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its directory; made if it is not there.
    pub directory: PathBuf,
    /// Most bytes of objects in it, counted in whole 4 KiB pages.
    pub bytes_max: u64,
}

/// What happened since the start, and what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests whose bytes all came from files at hand, without a word to a node.
    pub hits: u64,
    /// Requests for which a node had to be read.
    pub misses: u64,
    /// Objects of which something is kept.
    pub entries: u64,
    /// Bytes of them, in whole pages.
    pub bytes: u64,
    /// Objects that had to go for others.
    pub evictions: u64,
    /// Files that did not hold what they should.
    pub spoiled: u64,
}

/// See the module. A handle: clones are the same cache.
#[derive(Debug)]
pub struct Cache<S: Source> {
    shared: Arc<Shared<S>>,
}

impl<S: Source> Clone for Cache<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

type Opened<S> = Result<Arc<Object<<S as Source>::Object>>, FetchError>;

#[derive(Debug)]
struct Shared<S: Source> {
    source: S,
    /// `None`: nothing is kept.
    files: Option<Arc<Files>>,
    table: Mutex<Table<S::Object>>,
    /// Openings at the source.
    opening: Flights<(CustomerId, Fingerprint, Epoch), Opened<S>>,
    /// Blocks on their way from the source.
    filling: Flights<(Fingerprint, u64), Result<Bytes, FetchError>>,
    runtime: Handle,
    hits: AtomicU64,
    misses: AtomicU64,
    spoiled: AtomicU64,
}

impl<S: Source> Cache<S> {
    /// Keeps nothing. To be called in the runtime that its work shall run in, as [`Self::open`].
    pub fn without_files(source: S) -> Self {
        Self::new(source, None, Table::new(0, 0, open_max()))
    }

    /// Opens the directory and looks what is there. One that cannot be used, or that another process uses, is told of,
    /// and nothing is kept: a cache is no reason not to serve.
    pub async fn open(settings: Settings, source: S) -> Self {
        let directory = settings.directory.clone();
        let opened = tokio::task::spawn_blocking(move || open_directory(&settings)).await;
        match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((files, table)) => Self::new(source, Some(Arc::new(files)), table),
            Err(error) => {
                let directory = directory.display();
                tracing::error!(%directory, %error, "no data cache: mend its directory, or name another, and start again");
                Self::without_files(source)
            }
        }
    }

    fn new(source: S, files: Option<Arc<Files>>, table: Table<S::Object>) -> Self {
        let shared = Shared {
            source,
            files,
            table: Mutex::new(table),
            opening: Flights::new(),
            filling: Flights::new(),
            runtime: Handle::current(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens an object for a customer who has a reference to it. `now` in seconds.
    pub async fn fetch(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<Reader<S>, FetchError> {
        let shared = &self.shared;
        let look = || {
            let (found, epoch) = shared.table().look_up(fingerprint, now);
            let usable = |object: &Arc<Object<S::Object>>| {
                object.entitled().includes(customer, now) && !object.has_changed()
            };
            (found.filter(usable), epoch)
        };
        let (found, epoch) = look();
        let object = match found {
            Some(object) => object,
            None => {
                let open = || async {
                    // Another opening may have ended between the look and the flight.
                    match look() {
                        (Some(found), _) => Ok(found),
                        (None, _) => shared.open(customer, fingerprint, epoch, now).await,
                    }
                };
                let landed = shared.opening.join((customer, fingerprint, epoch), open).await;
                match landed.outcome {
                    // It may have begun before the object was stored.
                    Err(_) if !landed.own => open().await?,
                    outcome => outcome?,
                }
            }
        };
        Ok(Reader::new(Arc::clone(shared), object, customer))
    }

    /// As [`Self::fetch`] if nobody need be asked, else `None`.
    pub fn at_hand(&self, customer: CustomerId, fingerprint: Fingerprint, now: u64) -> Option<Reader<S>> {
        let (found, _) = self.shared.table().look_up(fingerprint, now);
        let object = found.filter(|object| object.has_file() && object.entitled().includes(customer, now))?;
        Some(Reader::new(Arc::clone(&self.shared), object, customer))
    }

    /// The object was deleted, or may have been: whoever wants it next must be confirmed by the source, and its bytes
    /// come from there. What is being sent is sent to its end.
    pub fn forget(&self, fingerprint: Fingerprint) {
        let removed = self.shared.table().forget(fingerprint);
        self.shared.remove(removed);
    }

    /// Closes files of nodes that were not used for a minute.
    pub fn close_unused(&self, now: u64) {
        if self.shared.files.is_none() {
            self.shared.table().close_unused(now.saturating_sub(UNUSED_SECONDS));
        }
    }

    /// What happened since the start, and what there is.
    pub fn figures(&self) -> Figures {
        let shared = &self.shared;
        let (bytes, entries, evictions) = shared.table().figures();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (hits, misses, spoiled) = (count(&shared.hits), count(&shared.misses), count(&shared.spoiled));
        Figures { hits, misses, entries, bytes, evictions, spoiled }
    }
}

impl<S: Source> Shared<S> {
    fn table(&self) -> MutexGuard<'_, Table<S::Object>> {
        locked(&self.table)
    }

    /// Asks the source for an object.
    async fn open(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        epoch: Epoch,
        now: u64,
    ) -> Opened<S> {
        let source = match self.source.open(customer, fingerprint).await {
            Ok(source) => source,
            Err(error) => {
                let (found, _) = self.table().look_up(fingerprint, now);
                if let (Some(found), FetchError::NotFound) = (found, error) {
                    found.entitled().refuse(customer);
                }
                return Err(error);
            }
        };
        let object = self.object_of(&source, epoch, now).await?;
        self.table().confirm(&object, epoch, customer, now);
        object.put_idle(source);
        Ok(object)
    }

    /// What the cache has, or begins to have, of an object that the source has just opened.
    async fn object_of(&self, source: &S::Object, epoch: Epoch, now: u64) -> Opened<S> {
        let content = *source.content();
        let (found, _) = self.table().look_up(content.fingerprint, now);
        if let Some(found) = found {
            if *found.content() == content && !found.has_changed() {
                return Ok(found);
            }
            self.discard(&found);
        }
        let object = match self.open_whole(content.fingerprint).await {
            Some(whole) if *whole.content() == content => whole,
            _ => {
                let digests = BlockDigests::from_bytes(&content, &source.block_digests());
                let digests = Arc::new(digests.map_err(|_| FetchError::Unavailable)?);
                let lent = source.file().filter(|_| self.files.is_none());
                let lent = lent.and_then(|file| Object::lent(content, Arc::clone(&digests), file).ok());
                lent.unwrap_or_else(|| Object::new(content, digests))
            }
        };
        object.mark_used(now);
        let (object, removed) = self.table().insert(object, epoch);
        self.remove(removed);
        Ok(object)
    }

    /// Opens a file of the cache that holds a whole object; one that cannot be opened, or holds another content than
    /// its name says, costs a miss.
    async fn open_whole(&self, fingerprint: Fingerprint) -> Option<Object<S::Object>> {
        let files = self.files.as_ref().filter(|_| self.table().has_whole(fingerprint))?;
        let job = Arc::clone(files);
        let opened = files.run(move || {
            let Some((file, content, digests)) = job.open_object(fingerprint)? else { return Ok(None) };
            Object::found(content, digests, file, job.object(fingerprint)).map(Some)
        });
        match opened.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(Some(object)) => return Some(object),
            Ok(None) => {}
            Err(error) => files.tell_trouble(&error),
        }
        let removed = self.table().discard_file(fingerprint);
        self.remove(removed);
        None
    }

    fn discard(&self, object: &Arc<Object<S::Object>>) {
        let removed = self.table().discard(object);
        self.remove(removed);
    }

    /// Removes files. Whoever reads them has them open.
    fn remove(&self, removed: Removed) {
        let Some(files) = self.files.as_ref().filter(|_| !removed.is_empty()) else { return };
        let files = Arc::clone(files);
        self.runtime.spawn_blocking(move || {
            let whole = removed.whole.iter().map(|fingerprint| files.object(*fingerprint));
            for path in removed.parts.into_iter().chain(whole) {
                // One that stays is found, or swept, at the next start.
                let _ = std::fs::remove_file(path);
            }
        });
    }
}

/// Takes the directory and what is in it, as far as there is room: what was written last stays, and goes last.
fn open_directory<O>(settings: &Settings) -> io::Result<(Files, Table<O>)> {
    let files = Files::open(&settings.directory)?;
    let mut table = Table::new(settings.bytes_max, ENTRIES_MAX, open_max());
    for surplus in
        files.found()?.iter().rev().filter(|found| !table.adopt_older(found.fingerprint, found.len))
    {
        std::fs::remove_file(files.object(surplus.fingerprint))?;
    }
    Ok((files, table))
}

/// A quarter of the files this process may have open, at most [`OPEN_MAX`]: connections and nodes need them too.
fn open_max() -> NonZeroUsize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from((files / 4).min(OPEN_MAX)).unwrap_or(1);
    NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN)
}
