//! The shell around [`Manager`]: the lock on it, the ledger's disk, and what happens without a call.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Settings;
use super::manager::{Manager, Unrecorded};
use super::wire::Status;
use crate::nsm::ledger::{Client, Ledger, Record};

/// How often clients without locks are looked for.
const RETIRE_EVERY: Duration = Duration::from_secs(60);

/// All locks of a server, and its state number. One for the whole server.
#[derive(Debug)]
pub struct Locks {
    manager: Mutex<Manager>,
    ledger: Arc<dyn Ledger>,
    /// Held while a record is stored, so that an older one never replaces a newer.
    storing: tokio::sync::Mutex<()>,
    state: u32,
}

impl Locks {
    /// Begins a new state: what the ledger remembers may be taken again for a while. Blocks on the ledger's disk.
    ///
    /// # Errors
    /// The ledger's.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        let ledger = Arc::clone(&settings.ledger);
        let before = ledger.load()?;
        let record = Record { state: before.next_state(), clients: before.clients };
        ledger.store(&record)?;
        let now = Instant::now();
        let manager = Manager::new(settings.limits, &record.clients, now + settings.grace, now);
        if !record.clients.is_empty() {
            let (clients, seconds) = (record.clients.len(), settings.grace.as_secs());
            tracing::info!(clients, seconds, "locks of the last run may be taken again");
        }
        Ok(Self {
            manager: Mutex::new(manager),
            ledger,
            storing: tokio::sync::Mutex::new(()),
            state: record.state,
        })
    }

    /// This server's state number (NSM): another one after each start.
    pub const fn state(&self) -> u32 {
        self.state
    }

    /// The core, for one question or change. Nothing waits while it is held.
    pub(crate) fn manager(&self) -> MutexGuard<'_, Manager> {
        // No code panics while it holds the lock.
        self.manager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the core for a lock or share, and has the client recorded first where that is wanted.
    pub(crate) async fn take(
        &self,
        client: &Client,
        local: IpAddr,
        ask: impl Fn(&mut Manager, Instant) -> Result<Status, Unrecorded>,
    ) -> Status {
        // Once it is recorded, only minutes without any lock make it forgotten again.
        for _ in 0..2 {
            if let Ok(status) = ask(&mut self.manager(), Instant::now()) {
                return status;
            }
            if !self.record(client, local).await {
                break;
            }
        }
        Status::DeniedNoLocks
    }

    /// Makes the ledger have a client. `false` if it cannot.
    async fn record(&self, client: &Client, local: IpAddr) -> bool {
        let _storing = self.storing.lock().await;
        if !self.manager().remember(client, local, Instant::now()) {
            tracing::debug!(address = %client.address, "no lock: too many clients");
            return false;
        }
        let stored = self.store().await;
        if let Err(error) = &stored {
            tracing::error!(%error, "no new client gets a lock: the list of clients with locks cannot be stored");
            self.manager().not_remembered(client);
        }
        stored.is_ok()
    }

    /// Stores whom the core remembers; [`Self::storing`] is held.
    async fn store(&self) -> io::Result<()> {
        let record = Record { state: self.state, clients: self.manager().remembered() };
        let ledger = Arc::clone(&self.ledger);
        tokio::task::spawn_blocking(move || ledger.store(&record)).await?
    }

    /// Does what happens without a call, for ever.
    pub(crate) async fn run(&self) {
        tokio::join!(self.end_grace(), self.retire());
    }

    async fn end_grace(&self) {
        loop {
            let Some(end) = self.manager().grace_end() else { return };
            let left = end.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                // It may come earlier than was thought.
                sleep(left.min(Duration::from_secs(1))).await;
                continue;
            }
            let _storing = self.storing.lock().await;
            self.manager().close_grace();
            if let Err(error) = self.store().await {
                tracing::error!(%error, "the list of clients with locks cannot be stored");
            }
            self.manager().end_grace();
            tracing::info!("new locks are given from now on");
        }
    }

    async fn retire(&self) {
        loop {
            sleep(RETIRE_EVERY).await;
            let _storing = self.storing.lock().await;
            let is_stale = self.manager().retire(Instant::now());
            if is_stale && let Err(error) = self.store().await {
                tracing::error!(%error, "the list of clients with locks cannot be stored");
            }
        }
    }
}
