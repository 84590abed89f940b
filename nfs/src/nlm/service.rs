//! The shell around [`Manager`]: the lock on it, the ledger's disk, and what happens without a call.

use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::sleep;

use super::Settings;
use super::courier::{Message, Outbox};
use super::manager::{How, LockCounts, Manager, Request};
use super::wire::Status;
use crate::nsm::ledger::{Client, Ledger, Record, Remembered};
use crate::nsm::notifier::{self, News};

/// How often clients without locks are looked for.
const RETIRE_EVERY: Duration = Duration::from_secs(60);
/// What broke off begins anew after this.
const PAUSE: Duration = Duration::from_millis(100);

/// All locks of a server, and its state number. One for the whole server.
#[derive(Debug)]
pub struct Locks {
    manager: Mutex<Manager>,
    ledger: Arc<dyn Ledger>,
    /// Held while a record is stored, so that an older one never replaces a newer: by the store itself, because who
    /// asked for it may be gone before the disk is done.
    storing: Arc<tokio::sync::Mutex<()>>,
    outbox: Mutex<Outbox>,
    /// Told when a client may have to be called.
    wanted: Notify,
    xid: AtomicU32,
    news: News,
    /// Who had locks when the server ended.
    remembered: Vec<Remembered>,
}

impl Locks {
    /// Begins a new state: what the ledger remembers may be taken again for a while. Blocks on the ledger's disk.
    ///
    /// A damaged ledger does not keep the server from starting: nobody can be told, but whoever knows by itself may
    /// take its locks again, and nobody gets a new one meanwhile.
    ///
    /// # Errors
    /// The ledger's, but for damage.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        let ledger = Arc::clone(&settings.ledger);
        let before = match ledger.load() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let seconds = settings.grace.as_secs();
                tracing::error!(%error, seconds, "the list of clients with locks is lost: none is told of the restart");
                None
            }
            loaded => Some(loaded?),
        };
        let is_lost = before.is_none();
        let before = before.unwrap_or_else(|| Record { state: later_than_ever(), clients: Vec::new() });
        let record = Record { state: before.next_state(), clients: before.clients };
        ledger.store(&record)?;
        let now = Instant::now();
        let remembered = (!is_lost).then_some(&record.clients[..]);
        let manager = Manager::new(settings.limits, remembered, now + settings.grace, now);
        if !record.clients.is_empty() {
            let (clients, seconds) = (record.clients.len(), settings.grace.as_secs());
            tracing::info!(clients, seconds, "locks of the last run may be taken again");
        }
        let (host_name, rpcbind_port) = (settings.host_name.clone(), settings.rpcbind_port);
        Ok(Self {
            manager: Mutex::new(manager),
            ledger,
            storing: Arc::default(),
            outbox: Mutex::default(),
            wanted: Notify::new(),
            // Other numbers than those of the last run.
            xid: AtomicU32::new(record.state << 16),
            news: News { state: record.state, host_name, rpcbind_port },
            remembered: record.clients,
        })
    }

    /// This server's state number (NSM): another one after each start.
    pub const fn state(&self) -> u32 {
        self.news.state
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> LockCounts {
        self.manager().counts()
    }

    /// The core, for one question. Nothing waits while it is held.
    pub(super) fn manager(&self) -> MutexGuard<'_, Manager> {
        // No code panics while it holds the lock.
        self.manager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the core change something, and calls clients where that gives them locks.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Manager, Instant) -> T) -> T {
        let mut manager = self.manager();
        let result = change(&mut manager, Instant::now());
        if manager.has_work() {
            self.wanted.notify_one();
        }
        result
    }

    /// Answers by a call of our own, soon.
    pub(super) fn send_later(&self, message: Message) {
        self.outbox().push(message);
        self.wanted.notify_one();
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn wanted(&self) -> &Notify {
        &self.wanted
    }

    pub(super) const fn rpcbind_port(&self) -> u16 {
        self.news.rpcbind_port
    }

    pub(super) fn next_xid(&self) -> u32 {
        self.xid.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the core for a lock, and has the client recorded first where that is wanted.
    pub(super) async fn lock(&self, request: &Request<'_>, how: &How) -> Status {
        // Once it is recorded, only minutes without any lock make it forgotten again.
        for _ in 0..2 {
            if let Ok(status) = self.change(|manager, now| manager.lock(request, how, now)) {
                return status;
            }
            if !self.record(request.client, how.local).await {
                break;
            }
        }
        Status::DeniedNoLocks
    }

    /// Makes the ledger have a client. `false` if it cannot.
    async fn record(&self, client: &Client, local: IpAddr) -> bool {
        let storing = self.storing().await;
        let admitted = self.manager().admit(client, local, Instant::now());
        let Some(clients) = admitted else {
            tracing::debug!(address = %client.address, "no lock: too many clients");
            return false;
        };
        match self.store(storing, clients).await {
            Ok(_storing) => self.manager().recorded(client),
            Err(error) => {
                tracing::error!(%error, "no new client gets a lock: the list of clients with locks cannot be stored");
                return false;
            }
        }
        true
    }

    async fn storing(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.storing).lock_owned().await
    }

    /// Stores whom a restart must find, and gives back the guard under which they were looked up: what follows from the
    /// store is done before it is dropped.
    async fn store(
        &self,
        storing: OwnedMutexGuard<()>,
        clients: Vec<Remembered>,
    ) -> io::Result<OwnedMutexGuard<()>> {
        let record = Record { state: self.news.state, clients };
        let ledger = Arc::clone(&self.ledger);
        tokio::task::spawn_blocking(move || ledger.store(&record).map(|()| storing)).await?
    }

    /// Does what happens without a call, for ever.
    pub(crate) async fn run(&self) {
        tokio::join!(
            kept_up("telling clients of the restart", || notifier::tell(&self.news, self.remembered.clone())),
            kept_up("calling clients", || self.call_clients()),
            kept_up("ending the time of old locks", || self.end_grace()),
            kept_up("forgetting clients without locks", || self.retire()),
        );
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
            let storing = self.storing().await;
            let clients = self.manager().close_grace();
            let stored = self.store(storing, clients).await;
            if let Err(error) = &stored {
                tracing::error!(%error, "the list of clients with locks cannot be stored");
            }
            self.manager().end_grace();
            drop(stored);
            tracing::info!("new locks are given from now on");
        }
    }

    async fn retire(&self) {
        loop {
            sleep(RETIRE_EVERY).await;
            let storing = self.storing().await;
            let retired = self.manager().retire(Instant::now());
            if let Some(clients) = retired
                && let Err(error) = self.store(storing, clients).await
            {
                tracing::error!(%error, "the list of clients with locks cannot be stored");
            }
        }
    }
}

/// A state number that no start can have had: seconds go faster than starts.
#[allow(clippy::disallowed_methods, reason = "the shell: nothing but the clock is left to tell starts apart")]
fn later_than_ever() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() as u32
}

/// Begins something anew if it panics: without it locks would never be given, and nobody would notice.
async fn kept_up<F: Future<Output = ()>>(what: &str, run: impl Fn() -> F) {
    while AssertUnwindSafe(run()).catch_unwind().await.is_err() {
        tracing::error!(what, "this broke off by a fault of the server, and is begun anew");
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn what_panics_is_begun_anew_until_it_ends() {
        let begun = AtomicU32::new(0);
        super::kept_up("a test", async || {
            assert!(begun.fetch_add(1, Ordering::Relaxed) == 2, "a fault");
        })
        .await;
        assert_eq!(begun.into_inner(), 3);
    }
}
