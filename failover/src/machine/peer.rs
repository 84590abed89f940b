//! What is known of the peer, and which of its datagrams are news.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{Generation, Path};
use super::message::{Kind, Message, Role};
use super::time::Time;

/// Boots of the peer that are over; a datagram of one is dropped.
const FORMER_MAX: usize = 8;
/// Datagrams whose time of sending is remembered: more than a second of them.
const SENT_MAX: usize = 256;

/// The peer, as it last said.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    boot: Option<u64>,
    /// The newest datagram of a boot that has not shown yet that it hears this one: it is echoed, so that it can.
    stranger: Option<(u64, u64)>,
    former: VecDeque<u64>,
    sequence: u64,
    heard: Option<Time>,
    heard_on: [Option<Time>; 2],
    released: Generation,
    view: Option<View>,
}

/// What every datagram says of its sender; see [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) role: Role,
    pub(super) generation: Generation,
    pub(super) health: u32,
    pub(super) lan: bool,
    pub(super) wan: bool,
    pub(super) eligible: bool,
}

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// News.
    News,
    /// News, and the first of this boot of the peer.
    Reborn,
    /// Seen before, late, of an earlier boot, or of a boot that has not yet shown that it hears this one.
    Dropped,
}

impl Peer {
    /// Takes a datagram. One of a new boot must echo what was sent here lately: whoever replays old ones cannot.
    pub(super) fn take(&mut self, path: Path, message: &Message, sent: &Sent, now: Time) -> Taken {
        let is_known = self.boot == Some(message.boot);
        let is_late = is_known && message.sequence <= self.sequence;
        if is_known {
            // The same datagram comes on both ways: the second one still shows that the way is open.
            self.heard_on[path as usize] = Some(now);
        }
        if is_late || self.former.contains(&message.boot) {
            return Taken::Dropped;
        }
        if !is_known {
            if message.echo.and_then(|echo| sent.when(echo)).is_none() {
                self.stranger = Some((message.boot, message.sequence));
                return Taken::Dropped;
            }
            self.stranger = None;
            self.former.extend(self.boot.replace(message.boot));
            if self.former.len() > FORMER_MAX {
                self.former.pop_front();
            }
            self.heard_on = [None; 2];
            self.heard_on[path as usize] = Some(now);
        }
        self.sequence = message.sequence;
        self.heard = Some(now);
        self.view = Some(View {
            role: message.role,
            generation: message.generation,
            health: message.health,
            lan: message.lan,
            wan: message.wan,
            eligible: message.eligible,
        });
        if message.kind == Kind::Release {
            self.released = self.released.max(message.generation);
        }
        if is_known { Taken::News } else { Taken::Reborn }
    }

    /// What to echo: the peer while it is heard, else whoever says that it is the peer.
    pub(super) fn echo(&self, silent: Duration, now: Time) -> Option<(u64, u64)> {
        let known = self.boot.map(|boot| (boot, self.sequence));
        known.filter(|_| self.within(silent, now).is_some()).or(self.stranger).or(known)
    }

    /// When the newest datagram came.
    pub(super) fn heard(&self) -> Option<Time> {
        self.heard
    }

    /// When the newest came on that way.
    pub(super) fn heard_on(&self, path: Path) -> Option<Time> {
        self.heard_on[path as usize]
    }

    /// What it said, if not longer ago than that.
    pub(super) fn within(&self, span: Duration, now: Time) -> Option<View> {
        self.view.filter(|_| self.heard.is_some_and(|heard| now.since(heard) < span))
    }

    /// What it last said.
    pub(super) fn view(&self) -> Option<View> {
        self.view
    }

    /// The peer has said that it holds no address in that generation or an older one, and never will.
    pub(super) fn has_released(&self, generation: Generation) -> bool {
        self.released >= generation && self.released > Generation(0)
    }
}

/// When the newest datagrams were sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    boot: u64,
    last: u64,
    times: VecDeque<Datagram>,
}

/// One that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) sequence: u64,
    pub(super) at: Time,
    /// The number after the last change of connections in it.
    pub(super) changes_end: u64,
}

impl Sent {
    pub(super) fn new(boot: u64) -> Self {
        Self { boot, last: 0, times: VecDeque::with_capacity(SENT_MAX) }
    }

    /// The nonce of this boot.
    pub(super) fn boot(&self) -> u64 {
        self.boot
    }

    /// The sequence number of a datagram that is sent now.
    pub(super) fn next(&mut self, changes_end: u64, now: Time) -> u64 {
        if self.times.len() == SENT_MAX {
            self.times.pop_front();
        }
        self.last += 1;
        self.times.push_back(Datagram { sequence: self.last, at: now, changes_end });
        self.last
    }

    /// The number of the newest.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The datagram that an echo names, if it is one of this boot and not long ago.
    pub(super) fn when(&self, (boot, sequence): (u64, u64)) -> Option<Datagram> {
        let first = self.times.front()?.sequence;
        let place = usize::try_from(sequence.checked_sub(first)?).ok()?;
        self.times.get(place).copied().filter(|_| boot == self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::event::Member;

    fn message(boot: u64, sequence: u64, echo: Option<(u64, u64)>) -> Message {
        Message {
            speaks: 1,
            sender: Member::B,
            boot,
            sequence,
            echo,
            role: Role::Passive,
            generation: Generation(0),
            health: 0,
            lan: true,
            wan: true,
            eligible: true,
            kind: Kind::Query { promise: None },
        }
    }

    fn sent() -> Sent {
        let mut sent = Sent::new(7);
        sent.next(0, Time(10));
        sent.next(0, Time(20));
        sent
    }

    /// FO-4: a boot is believed only once it shows that it hears this one; then each datagram once, in order, whichever
    /// way it came.
    #[test]
    fn only_news_of_the_peer_is_taken() {
        let (mut peer, sent) = (Peer::default(), sent());
        let mut take = |path, message| peer.take(path, &message, &sent, Time(30));
        assert_eq!(take(Path::Lan, message(100, 5, None)), Taken::Dropped);
        assert_eq!(
            take(Path::Lan, message(100, 6, Some((8, 1)))),
            Taken::Dropped,
            "an echo of another boot of mine"
        );
        assert_eq!(
            take(Path::Lan, message(100, 7, Some((7, 3)))),
            Taken::Dropped,
            "an echo of what was never sent"
        );
        assert_eq!(take(Path::Lan, message(100, 8, Some((7, 2)))), Taken::Reborn);
        assert_eq!(
            take(Path::Heartbeat, message(100, 8, Some((7, 2)))),
            Taken::Dropped,
            "the same on the other way"
        );
        assert_eq!(take(Path::Heartbeat, message(100, 7, Some((7, 2)))), Taken::Dropped, "late");
        assert_eq!(take(Path::Heartbeat, message(100, 10, None)), Taken::News);
        assert_eq!(take(Path::Heartbeat, message(101, 1, Some((7, 1)))), Taken::Reborn);
        assert_eq!(
            take(Path::Heartbeat, message(100, 11, Some((7, 2)))),
            Taken::Dropped,
            "that boot is over"
        );
    }

    /// FO-4: two that have just started find each other, although neither believes the first word of the other; a peer
    /// that is heard is echoed whatever somebody replays.
    #[test]
    fn two_strangers_get_acquainted() {
        let (mut peer, sent) = (Peer::default(), sent());
        let lease = Duration::from_millis(100);
        assert_eq!(peer.echo(lease, Time(30)), None);
        assert_eq!(peer.take(Path::Lan, &message(100, 5, None), &sent, Time(30)), Taken::Dropped);
        assert_eq!(peer.echo(lease, Time(30)), Some((100, 5)));
        assert_eq!(peer.take(Path::Lan, &message(100, 6, Some((7, 2))), &sent, Time(31)), Taken::Reborn);
        assert_eq!(peer.take(Path::Lan, &message(66, 6, None), &sent, Time(32)), Taken::Dropped);
        assert_eq!(peer.echo(lease, Time(33)), Some((100, 6)));
        assert_eq!(peer.echo(lease, Time(200_000)), Some((66, 6)));
    }

    #[test]
    fn the_time_of_sending_is_found_by_its_number() {
        let mut sent = sent();
        assert_eq!(sent.when((7, 2)).map(|datagram| datagram.at), Some(Time(20)));
        assert_eq!(sent.when((7, 0)), None);
        for at in 0..2 * SENT_MAX as u64 {
            sent.next(0, Time(100 + at));
        }
        assert_eq!(sent.when((7, 2)), None, "too long ago");
        assert_eq!(sent.when((7, sent.last())).map(|datagram| datagram.at), Some(Time(100 + 511)));
    }
}
