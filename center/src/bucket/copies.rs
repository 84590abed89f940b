//! What a listing says of an object's copies; pure.

use std::collections::BTreeMap;

use super::keys::Entry;

/// An object's copies by number. There is more than one only while one goes and another comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies(BTreeMap<u64, Copy>);

/// What there is of one copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Copy {
    /// Length of its record, if that is there.
    record_bytes: Option<u64>,
    /// Whether it is to be counted on no more.
    gone: bool,
}

/// A copy that has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// Length of its record in bytes.
    pub record_bytes: u64,
}

impl Copies {
    /// Takes what the names say, each with the length of what it names.
    pub fn of(entries: impl IntoIterator<Item = (Entry, u64)>) -> Self {
        let mut copies = Self::default();
        for (entry, bytes) in entries {
            match entry {
                Entry::Copy { number, .. } => copies.0.entry(number).or_default().record_bytes = Some(bytes),
                Entry::Gone { number, .. } => copies.0.entry(number).or_default().gone = true,
                Entry::Held { .. } => {}
            }
        }
        copies
    }

    /// Those that count, the oldest first.
    pub fn counted(&self) -> Vec<Listed> {
        self.listed(false)
    }

    /// Those that count no more and are still there.
    pub fn gone(&self) -> Vec<Listed> {
        self.listed(true)
    }

    fn listed(&self, gone: bool) -> Vec<Listed> {
        let chosen = self.0.iter().filter(|(_, copy)| copy.gone == gone);
        let listed = |(number, copy): (&u64, &Copy)| {
            Some(Listed { number: *number, record_bytes: copy.record_bytes? })
        };
        chosen.filter_map(listed).collect()
    }

    /// The number of the next copy: one that nothing in the listing has.
    pub fn next(&self) -> u64 {
        self.0.last_key_value().map_or(1, |(number, _)| number + 1)
    }
}

#[cfg(test)]
mod tests {
    use protocol::digest::Fingerprint;

    use super::*;

    /// REF-2: a copy that was given up is never counted on again, and its number not given again while anything tells
    /// of it.
    #[test]
    fn a_copy_that_goes_counts_no_more_and_keeps_its_number() {
        let fingerprint = Fingerprint([1; 16]);
        let copy = |number| (Entry::Copy { fingerprint, number }, 200);
        let gone = |number| (Entry::Gone { fingerprint, number, since: 5 }, 0);
        let listed = |number| Listed { number, record_bytes: 200 };

        assert_eq!(Copies::of([]).next(), 1);
        let copies = Copies::of([copy(1), gone(1), copy(2)]);
        assert_eq!((copies.counted(), copies.gone(), copies.next()), (vec![listed(2)], vec![listed(1)], 3));
        let mark_only = Copies::of([gone(4)]);
        assert_eq!((mark_only.counted(), mark_only.gone(), mark_only.next()), (vec![], vec![], 5));
    }
}
