//! Whoever says wrong passwords has to wait before he may say another. Pure: told the time.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Wrong ones that cost nothing: people mistype.
const FREE: u32 = 5;
/// The wait after the first that does; it doubles with each.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// After so long without a wrong one all is forgotten.
const FORGET: Duration = Duration::from_secs(3_600);
/// Addresses that are remembered: one more forgets the one longest quiet.
const ADDRESSES_MAX: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1_024).expect("not zero");

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// See the module.
pub struct Throttle(LruCache<IpAddr, Failures>);

impl Default for Throttle {
    fn default() -> Self {
        Self(LruCache::new(ADDRESSES_MAX))
    }
}

impl Throttle {
    /// Whether a password may be tried from there now.
    ///
    /// # Errors
    /// Only after this wait.
    pub fn check(&self, now: Instant, from: IpAddr) -> Result<(), Duration> {
        let Some(Failures { count, last }) = self.0.peek(&network(from)).copied() else { return Ok(()) };
        let since = now.saturating_duration_since(last);
        let wait = wait(count).saturating_sub(since);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// It was wrong.
    pub fn failed(&mut self, now: Instant, from: IpAddr) {
        let failures = self.0.get_or_insert_mut(network(from), || Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) > FORGET {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
    }

    /// It was right.
    pub fn succeeded(&mut self, from: IpAddr) {
        self.0.pop(&network(from));
    }
}

fn wait(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(beyond) => WAIT.saturating_mul(1 << beyond.min(16)).min(WAIT_MAX),
    }
}

/// A machine can have any address of its network in IPv6: 64 bits of it are one's own.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_wait_grows_with_every_wrong_password_and_has_an_end() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        let mut waits = Vec::new();
        for _ in 0..13 {
            throttle.failed(now, at(1));
            waits.push(throttle.check(now, at(1)).err().map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 0, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert!(throttle.check(now + WAIT_MAX - Duration::from_nanos(1), at(1)).is_err());
        assert!(throttle.check(now + WAIT_MAX, at(1)).is_ok());
        assert!(throttle.check(now, at(2)).is_ok(), "somebody else");
        throttle.failed(now + WAIT_MAX + FORGET + Duration::from_nanos(1), at(1));
        assert!(throttle.check(now + WAIT_MAX + FORGET, at(1)).is_ok(), "it was forgotten");
    }

    #[test]
    fn who_says_the_right_one_begins_anew() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        for _ in 0..FREE {
            throttle.failed(now, at(1));
        }
        throttle.succeeded(at(1));
        assert!(throttle.check(now, at(1)).is_ok());
    }

    #[test]
    fn a_network_is_one_address() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        for number in 0..FREE {
            throttle.failed(now, format!("2001:db8::{number:x}").parse().unwrap());
        }
        assert!(throttle.check(now, "2001:db8::ffff:1".parse().unwrap()).is_err());
        assert!(throttle.check(now, "2001:db8:0:1::1".parse().unwrap()).is_ok());
        throttle.failed(now, at(1));
        for _ in 1..FREE {
            throttle.failed(now, "::ffff:192.0.2.1".parse().unwrap());
        }
        assert!(throttle.check(now, at(1)).is_err(), "written as IPv6 it is the same");
    }

    #[test]
    fn so_many_addresses_are_remembered_and_no_more() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        for _ in 0..FREE {
            throttle.failed(now, at(1));
        }
        for number in 0..ADDRESSES_MAX.get() as u32 {
            throttle.failed(now, Ipv6Addr::from_bits(u128::from(number) << 64).into());
        }
        assert_eq!(throttle.0.len(), ADDRESSES_MAX.get());
        assert!(throttle.check(now, at(1)).is_ok(), "the one longest quiet was forgotten");
    }
}
