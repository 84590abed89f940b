//! What is said to the peer, and what it says.

use std::time::Duration;

use super::action::{Action, Severity};
use super::connections::Connections;
use super::event::Path;
use super::message::{Kind, Message, Role};
use super::peer::Taken;
use super::time::Time;
use super::{FEED, Machine, State};

/// Highest version of the datagrams that is spoken; see `wire`.
pub const SPEAKS: u8 = 1;
/// A PREPARE that echoes something older is late: the active may have changed its mind.
const PREPARE_AGE_MAX: Duration = Duration::from_millis(500);
/// A way that is silent for so long is told to the operator.
const WAY_LOST: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn received(&mut self, path: Path, message: Message, now: Time) {
        if message.sender == self.settings.member {
            return;
        }
        match self.peer.take(path, &message, &self.sent, now) {
            Taken::Dropped => return,
            Taken::Reborn => self.connections.tell_all(),
            Taken::News => {}
        }
        self.learn(message.generation, "the peer says so", now);
        let echoed = message.echo.and_then(|echo| self.sent.when(echo));
        if let Some(datagram) = echoed {
            self.connections.confirmed(datagram.changes_end);
        }
        let is_own_older = self.tenure_generation().is_some_and(|own| message.generation < own);
        match message.kind {
            Kind::Query { promise } => {
                if let (Some(span), Some(datagram)) = (promise, echoed) {
                    self.promised(datagram.sequence, datagram.at, span);
                }
                if self.reign().is_some() {
                    self.speaks_at = now;
                }
            }
            Kind::Status { opened, closed } => {
                let teller = Some((message.boot, message.generation));
                if self.tenure_generation().is_none() {
                    if self.told_by != teller {
                        self.told_by = teller;
                        self.connections = Connections::default();
                    }
                    self.connections.learn(&opened, &closed);
                } else if is_own_older {
                    // The other claimant may have been heard by clients and switches.
                    self.announce_again(now);
                    self.speaks_at = now;
                }
            }
            Kind::Prepare => {
                if echoed.is_some_and(|datagram| now.since(datagram.at) < PREPARE_AGE_MAX) {
                    self.prepare(now);
                }
            }
            Kind::Ready => {
                if self.tenure_generation().is_none() {
                    self.releases = self.releases.max(1);
                    self.speaks_at = now;
                }
            }
            Kind::Release => {}
        }
    }

    /// Says what is due, on both ways.
    pub(super) fn speak(&mut self, now: Time) {
        if now < self.speaks_at {
            return;
        }
        self.watch_ways(now);
        self.feed(now);
        let query = self.settings.query;
        let is_asked_soon = self.reign().is_some() && self.peer.within(query * 2, now).is_some();
        self.speaks_at = now + if is_asked_soon { query * 2 } else { query };
        let (role, kind, changes_end) = self.words();
        let message = Message {
            speaks: SPEAKS,
            sender: self.settings.member,
            boot: self.sent.boot(),
            sequence: self.sent.next(changes_end, now),
            echo: self.peer.echo(self.settings.lease, now),
            role,
            generation: self.generation,
            health: self.condition.score(),
            lan: self.condition.lan(),
            wan: self.condition.wan(),
            eligible: self.unfit().is_none(),
            kind,
        };
        self.out.push(Action::Send(Path::Heartbeat, message.clone()));
        self.out.push(Action::Send(Path::Lan, message));
    }

    /// What there is to say, and the number after the last change of connections in it.
    fn words(&mut self) -> (Role, Kind, u64) {
        if let Some(reign) = self.reign() {
            if reign.handover.is_some() {
                return (Role::Active, Kind::Prepare, 0);
            }
            let (opened, closed, end) = self.connections.changes();
            return (Role::Active, Kind::Status { opened, closed }, end);
        }
        if matches!(self.state, State::Tenure(_)) {
            return (Role::Acquiring, Kind::Ready, 0);
        }
        if self.releases > 0 {
            self.releases -= 1;
            return (Role::Releasing, Kind::Release, 0);
        }
        let role = match &self.state {
            State::Starting { .. } => Role::Starting,
            State::Passive { claim: Some(_) } => Role::Acquiring,
            _ => Role::Passive,
        };
        (role, Kind::Query { promise: self.promise_now() }, 0)
    }

    /// Promises not to take over from an active; what is echoed was said by it.
    fn promise_now(&mut self) -> Option<Duration> {
        let lease = self.settings.lease;
        self.peer.view().filter(|peer| peer.role == Role::Active)?;
        self.promise.make(self.peer.heard()?, lease);
        Some(lease)
    }

    fn feed(&mut self, now: Time) {
        if self.fed_at.is_none_or(|fed| now.since(fed) >= FEED) {
            self.fed_at = Some(now);
            self.out.push(Action::Feed);
        }
    }

    /// Tells once when one of the ways to a peer that is heard falls silent, and when it is back.
    fn watch_ways(&mut self, now: Time) {
        let is_heard = self.peer.within(self.settings.lease, now).is_some();
        for (path, name) in [(Path::Heartbeat, "heartbeat link"), (Path::Lan, "LAN")] {
            let is_silent = self.peer.heard_on(path).is_none_or(|heard| now.since(heard) >= WAY_LOST);
            let was_silent = &mut self.alarms.silent_on[path as usize];
            if *was_silent == is_silent || !is_heard {
                continue;
            }
            *was_silent = is_silent;
            let (severity, what) =
                if is_silent { (Severity::Warning, "not heard") } else { (Severity::Info, "heard again") };
            self.tell(severity, format!("the peer is {what} on the {name}"));
        }
    }
}
