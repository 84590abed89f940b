//! One connection's part of the memory that all connections share for large calls and replies.
//!
//! Whoever cannot have its part at once stands in line. A connection has two claims: for a call that is large itself, and
//! for the long reply of a small one. Each stands in line for one part at a time, and for none while it holds one that is
//! not in use; and for that to be used no further memory is needed. So connections cannot wait for each other in a circle.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Memory set aside for one call; given back when dropped.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

type InLine = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A connection's claim.
pub(crate) struct Claim {
    memory: Arc<Semaphore>,
    /// All there is: nobody can have more.
    bytes_in_total: usize,
    in_line: Option<InLine>,
    granted: Permit,
}

impl Claim {
    /// A claim on `memory`, which has a permit for each of its bytes.
    pub fn new(memory: Arc<Semaphore>, bytes_in_total: usize) -> Self {
        Self { memory, bytes_in_total, in_line: None, granted: None }
    }

    /// Sets `bytes` aside. `false`: not yet, the claim stands in line.
    pub fn set_aside(&mut self, bytes: usize) -> bool {
        if self.granted.is_none() && self.in_line.is_none() {
            let bytes = u32::try_from(bytes.min(self.bytes_in_total)).unwrap_or(u32::MAX);
            match Arc::clone(&self.memory).try_acquire_many_owned(bytes) {
                Ok(permit) => self.granted = Some(permit),
                Err(_) => self.in_line = Some(Box::pin(Arc::clone(&self.memory).acquire_many_owned(bytes))),
            }
        }
        self.granted.is_some()
    }

    /// Whether the claim stands in line.
    pub const fn is_in_line(&self) -> bool {
        self.in_line.is_some()
    }

    /// Whether it holds what is not in use yet.
    pub const fn is_granted(&self) -> bool {
        self.granted.is_some()
    }

    /// Waits for the claim's turn; for ever, if it does not stand in line.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn turn(&mut self) -> Result<(), AcquireError> {
        let Some(in_line) = &mut self.in_line else { return std::future::pending().await };
        let permit = in_line.await;
        self.in_line = None;
        self.granted = Some(permit?);
        Ok(())
    }

    /// What was set aside last.
    pub const fn take(&mut self) -> Permit {
        self.granted.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_waits_until_another_gives_back() {
        let memory = Arc::new(Semaphore::new(100));
        let mut first = Claim::new(Arc::clone(&memory), 100);
        let mut second = Claim::new(memory, 100);
        assert!(first.set_aside(60));
        let permit = first.take();
        assert!(!second.set_aside(60));
        assert!(second.is_in_line());
        drop(permit);
        second.turn().await.unwrap();
        assert!(second.set_aside(60), "granted now, and not twice");
        assert!(second.take().is_some());
    }

    #[tokio::test]
    async fn a_claim_over_all_there_is_gets_all_there_is() {
        let mut claim = Claim::new(Arc::new(Semaphore::new(100)), 100);
        assert!(claim.set_aside(1000));
    }
}
