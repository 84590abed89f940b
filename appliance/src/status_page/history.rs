//! What the port did in the last hour: a sample of its counts every ten seconds, in a ring. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(10);
/// How far back they reach.
pub const SPAN: Duration = Duration::from_secs(3600);
/// Both ends of the hour.
const SAMPLES_MAX: usize = (SPAN.as_secs() / EVERY.as_secs()) as usize + 1;

/// Counts at a moment. All but the last only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Calls of NFS.
    pub calls: u64,
    /// Blocks found in the data cache.
    pub hits: u64,
    /// Blocks that were not.
    pub misses: u64,
    /// Bytes of objects from the center.
    pub received: u64,
    /// Bytes of objects to it.
    pub sent: u64,
    /// Bytes that the center does not have yet.
    pub owed: u64,
}

/// What is made of two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Calls a second.
    Calls,
    /// Hits of a hundred blocks; nothing while none was read.
    HitShare,
    /// Bytes a second from the center.
    Received,
    /// Bytes a second to the center.
    Sent,
    /// Bytes owed at the later one.
    Owed,
}

/// A value and how long ago it was.
pub type Point = (Duration, f64);

/// The ring.
#[derive(Debug, Default)]
pub struct History(VecDeque<(Instant, Sample)>);

impl History {
    /// Keeps a sample; those that are older than an hour go.
    pub fn note(&mut self, now: Instant, sample: Sample) {
        while self.0.len() >= SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, sample));
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > SPAN) {
            self.0.pop_front();
        }
    }

    /// A curve, the oldest value first: one for each sample but the first.
    pub fn curve(&self, now: Instant, curve: Curve) -> Vec<Point> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let point = |((from, before), (to, after)): (&(Instant, Sample), &(Instant, Sample))| {
            let seconds = to.saturating_duration_since(*from).as_secs_f64();
            let ago = now.saturating_duration_since(*to);
            (seconds > 0.0).then(|| value(curve, before, after, seconds)).flatten().map(|value| (ago, value))
        };
        pairs.filter_map(point).collect()
    }
}

fn value(curve: Curve, before: &Sample, after: &Sample, seconds: f64) -> Option<f64> {
    let grown = |of: fn(&Sample) -> u64| of(after).saturating_sub(of(before)) as f64;
    match curve {
        Curve::Calls => Some(grown(|sample| sample.calls) / seconds),
        Curve::Received => Some(grown(|sample| sample.received) / seconds),
        Curve::Sent => Some(grown(|sample| sample.sent) / seconds),
        Curve::Owed => Some(after.owed as f64),
        Curve::HitShare => {
            let (hits, misses) = (grown(|sample| sample.hits), grown(|sample| sample.misses));
            (hits + misses > 0.0).then(|| hits * 100.0 / (hits + misses))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(number: u64) -> Sample {
        Sample { calls: number * 50, hits: number * 3, misses: number, owed: number, ..Sample::default() }
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let (start, mut history) = (Instant::now(), History::default());
        for number in 0..1_000 {
            history.note(start + EVERY * number, counting(number.into()));
        }
        let now = start + EVERY * 999;
        let calls = history.curve(now, Curve::Calls);
        assert_eq!(calls.len(), SAMPLES_MAX - 1);
        assert_eq!((calls[0], calls[359]), ((SPAN - EVERY, 5.0), (Duration::ZERO, 5.0)));
        // After a pause of an hour nothing that was before is left.
        history.note(now + SPAN + EVERY, counting(0));
        assert_eq!(history.curve(now + SPAN + EVERY, Curve::Calls), []);
    }

    /// A timer that is late makes no steeper curve.
    #[test]
    fn values_are_by_the_time_that_passed() {
        let (start, mut history) = (Instant::now(), History::default());
        history.note(start, counting(0));
        history.note(start + 2 * EVERY, counting(1));
        history.note(start + 2 * EVERY, counting(2));
        let now = start + 3 * EVERY;
        assert_eq!(history.curve(now, Curve::Calls), [(EVERY, 2.5)]);
        assert_eq!(history.curve(now, Curve::HitShare), [(EVERY, 75.0)]);
        assert_eq!(history.curve(now, Curve::Owed), [(EVERY, 1.0)]);
    }

    #[test]
    fn who_reads_nothing_has_no_share_of_hits_and_a_count_that_fell_no_rate() {
        let (start, mut history) = (Instant::now(), History::default());
        history.note(start, counting(5));
        history.note(start + EVERY, counting(5));
        assert_eq!(history.curve(start + EVERY, Curve::HitShare), []);
        history.note(start + 2 * EVERY, counting(1));
        assert_eq!(history.curve(start + 2 * EVERY, Curve::Calls)[1].1, 0.0);
    }
}
