//! Contents that tell where they belong: each 8 bytes are made of a seed and their place.

/// `len` bytes of `seed`, a multiple of 8.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64 / 8).flat_map(|place| mixed(seed, place).to_le_bytes()).collect()
}

/// Checks that these are the bytes of `seed`.
#[track_caller]
pub fn check(seed: u64, bytes: &[u8]) {
    for (place, found) in bytes.chunks(8).enumerate() {
        let expected = mixed(seed, place as u64).to_le_bytes();
        assert!(found == expected, "seed {seed}: byte {} is wrong: {found:?}, not {expected:?}", place * 8);
    }
}

/// One round of SplitMix64.
fn mixed(seed: u64, place: u64) -> u64 {
    let mut value = seed.wrapping_shl(40).wrapping_add(place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value ^ value >> 27
}
