//! The machine's time, read and waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

use crate::machine::time::Time;

/// Now.
pub fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    Time(now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000)
}

/// A descriptor that is readable from a moment on.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }

    /// Sets it to that moment (or at once, if it has passed), in place of an earlier one; it is not readable until
    /// then.
    ///
    /// # Errors
    /// The time lies beyond what the kernel can count.
    pub fn set(&self, at: Time) -> io::Result<()> {
        // A zero would disarm it.
        let at = at.0.max(1);
        let it_value = Timespec {
            tv_sec: i64::try_from(at / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: (at % 1_000_000 * 1_000) as _,
        };
        let never_again = Timespec { tv_sec: 0, tv_nsec: 0 };
        let wish = Itimerspec { it_interval: never_again, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &wish)?;
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn readable(alarm: &Alarm) -> bool {
        let mut polled = [PollFd::new(alarm, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).unwrap() == 1
    }

    /// FO-2: the leases are counted by this clock.
    #[test]
    fn an_alarm_rings_at_its_time_and_not_before() {
        let alarm = Alarm::new().unwrap();
        let at = now() + Duration::from_millis(20);
        alarm.set(at).unwrap();
        assert!(!readable(&alarm));
        poll(&mut [PollFd::new(&alarm, PollFlags::IN)], None).unwrap();
        assert!(now() >= at);

        alarm.set(Time(0)).unwrap();
        assert!(readable(&alarm), "a moment that has passed");
        alarm.set(now() + Duration::from_secs(60)).unwrap();
        assert!(!readable(&alarm), "set anew it is silent, unread as it is");
    }
}
