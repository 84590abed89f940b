//! Whether the clients' LAN can be used. Pure.
//!
//! Carrier alone says little: the switch behind it may be dead. So references are asked, and the peer is heard there; the
//! LAN is lost when neither speaks. Without a reference nobody knows which of the two is cut off, and carrier must do.

use std::time::Duration;

use crate::health::silence::Silence;
use crate::machine::time::Time;

/// What is known of it.
#[derive(Debug)]
pub(super) struct LanSense {
    has_carrier: bool,
    voices: Option<Silence>,
}

impl LanSense {
    /// With references to ask or without; silence for `limit` is too much.
    pub(super) fn new(has_references: bool, limit: Duration, now: Time) -> Self {
        Self { has_carrier: true, voices: has_references.then(|| Silence::new(limit, now)) }
    }

    /// The NIC has carrier, or has lost it.
    pub(super) fn carrier(&mut self, has_carrier: bool, now: Time) {
        if has_carrier && !self.has_carrier {
            // A link that comes up gets its time, as at the start.
            self.heard(now);
        }
        self.has_carrier = has_carrier;
    }

    /// Somebody was heard there.
    pub(super) fn heard(&mut self, now: Time) {
        if let Some(voices) = &mut self.voices {
            voices.answered(now);
        }
    }

    /// Whether it can be used.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        self.has_carrier && self.voices.as_ref().is_none_or(|voices| !voices.is_over(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-3: a dead switch with carrier is found by its silence, a pulled cable at once.
    #[test]
    fn a_lan_is_lost_without_carrier_or_without_any_voice() {
        let at = |ms: u64| Time(ms * 1_000);
        let mut lan = LanSense::new(true, Duration::from_millis(350), at(0));
        lan.heard(at(100));
        assert!(lan.is_usable(at(449)) && !lan.is_usable(at(450)));
        lan.carrier(false, at(500));
        lan.heard(at(500));
        assert!(!lan.is_usable(at(500)));
        lan.carrier(true, at(9_000));
        assert!(lan.is_usable(at(9_349)) && !lan.is_usable(at(9_350)));
        let alone = LanSense::new(false, Duration::from_millis(350), at(0));
        assert!(alone.is_usable(at(3_600_000)));
    }
}
