//! What went wrong, told once and not a hundred times a second. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hands::Deed;
use crate::machine::time::Time;

/// After so long the same is told again.
const AGAIN: Duration = Duration::from_secs(30);
/// For so long what could not be done counts against this port.
const FRESH: Duration = Duration::from_secs(10);

/// By what was to be done: when it failed last, why, and when that was told.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<Deed, Complaint>);

#[derive(Debug)]
struct Complaint {
    why: String,
    failed: Time,
    told: Time,
}

impl Complaints {
    /// `what` failed. Whether to tell it.
    pub(super) fn failed(&mut self, what: Deed, why: String, now: Time) -> bool {
        let known = self.0.get(&what).filter(|known| known.why == why && now.since(known.told) < AGAIN);
        let told = known.map_or(now, |known| known.told);
        let is_new = known.is_none();
        self.0.insert(what, Complaint { why, failed: now, told });
        is_new
    }

    /// What is vital and failed a moment ago, and why.
    pub(super) fn vital(&self, now: Time) -> impl Iterator<Item = (Deed, &str)> {
        let is_fresh = move |complaint: &Complaint| now.since(complaint.failed) < FRESH;
        let vital = self.0.iter().filter(move |(deed, complaint)| deed.is_vital() && is_fresh(complaint));
        vital.map(|(deed, complaint)| (*deed, complaint.why.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_again_after_a_while_and_another_reason_at_once() {
        let at = |ms: u64| Time(ms * 1_000);
        let mut complaints = Complaints::default();
        assert!(complaints.failed(Deed::OpenFence, "busy".into(), at(0)));
        assert!(!complaints.failed(Deed::OpenFence, "busy".into(), at(10)));
        assert!(complaints.failed(Deed::OpenFence, "gone".into(), at(20)));
        assert!(complaints.failed(Deed::Announce, "gone".into(), at(20)));
        assert!(complaints.failed(Deed::OpenFence, "gone".into(), at(30_020)));
        let vital: Vec<_> = complaints.vital(at(30_030)).collect();
        assert_eq!(vital, [(Deed::OpenFence, "gone")]);
    }
}
