//! The one thread that changes the database.
//!
//! Group commit: it takes what is queued, up to some [`BATCH_MAX`] changes, into one transaction, each in a savepoint of
//! its own, and answers them only after the COMMIT reached the disk. A synced transaction costs up to milliseconds, a
//! change some 50 µs, so that many clients together get ten times the changes per second of one transaction each.

use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::StoreError;

/// A transaction with so many changes takes no more work: bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// Work waiting; who comes later waits before it queues.
const QUEUE_MAX: usize = 1024;

/// Work, and how many changes it makes.
struct Queued {
    changes: usize,
    work: Work,
}

/// Runs inside the transaction (`None`: none could be begun); what it returns runs after the COMMIT, and is told
/// whether that succeeded.
type Work = Box<dyn FnOnce(Option<&Connection>) -> Conclusion + Send>;
type Conclusion = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Hands work to the writer's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Queued>,
}

impl Writer {
    /// Starts the thread on its connection.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(connection: Connection) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        thread::Builder::new().name("vfs-writer".to_owned()).spawn(move || run(connection, work))?;
        Ok(Self { queue })
    }

    /// Does `work` in a transaction: all of it when it returns `Ok` and the COMMIT succeeds, nothing otherwise.
    /// `committed` runs right after the COMMIT, also when nobody awaits the result any more.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_each(1, move |db| in_savepoint(db, work), committed).await
    }

    /// As [`write`](Self::write), for work that makes so many changes and puts each into a savepoint of its own.
    pub async fn write_each<T, E>(
        &self,
        changes: usize,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
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
        self.queue.send(Queued { changes, work }).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

fn run(connection: Connection, mut queue: mpsc::Receiver<Queued>) {
    while let Some(first) = queue.blocking_recv() {
        let mut conclusions = Vec::new();
        let outcome = transact(&connection, first, &mut queue, &mut conclusions);
        for conclude in conclusions {
            conclude(outcome.as_ref().map_err(|why| StoreError::NotCommitted(why.to_string())).copied());
        }
    }
}

fn transact(
    db: &Connection,
    first: Queued,
    queue: &mut mpsc::Receiver<Queued>,
    conclusions: &mut Vec<Conclusion>,
) -> rusqlite::Result<()> {
    if let Err(error) = db.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
        conclusions.push((first.work)(None));
        return Err(error);
    }
    let mut changes = first.changes;
    conclusions.push((first.work)(Some(db)));
    // A full or failing disk can make SQLite roll the whole transaction back: then COMMIT fails, and all with it.
    while changes < BATCH_MAX
        && !db.is_autocommit()
        && let Ok(next) = queue.try_recv()
    {
        changes += next.changes;
        conclusions.push((next.work)(Some(db)));
    }
    let committed = db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    if committed.is_err() && !db.is_autocommit() {
        // The failure is what gets told; a rollback that fails too leaves SQLite to do it at the next open.
        let _ = db.execute_batch("ROLLBACK");
    }
    committed.map(drop)
}

/// Does `work`, or nothing of it when it fails.
pub(super) fn in_savepoint<T, E: From<StoreError>>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let run = |sql| -> Result<(), StoreError> {
        db.prepare_cached(sql)?.execute([])?;
        Ok(())
    };
    // A savepoint outside of a transaction would be one of its own.
    if db.is_autocommit() {
        return Err(StoreError::NotCommitted("the transaction is rolled back".to_owned()).into());
    }
    run("SAVEPOINT operation")?;
    let result = work(db);
    if result.is_err() && !db.is_autocommit() {
        run("ROLLBACK TO operation")?;
    }
    if !db.is_autocommit() {
        run("RELEASE operation")?;
    }
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::vfs::schema;

    /// A writer on a database with a table of numbers, and a second connection that looks on.
    fn fixture() -> (tempfile::TempDir, Writer, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        let connection = schema::open_writer(&path).unwrap();
        connection.execute_batch("CREATE TABLE number (n INTEGER, pad BLOB)").unwrap();
        (folder, Writer::start(connection).unwrap(), schema::open_reader(&path).unwrap())
    }

    fn insert(db: &Connection, number: usize, pad_bytes: usize) -> Result<usize, StoreError> {
        db.execute("INSERT INTO number VALUES (?1, zeroblob(?2))", (number, pad_bytes))?;
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
            let work = move |db: &Connection| {
                insert(db, number, 0)?;
                if number % 3 == 0 { Err(StoreError::Closed) } else { Ok(()) }
            };
            writer.write(work, |()| ())
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
            let set = move |db: &Connection| {
                Ok::<_, StoreError>(db.pragma_update(None, "max_page_count", pages)?)
            };
            writer.write(set, |()| ())
        };
        set_pages_max(100).await.unwrap();
        let committed = Arc::new(AtomicUsize::new(0));
        let work = (0..64).map(|number| {
            let committed = Arc::clone(&committed);
            let count = move |_: &usize| {
                committed.fetch_add(1, Ordering::SeqCst);
            };
            writer.write(move |db| insert(db, number, 32 << 10), count)
        });
        let results: Vec<Result<usize, StoreError>> = futures::future::join_all(work).await;
        let mut answered: Vec<usize> = results.into_iter().flatten().collect();
        assert!(answered.len() < 64, "it does not all fit");
        assert_eq!(numbers(&reader), answered);
        assert_eq!(committed.load(Ordering::SeqCst), answered.len());

        set_pages_max(100_000).await.unwrap();
        answered.push(writer.write(|db| insert(db, 64, 0), |_| ()).await.unwrap());
        assert_eq!(numbers(&reader), answered);
    }

    /// A commit that fails fails all work of its batch: here a deferred constraint, checked only by COMMIT.
    #[tokio::test]
    async fn a_failed_commit_is_told_to_everybody_in_it() {
        let (_folder, writer, reader) = fixture();
        let create = |db: &Connection| {
            Ok::<_, StoreError>(db.execute_batch(
                "CREATE TABLE parent (id INTEGER PRIMARY KEY);
                 CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
            )?)
        };
        writer.write(create, |()| ()).await.unwrap();
        let orphan = |db: &Connection| {
            db.execute("INSERT INTO child VALUES (7)", [])?;
            insert(db, 1, 0)
        };
        let refused = writer.write(orphan, |_| panic!("not committed")).await;
        assert!(matches!(refused, Err(StoreError::NotCommitted(_))), "{refused:?}");
        assert!(numbers(&reader).is_empty());
        writer.write(|db| insert(db, 2, 0), |_| ()).await.unwrap();
        assert_eq!(numbers(&reader), [2]);
    }

    /// A request given up by its client is done all the same, once, and what follows the commit too.
    #[tokio::test]
    async fn work_whose_result_nobody_awaits_is_still_committed() {
        let (_folder, writer, reader) = fixture();
        let (told, mut hears) = tokio::sync::mpsc::channel(1);
        let given_up = writer.write(|db| insert(db, 1, 0), move |_| told.try_send(()).unwrap());
        let mut given_up = Box::pin(given_up);
        assert!(futures::poll!(&mut given_up).is_pending(), "queued");
        drop(given_up);
        hears.recv().await.expect("told after the commit");
        assert_eq!(numbers(&reader), [1]);
    }
}
