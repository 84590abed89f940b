//! Fingerprints and digests.
//!
//! An object's *name* is its MD5 fingerprint (ISN-4); what *proves* its bytes is BLAKE3. The BLAKE3 root of an
//! object is the root of a tree whose leaves, for us, are blocks of [`BLOCK_BYTES`]: with the list of the blocks'
//! chaining values, checked once against the root, every block can be checked alone (see [`BlockDigests`]).

use std::fmt;

use thiserror::Error;

/// The unit of verification, caching and range fetches: 1 MiB. A power of two times the BLAKE3 chunk of 1 KiB, so
/// that each block is a whole subtree.
pub const BLOCK_BYTES: u64 = 1 << 20;

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
            0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b,
            0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
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

// PROTOCOL OWNER implements below this line:
//
// `ObjectHasher` — feeds an object's bytes in order: MD5, BLAKE3 root and the block chaining values at once.
//     ObjectHasher::new() / update(&mut self, &[u8]) / finish(self) -> (Content, BlockDigests)
// `BlockDigests` — the checked or computed list of one 32-byte chaining value per block (none for <= 1 block).
//     BlockDigests::from_bytes(content: &Content, bytes: &[u8]) -> Result<Self, DigestMismatch>   (checks the root)
//     as_bytes(&self) -> Vec<u8>
//     verify(&self, content: &Content, block: u64, bytes: &[u8]) -> Result<(), DigestMismatch>
//   Objects of at most one block need no list: `from_bytes(content, &[])`, and `verify` checks the root itself.
//   Built on `blake3::hazmat` (chaining values of 1 MiB subtrees, merged to the ordinary BLAKE3 root).

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
