//! Connections that only read, each on a consistent snapshot, beside the writer and without waiting for it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::engine::{Database, Engine, Session};
use super::failure::StoreError;

/// A pool of reading sessions, opened as they are needed.
#[derive(Clone)]
pub struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
}

struct Pool {
    engine: Engine,
    idle: Mutex<Vec<Box<dyn Session>>>,
}

impl Readers {
    /// A pool on a database that is prepared.
    pub fn new(engine: Engine) -> Self {
        let permits = Arc::new(Semaphore::new(engine.readers()));
        Self { pool: Arc::new(Pool { engine, idle: Mutex::default() }), permits }
    }

    /// Does `work` on a snapshot of the last committed state, off the runtime's threads.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&dyn Database) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            let mut session = pool.begun()?;
            let result = work(session.database());
            // There is nothing to commit.
            session.rollback();
            if !session.is_broken() {
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            }
            drop(permit);
            result
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }
}

impl Pool {
    /// A session inside of a transaction: an idle one, if it still is one.
    fn begun(&self) -> Result<Box<dyn Session>, StoreError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut session) = idle else { break };
            let begun = session.begin_reading();
            if !session.is_broken() {
                return begun.map(|()| session);
            }
        }
        let mut session = self.engine.open_reader()?;
        session.begin_reading()?;
        Ok(session)
    }
}
