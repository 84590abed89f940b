//! Whether objects have room in a cache, when all else goes. Pure.
//!
//! A block goes to one disk and no other, so it is not enough that the disks have room together.

use std::collections::HashSet;

use protocol::digest::Content;

use super::index::pages;
use super::key::{BlockKey, DIGESTS, ObjectKey};

/// Bytes that a digest list has for each block.
const LIST_BYTES_PER_BLOCK: u64 = 32;

/// A disk, and how much of it may be used.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// See [`BlockKey::score`].
    pub seed: u64,
    /// See [`BlockKey::score`].
    pub weight: u64,
    /// Most bytes.
    pub bytes: u64,
    /// Most files.
    pub files: u64,
}

/// Adds up what objects take.
#[derive(Debug)]
pub struct Fit {
    disks: Vec<(Disk, Load)>,
    /// Counted already: an object is kept once, whoever has it. No longer of use, and not added to, once there is no room;
    /// so it is bounded by what the disks hold.
    objects: HashSet<ObjectKey>,
    bytes: u64,
    is_over: bool,
}

/// What is on a disk already.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bytes: u64,
    files: u64,
}

impl Fit {
    /// Nothing yet, on these disks.
    pub fn new(disks: impl Iterator<Item = Disk>) -> Self {
        let disks = disks.map(|disk| (disk, Load::default())).collect();
        Self { disks, objects: HashSet::new(), bytes: 0, is_over: false }
    }

    /// One object more, whether or not it has room.
    pub fn add(&mut self, content: &Content) {
        if content.size == 0 || !(self.is_over || self.objects.insert(content.into())) {
            return;
        }
        self.is_over |= !self.load(content);
        if self.is_over {
            self.objects = HashSet::new();
        }
    }

    /// One object more, if it has room: whether it has.
    pub fn admit(&mut self, content: &Content) -> bool {
        if content.size == 0 || self.objects.contains(&content.into()) {
            return true;
        }
        let before = (self.bytes, self.disks.clone());
        let has_room = self.load(content);
        if has_room {
            self.objects.insert(content.into());
        } else {
            (self.bytes, self.disks) = before;
        }
        has_room
    }

    fn load(&mut self, content: &Content) -> bool {
        let blocks = content.blocks();
        let list = (blocks > 1).then_some((DIGESTS, blocks * LIST_BYTES_PER_BLOCK));
        // An object of more blocks than there are numbers fits nowhere.
        let numbers = (0..blocks).map_while(|block| u32::try_from(block).ok());
        let files = numbers.map(|number| (number, content.block_len(number.into())));
        let mut has_room = true;
        for (number, len) in list.into_iter().chain(files) {
            let len = pages(u32::try_from(len).unwrap_or(u32::MAX));
            self.bytes += len;
            let disks = self.disks.iter().enumerate();
            let disks = disks.map(|(number, (disk, _))| (number, disk.seed, disk.weight));
            let Some(disk) = BlockKey::new(content, number).choose(disks) else { return false };
            let (Disk { bytes, files, .. }, load) = &mut self.disks[disk];
            load.bytes += len;
            load.files += 1;
            has_room &= load.bytes <= *bytes && load.files <= *files;
        }
        has_room
    }

    /// Whether all of it has room at once.
    pub fn is_within(&self) -> bool {
        !self.is_over
    }

    /// Bytes it takes, in whole pages; of what does not fit, objects that are there twice may count twice.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes there may be on all disks.
    pub fn room(&self) -> u64 {
        self.disks.iter().map(|(disk, _)| disk.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::digest::ObjectHasher;

    use super::*;
    use crate::data_cache::index::{Bounds, Entry, Index};

    fn disk(seed: u64, bytes: u64, files: u64) -> Disk {
        Disk { seed, weight: bytes, bytes, files }
    }

    fn content(seed: u64, size: u64) -> Content {
        let mut hasher = ObjectHasher::new();
        hasher.update(&seed.to_le_bytes());
        Content { size, ..hasher.finish().0 }
    }

    proptest! {
        /// What is said to fit is what an index of the same bounds takes without throwing anything out.
        #[test]
        fn what_fits_evicts_nothing_of_itself(
            seeds in prop::collection::vec(0u64..20, 0..30),
            bytes_max in 1u64..40_000_000, files_max in 1u64..60,
        ) {
            let mut fit = Fit::new([disk(7, bytes_max, files_max)].into_iter());
            let mut index = Index::new(Bounds::new(bytes_max, files_max as usize, 0.0));
            let mut is_kept = true;
            for seed in seeds {
                let content = content(seed, seed * 37 % 11 * 450_000);
                fit.add(&content);
                let list = (content.blocks() > 1).then_some((DIGESTS, content.blocks() * LIST_BYTES_PER_BLOCK));
                let blocks = (0..content.blocks()).map(|block| (block as u32, content.block_len(block)));
                for (block, len) in list.into_iter().chain(blocks) {
                    let (key, len) = (BlockKey::new(&content, block), len as u32);
                    if index.get(&key).is_none() {
                        let evicted = index.reserve(len);
                        is_kept &= evicted.as_ref().is_some_and(Vec::is_empty);
                        if evicted.is_some() {
                            index.commit(key, Entry { len, verified: true });
                        }
                    }
                }
                prop_assert_eq!(fit.is_within(), is_kept);
                if !is_kept {
                    // Once something went, what comes again is not known for it.
                    break;
                }
                prop_assert_eq!(fit.bytes(), index.bytes());
            }
        }
    }

    #[test]
    fn nothing_fits_where_no_disk_is_and_one_content_counts_once() {
        let mut none = Fit::new(std::iter::empty());
        none.add(&content(1, 0));
        assert!(none.is_within(), "nothing has room everywhere");
        none.add(&content(1, 5));
        assert!(!none.is_within() && none.room() == 0);
        let mut fit = Fit::new([disk(1, 3 << 20, 10), disk(2, 3 << 20, 10)].into_iter());
        for _ in 0..9 {
            fit.add(&content(1, 1_000_000));
        }
        assert!(fit.is_within() && fit.bytes() == pages(1_000_000) && fit.room() == 6 << 20);
        // Together the disks have room for these, but the one that they belong on has not.
        let is_of_first = |content: &Content| {
            BlockKey::new(content, 0).choose([(0, 1, 3 << 20), (1, 2, 3 << 20)].into_iter()) == Some(0)
        };
        let of_first: Vec<_> = (2..).map(|seed| content(seed, 1 << 20)).filter(is_of_first).take(4).collect();
        // One has its place taken already: three MiB hold two more beside it, or three without it.
        let admitted = of_first.iter().filter(|content| fit.admit(content)).count();
        assert!((2..=3).contains(&admitted) && fit.is_within(), "{fit:?}");
        of_first.iter().for_each(|content| fit.add(content));
        assert!(!fit.is_within() && fit.bytes() < fit.room(), "{fit:?}");
    }
}
