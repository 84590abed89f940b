//! What is on one disk, in order of use, within its bounds. Pure: it says what to throw out, others do it.
//!
//! What is pinned goes last. That does not make it safe from going: the bound of the disk comes before everything.

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

/// What there may be on a disk.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes, in whole pages.
    pub bytes: u64,
    /// Files.
    pub files: usize,
    /// Of the bytes, those of pinned files.
    pub pinned_bytes: u64,
    /// Of the files, those that are pinned.
    pub pinned_files: usize,
}

impl Bounds {
    /// Of which at most a `share` from 0 to 1 is pinned.
    pub fn new(bytes: u64, files: usize, share: f64) -> Self {
        let part = |all: u64| (all as f64 * share.clamp(0.0, 1.0)) as u64;
        Self { bytes, files, pinned_bytes: part(bytes).min(bytes), pinned_files: part(files as u64) as usize }
    }
}

/// See the module. Files are pinned or not; a pinned one goes when there is none that is not.
#[derive(Debug)]
pub struct Index {
    plain: LruCache<BlockKey, Entry>,
    pinned: LruCache<BlockKey, Entry>,
    /// Pages of all entries and of all room made for files being written.
    bytes: u64,
    /// Pages of the pinned ones.
    pinned_bytes: u64,
    bounds: Bounds,
}

impl Index {
    /// An empty index with its bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            plain: LruCache::unbounded(),
            pinned: LruCache::unbounded(),
            bytes: 0,
            pinned_bytes: 0,
            bounds,
        }
    }

    /// Bytes taken, in whole pages; never above the bound.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of pinned files, in whole pages; never above their bound.
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.plain.len() + self.pinned.len()
    }

    /// An entry, without using it.
    pub fn get(&self, key: &BlockKey) -> Option<Entry> {
        self.plain.peek(key).or_else(|| self.pinned.peek(key)).copied()
    }

    /// Counts as used just now.
    pub fn touch(&mut self, key: &BlockKey) {
        self.plain.promote(key);
        self.pinned.promote(key);
    }

    /// Its bytes are right.
    pub fn mark_verified(&mut self, key: &BlockKey) {
        if let Some(entry) = self.plain.get_mut(key).or_else(|| self.pinned.get_mut(key)) {
            entry.verified = true;
        }
    }

    /// Keeps a file as long as others can go in its place. False if it is not there, or pinned files have no more room: then
    /// it stays one of the others.
    pub fn pin(&mut self, key: &BlockKey) -> bool {
        if self.pinned.contains(key) {
            return true;
        }
        let Some(pages) = self.plain.peek(key).map(|entry| pages(entry.len)) else { return false };
        let Bounds { pinned_bytes, pinned_files, .. } = self.bounds;
        if self.pinned_bytes + pages > pinned_bytes || self.pinned.len() >= pinned_files {
            return false;
        }
        if let Some(entry) = self.plain.pop(key) {
            self.pinned_bytes += pages;
            self.pinned.put(*key, entry);
        }
        true
    }

    /// Lets a file go in its turn again; it counts as used just now.
    pub fn unpin(&mut self, key: &BlockKey) {
        if let Some(entry) = self.pinned.pop(key) {
            self.pinned_bytes -= pages(entry.len);
            self.plain.put(*key, entry);
        }
    }

    /// Makes room for a file of `len` bytes and takes it, until [`commit`](Self::commit) or
    /// [`release`](Self::release). Returns what must go for it; `None` if it does not fit at all.
    pub fn reserve(&mut self, len: u32) -> Option<Vec<BlockKey>> {
        let pages = pages(len);
        if pages > self.bounds.bytes || self.bounds.files == 0 {
            return None;
        }
        let mut evicted = Vec::new();
        while self.bytes + pages > self.bounds.bytes || self.len() >= self.bounds.files {
            evicted.push(self.evict()?);
        }
        self.bytes += pages;
        Some(evicted)
    }

    /// The file that room was made for is there, pinned if the one in whose place it comes was.
    pub fn commit(&mut self, key: BlockKey, entry: Entry) {
        let was_pinned = self.pinned.contains(&key);
        self.remove(&key);
        self.plain.put(key, entry);
        if was_pinned {
            self.pin(&key);
        }
    }

    /// The file that room was made for is not there.
    pub fn release(&mut self, len: u32) {
        self.bytes -= pages(len);
    }

    /// Takes in a file that was found, as the first to go. False if there is no room.
    pub fn adopt(&mut self, key: BlockKey, len: u32) -> bool {
        if self.get(&key).is_some() {
            return true;
        }
        if self.bytes + pages(len) > self.bounds.bytes || self.len() >= self.bounds.files {
            return false;
        }
        self.bytes += pages(len);
        self.plain.put(key, Entry { len, verified: false });
        self.plain.demote(&key);
        true
    }

    /// Forgets an entry. False if there was none.
    pub fn remove(&mut self, key: &BlockKey) -> bool {
        let pinned = self.pinned.pop(key);
        self.pinned_bytes -= pinned.map_or(0, |entry| pages(entry.len));
        let removed = pinned.or_else(|| self.plain.pop(key));
        self.bytes -= removed.map_or(0, |entry| pages(entry.len));
        removed.is_some()
    }

    /// Forgets what was not used for the longest time: of the pinned files only when there are no others.
    pub fn evict(&mut self) -> Option<BlockKey> {
        let next = self.plain.peek_lru().or_else(|| self.pinned.peek_lru());
        let key = next.map(|(key, _)| *key)?;
        self.remove(&key);
        Some(key)
    }

    /// All entries, the next to go first.
    pub fn iter(&self) -> impl Iterator<Item = (&BlockKey, &Entry)> {
        self.plain.iter().rev().chain(self.pinned.iter().rev())
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
        /// PORT-21: the bounds are never exceeded, whatever is pinned, and the bytes counted are those of the entries.
        #[test]
        fn the_bounds_hold_whatever_happens(
            ops in prop::collection::vec((0u8..9, 0u32..12, 0u32..30_000), 0..200),
            bytes_max in 0u64..100_000, files_max in 0usize..8, share in 0.0..=1.0,
        ) {
            let bounds = Bounds::new(bytes_max, files_max, share);
            prop_assert!(bounds.pinned_bytes <= bytes_max && bounds.pinned_files <= files_max);
            let mut index = Index::new(bounds);
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
                    5 | 6 => prop_assert!(!index.pin(&key) || index.pinned.contains(&key)),
                    7 => index.unpin(&key),
                    _ => drop(index.evict()),
                }
                let sum = |entries: &LruCache<BlockKey, Entry>| -> u64 {
                    entries.iter().map(|(_, entry)| pages(entry.len)).sum()
                };
                prop_assert_eq!(index.bytes(), sum(&index.plain) + sum(&index.pinned));
                prop_assert_eq!(index.pinned_bytes(), sum(&index.pinned));
                prop_assert!(index.bytes() <= bytes_max && index.len() <= files_max);
                prop_assert!(index.pinned_bytes() <= bounds.pinned_bytes);
                prop_assert!(index.pinned.len() <= bounds.pinned_files);
                prop_assert_eq!(index.iter().count(), index.len(), "nothing is both");
            }
        }

        /// What is pinned goes when there is nothing else, and each kind in the order of its use.
        #[test]
        fn pinned_files_go_last(
            uses in prop::collection::vec(0u32..20, 0..60), pinned in prop::collection::btree_set(0u32..20, 0..20),
        ) {
            let mut index = Index::new(Bounds::new(20 * PAGE_BYTES, 20, 1.0));
            let mut order: Vec<u32> = (0..20).collect();
            for number in 0..20 {
                index.reserve(1).unwrap();
                index.commit(key(number), Entry { len: 1, verified: true });
            }
            for number in &pinned {
                prop_assert!(index.pin(&key(*number)));
            }
            // Becoming pinned is no use, but puts a file behind those that were pinned before.
            order.sort_by_key(|number| (pinned.contains(number), *number));
            for number in uses {
                index.touch(&key(number));
                order.retain(|other| *other != number);
                order.push(number);
            }
            order.sort_by_key(|number| pinned.contains(number));
            let gone = index.reserve(20 * PAGE_BYTES as u32).unwrap();
            prop_assert_eq!(gone, order.into_iter().map(key).collect::<Vec<_>>());
        }
    }

    fn index(pages: u64, share: f64) -> Index {
        Index::new(Bounds::new(pages * PAGE_BYTES, 100, share))
    }

    #[test]
    fn what_was_not_used_goes_first_and_what_was_found_before_it() {
        let mut index = index(5, 0.0);
        for number in 0..4 {
            index.reserve(100).unwrap();
            index.commit(key(number), Entry { len: 100, verified: true });
        }
        assert!(index.adopt(key(9), 100) && !index.adopt(key(10), 100));
        index.touch(&key(0));
        assert_eq!(index.reserve(3 * PAGE_BYTES as u32), Some(vec![key(9), key(1), key(2)]));
    }

    #[test]
    fn pinned_files_have_a_share_and_what_is_let_go_makes_room_for_others() {
        let mut index = index(4, 0.5);
        for number in 0..4 {
            index.reserve(100).unwrap();
            index.commit(key(number), Entry { len: 100, verified: true });
        }
        assert_eq!([0, 1, 2].map(|number| index.pin(&key(number))), [true, true, false]);
        assert!(!index.pin(&key(7)), "it is not there");
        index.unpin(&key(0));
        assert!(index.pin(&key(2)));
        // Written again, it stays pinned, but the other does not come in its place.
        index.reserve(5).unwrap();
        index.commit(key(2), Entry { len: 5, verified: true });
        assert_eq!((index.pinned_bytes(), index.pin(&key(0))), (2 * PAGE_BYTES, false));
    }
}
