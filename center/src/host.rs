//! The only door to the wall clock and to the system's randomness. Everything else takes `now` and generators as
//! arguments.

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::id::{Timestamp, Token};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// Nanoseconds since the epoch; 0 if the clock stands before it.
#[allow(clippy::disallowed_methods, reason = "this is the shell that reads the wall clock")]
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
}

/// Seconds since the epoch.
pub fn now_seconds() -> u64 {
    u64::try_from(now().0 / 1_000_000_000).unwrap_or(0)
}

/// Milliseconds since the epoch.
pub fn now_ms() -> u64 {
    u64::try_from(now().0 / 1_000_000).unwrap_or(0)
}

/// A generator seeded by the operating system.
pub fn generator() -> StdRng {
    StdRng::from_os_rng()
}

/// Bytes nobody can guess.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A token nobody else has.
pub fn random_token() -> Token {
    Token(random_bytes())
}
