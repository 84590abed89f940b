//! How this port itself is: what the probes found, and what its process says.

use std::time::Duration;

use super::event::{Generation, Health, PortEvent};
use super::settings::Settings;
use super::time::Time;

/// The condition of this port.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    health: Option<Health>,
    wan_lost: Option<Time>,
    up: Option<Up>,
    misses: u32,
    serving: Serving,
    dead_since: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Up {
    caught_up: bool,
    owed: u64,
}

/// What the port's process last said that it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Serving {
    /// It has not said.
    #[default]
    Unknown,
    /// Nobody.
    Nobody,
    /// As the active of this generation.
    As(Generation),
}

impl Condition {
    /// The probes say.
    pub(super) fn probed(&mut self, health: Health, now: Time) {
        self.wan_lost = if health.wan { None } else { self.wan_lost.or(Some(now)) };
        self.health = Some(health);
    }

    /// The process says.
    pub(super) fn said(&mut self, event: PortEvent) {
        match event {
            PortEvent::Up { caught_up, owed } => self.up = Some(Up { caught_up, owed }),
            PortEvent::Down => {
                self.up = None;
                self.misses = 0;
                self.serving = Serving::Unknown;
            }
            PortEvent::Answered => self.misses = 0,
            PortEvent::Silent => self.misses = self.misses.saturating_add(1),
            PortEvent::Active(generation) => self.serving = Serving::As(generation),
            PortEvent::Passive => self.serving = Serving::Nobody,
            PortEvent::Refused(_) => {}
        }
    }

    /// Keeps since when nobody can be served here.
    pub(super) fn look(&mut self, settings: &Settings, now: Time) {
        self.dead_since = self.dead(settings).and(self.dead_since.or(Some(now)));
    }

    /// For how long nobody could be served here.
    pub(super) fn dead_for(&self, now: Time) -> Duration {
        self.dead_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// What it serves as.
    pub(super) fn serving(&self) -> Serving {
        self.serving
    }

    /// The process is there.
    pub(super) fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Why nobody can be served here at all.
    pub(super) fn dead(&self, settings: &Settings) -> Option<&'static str> {
        if self.up.is_none() {
            Some("its port has ended")
        } else if self.misses >= settings.misses_max {
            Some("its port does not answer")
        } else if !self.lan() {
            Some("its LAN is lost")
        } else {
            None
        }
    }

    /// Why this port must not take over, beside what keeps it from serving. Without the center it could not, and a
    /// question that gets there while its answer does not would take the next generation from the other.
    pub(super) fn unfit(&self, settings: &Settings) -> Option<&'static str> {
        if let Some(dead) = self.dead(settings) {
            Some(dead)
        } else if !self.up.is_some_and(|up| up.caught_up) {
            Some("it has not caught up with the journal of its peer")
        } else if !self.wan() {
            Some("it does not reach the center")
        } else {
            None
        }
    }

    /// Acknowledged bytes that only this port has.
    pub(super) fn owed(&self) -> u64 {
        self.up.map_or(0, |up| up.owed)
    }

    /// The score; the worst until the probes have spoken.
    pub(super) fn score(&self) -> u32 {
        self.health.as_ref().map_or(u32::MAX, |health| health.score)
    }

    /// The LAN can be used.
    pub(super) fn lan(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.lan)
    }

    /// The center is reached.
    pub(super) fn wan(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.wan)
    }

    /// Since when it is not.
    pub(super) fn wan_lost(&self) -> Option<Time> {
        self.wan_lost
    }

    /// What is wrong, in words.
    pub(super) fn reasons(&self) -> String {
        let reasons = self.health.iter().flat_map(|health| &health.reasons);
        reasons.map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// What the probes last found.
    pub(super) fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }
}
