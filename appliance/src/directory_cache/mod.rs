//! The directory cache of one customer (PORT-4, PORT-7, PORT-8): what the port knows of the VFS, and the way to learn
//! the rest.
//!
//! [`core`] holds what is known and is pure; this is the shell around it, which asks the VFS for what is missing;
//! [`feed`] keeps it true; [`snapshot`] brings it over a restart. A hit completes at the first poll. [`kept`] is beside it:
//! what is known of the deleted and overwritten.

mod core;
mod feed;
mod kept;
mod listing;
#[cfg(test)]
mod model;
mod path;
mod snapshot;

#[doc(hidden)]
pub mod fuzz {
    //! The snapshot's codec, opened to fuzzing.
    use protocol::id::CustomerId;

    use super::snapshot::{decode, encode};

    /// A snapshot decoded and encoded again.
    pub fn snapshot(customer: CustomerId, bytes: &[u8]) -> Option<Vec<u8>> {
        decode(customer, bytes).map(|contents| encode(customer, &contents))
    }
}

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::id::{CustomerId, ObjectId};
use protocol::name::Name;
use protocol::vfs::{
    Answer, Answered, Changed, ENTRIES_MAX, Operation, Request, Target, Usage, VfsErrorCode,
};
use tokio::sync::{Notify, broadcast, watch};

use self::core::{Core, Trust};
pub use self::core::{Entry, Named, Page};
pub use self::kept::Kept;
use self::path::End;
use crate::center::{CenterError, StorageCenter};
use crate::host;

/// A cached row in a snapshot takes a name (255 bytes) and little else, but metadata may be long: on average a
/// snapshot stays far below this.
const SNAPSHOT_BYTES_PER_ENTRY: u64 = 4 << 10;
/// Most folders above a file that are looked through for what holds for it: deeper than any path that a client can name
/// at once (`PATH_MAX`).
const WAY_MAX: usize = 4_096;
/// Changes that who listens may be behind; then he has to look at everything.
const NEWS_MAX: usize = 4_096;

/// How a directory cache is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most rows, names and listed ids, each.
    pub entries_max: NonZeroUsize,
    /// How long an entry is believed while the center answers but its change feed does not.
    pub believe: Duration,
}

/// How the port stands with the center.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contact {
    /// The last call got an answer.
    is_reachable: bool,
    /// The change feed is followed.
    is_fed: bool,
}

/// How a directory cache is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The center answered the last call.
    pub is_reachable: bool,
    /// Since when it does, or does not.
    pub since: Instant,
    /// When the change feed was heard last, if it was since the start. While it is followed and nothing changes, that
    /// is every 25 s.
    pub fed: Option<Instant>,
    /// Rows that are held.
    pub entries: usize,
}

/// What the change feed has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// This row changed, or is gone.
    Changed(ObjectId),
    /// Anything may have changed.
    All,
}

/// Hears what the change feed tells, once it was taken in.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<News>);

impl Listener {
    /// The next news; never again once the directory is gone.
    pub async fn next(&mut self) -> News {
        match self.0.recv().await {
            Ok(news) => news,
            Err(broadcast::error::RecvError::Lagged(_)) => News::All,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// The center began to answer, or ceased to.
    turned: Instant,
    fed: Option<Instant>,
}

/// See the module.
pub struct Directory<C> {
    center: Arc<C>,
    customer: CustomerId,
    settings: Settings,
    core: Mutex<Core>,
    kept: Mutex<kept::Memory>,
    contact: watch::Sender<Contact>,
    times: Mutex<Times>,
    /// Wakes the feed to see at once whether the center is there.
    probe: Notify,
    news: broadcast::Sender<News>,
    /// The core's revision of the last snapshot.
    saved: AtomicU64,
}

impl<C: StorageCenter> Directory<C> {
    /// An empty cache; [`follow`](Self::follow) must run beside it.
    pub fn new(center: Arc<C>, customer: CustomerId, settings: Settings) -> Self {
        let contact = watch::Sender::new(Contact { is_reachable: false, is_fed: false });
        let core = Mutex::new(Core::new(settings.entries_max, &host::random()));
        let kept = Mutex::default();
        let times = Mutex::new(Times { turned: Instant::now(), fed: None });
        let (probe, saved) = (Notify::new(), AtomicU64::new(0));
        let news = broadcast::Sender::new(NEWS_MAX);
        Self { center, customer, settings, core, kept, contact, times, probe, news, saved }
    }

    /// The customer's root folder.
    ///
    /// # Errors
    /// `Unavailable` while the center could not be asked even once.
    pub async fn root(&self) -> Result<Arc<Entry>, CenterError> {
        let known = self.core().root();
        match known {
            Some(root) => self.row(root).await,
            None => {
                let answered = self.operate(Request { key: None, operation: Operation::OpenRoot }).await?;
                self.take_row(answered)
            }
        }
    }

    /// The row of an id.
    ///
    /// # Errors
    /// `NotFound` of the VFS: the object is gone.
    pub async fn row(&self, id: ObjectId) -> Result<Arc<Entry>, CenterError> {
        let known = self.core().row(id, Instant::now());
        match known {
            Some(entry) => Ok(entry),
            None => self.refresh(id).await,
        }
    }

    /// The row of an id as it is held, however old.
    pub fn known(&self, id: ObjectId) -> Option<Arc<Entry>> {
        self.core().row(id, Instant::now())
    }

    /// A folder and those above it but the root, the lowest first. None at all of more than [`WAY_MAX`].
    ///
    /// # Errors
    /// As of [`row`](Self::row), for any of them.
    pub async fn way(&self, folder: ObjectId) -> Result<Vec<Arc<Entry>>, CenterError> {
        let (mut folders, mut next) = (Vec::new(), folder);
        while folders.len() < WAY_MAX {
            let entry = self.row(next).await?;
            let Some(parent) = path::above(&entry) else { return Ok(folders) };
            folders.push(entry);
            next = parent;
        }
        Ok(Vec::new())
    }

    /// The same as it is held, without asking anybody; `None` if not all of it is.
    pub fn known_way(&self, folder: ObjectId) -> Option<Vec<Arc<Entry>>> {
        let (mut core, now) = (self.core(), Instant::now());
        match path::climb(folder, WAY_MAX, |id| core.row(id, now)) {
            (folders, End::Root) => Some(folders),
            (_, End::TooDeep) => Some(Vec::new()),
            (_, End::Missing(_)) => None,
        }
    }

    /// Where a name of a folder is, from the customer's root, as far as that is at hand.
    pub fn path_in(&self, folder: ObjectId, name: &[u8]) -> String {
        path::path(folder, name, |id| self.known(id))
    }

    /// Where an object is, likewise; its id alone if its row is not at hand.
    pub fn path_of(&self, id: ObjectId) -> String {
        let known = self.known(id);
        match known.as_ref().map(|entry| (entry.row.parent, &entry.row.name)) {
            Some((Some(folder), Some(name))) => self.path_in(folder, name.as_bytes()),
            Some(_) => "/".to_owned(),
            None => format!("[{id}]"),
        }
    }

    /// The row of an id as the VFS has it now.
    pub async fn refresh(&self, id: ObjectId) -> Result<Arc<Entry>, CenterError> {
        let operation = Operation::Open { target: Target::Id(id), srl_expires: None };
        match self.operate(Request { key: None, operation }).await {
            Ok(answered) => self.take_row(answered),
            Err(error) => {
                if error.code() == Some(VfsErrorCode::NotFound) {
                    self.core().forget(id);
                }
                self.known_without_center(error, |core| core.row(id, Instant::now()))
            }
        }
    }

    /// What a name in a folder is; `None` if there is no such name.
    pub async fn lookup(&self, folder: ObjectId, name: &[u8]) -> Result<Option<Arc<Entry>>, CenterError> {
        let now = Instant::now();
        let (known, version) = {
            let mut core = self.core();
            (core.name(folder, name, now), core.row(folder, now).map(|entry| entry.row.version))
        };
        match known {
            Some(Named::Entry(entry)) => return Ok(Some(entry)),
            Some(Named::Absent) => return Ok(None),
            None => {}
        }
        let Ok(checked) = Name::new(name) else { return Ok(None) };
        let operation = Operation::Open { target: Target::Name(folder, checked), srl_expires: None };
        match self.operate(Request { key: None, operation }).await {
            Ok(answered) => self.take_row(answered).map(Some),
            Err(error) if error.code() == Some(VfsErrorCode::NotFound) => {
                if let Some(version) = version {
                    self.core().insert_absent(folder, name, version);
                }
                Ok(None)
            }
            Err(error) => self
                .known_without_center(error, |core| core.name(folder, name, Instant::now()))
                .map(|named| match named {
                    Named::Entry(entry) => Some(entry),
                    Named::Absent => None,
                }),
        }
    }

    /// Entries of a folder behind the id `after` (0 for all), at most `limit`; at least one unless none follows.
    pub async fn page(&self, folder: ObjectId, after: u64, limit: usize) -> Result<Page, CenterError> {
        if let Some(page) = self.known_page(folder, after, limit) {
            return Ok(page);
        }
        let operation = Operation::OpenFolder {
            folder,
            after: (after > 0).then_some(ObjectId(after)),
            limit: ENTRIES_MAX,
            srl_expires: None,
        };
        match self.operate(Request { key: None, operation }).await {
            Ok(Answered { position, answer: Answer::Folder { folder, entries, more } }) => {
                let page = self.core().insert_page(folder, after, entries, more, position, Instant::now());
                Ok(page.at_most(limit))
            }
            Ok(_) => Err(CenterError::unexpected_answer()),
            Err(error) => {
                self.known_without_center(error, |core| core.page(folder, after, limit, Instant::now()))
            }
        }
    }

    /// The same without asking the VFS: `None` if not all of them are held.
    pub fn known_page(&self, folder: ObjectId, after: u64, limit: usize) -> Option<Page> {
        self.core().page(folder, after, limit, Instant::now())
    }

    /// Makes a change: always by the VFS, which remembers the answer under the request's key.
    pub async fn change(&self, request: Request) -> Result<Changed, CenterError> {
        match self.operate(request).await? {
            Answered { position, answer: Answer::Changed(changed) } => {
                self.core().changed(&changed, position, Instant::now());
                Ok(changed)
            }
            _ => Err(CenterError::unexpected_answer()),
        }
    }

    /// Quota and use; never cached here.
    pub async fn usage(&self) -> Result<Usage, CenterError> {
        match self.operate(Request { key: None, operation: Operation::Usage }).await?.answer {
            Answer::Usage(usage) => Ok(usage),
            _ => Err(CenterError::unexpected_answer()),
        }
    }

    /// Hears of changes from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.news.subscribe())
    }

    fn tell(&self, news: News) {
        // Nobody may be listening.
        let _ = self.news.send(news);
    }

    /// Whether the center answered the last time.
    pub fn is_reachable(&self) -> bool {
        self.contact.borrow().is_reachable
    }

    /// How it is now.
    pub fn condition(&self) -> Condition {
        let entries = self.core().entries();
        let (is_reachable, Times { turned, fed }) = (self.is_reachable(), *self.times());
        Condition { is_reachable, since: turned, fed, entries }
    }

    /// Waits until the center answers.
    pub async fn reachable(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.contact.subscribe().wait_for(|contact| contact.is_reachable).await;
    }

    /// Takes the snapshot at `path`, if there is one fit for use. Blocks on the disk: call it before serving.
    pub fn load(&self, path: &Path) {
        let bytes_max = self.settings.entries_max.get() as u64 * SNAPSHOT_BYTES_PER_ENTRY;
        if let Some(contents) = snapshot::load(path, self.customer, bytes_max) {
            self.core().restore(contents);
        }
    }

    /// Writes a snapshot to `path`, unless the last one still says all. Blocks on the disk.
    ///
    /// # Errors
    /// Of the disk.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let (contents, revision) = {
            let core = self.core();
            let revision = core.revision();
            if self.saved.swap(revision, Ordering::AcqRel) == revision {
                return Ok(());
            }
            (core.contents(), revision)
        };
        let saved = contents.map_or(Ok(()), |contents| snapshot::save(path, self.customer, &contents));
        if saved.is_err() {
            // Not this one, then.
            let _ = self.saved.compare_exchange(revision, 0, Ordering::AcqRel, Ordering::Acquire);
        }
        saved
    }

    /// One operation, unless the center is known to be away: then callers learn so at once, and the feed alone finds
    /// out when it is back.
    async fn operate(&self, request: Request) -> Result<Answered, CenterError> {
        if !self.is_reachable() {
            return Err(CenterError::Unavailable("the storage center did not answer lately".into()));
        }
        let result = self.center.operate(request).await;
        if matches!(result, Err(CenterError::Unavailable(_))) {
            self.set_contact(|contact| contact.is_reachable = false);
            self.probe.notify_one();
        }
        result
    }

    /// When the center cannot be reached, what is known however old is the answer (design decision 13).
    fn known_without_center<T>(
        &self,
        error: CenterError,
        known: impl FnOnce(&mut Core) -> Option<T>,
    ) -> Result<T, CenterError> {
        if !error.is_unavailable() {
            return Err(error);
        }
        known(&mut self.core()).ok_or(error)
    }

    fn take_row(&self, answered: Answered) -> Result<Arc<Entry>, CenterError> {
        match answered.answer {
            Answer::Row(row) => Ok(self.core().insert(row, answered.position, Instant::now())),
            _ => Err(CenterError::unexpected_answer()),
        }
    }

    fn set_contact(&self, change: impl FnOnce(&mut Contact)) {
        self.contact.send_if_modified(|contact| {
            let before = *contact;
            change(contact);
            self.core().set_trust(match *contact {
                Contact { is_fed: true, .. } => Trust::Feed,
                Contact { is_reachable: true, .. } => Trust::Age(self.settings.believe),
                _ => Trust::All,
            });
            if contact.is_reachable != before.is_reachable {
                self.times().turned = Instant::now();
            }
            *contact != before
        });
    }

    /// The feed has answered.
    fn note_fed(&self) {
        self.times().fed = Some(Instant::now());
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        // No code panics while it holds the lock.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // No method of the core leaves it half changed when it panics that would matter more than going on.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
