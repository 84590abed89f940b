//! `[wan]`: how much of the way to the storage center the port may take.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::wan::schedule::{Hours, Limits, RATE_MIN, Schedule, minute};

/// `[wan]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Wan {
    /// Most bytes a second to the storage center.
    pub upload_bytes_per_second: Option<NonZeroU64>,
    /// Most bytes a second from it.
    pub fetch_bytes_per_second: Option<NonZeroU64>,
    /// What holds in place of that at some times of day.
    pub hours: Vec<WanHours>,
}

/// `[[wan.hours]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WanHours {
    /// `HH:MM`, where the port stands.
    pub from: String,
    /// The same; before `from` if midnight is in between.
    pub until: String,
    /// As in [`Wan`].
    pub upload_bytes_per_second: Option<NonZeroU64>,
    /// As in [`Wan`].
    pub fetch_bytes_per_second: Option<NonZeroU64>,
}

impl Wan {
    /// What no single value shows.
    pub(super) fn check(&self) -> Result<(), String> {
        let all =
            self.hours.iter().flat_map(|hours| [hours.upload_bytes_per_second, hours.fetch_bytes_per_second]);
        let rates = [self.upload_bytes_per_second, self.fetch_bytes_per_second].into_iter().chain(all);
        if let Some(rate) = rates.flatten().find(|rate| rate.get() < RATE_MIN) {
            return Err(format!("[wan]: {rate} bytes a second are too few: give at least {RATE_MIN}"));
        }
        for hours in &self.hours {
            for time in [&hours.from, &hours.until] {
                if minute(time).is_none() {
                    return Err(format!("[[wan.hours]]: `{time}` is no time of day: write it like `08:30`"));
                }
            }
            if hours.from == hours.until {
                return Err(format!("[[wan.hours]] from {0} until {0} is no time at all", hours.from));
            }
        }
        Ok(())
    }

    /// The same for a transfer to go by.
    pub fn schedule(&self) -> Schedule {
        let hours = self.hours.iter().filter_map(|hours| {
            let limits =
                Limits { upload: hours.upload_bytes_per_second, fetch: hours.fetch_bytes_per_second };
            Some(Hours { from: minute(&hours.from)?, until: minute(&hours.until)?, limits })
        });
        let always = Limits { upload: self.upload_bytes_per_second, fetch: self.fetch_bytes_per_second };
        Schedule { always, hours: hours.collect() }
    }
}
