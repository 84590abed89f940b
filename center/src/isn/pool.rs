//! Where blocking work runs: beside the runtime, at most so much of a kind at once.
//!
//! A disk that hangs holds its own permits and no more; callers beyond them wait here, and with them the clients
//! they serve.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Semaphore;

/// A bound on blocking jobs of one kind.
#[derive(Clone, Debug)]
pub struct Pool {
    permits: Arc<Semaphore>,
}

/// The job panicked, or the process is ending.
#[derive(Clone, Copy, Debug, Error)]
#[error("the work was interrupted")]
pub struct Interrupted;

impl Pool {
    /// At most `jobs` at once.
    pub fn new(jobs: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(jobs)) }
    }

    /// Runs a job. Once begun it runs to its end, even when nobody waits for it any more.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Interrupted)?;
        let run = move || {
            let outcome = job();
            drop(permit);
            outcome
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| Interrupted)
    }
}
