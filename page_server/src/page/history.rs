//! The last hour: a sample of some counts every ten seconds, in a ring. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(10);
/// How far back they reach.
pub const SPAN: Duration = Duration::from_secs(3600);
/// Both ends of the hour.
const SAMPLES_MAX: usize = (SPAN.as_secs() / EVERY.as_secs()) as usize + 1;

/// A value and how long ago it was.
pub type Point = (Duration, f64);

/// The ring.
#[derive(Debug)]
pub struct History<S>(VecDeque<(Instant, S)>);

impl<S> Default for History<S> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<S> History<S> {
    /// Keeps a sample; those that are older than an hour go.
    pub fn note(&mut self, now: Instant, sample: S) {
        while self.0.len() >= SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, sample));
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > SPAN) {
            self.0.pop_front();
        }
    }

    /// A curve, the oldest value first: `value` makes one of each sample but the first, the one before it, and the
    /// seconds between them; or none.
    pub fn curve(&self, now: Instant, value: impl Fn(&S, &S, f64) -> Option<f64>) -> Vec<Point> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let point = |((from, before), (to, after)): (&(Instant, S), &(Instant, S))| {
            let seconds = to.saturating_duration_since(*from).as_secs_f64();
            let ago = now.saturating_duration_since(*to);
            (seconds > 0.0).then(|| value(before, after, seconds)).flatten().map(|value| (ago, value))
        };
        pairs.filter_map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(before: &u64, after: &u64, seconds: f64) -> Option<f64> {
        Some((after - before) as f64 / seconds)
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let (start, mut history) = (Instant::now(), History::default());
        for number in 0..1_000 {
            history.note(start + EVERY * number, u64::from(number) * 50);
        }
        let now = start + EVERY * 999;
        let calls = history.curve(now, rate);
        assert_eq!(calls.len(), SAMPLES_MAX - 1);
        assert_eq!((calls[0], calls[359]), ((SPAN - EVERY, 5.0), (Duration::ZERO, 5.0)));
        // After a pause of an hour nothing that was before is left.
        history.note(now + SPAN + EVERY, 0);
        assert_eq!(history.curve(now + SPAN + EVERY, rate), []);
    }

    /// A timer that is late makes no steeper curve.
    #[test]
    fn values_are_by_the_time_that_passed() {
        let (start, mut history) = (Instant::now(), History::default());
        history.note(start, 0);
        history.note(start + 2 * EVERY, 50);
        history.note(start + 2 * EVERY, 100);
        assert_eq!(history.curve(start + 3 * EVERY, rate), [(EVERY, 2.5)]);
    }
}
