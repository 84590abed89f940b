//! How long a lease to ask the center for. Pure.
//!
//! A port that dies with a lease of the center keeps its peer from taking over until that has passed; a port whose lease
//! ends while the center is slow serves nobody. The first matters while there is a peer, the second when there is none.

use std::time::Duration;

use crate::config::Timers;

/// The two lengths, and what tells them apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct CenterLeases {
    paused: Duration,
    alone: Duration,
    pause_max: Duration,
}

impl CenterLeases {
    /// As configured.
    pub(super) fn new(timers: &Timers) -> Self {
        Self {
            paused: timers.center_lease(),
            alone: timers.center_lease_alone(),
            pause_max: timers.lease() / 2,
        }
    }

    /// The one to ask for, by how long ago the peer was heard.
    pub(super) fn wanted(&self, heard: Option<Duration>) -> Duration {
        if heard.is_some_and(|ago| ago < self.pause_max) { self.paused } else { self.alone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_short_while_the_peer_may_only_have_paused() {
        let timers = Timers::default();
        let leases = CenterLeases::new(&timers);
        let ms = Duration::from_millis;
        assert_eq!(leases.wanted(Some(ms(45))), timers.center_lease());
        assert_eq!(leases.wanted(Some(ms(70))), timers.center_lease_alone());
        assert_eq!(leases.wanted(None), timers.center_lease_alone());
    }
}
