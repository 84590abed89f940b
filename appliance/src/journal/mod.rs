//! The write journal: what clients wrote and the storage center does not have yet (PORT-12).
//!
//! It owns one directory with a log of records, and in memory, for every *staged* file, where its newest bytes are
//! in that log. It knows nothing of NFS, of the center or of clocks: it is told the time. It never reads base
//! contents; it says which of their bytes are wanted ([`Piece`]).
//!
//! The way of a write: [`Journal::write`] appends a record (readable at once); [`Journal::sync`] makes it durable,
//! many callers by one disk sync; [`Journal::candidates`] names the file when it is quiet;
//! [`Journal::begin_upload`] fixes its contents under a durable token; [`Journal::finish_upload`] frees the space.
//! After a crash at any point, replay comes to the state of some prefix of the records that holds at least all that
//! was synced.
//!
//! | file | what |
//! |---|---|
//! | `record` | one record as bytes (pure) |
//! | `layer` | what was written over what, as extents (pure) |
//! | `state` | the staged files, as a fold over records (pure) |
//! | `segment`, `log` | files, and the row of them that takes records |
//! | `replay` | from files to state |
//! | `carry` | what cannot be uploaded, moved to the log's end |
//! | `tail`, `replica` | the log as a stream, and the log that takes such a stream: the mirror of a pair |
//! | `durability` | group commit |
//!
//! Locks: `log` (held while a record is written, and while a full segment is made durable) before `state` (never held
//! over I/O). So a READ or GETATTR waits for nobody's disk; and no thread that serves clients ever waits for `log`:
//! where it is not free, the work moves to a thread that may block.

mod carry;
mod durability;
mod error;
mod layer;
mod log;
mod record;
mod replay;
mod replica;
mod segment;
mod state;
mod tail;
mod view;

#[doc(hidden)]
pub mod fuzz {
    //! The codecs, opened to fuzzing.
    pub use super::record::{Change, Record, decode};
    pub use super::segment::{encode_header, file_name};

    /// A record as it stands in the log, with its padding.
    pub fn encode(record: &Record<'_>) -> Vec<u8> {
        let encoded = super::record::Encoded::new(record.file, record.time, &record.change);
        let mut bytes = [&encoded.header(record.lsn)[..], encoded.payload()].concat();
        bytes.resize(encoded.len() as usize, 0);
        bytes
    }
}
#[cfg(test)]
mod carry_tests;
#[cfg(test)]
mod mirror_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod small_disk;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use protocol::id::{Timestamp, Token};
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use self::durability::Syncer;
use self::log::{Bounds, Log};
use self::record::{Encoded, HEADER_BYTES, Record};
use self::state::{Place, Request, State};

pub use self::error::JournalError;
pub use self::record::FILE_BYTES_MAX;
pub use self::replica::Incoming;
pub use self::tail::{Batch, Tail};
pub use self::view::{
    Base, FileKey, Lsn, Owed, OwedFile, Piece, Ready, StagedView, UploadSnapshot, Usage, Waiting,
};

/// Largest payload of one [`Journal::write`].
pub const WRITE_BYTES_MAX: usize = 4 << 20;

/// A write up to this length is copied into the page cache by the calling task itself, if nobody holds the log: some
/// microseconds, less than a hop to another thread. Longer ones, and all that would have to wait, hop.
const INLINE_BYTES_MAX: usize = 16 << 10;

/// A sync begins by itself when so much has been appended since the last: so the kernel never has so many dirty
/// pages that it makes writers wait, and the sync of a full segment has little left to do.
const SYNC_AHEAD_BYTES: u64 = 8 << 20;

/// How a journal is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own directory; made if it is not there.
    pub dir: PathBuf,
    /// Most bytes on disk. A quarter of it is the largest segment; the last segment is never given to writes.
    pub bytes_max: u64,
    /// Size of a segment file.
    pub segment_bytes: u64,
    /// Most extents in memory, about 100 bytes each.
    pub extents_max: usize,
    /// Most files staged at once, about 500 bytes each.
    pub files_max: usize,
}

impl Settings {
    /// The usual sizes, for a journal in `dir` of at most `bytes_max` bytes.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max, segment_bytes: 64 << 20, extents_max: 1 << 20, files_max: 1 << 18 }
    }
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Files with changes to upload.
    pub files: usize,
    /// Records replayed.
    pub records: u64,
    /// Bytes at the end that were not a whole record: never acknowledged.
    pub torn_bytes: u64,
    /// One line for each damage inside the log: what was lost, where it is kept. Alarm the operator.
    pub damage: Vec<String>,
}

/// See the module. A handle: clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

/// All staged files; see [`Journal::at_one_moment`].
#[derive(Clone, Copy, Debug)]
pub struct Views<'a>(&'a State);

impl Views<'_> {
    /// The file as staged; `None` if its row says all.
    pub fn of(&self, file: FileKey) -> Option<StagedView> {
        if self.0.files() == 0 { None } else { self.0.view(file) }
    }
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    log: Arc<Mutex<Log>>,
    state: Mutex<State>,
    syncer: Syncer,
    /// Bytes on disk; known without the log's lock.
    bytes_used: Arc<AtomicU64>,
    /// Their bound.
    bytes_max: u64,
    /// The last record, for those who stream the log.
    appended: watch::Sender<Lsn>,
    /// The segments from which somebody streams the log: they and those behind them stay.
    tails: Mutex<Vec<Weak<AtomicU64>>>,
    /// Takes another port's records instead of this one's; changed under the log's lock.
    is_mirror: AtomicBool,
    /// Held while segments are discarded, so that they go in order; whether that failed last time.
    reclaiming: Mutex<bool>,
    /// Keeps other processes out for as long as it is open.
    _lock: File,
}

impl Journal {
    /// Opens or makes the journal and replays it. Blocks: call it before serving.
    ///
    /// # Errors
    /// `InUse`, `NoSpace`, `Io`: all for the operator.
    pub fn open(mut settings: Settings) -> Result<(Self, Recovery), JournalError> {
        settings.segment_bytes = settings.segment_bytes.min(settings.bytes_max / 4);
        let dir = settings.dir.clone();
        let io = |error| JournalError::from_io(&dir, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io)?;
        let lock = File::create(dir.join("lock")).map_err(io)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| JournalError::InUse(dir.clone()))?;

        replica::recover(&dir).map_err(io)?;
        let mut replayed = replay::replay(&dir, settings.segment_bytes).map_err(io)?;
        let segments_max = (settings.bytes_max / settings.segment_bytes.max(1)) as usize;
        let bounds = Bounds { segment_bytes: settings.segment_bytes, segments_max };
        let log = Log::new(dir.clone(), bounds, &mut replayed).map_err(io)?;
        let (bytes_used, bytes_max) = (log.gauge(), log.bytes_max());
        let log = Arc::new(Mutex::new(log));
        let point = Arc::clone(&log);
        let last = replayed.last;
        let syncer = Syncer::start(last, move || locked(&point).sync_point()).map_err(io)?;
        let state = Mutex::new(replayed.state);
        let reclaiming = Mutex::default();
        let inner = Inner {
            settings,
            log,
            state,
            syncer,
            bytes_used,
            bytes_max,
            appended: watch::Sender::new(last),
            tails: Mutex::default(),
            is_mirror: AtomicBool::new(false),
            reclaiming,
            _lock: lock,
        };
        Ok((Self { inner: Arc::new(inner) }, replayed.report))
    }

    /// Stages bytes, at most [`WRITE_BYTES_MAX`]. `base` is the file's row as the caller knows it; it counts only if
    /// the file is not staged yet. The bytes are readable at once and durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// Any but `InUse`.
    pub async fn write(
        &self,
        file: FileKey,
        base: Base,
        offset: u64,
        data: Bytes,
        now: Timestamp,
    ) -> Result<Lsn, JournalError> {
        self.request(file, Request::Write(base, offset, data), now).await.map(Option::unwrap_or_default)
    }

    /// Stages a new size: cuts the file, or extends it with zeros. Otherwise like [`write`](Self::write).
    ///
    /// # Errors
    /// Any but `InUse`.
    pub async fn truncate(
        &self,
        file: FileKey,
        base: Base,
        size: u64,
        now: Timestamp,
    ) -> Result<Lsn, JournalError> {
        self.request(file, Request::Truncate(base, size), now).await.map(Option::unwrap_or_default)
    }

    /// SETATTR on a staged file; the caller also updates the row. Without `modified` the time of the last write stays,
    /// and only the change time moves. `None` if the file is not staged: the row is all there is.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `Io`.
    pub async fn set_times(
        &self,
        file: FileKey,
        modified: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Lsn>, JournalError> {
        self.request(file, Request::Times(modified), now).await
    }

    /// The row moved on to `version` with the same contents (a rename, a mode): takes over the version.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `Io`.
    pub async fn set_version(&self, file: FileKey, version: u64) -> Result<(), JournalError> {
        self.request(file, Request::Version(version), Timestamp::default()).await.map(drop)
    }

    /// Waits until every record up to `lsn` is durable.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn sync(&self, lsn: Lsn) -> Result<(), JournalError> {
        self.inner.syncer.wait(lsn).await
    }

    /// Number of the last record.
    pub fn last(&self) -> Lsn {
        *self.inner.appended.borrow()
    }

    /// Makes everything so far durable: for a graceful stop.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn sync_all(&self) -> Result<(), JournalError> {
        let inner = Arc::clone(&self.inner);
        let last = off_the_runtime(move || Ok(locked(&inner.log).last())).await?;
        self.sync(last).await
    }

    /// Waits until its disk has failed: nothing is acknowledged any more then, until a start has read the log back.
    pub async fn failed(&self) -> JournalError {
        self.inner.syncer.failed().await
    }

    /// Whether its disk has failed.
    ///
    /// # Errors
    /// `Failed`.
    pub fn check(&self) -> Result<(), JournalError> {
        self.inner.syncer.check()
    }

    /// The file as staged; `None` if its row says all.
    pub fn view(&self, file: FileKey) -> Option<StagedView> {
        locked(&self.inner.state).view(file)
    }

    /// Shows `look` all views at one moment. Until it returns none is forgotten: so the rows it reads are not older than
    /// what it sees here. It must be short, and not call the journal.
    pub fn at_one_moment<T>(&self, look: impl FnOnce(Views<'_>) -> T) -> T {
        look(Views(&locked(&self.inner.state)))
    }

    /// The view, and where the bytes `offset .. offset + len` are (cut at the end of the file), at one moment.
    pub fn read(&self, file: FileKey, offset: u64, len: u64) -> Option<(StagedView, Vec<Piece>)> {
        locked(&self.inner.state).read(file, offset, len)
    }

    /// Files to upload now, of those `wanted`: those that hold up the oldest journal space first. A file whose upload
    /// was begun and not finished counts as ready. `wanted` is asked under a lock: it must not call the journal.
    pub fn candidates(
        &self,
        now: Timestamp,
        ready: Ready,
        wanted: impl FnMut(&Waiting) -> bool,
    ) -> Vec<FileKey> {
        locked(&self.inner.state).candidates(now, ready, wanted)
    }

    /// Fixes the file's present contents for an upload under `token`, durably. If an upload was begun before, be it
    /// before a crash, that one is given again, with its own token and contents. `None` if nothing is staged.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `Io`.
    pub async fn begin_upload(
        &self,
        file: FileKey,
        token: Token,
        now: Timestamp,
    ) -> Result<Option<UploadSnapshot>, JournalError> {
        if let Some(lsn) = self.request(file, Request::Seal(token), now).await? {
            self.sync(lsn).await?;
        }
        Ok(locked(&self.inner.state).upload(file))
    }

    /// The row holds what was uploaded under `token`; `base` is what it says now. Writes taken meanwhile stay staged
    /// on it. Frees journal space. Without effect unless that upload is the one begun.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `Io`: repeat it later; the same upload stays begun.
    pub async fn finish_upload(
        &self,
        file: FileKey,
        token: Token,
        base: Base,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        self.request(file, Request::Finish(token, base), now).await?;
        self.reclaim().await
    }

    /// Somebody else changed the row: puts the staged changes onto other contents. An upload begun is undone; the
    /// caller gives up what it stored under the old token. Without effect if `base` is older than what they stand on.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `Io`.
    pub async fn rebase(&self, file: FileKey, base: Base, now: Timestamp) -> Result<(), JournalError> {
        self.request(file, Request::Rebase(base), now).await.map(drop)
    }

    /// The file is gone from the center: forgets its changes. Frees journal space.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `Io`.
    pub async fn drop_file(&self, file: FileKey, now: Timestamp) -> Result<(), JournalError> {
        self.request(file, Request::Drop, now).await?;
        self.reclaim().await
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let (bytes_used, bytes_max) = (self.inner.bytes_used.load(Ordering::Relaxed), self.inner.bytes_max);
        let state = locked(&self.inner.state);
        Usage { bytes_used, bytes_max, extents: state.extents(), files: state.files() }
    }

    /// What the center does not have yet. For people: it goes through all extents, up to a million of them.
    pub fn owed(&self) -> Owed {
        locked(&self.inner.state).owed()
    }

    /// Which files that is, the oldest first. For people as well.
    pub fn owed_files(&self) -> Vec<OwedFile> {
        locked(&self.inner.state).owed_files()
    }

    async fn request(
        &self,
        file: FileKey,
        request: Request,
        now: Timestamp,
    ) -> Result<Option<Lsn>, JournalError> {
        let outcome = match self.inner.try_request(file, &request, now) {
            Some(outcome) => outcome,
            None => {
                let inner = Arc::clone(&self.inner);
                off_the_runtime(move || inner.request(&mut locked(&inner.log), file, &request, now)).await
            }
        };
        if matches!(outcome, Err(JournalError::Full)) {
            // Perhaps only because segments could not be discarded: with nothing left to upload nobody else tries again.
            self.reclaim().await?;
        }
        outcome
    }

    /// Takes away the segments nobody needs. What is not needed in memory may still be needed by a replay that does
    /// not see the newest records: so these are made durable first. A segment that cannot be discarded keeps the newer
    /// ones in place, and the next call tries again.
    pub async fn reclaim(&self) -> Result<(), JournalError> {
        let inner = Arc::clone(&self.inner);
        let at_once = inner.log.try_lock().ok().map(|log| inner.needless(&log));
        let needless = match at_once {
            Some(needless) => needless,
            None => {
                let inner = Arc::clone(&inner);
                off_the_runtime(move || Ok(inner.needless(&locked(&inner.log)))).await?
            }
        };
        let Some(Needless { below: needed, last }) = needless else { return Ok(()) };
        self.sync(last).await?;
        off_the_runtime(move || {
            inner.discard_below(needed);
            Ok(())
        })
        .await
    }
}

/// Segments that memory does not need.
struct Needless {
    /// Those with a lower number.
    below: u64,
    /// When this record is durable, no replay needs them either.
    last: Lsn,
}

impl Inner {
    /// The oldest segment that a replay needs.
    fn first_needed(&self, log: &Log) -> u64 {
        locked(&self.state).first_segment().unwrap_or(log.active_segment())
    }

    fn needless(&self, log: &Log) -> Option<Needless> {
        let mut tails = locked(&self.tails);
        tails.retain(|tail| tail.strong_count() > 0);
        let streamed = tails.iter().filter_map(Weak::upgrade).map(|tail| tail.load(Ordering::Relaxed)).min();
        let below = self.first_needed(log).min(streamed.unwrap_or(u64::MAX));
        (log.oldest_segment() < below).then(|| Needless { below, last: log.last() })
    }

    /// Discards the segments below `number`, the oldest first. An error is told once, until it goes again.
    fn discard_below(&self, number: u64) {
        let dir = &self.settings.dir;
        let mut has_failed = locked(&self.reclaiming);
        let oldest = || locked(&self.log).take_below(number);
        while let Some(segment) = oldest() {
            if let Err(error) = segment.discard(dir) {
                if !std::mem::replace(&mut *has_failed, true) {
                    let path = segment.path.display();
                    tracing::error!(%path, "cannot remove a journal segment; the journal fills up until it goes: {error}");
                }
                return locked(&self.log).put_back(segment);
            }
            *has_failed = false;
        }
    }

    /// Does a short request at once. `None` if that would mean waiting.
    fn try_request(
        &self,
        file: FileKey,
        request: &Request,
        now: Timestamp,
    ) -> Option<Result<Option<Lsn>, JournalError>> {
        // Room for the payload and two records of the longest other kind.
        let bytes = (request.len() + 4 * HEADER_BYTES) as u64;
        if request.len() > INLINE_BYTES_MAX {
            return None;
        }
        let mut log = self.log.try_lock().ok()?;
        log.fits(bytes).then(|| self.request(&mut log, file, request, now))
    }

    /// Decides, appends, applies: all under the log's lock, so in one order for memory and disk. Returns the last
    /// record's number, or `None` if there was nothing to do.
    fn request(
        &self,
        log: &mut Log,
        file: FileKey,
        request: &Request,
        now: Timestamp,
    ) -> Result<Option<Lsn>, JournalError> {
        self.syncer.check()?;
        if self.is_mirror.load(Ordering::Relaxed) {
            return Err(JournalError::IsMirror);
        }
        let changes = {
            let state = locked(&self.state);
            let full =
                state.extents() >= self.settings.extents_max || state.files() >= self.settings.files_max;
            if full && request.takes_space() {
                return Err(JournalError::Full);
            }
            state.decide(file, request, now)?
        };
        if changes.is_empty() {
            return Ok(None);
        }
        let encoded: Vec<_> =
            changes.iter().map(|(time, change)| Encoded::new(file, *time, change)).collect();
        let appended = log.append(&encoded, request.room()).map_err(|error| self.append_error(error))?;
        if log.unsynced() >= SYNC_AHEAD_BYTES {
            self.syncer.want(log.last());
        }
        let mut state = locked(&self.state);
        let (mut lsn, mut position) = (appended.first, appended.position);
        for ((time, change), encoded) in changes.into_iter().zip(&encoded) {
            let place = Place {
                segment: appended.segment,
                log: &appended.log,
                position: position + HEADER_BYTES as u64,
            };
            state.apply(&Record { lsn, file, time, change }, place);
            position += encoded.len();
            lsn.0 += 1;
        }
        drop(state);
        self.appended.send_replace(log.last());
        Ok(Some(log.last()))
    }
}

/// A lock is never left in a broken state by a panic here: nothing between its taking and giving up panics.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| Err(JournalError::Failed(error.to_string().into())))
}
