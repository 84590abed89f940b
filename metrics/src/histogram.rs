//! How long something took, counted in ranges: as Prometheus wants it, without a lock and in fixed memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the ranges, in microseconds; what took longer is in a last one. Dense where a local network's answers
/// lie, so that a percentile read from them means something.
pub const BOUNDS_MICROS: [u64; 18] = [
    100, 200, 300, 400, 500, 750, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 40_000, 60_000, 100_000,
    250_000, 1_000_000, 5_000_000,
];

/// A histogram of durations. All numbers only grow.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Of each range, the last one without an end.
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

/// What a histogram has at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many took at most so long as the bound of the same place says.
    pub at_most: [u64; BOUNDS_MICROS.len()],
    /// How many there are.
    pub count: u64,
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    /// Something took so long.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let range = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.counts[range].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What there is now.
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let mut at_most = [0; BOUNDS_MICROS.len()];
        let mut so_far = 0;
        for (at_most, count) in at_most.iter_mut().zip(counts) {
            so_far += count;
            *at_most = so_far;
        }
        let sum_micros = self.sum_micros.load(Ordering::Relaxed);
        Snapshot { at_most, count: counts.iter().sum(), sum_micros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_range_that_ends_with_it() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 5_000_000, 5_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let Snapshot { at_most, count, sum_micros } = histogram.snapshot();
        assert_eq!((at_most[0], at_most[1], at_most[16], at_most[17], count), (2, 3, 3, 4, 5));
        assert_eq!(sum_micros, 10_000_202);
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_MICROS.is_sorted_by(|lower, higher| lower < higher));
    }
}
