//! The list of clients with locks, on both ports: whichever serves next tells them to take their locks again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nfs::nsm::ledger::{Ledger, Record};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::safety::{Safety, until};
use crate::lock_ledger::LockLedger;

/// A list and its number; each later one has a higher.
pub type Numbered = (u64, Arc<[u8]>);

/// See the module.
#[derive(Debug)]
pub struct SharedLedger {
    own: Arc<LockLedger>,
    newest: watch::Sender<Numbered>,
    safety: watch::Receiver<Safety>,
    patience: Duration,
    runtime: Handle,
}

impl SharedLedger {
    /// Stores in `own`, and waits for the other port as `safety` says, for so long at most. Needs a tokio runtime.
    pub fn new(own: Arc<LockLedger>, safety: watch::Receiver<Safety>, patience: Duration) -> Self {
        Self {
            own,
            newest: watch::Sender::new((0, Arc::default())),
            safety,
            patience,
            runtime: Handle::current(),
        }
    }

    /// What was stored last in this run, to be sent to the other port; number 0 before anything was.
    pub fn follow(&self) -> watch::Receiver<Numbered> {
        self.newest.subscribe()
    }
}

impl Ledger for SharedLedger {
    fn load(&self) -> io::Result<Record> {
        self.own.load()
    }

    /// Called by a thread that may block.
    fn store(&self, record: &Record) -> io::Result<()> {
        self.own.store(record)?;
        let mut number = 0;
        self.newest.send_modify(|newest| {
            *newest = (newest.0 + 1, record.to_bytes().into());
            number = newest.0;
        });
        let kept = until(&self.safety, |safety| safety.is_ledger_kept(number));
        let waited = self.runtime.block_on(async { timeout(self.patience, kept).await });
        waited.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "the other port of the pair does not have it yet")
        })
    }
}
