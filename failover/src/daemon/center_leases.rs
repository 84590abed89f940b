//! How long a lease to ask the center for. Pure.
//!
//! A port that dies with a lease of the center keeps its peer from taking over until that has passed; a port whose lease
//! ends while the center is slow serves nobody. The first matters while there is a peer, the second when there is none.

use std::time::Duration;

use crate::config::Timers;
use crate::machine::action::Question;

/// The two lengths, and what tells them apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct CenterLeases {
    paused: Duration,
    alone: Duration,
    /// What the peer promises.
    promise: Duration,
}

impl CenterLeases {
    /// As configured.
    pub(super) fn new(timers: &Timers) -> Self {
        Self { paused: timers.center_lease(), alone: timers.center_lease_alone(), promise: timers.lease() }
    }

    /// The one to ask for, by how long ago the peer was heard.
    pub(super) fn wanted(&self, question: Question, heard: Option<Duration>) -> Duration {
        let pause_max = match question {
            // Who claims because of silence comes when the other has gone; who was asked to has just heard him.
            Question::Acquire { .. } => self.promise / 2,
            // Who is cut off from everything, one link after the other, must not leave a long one behind.
            Question::Renew(_) | Question::Release { .. } => self.promise * 2,
        };
        if heard.is_some_and(|ago| ago < pause_max) { self.paused } else { self.alone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::event::Generation;

    #[test]
    fn a_lease_is_short_while_the_peer_may_only_have_paused() {
        let timers = Timers::default();
        let leases = CenterLeases::new(&timers);
        let ms = Duration::from_millis;
        let acquire = Question::Acquire { from: Generation(6), renewals: None };
        let renew = Question::Renew(Generation(7));
        assert_eq!(leases.wanted(acquire, Some(ms(45))), timers.center_lease());
        assert_eq!(leases.wanted(acquire, Some(ms(70))), timers.center_lease_alone());
        assert_eq!(leases.wanted(renew, Some(ms(70))), timers.center_lease());
        assert_eq!(leases.wanted(renew, Some(ms(250))), timers.center_lease_alone());
        assert_eq!(leases.wanted(renew, None), timers.center_lease_alone());
    }
}
