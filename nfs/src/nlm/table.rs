//! The locks of one file: which owner holds which bytes, by POSIX rules. Interval algebra alone: it knows no clients,
//! no waiting and no limits, but tells beforehand by how much a change would make it grow.
//!
//! The ranges of one owner never overlap, and two that touch differ in kind: so the number of ranges is the smallest
//! that says the same.

use std::collections::BTreeMap;

/// Bytes of a file, from the first to the last, both included. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    first: u64,
    last: u64,
}

impl Range {
    /// All bytes there are.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// `len` bytes from `offset`; with `len` 0 all to the end. `None` if the last byte would have no number.
    pub const fn new(offset: u64, len: u64) -> Option<Self> {
        let last = match len {
            0 => Some(u64::MAX),
            _ => offset.checked_add(len - 1),
        };
        match last {
            Some(last) => Some(Self { first: offset, last }),
            None => None,
        }
    }

    /// Offset and length as on the wire: length 0 for "to the end".
    pub const fn on_wire(self) -> (u64, u64) {
        let len = if self.last == u64::MAX { 0 } else { self.last - self.first + 1 };
        (self.first, len)
    }

    /// Whether a byte is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn common(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

/// Whether others may hold the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// With other shared locks.
    Shared,
    /// With no other lock.
    Exclusive,
}

impl Kind {
    /// Whether locks of two owners on one byte exclude each other.
    pub const fn excludes(self, other: Self) -> bool {
        matches!(self, Self::Exclusive) || matches!(other, Self::Exclusive)
    }
}

/// A range of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which bytes.
    pub range: Range,
    /// Held how.
    pub kind: Kind,
}

/// The last byte and the kind of a range, by its first byte.
type Pieces = BTreeMap<u64, (u64, Kind)>;

/// What a change takes out of an owner's pieces and puts in.
#[derive(Debug)]
pub struct Plan {
    removed: Vec<u64>,
    added: Vec<Piece>,
}

impl Plan {
    /// By how many pieces the table grows, or shrinks if negative.
    pub fn growth(&self) -> isize {
        self.added.len() as isize - self.removed.len() as isize
    }
}

/// All locks of one file. Owners are anything that can be told apart and put in order.
#[derive(Debug)]
pub struct FileLocks<O> {
    owners: BTreeMap<O, Pieces>,
}

impl<O> Default for FileLocks<O> {
    fn default() -> Self {
        Self { owners: BTreeMap::new() }
    }
}

impl<O: Ord + Clone> FileLocks<O> {
    /// Whether nobody holds anything.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Everybody who holds something.
    pub fn owners(&self) -> impl ExactSizeIterator<Item = &O> {
        self.owners.keys()
    }

    /// Pieces of one owner.
    pub fn count(&self, owner: &O) -> usize {
        self.owners.get(owner).map_or(0, BTreeMap::len)
    }

    /// What keeps `owner` from holding `wanted`: one piece of each other owner that does.
    pub fn conflicts(&self, owner: &O, wanted: Piece) -> impl Iterator<Item = (&O, Piece)> {
        let others = self.owners.iter().filter(move |(other, _)| *other != owner);
        others.filter_map(move |(other, pieces)| {
            let in_the_way = |piece: &Piece| piece.kind.excludes(wanted.kind);
            overlapping(pieces, wanted.range).find(in_the_way).map(|piece| (other, piece))
        })
    }

    /// Whether `owner` holds every byte of `wanted`, in that kind.
    pub fn holds(&self, owner: &O, wanted: Piece) -> bool {
        // Touching pieces of one kind are one piece, so what covers the whole is a single one.
        self.owners.get(owner).is_some_and(|pieces| {
            let mut found = overlapping(pieces, wanted.range);
            found.next().is_some_and(|piece| {
                let common = piece.range.common(wanted.range);
                piece.kind == wanted.kind && common == wanted.range
            })
        })
    }

    /// What `owner` holds of `range`.
    #[cfg(test)]
    pub fn held(&self, owner: &O, range: Range) -> Vec<Piece> {
        let pieces = self.owners.get(owner).into_iter().flat_map(|pieces| overlapping(pieces, range));
        pieces.map(|piece| Piece { range: piece.range.common(range), kind: piece.kind }).collect()
    }

    /// How it would be done that `owner` holds `range` in `kind`, or not at all.
    pub fn plan(&self, owner: &O, range: Range, kind: Option<Kind>) -> Plan {
        let mut plan = Plan { removed: Vec::new(), added: Vec::new() };
        let mut whole = range;
        let touched = Range { first: range.first.saturating_sub(1), last: range.last.saturating_add(1) };
        let pieces = self.owners.get(owner).into_iter().flat_map(|pieces| overlapping(pieces, touched));
        for piece in pieces {
            let Range { first, last } = piece.range;
            if Some(piece.kind) == kind {
                plan.removed.push(first);
                whole = Range { first: whole.first.min(first), last: whole.last.max(last) };
            } else if piece.range.overlaps(range) {
                plan.removed.push(first);
                if first < range.first {
                    plan.added
                        .push(Piece { range: Range { first, last: range.first - 1 }, kind: piece.kind });
                }
                if last > range.last {
                    plan.added.push(Piece { range: Range { first: range.last + 1, last }, kind: piece.kind });
                }
            }
        }
        plan.added.extend(kind.map(|kind| Piece { range: whole, kind }));
        plan
    }

    /// Does what was planned for the same owner just before.
    pub fn carry_out(&mut self, owner: &O, plan: Plan) {
        let pieces = match self.owners.get_mut(owner) {
            Some(pieces) => pieces,
            None => self.owners.entry(owner.clone()).or_default(),
        };
        for first in plan.removed {
            pieces.remove(&first);
        }
        for Piece { range, kind } in plan.added {
            pieces.insert(range.first, (range.last, kind));
        }
        if pieces.is_empty() {
            self.owners.remove(owner);
        }
    }
}

/// Pieces that share a byte with `range`, from its end to its beginning.
fn overlapping(pieces: &Pieces, range: Range) -> impl Iterator<Item = Piece> {
    let up_to_its_end = pieces.range(..=range.last).rev();
    // The pieces do not overlap each other: one that ends before the range has none behind it that does not.
    up_to_its_end
        .map(|(&first, &(last, kind))| Piece { range: Range { first, last }, kind })
        .take_while(move |piece| piece.range.last >= range.first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of the model: the last stands for all from there to the end.
    const BYTES: usize = 24;
    const OWNERS: usize = 3;
    type Model = [[Option<Kind>; BYTES]; OWNERS];

    fn range(first: usize, last: usize) -> Range {
        Range { first: first as u64, last: if last == BYTES - 1 { u64::MAX } else { last as u64 } }
    }

    fn set(locks: &mut FileLocks<usize>, owner: usize, range: Range, kind: Option<Kind>) -> isize {
        let plan = locks.plan(&owner, range, kind);
        let growth = plan.growth();
        locks.carry_out(&owner, plan);
        growth
    }

    #[test]
    fn ranges_are_those_of_the_wire() {
        let range = |offset, len| Range::new(offset, len).map(Range::on_wire);
        assert_eq!(range(5, 10), Some((5, 10)));
        assert_eq!(range(5, 0), Some((5, 0)), "to the end");
        assert_eq!(range(u64::MAX, 1), Some((u64::MAX, 0)), "the last byte is the end");
        assert_eq!(range(u64::MAX, 2), None);
        assert_eq!(range(1, u64::MAX), Some((1, 0)));
        assert_eq!(range(2, u64::MAX), None);
        assert_eq!(range(0, u64::MAX), Some((0, u64::MAX)));
    }

    #[test]
    fn a_lock_in_the_middle_splits_and_the_same_kind_joins_again() {
        let mut locks = FileLocks::default();
        assert_eq!(set(&mut locks, 0, range(0, 9), Some(Kind::Shared)), 1);
        assert_eq!(set(&mut locks, 0, range(4, 5), Some(Kind::Exclusive)), 2);
        assert_eq!(locks.count(&0), 3);
        assert_eq!(set(&mut locks, 0, range(4, 5), Some(Kind::Shared)), -2);
        assert!(locks.holds(&0, Piece { range: range(0, 9), kind: Kind::Shared }));
        assert_eq!(set(&mut locks, 0, range(3, 3), None), 1);
        assert!(!locks.holds(&0, Piece { range: range(0, 9), kind: Kind::Shared }));
        assert_eq!(set(&mut locks, 0, Range::ALL, None), -2);
        assert!(locks.is_empty());
    }

    fn kind() -> impl Strategy<Value = Option<Kind>> {
        prop_oneof![Just(None), Just(Some(Kind::Shared)), Just(Some(Kind::Exclusive))]
    }

    proptest! {
        /// Whatever is locked and unlocked: the same as with one mark for each byte.
        #[test]
        fn ranges_behave_like_marks_on_single_bytes(
            changes in prop::collection::vec((0..OWNERS, 0..BYTES, 0..BYTES, kind()), 1..60),
        ) {
            let mut locks = FileLocks::default();
            let mut model: Model = [[None; BYTES]; OWNERS];
            for (owner, one, other, kind) in changes {
                let (first, last) = (one.min(other), one.max(other));
                let range = range(first, last);
                if let Some(kind) = kind {
                    let wanted = Piece { range, kind };
                    let conflicting: Vec<usize> = locks.conflicts(&owner, wanted).map(|(&other, _)| other).collect();
                    let expected: Vec<usize> = (0..OWNERS)
                        .filter(|&other| other != owner)
                        .filter(|&other| model[other][first..=last].iter().flatten().any(|held| held.excludes(kind)))
                        .collect();
                    prop_assert_eq!(&conflicting, &expected);
                    let is_held = model[owner][first..=last].iter().all(|held| *held == Some(kind));
                    prop_assert_eq!(locks.holds(&owner, wanted), is_held);
                }
                let before = locks.count(&owner);
                let growth = set(&mut locks, owner, range, kind);
                prop_assert_eq!(locks.count(&owner) as isize, before as isize + growth);
                model[owner][first..=last].fill(kind);

                for (owner, bytes) in model.iter().enumerate() {
                    // The fewest pieces that say the same.
                    let runs = (0..BYTES).filter(|&at| {
                        bytes[at].is_some() && (at == 0 || bytes[at - 1] != bytes[at])
                    });
                    prop_assert_eq!(locks.count(&owner), runs.count());
                    for (at, expected) in bytes.iter().enumerate() {
                        let held = locks.held(&owner, self::range(at, at));
                        prop_assert_eq!(held.first().map(|piece| piece.kind), *expected);
                    }
                }
            }
        }
    }
}
