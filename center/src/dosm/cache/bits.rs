//! A set of an object's blocks, read by many threads while others add to it. Grows only.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug)]
pub struct Bits {
    words: Box<[AtomicU64]>,
    len: u64,
    count: AtomicU64,
}

impl Bits {
    /// None of `len` blocks.
    pub fn none(len: u64) -> Self {
        let words = usize::try_from(len.div_ceil(64)).unwrap_or(usize::MAX);
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), len, count: AtomicU64::new(0) }
    }

    /// All of `len` blocks.
    pub fn all_of(len: u64) -> Self {
        let bits = Self::none(len);
        (0..len).for_each(|index| bits.add(index));
        bits
    }

    /// Adds a block; what the thread did before is seen by whoever finds it.
    pub fn add(&self, index: u64) {
        let Some((word, bit)) = self.place(index) else { return };
        if word.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether the block is in it; never past the end.
    pub fn has(&self, index: u64) -> bool {
        self.place(index).is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    /// Whether all blocks are in it.
    pub fn is_full(&self) -> bool {
        self.count.load(Ordering::Acquire) == self.len
    }

    fn place(&self, index: u64) -> Option<(&AtomicU64, u64)> {
        let word = usize::try_from(index / 64).ok().filter(|_| index < self.len)?;
        Some((self.words.get(word)?, 1 << (index % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_added_once_and_none_past_the_end() {
        for len in [0, 1, 63, 64, 65, 4_096] {
            let bits = Bits::none(len);
            assert_eq!(bits.is_full(), len == 0);
            for index in (0..len).rev() {
                assert!(!bits.has(index) && !bits.is_full());
                bits.add(index);
                bits.add(index);
                assert!(bits.has(index));
            }
            bits.add(len);
            bits.add(u64::MAX);
            assert!(bits.is_full() && !bits.has(len) && !bits.has(u64::MAX));
            assert!(Bits::all_of(len).is_full());
        }
    }
}
