//! What the operator may choose.

use std::time::Duration;

use thiserror::Error;

use super::event::Member;

/// Shortest lease without a fence: the kernel counts the lifetime of an address in seconds.
pub const LEASE_WITHOUT_FENCE_MIN: Duration = Duration::from_millis(2_300);

/// Timers, weights and means of one judge. Both judges of a pair should have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Which of the two this is.
    pub member: Member,
    /// What the passive promises: so long after it last heard of the active it does not take over. A judge that was
    /// started with a shorter one than before must be kept from starting for as long as the old one.
    pub lease: Duration,
    /// How often the passive asks.
    pub query: Duration,
    /// What the center is asked for when the peer gives no lease: three times the round trip to it, at least, and what
    /// a busy center takes to write it down.
    pub center_lease: Duration,
    /// How much faster or slower than true time a clock may run, in thousandths.
    pub drift_per_mille: u32,
    /// How much later than told the kernel may shut the fence (or, without one, remove an address).
    pub kernel_slack: Duration,
    /// There is a fence that the kernel shuts by itself. Without one the lifetime of the addresses alone must do.
    pub fence: bool,
    /// Lifetime of the addresses where there is a fence.
    pub address_lifetime: Duration,
    /// How long an address probe takes.
    pub probe: Duration,
    /// How long the WAN must be lost before the active hands over to a peer that has one.
    pub wan_patience: Duration,
    /// How many probes of the service in a row must be silent for it to count as hung.
    pub misses_max: u32,
    /// Health score from which the active is sick.
    pub threshold: u32,
    /// By how much the score of the peer must be lower for it to count as healthier.
    pub hysteresis: u32,
    /// After a change of owner by ill health there is no other for so long; doubled if one comes soon after.
    pub hold_down: Duration,
    /// Longest hold-down.
    pub hold_down_max: Duration,
    /// How long a planned hand-over, or the port's way to active, may take before it is given up.
    pub patience: Duration,
}

impl Settings {
    /// The defaults, each measured or derived.
    pub fn new(member: Member) -> Self {
        Self {
            member,
            lease: Duration::from_millis(100),
            query: Duration::from_millis(10),
            center_lease: Duration::from_secs(1),
            drift_per_mille: 10,
            kernel_slack: Duration::from_millis(8),
            fence: true,
            address_lifetime: Duration::from_secs(2),
            probe: Duration::from_millis(8),
            wan_patience: Duration::from_millis(450),
            misses_max: 3,
            threshold: 100,
            hysteresis: 20,
            hold_down: Duration::from_secs(10),
            hold_down_max: Duration::from_secs(300),
            patience: Duration::from_secs(2),
        }
    }

    /// Whether they are safe together.
    ///
    /// # Errors
    /// They are not; the text says which to change.
    pub fn check(&self) -> Result<(), Unsafe> {
        let shortest = self.lease.min(self.center_lease);
        // What is left of a lease that still counts as fresh must be a lifetime that the kernel can count.
        let left = (self.lease * 6 / 10).saturating_sub(self.margin(self.lease));
        if !self.fence && (shortest < LEASE_WITHOUT_FENCE_MIN || left < Duration::from_secs(1)) {
            return Err(Unsafe::NoFence);
        }
        if self.query.is_zero() || self.lease < self.query * 4 {
            return Err(Unsafe::Query);
        }
        if self.margin(self.lease) >= self.lease * 4 / 10
            || self.margin(self.center_lease) >= self.center_lease / 2
        {
            return Err(Unsafe::Margin);
        }
        if self.drift_per_mille > 100 {
            return Err(Unsafe::Drift);
        }
        Ok(())
    }

    /// How much earlier than its holder's clock says a lease of this span ends: two clocks may drift apart, and the
    /// kernel may be late.
    pub(super) fn margin(&self, span: Duration) -> Duration {
        span * (2 * self.drift_per_mille) / 1000 + self.kernel_slack
    }

    /// Age of the peer's lease from which the active asks the center for one.
    pub(super) fn ask_center_after(&self) -> Duration {
        self.lease * 4 / 10
    }

    /// Silence of the peer from which the passive asks the center. The active has asked before, if it lives.
    pub(super) fn silence(&self) -> Duration {
        self.lease * 7 / 10
    }
}

/// Settings that would not be safe, or could not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unsafe {
    /// See [`LEASE_WITHOUT_FENCE_MIN`].
    #[error(
        "without a fence (nftables) both leases must be at least 2300 ms: raise them, or install nftables"
    )]
    NoFence,
    /// Too few questions in a lease.
    #[error("the lease must be at least four times the interval of the queries")]
    Query,
    /// Nothing would be left of a lease.
    #[error("the clocks' drift and the kernel's slack take too much of the lease: raise the lease")]
    Margin,
    /// No clock is so bad.
    #[error("a drift of more than 100 per mille is not supported")]
    Drift,
}
