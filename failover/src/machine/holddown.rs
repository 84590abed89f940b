//! No flapping: after a change of owner by ill health there is none for a while, and for a longer while each time.

use std::time::Duration;

use super::time::Time;

/// How long no ill health may move the addresses. A service that is dead moves them all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HoldDown {
    span: Duration,
    until: Time,
}

impl HoldDown {
    /// The addresses have changed hands, or it was tried.
    pub(super) fn moved(&mut self, first: Duration, longest: Duration, now: Time) {
        let is_soon = !self.span.is_zero() && now < self.until + self.span;
        self.span = if is_soon { (self.span * 2).min(longest) } else { first };
        self.until = now + self.span;
    }

    /// What was tried has come about only now.
    pub(super) fn restart(&mut self, now: Time) {
        self.until = self.until.max(now + self.span);
    }

    /// It has passed.
    pub(super) fn is_over(&self, now: Time) -> bool {
        now >= self.until
    }

    /// When it will have passed.
    pub(super) fn until(&self) -> Time {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// FO-7: 10 s, doubled when the next change comes soon after, at most 5 min; a quiet time forgets it.
    #[test]
    fn a_hold_down_doubles_and_is_forgotten() {
        let (first, longest) = (Duration::from_secs(10), Duration::from_secs(300));
        let mut hold = HoldDown::default();
        assert!(hold.is_over(Time(0)));
        let mut now = Time(SECOND);
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            hold.moved(first, longest, now);
            assert_eq!(hold.until(), now + Duration::from_secs(expected));
            assert!(!hold.is_over(now));
            now = hold.until();
            assert!(hold.is_over(now));
        }
        now = now + Duration::from_secs(300);
        hold.moved(first, longest, now);
        assert_eq!(hold.until(), now + first);
    }
}
