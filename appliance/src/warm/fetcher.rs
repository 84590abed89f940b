//! Fetching files into the data cache before anybody reads them, so that who reads meanwhile hardly notices.
//!
//! A fetch takes one of [`FETCHES_MAX`] places, and all of them while somebody who reads waits for a block: then one goes
//! after the other, and the way to the center is his.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::digest::Content;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::walk::{ATTEMPTS, Found, wait_for};
use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::data_cache::DataCache;
use crate::object::Warmed;
use crate::uploader::content_of;

/// Blocks fetched at once while nobody waits: 8 MiB on the way fill one of 1 Gbit/s and 60 ms.
pub const FETCHES_MAX: u32 = 8;

/// Why a file is not in the cache.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The center is away, or refuses this port: so it is with all others.
    #[error("{0}")]
    Center(CenterError),
    /// Of this file.
    #[error("{0}")]
    File(CenterError),
    /// The cache.
    #[error("no disk of the cache took it: see `storage-port cache stat`")]
    NotKept,
}

impl From<CenterError> for FetchError {
    fn from(error: CenterError) -> Self {
        if ends_all(&error) { Self::Center(error) } else { Self::File(error) }
    }
}

/// Whether what failed will fail for every file.
pub(super) fn ends_all(error: &CenterError) -> bool {
    error.is_unavailable() || error.is_refusal() || matches!(error, CenterError::Superseded(_))
}

/// What became of the bytes of files.
#[derive(Debug, Default)]
pub struct Came {
    /// In the cache now.
    pub done: AtomicU64,
    /// Of them, those that were fetched for it.
    pub fetched: AtomicU64,
}

/// See the module. Clones share their places.
#[derive(Clone)]
pub struct Fetcher {
    blocks: DataCache<CenterError>,
    places: Arc<Semaphore>,
}

impl Fetcher {
    /// Into this cache.
    pub fn new(blocks: DataCache<CenterError>) -> Self {
        Self { blocks, places: Arc::new(Semaphore::new(FETCHES_MAX as usize)) }
    }

    /// Brings a file into the cache as it is now, and counts in `came`. A file that is removed meanwhile is no failure.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn file<C: StorageCenter>(
        &self,
        customer: &Customer<C>,
        file: &Found,
        came: &Came,
    ) -> Result<(), FetchError> {
        match self.content(customer, &file.content, came).await {
            Err(FetchError::File(CenterError::NoObject)) => {}
            outcome => return outcome,
        }
        // Replaced since it was found.
        match customer.directory.refresh(file.id).await {
            Ok(entry) => match content_of(&entry.row) {
                Some(content) if content != file.content => self.content(customer, &content, came).await,
                _ => Err(FetchError::File(CenterError::NoObject)),
            },
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn content<C: StorageCenter>(
        &self,
        customer: &Customer<C>,
        content: &Content,
        came: &Came,
    ) -> Result<(), FetchError> {
        match customer.objects.warm_digests(content).await {
            // The blocks wait for the center; if all of them are there, nobody is the poorer before a restart.
            Err(error) if !error.is_unavailable() => return Err(error.into()),
            _ => {}
        }
        let mut flights = FuturesUnordered::new();
        for index in 0..content.blocks() {
            if flights.len() >= FETCHES_MAX as usize
                && let Some(done) = flights.next().await
            {
                done?;
            }
            flights.push(self.block(customer, content, index, came));
        }
        while let Some(done) = flights.next().await {
            done?;
        }
        Ok(())
    }

    async fn block<C: StorageCenter>(
        &self,
        customer: &Customer<C>,
        content: &Content,
        index: u64,
        came: &Came,
    ) -> Result<(), FetchError> {
        let len = content.block_len(index);
        let mut attempt = 1;
        loop {
            let warmed = if customer.objects.holds(content, index).await {
                Ok(Warmed::Held)
            } else {
                let _place = self.place().await;
                customer.objects.warm(content, index).await
            };
            match warmed {
                Ok(Warmed::NotKept) => return Err(FetchError::NotKept),
                Ok(warmed) => {
                    came.done.fetch_add(len, Ordering::Relaxed);
                    if warmed == Warmed::Fetched {
                        came.fetched.fetch_add(len, Ordering::Relaxed);
                    }
                    return Ok(());
                }
                Err(error) if error.is_unavailable() && attempt < ATTEMPTS => {
                    attempt += 1;
                    wait_for(&customer.directory).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        let places = if self.blocks.has_readers_waiting() { FETCHES_MAX } else { 1 };
        // Never closed.
        self.places.acquire_many(places).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::future::poll_immediate;

    use super::*;
    use crate::data_cache::{DiskSettings, Settings};

    /// PORT-3: while a client waits for a block, what is fetched for later goes one after the other.
    #[tokio::test]
    async fn who_reads_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskSettings { path: dir.path().to_owned(), bytes_max: 8 << 20 };
        let blocks = DataCache::<CenterError>::open(Settings::new(vec![disk]));
        let fetcher = Fetcher::new(blocks.clone());
        let mut held = Vec::new();
        while let Some(place) = poll_immediate(fetcher.place()).await {
            held.push(place);
        }
        assert_eq!(held.len(), FETCHES_MAX as usize);

        let content = Content { size: 5, ..Content::EMPTY };
        let mut reading = Box::pin(blocks.fetch(&content, 0, pending));
        while !blocks.has_readers_waiting() {
            assert!(poll_immediate(&mut reading).await.is_none());
            tokio::task::yield_now().await;
        }
        let mut next = Box::pin(fetcher.place());
        held.pop();
        assert!(poll_immediate(&mut next).await.is_none(), "not beside others");
        held.clear();
        let alone = next.await;
        assert!(poll_immediate(fetcher.place()).await.is_none(), "nobody beside it");
        drop((alone, reading));
        assert!(poll_immediate(fetcher.place()).await.is_some());
        let two = (poll_immediate(fetcher.place()).await, poll_immediate(fetcher.place()).await);
        assert!(two.0.is_some() && two.1.is_some());
    }
}
