//! Brings what clients wrote from the journal to the center (PORT-12): which file when, how many at once, and what
//! happens when one fails. [`upload`] is the way of a single file.

mod contents;
mod delays;
mod upload;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nfs::duty::Duty;
use protocol::id::CustomerId;
use protocol::vfs::VfsErrorCode;
use tokio::sync::{Notify, Semaphore, watch};

use self::delays::{DIRTY_MAX, Delays};
pub(crate) use self::upload::content_of;
use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::host;
use crate::journal::{FileKey, Journal, JournalError, Lsn, Ready, Waiting};

/// Uploads at once. Hashing takes a core each; more would only compete with serving.
const UPLOADS_MAX: usize = 4;
/// Of these, at most so many of long files: behind those the others would wait for hours.
const LONG_UPLOADS_MAX: usize = UPLOADS_MAX - 1;
const LONG_BYTES: u64 = 64 << 20;
/// So many times as long as a look at all that is staged took, the next one waits: with very many files it takes long.
const REST_SHARE: u32 = 4;
const REST_FROM: Duration = Duration::from_millis(1);
/// A file that somebody waits for is uploaded when it was quiet for so long, whatever its folder's rule.
const HURRIED_QUIET: Duration = Duration::from_millis(200);
/// Between attempts of one file that failed: doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// Of the journal, what cannot be uploaded may have one part of so many: that much is carried forward, so that it keeps no
/// room from others. More of it would be carried round and round.
const STUCK_SHARE: u64 = 4;
/// So many are carried forward after one look for them.
const CARRIED_MAX: usize = 256;
/// Until the next look if none held up others, and if one could not be carried.
const CARRY_EVERY: Duration = Duration::from_secs(1);
const CARRY_AGAIN: Duration = RETRY_LAST;
/// How often the journal is looked at while something is staged.
const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_millis(250);

/// Why an upload did not come through. The file stays staged, and is tried again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UploadError {
    /// The center refused it or could not be reached.
    #[error(transparent)]
    Center(#[from] CenterError),
    /// What the file stands on could not be read.
    #[error("what the file stood on: {0}")]
    Base(CenterError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal's or the cache's disk failed while the file was read.
    #[error("reading what was written: {0}")]
    Disk(Arc<std::io::Error>),
    /// Others change the row faster than it can be uploaded.
    #[error("the file's row changes all the time")]
    Contended,
    /// The port is stopping.
    #[error("the port is stopping")]
    Stopped,
}

impl UploadError {
    /// Whether only waiting helps, as opposed to somebody who mends something.
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Center(error) | Self::Base(error) if error.is_unavailable())
    }

    /// Whether the center answers, and does not take the file: only somebody who mends something helps. That another port
    /// serves is no such answer.
    fn is_refused(&self) -> bool {
        let (Self::Center(error) | Self::Base(error)) = self else { return false };
        let is_overtaken = matches!(error, CenterError::Superseded(_))
            || matches!(error.code(), Some(VfsErrorCode::Superseded(_)));
        !error.is_unavailable() && !is_overtaken && !matches!(error, CenterError::Source(_))
    }

    fn is_lack_of_space(&self) -> bool {
        match self {
            Self::Center(error) => {
                matches!(error, CenterError::NoSpace(_)) || error.code() == Some(VfsErrorCode::QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// See the module.
pub struct Uploader<C> {
    journal: Journal,
    customers: HashMap<CustomerId, Arc<Customer<C>>>,
    delays: Delays,
    files: Mutex<Files>,
    slots: Arc<Semaphore>,
    wake: Notify,
    /// Do not wait for files to be quiet: the journal is full, or the port stops.
    is_urgent: AtomicBool,
    settled: watch::Sender<()>,
    duty: Duty,
    done: AtomicU64,
    failures: AtomicU64,
}

/// How uploads go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Under way.
    pub under_way: usize,
    /// Files whose last attempt failed, and that are tried again.
    pub failing: usize,
    /// That came through since the start.
    pub done: u64,
    /// Attempts that failed since the start.
    pub failures: u64,
}

#[derive(Default)]
struct Files {
    /// With their sizes when the uploads began.
    uploading: HashMap<FileKey, u64>,
    /// Somebody waits for them.
    hurried: HashSet<FileKey>,
    failed: HashMap<FileKey, Failed>,
    /// They are carried forward in the journal: no upload of them begins.
    carried: HashSet<FileKey>,
    /// When it is next looked for such.
    next_carry: Option<Instant>,
}

struct Failed {
    is_refused: bool,
    next: Instant,
    wait: Duration,
}

impl<C: StorageCenter> Uploader<C> {
    /// An uploader of files that have been `quiet` for so long, or as long as the rule of their folder says, while the port is
    /// on `duty`; [`run`](Self::run) must run beside it.
    pub fn new(
        journal: Journal,
        customers: HashMap<CustomerId, Arc<Customer<C>>>,
        quiet: Duration,
        duty: Duty,
    ) -> Arc<Self> {
        let uploader = Self {
            journal,
            customers,
            delays: Delays::new(quiet),
            files: Mutex::default(),
            slots: Arc::new(Semaphore::new(UPLOADS_MAX)),
            wake: Notify::new(),
            is_urgent: AtomicBool::new(false),
            settled: watch::Sender::new(()),
            duty,
            done: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        uploader.note_staged();
        Arc::new(uploader)
    }

    /// How uploads go.
    pub fn uploads(&self) -> Uploads {
        let files = self.files();
        Uploads {
            under_way: files.uploading.len(),
            failing: files.failed.len(),
            done: self.done.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// How long a file is to be quiet before it is uploaded, as far as its folders are at hand.
    pub fn quiet(&self, file: FileKey) -> Option<Duration> {
        self.customers.get(&file.customer).map(|customer| self.delays.of(customer, file.file))
    }

    /// The longest that what was written waits for its upload to begin, as `[upload]` and the folders' rules say.
    pub fn longest_delay(&self) -> Duration {
        self.delays.longest(self.customers.values())
    }

    /// When a file whose last attempt failed is tried again, from `now` on; `None` if none failed.
    pub fn again(&self, file: FileKey, now: Instant) -> Option<Duration> {
        self.files().failed.get(&file).map(|failed| failed.next.saturating_duration_since(now))
    }

    /// Something was staged.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The journal is full: make room at once.
    pub fn hurry(&self) {
        self.is_urgent.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits until nothing of `file` is staged; `false` if that takes longer than `most`.
    pub async fn settled(&self, file: FileKey, most: Duration) -> bool {
        let mut settled = self.settled.subscribe();
        let wait = settled.wait_for(|()| self.journal.view(file).is_none());
        matches!(tokio::time::timeout(most, wait).await, Ok(Ok(_)))
    }

    /// The same, but has `file` uploaded as soon as there is a short pause in its writing.
    pub async fn settle(&self, file: FileKey, most: Duration) -> bool {
        let mut settled = self.settled.subscribe();
        let finish = async {
            while self.journal.view(file).is_some() {
                self.files().hurried.insert(file);
                self.wake.notify_one();
                let _ = tokio::time::timeout(TICK_MAX, settled.changed()).await;
            }
        };
        tokio::time::timeout(most, finish).await.is_ok()
    }

    /// Whether the journal's records of `file` up to `lsn` are at the center.
    pub fn has_uploaded(&self, file: FileKey, lsn: Lsn) -> bool {
        self.journal.view(file).is_none_or(|view| view.uploaded >= lsn)
    }

    /// Uploads `file` without waiting for it to be quiet, until its records up to `lsn` are at the center.
    pub async fn upload_soon(&self, file: FileKey, lsn: Lsn) {
        let mut settled = self.settled.subscribe();
        while !self.has_uploaded(file, lsn) {
            self.hurry();
            let _ = tokio::time::timeout(TICK_MAX, settled.changed()).await;
        }
    }

    /// Uploads all that is staged now, but for customers that this port does not serve. What the center refuses stays
    /// staged: whoever waits for all others must not wait until somebody has mended that.
    pub async fn upload_all(&self) {
        let all = Ready { quiet: Duration::ZERO, age_max: Duration::ZERO, limit: usize::MAX };
        let last = self.journal.last();
        let mut refused = 0_u64;
        for file in self
            .journal
            .candidates(host::now(), all, |waiting| self.customers.contains_key(&waiting.file.customer))
        {
            tokio::select! {
                () = self.upload_soon(file, last) => {}
                () = self.refused(file) => refused += 1,
            }
        }
        if refused > 0 {
            tracing::error!(
                files = refused,
                "the storage center refuses what was written to files: only ports have it"
            );
        }
    }

    /// Waits until the last attempt to upload `file` was refused.
    async fn refused(&self, file: FileKey) {
        let mut settled = self.settled.subscribe();
        let is_refused = || self.files().failed.get(&file).is_some_and(|failed| failed.is_refused);
        let _ = settled.wait_for(|()| is_refused()).await;
    }

    /// Uploads whatever is ready until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            let tick = (self.delays.shortest(self.customers.values()) / 4).clamp(TICK_MIN, TICK_MAX);
            if self.journal.usage().files == 0 {
                self.wake.notified().await;
            } else {
                // Either is fine: a wake only saves the rest of a tick.
                let _ = tokio::time::timeout(tick, self.wake.notified()).await;
            }
            let begun = Instant::now();
            self.start_ready();
            let took = begun.elapsed();
            if took > REST_FROM {
                tokio::time::sleep(took * REST_SHARE).await;
            }
        }
    }

    /// Uploads everything, for a bounded time: a stopping port leaves as little as it can in its journal, which keeps
    /// the rest.
    pub async fn drain(&self, most: Duration) {
        let finish = async {
            let mut settled = self.settled.subscribe();
            while self.journal.usage().files > 0 && self.is_any_reachable() && self.duty.is_on() {
                self.hurry();
                let _ = tokio::time::timeout(TICK_MAX, settled.changed()).await;
            }
        };
        let _ = tokio::time::timeout(most, finish).await;
    }

    fn start_ready(self: &Arc<Self>) {
        if !self.duty.is_on() {
            return;
        }
        let usage = self.journal.usage();
        let is_half_full = usage.bytes_used > usage.bytes_max / 2;
        if is_half_full {
            self.carry_stuck(usage.bytes_max);
        }
        // Before all that is staged is gone through: with each write this is asked again.
        if self.slots.available_permits() == 0 {
            return;
        }
        let is_urgent = self.is_urgent.swap(false, Ordering::Relaxed) || is_half_full;
        for (file, customer) in self.startable(is_urgent) {
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
            let size = self.journal.view(file).map_or(0, |view| view.size);
            if !self.files().begin(file, size) {
                continue;
            }
            let uploader = Arc::clone(self);
            tokio::spawn(async move {
                let result = upload::upload(&uploader.journal, &customer, file).await;
                uploader.finished(&customer, file, result);
                drop(slot);
                uploader.wake();
            });
        }
    }

    /// What the center refuses, or what belongs to nobody whom this port serves, stays in the journal, and would hold up the
    /// space of all that is newer, for all customers. So from half full on it is carried forward, the oldest first.
    fn carry_stuck(self: &Arc<Self>, bytes_max: u64) {
        let now = Instant::now();
        let mut files = self.files();
        if !files.carried.is_empty() || files.next_carry.is_some_and(|next| now < next) {
            return;
        }
        files.next_carry = Some(now + CARRY_EVERY);
        let is_stuck = |file: FileKey| {
            !self.customers.contains_key(&file.customer)
                || !files.uploading.contains_key(&file)
                    && files.failed.get(&file).is_some_and(|failed| failed.is_refused)
        };
        let all = Ready { quiet: Duration::ZERO, age_max: Duration::ZERO, limit: CARRIED_MAX };
        let stuck = self.journal.candidates(host::now(), all, |waiting| is_stuck(waiting.file));
        if stuck.is_empty() {
            return;
        }
        let owed = self.journal.owed_files();
        let bytes: u64 = owed.iter().filter(|owed| is_stuck(owed.file)).map(|owed| owed.bytes).sum();
        if bytes > bytes_max / STUCK_SHARE {
            files.next_carry = Some(now + CARRY_AGAIN);
            return;
        }
        files.carried.extend(&stuck);
        drop(files);
        let uploader = Arc::clone(self);
        tokio::spawn(async move {
            let rest = uploader.carry_forward(&stuck).await;
            let mut files = uploader.files();
            files.carried.clear();
            files.next_carry = Some(Instant::now() + rest);
            drop(files);
            uploader.wake();
        });
    }

    /// How long there is nothing more to carry.
    async fn carry_forward(&self, stuck: &[FileKey]) -> Duration {
        let mut rest = CARRY_EVERY;
        for &file in stuck {
            // Nor do those behind it: what else is older is being uploaded, or on its way to the other port of a pair.
            if !self.journal.holds_up_others(file).await {
                break;
            }
            let (customer, id) = (file.customer, file.file);
            match self.journal.carry_forward(file, host::token()).await {
                Ok(true) => {
                    tracing::debug!(%customer, file = %id, "carried forward in the journal");
                    rest = Duration::ZERO;
                }
                Ok(false) => return CARRY_AGAIN,
                Err(error) => {
                    tracing::warn!(%customer, file = %id, "not carried forward in the journal: {error}");
                    return CARRY_AGAIN;
                }
            }
        }
        rest
    }

    /// The oldest files an upload of which may begin now. Those that cannot be uploaded do not stand in the way of others.
    fn startable(&self, is_urgent: bool) -> Vec<(FileKey, Arc<Customer<C>>)> {
        let mut files = self.files();
        // A file that was removed meanwhile is nobody's failure any more, and nobody waits for it.
        let is_staged = |file| self.journal.view(file).is_some();
        files.failed.retain(|file, _| is_staged(*file));
        files.hurried.retain(|file| is_staged(*file));
        let now = Instant::now();
        self.delays.tidy(now, is_staged);
        let reachable = |file: FileKey| {
            self.customers.get(&file.customer).filter(|customer| customer.directory.is_reachable())
        };
        let is_over = |customer: &Arc<Customer<C>>, waiting: &Waiting| {
            is_urgent
                || waiting.is_begun
                || files.hurried.contains(&waiting.file) && waiting.quiet >= HURRIED_QUIET
                || self.delays.is_over(customer, waiting, now)
        };
        let wanted = |waiting: &Waiting| {
            files.may_start(waiting, now)
                && reachable(waiting.file).is_some_and(|customer| is_over(customer, waiting))
        };
        let shortest = self.delays.shortest(self.customers.values()).min(HURRIED_QUIET);
        let quiet = if is_urgent { Duration::ZERO } else { shortest };
        let ready = Ready { quiet, age_max: DIRTY_MAX, limit: UPLOADS_MAX };
        let found = self.journal.candidates(host::now(), ready, wanted);
        found.into_iter().filter_map(|file| Some((file, Arc::clone(reachable(file)?)))).collect()
    }

    fn finished(&self, customer: &Customer<C>, file: FileKey, result: Result<(), UploadError>) {
        customer.note(file.file, || self.journal.view(file));
        let mut files = self.files();
        files.uploading.remove(&file);
        files.hurried.remove(&file);
        match result {
            Ok(()) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                files.failed.remove(&file);
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let is_first = !files.failed.contains_key(&file);
                let slow = if error.is_lack_of_space() { RETRY_LAST } else { RETRY_FIRST };
                let failed = files.failed.entry(file).or_insert(Failed {
                    is_refused: false,
                    next: Instant::now(),
                    wait: slow,
                });
                failed.is_refused = error.is_refused();
                failed.next = Instant::now() + failed.wait;
                failed.wait = (2 * failed.wait).min(RETRY_LAST);
                if error.is_unavailable() || !self.duty.is_on() {
                    tracing::debug!(customer = %file.customer, file = %file.file, "upload waits: {error}");
                } else if is_first {
                    let (customer, file) = (file.customer, file.file);
                    tracing::error!(%customer, %file, "upload failed, kept in the journal and tried again: {error}");
                }
            }
        }
        drop(files);
        self.settled.send_replace(());
    }

    /// Counts what the journal holds: what a restart found there, or what came from the other port of a pair.
    pub fn note_staged(&self) {
        self.customers.values().for_each(|customer| customer.note_nothing());
        let all = Ready { quiet: Duration::ZERO, age_max: Duration::ZERO, limit: usize::MAX };
        for file in self.journal.candidates(host::now(), all, |_| true) {
            match self.customers.get(&file.customer) {
                Some(customer) => customer.note(file.file, || self.journal.view(file)),
                None => tracing::error!(
                    customer = %file.customer, file = %file.file,
                    "the journal holds writes of a customer without a [[customer]] entry; add it to upload them"
                ),
            }
        }
    }

    fn is_any_reachable(&self) -> bool {
        self.customers.values().any(|customer| customer.directory.is_reachable())
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn may_start(&self, waiting: &Waiting, now: Instant) -> bool {
        !self.uploading.contains_key(&waiting.file)
            && !self.carried.contains(&waiting.file)
            && self.has_room(waiting.size)
            && self.failed.get(&waiting.file).is_none_or(|failed| failed.next <= now)
    }

    fn has_room(&self, size: u64) -> bool {
        let is_long = |size: u64| size > LONG_BYTES;
        let long = self.uploading.values().filter(|size| is_long(**size)).count();
        !is_long(size) || long < LONG_UPLOADS_MAX
    }

    /// Whether its upload begins now.
    fn begin(&mut self, file: FileKey, size: u64) -> bool {
        let begins = self.has_room(size);
        if begins {
            self.uploading.insert(file, size);
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nfs::filesystem::{CreateHow, Filesystem, FsError, SetAttributes};
    use protocol::digest::Content;
    use protocol::id::ObjectId;

    use super::*;
    use crate::journal::Base;
    use crate::testing::port::{TestPort, root};

    /// PORT-12: old writes of a customer without an entry hold up nobody else's uploads.
    #[tokio::test(flavor = "multi_thread")]
    async fn files_of_an_unknown_customer_stop_no_uploads() {
        let mut port = TestPort::start().await;
        let base = Base { content: Content::EMPTY, version: 1 };
        for file in 0..2 * UPLOADS_MAX as u64 {
            let file = FileKey { customer: CustomerId(404), file: ObjectId(file) };
            port.journal.write(file, base, 0, Bytes::from_static(b"x"), host::now()).await.unwrap();
        }
        let file = port.put(&port.root().await, "file", b"bytes").await.unwrap();
        port.upload();
        port.settle(&file).await;
    }

    /// PORT-12: files that take long to upload do not hold up all others.
    #[tokio::test(flavor = "multi_thread")]
    async fn long_uploads_leave_a_place() {
        let mut port = TestPort::start().await;
        let dir = port.root().await;
        let size = LONG_BYTES + 1;
        port.center.hang(&vec![0; size as usize]);
        for name in ["1", "2", "3", "4", "5"] {
            let long = port.put(&dir, name, b"\0").await.unwrap();
            let set = SetAttributes { size: Some(size), ..SetAttributes::default() };
            port.translator.setattr(&root(), &long, set, None).await.result.unwrap();
        }
        port.upload();
        while port.uploader.uploads().under_way < LONG_UPLOADS_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let short = port.put(&dir, "short", b"short").await.unwrap();
        port.settle(&short).await;
        assert!(port.uploader.uploads().under_way >= LONG_UPLOADS_MAX, "they are under way still");
    }

    /// PORT-12: contents that the center does not take stay until others take their place, or the file is removed.
    #[tokio::test(flavor = "multi_thread")]
    async fn contents_that_are_refused_give_way() {
        let mut port = TestPort::start().await;
        port.center.refuse(b"refused");
        let dir = port.root().await;
        let rewritten = port.put(&dir, "rewritten", b"refused").await.unwrap();
        let removed = port.put(&dir, "removed", b"refused").await.unwrap();
        port.upload();
        while port.uploader.uploads().failing < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(port.read(&removed).await.unwrap(), b"refused", "it is kept");
        port.write(&rewritten, 0, b"written").await.unwrap();
        port.settle(&rewritten).await;
        assert_eq!(port.center.contents(port.id(&rewritten)).as_deref(), Some(&b"written"[..]));
        port.translator.remove(&root(), &dir, b"removed").await.result.unwrap();
        port.settle(&removed).await;
        assert_eq!(port.journal.usage().files, 0);
    }

    /// FO-2: what the center does not take does not keep the rest from being brought there, nor a port from going alone.
    #[tokio::test(flavor = "multi_thread")]
    async fn all_is_uploaded_but_what_is_refused() {
        let mut port = TestPort::start().await;
        port.center.refuse(b"refused");
        let dir = port.root().await;
        let refused = port.put(&dir, "refused", b"refused").await.unwrap();
        let files = ["1", "2", "3"].map(|name| (name, name.as_bytes()));
        let mut taken = Vec::new();
        for (name, bytes) in files {
            taken.push((port.put(&dir, name, bytes).await.unwrap(), bytes));
        }
        port.upload();
        for _ in 0..2 {
            tokio::time::timeout(Duration::from_secs(20), port.uploader.upload_all()).await.unwrap();
            assert_eq!(port.journal.usage().files, 1);
        }
        for (file, bytes) in taken {
            assert_eq!(port.center.contents(port.id(&file)).as_deref(), Some(bytes));
        }
        assert_eq!(port.read(&refused).await.unwrap(), b"refused", "it is kept");
    }

    /// PORT-12: what the center refuses, and what is nobody's, does not fill the journal for all others.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_stuck_holds_up_no_others() {
        let mut port = TestPort::start_with_journal(Arc::default(), |export| export, 2 << 20).await;
        let contents = |number: u8| vec![number; 64 << 10];
        port.center.refuse(&contents(255));
        let dir = port.root().await;
        let refused = port.put(&dir, "refused", &contents(255)).await.unwrap();
        let nobody = FileKey { customer: CustomerId(404), file: ObjectId(1) };
        let base = Base { content: Content::EMPTY, version: 1 };
        port.journal.write(nobody, base, 0, Bytes::from(contents(254)), host::now()).await.unwrap();
        port.upload();
        let all = async {
            for number in 0..100 {
                let (name, how) = (number.to_string(), CreateHow::Guarded(SetAttributes::default()));
                let made = port.translator.create(&root(), &dir, name.as_bytes(), how).await;
                let (file, _) = made.result.unwrap();
                while let Err(error) = port.write(&file, 0, &contents(number)).await {
                    assert!(matches!(error, FsError::TryLater), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all).await.expect("the journal is full for good");
        assert_eq!(port.read(&refused).await.unwrap(), contents(255), "it is kept");
        assert_eq!(port.journal.view(nobody).unwrap().size, 64 << 10, "so is this");
        assert!(!port.uploader.has_uploaded(nobody, Lsn(1)));
    }

    /// A write may be noted only after its upload has ended, for another thread was first: then the row counts it, and
    /// no more is held of it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_noted_after_its_upload_is_counted_once() {
        let mut port = TestPort::start().await;
        let file = port.put(&port.root().await, "file", b"bytes").await.unwrap();
        let key = FileKey { customer: port.customer.id, file: port.id(&file) };
        port.customer.note(key.file, || port.journal.view(key));
        assert_eq!(port.customer.usage().await.unwrap().bytes_used, 5, "staged");
        port.upload();
        port.settle(&file).await;
        port.customer.note(key.file, || port.journal.view(key));
        assert_eq!(port.customer.usage().await.unwrap().bytes_used, 5, "in the row");
    }
}
