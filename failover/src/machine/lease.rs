//! The arithmetic of leases: what the active may rely on, and what the passive has promised.
//!
//! ```text
//! active   ── STATUS s sent at a ──────────────────── serves until a + L - margin ──┤ fence shut
//! passive         └─ s got at p ── QUERY(echo s, promise L) ─ does not open before p + L ──┤
//! ```
//!
//! Since a ≤ p, and the margin covers the drift of both clocks and the kernel's lateness, the active has shut before the
//! passive opens, whatever the network did to the datagrams. No clock is ever compared with another one.

use std::time::Duration;

use super::settings::Settings;
use super::time::Time;

/// What the active relies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    peer: Option<Span>,
    center: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: Time,
    until: Time,
}

/// Who gave a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// The passive, by its promise.
    Peer,
    /// The storage center.
    Center,
}

impl Lease {
    /// The peer promised `span`, and has seen what was sent at `from`.
    pub(super) fn promised(&mut self, from: Time, span: Duration, settings: &Settings) {
        later(&mut self.peer, from, span, settings);
    }

    /// The center granted `span` to a question sent at `from`.
    pub(super) fn granted(&mut self, from: Time, span: Duration, settings: &Settings) {
        later(&mut self.center, from, span, settings);
    }

    /// The center's lease is not to be relied on any more.
    pub(super) fn give_back(&mut self) {
        self.center = None;
    }

    /// When it ends; the beginning of time without one.
    pub(super) fn until(&self) -> Time {
        let ends = [self.peer, self.center].map(|span| span.map_or(Time(0), |span| span.until));
        ends[0].max(ends[1])
    }

    /// Whose lease lasts longest.
    pub(super) fn giver(&self) -> Option<Giver> {
        match (self.peer.map(|span| span.until), self.center.map(|span| span.until)) {
            (None, None) => None,
            (peer, center) if peer >= center => Some(Giver::Peer),
            _ => Some(Giver::Center),
        }
    }

    /// The peer's lease is there and younger than that.
    pub(super) fn is_fresh(&self, age: Duration, now: Time) -> bool {
        self.peer.is_some_and(|span| now.since(span.from) < age)
    }
}

fn later(kept: &mut Option<Span>, from: Time, span: Duration, settings: &Settings) {
    let until = from + span.saturating_sub(settings.margin(span));
    if kept.is_none_or(|kept| kept.until < until) {
        *kept = Some(Span { from, until });
    }
}

/// What the passive has promised the active, and must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promise {
    until: Time,
}

impl Promise {
    /// A promise of `span` goes out, which echoes a datagram that came at `heard`.
    pub(super) fn make(&mut self, heard: Time, span: Duration) {
        self.until = self.until.max(heard + span);
    }

    /// When it has run out.
    pub(super) fn until(&self) -> Time {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::event::Member;

    const MS: u64 = 1_000;

    fn span(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// FO-11: the active's lease counts from when it sent, and ends earlier by the drift of two clocks and the kernel's
    /// lateness.
    #[test]
    fn a_lease_ends_before_the_promise_it_rests_on() {
        let settings = Settings::new(Member::A);
        let mut lease = Lease::default();
        lease.promised(Time(50 * MS), span(100), &settings);
        assert_eq!(lease.until(), Time((50 + 100 - 2 - 8) * MS));
        let mut promise = Promise::default();
        promise.make(Time(50 * MS), span(100));
        assert!(lease.until() < promise.until());
    }

    /// FO-11: an echo that comes late shortens nothing that is already held, and lengthens nothing.
    #[test]
    fn an_older_echo_changes_nothing() {
        let settings = Settings::new(Member::A);
        let mut lease = Lease::default();
        lease.promised(Time(50 * MS), span(100), &settings);
        let before = lease;
        lease.promised(Time(40 * MS), span(100), &settings);
        assert_eq!(lease, before);
        assert!(lease.is_fresh(span(40), Time(89 * MS)) && !lease.is_fresh(span(40), Time(90 * MS)));
    }

    #[test]
    fn the_longer_of_two_leases_counts() {
        let settings = Settings::new(Member::A);
        let mut lease = Lease::default();
        assert_eq!(lease.giver(), None);
        lease.granted(Time(0), span(300), &settings);
        lease.promised(Time(0), span(100), &settings);
        assert_eq!(lease.giver(), Some(Giver::Center));
        assert_eq!(lease.until(), Time((300 - 6 - 8) * MS));
        lease.give_back();
        assert_eq!(lease.giver(), Some(Giver::Peer));
    }
}
