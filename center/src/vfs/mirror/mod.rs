//! One directory in several storage centers (VFS-21, VFS-22, GEO-4, GEO-5): what the database has to do with it.
//!
//! One center writes. Each transaction of its writer leaves the rows it touched in a log (`rows`, `image`, `log`),
//! which the other centers pull and put into their own databases (`replica`); a change is answered when one of them has
//! it (`debts`, pure). Which center writes stands in the database itself, as a list of generations, and is looked at in
//! every transaction: so a command that works on the database beside the service is refused where it must be.
//!
//! Who asks whom is not known here; see `cluster/mirror`. PostgreSQL mirrors by its own streaming replication.

mod debts;
mod image;
mod log;
mod replica;
mod rows;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use protocol::dosp::operations::{Generation, PullDirectoryIn, PullDirectoryOut};
use tokio::sync::{Notify, watch};

use self::debts::Verdict;
use self::replica::Replica;
use super::engine::{Database, Engine, Session};
use super::failure::StoreError;
use super::feed::Waiters;
use super::readers::Readers;

pub use self::debts::{Alone, Debts, Follower, Permission};
pub use self::log::{Keep, Position};

/// Which center this is, among which.
#[derive(Clone, Debug)]
pub struct Names {
    /// This center.
    pub center: String,
    /// The center that writes before any was appointed.
    pub first_writer: String,
    /// How many other centers there are.
    pub others: usize,
}

/// The mirrored side of a directory database. Clones share it.
#[derive(Clone)]
pub struct Mirror {
    shared: Arc<Shared>,
}

struct Shared {
    names: Names,
    database: PathBuf,
    engine: Engine,
    readers: Readers,
    waiters: Arc<Waiters>,
    keep: Keep,
    debts: Mutex<Debts>,
    /// Wakes who waits for a verdict.
    settled: Condvar,
    /// Wakes the one who speaks to the witness.
    wants: Notify,
    known: watch::Sender<Position>,
    replica: Mutex<Replica>,
}

/// What an operator is told of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSize {
    /// Entries kept.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Mirror {
    /// Of a database of SQLite's that is prepared. Blocks.
    pub(super) fn open(
        database: &Path,
        names: Names,
        readers: Readers,
        waiters: Arc<Waiters>,
        keep: Keep,
    ) -> Result<Self, StoreError> {
        let engine = Engine::Sqlite(database.to_owned());
        let mut session = engine.open()?;
        session.begin(&[])?;
        log::prepare(session.database(), Some(&names))?;
        let position = log::position(session.database())?;
        session.commit()?;
        let shared = Shared {
            names,
            database: database.to_owned(),
            replica: Mutex::new(Replica::new(engine.clone(), keep)),
            engine,
            readers,
            waiters,
            keep,
            debts: Mutex::default(),
            settled: Condvar::new(),
            wants: Notify::new(),
            known: watch::Sender::new(position),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Which center this is.
    pub fn names(&self) -> &Names {
        &self.shared.names
    }

    /// Where the database is, and each time that this is somewhere else.
    pub fn known(&self) -> watch::Receiver<Position> {
        self.shared.known.subscribe()
    }

    /// Where the database is, as far as this process knows.
    pub fn position(&self) -> Position {
        self.shared.known.borrow().clone()
    }

    /// Whether this center is the one that changes the directory; that it may do so now is another matter.
    pub fn is_writer(&self) -> bool {
        self.shared.known.borrow().generation.writer == self.shared.names.center
    }

    /// What is owed, to look at or to change; who waits for a verdict looks again.
    pub fn with_debts<T>(&self, work: impl FnOnce(&mut Debts) -> T) -> T {
        let result = work(&mut self.debts());
        self.shared.settled.notify_all();
        result
    }

    /// Returns when the writer would go alone, which a witness has to know first, and when it owes nothing any more.
    pub async fn owes_otherwise(&self) {
        self.shared.wants.notified().await;
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.shared.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks where the database is: commands change it too, and each follower asks for what they did.
    pub async fn look(&self) -> Result<(), StoreError> {
        let position = self.shared.readers.read(log::position).await?;
        self.publish(position);
        Ok(())
    }

    fn publish(&self, position: Position) {
        // A look that began before a later one ended tells nothing new. A copy may bring less, and another generation.
        self.shared.known.send_if_modified(|known| {
            let is_newer = position.generation != known.generation || position.number > known.number;
            if is_newer {
                *known = position;
            }
            is_newer
        });
    }

    /// The log's size.
    pub async fn log_size(&self) -> Result<LogSize, StoreError> {
        let (entries, bytes) = self.shared.readers.read(log::size).await?;
        Ok(LogSize { entries, bytes })
    }

    /// Version of the tables.
    pub async fn schema(&self) -> Result<u32, StoreError> {
        self.shared.readers.read(log::schema).await
    }

    /// What a follower asks the writer next.
    pub async fn question(&self) -> Result<PullDirectoryIn, StoreError> {
        let schema = self.schema().await?;
        let Position { generation, number } = self.position();
        let after = {
            let replica = self.shared.replica.lock().unwrap_or_else(PoisonError::into_inner);
            replica.after(number)
        };
        let center = self.shared.names.center.clone();
        Ok(PullDirectoryIn { center, schema, generation, durable: number, after })
    }

    /// Answers a follower, and notes what it has.
    pub async fn pull(&self, asked: PullDirectoryIn) -> Result<PullDirectoryOut, StoreError> {
        let (center, durable) = (asked.center.clone(), asked.durable);
        let out = self.shared.readers.read(move |db| log::pull(db, &asked)).await?;
        let until = out.entries.last().map_or(durable, |entry| entry.number);
        let has = if out.start_over.is_none() { durable } else { 0 };
        let joins = self.with_debts(|debts| {
            let did_owe = debts.owes();
            let joins = debts.pulled(&center, has, Instant::now());
            if did_owe && !debts.owes() {
                self.shared.wants.notify_one();
            }
            if out.start_over.is_none() && until >= out.position {
                debts.offered_all(&center, out.position);
            }
            joins
        });
        if joins {
            tracing::info!(center, "a mirror has caught up: changes wait for it again");
        }
        Ok(out)
    }

    /// Puts in what the writer answered to [`Self::question`]. Durable when this returns.
    pub async fn take(&self, pulled: PullDirectoryOut) -> Result<(), StoreError> {
        let taken = self.with_replica(move |replica| replica.take(pulled)).await?;
        self.publish(taken.position);
        taken.customers.into_iter().for_each(|customer| self.shared.waiters.wake(customer));
        Ok(())
    }

    /// Makes the directory what the copy is. `keep`: the one there was is kept beside it, under the number of its
    /// generation; that file's path.
    pub async fn restore(&self, copy: PathBuf, keep: bool) -> Result<Option<PathBuf>, StoreError> {
        let (database, generation) = (self.shared.database.clone(), self.position().generation.number);
        let kept = self
            .with_replica(move |replica| {
                let kept = beside(&database, &format!("generation-{generation}"));
                if keep {
                    replica.copy(&kept)?;
                }
                replica.restore(&database, &copy)?;
                Ok(keep.then_some(kept))
            })
            .await?;
        self.look().await?;
        self.shared.waiters.wake_all();
        Ok(kept)
    }

    /// Whether there is any customer in the directory.
    pub async fn has_customers(&self) -> Result<bool, StoreError> {
        let ask = |db: &dyn Database| db.exists("SELECT EXISTS (SELECT 1 FROM customer)", &[]);
        self.shared.readers.read(ask).await
    }

    /// A copy of the whole directory, as a file beside the database.
    pub async fn copy(&self) -> Result<PathBuf, StoreError> {
        let path = beside(&self.shared.database, "copy-for-mirror");
        let to = path.clone();
        // Of its own, so that pulls go on meanwhile.
        let (engine, keep) = (self.shared.engine.clone(), self.shared.keep);
        blocking(move || Replica::new(engine, keep).copy(&to)).await?;
        Ok(path)
    }

    /// Where a copy from another center is received.
    pub fn receiving(&self) -> PathBuf {
        beside(&self.shared.database, "copy-of-mirror")
    }

    /// Makes another center the writer, if this one is. Nothing of this center's comes after.
    pub async fn hand_over(&self, to: String) -> Result<Generation, StoreError> {
        let center = self.shared.names.center.clone();
        self.begin_generation(move |replica| replica.hand_over(&center, &to)).await
    }

    /// Makes this center the writer, whatever the one before has done that is not here. `number` of the generation: as
    /// the witness says, or else the next.
    pub async fn take_over(&self, number: Option<u64>) -> Result<Generation, StoreError> {
        let center = self.shared.names.center.clone();
        let begun = self.begin_generation(move |replica| replica.take_over(&center, number)).await;
        self.shared.waiters.wake_all();
        begun
    }

    async fn begin_generation(
        &self,
        work: impl FnOnce(&mut Replica) -> Result<Generation, StoreError> + Send + 'static,
    ) -> Result<Generation, StoreError> {
        let generation = self.with_replica(work).await?;
        self.look().await?;
        Ok(generation)
    }

    async fn with_replica<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Replica) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let working = move || work(&mut shared.replica.lock().unwrap_or_else(PoisonError::into_inner));
        blocking(working).await
    }

    /// Has a writer's session note what it changes.
    pub(super) fn install(&self, session: &dyn Session) -> Result<(), StoreError> {
        rows::install(session.database())
    }

    /// Whether the transaction that has just begun may change the directory.
    pub(super) fn admit(&self, db: &dyn Database) -> Result<(), StoreError> {
        let Position { generation, .. } = log::position(db)?;
        if generation.writer != self.shared.names.center {
            return Err(StoreError::Elsewhere { writer: generation.writer });
        }
        match self.debts().may_write(Instant::now()) {
            true => Ok(()),
            false => Err(StoreError::NotNow),
        }
    }

    /// Appends what the transaction changed to the log, as the last thing it does; where the database is then, or
    /// `None` if it changed nothing.
    pub(super) fn append(&self, db: &dyn Database) -> Result<Option<Position>, StoreError> {
        let Some(image) = rows::take(db)? else { return Ok(None) };
        let all_have = self.debts().all_have(self.shared.names.others);
        log::append(db, &image.encode(), self.shared.keep, all_have)?;
        log::position(db).map(Some)
    }

    /// What was appended is committed.
    pub(super) fn appended(&self, position: Position) {
        self.publish(position);
    }

    /// Waits until a change may be answered that was committed at `since` as this entry. Blocks.
    ///
    /// # Errors
    /// [`StoreError::NotNow`]: it is not to be answered as done, though it may stand.
    pub(super) fn await_answer(&self, number: u64, since: Instant) -> Result<(), StoreError> {
        let mut debts = self.debts();
        loop {
            let now = Instant::now();
            match debts.verdict(number, since, now) {
                Verdict::Answer => return Ok(()),
                Verdict::AnswerAlone => {
                    tracing::warn!(
                        number,
                        "no mirror of the directory answers: changes are made without; see `storage-center mirror status`"
                    );
                    return Ok(());
                }
                Verdict::Refuse => return Err(StoreError::NotNow),
                Verdict::WaitUntil(until) => {
                    if debts.alone() == Alone::Wanted {
                        self.shared.wants.notify_one();
                    }
                    let patience = until.saturating_duration_since(now);
                    let waited = self.shared.settled.wait_timeout(debts, patience);
                    debts = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

/// Refuses a database that is mirrored, for one who would not.
pub(super) fn refuse_mirrored(engine: &Engine) -> Result<(), StoreError> {
    match engine {
        Engine::Sqlite(_) => {
            let mut session = engine.open_reader()?;
            session.begin_reading()?;
            log::prepare(session.database(), None)
        }
        Engine::Postgres(_) => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
}

/// The file beside the database with this added to its name.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = database.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
