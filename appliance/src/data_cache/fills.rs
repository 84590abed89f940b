//! Fills in flight: concurrent misses of one block wait for one fill, and so many fills run at once and no more.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, Semaphore};

use super::key::BlockKey;
use super::{Block, locked};

type Flight<E> = Arc<OnceCell<Result<Block, E>>>;

/// See the module.
#[derive(Debug)]
pub struct Fills<E> {
    flights: Mutex<HashMap<BlockKey, Flight<E>>>,
    permits: Semaphore,
}

impl<E: Clone> Fills<E> {
    /// Lets `fills_max` fills run at once.
    pub fn new(fills_max: usize) -> Self {
        Self { flights: Mutex::default(), permits: Semaphore::new(fills_max.max(1)) }
    }

    /// The outcome of the fill of a block that is in flight, or else of this one. If the caller whose fill runs goes
    /// away, another that waits runs its own.
    pub async fn join<Fut>(&self, key: BlockKey, fill: impl FnOnce() -> Fut) -> Result<Block, E>
    where
        Fut: Future<Output = Result<Block, E>>,
    {
        let seat =
            Seat { fills: self, key, flight: Arc::clone(locked(&self.flights).entry(key).or_default()) };
        let filled = seat.flight.get_or_init(|| async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            fill().await
        });
        filled.await.clone()
    }
}

/// One caller's part in a flight.
struct Seat<'a, E> {
    fills: &'a Fills<E>,
    key: BlockKey,
    flight: Flight<E>,
}

impl<E> Drop for Seat<'_, E> {
    fn drop(&mut self) {
        let mut flights = locked(&self.fills.flights);
        let over = self.flight.initialized() || Arc::strong_count(&self.flight) <= 2;
        // A later flight of the same block is none of ours.
        if over && flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::data_cache::key::ObjectKey;
    use bytes::Bytes;
    use futures::future::{join_all, poll_immediate};
    use tokio::sync::Notify;

    use super::*;

    fn key(block: u32) -> BlockKey {
        BlockKey { object: ObjectKey([2; 16]), block }
    }

    /// PORT-3: a thousand readers of a cold file cause one download of each block.
    #[tokio::test]
    async fn concurrent_misses_of_a_block_share_one_fill_and_its_error() {
        let fills = Fills::<&str>::new(4);
        let count = AtomicUsize::new(0);
        let fill = async || {
            tokio::task::yield_now().await;
            match count.fetch_add(1, Ordering::Relaxed) {
                0 => Err("down"),
                _ => Ok(Block::Bytes(Bytes::from_static(b"x"))),
            }
        };
        let failed = join_all((0..50).map(|_| fills.join(key(1), fill))).await;
        assert!(failed.iter().all(|result| matches!(result, Err("down"))));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let filled = join_all((0..50).map(|_| fills.join(key(1), fill))).await;
        assert!(filled.iter().all(Result::is_ok));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert!(locked(&fills.flights).is_empty());
    }

    #[tokio::test]
    async fn when_the_caller_that_fills_goes_away_another_takes_over() {
        let fills = Fills::<&str>::new(4);
        let never = Notify::new();
        let mut first = Box::pin(fills.join(key(1), async || {
            never.notified().await;
            Err("never")
        }));
        let mut second = Box::pin(fills.join(key(1), async || Ok(Block::Bytes(Bytes::from_static(b"x")))));
        assert!(poll_immediate(&mut first).await.is_none());
        assert!(poll_immediate(&mut second).await.is_none());
        drop(first);
        assert!(second.await.is_ok());
        assert!(locked(&fills.flights).is_empty());
    }

    #[tokio::test]
    async fn no_more_fills_run_at_once_than_allowed() {
        let fills = Fills::<&str>::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let fill = async || {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::Relaxed);
            Ok(Block::Bytes(Bytes::new()))
        };
        join_all((0..20).map(|block| fills.join(key(block), fill))).await;
        assert_eq!(most.load(Ordering::Relaxed), 3);
    }
}
