//! When the new owner tells the LAN that it is one.

use std::time::Duration;

use super::time::Time;

/// After the addresses were taken, in milliseconds: a switch may lose the first ones, or learn late.
const STEPS_MS: [u64; 6] = [0, 2, 20, 100, 500, 2_000];
/// And then each: caches that never heard it come right again.
const REFRESH: Duration = Duration::from_secs(30);
/// Steps at which the clients' connections are tickled too.
const TICKLED: usize = 5;

/// The announcements of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    start: Time,
    done: usize,
    next: Time,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Announce.
    Announce,
    /// Announce, and tickle the connections.
    AnnounceAndTickle,
}

impl Schedule {
    /// From `start` on.
    pub(super) fn new(start: Time) -> Self {
        Self { start, done: 0, next: start }
    }

    /// What is due now; what was missed is not made up for.
    pub(super) fn due(&mut self, now: Time) -> Option<Due> {
        if now < self.next {
            return None;
        }
        let due = if self.done < TICKLED { Due::AnnounceAndTickle } else { Due::Announce };
        while self.next <= now {
            self.done += 1;
            self.next = match STEPS_MS.get(self.done) {
                Some(ms) => self.start + Duration::from_millis(*ms),
                None => self.next.max(now - REFRESH) + REFRESH,
            };
        }
        Some(due)
    }

    /// When something is.
    pub(super) fn next(&self) -> Time {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-2: at 0, 2, 20, 100, 500 ms and 2 s, then each 30 s; the first five with a tickle.
    #[test]
    fn the_new_owner_announces_itself_again_and_again() {
        let start = Time(1_000_000);
        let mut schedule = Schedule::new(start);
        let mut told = Vec::new();
        while told.len() < 8 {
            let now = schedule.next();
            let due = schedule.due(now).unwrap();
            told.push((now.since(start).as_millis(), due == Due::AnnounceAndTickle));
            assert_eq!(schedule.due(now), None);
        }
        let expected =
            [(0, true), (2, true), (20, true), (100, true), (500, true), (2_000, false), (32_000, false)];
        assert_eq!(told[..7], expected);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut schedule = Schedule::new(Time(0));
        assert_eq!(schedule.due(Time(3_600_000_000)), Some(Due::AnnounceAndTickle));
        assert_eq!(schedule.due(Time(3_600_000_000)), None);
        assert!(schedule.next() > Time(3_600_000_000));
    }
}
