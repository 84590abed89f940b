//! Contents and names from a seed: the same seed gives the same bytes.

use std::str::FromStr;

use md5::{Digest, Md5};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// `len` random bytes of `seed`.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// MD5 in hex, as the storage nodes name objects.
pub fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A generator of the given seed; the seed stands in every failure message of the tests.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A test's own figure, or the one that this variable of the environment names: fewer rounds, or another seed.
pub fn figure<T: FromStr>(variable: &str, own: T) -> T {
    std::env::var(variable)
        .map_or(own, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is no such figure")))
}

/// A valid file name of 1 to 255 bytes: ASCII, accented, CJK or emoji, or plain long.
pub fn name(rng: &mut StdRng) -> String {
    const ALPHABETS: [&str; 4] = [
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
        "äöüßéèñçøåŁžśΩλπдёя",
        "日本語中文字한글漢",
        "🦀📦💾🚀 %&+#?;='\"<>",
    ];
    let alphabet: Vec<char> = ALPHABETS[rng.random_range(0..ALPHABETS.len())].chars().collect();
    let len_max = if rng.random_ratio(1, 10) { 255 } else { 24 };
    let mut name = String::from("f");
    loop {
        let next = alphabet[rng.random_range(0..alphabet.len())];
        if name.len() + next.len_utf8() > len_max || rng.random_ratio(1, 20) && len_max < 255 {
            return name;
        }
        name.push(next);
    }
}
