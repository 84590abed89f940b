//! The wall clock and the machine's randomness: the only module of the port that draws from them.

use protocol::id::{Timestamp, Token};

/// The present, as nanoseconds since the epoch.
#[allow(clippy::disallowed_methods)] // The shell's one reading of the wall clock.
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since_epoch.map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)))
}

/// The minute of the day where the machine stands, from 0 on; in UTC if it does not know its time zone.
pub fn minute_of_day() -> u16 {
    let now = jiff::Timestamp::from_nanosecond(now().0.into()).unwrap_or_default();
    let now = jiff::tz::TimeZone::system().to_datetime(now);
    // Neither is negative, nor more than 23 and 59.
    u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs())
}

/// Fresh random bytes.
#[allow(clippy::disallowed_methods)] // The shell's one source of randomness.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::Rng::fill(&mut rand::rng(), &mut bytes[..]);
    bytes
}

/// A fresh token for one upload.
pub fn token() -> Token {
    Token(random())
}
