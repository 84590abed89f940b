//! Work in flight: those who want the same thing at the same time share the outcome of one.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// See the module. Holds what is in flight and nothing else, so it is bounded by the number of callers.
#[derive(Debug)]
pub struct Flights<K, V> {
    flights: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

/// The outcome of a flight.
pub struct Landed<V> {
    /// What came of it.
    pub outcome: V,
    /// Whether it was this caller's own work.
    pub own: bool,
}

impl<K: Copy + Eq + Hash, V: Clone> Flights<K, V> {
    /// Nothing is in flight.
    pub fn new() -> Self {
        Self { flights: Mutex::default() }
    }

    /// The outcome of the work in flight under this key, or else of this one. If the caller whose work runs goes away,
    /// another that waits runs its own.
    pub async fn join<F: Future<Output = V>>(&self, key: K, work: impl FnOnce() -> F) -> Landed<V> {
        let flight = Arc::clone(self.lock().entry(key).or_default());
        let seat = Seat { flights: self, key, flight };
        let mut own = false;
        let working = seat.flight.get_or_init(|| {
            own = true;
            work()
        });
        let outcome = working.await.clone();
        Landed { outcome, own }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        // No code panics while it holds the lock.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller's part in a flight.
struct Seat<'a, K: Copy + Eq + Hash, V: Clone> {
    flights: &'a Flights<K, V>,
    key: K,
    flight: Arc<OnceCell<V>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let over = self.flight.initialized() || Arc::strong_count(&self.flight) <= 2;
        // A later flight under the same key is none of ours.
        if over && flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::{join_all, poll_immediate};
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn those_who_come_together_share_one_outcome_and_later_ones_do_not() {
        let flights = Flights::<u8, u32>::new();
        let count = AtomicU32::new(0);
        let work = async || {
            tokio::task::yield_now().await;
            count.fetch_add(1, Ordering::Relaxed)
        };
        for round in 0..2 {
            let landed = join_all((0..50).map(|_| flights.join(1, work))).await;
            assert!(landed.iter().all(|landed| landed.outcome == round));
            assert_eq!(landed.iter().filter(|landed| landed.own).count(), 1);
        }
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn when_the_one_who_works_goes_away_another_takes_over() {
        let flights = Flights::<u8, u32>::new();
        let never = Notify::new();
        let mut first = Box::pin(flights.join(1, async || {
            never.notified().await;
            0
        }));
        let mut second = Box::pin(flights.join(1, async || 2));
        assert!(poll_immediate(&mut first).await.is_none());
        assert!(poll_immediate(&mut second).await.is_none());
        drop(first);
        let landed = second.await;
        assert_eq!((landed.outcome, landed.own), (2, true));
        assert!(flights.lock().is_empty());
    }
}
