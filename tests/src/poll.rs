//! Waiting for a condition, never for a duration.

use std::time::{Duration, Instant};

/// Pause between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `condition` until it gives a value; panics with `what` when `patience` is over.
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where tests pause between two looks at a condition"
)]
pub fn until<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// A short pause before a client tries again, as a real one makes it.
#[allow(clippy::disallowed_methods, reason = "part of the mount's retry, bounded by its patience")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
