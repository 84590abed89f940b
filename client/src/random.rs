//! All randomness of the client.

use std::time::Duration;

use protocol::id::Token;
use rand::Rng;

/// 128 bits that nobody had before.
pub(crate) fn token() -> Token {
    Token(rand::rng().random())
}

/// Between half of `delay` and all of it: clients that failed together do not come back together.
pub(crate) fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(rand::rng().random_range(0.5..=1.0))
}
