//! What a disk does and how long it takes: the jobs it has, and when it is too slow or too bad to go on (ISN-8).
//!
//! Takes the time as an argument; says what it thinks of the disk and changes nothing by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From where on a disk is taken out of use. A write or a sync that fails takes it out at once: nobody knows then
/// what is on it. A full disk is no failure: it is not chosen for objects, and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Longest job. A disk that answers at all answers a block of 1 MiB within seconds, however busy.
    pub job: Duration,
    /// Reads that failed since the disk was opened. A bad spot happens; many are the beginning of the end.
    pub reads_failed: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { job: Duration::from_secs(30), reads_failed: 16 }
    }
}

/// The jobs of one disk.
#[derive(Debug)]
pub struct Health {
    thresholds: Thresholds,
    reads_failed: AtomicU32,
    /// Waiting and running.
    outstanding: AtomicU64,
    /// Running jobs whose time is measured, by number, with the time each began. As many as the disk has threads.
    running: Mutex<BTreeMap<u64, Instant>>,
    next: AtomicU64,
}

/// A job, from the moment it waits for the disk until it is dropped.
#[derive(Debug)]
pub struct Job {
    health: Arc<Health>,
    number: u64,
}

impl Health {
    /// Nothing to do yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            reads_failed: AtomicU32::new(0),
            outstanding: AtomicU64::new(0),
            running: Mutex::new(BTreeMap::new()),
            next: AtomicU64::new(0),
        }
    }

    /// A job that waits from now on.
    pub fn enter(self: &Arc<Self>) -> Job {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Job { health: Arc::clone(self), number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Jobs waiting and running (ISN-10).
    pub fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// How long the longest job has been running, if that is longer than a job may take.
    pub fn overdue(&self, now: Instant) -> Option<Duration> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = running.values().min().map(|began| now.saturating_duration_since(*began));
        longest.filter(|longest| *longest > self.thresholds.job)
    }

    /// Counts a read that failed. Answers whether that was one too many.
    pub fn read_failed(&self) -> bool {
        self.reads_failed.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= self.thresholds.reads_failed
    }
}

impl Job {
    /// It runs from now on, and should not for long.
    pub fn begin(&self, now: Instant) {
        self.health.running.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number, now);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.health.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.health.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISN-10: waiting and running jobs count as outstanding, until they end.
    #[test]
    fn jobs_are_outstanding_from_waiting_to_their_end() {
        let health = Arc::new(Health::new(Thresholds::default()));
        let (first, second) = (health.enter(), health.enter());
        first.begin(Instant::now());
        assert_eq!(health.outstanding(), 2);
        drop((first, second));
        assert_eq!(health.outstanding(), 0);
        assert!(health.running.lock().unwrap().is_empty());
    }

    /// ISN-8: a job is overdue while it runs and not only after its end; waiting for a turn is not running.
    #[test]
    fn a_job_that_takes_too_long_is_overdue() {
        let health = Arc::new(Health::new(Thresholds { job: Duration::from_secs(30), reads_failed: 1 }));
        let start = Instant::now();
        let _waiting = health.enter();
        let hanging = health.enter();
        hanging.begin(start);
        let quick = health.enter();
        quick.begin(start + Duration::from_secs(25));
        assert_eq!(health.overdue(start + Duration::from_secs(30)), None);
        let late = start + Duration::from_secs(31);
        assert_eq!(health.overdue(late), Some(Duration::from_secs(31)));
        drop(hanging);
        assert_eq!(health.overdue(late), None);
    }

    /// ISN-8: so many failed reads are tolerated, and no more.
    #[test]
    fn failed_reads_are_counted() {
        let health = Health::new(Thresholds { reads_failed: 3, ..Thresholds::default() });
        assert_eq!([health.read_failed(), health.read_failed(), health.read_failed()], [false, false, true]);
    }
}
