//! How long each step of a takeover by this port took (FO-2). Pure: it looks on.

use std::time::Duration;

use crate::machine::action::{Action, Question};
use crate::machine::event::{CenterAnswer, Event, Generation, PortEvent};
use crate::machine::time::Time;

/// When each step of the present takeover was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chronicle {
    asked: Option<Time>,
    granted: Option<(Time, Generation)>,
    probing: Option<Time>,
    probed: Option<Time>,
    opened: Option<Time>,
    serving: Option<Time>,
    is_told: bool,
}

/// The steps of one takeover. What was left out took no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    /// The generation that was claimed.
    pub(super) generation: Generation,
    /// From the first question to the center until the generation was granted.
    pub(super) center: Duration,
    /// Asking on the LAN whether somebody has the addresses.
    pub(super) probe: Duration,
    /// From the first question until the fence was opened.
    pub(super) open: Duration,
    /// From the first question until the port's process had said that it serves.
    pub(super) serving: Duration,
}

impl Chronicle {
    /// Something happened. The steps, when it is the last of them.
    pub(super) fn event(&mut self, event: &Event, now: Time) -> Option<Steps> {
        match event {
            Event::Center { answer: CenterAnswer::Granted { generation, .. }, .. }
                if self.granted.is_none_or(|(_, known)| known < *generation) =>
            {
                self.granted = Some((now, *generation));
            }
            Event::AddressProbe { .. } => self.probed = Some(now),
            Event::Port(PortEvent::Active(generation))
                if self.granted.is_some_and(|(_, claimed)| claimed == *generation) =>
            {
                self.serving = self.serving.or(Some(now));
            }
            _ => {}
        }
        self.steps()
    }

    /// Something is done about it. The steps, when it is the last of them.
    pub(super) fn action(&mut self, action: &Action, now: Time) -> Option<Steps> {
        match action {
            Action::AskCenter(Question::Acquire { .. }) => self.asked = self.asked.or(Some(now)),
            Action::ProbeAddresses => self.probing = self.probing.or(Some(now)),
            Action::OpenFence(_) => self.opened = self.opened.or(Some(now)),
            Action::DropAddresses => *self = Self::default(),
            _ => {}
        }
        self.steps()
    }

    /// Once, when fence and service are both open.
    fn steps(&mut self) -> Option<Steps> {
        let (asked, (granted, generation)) = self.asked.zip(self.granted)?;
        let (opened, serving) = self.opened.zip(self.serving)?;
        if std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        Some(Steps {
            generation,
            center: granted.since(asked),
            probe: self.probing.zip(self.probed).map_or(Duration::ZERO, |(began, ended)| ended.since(began)),
            open: opened.since(asked),
            serving: serving.since(asked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(1_000_000 + ms * 1_000)
    }

    /// FO-2: one takeover, one line with its steps.
    #[test]
    fn the_steps_of_a_takeover_are_told_once() {
        let mut chronicle = Chronicle::default();
        let generation = Generation(7);
        let acquire = Question::Acquire { from: Generation(6), renewals: None };
        let granted = CenterAnswer::Granted { generation, lease: Duration::ZERO, renewals: 1 };
        assert_eq!(chronicle.action(&Action::AskCenter(acquire), at(0)), None);
        assert_eq!(chronicle.event(&Event::Center { sent: at(0), answer: granted }, at(4)), None);
        assert_eq!(chronicle.action(&Action::ProbeAddresses, at(5)), None);
        assert_eq!(chronicle.event(&Event::Port(PortEvent::Active(generation)), at(7)), None);
        assert_eq!(chronicle.event(&Event::AddressProbe { taken_by: None }, at(13)), None);
        let ms = Duration::from_millis;
        let expected = Steps { generation, center: ms(4), probe: ms(8), open: ms(30), serving: ms(7) };
        assert_eq!(chronicle.action(&Action::OpenFence(at(130)), at(30)), Some(expected));
        assert_eq!(chronicle.action(&Action::OpenFence(at(145)), at(45)), None);
        assert_eq!(chronicle.event(&Event::Port(PortEvent::Active(generation)), at(46)), None);
        chronicle.action(&Action::DropAddresses, at(60));
        assert_eq!(chronicle.event(&Event::Port(PortEvent::Active(generation)), at(61)), None);
    }
}
