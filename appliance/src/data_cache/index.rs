//! What is on one disk, in order of use, within its bounds. Pure: it says what to throw out, others do it.

use lru::LruCache;

use super::key::BlockKey;

/// Files take whole pages of a file system.
const PAGE_BYTES: u64 = 4 << 10;

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its length in bytes.
    pub len: u32,
    /// Whether its bytes were checked since the start.
    pub verified: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Index {
    entries: LruCache<BlockKey, Entry>,
    /// Pages of all entries and of all room made for files being written.
    bytes: u64,
    bytes_max: u64,
    entries_max: usize,
}

impl Index {
    /// An empty index with its bounds.
    pub fn new(bytes_max: u64, entries_max: usize) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, bytes_max, entries_max }
    }

    /// Bytes taken, in whole pages; never above the bound.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry, without using it.
    pub fn get(&self, key: &BlockKey) -> Option<Entry> {
        self.entries.peek(key).copied()
    }

    /// Counts as used just now.
    pub fn touch(&mut self, key: &BlockKey) {
        self.entries.promote(key);
    }

    /// Its bytes are right.
    pub fn mark_verified(&mut self, key: &BlockKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.verified = true;
        }
    }

    /// Makes room for a file of `len` bytes and takes it, until [`commit`](Self::commit) or
    /// [`release`](Self::release). Returns what must go for it; `None` if it does not fit at all.
    pub fn reserve(&mut self, len: u32) -> Option<Vec<BlockKey>> {
        let pages = pages(len);
        if pages > self.bytes_max || self.entries_max == 0 {
            return None;
        }
        let mut evicted = Vec::new();
        while self.bytes + pages > self.bytes_max || self.entries.len() >= self.entries_max {
            evicted.push(self.evict()?);
        }
        self.bytes += pages;
        Some(evicted)
    }

    /// The file that room was made for is there.
    pub fn commit(&mut self, key: BlockKey, entry: Entry) {
        if let Some(old) = self.entries.put(key, entry) {
            self.bytes -= pages(old.len);
        }
    }

    /// The file that room was made for is not there.
    pub fn release(&mut self, len: u32) {
        self.bytes -= pages(len);
    }

    /// Takes in a file that was found, as the first to go. False if there is no room.
    pub fn adopt(&mut self, key: BlockKey, len: u32) -> bool {
        if self.entries.contains(&key) {
            return true;
        }
        if self.bytes + pages(len) > self.bytes_max || self.entries.len() >= self.entries_max {
            return false;
        }
        self.bytes += pages(len);
        self.entries.put(key, Entry { len, verified: false });
        self.entries.demote(&key);
        true
    }

    /// Forgets an entry. False if there was none.
    pub fn remove(&mut self, key: &BlockKey) -> bool {
        let removed = self.entries.pop(key);
        self.bytes -= removed.map_or(0, |entry| pages(entry.len));
        removed.is_some()
    }

    /// Forgets what was not used for the longest time.
    pub fn evict(&mut self) -> Option<BlockKey> {
        let (key, entry) = self.entries.pop_lru()?;
        self.bytes -= pages(entry.len);
        Some(key)
    }

    /// All entries, the next to go first.
    pub fn iter(&self) -> impl Iterator<Item = (&BlockKey, &Entry)> {
        self.entries.iter().rev()
    }
}

/// What a file of `len` bytes takes of a disk.
pub fn pages(len: u32) -> u64 {
    u64::from(len).next_multiple_of(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use crate::data_cache::key::ObjectKey;
    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> BlockKey {
        BlockKey { object: ObjectKey([1; 16]), block: number }
    }

    proptest! {
        /// PORT-21: the bound is never exceeded, and the bytes counted are those of the entries.
        #[test]
        fn the_bounds_hold_whatever_happens(
            ops in prop::collection::vec((0u8..6, 0u32..12, 0u32..30_000), 0..200),
            bytes_max in 0u64..100_000, entries_max in 0usize..8,
        ) {
            let mut index = Index::new(bytes_max, entries_max);
            for (op, number, len) in ops {
                let key = key(number);
                match op {
                    0 | 1 => if index.reserve(len).is_some() {
                        if op == 0 { index.commit(key, Entry { len, verified: true }) } else { index.release(len) }
                        prop_assert_eq!(index.get(&key).is_some_and(|e| e.len == len && e.verified) || op == 1, true);
                    },
                    2 => index.touch(&key),
                    3 => drop(index.adopt(key, len)),
                    4 => drop(index.remove(&key)),
                    _ => drop(index.evict()),
                }
                let sum: u64 = index.iter().map(|(_, entry)| pages(entry.len)).sum();
                prop_assert_eq!(index.bytes(), sum);
                prop_assert!(sum <= bytes_max && index.len() <= entries_max);
            }
        }
    }

    #[test]
    fn what_was_not_used_goes_first_and_what_was_found_before_it() {
        let mut index = Index::new(5 * PAGE_BYTES, 100);
        for number in 0..4 {
            index.reserve(100).unwrap();
            index.commit(key(number), Entry { len: 100, verified: true });
        }
        assert!(index.adopt(key(9), 100) && !index.adopt(key(10), 100));
        index.touch(&key(0));
        assert_eq!(index.reserve(3 * PAGE_BYTES as u32), Some(vec![key(9), key(1), key(2)]));
    }
}
