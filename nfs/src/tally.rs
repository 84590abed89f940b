//! How many calls of NFS there were, how each ended, and how long they took. Without a lock, in fixed memory: a call
//! costs two readings of the clock and three additions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Histogram, Snapshot};
use nfsserve::nfs::nfsstat3;

use crate::v3::procedure;

/// The procedures by their names in RFC 1813, in the order of their numbers.
const NAMES: [&str; procedure::COMMIT as usize + 1] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "LOOKUP",
    "ACCESS",
    "READLINK",
    "READ",
    "WRITE",
    "CREATE",
    "MKDIR",
    "SYMLINK",
    "MKNOD",
    "REMOVE",
    "RMDIR",
    "RENAME",
    "LINK",
    "READDIR",
    "READDIRPLUS",
    "FSSTAT",
    "FSINFO",
    "PATHCONF",
    "COMMIT",
];

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As the client wanted.
    Done,
    /// The client was told no: no such file, no permission, arguments that mean nothing.
    Refused,
    /// The client was told to ask again (NFS3ERR_JUKEBOX): the storage center is away, or something is full.
    Later,
    /// Something that should work did not: NFS3ERR_IO, NFS3ERR_SERVERFAULT.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::Later, Self::Failed];

    /// Of a call that was answered with these results: all but those of NULL begin with a status.
    pub(crate) fn of(results: &[u8]) -> Self {
        let status = results.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
        const JUKEBOX: u32 = nfsstat3::NFS3ERR_JUKEBOX as u32;
        const IO: u32 = nfsstat3::NFS3ERR_IO as u32;
        const FAULT: u32 = nfsstat3::NFS3ERR_SERVERFAULT as u32;
        match status {
            0 => Self::Done,
            JUKEBOX => Self::Later,
            IO | FAULT => Self::Failed,
            _ => Self::Refused,
        }
    }

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Later => "later",
            Self::Failed => "failed",
        }
    }
}

/// One procedure at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Its name in RFC 1813.
    pub procedure: &'static str,
    /// How its calls ended.
    pub outcomes: [(Outcome, u64); Outcome::ALL.len()],
    /// How long they took, from the whole call in memory to its reply in memory.
    pub took: Snapshot,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally([Procedure; NAMES.len()]);

#[derive(Debug, Default)]
struct Procedure {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    took: Histogram,
}

impl Tally {
    /// A call was answered with these results; `None` if its arguments could not be read.
    pub fn count(&self, procedure: u32, results: Option<&[u8]>, took: Duration) {
        // There is no other procedure: the call was refused as a whole.
        let Some(counted) = self.0.get(procedure as usize) else { return };
        let outcome = results.map_or(Outcome::Refused, Outcome::of);
        counted.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        counted.took.record(took);
    }

    /// All procedures that were called.
    pub fn counted(&self) -> Vec<Counted> {
        let counted = |(procedure, counts): (&&'static str, &Procedure)| Counted {
            procedure,
            outcomes: Outcome::ALL
                .map(|outcome| (outcome, counts.outcomes[outcome as usize].load(Ordering::Relaxed))),
            took: counts.took.snapshot(),
        };
        NAMES.iter().zip(&self.0).map(counted).filter(|counted| counted.took.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_procedure_and_status() {
        let tally = Tally::default();
        let count = |procedure, status: nfsstat3| {
            tally.count(procedure, Some(&(status as u32).to_be_bytes()), Duration::from_millis(2));
        };
        count(procedure::LOOKUP, nfsstat3::NFS3_OK);
        count(procedure::LOOKUP, nfsstat3::NFS3ERR_NOENT);
        count(procedure::LOOKUP, nfsstat3::NFS3ERR_JUKEBOX);
        count(procedure::LOOKUP, nfsstat3::NFS3ERR_IO);
        count(procedure::LOOKUP, nfsstat3::NFS3ERR_SERVERFAULT);
        tally.count(procedure::COMMIT, None, Duration::ZERO);
        tally.count(procedure::NULL, Some(&[]), Duration::ZERO);
        tally.count(procedure::COMMIT + 1, None, Duration::ZERO);
        let counted = tally.counted();
        let seen: Vec<_> =
            counted.iter().map(|one| (one.procedure, one.outcomes.map(|(_, count)| count))).collect();
        assert_eq!(
            seen,
            [("NULL", [1, 0, 0, 0]), ("LOOKUP", [1, 1, 1, 2]), ("COMMIT", [0, 1, 0, 0])],
            "done, refused, later, failed"
        );
        assert_eq!((counted[1].took.count, counted[1].took.sum_micros), (5, 10_000));
    }

    #[test]
    fn outcomes_are_at_their_places() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }
}
