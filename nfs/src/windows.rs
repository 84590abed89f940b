//! Attributes and times in the words of Windows' programs (MS-FSCC 2.6, MS-DTYP 2.3.3), for front ends that serve such.
//! Pure.

use crate::filesystem::{Attributes, FileKind, Marks, SetAttributes, SetTime, Time};

/// Seconds from 1601-01-01, where Windows' time begins, to 1970-01-01.
const EPOCH_SECONDS: i64 = 11_644_473_600;
/// Units of Windows' time in a second: 100 ns each.
const TICKS: u64 = 10_000_000;
/// Whoever may write a file: none of these bits, and it is read-only.
const WRITABLE: u32 = 0o222;
/// The owner may write.
const OWNER_WRITES: u32 = 0o200;

/// A point in time in units of 100 ns since 1601; what lies before or too far away, at the nearest end.
pub fn filetime(time: Time) -> u64 {
    let seconds = u64::try_from(time.seconds.saturating_add(EPOCH_SECONDS)).unwrap_or(0);
    seconds.saturating_mul(TICKS).saturating_add(u64::from(time.nanos / 100))
}

/// The reverse of [`filetime`].
pub fn time(filetime: u64) -> Time {
    // Less than 2^64 / 10^7 seconds: it fits.
    let seconds = i64::try_from(filetime / TICKS).unwrap_or(i64::MAX);
    Time { seconds: seconds - EPOCH_SECONDS, nanos: (filetime % TICKS) as u32 * 100 }
}

/// How a time that a client sets is set.
pub fn set_time(filetime: Option<u64>) -> SetTime {
    filetime.map_or(SetTime::Keep, |filetime| SetTime::To(time(filetime)))
}

/// Whether a file is read-only by its mode: nobody may write it.
pub fn nobody_writes(attributes: &Attributes) -> bool {
    attributes.kind != FileKind::Directory && attributes.mode & WRITABLE == 0
}

/// Whether clients are told that a file cannot be written: by its mode, or as it was marked. A folder is never.
pub fn is_read_only(attributes: &Attributes) -> bool {
    let is_marked = attributes.marks.bits() & Marks::READ_ONLY != 0;
    attributes.kind != FileKind::Directory && (nobody_writes(attributes) || is_marked)
}

/// What makes a file read-only for all clients, or writable by its owner again; nothing if it is so already.
pub fn set_read_only(is_to_be: bool, now: &Attributes) -> SetAttributes {
    let mut set = SetAttributes::default();
    if is_to_be && !is_read_only(now) {
        set.mode = Some(now.mode & !WRITABLE);
    }
    if !is_to_be && is_read_only(now) {
        set.mode = nobody_writes(now).then_some(now.mode | OWNER_WRITES);
        set.marks =
            Some(Marks::new(now.marks.bits() & !Marks::READ_ONLY)).filter(|marks| *marks != now.marks);
    }
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_begins_in_1601() {
        assert_eq!(filetime(Time::default()), 116_444_736_000_000_000);
        assert_eq!(time(116_444_736_000_000_001), Time { seconds: 0, nanos: 100 });
        assert_eq!(filetime(Time { seconds: i64::MIN, nanos: 0 }), 0);
        assert_eq!(filetime(Time { seconds: i64::MAX, nanos: 999_999_999 }), u64::MAX);
        assert_eq!(time(0).seconds, -EPOCH_SECONDS);
    }

    proptest! {
        #[test]
        fn times_come_back(ticks in 0..=i64::MAX as u64) {
            prop_assert_eq!(filetime(time(ticks)), ticks);
        }

        #[test]
        fn no_time_is_too_far(ticks: u64) {
            prop_assert!(time(ticks).nanos < 1_000_000_000);
        }
    }
}
