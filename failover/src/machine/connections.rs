//! The clients' connections: the active tells them, the passive keeps them for the tickle.

use std::collections::{BTreeSet, VecDeque};

use super::message::Connection;

/// Most connections that are kept; further ones are not told, and their clients find the new owner by themselves.
pub const CONNECTIONS_MAX: usize = 4096;
/// Most changes in one STATUS, so that it fits into a datagram; the others go with the next.
pub const CHANGES_PER_STATUS: usize = 24;

/// A change of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Opened(Connection),
    Closed(Connection),
}

/// What is known, and what of it the peer does not know yet. Changes have numbers; each STATUS carries the first of those
/// that the peer has not confirmed, so an echo confirms all up to the last one in the STATUS that it names.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    known: BTreeSet<Connection>,
    /// Those of the active before this one, until they have been tickled.
    inherited: BTreeSet<Connection>,
    untold: VecDeque<Change>,
    /// Number of the first of `untold`.
    first: u64,
}

impl Connections {
    /// All that are known.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.inherited.difference(&self.known).chain(&self.known)
    }

    /// This port becomes active: what is known are the connections of the active before it.
    pub(super) fn inherit(&mut self) {
        *self = Self { inherited: std::mem::take(&mut self.known), ..Self::default() };
    }

    /// They have been tickled, and have come back or will not.
    pub(super) fn forget_inherited(&mut self) {
        self.inherited.clear();
    }

    /// These are all that there are now at the active.
    pub(super) fn are(&mut self, now: Vec<Connection>) {
        let now: BTreeSet<Connection> = now.into_iter().take(CONNECTIONS_MAX).collect();
        let closed = self.known.difference(&now).map(|connection| Change::Closed(*connection));
        let opened = now.difference(&self.known).map(|connection| Change::Opened(*connection));
        self.untold.extend(closed.chain(opened));
        self.known = now;
        // A peer that confirms nothing is not told history: the set is shorter.
        if self.untold.len() > 2 * CONNECTIONS_MAX {
            self.tell_all();
        }
    }

    /// The peer knows nothing (any more): tell it all.
    pub(super) fn tell_all(&mut self) {
        self.first += self.untold.len() as u64;
        self.untold = self.known.iter().map(|connection| Change::Opened(*connection)).collect();
    }

    /// For the next STATUS: opened, closed, and the number after the last change in it, which its echo confirms.
    pub(super) fn changes(&self) -> (Vec<Connection>, Vec<Connection>, u64) {
        let told = self.untold.len().min(CHANGES_PER_STATUS);
        // Of several changes of one connection the last counts.
        let (mut opened, mut closed) = (BTreeSet::new(), BTreeSet::new());
        for change in self.untold.iter().take(told) {
            match change {
                Change::Opened(connection) => closed.remove(connection) | opened.insert(*connection),
                Change::Closed(connection) => opened.remove(connection) | closed.insert(*connection),
            };
        }
        (opened.into_iter().collect(), closed.into_iter().collect(), self.first + told as u64)
    }

    /// The peer has a STATUS with all changes before number `end`.
    pub(super) fn confirmed(&mut self, end: u64) {
        while self.first < end && self.untold.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// The active's peer told these.
    pub(super) fn learn(&mut self, opened: &[Connection], closed: &[Connection]) {
        for connection in closed {
            self.known.remove(connection);
        }
        for connection in opened {
            if self.known.len() < CONNECTIONS_MAX {
                self.known.insert(*connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(client: u16) -> Connection {
        ((([192, 0, 2, 1], client).into()), ([192, 0, 2, 10], 2049).into())
    }

    /// FO-2: what is lost on the way is told again, in pieces that fit, until the passive knows what the active knows.
    #[test]
    fn the_passive_learns_all_connections_whatever_is_lost() {
        let (mut active, mut passive) = (Connections::default(), Connections::default());
        active.are((0..100).map(connection).collect());
        active.are((50..130).map(connection).collect());
        for round in 0..40 {
            let (opened, closed, end) = active.changes();
            assert!(opened.len() + closed.len() <= CHANGES_PER_STATUS);
            if round % 3 == 0 {
                passive.learn(&opened, &closed);
                active.confirmed(end);
            }
        }
        assert!(passive.iter().eq(active.iter()));
        assert_eq!(active.changes().0, []);
    }

    /// A connection that closes and opens again at once is there in the end.
    #[test]
    fn the_last_change_of_a_connection_counts() {
        let (mut active, mut passive) = (Connections::default(), Connections::default());
        for set in [vec![1, 2], vec![1], vec![1, 2], vec![2]] {
            active.are(set.into_iter().map(connection).collect());
        }
        let (opened, closed, _) = active.changes();
        passive.learn(&opened, &closed);
        assert!(passive.iter().eq([&connection(2)]));
    }

    #[test]
    fn a_set_has_its_limit() {
        let mut passive = Connections::default();
        let many: Vec<_> = (0..u16::MAX).map(connection).collect();
        passive.learn(&many, &[]);
        assert_eq!(passive.iter().count(), CONNECTIONS_MAX);
        for client in 0..20 {
            passive.are(many[client * CONNECTIONS_MAX / 2..].to_vec());
            if client == 13 {
                break;
            }
        }
        assert!(passive.untold.len() <= 2 * CONNECTIONS_MAX);
    }
}
