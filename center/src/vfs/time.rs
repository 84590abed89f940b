//! Arithmetic on [`Timestamp`]s.

use std::time::Duration;

use protocol::id::Timestamp;

/// The time `pause` after `now`.
pub fn after(now: Timestamp, pause: Duration) -> Timestamp {
    let nanos = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(nanos))
}

/// The time `pause` before `now`.
pub fn before(now: Timestamp, pause: Duration) -> Timestamp {
    let nanos = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(nanos))
}

/// The beginning of a second since the epoch.
pub fn of_seconds(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}

/// Whole seconds since the epoch, as SRLs count them; 0 before it.
pub fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.0 / 1_000_000_000).unwrap_or(0)
}
