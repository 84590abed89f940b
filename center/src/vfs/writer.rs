//! The one thread of this process that changes the database.
//!
//! Group commit: it takes what is queued, up to some [`BATCH_MAX`] changes, into one transaction, each in a savepoint of
//! its own, and answers them only after the COMMIT reached the disk. A synced transaction costs up to milliseconds, a
//! change some 50 µs, so that many clients together get ten times the changes per second of one transaction each.

use std::sync::mpsc as blocking;
use std::thread;
use std::time::Instant;

use protocol::id::CustomerId;
use tokio::sync::{mpsc, oneshot};

use super::engine::{Database, Engine, Session, in_savepoint};
use super::failure::StoreError;
use super::mirror::Mirror;

/// A transaction with so many changes takes no more work: bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// Work waiting; who comes later waits before it queues.
const QUEUE_MAX: usize = 1024;

/// Batches whose answers wait for a mirror; with more the writer waits too.
const UNANSWERED_MAX: usize = 64;

/// Work, and how many changes it makes to what is whose.
struct Queued {
    customers: Vec<CustomerId>,
    changes: usize,
    work: Work,
}

/// Runs inside the transaction (`None`: none could be begun); what it returns runs after the COMMIT, and is told
/// whether that succeeded.
type Work = Box<dyn FnOnce(Option<&dyn Database>) -> Conclusion + Send>;
type Conclusion = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A batch that is done.
struct Done {
    conclusions: Vec<Conclusion>,
    /// Number of its entry in the log, if it has one.
    outcome: Result<Option<u64>, StoreError>,
    at: Instant,
}

impl Done {
    fn conclude(self, outcome: Result<(), StoreError>) {
        for conclude in self.conclusions {
            conclude(outcome.as_ref().map_err(told).copied());
        }
    }
}

/// As each who waits hears of it.
fn told(why: &StoreError) -> StoreError {
    match why {
        StoreError::Elsewhere { writer } => StoreError::Elsewhere { writer: writer.clone() },
        StoreError::NotNow => StoreError::NotNow,
        why => StoreError::NotCommitted(why.to_string()),
    }
}

/// Hands work to the writer's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Queued>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the database does not open, or the system refuses a thread.
    pub fn start(engine: Engine, mirror: Option<Mirror>) -> Result<Self, StoreError> {
        let source = Source { engine, mirror };
        let session = source.open()?;
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        let work = Queue { waiting: work, put_back: None };
        match source.mirror.clone() {
            None => spawn("vfs-writer", move || run(&source, session, work, answer))?,
            Some(mirror) => {
                let (done, waiting) = blocking::sync_channel(UNANSWERED_MAX);
                spawn("vfs-answers", move || answer_in_turn(&mirror, &waiting))?;
                // Who answers ends after the writer, so there is always one who takes it.
                let hand_on = move |batch| drop(done.send(batch));
                spawn("vfs-writer", move || run(&source, session, work, hand_on))?;
            }
        }
        Ok(Self { queue })
    }

    /// Does `work` in a transaction: all of it when it returns `Ok` and the COMMIT succeeds, nothing otherwise.
    /// `committed` runs right after the COMMIT, also when nobody awaits the result any more. What it changes is the
    /// `customers`', or nobody's.
    pub async fn write<T, E>(
        &self,
        customers: Vec<CustomerId>,
        work: impl FnOnce(&dyn Database) -> Result<T, E> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_each(customers, 1, move |db| in_savepoint(db, work), committed).await
    }

    /// As [`write`](Self::write), for work that makes so many changes and puts each into a savepoint of its own.
    pub async fn write_each<T, E>(
        &self,
        customers: Vec<CustomerId>,
        changes: usize,
        work: impl FnOnce(&dyn Database) -> Result<T, E> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |db| {
            let result = match db {
                Some(db) => work(db),
                None => Err(StoreError::Closed.into()),
            };
            Box::new(move |commit| {
                let result = commit.map_err(E::from).and(result);
                if let Ok(value) = &result {
                    committed(value);
                }
                // Nobody waits when the request was given up; the change stands all the same.
                let _ = sender.send(result);
            })
        });
        self.queue.send(Queued { customers, changes, work }).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| StoreError::Database(format!("no thread {name}: {error}")))
}

/// Answers at once.
fn answer(mut done: Done) {
    let outcome = std::mem::replace(&mut done.outcome, Ok(None)).map(|_| ());
    done.conclude(outcome);
}

/// Answers in the order of the log, each when a mirror has it. Meanwhile the writer goes on.
fn answer_in_turn(mirror: &Mirror, waiting: &blocking::Receiver<Done>) {
    while let Ok(mut done) = waiting.recv() {
        let outcome = std::mem::replace(&mut done.outcome, Ok(None));
        let at = done.at;
        done.conclude(outcome.and_then(|number| match number {
            Some(number) => mirror.await_answer(number, at),
            None => Ok(()),
        }));
    }
}

/// Where sessions come from, and who hears of what they change.
struct Source {
    engine: Engine,
    mirror: Option<Mirror>,
}

impl Source {
    fn open(&self) -> Result<Box<dyn Session>, StoreError> {
        let session = self.engine.open()?;
        if let Some(mirror) = &self.mirror {
            mirror.install(&*session)?;
        }
        Ok(session)
    }

    /// Ends the transaction; the number of its entry in the log.
    fn commit(&self, session: &mut dyn Session) -> Result<Option<u64>, StoreError> {
        let Some(mirror) = &self.mirror else { return session.commit().map(|()| None) };
        // A full or failing disk can end the transaction: then there is nothing to append, and COMMIT says why.
        let appended = match session.database().is_in_transaction() {
            true => mirror.append(session.database()),
            false => Ok(None),
        };
        let position = match appended {
            Ok(position) => position,
            Err(error) => {
                session.rollback();
                return Err(error);
            }
        };
        session.commit()?;
        let number = position.as_ref().map(|position| position.number);
        position.into_iter().for_each(|position| mirror.appended(position));
        Ok(number)
    }
}

/// What waits, and what was taken and is not to be done yet.
struct Queue {
    waiting: mpsc::Receiver<Queued>,
    put_back: Option<Queued>,
}

impl Queue {
    /// Waits; `None` when the last handle is gone.
    fn next(&mut self) -> Option<Queued> {
        self.put_back.take().or_else(|| self.waiting.blocking_recv())
    }

    fn try_next(&mut self) -> Option<Queued> {
        self.put_back.take().or_else(|| self.waiting.try_recv().ok())
    }
}

fn run(source: &Source, session: Box<dyn Session>, mut queue: Queue, answer: impl Fn(Done)) {
    let mut session = Some(session);
    while let Some(first) = queue.next() {
        let mut batch = vec![first];
        if !source.engine.excludes_writers() {
            // Whose changes it takes must be known before it begins.
            let mut changes = batch[0].changes;
            while changes < BATCH_MAX
                && let Some(next) = queue.try_next()
            {
                changes += next.changes;
                batch.push(next);
            }
        }
        let mut conclusions = Vec::new();
        let outcome = transact(source, &mut session, batch, &mut queue, &mut conclusions);
        answer(Done { conclusions, outcome, at: Instant::now() });
    }
}

fn transact(
    source: &Source,
    session: &mut Option<Box<dyn Session>>,
    batch: Vec<Queued>,
    queue: &mut Queue,
    conclusions: &mut Vec<Conclusion>,
) -> Result<Option<u64>, StoreError> {
    let mut customers: Vec<CustomerId> =
        batch.iter().flat_map(|queued| queued.customers.iter().copied()).collect();
    customers.sort_unstable();
    customers.dedup();
    let session = match begin(source, session, &customers) {
        Ok(session) => session,
        Err(error) => {
            conclusions.extend(batch.into_iter().map(|queued| (queued.work)(None)));
            return Err(error);
        }
    };
    let mut changes = 0;
    for queued in batch {
        changes += queued.changes;
        conclusions.push((queued.work)(Some(session.database())));
    }
    // A full or failing disk can end the whole transaction: then COMMIT fails, and all with it.
    while changes < BATCH_MAX
        && session.database().is_in_transaction()
        && let Some(next) = queue.try_next()
    {
        if !source.engine.excludes_writers()
            && !next.customers.iter().all(|customer| customers.contains(customer))
        {
            queue.put_back = Some(next);
            break;
        }
        changes += next.changes;
        conclusions.push((next.work)(Some(session.database())));
    }
    source.commit(&mut **session)
}

/// Begins a transaction, over a new session where the old one broke.
fn begin<'a>(
    source: &Source,
    session: &'a mut Option<Box<dyn Session>>,
    customers: &[CustomerId],
) -> Result<&'a mut Box<dyn Session>, StoreError> {
    let session = begin_any(source, session, customers)?;
    if let Some(mirror) = &source.mirror
        && let Err(refused) = mirror.admit(session.database())
    {
        session.rollback();
        return Err(refused);
    }
    Ok(session)
}

fn begin_any<'a>(
    source: &Source,
    session: &'a mut Option<Box<dyn Session>>,
    customers: &[CustomerId],
) -> Result<&'a mut Box<dyn Session>, StoreError> {
    if let Some(open) = session {
        let begun = open.begin(customers);
        if !open.is_broken() {
            begun?;
            return session.as_mut().ok_or(StoreError::Closed);
        }
    }
    *session = None;
    let mut fresh = source.open()?;
    fresh.begin(customers)?;
    Ok(session.insert(fresh))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rusqlite::Connection;

    use super::*;
    use crate::vfs::engine::values;

    /// A writer on a database with a table of numbers, and a second connection that looks on.
    fn fixture() -> (tempfile::TempDir, Writer, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        let connection = Connection::open(&path).unwrap();
        let engine = Engine::Sqlite(path);
        engine.prepare().unwrap();
        connection.execute_batch("CREATE TABLE number (n INTEGER, pad BLOB)").unwrap();
        (folder, Writer::start(engine, None).unwrap(), connection)
    }

    fn insert(db: &dyn Database, number: usize, pad_bytes: usize) -> Result<usize, StoreError> {
        db.execute("INSERT INTO number VALUES (?1, zeroblob(?2))", values![number, pad_bytes])?;
        Ok(number)
    }

    fn numbers(db: &Connection) -> Vec<usize> {
        let mut statement = db.prepare("SELECT n FROM number ORDER BY n").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// VFS-4: work that fails leaves nothing behind, whatever else is in its batch; what is answered can be seen.
    #[tokio::test]
    async fn failed_work_leaves_nothing_and_its_neighbours_stay() {
        let (_folder, writer, reader) = fixture();
        let work = (0..100).map(|number| {
            let work = move |db: &dyn Database| {
                insert(db, number, 0)?;
                if number % 3 == 0 { Err(StoreError::Closed) } else { Ok(()) }
            };
            writer.write(Vec::new(), work, |()| ())
        });
        let results = futures::future::join_all(work).await;
        assert!(results.iter().enumerate().all(|(number, result)| result.is_err() == (number % 3 == 0)));
        assert_eq!(numbers(&reader), (0..100).filter(|number| number % 3 != 0).collect::<Vec<_>>());
    }

    /// A full disk refuses what does not fit, keeps what was answered, and the writer goes on when there is room.
    #[tokio::test]
    async fn a_full_disk_refuses_and_loses_nothing() {
        let (_folder, writer, reader) = fixture();
        let set_pages_max = |pages: u32| {
            let set = move |db: &dyn Database| {
                db.first(&format!("PRAGMA max_page_count = {pages}"), &[], |_| Ok(()))
            };
            writer.write(Vec::new(), set, |_| ())
        };
        set_pages_max(100).await.unwrap();
        let committed = Arc::new(AtomicUsize::new(0));
        let work = (0..64).map(|number| {
            let committed = Arc::clone(&committed);
            let count = move |_: &usize| {
                committed.fetch_add(1, Ordering::SeqCst);
            };
            writer.write(Vec::new(), move |db| insert(db, number, 32 << 10), count)
        });
        let results: Vec<Result<usize, StoreError>> = futures::future::join_all(work).await;
        let mut answered: Vec<usize> = results.into_iter().flatten().collect();
        assert!(answered.len() < 64, "it does not all fit");
        assert_eq!(numbers(&reader), answered);
        assert_eq!(committed.load(Ordering::SeqCst), answered.len());

        set_pages_max(100_000).await.unwrap();
        answered.push(writer.write(Vec::new(), |db| insert(db, 64, 0), |_| ()).await.unwrap());
        assert_eq!(numbers(&reader), answered);
    }

    /// A commit that fails fails all work of its batch: here a deferred constraint, checked only by COMMIT.
    #[tokio::test]
    async fn a_failed_commit_is_told_to_everybody_in_it() {
        let (_folder, writer, reader) = fixture();
        let create = |db: &dyn Database| {
            db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)", &[])?;
            let child =
                "CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)";
            db.execute(child, &[])
        };
        writer.write(Vec::new(), create, |_| ()).await.unwrap();
        let orphan = |db: &dyn Database| {
            db.execute("INSERT INTO child VALUES (7)", &[])?;
            insert(db, 1, 0)
        };
        let refused = writer.write(Vec::new(), orphan, |_| panic!("not committed")).await;
        assert!(matches!(refused, Err(StoreError::NotCommitted(_))), "{refused:?}");
        assert!(numbers(&reader).is_empty());
        writer.write(Vec::new(), |db| insert(db, 2, 0), |_| ()).await.unwrap();
        assert_eq!(numbers(&reader), [2]);
    }

    /// A request given up by its client is done all the same, once, and what follows the commit too.
    #[tokio::test]
    async fn work_whose_result_nobody_awaits_is_still_committed() {
        let (_folder, writer, reader) = fixture();
        let (told, mut hears) = tokio::sync::mpsc::channel(1);
        let given_up = writer.write(Vec::new(), |db| insert(db, 1, 0), move |_| told.try_send(()).unwrap());
        let mut given_up = Box::pin(given_up);
        assert!(futures::poll!(&mut given_up).is_pending(), "queued");
        drop(given_up);
        hears.recv().await.expect("told after the commit");
        assert_eq!(numbers(&reader), [1]);
    }
}
