//! Connections that only read, each on a consistent snapshot, beside the writer and without waiting for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failure::StoreError;
use super::schema;

/// Reads at one time: they are bound by the processor, and more would only wait there.
const READERS: usize = 4;

/// A pool of reading connections, opened as they are needed.
#[derive(Clone)]
pub struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool on an existing database.
    pub fn new(path: &Path) -> Self {
        let pool = Pool { path: path.to_owned(), idle: Mutex::default() };
        Self { pool: Arc::new(pool), permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Does `work` on a snapshot of the last committed state, off the runtime's threads.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = idle.map_or_else(|| schema::open_reader(&pool.path), Ok)?;
            let result = on_snapshot(&connection, work);
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            result
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }
}

fn on_snapshot<T, E: From<StoreError>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    // Ends by being dropped: there is nothing to commit.
    let _snapshot = connection.unchecked_transaction().map_err(StoreError::from)?;
    work(connection)
}
