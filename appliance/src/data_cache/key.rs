//! What the cache keeps, by name. Pure.

use std::fmt;

use protocol::digest::{Content, parse_hex, write_hex};

/// Names an object here: the first half of its BLAKE3 digest, written as 32 hex digits. Not its fingerprint: two
/// contents with one MD5 can be made, and whoever writes one of them must not change what readers of the other see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(pub [u8; 16]);

impl From<&Content> for ObjectKey {
    fn from(content: &Content) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&content.digest.0[..16]);
        Self(key)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// One block of an object, or the list of its block digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey {
    /// Of which object.
    pub object: ObjectKey,
    /// Which block; [`DIGESTS`] for the list.
    pub block: u32,
}

/// In place of a block's number: the digest list. (No object has so many blocks: it would be 4 PiB.)
pub const DIGESTS: u32 = u32::MAX;

impl BlockKey {
    /// A block of `content`.
    pub fn new(content: &Content, block: u32) -> Self {
        Self { object: content.into(), block }
    }

    /// Its file on a disk: `ab/<object>.<block>` or `ab/<object>.b3`, `ab` being the first byte.
    pub fn path(&self) -> String {
        let folder = self.object.0[0];
        match self.block {
            DIGESTS => format!("{folder:02x}/{}.b3", self.object),
            block => format!("{folder:02x}/{}.{block}", self.object),
        }
    }

    /// The key of a file name; `None` if it is no name this cache gives.
    pub fn parse(name: &str) -> Option<Self> {
        let (object, block) = name.split_once('.')?;
        let block = if block == "b3" { DIGESTS } else { block.parse().ok()? };
        let key = Self { object: parse_hex(object).map(ObjectKey)?, block };
        // Only the one way to write it: `+1` or `01` would be found under another name than they have.
        (key.path().split_once('/')?.1 == name).then_some(key)
    }

    /// Which of these disks, told by number, seed and size, has or gets this block: the one that wants it most.
    pub fn choose(&self, disks: impl Iterator<Item = (usize, u64, u64)>) -> Option<usize> {
        let scores = disks.map(|(number, seed, bytes_max)| (self.score(seed, bytes_max), number));
        scores.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, number)| number)
    }

    /// How much a disk wants this block (weighted rendezvous hashing): the disk that wants it most gets it. When a
    /// disk goes, only its own blocks move; a disk twice as large gets twice as many.
    pub fn score(&self, disk_seed: u64, bytes_max: u64) -> f64 {
        let (high, low) = self.object.0.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |value: u64, &byte| value << 8 | u64::from(byte));
        let hash = mix(mix(mix(disk_seed ^ half(high)) ^ half(low)) ^ u64::from(self.block));
        // 53 bits make a number strictly between 0 and 1.
        let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        bytes_max as f64 / -unit.ln()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit moves half the output bits.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> BlockKey {
        BlockKey { object: ObjectKey([7; 16]), block: number }
    }

    #[test]
    fn names_read_back_and_others_are_not_ours() {
        for key in [key(0), key(4_000_000_000), key(DIGESTS)] {
            let path = key.path();
            assert!(path.starts_with("07/07070707"));
            assert_eq!(BlockKey::parse(&path[3..]), Some(key));
        }
        let hex = "07".repeat(16);
        for name in ["", "x", &hex, &format!("{hex}."), &format!("{hex}.01"), &format!("{hex}.4294967295")] {
            assert_eq!(BlockKey::parse(name), None, "{name}");
        }
    }

    #[test]
    fn blocks_spread_by_size_and_only_those_of_a_lost_disk_move() {
        let disks = [(1, 100), (2, 100), (3, 200)];
        let best = |key: &BlockKey, disks: &[(u64, u64)]| {
            let by_score =
                |a: &&(u64, u64), b: &&(u64, u64)| key.score(a.0, a.1).total_cmp(&key.score(b.0, b.1));
            disks.iter().max_by(by_score).unwrap().0
        };
        let mut counts = [0; 4];
        for key in (0..10_000).map(key) {
            let all = best(&key, &disks);
            counts[all as usize] += 1;
            let rest = best(&key, &disks[1..]);
            assert!(all == 1 || rest == all);
        }
        assert!((2_300..2_700).contains(&counts[1]) && (4_700..5_300).contains(&counts[3]), "{counts:?}");
    }
}
