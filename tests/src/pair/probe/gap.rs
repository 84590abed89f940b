//! The longest time without an answer.

use std::time::{Duration, Instant};

/// Longer without an answer than this at the end of a phase, and the service is not back.
const BACK_WITHIN: Duration = Duration::from_millis(250);

/// Between two marks.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    last: Instant,
    longest: Duration,
}

impl Gap {
    /// Counts from `now`.
    pub fn new(now: Instant) -> Self {
        Self { last: now, longest: Duration::ZERO }
    }

    /// An answer came.
    pub fn answered(&mut self, now: Instant) {
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = now;
    }

    /// The longest gap since the last mark, and whether it goes on; counts anew from `now`.
    pub fn mark(&mut self, now: Instant) -> (Duration, bool) {
        let running = now.saturating_duration_since(self.last);
        let longest = self.longest.max(running);
        *self = Self::new(now);
        (longest, running > BACK_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_also_when_it_is_the_last_one() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut gap = Gap::new(start);
        [4, 8, 108, 112].into_iter().for_each(|ms| gap.answered(after(ms)));
        assert_eq!(gap.mark(after(116)), (Duration::from_millis(100), false));
        gap.answered(after(120));
        assert_eq!(gap.mark(after(420)), (Duration::from_millis(300), true));
        assert_eq!(gap.mark(after(430)), (Duration::from_millis(10), false));
    }
}
