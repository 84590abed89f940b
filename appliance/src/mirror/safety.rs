//! What a durable write waits for, beside this port's own disk. Pure, but for the channel it is followed by.
//!
//! | | the other port's disk | the storage center |
//! |---|---|---|
//! | undecided | nothing is acknowledged | |
//! | mirrored | waited for | |
//! | alone | | waited for, unless the operator chose the own disk alone |
//! | joining: the other port is about to be whole again | waited for | waited for, as when alone |

use tokio::sync::watch;

use crate::journal::Lsn;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Safety {
    /// It is known what to wait for.
    pub is_decided: bool,
    /// For the other port.
    pub peer: bool,
    /// For the center.
    pub center: bool,
    /// Up to here the other port has the journal on its disk.
    pub durable: Lsn,
    /// And the list of clients with locks up to this number.
    pub ledger: u64,
}

impl Safety {
    /// Whether records up to `lsn` are where they must be, but for the center.
    pub fn is_kept(&self, lsn: Lsn) -> bool {
        self.is_decided && (!self.peer || self.durable >= lsn)
    }

    /// The same of the list of clients with locks.
    pub fn is_ledger_kept(&self, number: u64) -> bool {
        self.is_decided && (!self.peer || self.ledger >= number)
    }

    /// The other port is about to have all of it: from before it may say so on, nothing is acknowledged without it.
    pub fn join(&mut self) {
        *self = Self { is_decided: true, peer: true, durable: Lsn(0), ledger: 0, ..*self };
    }

    /// The other port has all of it.
    pub fn joined(&mut self, lsn: Lsn) {
        self.center = false;
        self.durable = self.durable.max(lsn);
    }

    /// The other port may have all of it, and cannot be waited for any more.
    pub fn lose(&mut self) {
        *self = Self::default();
    }

    /// The storage center knows that the other port's mirror is not whole: it is not waited for.
    pub fn alone(&mut self, center: bool) {
        *self = Self { is_decided: true, center, ..Self::default() };
    }
}

/// Waits until `safety` says so.
pub async fn until(safety: &watch::Receiver<Safety>, is_so: impl FnMut(&Safety) -> bool) {
    if safety.clone().wait_for(is_so).await.is_err() {
        // Whoever decides is gone, and nothing is acknowledged any more.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-2: between alone and mirrored there is no moment in which one copy would do.
    #[test]
    fn from_alone_to_mirrored_both_are_waited_for() {
        let mut safety = Safety::default();
        assert!(!safety.is_kept(Lsn(0)), "undecided");
        safety.alone(true);
        assert!(safety.is_kept(Lsn(9)) && safety.center && safety.is_ledger_kept(9));
        safety.join();
        assert!(!safety.is_kept(Lsn(9)) && safety.center && !safety.is_ledger_kept(1));
        safety.joined(Lsn(9));
        assert!(safety.is_kept(Lsn(9)) && !safety.is_kept(Lsn(10)) && !safety.center);
        safety.lose();
        assert!(!safety.is_kept(Lsn(9)), "the other one may be whole: it is not known what to wait for");
    }
}
