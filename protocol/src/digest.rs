//! Fingerprints and digests.
//!
//! An object's *name* is its MD5 fingerprint (ISN-4); what *proves* its bytes is BLAKE3. The BLAKE3 root of an
//! object is the root of a tree whose leaves, for us, are blocks of [`BLOCK_BYTES`]: with the list of the blocks'
//! chaining values, checked once against the root, every block can be checked alone (see [`BlockDigests`]).

use std::fmt;

use blake3::hazmat::{self, ChainingValue, HasherExt};
use md5::{Digest as _, Md5};
use thiserror::Error;

/// The unit of verification, caching and range fetches: 1 MiB. A power of two times the BLAKE3 chunk of 1 KiB, so
/// that each block is a whole subtree.
pub const BLOCK_BYTES: u64 = 1 << 20;
const BLOCK_LEN: usize = BLOCK_BYTES as usize;

/// MD5 of an object's bytes: its name. Written as 32 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// BLAKE3 root hash of an object's bytes. Written as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// All that identifies an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// Name.
    pub fingerprint: Fingerprint,
    /// Length in bytes.
    pub size: u64,
    /// Proof.
    pub digest: Digest,
}

impl Content {
    /// The empty object, which everybody has: it needs no upload and no reference.
    pub const EMPTY: Self = Self {
        fingerprint: Fingerprint([
            0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e,
        ]),
        size: 0,
        digest: Digest([
            0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49,
            0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
        ]),
    };

    /// Number of blocks; 0 for the empty object.
    pub fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK_BYTES)
    }

    /// Length of block `index` in bytes; 0 past the end.
    pub fn block_len(&self, index: u64) -> u64 {
        self.size.saturating_sub(index.saturating_mul(BLOCK_BYTES)).min(BLOCK_BYTES)
    }
}

/// The bytes are not those of the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes do not match their digest")]
pub struct DigestMismatch;

/// Bytes hashed at a time: small enough that the second hash finds them in the CPU's cache.
const STEP_BYTES: usize = 64 << 10;

/// Computes all of a [`Content`] in one pass over the bytes: MD5, the BLAKE3 root and the block digests.
#[derive(Default)]
pub struct ObjectHasher {
    md5: Md5,
    proof: ProofHasher,
}

impl ObjectHasher {
    /// Has seen no byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes, any number of them.
    pub fn update(&mut self, bytes: &[u8]) {
        for step in bytes.chunks(STEP_BYTES) {
            self.md5.update(step);
            self.proof.update(step);
        }
    }

    /// What the bytes were.
    pub fn finish(self) -> (Content, BlockDigests) {
        let fingerprint = Fingerprint(self.md5.finalize().into());
        let (size, digest, blocks) = self.proof.finish();
        (Content { fingerprint, size, digest }, blocks)
    }
}

/// Computes what proves an object, without its name: a sixth of the work of an [`ObjectHasher`]. For whoever holds
/// bytes that somebody else names.
#[derive(Default)]
pub struct ProofHasher {
    size: u64,
    /// Chaining values of the blocks before the current one.
    finished: Vec<ChainingValue>,
    /// The current block. A full one stays here until a byte follows: the last block of all may be the root.
    block: blake3::Hasher,
    block_len: usize,
}

impl ProofHasher {
    /// Has seen no byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes, any number of them.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.block_len == BLOCK_LEN {
                self.finished.push(self.block.finalize_non_root());
                // `reset` would keep the old block's offset (blake3 1.8.7).
                self.block = blake3::Hasher::new();
                self.block.set_input_offset(self.size);
                self.block_len = 0;
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_LEN - self.block_len));
            self.block.update(now);
            self.block_len += now.len();
            self.size += now.len() as u64;
            bytes = later;
        }
    }

    /// How many bytes there were, their root, and the block digests.
    pub fn finish(mut self) -> (u64, Digest, BlockDigests) {
        let root = if self.finished.is_empty() {
            *self.block.finalize().as_bytes()
        } else {
            self.finished.push(self.block.finalize_non_root());
            merge_root(&self.finished)
        };
        (self.size, Digest(root), BlockDigests(self.finished))
    }
}

/// One BLAKE3 chaining value per block, known to merge to the object's root. An object of at most one block has
/// none: its only block is checked against the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDigests(Vec<ChainingValue>);

impl BlockDigests {
    /// Takes a list from a stranger: 32 bytes per block in order, nothing for an object of at most one block.
    ///
    /// # Errors
    /// The list is not that of `content`: ask another source.
    pub fn from_bytes(content: &Content, bytes: &[u8]) -> Result<Self, DigestMismatch> {
        let (values, rest) = bytes.as_chunks::<32>();
        let expected = if content.blocks() > 1 { content.blocks() } else { 0 };
        if !rest.is_empty() || values.len() as u64 != expected {
            return Err(DigestMismatch);
        }
        if expected > 0 && merge_root(values) != content.digest.0 {
            return Err(DigestMismatch);
        }
        Ok(Self(values.to_vec()))
    }

    /// The form that [`Self::from_bytes`] takes.
    pub fn as_bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Checks the whole of one block, by its index from 0.
    ///
    /// # Errors
    /// The bytes are not that block of `content`, in value or in length: drop them and fetch them anew.
    pub fn verify(&self, content: &Content, block: u64, bytes: &[u8]) -> Result<(), DigestMismatch> {
        if bytes.len() as u64 != content.block_len(block) {
            return Err(DigestMismatch);
        }
        let matches = if content.blocks() <= 1 {
            block == 0 && *blake3::hash(bytes).as_bytes() == content.digest.0
        } else {
            let expected = usize::try_from(block).ok().and_then(|index| self.0.get(index));
            expected.is_some_and(|expected| *expected == chaining_value(block, bytes))
        };
        if matches { Ok(()) } else { Err(DigestMismatch) }
    }
}

/// The chaining value of a block of an object that has more than one. `bytes` is not empty.
fn chaining_value(block: u64, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(block * BLOCK_BYTES);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// The ordinary BLAKE3 hash of an object from the chaining values of its blocks, of which there are at least two.
fn merge_root(blocks: &[ChainingValue]) -> [u8; 32] {
    let (left, right) = blocks.split_at(left_blocks(blocks.len()));
    *hazmat::merge_subtrees_root(&merge(left), &merge(right), hazmat::Mode::Hash).as_bytes()
}

fn merge(blocks: &[ChainingValue]) -> ChainingValue {
    match blocks {
        [only] => *only,
        _ => {
            let (left, right) = blocks.split_at(left_blocks(blocks.len()));
            hazmat::merge_subtrees_non_root(&merge(left), &merge(right), hazmat::Mode::Hash)
        }
    }
}

/// Blocks of the left subtree of a tree of `blocks` (2 or more): the largest power of two that leaves some for the
/// right, as BLAKE3 splits its chunks.
fn left_blocks(blocks: usize) -> usize {
    blocks.next_power_of_two() / 2
}

/// Writes bytes as lowercase hex.
pub fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `N` bytes of hex digits of either case.
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

macro_rules! hex_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
        impl $name {
            /// Reads its hex digits.
            pub fn parse(text: &str) -> Option<Self> {
                parse_hex(text).map(Self)
            }
        }
    )*};
}
hex_text!(Fingerprint, Digest);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
    }

    fn hash(bytes: &[u8]) -> (Content, BlockDigests) {
        let mut hasher = ObjectHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    const LENGTHS: [usize; 9] = [
        0,
        1,
        BLOCK_LEN - 1,
        BLOCK_LEN,
        BLOCK_LEN + 1,
        2 * BLOCK_LEN,
        3 * BLOCK_LEN + 17,
        5 * BLOCK_LEN,
        7 * BLOCK_LEN + 1023,
    ];

    #[test]
    fn the_root_is_the_ordinary_blake3_and_the_name_the_ordinary_md5() {
        for len in LENGTHS {
            let bytes = bytes(len);
            let (content, digests) = hash(&bytes);
            assert_eq!(content.digest.0, *blake3::hash(&bytes).as_bytes(), "{len}");
            assert_eq!(content.fingerprint.0, <[u8; 16]>::from(Md5::digest(&bytes)), "{len}");
            assert_eq!(content.size, len as u64);
            assert_eq!(
                digests.as_bytes().len(),
                if len > BLOCK_LEN { len.div_ceil(BLOCK_LEN) * 32 } else { 0 }
            );
        }
        assert_eq!(hash(&[]).0, Content::EMPTY);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        let bytes = bytes(2 * BLOCK_LEN + 5);
        for cut in [1_000, STEP_BYTES, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1] {
            let mut hasher = ObjectHasher::new();
            bytes.chunks(cut).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), hash(&bytes));
        }
    }

    #[test]
    fn a_proof_needs_no_name() {
        for len in LENGTHS {
            let bytes = bytes(len);
            let mut hasher = ProofHasher::new();
            bytes.chunks(BLOCK_LEN - 1).for_each(|piece| hasher.update(piece));
            let (content, blocks) = hash(&bytes);
            assert_eq!(hasher.finish(), (content.size, content.digest, blocks), "{len}");
        }
    }

    #[test]
    fn every_block_is_checked_alone() {
        for len in LENGTHS {
            let bytes = bytes(len);
            let (content, digests) = hash(&bytes);
            let digests = BlockDigests::from_bytes(&content, &digests.as_bytes()).unwrap();
            for (index, block) in bytes.chunks(BLOCK_LEN).enumerate() {
                digests.verify(&content, index as u64, block).unwrap();
                let mut wrong = block.to_vec();
                wrong[block.len() / 2] ^= 1;
                assert_eq!(digests.verify(&content, index as u64, &wrong), Err(DigestMismatch));
                let short = &block[..block.len() - 1];
                assert_eq!(digests.verify(&content, index as u64, short), Err(DigestMismatch));
                assert!(digests.verify(&content, index as u64 + 1, block).is_err());
            }
            assert!(digests.verify(&content, u64::MAX, &[]).is_err());
        }
    }

    #[test]
    fn a_wrong_list_is_refused() {
        let (content, digests) = hash(&bytes(3 * BLOCK_LEN + 1));
        let list = digests.as_bytes();
        for index in [0, 31, 64, list.len() - 1] {
            let mut wrong = list.clone();
            wrong[index] ^= 0x80;
            assert_eq!(BlockDigests::from_bytes(&content, &wrong), Err(DigestMismatch));
        }
        assert!(BlockDigests::from_bytes(&content, &list[..96]).is_err());
        assert!(BlockDigests::from_bytes(&content, &list[..100]).is_err());
        assert!(BlockDigests::from_bytes(&content, &[]).is_err());
        let (small, _) = hash(b"small");
        assert!(BlockDigests::from_bytes(&small, &list).is_err());
    }
}
