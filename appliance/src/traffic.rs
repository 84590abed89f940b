//! What goes over the WAN: bytes of objects each way, and how long the storage center takes to answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much the last answer counts in the average: an eighth, as in TCP's round-trip time (RFC 6298).
const SHARE: u64 = 8;

/// Counts without a lock. All numbers but the average only grow.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    /// In microseconds; 0 before the first answer.
    answer: AtomicU64,
}

/// The counts at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of objects from the center.
    pub received: u64,
    /// Bytes of objects to the center.
    pub sent: u64,
    /// How long the center takes to answer a question about the directory, way there and back included: an average of the
    /// last few. `None` before the first.
    pub answer: Option<Duration>,
}

impl Traffic {
    /// Bytes came from the center.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The center took bytes.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The center answered a question after so long.
    pub fn answered(&self, took: Duration) {
        let last = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let average = |before: u64| match before {
            0 => last,
            before => before - before / SHARE + last / SHARE,
        };
        // The closure always gives a value.
        let _ =
            self.answer.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(average(before)));
    }

    /// What there is now.
    pub fn counts(&self) -> Counts {
        let micros = self.answer.load(Ordering::Relaxed);
        Counts {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            answer: (micros > 0).then(|| Duration::from_micros(micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_answers() {
        let traffic = Traffic::default();
        assert_eq!(traffic.counts().answer, None);
        traffic.answered(Duration::from_millis(8));
        assert_eq!(traffic.counts().answer, Some(Duration::from_millis(8)));
        traffic.answered(Duration::from_millis(16));
        assert_eq!(traffic.counts().answer, Some(Duration::from_millis(9)));
        for _ in 0..200 {
            traffic.answered(Duration::from_millis(100));
        }
        let average = traffic.counts().answer.unwrap();
        assert!(average > Duration::from_millis(99) && average <= Duration::from_millis(100), "{average:?}");
    }
}
