//! How long something may be silent. Pure.

use std::time::Duration;

use crate::machine::time::Time;

/// Somebody who is asked again and again, and counts as gone when he has not answered for long.
#[derive(Clone, Debug)]
pub struct Silence {
    limit: Duration,
    last_answer: Time,
}

impl Silence {
    /// From now on he has `limit` to answer.
    pub const fn new(limit: Duration, now: Time) -> Self {
        Self { limit, last_answer: now }
    }

    /// He has answered.
    pub fn answered(&mut self, now: Time) {
        self.last_answer = self.last_answer.max(now);
    }

    /// Whether he is gone.
    pub fn is_over(&self, now: Time) -> bool {
        now.since(self.last_answer) >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-5: "service silent for 300 ms".
    #[test]
    fn silence_counts_from_the_last_answer() {
        let limit = Duration::from_millis(300);
        let mut silence = Silence::new(limit, Time(0));
        assert!(!silence.is_over(Time(299_999)) && silence.is_over(Time(300_000)));
        silence.answered(Time(350_000));
        silence.answered(Time(100_000));
        assert!(!silence.is_over(Time(649_999)) && silence.is_over(Time(650_000)));
    }
}
