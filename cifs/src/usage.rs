//! How much the shares are used: what the server does not tell, counted below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start, but for what is open now.
#[derive(Debug, Default)]
pub struct Usage {
    open: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
}

impl Usage {
    /// Files and folders that clients have open.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Bytes that were read.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that were written.
    pub fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Something open, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Usage>);

impl Counted {
    pub fn new(usage: &Arc<Usage>) -> Self {
        usage.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(usage))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
