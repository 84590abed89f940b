//! What was written to a file, as a layer over what was there before. Pure.
//!
//! A staged file is a stack: the base contents, perhaps a sealed layer that is being uploaded, and the open layer
//! that takes writes. A layer knows extents (where newer bytes are in the log), the lowest size the file was cut to
//! (below it what lies beneath shows through, above it does not) and how far it reaches.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use protocol::id::Timestamp;

use super::Piece;

/// A run of bytes in the log.
#[derive(Clone, Debug)]
struct Extent {
    len: u64,
    log: Arc<File>,
    position: u64,
}

/// When and how a layer was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// First change.
    pub first: Timestamp,
    /// Last change.
    pub last: Timestamp,
    /// Modification time as clients see it; SETATTR may have set it to anything.
    pub modified: Timestamp,
    /// Change time as clients see it.
    pub changed: Timestamp,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// By first byte in the file; they do not overlap.
    extents: BTreeMap<u64, Extent>,
    /// One past the last byte written, or the size set since.
    end: u64,
    /// Lowest size set.
    cut: Option<u64>,
    /// `None`: nothing happened yet.
    pub touched: Option<Touched>,
    /// Number of the segment that holds its first record.
    pub first_segment: u64,
}

impl Layer {
    /// An untouched layer whose records begin in this segment.
    pub fn new(first_segment: u64) -> Self {
        Self { first_segment, ..Self::default() }
    }

    /// Number of extents.
    pub fn extents(&self) -> usize {
        self.extents.len()
    }

    /// Bytes in them.
    pub fn bytes(&self) -> u64 {
        self.extents.values().map(|extent| extent.len).sum()
    }

    /// Size of the file, if what lies beneath has the size `below`.
    pub fn size_over(&self, below: u64) -> u64 {
        if self.cut.is_some() { self.end } else { self.end.max(below) }
    }

    /// Whether the file reads as if the layer were not there, over contents of `below` bytes.
    pub fn shows_all_of(&self, below: u64) -> bool {
        self.extents.is_empty() && self.size_over(below) == below && self.visible(below) == below
    }

    /// What the layer itself shows over contents of `below` bytes, and where: bytes of the log, and the zeros that hide
    /// contents, those behind the end of the file too.
    pub fn own(&self, below: u64) -> Vec<(u64, Piece)> {
        let mut pieces = Vec::new();
        resolve(&[self], below, 0, self.size_over(below).max(below), &mut pieces);
        let mut at = 0;
        let placed = pieces.into_iter().map(|piece| {
            let offset = at;
            at += piece.length();
            (offset, piece)
        });
        placed
            .filter_map(|(offset, piece)| match piece {
                Piece::Staged { .. } => Some((offset, piece)),
                Piece::Zero { len } if offset < below => {
                    Some((offset, Piece::Zero { len: len.min(below - offset) }))
                }
                Piece::Zero { .. } | Piece::Base { .. } => None,
            })
            .collect()
    }

    /// The parts of `from .. to` in which what lies beneath shows through, the first `most` of them.
    pub fn bare(&self, from: u64, to: u64, most: usize) -> Vec<Range<u64>> {
        let to = to.min(self.cut.unwrap_or(u64::MAX));
        let (mut at, mut bare) = (from, Vec::new());
        if from < to {
            let first = self.extents.range(..=from).next_back().map_or(from, |(&start, _)| start);
            for (&start, extent) in self.extents.range(first..to) {
                if at < start {
                    bare.push(at..start);
                }
                at = at.max(start + extent.len);
            }
        }
        if at < to {
            bare.push(at..to);
        }
        bare.truncate(most);
        bare
    }

    /// How many bytes of what lies beneath can still show through.
    fn visible(&self, below: u64) -> u64 {
        self.cut.map_or(below, |cut| cut.min(below))
    }

    /// Takes bytes that lie in `log` at `position`. Newer ones hide older ones.
    pub fn write(&mut self, offset: u64, len: u64, log: Arc<File>, position: u64) {
        if len == 0 {
            return;
        }
        self.clear(offset, offset + len);
        self.extents.insert(offset, Extent { len, log, position });
        self.end = self.end.max(offset + len);
    }

    /// Sets the size.
    pub fn truncate(&mut self, size: u64) {
        self.clear(size, u64::MAX);
        self.cut = Some(self.cut.map_or(size, |cut| cut.min(size)));
        self.end = size;
    }

    /// Forgets the extents between, cutting those that reach over.
    fn clear(&mut self, from: u64, to: u64) {
        let before = self.extents.range(..from).next_back().map(|(&start, extent)| (start, extent.clone()));
        if let Some((start, extent)) = before
            && start + extent.len > from
        {
            self.keep_part(start, &extent, start, from);
            self.keep_part(start, &extent, to, start + extent.len);
        }
        while let Some((&start, _)) = self.extents.range(from..to).next() {
            if let Some(extent) = self.extents.remove(&start) {
                self.keep_part(start, &extent, to, start + extent.len);
            }
        }
    }

    fn keep_part(&mut self, start: u64, extent: &Extent, from: u64, to: u64) {
        if from < to {
            let part =
                Extent { len: to - from, position: extent.position + (from - start), ..extent.clone() };
            self.extents.insert(from, part);
        }
    }

    /// This layer and the one beneath it as one.
    pub fn merge_over(self, mut lower: Self) -> Self {
        if let Some(cut) = self.cut {
            // The extents above the cut are hidden; the lower layer's own end does not count any more.
            lower.truncate(cut);
        }
        let end = if self.cut.is_some() { self.end } else { self.end.max(lower.end) };
        for (start, extent) in self.extents {
            lower.write(start, extent.len, extent.log, extent.position);
        }
        lower.end = end;
        lower.touched = match (lower.touched, self.touched) {
            (Some(old), Some(new)) => Some(Touched { first: old.first, ..new }),
            (old, new) => new.or(old),
        };
        lower
    }
}

/// Where the bytes `from .. to` are, in order: in `layers`, the uppermost first, or in base contents of `base` bytes.
pub fn resolve(layers: &[&Layer], base: u64, from: u64, to: u64, pieces: &mut Vec<Piece>) {
    let Some((top, below)) = layers.split_first() else {
        let end = to.min(base);
        if from < end {
            pieces.push(Piece::Base { offset: from, len: end - from });
        }
        push_zeros(from.max(end), to, pieces);
        return;
    };
    let visible = top.visible(below.iter().rev().fold(base, |size, layer| layer.size_over(size)));
    let hole = |from: u64, to: u64, pieces: &mut Vec<Piece>| {
        let shown = to.min(visible);
        if from < shown {
            resolve(below, base, from, shown, pieces);
        }
        push_zeros(from.max(shown), to, pieces);
    };
    let first = top.extents.range(..=from).next_back().map_or(from, |(&start, _)| start);
    let mut at = from;
    for (&start, extent) in top.extents.range(first..to) {
        let (begin, end) = (start.max(at), (start + extent.len).min(to));
        if begin >= end {
            continue;
        }
        hole(at, begin, pieces);
        let position = extent.position + (begin - start);
        pieces.push(Piece::Staged { log: Arc::clone(&extent.log), position, len: end - begin });
        at = end;
    }
    hole(at, to, pieces);
}

fn push_zeros(from: u64, to: u64, pieces: &mut Vec<Piece>) {
    if from >= to {
        return;
    }
    if let Some(Piece::Zero { len }) = pieces.last_mut() {
        *len += to - from;
    } else {
        pieces.push(Piece::Zero { len: to - from });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens to a layer in the model test.
    #[derive(Clone, Debug)]
    enum Op {
        Write(u64, u64),
        Truncate(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => (0u64..60, 0u64..30).prop_map(|(offset, len)| Op::Write(offset, len)),
            1 => (0u64..80).prop_map(Op::Truncate),
        ];
        prop::collection::vec(op, 0..20)
    }

    /// Plays the operations on a layer and on plain bytes. A byte of the log is its position in it, from `first` on.
    fn play(layer: &mut Layer, bytes: &mut Vec<u64>, ops: &[Op], first: u64) {
        let log = Arc::new(File::open("/dev/null").unwrap());
        let mut position = first;
        for op in ops {
            match *op {
                Op::Write(offset, len) => {
                    layer.write(offset, len, Arc::clone(&log), position);
                    let end = (offset + len) as usize;
                    if len > 0 && bytes.len() < end {
                        bytes.resize(end, ZERO);
                    }
                    for at in 0..len {
                        bytes[(offset + at) as usize] = position + at;
                    }
                    position += len;
                }
                Op::Truncate(size) => {
                    layer.truncate(size);
                    bytes.resize(size as usize, ZERO);
                }
            }
        }
    }

    const ZERO: u64 = u64::MAX;
    const BASE: u64 = 1 << 40;

    fn bytes_of(layers: &[&Layer], base: u64, from: u64, to: u64) -> Vec<u64> {
        let mut pieces = Vec::new();
        resolve(layers, base, from, to, &mut pieces);
        let bytes = pieces.into_iter().flat_map(|piece| match piece {
            Piece::Staged { position, len, .. } => (position..position + len).collect::<Vec<_>>(),
            Piece::Base { offset, len } => (BASE + offset..BASE + offset + len).collect(),
            Piece::Zero { len } => vec![ZERO; len as usize],
        });
        bytes.collect()
    }

    proptest! {
        /// PORT-12: whatever is written over what, every byte is the newest.
        #[test]
        fn layers_read_like_plain_bytes(
            base in 0u64..80, lower_ops in ops(), upper_ops in ops(), from in 0u64..100, len in 0u64..100,
        ) {
            let mut bytes: Vec<u64> = (BASE..BASE + base).collect();
            let (mut lower, mut upper) = (Layer::new(1), Layer::new(2));
            play(&mut lower, &mut bytes, &lower_ops, 0);
            prop_assert_eq!(lower.size_over(base), bytes.len() as u64);
            prop_assert_eq!(&bytes_of(&[&lower], base, 0, bytes.len() as u64), &bytes);
            let unchanged = bytes.iter().copied().eq(BASE..BASE + base);
            prop_assert!(unchanged || !lower.shows_all_of(base));

            play(&mut upper, &mut bytes, &upper_ops, 10_000);
            let size = upper.size_over(lower.size_over(base));
            prop_assert_eq!(size, bytes.len() as u64);
            let to = (from + len).min(size);
            let from = from.min(to);
            let expected = &bytes[from as usize..to as usize];
            prop_assert_eq!(&bytes_of(&[&upper, &lower], base, from, to)[..], expected);

            let merged = upper.merge_over(lower);
            prop_assert_eq!(merged.size_over(base), size);
            prop_assert_eq!(&bytes_of(&[&merged], base, from, to)[..], expected);
        }

        /// A rebased layer shows other contents where it was never written or cut.
        #[test]
        fn a_merged_layer_fits_any_base(base in 0u64..80, lower_ops in ops(), upper_ops in ops()) {
            let mut bytes: Vec<u64> = (BASE..BASE + base).collect();
            let (mut lower, mut upper) = (Layer::new(1), Layer::new(2));
            play(&mut lower, &mut Vec::new(), &lower_ops, 0);
            play(&mut upper, &mut Vec::new(), &upper_ops, 10_000);
            let merged = upper.merge_over(lower);
            play(&mut Layer::default(), &mut bytes, &lower_ops, 0);
            play(&mut Layer::default(), &mut bytes, &upper_ops, 10_000);
            prop_assert_eq!(bytes_of(&[&merged], base, 0, merged.size_over(base)), bytes);
        }
    }
}
