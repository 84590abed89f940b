//! The thread behind the cache: finds the files that index logs lost, and puts failed disks back into service.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::locked;

/// Between two folders of a sweep: a disk is swept in some five seconds, and readers do not notice.
const SWEEP_PACE: Duration = Duration::from_millis(20);
/// Between two attempts to open a failed disk.
const REVIVE_PACE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    bell: Condvar,
}

impl Stop {
    /// Waits, or returns true at once when it is time to stop.
    fn within(&self, time: Duration) -> bool {
        let waited = self.bell.wait_timeout_while(locked(&self.stopped), time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Ends the thread when dropped.
#[derive(Debug)]
pub struct Maintenance {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    /// Starts the thread. Without it the cache works, only lost files stay lost and failed disks out of service.
    pub fn start(disks: Arc<[Disk]>) -> Self {
        let stop = Arc::new(Stop::default());
        let thread = std::thread::Builder::new().name("cache-maintenance".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || run(&disks, &stop)
        });
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no cache maintenance")).ok();
        Self { stop, thread }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        *locked(&self.stop.stopped) = true;
        self.stop.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(disks: &[Disk], stop: &Stop) {
    loop {
        let round = Instant::now();
        for folder in 0..=u8::MAX {
            let swept: Vec<bool> = disks.iter().map(|disk| disk.sweep(folder)).collect();
            if swept.contains(&true) && stop.within(SWEEP_PACE) {
                return;
            }
        }
        if stop.within(REVIVE_PACE.saturating_sub(round.elapsed())) {
            return;
        }
        revive(disks);
    }
}

/// Opens the disks that are out of service.
pub fn revive(disks: &[Disk]) {
    for disk in disks.iter().filter(|disk| !disk.is_up()) {
        match disk.open() {
            Ok(()) => tracing::info!(disk = %disk.path().display(), "cache disk in service"),
            Err(error) => {
                tracing::warn!(disk = %disk.path().display(), %error, "cache disk out of service: check it");
            }
        }
    }
}
