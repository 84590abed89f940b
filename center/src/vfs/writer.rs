//! The one thread that changes the database.
//!
//! Group commit: it takes what is queued, up to [`BATCH_MAX`] pieces of work, into one transaction, each in a savepoint
//! of its own, and answers them only after the COMMIT reached the disk. A synced transaction costs milliseconds, a piece
//! of work some 50 µs, so that many clients together get ten times the changes per second of one transaction each.

use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::StoreError;

/// Most pieces of work in one transaction: bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// Work waiting; who comes later waits before it queues.
const QUEUE_MAX: usize = 1024;

/// Runs inside the transaction (`None`: none could be begun); what it returns runs after the COMMIT, and is told
/// whether that succeeded.
type Work = Box<dyn FnOnce(Option<&Connection>) -> Conclusion + Send>;
type Conclusion = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Hands work to the writer's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Work>,
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
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |db| {
            let result = match db {
                Some(db) => in_savepoint(db, work),
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
        self.queue.send(work).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

fn run(connection: Connection, mut queue: mpsc::Receiver<Work>) {
    while let Some(first) = queue.blocking_recv() {
        let mut conclusions = Vec::with_capacity(BATCH_MAX);
        let outcome = transact(&connection, first, &mut queue, &mut conclusions);
        for conclude in conclusions {
            conclude(outcome.as_ref().map_err(|why| StoreError::NotCommitted(why.to_string())).copied());
        }
    }
}

fn transact(
    db: &Connection,
    first: Work,
    queue: &mut mpsc::Receiver<Work>,
    conclusions: &mut Vec<Conclusion>,
) -> rusqlite::Result<()> {
    if let Err(error) = db.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
        conclusions.push(first(None));
        return Err(error);
    }
    conclusions.push(first(Some(db)));
    // A full or failing disk can make SQLite roll the whole transaction back: then COMMIT fails, and all with it.
    while conclusions.len() < BATCH_MAX && !db.is_autocommit() {
        match queue.try_recv() {
            Ok(work) => conclusions.push(work(Some(db))),
            Err(_) => break,
        }
    }
    let committed = db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    if committed.is_err() && !db.is_autocommit() {
        // The failure is what gets told; a rollback that fails too leaves SQLite to do it at the next open.
        let _ = db.execute_batch("ROLLBACK");
    }
    committed.map(drop)
}

/// Does `work`, or nothing of it when it fails. Savepoints nest.
pub(super) fn in_savepoint<T, E: From<StoreError>>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let run = |sql| -> Result<(), StoreError> {
        db.prepare_cached(sql)?.execute([])?;
        Ok(())
    };
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
