//! When to try again, and where. Pure: callers pass `now`.

use std::time::Duration;

use tokio::time::Instant;

const DELAY_FIRST: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(1);
/// How often a transfer that got somewhere and broke off may begin with a fresh deadline.
const RESTARTS_MAX: u32 = 4;

/// The attempts of one call.
pub(crate) struct Retries {
    patience: Duration,
    until: Instant,
    delay: Duration,
    restarts: u32,
    /// Attempts since the last delay: each endpoint is tried once before anybody waits.
    tried: usize,
    endpoints: usize,
}

impl Retries {
    /// A call begun `now` that may take `patience`, over so many endpoints.
    pub(crate) fn new(now: Instant, patience: Duration, endpoints: usize) -> Self {
        Self { patience, until: now + patience, delay: DELAY_FIRST, restarts: 0, tried: 0, endpoints }
    }

    /// How long the next attempt may go without progress: half of the time left, so that a peer that has gone silent
    /// leaves some for another connection; but all of what is too short to divide.
    pub(crate) fn attempt_patience(&self, now: Instant) -> Duration {
        let left = self.until.saturating_duration_since(now);
        left.min((left / 2).max(Duration::from_secs(1)))
    }

    /// Puts the deadline off by a time that does not count.
    pub(crate) fn forgive(&mut self, time: Duration) {
        self.until += time;
    }

    /// How long to wait before the next attempt, which goes to the next endpoint; `None` to give up. `progressed`:
    /// the failed attempt had transferred something.
    pub(crate) fn after_failure(&mut self, now: Instant, progressed: bool) -> Option<Duration> {
        if progressed && self.restarts < RESTARTS_MAX {
            self.restarts += 1;
            self.until = now + self.patience;
        }
        self.tried += 1;
        let delay = if self.tried < self.endpoints {
            Duration::ZERO
        } else {
            self.tried = 0;
            let delay = self.delay;
            self.delay = (delay * 2).min(DELAY_MAX);
            delay
        };
        (now + delay < self.until).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_endpoint_is_tried_once_before_a_wait_and_waits_grow() {
        let now = Instant::now();
        let mut retries = Retries::new(now, 10 * SECOND, 2);
        let delays: Vec<u128> =
            (0..14).map(|_| retries.after_failure(now, false).unwrap().as_millis()).collect();
        assert_eq!(delays, [0, 50, 0, 100, 0, 200, 0, 400, 0, 800, 0, 1000, 0, 1000]);
    }

    #[test]
    fn a_call_ends_at_its_deadline() {
        let now = Instant::now();
        let mut retries = Retries::new(now, SECOND, 1);
        assert!(retries.after_failure(now + SECOND / 2, false).is_some());
        assert_eq!(retries.after_failure(now + SECOND, false), None);
        let mut nearly = Retries::new(now, SECOND, 1);
        assert_eq!(nearly.after_failure(now + SECOND - Duration::from_millis(10), false), None);
    }

    #[test]
    fn a_silent_peer_leaves_time_for_another() {
        let now = Instant::now();
        let retries = Retries::new(now, 10 * SECOND, 2);
        assert_eq!(retries.attempt_patience(now), 5 * SECOND);
        assert_eq!(retries.attempt_patience(now + 9 * SECOND), SECOND);
        assert_eq!(retries.attempt_patience(now + 11 * SECOND), Duration::ZERO);
    }

    #[test]
    fn progress_renews_the_deadline_but_not_for_ever() {
        let mut now = Instant::now();
        let mut retries = Retries::new(now, SECOND, 1);
        for _ in 0..RESTARTS_MAX {
            now += 60 * SECOND;
            assert!(retries.after_failure(now, true).is_some());
        }
        assert_eq!(retries.after_failure(now + 60 * SECOND, true), None);
    }
}
