//! Who may write, and until when. Pure: told the time.

use std::time::{Duration, Instant};

use protocol::dosp::operations::{ClaimLeaseIn, LeaseOut, RenewLeaseIn};
use serde::{Deserialize, Serialize};

/// How long a writer may go on without asking.
pub const LEASE: Duration = Duration::from_secs(5);

/// What the witness must not forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The last generation.
    pub generation: u64,
    /// The center that writes in it.
    pub writer: String,
    /// It answers changes that no other center has: none may take over.
    pub alone: bool,
}

/// The record, and the lease that stands on it.
#[derive(Debug)]
pub struct Leases {
    record: Option<Record>,
    /// Until then somebody may write by a lease: the last that was given, perhaps before the witness was started.
    held_until: Instant,
}

impl Leases {
    /// At the start of the witness.
    pub fn new(record: Option<Record>, now: Instant) -> Self {
        Self { record, held_until: now + LEASE }
    }

    /// As it is.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The record with which the writer goes on; `None` if it is not the one. A generation later than any known is one
    /// that its last writer handed over.
    pub fn renew(&self, asked: &RenewLeaseIn) -> Option<Record> {
        let RenewLeaseIn { center, generation, alone } = asked;
        let next = Record { generation: *generation, writer: center.clone(), alone: *alone };
        match &self.record {
            Some(record) if *generation < record.generation => None,
            Some(record) if *generation == record.generation && *center != record.writer => None,
            Some(_) | None => Some(next),
        }
    }

    /// The record in which the one who claims is the writer; `None` if it may not be.
    pub fn claim(&self, asked: &ClaimLeaseIn, now: Instant) -> Option<Record> {
        let ClaimLeaseIn { center, generation } = asked;
        let record = self.record.as_ref()?;
        // It has claimed already, and did not hear the answer, or died before it began to write.
        if record.writer == *center && record.generation == generation.saturating_add(1) {
            return Some(record.clone());
        }
        let is_free = *generation == record.generation && !record.alone && now >= self.held_until;
        is_free.then(|| Record { generation: generation + 1, writer: center.clone(), alone: false })
    }

    /// Grants a lease on this record, which is durable.
    pub fn grant(&mut self, record: Record, now: Instant) -> LeaseOut {
        self.held_until = now + LEASE;
        let Record { generation, writer, .. } = record.clone();
        self.record = Some(record);
        LeaseOut { granted_ms: LEASE.as_millis() as u32, generation, writer }
    }

    /// What is said instead.
    pub fn refusal(&self) -> LeaseOut {
        let (generation, writer) = self
            .record
            .as_ref()
            .map_or((0, String::new()), |record| (record.generation, record.writer.clone()));
        LeaseOut { granted_ms: 0, generation, writer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewal(center: &str, generation: u64, alone: bool) -> RenewLeaseIn {
        RenewLeaseIn { center: center.to_owned(), generation, alone }
    }

    fn claim(center: &str, generation: u64) -> ClaimLeaseIn {
        ClaimLeaseIn { center: center.to_owned(), generation }
    }

    /// Renews, if that is granted.
    fn renew(leases: &mut Leases, asked: RenewLeaseIn, now: Instant) -> bool {
        leases.renew(&asked).map(|record| leases.grant(record, now)).is_some()
    }

    /// The generation that is claimed, if that is granted.
    fn claims(leases: &mut Leases, asked: ClaimLeaseIn, now: Instant) -> Option<u64> {
        leases.claim(&asked, now).map(|record| leases.grant(record, now).generation)
    }

    /// VFS-21: while a lease lasts nobody else gets one, to the millisecond; then the first who claims does, and the
    /// second and the old writer do not.
    #[test]
    fn one_writes_at_a_time() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut leases = Leases::new(None, start);
        assert_eq!(claims(&mut leases, claim("south", 0), at(60_000)), None, "nobody has ever written");
        assert!(renew(&mut leases, renewal("north", 1, false), at(60_000)));
        assert!(!renew(&mut leases, renewal("south", 1, false), at(60_001)));
        assert!(renew(&mut leases, renewal("north", 1, false), at(61_000)));
        assert_eq!(claims(&mut leases, claim("south", 1), at(65_999)), None);
        assert_eq!(claims(&mut leases, claim("south", 0), at(66_000)), None, "it has missed a generation");
        assert_eq!(claims(&mut leases, claim("south", 1), at(66_000)), Some(2));
        assert_eq!(claims(&mut leases, claim("west", 1), at(99_000)), None);
        assert!(!renew(&mut leases, renewal("north", 1, true), at(99_000)));
        assert!(renew(&mut leases, renewal("south", 2, false), at(99_000)));
    }

    /// VFS-21: from a writer that was alone nobody takes over, however long it is away.
    #[test]
    fn who_is_alone_is_not_taken_over_from() {
        let start = Instant::now();
        let mut leases = Leases::new(None, start);
        assert!(renew(&mut leases, renewal("north", 1, true), start));
        assert_eq!(claims(&mut leases, claim("south", 1), start + 1_000 * LEASE), None);
        assert!(renew(&mut leases, renewal("north", 1, false), start + 1_000 * LEASE));
        assert_eq!(claims(&mut leases, claim("south", 1), start + 1_001 * LEASE), Some(2));
    }

    /// VFS-21: a witness that was started anew does not know of the last lease, and waits as long as one lasts.
    #[test]
    fn after_a_restart_nobody_claims_before_a_lease_has_passed() {
        let (start, record) =
            (Instant::now(), Record { generation: 4, writer: "north".to_owned(), alone: false });
        let mut leases = Leases::new(Some(record), start);
        assert_eq!(claims(&mut leases, claim("south", 4), start + LEASE - Duration::from_millis(1)), None);
        assert_eq!(claims(&mut leases, claim("south", 4), start + LEASE), Some(5));
    }

    /// VFS-21: a claim whose answer was lost is granted again, and to nobody else; a generation that was handed over is
    /// taken note of.
    #[test]
    fn claims_may_be_repeated_and_generations_handed_over() {
        let start = Instant::now();
        let mut leases = Leases::new(None, start);
        assert!(renew(&mut leases, renewal("north", 1, false), start));
        assert_eq!(claims(&mut leases, claim("south", 1), start + LEASE), Some(2));
        assert_eq!(claims(&mut leases, claim("south", 1), start + LEASE), Some(2));
        assert_eq!(claims(&mut leases, claim("west", 1), start + LEASE), None);
        assert!(renew(&mut leases, renewal("north", 3, false), start + LEASE), "handed over by south");
        assert!(!renew(&mut leases, renewal("south", 2, false), start + LEASE));
    }
}
