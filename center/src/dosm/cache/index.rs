//! What the cache keeps, in order of use, within its bounds. Pure: it says what must go, others remove it.

use lru::LruCache;
use protocol::digest::Fingerprint;

/// Files take whole pages of a file system.
const PAGE_BYTES: u64 = 4 << 10;

/// An object of which something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Bytes it takes, in whole pages.
    pub bytes: u64,
    /// Whether all of it is kept, under its own name.
    pub whole: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Index {
    entries: LruCache<Fingerprint, Entry>,
    bytes: u64,
    bytes_max: u64,
    entries_max: usize,
}

impl Index {
    /// An empty index with its bounds.
    pub fn new(bytes_max: u64, entries_max: usize) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, bytes_max, entries_max }
    }

    /// Bytes of all entries; never above the bound.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of entries; never above the bound.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry, without using it.
    pub fn get(&self, object: Fingerprint) -> Option<Entry> {
        self.entries.peek(&object).copied()
    }

    /// Counts as used just now.
    pub fn touch(&mut self, object: Fingerprint) {
        self.entries.promote(&object);
    }

    /// Lets an object take `more` bytes, which makes it an entry if it is none; counts as a use. Returns what must go
    /// for it, the first to go first, never the object itself; `None`, and nothing is changed, if it has no room even
    /// alone.
    pub fn grow(&mut self, object: Fingerprint, more: u64) -> Option<Vec<(Fingerprint, Entry)>> {
        let more = pages(more);
        let old = self.get(object).unwrap_or(Entry { bytes: 0, whole: false });
        let bytes = old.bytes.checked_add(more).filter(|bytes| *bytes <= self.bytes_max)?;
        if self.entries_max == 0 {
            return None;
        }
        self.entries.put(object, Entry { bytes, ..old });
        self.bytes += more;
        let mut gone = Vec::new();
        while self.bytes > self.bytes_max || self.entries.len() > self.entries_max {
            gone.extend(self.evict());
        }
        Some(gone)
    }

    /// All of the object is kept now.
    pub fn complete(&mut self, object: Fingerprint) {
        if let Some(entry) = self.entries.peek_mut(&object) {
            entry.whole = true;
        }
    }

    /// Takes in a whole object that was found, as the one used longest ago. False if there is no room.
    pub fn adopt_older(&mut self, object: Fingerprint, bytes: u64) -> bool {
        let bytes = pages(bytes);
        let room = self.bytes_max.saturating_sub(self.bytes);
        if bytes > room || self.entries.len() >= self.entries_max || self.entries.contains(&object) {
            return false;
        }
        self.bytes += bytes;
        self.entries.put(object, Entry { bytes, whole: true });
        self.entries.demote(&object);
        true
    }

    /// Forgets an entry.
    pub fn remove(&mut self, object: Fingerprint) -> Option<Entry> {
        let entry = self.entries.pop(&object)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    /// Forgets what was not used for the longest time.
    pub fn evict(&mut self) -> Option<(Fingerprint, Entry)> {
        let (object, entry) = self.entries.pop_lru()?;
        self.bytes -= entry.bytes;
        Some((object, entry))
    }
}

fn pages(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(number: u8) -> Fingerprint {
        Fingerprint([number; 16])
    }

    /// The same in the plainest way: the last used stands last.
    #[derive(Default)]
    struct Model(Vec<(u8, u64, bool)>);

    impl Model {
        fn bytes(&self) -> u64 {
            self.0.iter().map(|(_, bytes, _)| bytes).sum()
        }

        fn take(&mut self, number: u8) -> Option<(u8, u64, bool)> {
            let position = self.0.iter().position(|(other, ..)| *other == number)?;
            Some(self.0.remove(position))
        }

        fn grow(&mut self, number: u8, more: u64, bytes_max: u64, entries_max: usize) -> Option<Vec<u8>> {
            let old =
                self.0.iter().find(|(other, ..)| *other == number).copied().unwrap_or((number, 0, false));
            if old.1 + pages(more) > bytes_max || entries_max == 0 {
                return None;
            }
            self.take(number);
            self.0.push((number, old.1 + pages(more), old.2));
            let mut gone = Vec::new();
            while self.bytes() > bytes_max || self.0.len() > entries_max {
                gone.push(self.0.remove(0).0);
            }
            Some(gone)
        }
    }

    proptest! {
        /// DOSM-10: whatever happens, the bounds hold, the bytes counted are those of the entries, and what goes is
        /// what was used longest ago.
        #[test]
        fn it_does_what_a_list_in_order_of_use_does(
            operations in prop::collection::vec((0u8..6, 0u8..12, 0u64..30_000), 0..200),
            bytes_max in 0u64..100_000, entries_max in 0usize..8,
        ) {
            let mut index = Index::new(bytes_max, entries_max);
            let mut model = Model::default();
            for (operation, number, bytes) in operations {
                match operation {
                    0 | 1 => {
                        let gone = index.grow(object(number), bytes);
                        let gone = gone.map(|gone| gone.iter().map(|(object, _)| object.0[0]).collect::<Vec<_>>());
                        prop_assert_eq!(gone, model.grow(number, bytes, bytes_max, entries_max));
                    }
                    2 => {
                        index.touch(object(number));
                        let taken = model.take(number);
                        model.0.extend(taken);
                    }
                    3 => {
                        index.complete(object(number));
                        model.0.iter_mut().filter(|(other, ..)| *other == number).for_each(|entry| entry.2 = true);
                    }
                    4 => {
                        let removed = index.remove(object(number)).map(|entry| (entry.bytes, entry.whole));
                        prop_assert_eq!(removed, model.take(number).map(|(_, bytes, whole)| (bytes, whole)));
                    }
                    _ => {
                        let known = model.0.iter().any(|(other, ..)| *other == number);
                        let fits = !known && model.bytes() + pages(bytes) <= bytes_max && model.0.len() < entries_max;
                        prop_assert_eq!(index.adopt_older(object(number), bytes), fits);
                        if fits {
                            model.0.insert(0, (number, pages(bytes), true));
                        }
                    }
                }
                prop_assert_eq!((index.bytes(), index.len()), (model.bytes(), model.0.len()));
                prop_assert!(index.bytes() <= bytes_max && index.len() <= entries_max);
                for (number, bytes, whole) in &model.0 {
                    prop_assert_eq!(index.get(object(*number)), Some(Entry { bytes: *bytes, whole: *whole }));
                }
            }
            let mut order = Vec::new();
            while let Some((object, _)) = index.evict() {
                order.push(object.0[0]);
            }
            prop_assert_eq!(order, model.0.iter().map(|(number, ..)| *number).collect::<Vec<_>>());
            prop_assert_eq!(index.bytes(), 0);
        }
    }

    /// DOSM-10: at the bound all stay, one byte past it the oldest goes.
    #[test]
    fn the_oldest_goes_one_byte_past_the_bound() {
        let mut index = Index::new(3 * PAGE_BYTES, 10);
        for number in 0..3 {
            assert_eq!(index.grow(object(number), PAGE_BYTES), Some(Vec::new()));
        }
        index.touch(object(0));
        let gone = index.grow(object(0), 1).unwrap();
        assert_eq!(gone, [(object(1), Entry { bytes: PAGE_BYTES, whole: false })]);
        assert_eq!(index.grow(object(9), 3 * PAGE_BYTES + 1), None);
        assert_eq!((index.len(), index.bytes()), (2, 3 * PAGE_BYTES));
    }
}
