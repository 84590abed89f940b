//! What the port did in the last hour, and what is drawn of it. Pure.

use std::time::Instant;

use page_server::page::history::{self, Point};

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

/// The ring.
pub type History = history::History<Sample>;

/// A curve, the oldest value first.
pub fn points(history: &History, now: Instant, curve: Curve) -> Vec<Point> {
    history.curve(now, |before, after, seconds| value(curve, before, after, seconds))
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
    use page_server::page::history::EVERY;

    use super::*;

    fn counting(number: u64) -> Sample {
        Sample { calls: number * 50, hits: number * 3, misses: number, owed: number, ..Sample::default() }
    }

    #[test]
    fn each_curve_is_of_its_own_counts() {
        let (start, mut history) = (Instant::now(), History::default());
        history.note(start, counting(0));
        history.note(start + 2 * EVERY, counting(1));
        let now = start + 3 * EVERY;
        assert_eq!(points(&history, now, Curve::Calls), [(EVERY, 2.5)]);
        assert_eq!(points(&history, now, Curve::HitShare), [(EVERY, 75.0)]);
        assert_eq!(points(&history, now, Curve::Owed), [(EVERY, 1.0)]);
    }

    #[test]
    fn who_reads_nothing_has_no_share_of_hits_and_a_count_that_fell_no_rate() {
        let (start, mut history) = (Instant::now(), History::default());
        history.note(start, counting(5));
        history.note(start + EVERY, counting(5));
        assert_eq!(points(&history, start + EVERY, Curve::HitShare), []);
        history.note(start + 2 * EVERY, counting(1));
        assert_eq!(points(&history, start + 2 * EVERY, Curve::Calls)[1].1, 0.0);
    }
}
