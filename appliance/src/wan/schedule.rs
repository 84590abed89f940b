//! Which limits are in force at which time of day. Pure.

use std::num::NonZeroU64;

/// Fewest bytes a second: with less, a transfer is silent for longer than the storage center bears.
pub const RATE_MIN: u64 = 64 << 10;
/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Most bytes a second each way; `None`: as many as go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// To the storage center.
    pub upload: Option<NonZeroU64>,
    /// From it.
    pub fetch: Option<NonZeroU64>,
}

/// A part of the day with limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Its first minute …
    pub from: u16,
    /// … and the first that is not in it any more; before `from` if midnight is in between.
    pub until: u16,
    /// In force then.
    pub limits: Limits,
}

/// The limits of a day. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// In force where nothing else is.
    pub always: Limits,
    /// The first that fits is in force.
    pub hours: Vec<Hours>,
}

impl Schedule {
    /// The limits at a minute of the day.
    pub fn at(&self, minute: u16) -> Limits {
        let is_now = |hours: &&Hours| match hours.from <= hours.until {
            true => (hours.from..hours.until).contains(&minute),
            false => minute >= hours.from || minute < hours.until,
        };
        self.hours.iter().find(is_now).map_or(self.always, |hours| hours.limits)
    }

    /// Whether there is never a limit.
    pub fn is_unlimited(&self) -> bool {
        self.always == Limits::default() && self.hours.iter().all(|hours| hours.limits == Limits::default())
    }
}

/// The minute of a day that is written as `HH:MM`, `24:00` included.
pub fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| {
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { part.parse::<u16>().ok() } else { None }
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_to_the_minute() {
        for (text, wanted) in [("00:00", 0), ("08:30", 510), ("23:59", 1_439), ("24:00", 1_440)] {
            assert_eq!(minute(text), Some(wanted), "{text}");
        }
        for text in ["", "8:30", "08:60", "24:01", "25:00", "08.30", "08:3", "+8:30", "08:30:00"] {
            assert_eq!(minute(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_hours_that_fit_are_in_force() {
        let limit = |rate| Limits { upload: NonZeroU64::new(rate), fetch: None };
        let hours = |from, until, rate| Hours { from, until, limits: limit(rate) };
        let schedule = Schedule {
            always: limit(1),
            hours: vec![hours(480, 1_080, 2), hours(1_000, 1_100, 3), hours(1_320, 360, 4)],
        };
        for (minute, rate) in [
            (0, 4),
            (359, 4),
            (360, 1),
            (479, 1),
            (480, 2),
            (1_079, 2),
            (1_080, 3),
            (1_100, 1),
            (1_319, 1),
            (1_320, 4),
            (1_439, 4),
        ] {
            assert_eq!(schedule.at(minute), limit(rate), "{minute}");
        }
        assert!(!schedule.is_unlimited() && Schedule::default().is_unlimited());
    }
}
