//! What the center did in the last hour, and what is drawn of it. Pure.

use std::time::Instant;

use page_server::page::history::{self, Point};

use crate::cluster::status::ClusterStatus;

/// Counts at a moment, of all processes that answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Operations of the last second.
    pub operations: u64,
    /// Bytes that are taken on all disks.
    pub used: u64,
    /// Copies that are owed.
    pub owed: u64,
    /// Objects read against their digests in the rounds that are under way; falls when one begins.
    pub scrubbed: u64,
}

/// What is made of two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Operations a second at the later one.
    Operations,
    /// Bytes taken at the later one.
    Used,
    /// Copies owed at the later one.
    Owed,
    /// Objects read against their digests a second; nothing when a round began meanwhile.
    Scrubbed,
}

/// The ring.
pub type History = history::History<Sample>;

impl Sample {
    /// What a status says.
    pub fn of(status: &ClusterStatus) -> Self {
        let details = || status.processes.iter().filter_map(|process| process.details.as_ref());
        let disks = || details().flat_map(|details| &details.disks);
        Self {
            operations: details().map(|details| u64::from(details.ops_per_second)).sum(),
            used: disks().map(|disk| disk.bytes_total.saturating_sub(disk.bytes_free)).sum(),
            owed: status.copies_owed,
            scrubbed: disks().map(|disk| disk.scrub_read).sum(),
        }
    }
}

/// A curve, the oldest value first.
pub fn points(history: &History, now: Instant, curve: Curve) -> Vec<Point> {
    history.curve(now, |before, after, seconds| match curve {
        Curve::Operations => Some(after.operations as f64),
        Curve::Used => Some(after.used as f64),
        Curve::Owed => Some(after.owed as f64),
        Curve::Scrubbed => after.scrubbed.checked_sub(before.scrubbed).map(|read| read as f64 / seconds),
    })
}

#[cfg(test)]
mod tests {
    use page_server::page::history::EVERY;

    use super::*;
    use crate::status_page::testing::status;

    #[test]
    fn a_sample_is_of_all_that_answered() {
        let sample = Sample::of(&status());
        assert_eq!(sample, Sample { operations: 10, used: 60, owed: 0, scrubbed: 6 });
    }

    #[test]
    fn a_round_that_begins_is_no_rate() {
        let (start, mut history) = (Instant::now(), History::default());
        for (number, scrubbed) in (0..).zip([0, 50, 20, 40]) {
            history.note(start + EVERY * number, Sample { scrubbed, ..Sample::default() });
        }
        let rates: Vec<f64> =
            points(&history, start + EVERY * 3, Curve::Scrubbed).into_iter().map(|(_, rate)| rate).collect();
        assert_eq!(rates, [5.0, 2.0]);
    }
}
