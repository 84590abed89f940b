//! Which blocks a sequential reader will want next. Pure.

use std::num::NonZeroUsize;
use std::ops::Range;

use lru::LruCache;
use protocol::digest::BLOCK_BYTES;

use crate::journal::FileKey;

/// Most blocks fetched ahead of a reader. Half of them are always under way or there: with a center 50 ms away that is good
/// for 160 MiB/s at least.
const WINDOW_MAX: u64 = 16;
/// A READ this far from where the last one ended still continues it: clients send their READs out of order.
const SLACK_BYTES: u64 = 4 * BLOCK_BYTES;

/// Follows readers, one per file.
#[derive(Debug)]
pub(super) struct ReadAhead {
    streams: LruCache<FileKey, Stream>,
}

#[derive(Debug)]
struct Stream {
    /// Where the furthest READ ended.
    end: u64,
    /// Blocks before this one were asked for.
    fetched: u64,
    window: u64,
}

impl ReadAhead {
    pub(super) fn new(streams_max: NonZeroUsize) -> Self {
        Self { streams: LruCache::new(streams_max) }
    }

    /// Takes note of a READ of an object of `blocks` blocks; returns the blocks to fetch ahead, each only once. The
    /// window doubles with every block a reader goes on.
    pub(super) fn note(&mut self, file: FileKey, read: Range<u64>, blocks: u64) -> Range<u64> {
        let Some(stream) = self.streams.get_mut(&file) else {
            // A reader who begins at the beginning is believed at once.
            let window = u64::from(read.start == 0);
            let next = read.end.div_ceil(BLOCK_BYTES);
            self.streams.put(file, Stream { end: read.end, fetched: next + window, window });
            return next..(next + window).min(blocks);
        };
        let continues = read.start.abs_diff(stream.end) <= SLACK_BYTES;
        if !continues {
            *stream = Stream { end: read.end, fetched: read.end.div_ceil(BLOCK_BYTES), window: 0 };
            return 0..0;
        }
        stream.end = stream.end.max(read.end);
        let next = stream.end.div_ceil(BLOCK_BYTES);
        // Half the window used up: go further, so that a fetch is always under way.
        if next + stream.window / 2 < stream.fetched {
            return 0..0;
        }
        stream.window = (2 * stream.window).clamp(1, WINDOW_MAX);
        let from = stream.fetched.max(next);
        stream.fetched = from.max((next + stream.window).min(blocks));
        from..stream.fetched
    }

    /// Block `index`, which was to be fetched, and what is behind it, are not: the reader's next READ asks for them again.
    pub(super) fn give_back(&mut self, file: FileKey, index: u64) {
        if let Some(stream) = self.streams.get_mut(&file) {
            stream.fetched = stream.fetched.min(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::{CustomerId, ObjectId};

    use super::*;

    const FILE: FileKey = FileKey { customer: CustomerId(1), file: ObjectId(100) };
    const STEP: u64 = 64 << 10;

    fn read_ahead() -> ReadAhead {
        ReadAhead::new(NonZeroUsize::new(2).unwrap())
    }

    /// PORT-10: a whole file read in order is fetched ahead once each, never far, never past its end.
    #[test]
    fn a_sequential_reader_is_led_by_a_bounded_window() {
        let mut ahead = read_ahead();
        let blocks = 40;
        let mut wanted = Vec::new();
        for offset in (0..blocks * BLOCK_BYTES).step_by(STEP as usize) {
            let range = ahead.note(FILE, offset..offset + STEP, blocks);
            assert!(range.is_empty() || range.end <= offset / BLOCK_BYTES + 1 + WINDOW_MAX + 1);
            wanted.extend(range);
        }
        assert_eq!(wanted, (1..blocks).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_not_fetched_is_asked_for_again() {
        let mut ahead = read_ahead();
        let note = |ahead: &mut ReadAhead, block: u64| {
            ahead.note(FILE, block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES, 100)
        };
        let wanted: Vec<u64> = (0..6).flat_map(|block| note(&mut ahead, block)).collect();
        let last = *wanted.last().unwrap();
        ahead.give_back(FILE, last - 1);
        let again: Vec<u64> = (6..12).flat_map(|block| note(&mut ahead, block)).collect();
        assert_eq!(again[..2], [last - 1, last]);
    }

    #[test]
    fn a_random_reader_fetches_nothing_ahead() {
        let mut ahead = read_ahead();
        ahead.note(FILE, 500 * BLOCK_BYTES..501 * BLOCK_BYTES, 1_000);
        for block in [900, 3, 450, 77, 600] {
            let at = block * BLOCK_BYTES;
            assert!(ahead.note(FILE, at..at + 4_096, 1_000).is_empty());
        }
    }

    #[test]
    fn reads_that_overtake_each_other_are_still_sequential() {
        let mut ahead = read_ahead();
        let mut wanted = 0;
        for pair in 0..64 {
            for step in [2 * pair + 1, 2 * pair] {
                let range = ahead.note(FILE, step * STEP..(step + 1) * STEP, 8);
                wanted += range.end.saturating_sub(range.start);
            }
        }
        assert!(wanted >= 6, "{wanted}");
    }
}
