//! Turns with fingerprints: one call at a time changes what is known of an object.

use protocol::digest::Fingerprint;
use tokio::sync::{Mutex, MutexGuard};

/// A thousand for some dozens at work: two meet by chance seldom, and then only wait.
const LOCKS: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub struct Locks(Box<[Mutex<()>]>);

impl Default for Locks {
    fn default() -> Self {
        Self((0..LOCKS).map(|_| Mutex::new(())).collect())
    }
}

impl Locks {
    /// Waits for its turn.
    pub async fn lock(&self, fingerprint: Fingerprint) -> MutexGuard<'_, ()> {
        let [first, second, ..] = fingerprint.0;
        let number = usize::from(u16::from_be_bytes([first, second])) % LOCKS;
        self.0[number].lock().await
    }
}
