//! A rate, kept by telling everybody when it is his turn. Pure.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// One direction of the WAN. It saves up nothing: after a pause it is no faster than before.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all that had its turn is over.
    free_at: Option<Instant>,
}

impl Pace {
    /// Gives `bytes` a turn: how long to wait for it, at so many bytes a second.
    pub fn turn(&mut self, bytes: u64, rate: NonZeroU64, now: Instant) -> Duration {
        let begins = self.free_at.map_or(now, |free_at| free_at.max(now));
        // Of 128 bits, so that nothing overflows; the quotient of what can be in memory fits.
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        self.free_at = Some(begins + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        begins.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: NonZeroU64 = NonZeroU64::new(1_000).unwrap();

    proptest! {
        /// Whatever is sent when, in no stretch of time does more go over than the rate allows, and one piece.
        #[test]
        fn no_stretch_of_time_has_more(pieces in prop::collection::vec((1_u64..5_000, 0_u64..3_000), 1..50)) {
            let start = Instant::now();
            let (mut pace, mut now, mut sent) = (Pace::default(), start, Vec::new());
            for (bytes, pause) in pieces {
                now += Duration::from_millis(pause);
                let waits = pace.turn(bytes, RATE, now);
                sent.push((now + waits, bytes));
            }
            for first in 0..sent.len() {
                for last in first + 1..sent.len() {
                    let bytes: u64 = sent[first..last].iter().map(|(_, bytes)| bytes).sum();
                    let took = sent[last].0 - sent[first].0;
                    prop_assert!(took >= Duration::from_millis(bytes) - Duration::from_micros(50));
                }
            }
        }
    }

    #[test]
    fn who_comes_alone_does_not_wait() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.turn(500, RATE, now), Duration::ZERO);
        assert_eq!(pace.turn(1, RATE, now), Duration::from_millis(500));
        assert_eq!(pace.turn(1, RATE, now + Duration::from_secs(9)), Duration::ZERO);
    }
}
